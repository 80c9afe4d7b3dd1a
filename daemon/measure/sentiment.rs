//! From the feeling of each of the customer's turns to the call's sentiment.
//!
//! Quarters as Contact Lens has them: of the time to the end of this party's last word. A quarter's sentiment is the mean of its
//! turns, each with the weight 0.3 + |score|: "okay" and "my number is" say little of how somebody feels. The call's is the mean
//! of its quarters. With fewer than [`LEAST_TURNS`] turns there are no quarters: start and end are the first and the last third.

use sotto_charter::thresholds::SENTIMENT_PLUS_MINUS_TENTHS;
use sotto_private::{Estimate, Measured, Reason, Sentiment};

/// Quarters need as many turns as this.
const LEAST_TURNS: usize = 5;
/// More turns than this in one call are no conversation.
const MOST_TURNS: usize = 4_096;
/// Of a normal distribution, 80 of 100 lie within so many deviations.
const DEVIATIONS: f64 = 1.2816;
/// Half a step of the published scale.
const ROUNDING: f64 = 0.25;
/// How sure each value is of its plus-minus.
pub(crate) const CONFIDENCE: f64 = 0.8;

/// One turn's feeling.
#[derive(Clone, Copy)]
pub(crate) struct Felt {
    /// Its middle, milliseconds from the answer.
    pub(crate) at: i64,
    /// Its end.
    pub(crate) end: i64,
    /// -5 to 5.
    pub(crate) score: f64,
    /// The deviation of the model's error.
    pub(crate) spread: f64,
}

/// What a leg's turns felt like.
#[derive(Default)]
pub(crate) struct Feelings(Vec<Felt>);

impl Feelings {
    pub(crate) fn add(&mut self, felt: Felt) {
        if self.0.len() < MOST_TURNS {
            self.0.push(felt);
        }
    }

    /// The group's values. `blocked` says why there are none.
    pub(crate) fn sentiment(&self, blocked: Option<Reason>) -> Sentiment {
        if let Some(why) = blocked.or_else(|| self.0.is_empty().then_some(Reason::TooShort)) {
            return Sentiment { overall: Err(why), start: Err(why), end: Err(why), quarters: [Err(why); 4], confidence: CONFIDENCE };
        }
        let last = self.0.iter().map(|felt| felt.end).max().unwrap_or(0).max(1);
        let part = |from: f64, to: f64| {
            let inside = |felt: &&Felt| (from..to).contains(&(felt.at as f64 / last as f64));
            mean(self.0.iter().filter(inside))
        };
        if self.0.len() < LEAST_TURNS {
            return Sentiment {
                overall: mean(self.0.iter()).and_then(believed),
                start: part(0.0, 1.0 / 3.0).or_else(|_| mean(self.0.iter().take(1))).and_then(believed),
                end: part(2.0 / 3.0, f64::INFINITY).or_else(|_| mean(self.0.iter().rev().take(1))).and_then(believed),
                quarters: [Err(Reason::TooShort); 4],
                confidence: CONFIDENCE,
            };
        }
        let quarters = [part(0.0, 0.25), part(0.25, 0.5), part(0.5, 0.75), part(0.75, f64::INFINITY)];
        let known: Vec<Estimate> = quarters.iter().copied().flatten().collect();
        let count = known.len().max(1) as f64;
        let overall = Estimate {
            value: known.iter().map(|quarter| quarter.value).sum::<f64>() / count,
            plus_minus: known.iter().map(|quarter| quarter.plus_minus.powi(2)).sum::<f64>().sqrt() / count,
        };
        Sentiment {
            overall: believed(overall),
            start: quarters.into_iter().flatten().next().ok_or(Reason::TooShort).and_then(believed),
            end: quarters.into_iter().rev().flatten().next().ok_or(Reason::TooShort).and_then(believed),
            quarters: quarters.map(|quarter| quarter.and_then(believed)),
            confidence: CONFIDENCE,
        }
    }
}

/// A value that may be this far off says nothing.
fn believed(estimate: Estimate) -> Measured<Estimate> {
    let plus_minus = estimate.plus_minus + ROUNDING;
    if plus_minus * 10.0 > f64::from(SENTIMENT_PLUS_MINUS_TENTHS) { Err(Reason::LowConfidence) } else { Ok(Estimate { plus_minus, ..estimate }) }
}

/// The weighted mean, with what 80 of 100 such means are off at most.
fn mean<'a>(felt: impl Iterator<Item = &'a Felt>) -> Measured<Estimate> {
    let (mut weights, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for felt in felt {
        let weight = 0.3 + felt.score.abs();
        weights += weight;
        sum += weight * felt.score;
        squares += (weight * felt.spread).powi(2);
    }
    if weights > 0.0 { Ok(Estimate { value: sum / weights, plus_minus: DEVIATIONS * squares.sqrt() / weights }) } else { Err(Reason::TooShort) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feelings(turns: &[(i64, f64)]) -> Sentiment {
        let mut feelings = Feelings::default();
        for &(at, score) in turns {
            feelings.add(Felt { at, end: at + 500, score, spread: 1.0 });
        }
        feelings.sentiment(None)
    }

    #[test]
    fn quarters_are_of_the_partys_own_time_and_the_call_is_their_mean() {
        let found = feelings(&[(100, -3.0), (2_600, -1.0), (5_200, 1.0), (8_000, 2.0), (9_500, 4.0)]);
        let value = |measured: Measured<Estimate>| measured.unwrap().value;
        for (quarter, expected) in found.quarters.map(value).into_iter().zip([-3.0, -1.0, 1.0]) {
            assert!((quarter - expected).abs() < 1e-9);
        }
        // (2.3 * 2 + 4.3 * 4) / 6.6
        assert!((value(found.quarters[3]) - 3.303).abs() < 1e-3);
        assert!((value(found.overall) - 0.0758).abs() < 1e-3);
        assert!((value(found.start) + 3.0).abs() < 1e-9);
        assert!(found.quarters[0].unwrap().plus_minus > found.quarters[3].unwrap().plus_minus);
    }

    #[test]
    fn few_turns_have_no_quarters_and_none_no_value() {
        let found = feelings(&[(100, -3.0), (9_000, 3.0)]);
        assert_eq!(found.quarters, [Err(Reason::TooShort); 4]);
        assert!(found.start.unwrap().value < 0.0 && found.end.unwrap().value > 0.0);
        assert_eq!(feelings(&[]).overall, Err(Reason::TooShort));
        assert_eq!(Feelings::default().sentiment(Some(Reason::Consent)).end, Err(Reason::Consent));
    }

    #[test]
    fn what_nobody_can_tell_is_not_told() {
        let mut unsure = Feelings::default();
        unsure.add(Felt { at: 0, end: 500, score: 0.4, spread: 4.0 });
        assert_eq!(unsure.sentiment(None).overall, Err(Reason::LowConfidence));
    }
}
