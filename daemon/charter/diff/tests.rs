use super::*;

const BEFORE: &str = r#"version = "1"
profile = "uk"
kpis = ["talk_balance"]
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[[audience]]
name = "supervisors"
why = "Coach the team"
outputs = ["scores"]
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
"#;

fn compared(from: &str, to: &str) -> (Vec<Change>, Vec<AudienceChange>) {
    assert!(BEFORE.contains(from));
    let (before, after) = (Charter::parse(BEFORE).unwrap(), Charter::parse(&BEFORE.replacen(from, to, 1)).unwrap());
    (changes(&before, &after), audiences(&before, &after))
}

#[test]
fn nothing_differs_from_itself() {
    assert_eq!(compared("7", "7"), (Vec::new(), Vec::new()));
}

#[test]
fn each_change_is_named_and_weighed() {
    for (from, to, field, effect) in [
        ("scores_days = 7", "scores_days = 8", "retention.scores_days", Effect::Wider),
        ("scores_days = 7", "scores_days = 6", "retention.scores_days", Effect::Narrower),
        ("kpis = [\"talk_balance\"]", "kpis = [\"talk_balance\"]\ndetail = [\"talk_balance\"]", "detail.talk_balance", Effect::Wider),
        ("kpis = [\"talk_balance\"]", "kpis = [\"talk_balance\"]\nnames_agents = true", "names_agents", Effect::Wider),
        ("customer = \"notice\"", "trunk = \"sip:*@a\"\ncustomer = \"notice\"", "consent.001.trunk", Effect::Narrower),
        ("2027-05-01", "2027-06-01", "purpose.talk_balance.review_by", Effect::Wider),
        ("get to speak", "speak", "purpose.talk_balance.why", Effect::Other),
        ("[retention]", "[exclude]\nnumbers = [\"112\"]\n[retention]", "exclude.numbers.112", Effect::Narrower),
        ("[retention]", "[sampling]\npercent = 5\n[retention]", "sampling.percent", Effect::Narrower),
        ("outputs = [\"scores\"]", "outputs = [\"scores\", \"box\"]", "audience.supervisors.outputs", Effect::Wider),
    ] {
        let (changes, _) = compared(from, to);
        assert_eq!(changes.iter().map(|change| (change.field.as_str(), change.effect)).collect::<Vec<_>>(), [(field, effect)], "{to}");
    }
}

#[test]
fn audiences_gain_and_lose() {
    let (_, audiences) = compared("kpis = [\"talk_balance\"]", "kpis = [\"talk_balance\"]\ndetail = [\"talk_balance\"]");
    assert_eq!(audiences, [AudienceChange { audience: "supervisors".into(), gains: vec!["scores: talk_balance with detail".into()], loses: Vec::new() }]);
    let (_, audiences) = compared("name = \"supervisors\"", "name = \"coaches\"");
    assert_eq!(audiences.iter().map(|change| (change.audience.as_str(), change.gains.len(), change.loses.len())).collect::<Vec<_>>(), [("coaches", 2, 0), ("supervisors", 0, 2)]);
}
