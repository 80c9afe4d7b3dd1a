//! Brokers that are not there, refuse, forbid, take little or are not who they say. The uplink says which, and keeps the row.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sotto_spool::DeadLetter;
use sotto_tests::broker::{Broker, Subscriber};
use sotto_tests::process::{PATIENCE, installed, run, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_uplink::{Answer, Config, Credentials, Event, Identity, Loss, Roots, Tls};

use crate::resident::{Resident, wait_until_delivered};
use crate::site::Site;

/// All that came, each kept to its schema; the payloads of one topic.
fn came(subscriber: &Subscriber, suffix: &str) -> Vec<Value> {
    subscriber
        .messages()
        .into_iter()
        .map(|message| (message.topic.clone(), validate(&message.topic, &message.payload).unwrap()))
        .filter(|(topic, _)| topic.ends_with(suffix))
        .map(|(_, payload)| payload)
        .collect()
}

#[test]
fn a_broker_that_is_not_there_is_waited_for() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let mut broker = Broker::start().unwrap();
    broker.kill().unwrap();
    let mut site = Site::new();
    let calls = site.score(40);
    let uplink = Resident::start(&site, site.config(&broker.url()));
    uplink.wait("the broker to be missed", |event| matches!(event, Event::Lost { loss: Loss::Unreachable, .. }));
    broker.restart().unwrap();
    let subscriber = broker.subscribe(&["sotto/#"]).unwrap();
    wait_until_delivered(&site);
    let scores = subscriber.wait("the scores", PATIENCE, |messages| messages.iter().filter(|message| message.topic.ends_with("call/score")).count() >= 40).unwrap();
    assert!(scores.iter().filter(|message| message.topic.ends_with("call/score")).all(|message| message.qos == 1 && !message.retained));
    // Oldest first, each once, rendered with names.
    let scores = came(&subscriber, "/call/score");
    let ids: Vec<String> = scores.iter().map(|score| score["call"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, calls.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(scores.iter().all(|score| score["team"] == "billing"));
    assert!(uplink.turns() > 3);

    // New rows go out without being asked for, and a broker that comes back finds all that it should know.
    site.score(1);
    wait_until_delivered(&site);
    let late = broker.subscribe(&["sotto/#"]).unwrap();
    late.wait("what is retained", PATIENCE, |messages| messages.len() >= 4).unwrap();
    for suffix in ["/status", "/birth", "/health", "/coverage"] {
        assert_eq!(came(&late, suffix).len(), 1, "{suffix}");
    }
    let connection = came(&late, "/status")[0]["connection"].clone();
    assert_eq!((came(&late, "/status")[0]["state"].as_str(), &came(&late, "/birth")[0]["connection"]), (Some("online"), &connection));

    let events = uplink.stop();
    assert_eq!(events.last(), Some(&Event::Stopped { said_so: true }));
    subscriber.wait("the farewell", PATIENCE, |messages| messages.iter().any(|message| message.payload.windows(9).any(|part| part == b"\"offline\""))).unwrap();
    let last = came(&subscriber, "/status").pop().unwrap();
    assert_eq!((last["state"].as_str(), &last["connection"]), (Some("offline"), &connection));
    // A clean goodbye: the will stays unsaid.
    assert_eq!(came(&subscriber, "/status").iter().filter(|status| status["state"] == "offline").count(), 1);
    site.assert_adds_up(41);
}

#[test]
fn a_wrong_password_is_said_without_the_password() {
    if !Broker::is_installed() || !installed("mosquitto_passwd") {
        return skip("mosquitto is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    assert!(run(Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["harbor-box", "Tr0ub4dor"])).unwrap().status.success());
    let broker = Broker::start_with(&format!("allow_anonymous false\npassword_file {}", file.display())).unwrap();
    let mut site = Site::new();
    site.score(3);
    let uplink = Resident::start(&site, Config { credentials: Some(Credentials::new("harbor-box", "c0rrect-h0rse")), ..site.config(&broker.url()) });
    uplink.wait("the refusal", |event| matches!(event, Event::Lost { loss: Loss::BadCredentials | Loss::NotAuthorized, .. }));
    let said = format!("{:?}", uplink.stop());
    assert!(!said.contains("c0rrect") && !said.contains("harbor-box"), "{said}");
    assert_eq!(site.backlog().waiting, 3);

    let config = Config { credentials: Some(Credentials::new("harbor-box", "Tr0ub4dor")), ..site.config(&broker.url()) };
    assert!(!format!("{config:?}").contains("Tr0ub4dor"));
    let uplink = Resident::start(&site, config);
    uplink.wait("an answer", |event| matches!(event, Event::Kept { .. } | Event::Delivered { .. }));
    uplink.stop();
}

#[test]
fn what_the_broker_forbids_is_kept() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acl");
    std::fs::write(&file, "topic readwrite sotto/v1/harbor/rec-1/status\ntopic read #\n").unwrap();
    // Without a limit of its queue mosquitto 2.0.11 hangs up after each refusal (0 packets wait, and 0 are allowed).
    let broker = Broker::start_with(&format!("acl_file {}\nmax_queued_messages 1000", file.display())).unwrap();
    let mut site = Site::new();
    site.score(3);
    let uplink = Resident::start(&site, site.config(&broker.url()));
    uplink.wait("the refusal", |event| matches!(event, Event::Kept { answer: Answer::NotAuthorized, .. }));
    uplink.wait("the other refusal", |event| matches!(event, Event::Refused { answer: Answer::NotAuthorized, .. }));
    let events = uplink.stop();
    assert!(!events.iter().any(|event| matches!(event, Event::Delivered { .. })), "{events:?}");
    assert_eq!((site.backlog().waiting, site.backlog().acked), (3, 0));
    site.assert_adds_up(3);
}

#[test]
fn what_nobody_subscribes_to_waits_for_somebody() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start().unwrap();
    let mut site = Site::new();
    let calls = site.score(3);
    let uplink = Resident::start(&site, site.config(&broker.url()));
    uplink.wait("the answer", |event| matches!(event, Event::Kept { answer: Answer::NoSubscriber, .. }));
    assert_eq!(site.backlog().waiting, 3);
    let subscriber = broker.subscribe(&["sotto/v1/+/+/call/score"]).unwrap();
    wait_until_delivered(&site);
    assert_eq!(came(&subscriber, "/call/score").len(), calls.len());
    uplink.stop();
    assert!(site.backlog().no_subscriber >= 3);
}

#[test]
fn what_is_too_large_for_the_broker_is_kept_back_and_counted() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start_with("max_packet_size 420").unwrap();
    let subscriber = broker.subscribe(&["sotto/#"]).unwrap();
    let mut site = Site::new();
    site.score(3);
    let uplink = Resident::start(&site, site.config(&broker.url()));
    uplink.wait("the row to be kept back", |event| *event == Event::KeptBack { why: DeadLetter::TooLarge });
    wait_until_delivered(&site);
    subscriber.wait("the status", PATIENCE, |messages| messages.iter().any(|message| message.topic.ends_with("/status"))).unwrap();
    let events = uplink.stop();
    assert!(!events.iter().any(|event| matches!(event, Event::Lost { .. })), "{events:?}");
    assert_eq!((site.backlog().dead_letters, site.backlog().acked), (3, 0));
    site.assert_adds_up(3);
}

#[test]
fn a_broker_with_a_strange_certificate_is_not_spoken_to() {
    if !Broker::is_installed() || !installed("openssl") {
        return skip("mosquitto or openssl is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["ours", "theirs"] {
        authority(folder.path(), name);
    }
    certificate(folder.path(), "ours", "server", "subjectAltName=DNS:localhost");
    certificate(folder.path(), "ours", "box", "extendedKeyUsage=clientAuth");
    let at = |name: &str| folder.path().join(name);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let broker = Broker::start_with(&format!(
        "listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        at("ours.pem").display(),
        at("server.pem").display(),
        at("server.key").display()
    ))
    .unwrap();
    let subscriber = broker.subscribe(&["sotto/#"]).unwrap();
    let mut site = Site::new();
    site.score(3);
    let read = |name: &str| std::fs::read(at(name)).unwrap();
    let [ours, theirs, certificates, key] = ["ours.pem", "theirs.pem", "box.pem", "box.key"].map(read);
    let identity = Identity { certificates: &certificates, key: &key };
    let with = |roots: &[u8], identity| Config { tls: Some(Tls::new(Roots::Pem(roots), identity).unwrap()), ..site.config(&format!("mqtts://localhost:{port}")) };

    let uplink = Resident::start(&site, with(&theirs, Some(identity)));
    uplink.wait("the broker not to be believed", |event| matches!(event, Event::Lost { loss: Loss::Tls, .. }));
    assert!(!uplink.stop().iter().any(|event| matches!(event, Event::Connected { .. })));

    let uplink = Resident::start(&site, with(&ours, None));
    uplink.wait("the broker not to believe us", |event| matches!(event, Event::Lost { .. }));
    assert!(!uplink.stop().iter().any(|event| matches!(event, Event::Connected { .. })));
    assert_eq!(site.backlog().waiting, 3);

    let uplink = Resident::start(&site, with(&ours, Some(identity)));
    wait_until_delivered(&site);
    uplink.stop();
    assert_eq!(came(&subscriber, "/call/score").len(), 3);
    // They were made for two days, today's begun.
    assert_eq!(came(&subscriber, "/health")[0]["certificate_days_left"], 1);
}

/// A certificate authority: `NAME.pem` and `NAME.key`.
fn authority(folder: &Path, name: &str) {
    openssl(folder, &format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"));
}

/// A certificate that it signs.
fn certificate(folder: &Path, authority: &str, name: &str, extension: &str) {
    std::fs::write(folder.join("extensions"), extension).unwrap();
    openssl(folder, &format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout {name}.key -out {name}.csr"));
    openssl(folder, &format!("x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 -extfile extensions -out {name}.pem"));
}

fn openssl(folder: &Path, arguments: &str) {
    let output = run(Command::new("openssl").current_dir(folder).args(arguments.split(' '))).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_the_disk_lost_is_told_until_somebody_has_it() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start().unwrap();
    let mut site = Site::new();
    let calls = site.score(3);
    // A bit falls over.
    rusqlite::Connection::open(site.spool_path()).unwrap().execute("UPDATE outbox SET expires_ms = expires_ms + 100 WHERE row = 2", []).unwrap();
    let uplink = Resident::start(&site, site.config(&broker.url()));
    uplink.wait("the answer", |event| matches!(event, Event::Kept { answer: Answer::NoSubscriber, .. }));
    assert!(!uplink.events().iter().any(|event| matches!(event, Event::LossTold { .. })), "nobody had it");
    let subscriber = broker.subscribe(&["sotto/v1/#"]).unwrap();
    uplink.stop();
    let uplink = Resident::start(&site, site.config(&broker.url()));
    uplink.wait("the loss to be told", |event| *event == Event::LossTold { scores: 1 });
    wait_until_delivered(&site);
    uplink.stop();
    let told = wait_for("the subscriber to have it", PATIENCE, || came(&subscriber, "/lost").pop()).unwrap();
    let lost = calls[1].to_string();
    assert_eq!((told["lost_from"].as_str(), told["lost_to"].as_str(), &told["lost_scores"]), (Some(lost.as_str()), Some(lost.as_str()), &1.into()));
    assert_eq!((site.backlog().lost_scores, site.backlog().acked), (1, 2));
}

#[test]
fn a_second_box_of_the_same_name_is_known_where_the_broker_does_not_say_so() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    // mosquitto 2.0.11 closes the older connection without a word.
    let broker = Broker::start().unwrap();
    let _subscriber = broker.subscribe(&["sotto/#"]).unwrap();
    let (mut one, mut other) = (Site::new(), Site::with_entropy(0x5077_0002));
    one.score(3);
    other.score(3);
    let is_connected = |event: &Event| matches!(event, Event::Connected { .. });
    let first = Resident::start(&one, one.config(&broker.url()));
    first.wait("the first to connect", is_connected);
    wait_until_delivered(&one);
    let second = Resident::start(&other, other.config(&broker.url()));
    let contested = |event: &Event| *event == Event::AnotherBox;
    first.wait("the first to know", contested);
    second.wait("the second to know", contested);
    wait_until_delivered(&other);
    first.stop();
    second.stop();
    assert!(one.backlog().taken_over > 0 && other.backlog().taken_over > 0);
}

#[test]
fn a_box_that_comes_back_is_not_two() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let mut broker = Broker::start().unwrap();
    let _subscriber = broker.subscribe_for_good(&["sotto/#"], "collector").unwrap();
    let mut site = Site::new();
    for ends in 0..3 {
        site.score(2);
        let uplink = Resident::start(&site, site.config(&broker.url()));
        wait_until_delivered(&site);
        // Under the same process, and under the next.
        broker.restart().unwrap();
        site.score(2);
        wait_until_delivered(&site);
        let events = uplink.stop();
        assert!(!events.contains(&Event::AnotherBox), "life {ends}: {events:?}");
    }
    assert_eq!(site.backlog().taken_over, 0);
}
