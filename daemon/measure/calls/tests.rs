use sotto_private::{Codec, Encoding, Origin};

use super::*;

const CHARTER: &str = r#"version = "1"
profile = "eu"
kpis = ["talk_balance", "silence"]
[[consent]]
match = "555*"
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
review_by = "2027-05-01"
[[purpose]]
metric = "silence"
why = "a"
basis = "b"
review_by = "2026-05-01"
"#;

const CALL: Call = Call(1);

fn at(ms: i64) -> Wall {
    Wall::from_micros(1_790_000_000_000_000 + ms * 1_000)
}

fn stream() -> StreamFacts {
    StreamFacts { codec: Codec::Pcmu, packets: 50, lost: 0, reordered: 0, duplicated: 0, jitter_micros: 0, undecodable: 0, encrypted: 0, foreign: 0, far_end: None }
}

/// A call of one second between two numbers; both legs are heard.
fn run(calling: &str, called: &str) -> (Measure, Findings) {
    run_with(calling, called, |_| None)
}

/// The same; before each packet (20 ms), `event` may say what happens.
fn run_with(calling: &str, called: &str, event: impl Fn(i64) -> Option<CallEvent>) -> (Measure, Findings) {
    run_under(calling, called, event, |_| None)
}

/// The same; before each packet, `level` may say what is left out from then on.
fn run_under(calling: &str, called: &str, event: impl Fn(i64) -> Option<CallEvent>, level: impl Fn(i64) -> Option<Level>) -> (Measure, Findings) {
    let site = Site::new(&[("sip:1???@*".into(), "billing".into())], &[]).unwrap();
    let charter = Charter::parse(CHARTER).unwrap();
    let mut measure = Measure::new(Arc::new(charter), Arc::new(site), None, Depth::Full);
    let outputs = played_under(&mut measure, calling, called, event, level);
    let findings = outputs.into_iter().find_map(|output| if let Output::Findings(found) = output { Some(*found) } else { None });
    (measure, findings.unwrap())
}

/// All that comes of one call.
fn played(measure: &mut Measure, calling: &str, called: &str, event: impl Fn(i64) -> Option<CallEvent>) -> Vec<Output> {
    played_under(measure, calling, called, event, |_| None)
}

fn played_under(
    measure: &mut Measure,
    calling: &str,
    called: &str,
    event: impl Fn(i64) -> Option<CallEvent>,
    level: impl Fn(i64) -> Option<Level>,
) -> Vec<Output> {
    let today = Date::constant(2026, 11, 23);
    let party = |number: &str| if number.is_empty() { Party::unnamed() } else { Party::new(&format!("sip:{number}@pbx.example"), None, number) };
    let origin = if calling.is_empty() { Origin::Recording } else { Origin::Invite };
    let (calling, called) = (party(calling), party(called));
    measure.event(CallEvent::Offered { call: CALL, at: at(0), calling, called, origin, continues: None }, today);
    measure.event(CallEvent::Answered { call: CALL, at: at(1_000), called: None }, today);
    for packet in 0..50 {
        if let Some(event) = event(packet) {
            measure.event(event, today);
        }
        if let Some(level) = level(packet) {
            measure.shed_to(level, at(1_000 + packet * 20));
        }
        for side in Side::BOTH {
            measure.audio(&Audio::new(CALL, side, 1, at(1_000 + packet * 20), Encoding::Pcmu, vec![0xff; 160]));
        }
    }
    let ended = CallEvent::Ended { call: CALL, at: at(2_000), cause: EndCause::HungUp, streams: [Some(stream()); 2] };
    measure.event(ended, today);
    std::iter::from_fn(|| measure.poll()).collect()
}

#[test]
fn without_consent_not_a_packet_is_decoded() {
    let (measure, findings) = run("777123", "1001");
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_dropped), (0, 100));
    assert_eq!(findings.consent, Consent::Unknown);
    assert_eq!(findings.scored_fraction, 0.0);
    assert_eq!(findings.talk.unwrap().legs[0].talk_time_ms, Err(Reason::Consent));
    assert_eq!(measure.open(), 0);
}

#[test]
fn with_consent_every_packet_is() {
    let (measure, findings) = run("555123", "1001");
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_dropped), (100, 0));
    assert_eq!(findings.scored_fraction, 1.0);
    assert_eq!(findings.label, Label::AgentCalled);
    assert_eq!(findings.talk.unwrap().legs[0].talk_time_ms.unwrap().value, 0.0);
}

