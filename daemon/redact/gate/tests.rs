use sotto_private::{Call, Estimate, FarEnd, LegTalk, Origin, StreamFacts};

use super::*;

const CHARTER: &str = r#"version = "1"
profile = "eu"
kpis = ["talk_balance", "silence"]
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[agreement]
name = "Agreement 7"
parties = ["Harbor Telecom", "Works council"]
signed = "2026-10-01"
[retention]
scores_days = 7
[[purpose]]
metric = "talk_balance"
why = "a"
basis = "b"
review_by = "2030-01-01"
[[purpose]]
metric = "silence"
why = "a"
basis = "b"
review_by = "2030-01-01"
"#;

fn findings() -> Findings {
    let talk = LegTalk { talk_time_ms: Ok(Estimate { value: 30_049.0, plus_minus: 301.0 }), talk_speed_wpm: Ok(Estimate { value: 151.0, plus_minus: 9.0 }) };
    Findings {
        call: Call(1),
        offered: Wall::from_micros(1_790_000_000_000_000),
        ringing: None,
        answered: Some(Wall::from_micros(1_790_000_004_000_000)),
        ended: Wall::from_micros(1_790_000_064_049_000),
        cause: EndCause::HungUp,
        hold_micros: 0,
        hold_count: 0,
        origin: Origin::Invite,
        continues: None,
        label: Label::AgentCalled,
        consent: Consent::Given,
        team: Some(0),
        line: Some(2),
        codec: None,
        streams: [None::<StreamFacts>, None],
        quality: [Ok(4.41), Err(Reason::OneLegged)],
        scored_fraction: 1.0,
        unpaused: 1.0,
        agent: None,
        level: Level::All,
        talk: Some(TalkBalance {
            legs: [talk, LegTalk { talk_time_ms: Err(Reason::OneLegged), talk_speed_wpm: Err(Reason::OneLegged) }],
            longest_monologue_agent_ms: Err(Reason::OneLegged),
            confidence: 0.9,
        }),
        interruptions: Some(Interruptions { counts: [Ok(Estimate { value: 1.0, plus_minus: 0.0 }); 2], overlap_ms: Err(Reason::Jitter), confidence: 0.9 }),
        silence: None,
        keywords: None,
        sentiment: None,
        resolution: None,
        sensitive: None,
    }
}

const BEFORE: CallId = CallId { epoch: 1, seq: 7 };

fn sealed(findings: &Findings) -> Closing {
    let charter = Charter::parse(CHARTER).unwrap();
    let terms = Terms { charter: &charter, models: None, continues: findings.continues.map(|_| BEFORE), now: findings.ended, made: findings.ended };
    gate(findings, CallId { epoch: 1, seq: 1 }, terms).into_inner()
}

#[test]
fn numbers_leave_rounded_and_only_those_agreed() {
    let score = sealed(&findings()).score.unwrap();
    assert_eq!(score.value(Field::CallDurationMs), Some(60_000.0));
    assert_eq!(score.value(Field::TalkTimeAgentMs), Some(30_000.0));
    assert_eq!(score.unavailable(Field::TalkTimeCustomerMs), Some(report::Reason::OneLegged));
    assert_eq!(score.value(Field::TalkSpeedAgentWpm), None, "detail was not agreed");
    assert_eq!(score.value(Field::InterruptionsAgentCount), None, "interruptions are not a kpi here");
    assert_eq!(score.direction, Some(Direction::Inbound));
}

fn stream() -> StreamFacts {
    StreamFacts {
        codec: sotto_private::Codec::Pcmu,
        packets: 900,
        lost: 100,
        reordered: 0,
        duplicated: 0,
        jitter_micros: 0,
        undecodable: 0,
        encrypted: 0,
        foreign: 0,
        far_end: None,
    }
}

#[test]
fn what_the_receivers_had_and_the_tap_had_not_is_the_taps_loss() {
    let ppm = |streams| {
        let score = sealed(&Findings { streams, ..findings() }).score.unwrap();
        (score.value(Field::TapLossPpm), score.unavailable(Field::TapLossPpm))
    };
    assert_eq!(ppm([Some(stream()), None]), (None, Some(report::Reason::NoRtcp)));
    let reported = |expected, lost, missed| Some(StreamFacts { far_end: Some(FarEnd { expected, lost, missed }), ..stream() });
    assert_eq!(ppm([reported(1_000, 0, 40), Some(stream())]).0, Some(40_000.0));
    assert_eq!(ppm([reported(1_000, 10, 40), reported(3_000, 500, 20)]).0, Some(7_500.0), "what the receiver lost beyond the tap is none of its");
}

#[test]
fn sound_that_nobody_has_the_key_of_is_the_reason_for_signalling_alone() {
    let encrypted = Some(StreamFacts { encrypted: 900, undecodable: 900, ..stream() });
    let closing = sealed(&Findings { streams: [encrypted; 2], scored_fraction: 0.0, ..findings() });
    assert_eq!((closing.outcome, closing.reason), (Outcome::SignallingOnly, Some(report::Reason::Encrypted)));
}

#[test]
fn of_sound_without_signalling_only_what_is_known_is_said() {
    let score = sealed(&Findings { origin: Origin::SoundAlone, ..findings() }).score.unwrap();
    let values = [Field::RingMs, Field::HoldMs, Field::HoldCount].map(|field| score.value(field));
    assert_eq!((values, score.direction), ([None; 3], None));
    assert_eq!(score.value(Field::CallDurationMs), Some(60_000.0));
}

