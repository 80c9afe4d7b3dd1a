//! People are told what the box does, by the charter that is in force: on the topic `notice`, on paper, and what a new charter would change.

use serde_json::Value;
use sotto_tests::broker::Broker;
use sotto_tests::process::{PATIENCE, Running, run, skip};
use sotto_tests::schema::validate;
use sotto_tests::site::{CHARTER, Site, config};

fn told(site: &Site, arguments: &[&str]) -> String {
    let output = run(site.sotto().unwrap().args(arguments)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_notice_that_is_published_is_the_one_that_is_printed() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start().unwrap();
    let charter = CHARTER.replace("detail = [\"talk_balance\"]", "detail = [\"talk_balance\"]\nlanguages = [\"de\", \"en\"]");
    let site = Site::new(&config(None, Some(&broker.url())), &charter).unwrap();
    let _uplink = Running::start(site.sotto().unwrap().arg("uplink")).unwrap();
    let first = broker.subscribe(&["sotto/v1/+/+/notice"]).unwrap();
    first.wait("the notice", PATIENCE, |came| !came.is_empty()).unwrap();
    // Who comes later has it, too.
    let late = broker.subscribe(&["sotto/v1/+/+/notice"]).unwrap();
    let came = late.wait("the notice", PATIENCE, |came| !came.is_empty()).unwrap();
    assert!(came[0].retained);
    let notice = validate(&came[0].topic, &came[0].payload).unwrap();
    for (key, language) in [("text_en", "en"), ("text_de", "de")] {
        assert_eq!(notice[key], told(&site, &["notice", "--format", "markdown", "--language", language]), "{language}");
    }
    let printed: Value = serde_json::from_str(&told(&site, &["notice", "--json"])).unwrap();
    assert_eq!((&printed["language"], &printed["charter"]), (&"de".into(), &notice["charter"]));
    // The site's lists of words are in the charter, and nobody else's business.
    assert!(!came[0].payload.windows(6).any(|window| window == b"refund"));
}

#[test]
fn a_new_charter_says_what_it_would_change_and_for_whom() {
    let audience = "[[audience]]\nname = \"supervisors\"\nwhy = \"To coach\"\noutputs = [\"scores\"]\n";
    let site = Site::new(&config(None, None), &format!("{CHARTER}{audience}")).unwrap();
    let after = format!("{CHARTER}{audience}").replace("scores_days = 7", "scores_days = 8").replace("\"interruptions\", ", "");
    let after = site.write("after.toml", after).unwrap();
    let before = site.path("charter.toml");
    let diff = |arguments: &[&str]| run(site.sotto().unwrap().args(["charter", "diff"]).arg(&before).args(arguments)).unwrap();
    let output = diff(&[after.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes: Vec<(&str, &str)> = report["changes"].as_array().unwrap().iter().map(|change| (change["field"].as_str().unwrap(), change["effect"].as_str().unwrap())).collect();
    assert!(changes.contains(&("retention.scores_days", "wider")) && changes.contains(&("kpis.interruptions", "narrower")), "{report}");
    assert_eq!((&report["audiences"][0]["audience"], &report["audiences"][0]["loses"][0]), (&"supervisors".into(), &"scores: interruptions".into()));
    let text = String::from_utf8(diff(&[after.to_str().unwrap()]).stdout).unwrap();
    assert!(text.contains("more than before") && text.contains("~ retention.scores_days: 7 -> 8") && text.contains("for supervisors"), "{text}");
    assert_eq!(diff(&[before.to_str().unwrap()]).status.code(), Some(0));
}
