//! Makes the corpora that the fuzzers start from, out of the call maker's calls: `make_corpus tests/fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};

use sotto_tests::pcap::Packet;
use sotto_tests::random::Random;
use sotto_tests::script::{Call, Outcome, Script, Who};
use sotto_tests::{Made, make};

fn main() {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: make_corpus FOLDER");
        std::process::exit(2);
    };
    let made = call(Call { ring_ms: 100, end_ms: Some(600), ..Call::default() }.holds(200, 200));
    let cancelled = call(Call { ring_ms: 100, outcome: Outcome::Cancelled, ipv6: true, ..Call::default() });

    for (number, text) in messages(&made).chain(messages(&cancelled)).enumerate() {
        write(&folder, "sip", number, text.as_bytes());
        if let Some((_, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| !body.is_empty()) {
            write(&folder, "sdp", number, body.as_bytes());
        }
    }
    let compact = "INVITE sip:b@x SIP/2.0\r\nv: SIP/2.0/TCP h;branch=z9hG4bK2,SIP/2.0/UDP i\r\nf: a\r\n <sip:a@x>;tag=1\r\nt: <sip:b@x>\r\ni: two\r\nCSeq: 7 INVITE\r\nl: 0\r\n\r\n";
    write(&folder, "sip", 100, compact.as_bytes());
    let keys = "v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 96 97 9\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:96 opus/48000/2\r\n\
        a=fmtp:96 useinbandfec=1\r\na=rtpmap:97 L16/16000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\na=rtcp-mux\r\na=sendonly\r\n";
    write(&folder, "sdp", 100, keys.as_bytes());

    let metadata = "<?xml version='1.0' encoding='UTF-8'?><recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>\
        <session session_id='c1=='><sipSessionID>1</sipSessionID></session><participant participant_id='p1=='><nameID aor='sip:1001@pbx.example'>\
        <name xml:lang='en'>A &amp; B</name></nameID></participant><stream stream_id='s1==' session_id='c1=='><label>1</label></stream>\
        <participantstreamassoc participant_id='p1=='><send>s1==</send><recv>s1==</recv></participantstreamassoc></recording>";
    write(&folder, "siprec_xml", 0, metadata.as_bytes());
    write(&folder, "siprec_xml", 1, b"<recording><participant participant_id='p'><nameID aor='tel:+1'/></participant></recording>");
    let sdp = messages(&made).find_map(|text| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())).unwrap_or_default();
    let parts = format!("--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n{metadata}\r\n--b--\r\n");
    write(&folder, "multipart", 0, parts.as_bytes());
    write(&folder, "multipart", 1, format!("preamble\r\n{}", parts.replace("\r\n", "\n")).as_bytes());

    let sound: Vec<&[u8]> = made.packets.iter().filter(|packet| !packet.is_signalling()).map(Packet::payload).collect();
    let report = [0x81, 200, 0, 12, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 8, 3, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let digit = [0x80, 0xe5, 0, 9, 0, 0, 4, 0, 0, 0, 0, 7, 9, 0x8a, 3, 0x20];
    let mut media = Vec::new();
    for (number, packet) in sound.iter().take(8).enumerate() {
        media.extend([number as u8 & 1 | 40, packet.len() as u8]);
        media.extend(*packet);
    }
    for (place, packet) in [(2, &report[..]), (3, &report), (4, &digit)] {
        media.extend([place, packet.len() as u8]);
        media.extend(packet);
    }
    write(&folder, "rtp", 0, &media);

    let tagged = call(Call { ring_ms: 100, end_ms: Some(100), vlan: Some(7), ..Call::default() });
    for (number, of) in [&made, &cancelled, &tagged].into_iter().enumerate() {
        let mut frames = vec![0];
        for packet in of.packets.iter().take(4) {
            let mut frame = packet.frame.clone();
            frame.resize(frame.len().div_ceil(8) * 8, 0);
            frames.push((frame.len() / 8) as u8);
            frames.extend(frame);
        }
        write(&folder, "decap", number, &frames);
        write(&folder, "pcap", number, &of.pcap()[..of.pcap().len().min(4_096)]);
    }
    for (number, tunnel) in tunnels(&made.packets[0].frame).into_iter().enumerate() {
        let mut frames = vec![0, (tunnel.len().div_ceil(8)) as u8];
        frames.extend(tunnel);
        write(&folder, "decap", 10 + number, &frames);
    }

    let stream: Vec<u8> = messages(&made).collect::<String>().into_bytes();
    let mut segments = vec![2, 0xff, 0xff, 0];
    let mut place = 0_u16;
    for piece in stream.chunks(200).take(12) {
        segments.push(0);
        segments.extend(place.to_be_bytes());
        segments.push(piece.len() as u8);
        segments.extend(piece);
        place += piece.len() as u16;
    }
    segments.extend([4, (place >> 8) as u8, place as u8, 0]);
    write(&folder, "tcp", 0, &segments);

    let mut random = Random::new(1, "corpus");
    let noise: Vec<u8> = (0..480).map(|_| random.bits() as u8).collect();
    write(&folder, "g722", 0, &noise);
    write(&folder, "g722", 1, &[0xfa; 320]);
    // Each code of RFC 6716 section 3.2: one frame, two, two of two sizes, several, with padding.
    let mut packets = Vec::new();
    for packet in [&[0x08, 1, 2, 3][..], &[0x09, 1, 2, 3, 4], &[0x0a, 2, 1, 2, 3, 4, 5], &[0x0b, 0x03, 1, 2, 3], &[0xfb, 0xc3, 2, 1, 1, 9, 8, 7, 0, 0], &[], &[0x60, 9, 9, 9]] {
        packets.push(packet.len() as u8);
        packets.extend(packet);
    }
    write(&folder, "opus", 0, &packets);
}

fn call(call: Call) -> Made {
    let sounding = if call.outcome.is_answered() { call.sounds(Who::Agent, 0, 80, 440.0).sounds(Who::Customer, 0, 80, 660.0) } else { call };
    make(&Script::of(sounding)).expect("tones need nothing that could be missing")
}

fn messages(made: &Made) -> impl Iterator<Item = String> {
    made.packets.iter().filter(|packet| packet.is_signalling()).map(|packet| String::from_utf8_lossy(packet.payload()).into_owned())
}

/// A frame of IPv4 in tunnels: GRE, ERSPAN II, VXLAN, IP in IP; and as two fragments, the latter first.
fn tunnels(frame: &[u8]) -> Vec<Vec<u8>> {
    let ip = &frame[14..];
    let outer = |protocol: u8, inner: &[u8]| {
        let length = ((20 + inner.len()) as u16).to_be_bytes();
        let mut outer = frame[..14].to_vec();
        outer.extend([0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 8, 192, 0, 2, 9]);
        outer.extend(inner);
        outer
    };
    let vxlan_length = ((16 + frame.len()) as u16).to_be_bytes();
    vec![
        outer(47, &[&[0, 0, 8, 0], ip].concat()),
        outer(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 8, 1, 0, 0, 0, 0], frame].concat()),
        outer(17, &[&[0x12, 0xb5, 0x12, 0xb5, vxlan_length[0], vxlan_length[1], 0, 0, 8, 0, 0, 0, 0, 0, 7, 0], frame].concat()),
        outer(4, ip),
    ]
}

fn write(folder: &Path, target: &str, number: usize, bytes: &[u8]) {
    let folder = folder.join(target);
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(format!("{number:03}")), bytes));
    written.expect("the folder can be written to");
}
