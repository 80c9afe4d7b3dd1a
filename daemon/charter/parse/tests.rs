use crate::{Charter, Date, Group};

const GOOD: &str = r#"version = "2026-11"
profile = "eu"
kpis = ["talk_balance", "silence"]
detail = ["talk_balance"]

[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"

[agreement]
name = "Agreement on spot checks"
parties = ["Harbor Telecom", "Works council"]
signed = "2026-10-01"

[evidence]
sip_header = "X-Consent"
given = "yes"
refused = "no"

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
    assert_eq!((charter.consent.len(), charter.retention.audit_days, charter.sampling_percent), (2, 400, 100));
    assert_eq!(charter.shown_to_agents, charter.kpis);
    assert_eq!(charter.evidence.sip_header, "x-consent");
    let down = charter.standing_down();
    assert!(!down.needs_sound() && down.consent.is_empty() && down.fingerprint() == charter.fingerprint());
}

#[test]
fn a_metric_stops_past_its_date_of_review() {
    let charter = Charter::parse(GOOD).unwrap();
    assert!(charter.is_active(Group::Silence, Date::constant(2027, 5, 1)));
    assert!(!charter.is_active(Group::Silence, Date::constant(2027, 5, 2)));
    assert!(!charter.is_active(Group::Interruptions, Date::constant(2026, 1, 1)));
}

/// The line, from 1, of the first occurrence of `part`.
fn line_of(part: &str) -> usize {
    1 + GOOD[..GOOD.find(part).unwrap()].matches('\n').count()
}

#[test]
fn each_refusal_names_its_line() {
    for (from, to, at, further) in [
        ("profile = \"eu\"", "profile = \"mars\"", "profile", 0),
        ("\"silence\"]", "\"silence\", \"mood\"]", "kpis", 0),
        ("\"silence\"]", "\"silence\", \"tone_agent\"]", "kpis", 0),
        ("\"silence\"]", "\"silence\", \"sentiment_agent\"]", "kpis", 0),
        ("scores_days = 7", "scores_days = 30", "scores_days", 0),
        ("scores_days = 7", "scores_days = 7\ncolour = 1", "scores_days", 1),
        ("metric = \"silence\"", "metric = \"keywords\"", "kpis", 0),
        ("review_by = \"2027-05-01\"", "review_by = \"soon\"", "review_by", 0),
        ("detail = [\"talk_balance\"]", "detail = [\"interruptions\"]", "detail", 0),
        ("profile = \"eu\"", "profile = \"eu\"\nplaces = [\"Germany\"]", "profile", 1),
        ("profile = \"eu\"", "profile = \"eu\"\nlanguages = [\"fr\"]", "profile", 1),
        ("signed = \"2026-10-01\"", "signed = \"2026-10-01\"\nuntil = \"2026-09-01\"", "signed", 1),
        ("refused = \"no\"", "refused = \"YES\"", "refused", 0),
        ("sip_header = \"X-Consent\"", "sip_header = \"X Consent\"", "sip_header", 0),
    ] {
        assert_eq!(refusal(from, to).line, line_of(at) + further, "{to}");
    }
}

/// What each rule of law refuses, where, and with which source.
#[test]
fn a_charter_may_be_stricter_than_its_profile_and_never_laxer() {
    let all = "\"talk_balance\", \"silence\"]";
    for (from, to, source) in [
        (all, "\"talk_balance\", \"silence\", \"delivery_agent\"]", "CNIL SAN-2023-021"),
        ("scores_days = 7", "scores_days = 15", "GDPR 5(1)(e)"),
        ("scores_days = 7", "scores_days = 7\naudit_days = 30", "AI Act 26(6)"),
        ("[controller]\nname = \"Harbor Telecom\"\ncontact = \"privacy@harbor.example\"\n", "", "GDPR 13"),
        ("notice = \"N-3\"\n", "", "AI Act 50(3)"),
        ("[agreement]\nname = \"Agreement on spot checks\"\nparties = [\"Harbor Telecom\", \"Works council\"]\nsigned = \"2026-10-01\"\n", "", "BetrVG 87(1) no. 6"),
        (all, "\"talk_balance\", \"tone_customer\"]", "NAIH"),
        ("detail = [\"talk_balance\"]", "places = [\"DE\"]", "StGB 201"),
        ("detail = [\"talk_balance\"]", "places = [\"FR\"]", "CNIL"),
    ] {
        let error = refusal(from, to);
        assert!(error.source.contains(source), "{to}: {error}");
        assert!(error.line > 0, "{to}: {error}");
    }
    // An agent's voice.
    let text = GOOD.replace("[\"talk_balance\", \"silence\"]", "[\"delivery_agent\"]").replace("detail = [\"talk_balance\"]", "detail = [\"delivery_agent\"]");
    let error = Charter::parse(&text).unwrap_err();
    assert_eq!((error.line, error.source), (line_of("detail"), "AI Act 5(1)(f)"));
    // Stricter is allowed.
    for (from, to) in [("scores_days = 7", "scores_days = 1"), ("detail = [\"talk_balance\"]", "shown_to_agents = [\"silence\"]\n[sampling]\npercent = 5")] {
        assert!(Charter::parse(&GOOD.replacen(from, to, 1)).is_ok(), "{to}");
    }
}

