//! Findings in, a sealed closing out.

use sotto_charter::{Charter, Group as Metric};
use sotto_private::{Consent, EndCause, Findings, Interruptions, Keywords, Label, Level, Origin, Reason, Resolution, Sensitive, Sentiment, Silence, StreamFacts, TalkBalance, Wall};
use sotto_report as report;
use sotto_report::messages::Gauges;
use sotto_report::{CallId, Closing, Direction, Field, Fingerprint, Group, Id, Kind, Millis, Opening, Outcome, Quantity, Score};

use crate::Sealed;
use crate::quantize::{codec, end_cause, estimate, millis, milliseconds, reason};

/// Later than this after the call's end, a score says that it is late.
const LATE_MICROS: i64 = 60_000_000;

/// What the gate needs to know beside the findings.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The running charter: which fields may leave.
    pub charter: &'a Charter,
    /// Digest of the models in use.
    pub models: Option<Fingerprint>,
    /// How the spool names the call whose story this one continues, where there is one and it is still known.
    pub continues: Option<CallId>,
    /// The pipeline's time: live the wall clock, in replay the file's.
    pub now: Wall,
    /// The wall clock, from which the time of keeping counts.
    pub made: Wall,
}

/// Seals the beginning of a call.
#[must_use]
pub fn opening(at: Wall) -> Sealed<Opening> {
    Sealed::new(Opening { started: millis(at) })
}

/// Seals the tap's counters.
#[must_use]
pub const fn gauges(gauges: Gauges) -> Sealed<Gauges> {
    Sealed::new(gauges)
}

/// Seals what may leave of a call's findings.
#[must_use]
pub fn gate(findings: &Findings, call: CallId, terms: Terms<'_>) -> Sealed<Closing> {
    let outcome = outcome(findings);
    let score = findings.answered.filter(|_| outcome != Outcome::Excluded).map(|answered| score(findings, call, answered, outcome, terms));
    let why = (outcome == Outcome::SignallingOnly).then(|| reason(signalling_only(findings).unwrap_or(Reason::NoAudio)));
    Sealed::new(Closing { call, outcome, reason: why, score })
}

fn outcome(findings: &Findings) -> Outcome {
    match findings.cause {
        EndCause::Evicted => return Outcome::Refused,
        // One conversation is one score; it comes from the leg that was heard first.
        EndCause::SameCall => return Outcome::Excluded,
        _ => {}
    }
    if findings.consent == Consent::Excluded {
        return Outcome::Excluded;
    }
    if findings.answered.is_none() {
        // A call that was still ringing when the box was stopped might have been answered: nobody knows.
        return if findings.cause == EndCause::Stopped { Outcome::Interrupted } else { Outcome::Unanswered };
    }
    match findings.cause {
        EndCause::CaptureEnded | EndCause::Stopped => Outcome::Interrupted,
        _ if findings.consent == Consent::NotSampled => Outcome::NotSampled,
        _ if is_shed(findings) => Outcome::Shed,
        _ if signalling_only(findings).is_some() => Outcome::SignallingOnly,
        _ => Outcome::Scored,
    }
}

/// Whether nothing of a call's sound was analysed because the box could not keep up.
fn is_shed(findings: &Findings) -> bool {
    findings.consent == Consent::Given && findings.scored_fraction == 0.0 && findings.level >= Level::RtpStatistics
}

/// Why a call has no more than signalling metrics; `None` where it has more.
fn signalling_only(findings: &Findings) -> Option<Reason> {
    if findings.consent != Consent::Given {
        return Some(Reason::Consent);
    }
    if findings.scored_fraction > 0.0 {
        return None;
    }
    let any = |is_it: fn(&StreamFacts) -> bool| findings.streams.iter().flatten().any(is_it);
    Some(if findings.unpaused <= 0.0 {
        Reason::Paused
    } else if any(|stream| stream.encrypted > 0) {
        Reason::Encrypted
    } else if any(|stream| stream.undecodable > 0) {
        Reason::CodecUnsupported
    } else {
        Reason::NoAudio
    })
}