#[test]
fn a_metric_past_its_review_is_not_computed_and_says_so() {
    let (_, findings) = run("555123", "1001");
    assert_eq!(findings.silence.unwrap().non_talk_time_total_ms, Err(Reason::ReviewOverdue));
    assert!(findings.interruptions.is_none(), "the charter does not name it");
}

#[test]
fn parties_are_never_guessed() {
    let (_, findings) = run("555123", "5559999");
    assert_eq!(findings.label, Label::Unlabelled);
    assert_eq!(findings.talk.unwrap().legs[0].talk_time_ms, Err(Reason::Unlabelled));
    assert_eq!(findings.quality[0], Err(Reason::Unlabelled));
}

#[test]
fn a_recording_says_by_its_channels_who_is_who() {
    let (_, findings) = run("", "");
    assert_eq!(findings.label, Label::AgentCalling);
    assert_eq!(findings.team, None);
    assert_eq!(findings.consent, Consent::Unknown, "no rule matches a call without numbers but `*`");
}

#[test]
fn an_objection_drops_what_was_heard_and_ends_decoding() {
    let objects = |packet| (packet == 20).then_some(CallEvent::Objected { call: CALL, at: at(1_400), said: Said::Key });
    let (measure, findings) = run_with("555123", "1001", objects);
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_dropped), (40, 60));
    assert_eq!(findings.consent, Consent::Refused);
    assert_eq!(findings.scored_fraction, 0.0);
    assert_eq!(findings.talk.unwrap().legs[0].talk_time_ms, Err(Reason::Consent));
}

#[test]
fn nothing_is_decoded_in_a_pause() {
    let pauses = |packet| match packet {
        20 => Some(CallEvent::Paused { call: CALL, at: at(1_400), said: Said::Key }),
        30 => Some(CallEvent::Continued { call: CALL, at: at(1_600), said: Said::Key }),
        _ => None,
    };
    let (measure, findings) = run_with("555123", "1001", pauses);
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_dropped), (80, 20));
    assert_eq!(findings.consent, Consent::Given);
    assert!((findings.scored_fraction - 0.8).abs() < 1e-9);
}

#[test]
fn what_the_box_left_out_is_said_and_not_decoded() {
    let under = |level: fn(i64) -> Option<Level>| run_under("555123", "1001", |_| None, level);
    // For a tenth of the call: the numbers hold, and say so.
    let (measure, findings) = under(|packet| match packet {
        20 => Some(Level::RtpStatistics),
        25 => Some(Level::VoiceActivity),
        _ => None,
    });
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_shed), (90, 10));
    assert_eq!(findings.level, Level::RtpStatistics);
    assert!((findings.scored_fraction - 0.9).abs() < 1e-9, "{}", findings.scored_fraction);
    assert!(findings.talk.unwrap().legs[0].talk_time_ms.is_ok());
    // For half of it: they would mislead.
    let (_, findings) = under(|packet| (packet == 25).then_some(Level::Signalling));
    assert!((findings.scored_fraction - 0.5).abs() < 1e-9, "{}", findings.scored_fraction);
    assert_eq!(findings.talk.unwrap().legs[0].talk_time_ms, Err(Reason::Shed));
    assert_eq!(findings.quality[0], Err(Reason::Shed), "what was not looked at is not lost");
    // From before it began.
    let (measure, findings) = under(|packet| (packet == 0).then_some(Level::RtpStatistics));
    assert_eq!((measure.counters().frames_decoded, findings.scored_fraction, findings.consent), (0, 0.0, Consent::Given));
    // A level that leaves sound alone costs no more than words.
    let (measure, findings) = under(|packet| (packet == 0).then_some(Level::VoiceActivity));
    assert_eq!((measure.counters().frames_decoded, findings.scored_fraction, findings.level), (100, 1.0, Level::VoiceActivity));
}

fn known(number: &str) -> Party {
    Party::new(&format!("sip:{number}@pbx.example"), None, number)
}

