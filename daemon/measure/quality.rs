//! Listening quality by the E-model.
//!
//! ITU-T G.107 (06/2015): R = 93.2 - Ie_eff with every other input at its default, Ie_eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl)
//! for random loss (BurstR = 1), and MOS from R by its Annex B. Delay is not known to a listener at one point of the network
//! and is left out: this is listening quality, not conversational. Ie and Bpl from G.113 Appendix I.
//!
//! A mirror port that is overloaded loses packets that the listener has. So where the receiver's own reports were heard (RTCP), the
//! loss is what it reports; what was missed here beyond that is the tap's, and says nothing of the line.

use sotto_private::{Codec, Measured, Reason, StreamFacts};

/// Reports over fewer packets than this are too few to judge a whole call by.
const LEAST_REPORTED: u64 = 100;

/// MOS of a stream, as its receiver had it as far as that is known.
pub(crate) fn mos(stream: Option<&StreamFacts>) -> Measured<f64> {
    let stream = stream.ok_or(Reason::OneLegged)?;
    let (impairment, robustness) = match stream.codec {
        Codec::Pcmu | Codec::Pcma => (0.0, 25.1),
        Codec::G729 => (11.0, 19.0),
        Codec::Linear => return Err(Reason::NoAudio),
        _ => return Err(Reason::CodecUnsupported),
    };
    let expected = stream.packets + stream.lost;
    if expected == 0 {
        return Err(Reason::NoAudio);
    }
    let loss = match stream.far_end {
        Some(far) if far.expected >= LEAST_REPORTED => 100.0 * far.lost as f64 / far.expected as f64,
        _ => 100.0 * stream.lost as f64 / expected as f64,
    };
    let effective = impairment + (95.0 - impairment) * loss / (loss + robustness);
    Ok(from_rating(93.2 - effective))
}

/// G.107 Annex B.
fn from_rating(rating: f64) -> f64 {
    if rating <= 0.0 {
        return 1.0;
    }
    if rating >= 100.0 {
        return 4.5;
    }
    (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use sotto_private::FarEnd;

    use super::*;

    fn stream(lost: u64) -> StreamFacts {
        StreamFacts { codec: Codec::Pcma, packets: 1_000 - lost, lost, reordered: 0, duplicated: 0, jitter_micros: 0, undecodable: 0, encrypted: 0, foreign: 0, far_end: None }
    }

    #[test]
    fn the_recommendations_figures() {
        // G.107: the defaults give R = 93.2, which is MOS 4.41.
        assert!((mos(Some(&stream(0))).unwrap() - 4.41).abs() < 0.01);
        // 3 % random loss on G.711 with concealment: Ie_eff = 95 * 3 / 28.1 = 10.1, R = 83.1, MOS 4.15.
        assert!((mos(Some(&stream(30))).unwrap() - 4.15).abs() < 0.02);
        assert_eq!(mos(None), Err(Reason::OneLegged));
    }

    #[test]
    fn what_the_receiver_did_not_lose_is_not_held_against_the_line() {
        let far = |expected, lost| Some(FarEnd { expected, lost, missed: expected / 10 });
        let tap = StreamFacts { far_end: far(900, 0), ..stream(100) };
        assert_eq!(mos(Some(&tap)), mos(Some(&stream(0))));
        let line = StreamFacts { far_end: far(900, 27), ..stream(100) };
        assert_eq!(mos(Some(&line)), mos(Some(&stream(30))));
        let few = StreamFacts { far_end: far(50, 0), ..stream(100) };
        assert_eq!(mos(Some(&few)), mos(Some(&stream(100))), "too little was reported");
    }

    #[test]
    fn more_loss_is_never_better() {
        let all: Vec<f64> = (0..=1_000).step_by(10).map(|lost| mos(Some(&stream(lost))).unwrap()).collect();
        assert!(all.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9));
    }
}