fn score(findings: &Findings, call: CallId, answered: Wall, outcome: Outcome, terms: Terms<'_>) -> Score {
    let charter = terms.charter;
    let expires = terms.made.millis().saturating_add(i64::from(charter.retention.scores_days) * 86_400_000);
    let mut score = Score::new(
        call,
        millis(findings.offered),
        millis(findings.ended),
        Millis::rounded(expires),
        outcome,
        end_cause(findings.cause),
        Fingerprint(charter.fingerprint()),
    );
    score.late = terms.now.since(findings.ended) > LATE_MICROS;
    score.models = terms.models.filter(|_| findings.scored_fraction > 0.0);
    score.scored_fraction = Quantity::nearest(Kind::Ratio, findings.scored_fraction);
    score.codec = findings.codec.map(codec);
    score.direction = match findings.label {
        _ if !findings.origin.is_signalled() => None,
        Label::AgentCalling => Some(Direction::Outbound),
        Label::AgentCalled => Some(Direction::Inbound),
        Label::Unlabelled => None,
    };
    // Without consent neither team nor line nor story: the call must not be told from others.
    if findings.consent == Consent::Given {
        score.team = findings.team.map(Id);
        score.line = findings.line.map(Id);
        score.continues = terms.continues;
    }
    always(&mut score, findings, answered);
    talk_balance(&mut score, findings.talk.as_ref(), charter);
    interruptions(&mut score, findings.interruptions.as_ref(), charter);
    silence(&mut score, findings.silence.as_ref(), charter);
    keywords(&mut score, findings.keywords.as_ref(), charter);
    sentiment(&mut score, findings.sentiment.as_ref(), charter);
    resolution(&mut score, findings.resolution.as_ref(), charter);
    sensitive(&mut score, findings.sensitive.as_ref(), charter);
    score
}

fn always(score: &mut Score, findings: &Findings, answered: Wall) {
    score.set(Field::CallDurationMs, milliseconds(findings.ended.since(answered)));
    score.set(Field::ShedLevel, findings.level.index() as f64);
    if findings.origin == Origin::Recording {
        return;
    }
    score.set_flag(Field::JoinedLate, findings.origin.is_late());
    score.set_flag(Field::ForeignSound, findings.streams.iter().flatten().any(|stream| stream.foreign > 0));
    if !findings.origin.is_late() {
        score.set(Field::RingMs, milliseconds(answered.since(findings.offered)));
    }
    if findings.origin.is_signalled() {
        score.set(Field::HoldMs, milliseconds(findings.hold_micros));
        score.set(Field::HoldCount, f64::from(findings.hold_count));
    }
    for (field, quality) in [Field::QualityMosAgent, Field::QualityMosCustomer].into_iter().zip(findings.quality) {
        match quality {
            Ok(quality) => score.set(field, quality),
            Err(why) => score.set_unavailable(field, reason(why)),
        }
    }
    match tap_loss(findings) {
        Some(ppm) => score.set(Field::TapLossPpm, ppm),
        None => score.set_unavailable(Field::TapLossPpm, report::Reason::NoRtcp),
    }
}

/// What the tap missed and the receivers had, of a million packets that they report on.
fn tap_loss(findings: &Findings) -> Option<f64> {
    let reported = findings.streams.iter().flatten().filter_map(|stream| stream.far_end);
    let (mut expected, mut missed) = (0, 0);
    for far in reported {
        expected += far.expected;
        missed += far.missed.saturating_sub(far.lost);
    }
    (expected > 0).then(|| missed as f64 * 1e6 / expected as f64)
}

fn talk_balance(score: &mut Score, talk: Option<&TalkBalance>, charter: &Charter) {
    let Some(talk) = talk.filter(|_| charter.names(Metric::TalkBalance)) else { return };
    estimate(score, Field::TalkTimeAgentMs, talk.legs[0].talk_time_ms);
    estimate(score, Field::TalkTimeCustomerMs, talk.legs[1].talk_time_ms);
    if charter.has_detail(Metric::TalkBalance) {
        estimate(score, Field::TalkSpeedAgentWpm, talk.legs[0].talk_speed_wpm);
        estimate(score, Field::TalkSpeedCustomerWpm, talk.legs[1].talk_speed_wpm);
        estimate(score, Field::LongestMonologueAgentMs, talk.longest_monologue_agent_ms);
    }
    if talk.legs.iter().any(|leg| leg.talk_time_ms.is_ok()) {
        score.set_confidence(Group::TalkBalance, talk.confidence);
    }
}

