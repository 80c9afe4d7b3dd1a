//! Who is not named in the charter reads nothing at the broker, and who is reads what it says; only the box writes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sotto_tests::broker::{Broker, Subscriber};
use sotto_tests::process::{PATIENCE, installed, run, skip};
use sotto_tests::site::{Site, config};

const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = []
[[audience]]
name = "supervisors"
why = "To coach their teams"
outputs = ["scores"]
[[audience]]
name = "operators"
why = "To keep the box running"
outputs = ["box"]
[retention]
scores_days = 7
"#;

const BOX: &str = "sotto-box-1";

fn site() -> Site {
    let text = config(None, Some("mqtt://127.0.0.1:1")).replace("[uplink]\n", "[uplink]\nuser = \"sotto-box-1\"\n");
    Site::new(&text, CHARTER).unwrap()
}

fn password(file: &Path, user: &str) {
    let create: &[&str] = if file.exists() { &["-b"] } else { &["-c", "-b"] };
    assert!(run(Command::new("mosquitto_passwd").args(create).arg(file).args([user, user])).unwrap().status.success(), "{user}");
}

fn publish(broker: &Broker, user: &str, topic: &str) {
    let status = run(Command::new("mosquitto_pub").args(["-V", "mqttv5", "-h", "127.0.0.1", "-q", "1", "-p"]).arg(broker.port().to_string()).args(["-u", user, "-P", user, "-t", topic, "-m", user]));
    // What a broker refuses, it refuses in silence.
    drop(status);
}

#[test]
fn the_brokers_rules_are_the_charters_audiences() {
    if !Broker::is_installed() || !installed("mosquitto_passwd") {
        return skip("mosquitto is not installed");
    }
    let site = site();
    let output = run(site.sotto().unwrap().args(["acl", "mosquitto"])).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let acl = site.write("acl", &output.stdout).unwrap();
    let passwords = site.path("passwords");
    for user in [BOX, "supervisors", "operators", "stranger"] {
        password(&passwords, user);
    }
    let broker = Broker::start_with(&format!("password_file {}\nacl_file {}", passwords.display(), acl.display())).unwrap();
    // Everybody asks for everything.
    let reader = |user: &str| Subscriber::start(&broker, &["#"], &["-u", user, "-P", user]).unwrap();
    let (supervisors, operators, stranger) = (reader("supervisors"), reader("operators"), reader("stranger"));
    let anonymous = Subscriber::start(&broker, &["#"], &[]).unwrap();
    let topics = ["call/score", "call/withdrawn", "health", "status", "coverage", "notice"].map(|topic| format!("sotto/v1/harbor/rec-1/{topic}"));
    for topic in &topics {
        publish(&broker, BOX, topic);
        publish(&broker, "supervisors", topic);
    }
    publish(&broker, BOX, "sotto/v1/harbor/rec-2/call/score");
    publish(&broker, BOX, "sotto-agent/v1/harbor/0123/score");
    publish(&broker, BOX, "sotto/v1/harbor/rec-1/notice");
    let heard = |reader: &Subscriber, count: usize| {
        let came = reader.wait("what may be read", PATIENCE, |came| came.len() >= count).unwrap();
        assert!(came.iter().all(|message| message.payload == BOX.as_bytes()), "only the box writes");
        let mut topics: Vec<String> = came.into_iter().map(|message| message.topic.trim_start_matches("sotto/v1/harbor/rec-1/").to_owned()).collect();
        topics.sort();
        topics.dedup();
        topics
    };
    // The last notice comes after all else.
    assert_eq!(heard(&supervisors, 4), ["call/score", "call/withdrawn", "notice"]);
    assert_eq!(heard(&operators, 5), ["coverage", "health", "notice", "status"]);
    assert!(stranger.wait("nothing", Duration::from_millis(300), |came| !came.is_empty()).is_err());
    assert!(anonymous.messages().is_empty());
}

#[test]
fn an_audience_cannot_be_the_box() {
    let text = config(None, Some("mqtt://127.0.0.1:1")).replace("[uplink]\n", "[uplink]\nuser = \"supervisors\"\n");
    let output = run(Site::new(&text, CHARTER).unwrap().sotto().unwrap().args(["acl", "mosquitto"])).unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could write scores"));
}