#[test]
fn a_score_says_what_was_left_out_and_a_call_of_which_all_was_is_shed() {
    let closing = sealed(&Findings { level: Level::SampledCalls, ..findings() });
    assert_eq!((closing.outcome, closing.score.unwrap().value(Field::ShedLevel)), (Outcome::Scored, Some(2.0)));
    let closing = sealed(&Findings { level: Level::RtpStatistics, scored_fraction: 0.0, ..findings() });
    assert_eq!((closing.outcome, closing.score.unwrap().value(Field::ShedLevel)), (Outcome::Shed, Some(4.0)));
    let closing = sealed(&Findings { level: Level::RtpStatistics, scored_fraction: 0.5, ..findings() });
    assert_eq!(closing.outcome, Outcome::Scored);
    let closing = sealed(&Findings { level: Level::Signalling, scored_fraction: 0.0, consent: Consent::Unknown, ..findings() });
    assert_eq!(closing.outcome, Outcome::SignallingOnly, "it would not have been decoded at any level");
}

#[test]
fn without_consent_neither_team_nor_line() {
    let closing = sealed(&Findings { consent: Consent::Unknown, ..findings() });
    assert_eq!((closing.outcome, closing.reason), (Outcome::SignallingOnly, Some(report::Reason::Consent)));
    let score = closing.score.unwrap();
    assert_eq!((score.team, score.line), (None, None));
}

#[test]
fn a_story_in_two_calls_is_linked_where_there_is_consent() {
    let continues = |consent| {
        let closing = sealed(&Findings { continues: Some(Call(9)), consent, ..findings() });
        closing.score.unwrap().continues
    };
    assert_eq!(continues(Consent::Given), Some(BEFORE));
    assert_eq!(continues(Consent::Unknown), None);
    assert_eq!(sealed(&findings()).score.unwrap().continues, None);
}

#[test]
fn each_end_has_its_place_in_the_ledger() {
    let with = |answered: bool, cause| {
        let findings = findings();
        sealed(&Findings { answered: findings.answered.filter(|_| answered), cause, ..findings }).outcome
    };
    assert_eq!(with(true, EndCause::HungUp), Outcome::Scored);
    assert_eq!(with(true, EndCause::CaptureEnded), Outcome::Interrupted);
    assert_eq!(with(true, EndCause::Stopped), Outcome::Interrupted);
    assert_eq!(with(true, EndCause::Evicted), Outcome::Refused);
    assert_eq!(with(false, EndCause::Cancelled), Outcome::Unanswered);
    assert_eq!(with(false, EndCause::CaptureEnded), Outcome::Unanswered);
    assert_eq!(with(false, EndCause::Stopped), Outcome::Interrupted);
}

#[test]
fn a_recording_has_no_line_to_speak_of() {
    let score = sealed(&Findings { origin: Origin::Recording, ..findings() }).score.unwrap();
    assert_eq!((score.direction, score.value(Field::RingMs), score.value(Field::QualityMosAgent)), (None, None, None));
    assert_eq!(score.value(Field::CallDurationMs), Some(60_000.0));
}

#[test]
fn an_unanswered_call_has_no_score() {
    assert_eq!(sealed(&Findings { answered: None, ..findings() }).score, None);
}

#[test]
fn sentiment_resolution_and_what_was_sensitive_leave_where_the_charter_names_them() {
    let estimate = |value| Ok(Estimate { value, plus_minus: 0.9 });
    let found = Findings {
        sentiment: Some(sotto_private::Sentiment {
            overall: estimate(-2.4),
            start: estimate(-4.0),
            end: Err(Reason::TooShort),
            quarters: [estimate(1.0), estimate(1.0), Err(Reason::TooShort), estimate(1.0)],
            confidence: 0.8,
        }),
        resolution: Some(sotto_private::Resolution { is_settled: Ok(Some(false)), confidence: 0.8 }),
        sensitive: Some(sotto_private::Sensitive { cards: estimate(1.0), health: Err(Reason::LowConfidence), identities: estimate(2.0), confidence: 0.8 }),
        ..findings()
    };
    let fields = [Field::SentimentCustomer, Field::SentimentStartCustomer, Field::Resolution, Field::ResolutionSource, Field::CardSpoken, Field::HealthSpoken];
    let unnamed = sealed(&found).score.unwrap();
    assert!(fields.iter().all(|field| unnamed.value(*field).is_none() && unnamed.unavailable(*field).is_none()));
    let purpose = |metric: &str| format!("[[purpose]]\nmetric = \"{metric}\"\nwhy = \"a\"\nbasis = \"b\"\nreview_by = \"2027-05-01\"\n");
    let names = ["sentiment_customer", "resolution", "sensitive"];
    let text = format!(
        "version = \"1\"\nprofile = \"uk\"\nkpis = {names:?}\n[controller]\nname = \"a\"\ncontact = \"b\"\n[retention]\nscores_days = 7\n{}",
        names.map(purpose).concat()
    );
    let charter = Charter::parse(&text).unwrap();
    let terms = Terms { charter: &charter, models: None, continues: None, now: found.ended, made: found.ended };
    let score = gate(&found, CallId { epoch: 1, seq: 8 }, terms).into_inner().score.unwrap();
    assert_eq!(fields.map(|field| score.value(field)), [Some(-2.5), None, Some(1.0), Some(0.0), Some(1.0), None]);
    assert_eq!(score.unavailable(Field::HealthSpoken), Some(report::Reason::LowConfidence));
}
