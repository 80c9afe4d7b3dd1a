//! Listening quality by the E-model.
//!
//! ITU-T G.107 (06/2015): R = 93.2 - Ie_eff with every other input at its default, Ie_eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl)
//! for random loss (BurstR = 1), and MOS from R by its Annex B. Delay is not known to a listener at one point of the network
//! and is left out: this is listening quality, not conversational. Ie and Bpl from G.113 Appendix I.
//!
//! G.722 is wideband, and has a model and a scale of its own: ITU-T G.107.1 (06/2019), R = 129 - Ie_eff with the same Ie_eff (equation 7-15), and MOS
//! from R / 1.29 by its Annex A. Ie,WB is G.113 (Appendix IV) table IV.1's 13 for 64 kbit/s. Nobody published how robust G.722 is against loss, so
//! that under loss its MOS lies somewhere between that of the least robust codec that is listed and that of the most robust one; where these are
//! further apart than what is published of a MOS, it is not known. For Opus there is no Ie at all, neither in G.113 nor on a scale that fits one of
//! these models.
//!
//! A mirror port that is overloaded loses packets that the listener has. So where the receiver's own reports were heard (RTCP), the
//! loss is what it reports; what was missed here beyond that is the tap's, and says nothing of the line.

use sotto_private::{Codec, Measured, Reason, StreamFacts};

/// Reports over fewer packets than this are too few to judge a whole call by.
const LEAST_REPORTED: u64 = 100;

/// Robustness of the least robust codec of those that are listed (AMR-WB at 12.65 kbit/s, G.113 table IV.4), and of the most robust one (G.711 with
/// concealment).
const ROBUSTNESS: [f64; 2] = [4.3, 25.1];
/// What a MOS is rounded to.
const STEP: f64 = 0.1;

/// MOS of a stream, as its receiver had it as far as that is known.
pub(crate) fn mos(stream: Option<&StreamFacts>) -> Measured<f64> {
    let stream = stream.ok_or(Reason::OneLegged)?;
    match stream.codec {
        Codec::Pcmu | Codec::Pcma => narrowband(0.0, 25.1, loss_percent(stream)?),
        Codec::G729 => narrowband(11.0, 19.0, loss_percent(stream)?),
        Codec::G722 => wideband(13.0, loss_percent(stream)?),
        Codec::Opus => Err(Reason::NoModel),
        Codec::Linear => Err(Reason::NoAudio),
        _ => Err(Reason::CodecUnsupported),
    }
}

fn loss_percent(stream: &StreamFacts) -> Measured<f64> {
    let expected = stream.packets + stream.lost;
    if expected == 0 {
        return Err(Reason::NoAudio);
    }
    Ok(match stream.far_end {
        Some(far) if far.expected >= LEAST_REPORTED => 100.0 * far.lost as f64 / far.expected as f64,
        _ => 100.0 * stream.lost as f64 / expected as f64,
    })
}

fn narrowband(impairment: f64, robustness: f64, loss: f64) -> Measured<f64> {
    Ok(from_rating(93.2 - effective(impairment, robustness, loss)))
}

fn wideband(impairment: f64, loss: f64) -> Measured<f64> {
    let [least, most] = ROBUSTNESS.map(|robustness| from_rating((129.0 - effective(impairment, robustness, loss)) / 1.29));
    if most - least > STEP { Err(Reason::Loss) } else { Ok((least + most) / 2.0) }
}

fn effective(impairment: f64, robustness: f64, loss: f64) -> f64 {
    impairment + (95.0 - impairment) * loss / (loss + robustness)
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
    fn wideband_has_its_own_scale_and_abstains_where_nobody_knows() {
        let g722 = |lost| mos(Some(&StreamFacts { codec: Codec::G722, ..stream(lost) }));
        // R = 116 of 129, which is 89.9 of 100: MOS 4.33.
        assert!((g722(0).unwrap() - 4.33).abs() < 0.01, "{:?}", g722(0));
        // At 0.2 % the two bounds are 4.26 and 4.32; at 1 % they are 3.94 and 4.27.
        assert!((g722(2).unwrap() - 4.29).abs() < 0.01, "{:?}", g722(2));
        assert_eq!(g722(10), Err(Reason::Loss));
        assert_eq!(mos(Some(&StreamFacts { codec: Codec::Opus, ..stream(0) })), Err(Reason::NoModel));
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