#[test]
fn both_parties_of_a_german_call_say_yes() {
    let german = GOOD
        .replacen("match = \"*\"\ncustomer = \"notice\"\nnotice = \"N-3\"", "match = \"*\"\ncustomer = \"given\"", 1)
        .replacen("profile = \"eu\"", "profile = \"eu\"\nplaces = [\"DE\"]", 1);
    let error = Charter::parse(&german).unwrap_err();
    assert!(error.what.contains("agent must be"), "{error}");
    let both = german.replace("agent = \"agreement\"", "agent = \"acknowledged\"");
    let error = Charter::parse(&both).unwrap_err();
    assert!(error.source.contains("BayLDA"), "{error}");
    assert!(Charter::parse(&format!("{both}[sampling]\npercent = 5\n")).is_ok());
}

#[test]
fn the_stricter_state_wins() {
    let text = GOOD.replacen("profile = \"eu\"", "profile = \"us-one-party\"\nplaces = [\"US-NY\", \"US-CA\"]", 1);
    let error = Charter::parse(&text).unwrap_err();
    assert!(error.line == 2 && error.source.contains("Penal Code 632"), "{error}");
    assert!(Charter::parse(&text.replace("us-one-party", "us-all-party")).is_ok());
    assert!(Charter::parse(&text.replace(", \"US-CA\"", "")).is_ok());
}

#[test]
fn consent_rules_that_contradict_each_other_are_refused() {
    let again = GOOD.replacen("[retention]", "[[consent]]\nmatch = \"77*\"\ncustomer = \"given\"\nagent = \"agreement\"\n[retention]", 1);
    assert!(Charter::parse(&again).unwrap_err().what.contains("rule 2 matches all"), "behind `*`");
    let twice = GOOD.replacen("match = \"*\"", "match = \"4989*\"", 1);
    assert!(Charter::parse(&twice).unwrap_err().what.contains("rule 1 matches all"));
    let deaf = GOOD.replacen("[evidence]\nsip_header = \"X-Consent\"\ngiven = \"yes\"\nrefused = \"no\"\n", "", 1);
    assert!(Charter::parse(&deaf).unwrap_err().what.contains("nothing could bring the yes"));
    assert!(Charter::parse(&format!("{deaf}[keys]\nconsent = \"*1\"\n")).is_ok());
}

#[test]
fn what_is_not_built_is_refused() {
    let uk = GOOD.replacen("profile = \"eu\"", "profile = \"uk\"", 1).replacen("\"silence\"]", "\"tone_customer\"]", 1);
    let error = Charter::parse(&uk).expect_err("this charter must be refused");
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
        ("consent = \"*1\"\nprivate = \"*12\"", 4),
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
fn every_prefix_of_a_charter_is_read_or_refused_without_a_panic() {
    for end in 0..GOOD.len() {
        let _ = Charter::parse(&GOOD[..end]);
    }
}

#[test]
fn lists_have_their_ways_of_hearing_and_none_aims_at_what_is_nobodys_business() {
    let with = |category: &str| Charter::parse(&format!("{GOOD}\n[[category]]\nname = \"x\"\n{category}"));
    let lists = with("like = [\"I want to leave\", \"close my account\"]\nunlike = [\"I want to stay\"]\nnearness = \"inflected\"").unwrap().categories;
    let list = lists.last().unwrap();
    assert_eq!((list.like.len(), list.unlike.len(), list.phrases.len(), list.nearness), (2, 1, 0, crate::Nearness::Inflected));
    for (category, rule) in [
        ("heard = \"agent\"", "the charter's format"),
        ("phrases = [\"x\"]\nnearness = \"far\"", "the charter's format"),
        ("phrases = []", "the charter's format"),
        ("phrases = [\"my diagnosis\"]", "special categories"),
        ("like = [\"I am in the union\"]", "special categories"),
    ] {
        let error = with(category).unwrap_err().to_string();
        assert!(error.contains(rule), "{error}");
    }
}
