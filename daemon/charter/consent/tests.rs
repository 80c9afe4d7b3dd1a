use super::*;

const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = []
[[consent]]
match = "4989*"
customer = "given"
agent = "acknowledged"
[[consent]]
match = "*"
trunk = "sip:*@carrier.example"
customer = "notice"
notice = "N-3"
agent = "agreement"
[exclude]
numbers = ["+4930112"]
lines = ["council"]
agents = ["sip:1009@*"]
[keys]
consent = "*1"
[sampling]
percent = 25
[retention]
scores_days = 7
"#;

const STANDS: AgentStanding = AgentStanding { has_acknowledged: true, has_objected: false, is_paused: false };

/// An agent calls `number`, which comes by the carrier.
fn between<'a>(number: &'a str, standing: AgentStanding) -> Between<'a> {
    Between { numbers: ["1001", number], identities: ["sip:1001@pbx.example", "sip:x@carrier.example"], agent: Some(0), line: None, standing }
}

fn charter() -> Charter {
    Charter::parse(CHARTER).unwrap()
}

fn told(charter: &Charter, news: News<'_>) -> Decision {
    let mut consenting = Consenting::new(true);
    consenting.hear(charter, news, None);
    consenting.decision()
}

#[test]
fn the_first_rule_that_matches_decides_and_says_by_what() {
    let charter = charter();
    let parties = |between| told(&charter, News::Parties(between));
    assert_eq!(parties(between("555", STANDS)), Decision { standing: Standing::Given, why: Why::Announced, rule: Some(1) });
    assert_eq!(parties(between("4989555", STANDS)), Decision { standing: Standing::Unknown, why: Why::NoYes, rule: Some(0) });
    let stranger = Between { identities: ["sip:1001@pbx.example", "sip:x@other.example"], ..between("555", STANDS) };
    assert_eq!(parties(stranger), Decision { standing: Standing::Unknown, why: Why::NoRule, rule: None }, "an unknown trunk");
}

#[test]
fn what_the_charter_excludes_is_out() {
    let charter = charter();
    let why = |between| told(&charter, News::Parties(between)).why;
    assert_eq!(why(between("+4930112", STANDS)), Why::ExcludedNumber);
    assert_eq!(why(Between { line: Some("council"), ..between("555", STANDS) }), Why::ExcludedLine);
    let representative = Between { identities: ["sip:1009@pbx.example", "sip:x@carrier.example"], ..between("555", STANDS) };
    assert_eq!(why(representative), Why::ExcludedAgent);
    assert_eq!(why(Between { agent: Some(1), ..representative }), Why::Announced, "the customer is no agent of that list");
    assert_eq!(why(Between { agent: None, ..representative }), Why::ExcludedAgent, "who knows");
    assert_eq!(why(between("555", AgentStanding { has_objected: true, ..STANDS })), Why::ExcludedAgent);
}

#[test]
fn both_say_yes_each_for_itself() {
    let charter = charter();
    let absent = AgentStanding::default();
    for (standing, agent, expected) in
        [(STANDS, Some(0), (Standing::Given, Why::YesByKey)), (absent, Some(0), (Standing::Unknown, Why::NotAcknowledged)), (STANDS, None, (Standing::Unknown, Why::NotAcknowledged))]
    {
        let parties = Between { agent, ..between("4989555", standing) };
        let mut consenting = Consenting::new(true);
        consenting.hear(&charter, News::Parties(parties), None);
        assert_eq!(consenting.decision().why, Why::NoYes);
        let decision = consenting.hear(&charter, News::Yes(Why::YesByKey), Some(&parties)).unwrap();
        assert_eq!((decision.standing, decision.why), expected);
    }
    // The yes may come first.
    let mut consenting = Consenting::new(true);
    assert_eq!(consenting.hear(&charter, News::Yes(Why::YesByHeader), None), None);
    assert!(consenting.hear(&charter, News::Parties(between("4989555", STANDS)), None).is_some() && consenting.is_given());
}

#[test]
fn a_no_is_final_and_private_is_more() {
    let charter = charter();
    let parties = between("4989555", STANDS);
    let mut consenting = Consenting::new(true);
    consenting.hear(&charter, News::Parties(parties), None);
    consenting.hear(&charter, News::Yes(Why::YesByKey), Some(&parties));
    assert!(consenting.is_given());
    assert_eq!(consenting.hear(&charter, News::No(Why::ObjectionByKey), Some(&parties)).unwrap().standing, Standing::Refused);
    for news in [News::Yes(Why::YesByHeader), News::Parties(parties), News::No(Why::NoByHeader)] {
        assert_eq!(consenting.hear(&charter, news, Some(&parties)), None);
    }
    assert_eq!(consenting.hear(&charter, News::Private, Some(&parties)).unwrap().standing, Standing::Excluded);
    assert_eq!(consenting.hear(&charter, News::Private, Some(&parties)), None);
}

#[test]
fn consent_falls_away_with_the_party_that_gave_it() {
    let charter = charter();
    let mut consenting = Consenting::new(true);
    consenting.hear(&charter, News::Parties(between("555", STANDS)), None);
    assert!(consenting.is_given());
    let another = Between { identities: ["sip:1001@pbx.example", "sip:x@other.example"], ..between("555", STANDS) };
    assert_eq!(consenting.hear(&charter, News::Parties(another), None).unwrap().why, Why::NoRule);
}

#[test]
fn spot_checks_draw_their_share() {
    let charter = charter();
    let drawn = (0..10_000u64).filter(|call| charter.is_drawn(call.wrapping_mul(0x9e37_79b9_7f4a_7c15))).count();
    assert!((2_300..2_700).contains(&drawn), "{drawn} of 10,000 at 25 %");
    assert!(charter.is_drawn(0) && !charter.is_drawn(u64::MAX));
    let mut consenting = Consenting::new(false);
    let decision = consenting.hear(&charter, News::Parties(between("555", STANDS)), None).unwrap();
    assert_eq!((decision.standing, decision.why), (Standing::NotSampled, Why::NotDrawn));
    assert_eq!(consenting.hear(&charter, News::No(Why::ObjectionByKey), None).unwrap().standing, Standing::Refused);
}

/// Of every sequence of seven pieces of news: nothing is given after a no, and nothing without a rule.
#[test]
fn no_order_of_events_gives_what_was_refused() {
    let charter = charter();
    let covered = between("555", STANDS);
    let asks = between("4989555", STANDS);
    let stranger = Between { identities: ["sip:1001@pbx.example", "sip:x@other.example"], ..covered };
    let news = [News::Parties(covered), News::Parties(asks), News::Parties(stranger), News::Yes(Why::YesByKey), News::No(Why::ObjectionByKey), News::Private];
    for mut sequence in 0..6usize.pow(6) {
        let mut consenting = Consenting::new(true);
        let (mut parties, mut refused) = (None, false);
        for _ in 0..6 {
            let ordinal = sequence % 6;
            sequence /= 6;
            if let News::Parties(between) = news[ordinal] {
                parties = Some(between);
            }
            refused |= ordinal >= 4;
            consenting.hear(&charter, news[ordinal], parties.as_ref());
            assert!(!(refused && consenting.is_given()));
            assert!(!consenting.is_given() || consenting.decision().rule.is_some());
        }
    }
}
