//! From what was heard of one call to its numbers, each with how sure it is or why it is not known.

use sotto_charter::Group;
use sotto_charter::thresholds::{INTERRUPTION_JITTER_MS, LEAST_WORDS, LOSS_PERCENT, WORDS_PROBABILITY_PERCENT};
use sotto_private::{
    CATEGORIES, Estimate, Interruptions, Keywords, Label, LegTalk, Measured, Reason, Resolution, Sensitive, Sentiment, Side, Silence, StreamFacts,
    TalkBalance,
};

use crate::blank::Counts;
use crate::categories::Lists;
use crate::hearing::{Hearing, Speech};
use crate::leg::Leg;
use crate::metrics::{self, Span};
use crate::resolution::Matter;
use crate::sentiment::Feelings;
use crate::turns::Talk;

/// A call that was answered, at its end.
pub(crate) struct Heard<'a> {
    /// Milliseconds from the answer to the end.
    pub(crate) duration: i64,
    pub(crate) holds: Vec<Span>,
    pub(crate) streams: [Option<StreamFacts>; 2],
    pub(crate) hearing: Option<&'a Hearing>,
    /// Both parties are in the calling side's stream.
    pub(crate) is_mixed: bool,
}

impl Heard<'_> {
    fn leg(&self, side: Side) -> Option<&Leg> {
        self.hearing?.legs[side.index()].as_ref()
    }

    /// The part of both legs' sound that was analysed: what was lost or could not be decoded is missing, and a leg that was never
    /// heard is half of the call. What was never sent (silence suppression) is not missing.
    pub(crate) fn scored_fraction(&self) -> f64 {
        let legs = Side::BOTH.map(|side| match (self.leg(side), &self.streams[side.index()]) {
            (Some(leg), Some(stream)) if leg.decoded() > 0 => {
                let expected = stream.packets + stream.lost;
                stream.packets.saturating_sub(stream.undecodable) as f64 / expected.max(1) as f64
            }
            _ => 0.0,
        });
        if self.is_mixed { legs[Side::Calling.index()] } else { legs.iter().sum::<f64>() / 2.0 }
    }

    /// Why nothing can be said of a leg.
    fn why_not(&self, side: Side) -> Option<Reason> {
        let Some(stream) = &self.streams[side.index()] else {
            let other = self.streams[side.other().index()].is_some();
            return Some(if other { Reason::OneLegged } else { Reason::NoAudio });
        };
        let expected = stream.packets + stream.lost;
        if self.leg(side).is_none_or(|leg| leg.decoded() == 0) {
            Some(undecoded(stream).unwrap_or(Reason::NoAudio))
        } else if stream.lost * 100 > expected * u64::from(LOSS_PERCENT) {
            Some(Reason::Loss)
        } else {
            None
        }
    }

    /// Why nothing can be said that needs both legs.
    fn why_not_both(&self) -> Option<Reason> {
        let carrying = if self.is_mixed { &[Side::Calling][..] } else { &Side::BOTH };
        carrying.iter().find_map(|side| self.why_not(*side))
    }

    fn loss(&self, side: Side) -> f64 {
        self.streams[side.index()].map_or(0.0, |stream| stream.lost as f64 / (stream.packets + stream.lost).max(1) as f64)
    }

    /// A leg's talk, within the call.
    fn spans(&self, side: Side) -> Vec<Span> {
        let spans = self.leg(side).map_or(&[][..], Leg::talks).iter().map(|talk: &Talk| (talk.start / 8, talk.end / 8));
        spans.map(|(start, end)| (start.clamp(0, self.duration), end.clamp(0, self.duration))).filter(|(start, end)| end > start).collect()
    }

    pub(crate) fn talk_balance(&self, sides: [Side; 2], label: Label, blocked: Option<Reason>) -> TalkBalance {
        let labelled = (label == Label::Unlabelled).then(|| unlabelled(&self.streams));
        let legs = sides.map(|side| {
            let blocked = blocked.or_else(|| labelled.or_else(|| self.why_not(side)));
            LegTalk { talk_time_ms: refuse(blocked, || Ok(self.talk_time(side))), talk_speed_wpm: refuse(blocked, || self.talk_speed(side)) }
        });
        let monologue = refuse(blocked.or(labelled).or_else(|| self.why_not(sides[0])), || {
            let value = metrics::longest(&self.spans(sides[0])) as f64;
            Ok(Estimate { value, plus_minus: 200.0 + 0.1 * value })
        });
        TalkBalance { legs, longest_monologue_agent_ms: monologue, confidence: confidence::TALK_BALANCE }
    }

    fn talk_time(&self, side: Side) -> Estimate {
        let spans = self.spans(side);
        let value = metrics::total(&spans) as f64;
        Estimate { value, plus_minus: confidence::talk_time(value, spans.len(), self.loss(side)) }
    }

    /// Words by minute of talk, as Contact Lens counts: the leg's words over its own talk time.
    fn talk_speed(&self, side: Side) -> Measured<Estimate> {
        /// Under this much talk a speed says nothing.
        const LEAST_TALK_MS: f64 = 5_000.0;
        let talk = self.talk_time(side).value;
        let speech = &self.hearing.ok_or(Reason::Consent)?.speech[side.index()];
        if talk < LEAST_TALK_MS {
            return Err(Reason::TooShort);
        }
        self.words_are_sure(speech)?;
        let value = f64::from(speech.spoken) * 60_000.0 / talk;
        Ok(Estimate { value, plus_minus: value * 0.1 })
    }

    fn words_are_sure(&self, speech: &Speech) -> Result<(), Reason> {
        if speech.tongue.is_doubtful() {
            return Err(Reason::Language);
        }
        if speech.turns_shed * 10 > speech.turns_heard + speech.turns_shed {
            return Err(Reason::Shed);
        }
        if speech.recognised < LEAST_WORDS {
            return Err(Reason::TooShort);
        }
        let mean = speech.probability / f64::from(speech.recognised);
        if mean * 100.0 < f64::from(WORDS_PROBABILITY_PERCENT) { Err(Reason::LowConfidence) } else { Ok(()) }
    }

    pub(crate) fn interruptions(&self, sides: [Side; 2], label: Label, blocked: Option<Reason>) -> Interruptions {
        let jittery = self.streams.iter().flatten().any(|stream| stream.jitter_micros > INTERRUPTION_JITTER_MS * 1_000);
        let both = blocked.or_else(|| self.why_not_both()).or_else(|| jittery.then_some(Reason::Jitter));
        let labelled = both.or_else(|| (label == Label::Unlabelled).then_some(Reason::Unlabelled));
        let [agent, customer] = sides.map(|side| self.spans(side));
        let count = |by: &[Span], on: &[Span]| {
            refuse(labelled, || {
                let value = f64::from(metrics::interruptions(by, on));
                Ok(Estimate { value, plus_minus: if value > 4.0 { 1.0 } else { 0.0 } })
            })
        };
        Interruptions {
            counts: [count(&agent, &customer), count(&customer, &agent)],
            overlap_ms: refuse(both, || {
                let value = metrics::overlap(&agent, &customer) as f64;
                Ok(Estimate { value, plus_minus: 300.0 + 0.1 * value })
            }),
            confidence: confidence::INTERRUPTIONS,
        }
    }

    pub(crate) fn silence(&self, blocked: Option<Reason>) -> Silence {
        let both = blocked.or_else(|| self.why_not_both());
        let gaps = metrics::silences(&self.spans(Side::Calling), &self.spans(Side::Called), &self.holds, self.duration);
        let total = metrics::total(&gaps) as f64;
        Silence {
            non_talk_time_total_ms: refuse(both, || Ok(Estimate { value: total, plus_minus: 200.0 + 200.0 * gaps.len() as f64 })),
            silence_count: refuse(both, || Ok(Estimate { value: gaps.len() as f64, plus_minus: 0.0 })),
            confidence: confidence::SILENCE,
        }
    }

    pub(crate) fn keywords(&self, lists: &Lists, label: Label, blocked: Option<Reason>) -> Keywords {
        let mut categories = [None; CATEGORIES];
        let blocked = blocked.or_else(|| (label == Label::Unlabelled).then(|| unlabelled(&self.streams)));
        for (ordinal, category) in categories.iter_mut().enumerate().take(lists.len()) {
            *category = Some(refuse(blocked, || self.category(ordinal, lists.listens_to(ordinal), label)));
        }
        Keywords { categories, confidence: confidence::KEYWORDS }
    }

    pub(crate) fn sentiment(&self, customer: Side, label: Label, blocked: Option<Reason>) -> Sentiment {
        let labelled = (label == Label::Unlabelled).then(|| unlabelled(&self.streams));
        let blocked = blocked.or(labelled).or_else(|| self.why_not(customer)).or_else(|| match self.hearing {
            Some(hearing) => self.words_are_sure(&hearing.speech[customer.index()]).err(),
            None => Some(Reason::Consent),
        });
        let nothing = Feelings::default();
        let feelings = self.hearing.map_or(&nothing, |hearing| &hearing.speech[customer.index()].feelings);
        feelings.sentiment(blocked)
    }

    /// Both legs tell: the agent says what was done, the customer whether it helped.
    pub(crate) fn resolution(&self, blocked: Option<Reason>) -> Resolution {
        let blocked = blocked.or_else(|| self.why_not_both()).or_else(|| match self.hearing {
            Some(hearing) if hearing.speech.iter().any(|speech| speech.tongue.is_doubtful()) => Some(Reason::Language),
            // One of them may have said too little to be sure of its words; not both.
            Some(hearing) if hearing.speech.iter().any(|speech| self.words_are_sure(speech).is_ok()) => None,
            Some(hearing) => hearing.speech.iter().find_map(|speech| self.words_are_sure(speech).err()),
            None => Some(Reason::Consent),
        });
        let nothing = Matter::default();
        self.hearing.map_or(&nothing, |hearing| &hearing.matter).resolution(self.duration, blocked)
    }

    /// Whoever said it. A leg that was not understood may have said more.
    pub(crate) fn sensitive(&self, blocked: Option<Reason>) -> Sensitive {
        let blocked = blocked.or_else(|| self.why_not_both()).or_else(|| self.hearing.is_none().then_some(Reason::Consent)).or_else(|| {
            let speech = &self.hearing?.speech;
            let unsure = speech.iter().filter_map(|speech| self.words_are_sure(speech).err()).find(|why| *why != Reason::TooShort);
            unsure.or_else(|| speech.iter().all(|speech| speech.turns_heard == 0).then_some(Reason::TooShort))
        });
        let count = |of: fn(&Counts) -> u32| {
            refuse(blocked, || {
                let speech = &self.hearing.ok_or(Reason::Consent)?.speech;
                let value = f64::from(speech.iter().map(|speech| of(&speech.sensitive)).sum::<u32>());
                Ok(Estimate { value, plus_minus: (value * 0.25).ceil() })
            })
        };
        Sensitive {
            cards: count(|counts| counts.cards),
            health: count(|counts| counts.health),
            identities: count(|counts| counts.identities),
            confidence: confidence::SENSITIVE,
        }
    }

    /// A list that was heard was heard; that one was not heard can be said only if every leg that it listens to was understood.
    fn category(&self, ordinal: usize, listens_to: [bool; 2], label: Label) -> Measured<bool> {
        let hearing = self.hearing.ok_or(Reason::Consent)?;
        let listened = || sides(label).into_iter().zip(listens_to).filter_map(|(side, listens)| listens.then_some(side));
        if listened().any(|side| hearing.speech[side.index()].tongue.is_doubtful()) {
            return Err(Reason::Language);
        }
        if hearing.categories[ordinal] {
            return Ok(true);
        }
        for side in listened() {
            if let Some(why) = self.why_not(side) {
                return Err(why);
            }
            let speech = &hearing.speech[side.index()];
            match self.words_are_sure(speech) {
                Err(Reason::TooShort) if speech.turns_heard == 0 && self.spans(side).is_empty() => {}
                Err(Reason::TooShort) => return Err(Reason::LowConfidence),
                Err(why) => return Err(why),
                Ok(()) => {}
            }
        }
        Ok(false)
    }
}