#[test]
fn parties_that_are_known_late_are_labelled_and_covered_or_not() {
    let identified = |calling: &'static str, called: &'static str| {
        move |packet| (packet == 10).then(|| CallEvent::Identified { call: CALL, at: at(1_200), calling: known(calling), called: known(called) })
    };
    let (measure, findings) = run_with("9", "8", identified("1001", "5550001"));
    assert_eq!((findings.label, findings.team, findings.consent), (Label::AgentCalling, Some(0), Consent::Given));
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_dropped), (80, 20), "nothing is decoded before");
    // Who takes the place of a party that was covered must be covered too.
    let (measure, findings) = run_with("1001", "5550001", identified("1001", "8"));
    assert_eq!((findings.label, findings.consent), (Label::AgentCalling, Consent::Unknown));
    assert_eq!(measure.counters().frames_decoded, 20);
    assert!(findings.talk.is_some_and(|talk| talk.legs.iter().all(|leg| leg.talk_time_ms == Err(Reason::Consent))));
}

#[test]
fn of_a_mixed_stream_no_number_is_one_partys() {
    let (_, findings) = run_with("1001", "5550001", |packet| (packet == 0).then_some(CallEvent::Mixed { call: CALL, at: at(1_000) }));
    assert_eq!(findings.quality, [Err(Reason::Mixed); 2]);
    assert!(findings.talk.is_some_and(|talk| talk.legs.iter().all(|leg| leg.talk_time_ms == Err(Reason::Mixed))));
}

/// A charter whose calls wait for the customer's yes and the agent's acknowledgement.
const ASKING: &str = r#"version = "1"
profile = "uk"
kpis = ["silence"]
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[[consent]]
match = "555*"
customer = "given"
agent = "acknowledged"
[keys]
consent = "*1"
[exclude]
numbers = ["555112"]
[retention]
scores_days = 7
[[purpose]]
metric = "silence"
why = "a"
basis = "b"
review_by = "2027-05-01"
"#;

fn asking(is_acknowledged: bool, calling: &str, event: impl Fn(i64) -> Option<CallEvent>) -> (Counters, Findings, Vec<Decision>) {
    let site = Site::new(&[("sip:1???@*".into(), "billing".into())], &[]).unwrap();
    let mut measure = Measure::new(Arc::new(Charter::parse(ASKING).unwrap()), Arc::new(site), None, Depth::Full);
    let mark = sotto_charter::Mark([7; 16]);
    let standing = sotto_charter::AgentStanding { has_acknowledged: is_acknowledged, ..Default::default() };
    let agents = if is_acknowledged { [(mark, standing)].into_iter().collect() } else { std::collections::HashMap::new() };
    measure.register(Arc::new(Register::new(Arc::new(move |identity: &str| if identity.contains("1001") { mark } else { sotto_charter::Mark([0; 16]) }), agents)), at(0));
    let findings = played(&mut measure, calling, "1001", event);
    let mut decisions = Vec::new();
    let mut found = None;
    for output in findings {
        match output {
            Output::Findings(findings) => found = Some(*findings),
            Output::Decided(_, _, decision) => decisions.push(decision),
            _ => {}
        }
    }
    (measure.counters(), found.unwrap(), decisions)
}

fn said(at_packet: i64, event: fn() -> CallEvent) -> impl Fn(i64) -> Option<CallEvent> {
    move |packet| (packet == at_packet).then(event)
}

#[test]
fn nothing_is_decoded_before_the_customers_yes() {
    let yes = || CallEvent::Consented { call: CALL, at: at(1_500), side: Some(Side::Calling), said: Said::Key };
    let (counters, findings, decisions) = asking(true, "5550001", said(25, yes));
    assert_eq!((counters.frames_decoded, counters.frames_dropped), (50, 50));
    assert!((findings.scored_fraction - 0.5).abs() < 1e-9, "what was said before is not heard: {}", findings.scored_fraction);
    assert_eq!(decisions.iter().map(|decision| decision.why).collect::<Vec<_>>(), [Why::NoYes, Why::YesByKey]);
}

#[test]
fn a_yes_counts_where_it_is_the_customers_and_both_said_it() {
    let agents = || CallEvent::Consented { call: CALL, at: at(1_500), side: Some(Side::Called), said: Said::Key };
    let (counters, ..) = asking(true, "5550001", said(25, agents));
    assert_eq!(counters.frames_decoded, 0, "the agent cannot say yes for the customer");
    let yes = || CallEvent::Consented { call: CALL, at: at(1_500), side: None, said: Said::Header };
    let (counters, findings, decisions) = asking(false, "5550001", said(25, yes));
    assert_eq!((counters.frames_decoded, findings.consent), (0, Consent::Unknown));
    assert_eq!(decisions.last().unwrap().why, Why::NotAcknowledged);
}

