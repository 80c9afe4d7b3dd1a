use crate::{Charter, Date, Decision, Group};

const GOOD: &str = r#"version = "2026-11"
profile = "eu"
kpis = ["talk_balance", "silence"]
detail = ["talk_balance"]

[[consent]]
match = "4989*"
customer = "given"
agent = "agreement"

[[consent]]
match = "*"
customer = "notice"
notice = "N-3"
agent = "agreement"

[retention]
scores_days = 7

[[purpose]]
metric = "talk_balance"
why = "See whether customers get to speak"
basis = "legitimate interest"
review_by = "2027-05-01"

[[purpose]]
metric = "silence"
why = "Find where our systems make people wait"
basis = "legitimate interest"
review_by = "2027-05-01"
"#;

fn refusal(from: &str, to: &str) -> crate::CharterError {
    assert!(GOOD.contains(from), "the test's own text");
    Charter::parse(&GOOD.replacen(from, to, 1)).expect_err("this charter must be refused")
}

#[test]
fn a_good_charter_is_read() {
    let charter = Charter::parse(GOOD).unwrap();
    assert_eq!(charter.kpis, [Group::TalkBalance, Group::Silence]);
    assert!(charter.needs_words(), "talk speed is a detail field of talk_balance");
    assert_eq!(charter.consent("5550100", "1001"), Decision::Given(1));
    assert_eq!(charter.consent("498912345", "1001"), Decision::AwaitingEvidence(0));
}

#[test]
fn a_metric_stops_past_its_date_of_review() {
    let charter = Charter::parse(GOOD).unwrap();
    assert!(charter.is_active(Group::Silence, Date::constant(2027, 5, 1)));
    assert!(!charter.is_active(Group::Silence, Date::constant(2027, 5, 2)));
    assert!(!charter.is_active(Group::Interruptions, Date::constant(2026, 1, 1)));
}

#[test]
fn each_refusal_names_its_line() {
    assert_eq!(refusal("profile = \"eu\"", "profile = \"mars\"").line, 2);
    assert_eq!(refusal("\"silence\"]", "\"silence\", \"mood\"]").line, 3);
    assert_eq!(refusal("scores_days = 7", "scores_days = 30").line, 18);
    assert_eq!(refusal("scores_days = 7", "scores_days = 7\ncolour = 1").line, 19);
    assert_eq!(refusal("metric = \"silence\"", "metric = \"keywords\"").line, 3);
    assert_eq!(refusal("review_by = \"2027-05-01\"", "review_by = \"soon\"").line, 24);
    assert_eq!(refusal("detail = [\"talk_balance\"]", "detail = [\"interruptions\"]").line, 4);
}

#[test]
fn what_is_not_built_is_refused() {
    let error = refusal("\"silence\"]", "\"sentiment_customer\"]");
    assert!(error.to_string().contains("not built"), "{error}");
}

#[test]
fn keys_are_the_charters_own_and_unambiguous() {
    let with = |keys: &str| Charter::parse(&format!("{GOOD}\n[keys]\n{keys}"));
    assert_eq!(Charter::parse(GOOD).unwrap().keys, crate::Keys::default());
    let keys = with("objection = \"*9\"\npause = \"*7\"\nresume = \"*8\"").unwrap().keys;
    assert_eq!((keys.objection.as_str(), keys.pause.as_str(), keys.resume.as_str()), ("*9", "*7", "*8"));
    let lines = GOOD.lines().count();
    for (keys, line) in [
        ("objection = \"\"", 3),
        ("objection = \"hello\"", 3),
        ("objection = \"123456789\"", 3),
        ("objection = \"*9\"\npause = \"9\"\nresume = \"8\"", 4),
        ("pause = \"*7\"", 3),
        ("resume = \"*8\"", 3),
        ("mute = \"*8\"", 3),
    ] {
        let error = with(keys).expect_err(keys);
        assert_eq!(error.line, lines + line, "{keys}: {error}");
    }
}

#[test]
fn six_kpis_are_too_many() {
    let error = refusal("\"silence\"]", "\"silence\", \"interruptions\", \"keywords\", \"resolution\", \"sensitive\"]");
    assert_eq!((error.line, error.rule), (3, "few numbers: at most 5 KPIs"));
    assert!(refusal("\"silence\"]", "\"talk_balance\"]").to_string().contains("twice"));
}

#[test]
fn no_consent_rule_means_no_consent() {
    let none = GOOD.replace("match = \"*\"", "match = \"777\"");
    assert_eq!(Charter::parse(&none).unwrap().consent("5550100", "1001"), Decision::NoRule);
}

#[test]
fn every_prefix_of_a_charter_is_read_or_refused_without_a_panic() {
    for end in 0..GOOD.len() {
        let _ = Charter::parse(&GOOD[..end]);
    }
}