fn interruptions(score: &mut Score, found: Option<&Interruptions>, charter: &Charter) {
    let Some(found) = found.filter(|_| charter.names(Metric::Interruptions)) else { return };
    estimate(score, Field::InterruptionsAgentCount, found.counts[0]);
    estimate(score, Field::InterruptionsCustomerCount, found.counts[1]);
    if charter.has_detail(Metric::Interruptions) {
        estimate(score, Field::OverlapMs, found.overlap_ms);
    }
    if found.counts.iter().any(Result::is_ok) {
        score.set_confidence(Group::Interruptions, found.confidence);
    }
}

fn silence(score: &mut Score, found: Option<&Silence>, charter: &Charter) {
    let Some(found) = found.filter(|_| charter.names(Metric::Silence)) else { return };
    estimate(score, Field::NonTalkTimeTotalMs, found.non_talk_time_total_ms);
    if charter.has_detail(Metric::Silence) {
        estimate(score, Field::SilenceCount, found.silence_count);
    }
    if found.non_talk_time_total_ms.is_ok() {
        score.set_confidence(Group::Silence, found.confidence);
    }
}

fn keywords(score: &mut Score, found: Option<&Keywords>, charter: &Charter) {
    let Some(found) = found.filter(|_| charter.names(Metric::Keywords)) else { return };
    let mut known = false;
    for (ordinal, heard) in found.categories.iter().enumerate() {
        let (Some(heard), Some(field)) = (heard, Field::category(ordinal)) else { continue };
        match heard {
            Ok(heard) => {
                score.set_flag(field, *heard);
                known = true;
            }
            Err(why) => score.set_unavailable(field, reason(*why)),
        }
    }
    if known {
        score.set_confidence(Group::Keywords, found.confidence);
    }
}

fn sentiment(score: &mut Score, found: Option<&Sentiment>, charter: &Charter) {
    let Some(found) = found.filter(|_| charter.names(Metric::SentimentCustomer)) else { return };
    estimate(score, Field::SentimentCustomer, found.overall);
    if charter.has_detail(Metric::SentimentCustomer) {
        estimate(score, Field::SentimentStartCustomer, found.start);
        estimate(score, Field::SentimentEndCustomer, found.end);
        let quarters = [Field::SentimentQ1Customer, Field::SentimentQ2Customer, Field::SentimentQ3Customer, Field::SentimentQ4Customer];
        for (field, quarter) in quarters.into_iter().zip(found.quarters) {
            estimate(score, field, quarter);
        }
    }
    if found.overall.is_ok() {
        score.set_confidence(Group::SentimentCustomer, found.confidence);
    }
}

fn resolution(score: &mut Score, found: Option<&Resolution>, charter: &Charter) {
    let Some(found) = found.filter(|_| charter.names(Metric::Resolution)) else { return };
    match found.is_settled {
        Ok(is_settled) => {
            score.set(Field::Resolution, is_settled.map_or(2.0, |is_settled| if is_settled { 0.0 } else { 1.0 }));
            score.set(Field::ResolutionSource, 0.0);
            score.set_confidence(Group::Resolution, found.confidence);
        }
        Err(why) => score.set_unavailable(Field::Resolution, reason(why)),
    }
}

fn sensitive(score: &mut Score, found: Option<&Sensitive>, charter: &Charter) {
    let Some(found) = found.filter(|_| charter.names(Metric::Sensitive)) else { return };
    estimate(score, Field::CardSpoken, found.cards);
    estimate(score, Field::HealthSpoken, found.health);
    estimate(score, Field::IdentitySpoken, found.identities);
    if found.cards.is_ok() {
        score.set_confidence(Group::Sensitive, found.confidence);
    }
}

#[cfg(test)]
mod tests;