fn refuse<T>(blocked: Option<Reason>, value: impl FnOnce() -> Measured<T>) -> Measured<T> {
    blocked.map_or_else(value, Err)
}

/// The agent's side first, then the customer's; for unlabelled calls the order means nothing.
pub(crate) const fn sides(label: Label) -> [Side; 2] {
    match label {
        Label::AgentCalled => [Side::Called, Side::Calling],
        Label::AgentCalling | Label::Unlabelled => [Side::Calling, Side::Called],
    }
}

/// Why a stream gave no sound, where that is in how it is coded.
pub(crate) const fn undecoded(stream: &StreamFacts) -> Option<Reason> {
    if stream.encrypted > 0 {
        Some(Reason::Encrypted)
    } else if stream.undecodable > 0 {
        Some(Reason::CodecUnsupported)
    } else {
        None
    }
}

/// Why a value of one party is not known in an unlabelled call: that only one was heard weighs more.
pub(crate) fn unlabelled(streams: &[Option<StreamFacts>; 2]) -> Reason {
    match streams.iter().flatten().count() {
        0 => Reason::NoAudio,
        1 => Reason::OneLegged,
        _ => Reason::Unlabelled,
    }
}

/// The probability that a group's numbers lie within their margins; `None` for a group that this version does not compute.
#[must_use]
pub const fn confidence_of(group: Group) -> Option<f64> {
    match group {
        Group::TalkBalance => Some(confidence::TALK_BALANCE),
        Group::Interruptions => Some(confidence::INTERRUPTIONS),
        Group::Silence => Some(confidence::SILENCE),
        Group::Keywords => Some(confidence::KEYWORDS),
        _ => None,
    }
}

/// How sure each number is. The figures come from the scripted calls with known truth (`tests/accuracy.rs` prints the table and
/// fails when they no longer hold), clean and with noise and 3 % loss.
mod confidence {
    /// Talk times within their plus-minus.
    pub(super) const TALK_BALANCE: f64 = 0.9;
    /// Interruption counts within theirs.
    pub(super) const INTERRUPTIONS: f64 = 0.9;
    /// Silences within theirs.
    pub(super) const SILENCE: f64 = 0.9;
    /// Counts of sensitive things within theirs.
    pub(super) const SENSITIVE: f64 = 0.8;
    /// Lists right, heard or not.
    pub(super) const KEYWORDS: f64 = 0.8;

    /// Plus-minus of a talk time: each stretch has two edges, and loss blurs what lies between.
    pub(super) fn talk_time(value: f64, stretches: usize, loss: f64) -> f64 {
        100.0 + value * (0.02 + loss) + 60.0 * stretches as f64
    }
}
