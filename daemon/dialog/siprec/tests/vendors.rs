//! What vendors' clients send, answered. The offers are third-party material that a stranger's clone does not have.

use std::path::{Path, PathBuf};

use super::{Client, MULTIPART, PEOPLE, STREAMS, body, sdp};
use crate::siprec::metadata::Metadata;
use sotto_private::CallEvent;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SOTTO_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = folder.join("siprec");
    if !folder.is_dir() {
        eprintln!("skipped: there is no {}", folder.display());
        return None;
    }
    Some(folder)
}

/// File, status, streams received, the two parties, and whether both are in one stream.
type Expected = (&'static str, &'static str, usize, [&'static str; 2], bool);

const OFFERS: [Expected; 7] = [
    ("acme-siprec-offer.txt", "200", 2, ["sip:9000@192.168.50.102", "sip:1002@192.168.50.10"], false),
    // Its metadata lost its tags on the way into the file, and its SDP its addresses: the parties are those of the SIP headers.
    ("broadworks-offer.txt", "200", 1, ["sip:src@sbc", "sip:srs@192.0.2.1"], true),
    ("connectel-offer.txt", "200", 2, ["sip:0771121212@52.57.92.239", "sip:0760516936@sip-cust1.connectel.io"], false),
    ("connectel-offer2.txt", "200", 2, ["sip:0771121212@52.57.92.239", "sip:0760516936@sip-cust1.connectel.io"], false),
    ("inactive-sdp-offer.txt", "200", 2, ["sip:0733165805@192.168.40.34", "sip:+972546136443@192.168.10.140"], false),
    ("procomm-siprec-offer.txt", "200", 2, ["sip:016190200@87.252.209.116", "sip:Extension-016190619@speechpath.ie"], false),
    ("non-siprec-payload.txt", "200", 1, ["sip:src@sbc", "sip:srs@192.0.2.1"], true),
];

#[test]
fn vendors_offers_are_answered() {
    let Some(folder) = data() else { return };
    println!("{:<26} {:>6} {:>8} {:>6}  participants", "offer", "answer", "streams", "mixed");
    for (name, code, streams, parties, is_mixed) in OFFERS {
        let body = std::fs::read_to_string(folder.join(name)).unwrap();
        let boundary = body.lines().find_map(|line| line.trim().strip_prefix("--")).map(str::to_owned);
        let kind = boundary.map_or_else(|| "application/sdp".to_owned(), |boundary| format!("multipart/mixed;boundary={boundary}"));
        // As on the wire, and as in the file.
        for body in [body.replace('\n', "\r\n"), body] {
            let mut client = Client::new();
            let answer = client.request("INVITE", &format!("Require: siprec\r\nContent-Type: {kind}\r\n"), &body);
            let received = answer.matches("m=audio 2").count();
            let Some(CallEvent::Offered { calling, called, .. }) = client.heard.first() else { panic!("{name}: {answer}") };
            let found = [calling, called].map(|party| party.identity().to_owned());
            let mixed = client.heard.iter().any(|event| matches!(event, CallEvent::Mixed { .. }));
            if body.contains('\r') {
                println!("{name:<26} {:>6} {received:>8} {mixed:>6}  {}", &answer[8..11], found.join(", "));
            }
            assert_eq!((&answer[8..11], received, mixed), (code, streams, is_mixed), "{name}: {answer}");
            assert_eq!(found, parties, "{name}");
            assert_eq!(answer.matches("a=label:").count(), streams, "{name}: {answer}");
            let is_inactive = name.starts_with("inactive");
            assert_eq!(client.heard.iter().any(|event| matches!(event, CallEvent::Answered { .. })), !is_inactive, "{name}");
        }
    }
}

#[test]
fn session_descriptions_of_clients_are_answered() {
    let Some(folder) = data() else { return };
    for name in ["sample-sdps.txt", "sample-sdp2.txt", "sample-sdp3.txt"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        for (ordinal, description) in text.split("__split_here__").enumerate() {
            let mut client = Client::new();
            let answer = client.invite(description.trim_start(), PEOPLE);
            println!("{name:<18} {ordinal} {}", &answer[8..11]);
            // The second of FreeSWITCH's is an answer: it receives, and sends nothing.
            let direction = if description.contains("recvonly") { "a=inactive" } else { "a=recvonly" };
            assert!(answer.starts_with("SIP/2.0 200") && answer.contains(direction), "{name}: {answer}");
        }
    }
}

#[test]
fn every_metadata_document_of_the_rfcs_is_read() {
    let Some(folder) = data() else { return };
    let read = |name: &str| std::fs::read(folder.join("metadata").join(name)).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(folder.join("metadata")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files.len(), 16);
    for name in &files {
        let mut metadata = Metadata::default();
        metadata.update(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name:<16} {} participants, {} streams", metadata.participants.len(), metadata.streams.len());
        // And as an update of a running session, over the wire.
        let mut client = Client::new();
        client.invite(&sdp(STREAMS), PEOPLE);
        let document = String::from_utf8(read(name)).unwrap();
        let inside = format!("--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n{document}\r\n--b--\r\n");
        assert!(client.request("UPDATE", MULTIPART, &inside).starts_with("SIP/2.0 200"), "{name}");
        assert_eq!(client.server.counters().siprec_bodies_malformed, 0, "{name}");
    }
    let mut metadata = Metadata::default();
    metadata.update(&read("rfc7865-01.xml")).unwrap();
    let addresses: Vec<&str> = metadata.participants.iter().map(|known| known.address.expose().as_str()).collect();
    assert_eq!(addresses, ["sip:bob@biloxi.com", "sip:Paul@biloxi.com"]);
    assert_eq!(metadata.participants.iter().map(|known| known.sends.len()).collect::<Vec<_>>(), [2, 2]);
    metadata.update(&read("rfc7865-02.xml")).unwrap();
    assert_eq!(metadata.participants.iter().map(|known| known.has_left).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn our_own_bodies_are_no_other_than_theirs() {
    assert!(Client::new().request("INVITE", MULTIPART, &body(&sdp(STREAMS), PEOPLE)).starts_with("SIP/2.0 200"));
}