#[test]
fn a_private_call_and_an_excluded_number_leave_nothing() {
    let yes = || CallEvent::Consented { call: CALL, at: at(1_000), side: None, said: Said::Header };
    let (_, findings, _) = asking(true, "5550001", move |packet| match packet {
        0 => Some(yes()),
        25 => Some(CallEvent::TakenOut { call: CALL, at: at(1_500) }),
        _ => None,
    });
    assert_eq!((findings.consent, findings.scored_fraction), (Consent::Excluded, 0.0));
    assert!(findings.silence.is_none());
    let (counters, findings, _) = asking(true, "555112", said(0, yes));
    assert_eq!((counters.frames_decoded, findings.consent), (0, Consent::Excluded));
}

#[test]
fn a_running_call_keeps_its_terms_and_the_next_one_has_the_new_ones() {
    let site = Arc::new(Site::new(&[("sip:1???@*".into(), "billing".into())], &[]).unwrap());
    let mut measure = Measure::new(Arc::new(Charter::parse(ASKING).unwrap()), Arc::clone(&site), None, Depth::Full);
    let mark = sotto_charter::Mark([7; 16]);
    let register = |has_acknowledged| {
        let standing = sotto_charter::AgentStanding { has_acknowledged, ..Default::default() };
        Arc::new(Register::new(Arc::new(move |_: &str| mark), [(mark, standing)].into_iter().collect()))
    };
    measure.register(register(true), at(0));
    let today = Date::constant(2026, 11, 23);
    let begin = |measure: &mut Measure, call| {
        let (calling, called) = (known("5550001"), known("1001"));
        measure.event(CallEvent::Offered { call, at: at(0), calling, called, origin: Origin::Invite, continues: None }, today);
        measure.event(CallEvent::Answered { call, at: at(0), called: None }, today);
        measure.event(CallEvent::Consented { call, at: at(0), side: None, said: Said::Header }, today);
    };
    let hear = |measure: &mut Measure, call| {
        let before = measure.counters().frames_decoded;
        measure.audio(&Audio::new(call, Side::Calling, 1, at(20), Encoding::Pcmu, vec![0xff; 160]));
        measure.counters().frames_decoded > before
    };
    begin(&mut measure, CALL);
    assert!(hear(&mut measure, CALL));
    let first = measure.oldest();
    // Nobody has acknowledged the new charter, and no rule of it covers the numbers.
    let second = measure.renew(Arc::new(Charter::parse(&ASKING.replace("555*", "777*")).unwrap()), site, None);
    measure.register(register(false), at(100));
    begin(&mut measure, Call(2));
    assert_eq!([CALL, Call(2)].map(|call| hear(&mut measure, call)), [true, false]);
    assert!(measure.oldest() == first && first < second);
    for call in [CALL, Call(2)] {
        measure.event(CallEvent::Ended { call, at: at(2_000), cause: EndCause::HungUp, streams: [Some(stream()); 2] }, today);
    }
    let findings: Vec<Findings> = std::iter::from_fn(|| measure.poll()).filter_map(|output| if let Output::Findings(found) = output { Some(*found) } else { None }).collect();
    assert_eq!(findings.iter().map(|findings| findings.consent).collect::<Vec<_>>(), [Consent::Given, Consent::Unknown]);
    assert_eq!(measure.oldest(), second);
}

#[test]
fn each_brake_is_let_go_for_itself() {
    let events = |packet| {
        let event = |said: Said, pauses: bool| if pauses { CallEvent::Paused { call: CALL, at: at(1_000 + packet * 20), said } } else { CallEvent::Continued { call: CALL, at: at(1_000 + packet * 20), said } };
        match packet {
            10 => Some(event(Said::Recording, true)),
            20 => Some(event(Said::Key, true)),
            30 => Some(event(Said::Key, false)),
            40 => Some(event(Said::Recording, false)),
            _ => None,
        }
    };
    let (measure, findings) = run_with("555123", "1001", events);
    assert_eq!((measure.counters().frames_decoded, measure.counters().frames_dropped), (40, 60));
    assert!((findings.scored_fraction - 0.4).abs() < 1e-9);
}
