//! When each token is spoken.
//!
//! Some heads of the decoder look at the sound of the token that they are about to say. A path through what they
//! look at, token after token and position after position, tells where each begins (dynamic time warping, as in
//! OpenAI's `timing.py`). It says little of where a word before a pause ends: that the sound tells.

use super::decoder::Decoded;

/// Positions whose median smooths what a token looks at.
const MEDIAN: usize = 7;
/// Of the way from a turn's quiet to its loud tenth: above it there is speech.
const SPEECH: f32 = 0.35;

/// Puts the begin of each token, and the end of the last, into `decoded`. `looks` has for each token, and for the end after
/// them, a row of `positions`; the first `spoken` of them are the turn.
pub(super) fn align(looks: &[f32], positions: usize, decoded: &mut Decoded, spoken: usize) {
    let spoken = spoken.clamp(1, positions.max(1));
    let rows = (looks.len() / positions.max(1)).min(decoded.tokens.len() + 1);
    if rows == 0 {
        return;
    }
    let mut smooth = smoothed(looks, rows, positions, spoken);
    let begins = path(&mut smooth, rows, spoken);
    for (token, &begin) in decoded.tokens.iter_mut().zip(&begins) {
        token.begin = begin;
    }
    let end = begins.get(decoded.tokens.len()).copied();
    decoded.finish = end.unwrap_or(u16::try_from(spoken).unwrap_or(u16::MAX));
}

/// Each position without its mean over the tokens, by its deviation over them; then medians over time.
fn smoothed(looks: &[f32], rows: usize, positions: usize, spoken: usize) -> Vec<f32> {
    let at = |row: usize, position: usize| looks[row * positions + position];
    let mut normed = vec![0.0f32; rows * spoken];
    for position in 0..spoken {
        let mean = (0..rows).map(|row| at(row, position)).sum::<f32>() / rows as f32;
        let square = |row| (at(row, position) - mean).powi(2);
        let deviation = ((0..rows).map(square).sum::<f32>() / rows as f32).sqrt();
        for row in 0..rows {
            normed[row * spoken + position] = (at(row, position) - mean) / deviation.max(1e-9);
        }
    }
    let mut smooth = Vec::with_capacity(normed.len());
    for row in normed.chunks_exact(spoken) {
        for position in 0..spoken {
            let mut around = [0.0; MEDIAN];
            for (index, value) in around.iter_mut().enumerate() {
                let place = (position + index).saturating_sub(MEDIAN / 2);
                *value = row[place.min(spoken - 1)];
            }
            around.sort_by(f32::total_cmp);
            smooth.push(around[MEDIAN / 2]);
        }
    }
    smooth
}

/// The first position of each row on the path of the greatest sum from the first row and position to the last ones.
/// `values` become the sums.
fn path(values: &mut [f32], rows: usize, spoken: usize) -> Vec<u16> {
    /// Where the best way to a place comes from.
    #[derive(Clone, Copy)]
    enum Step {
        Both,
        Row,
        Position,
    }
    let mut steps = vec![Step::Both; rows * spoken];
    for row in 0..rows {
        for position in 0..spoken {
            let place = row * spoken + position;
            let both = if row > 0 && position > 0 {
                values[place - spoken - 1]
            } else if place == 0 {
                0.0
            } else {
                f32::NEG_INFINITY
            };
            let above = if row > 0 {
                values[place - spoken]
            } else {
                f32::NEG_INFINITY
            };
            let before = if position > 0 {
                values[place - 1]
            } else {
                f32::NEG_INFINITY
            };
            let (best, step) = if both >= above && both >= before {
                (both, Step::Both)
            } else if above > before {
                (above, Step::Row)
            } else {
                (before, Step::Position)
            };
            values[place] += best;
            steps[place] = step;
        }
    }
    let mut begins = vec![0; rows];
    let (mut row, mut position) = (rows - 1, spoken - 1);
    loop {
        begins[row] = u16::try_from(position).unwrap_or(u16::MAX);
        if row == 0 && position == 0 {
            return begins;
        }
        match steps[row * spoken + position] {
            Step::Both => (row, position) = (row - 1, position - 1),
            Step::Row => row -= 1,
            Step::Position => position -= 1,
        }
    }
}

/// A word's first and last position but one, taken in to where there is speech; of nothing but quiet it stays.
pub(super) fn tighten(begin: usize, end: usize, speech: &[bool]) -> (usize, usize) {
    let end = end.min(speech.len()).max(begin);
    let within = speech.get(begin..end).unwrap_or_default();
    let first = within.iter().position(|&speech| speech);
    let last = within.iter().rposition(|&speech| speech);
    match (first, last) {
        (Some(first), Some(last)) => (begin + first, begin + last + 1),
        _ => (begin, end),
    }
}

/// Of a log-mel spectrogram, two rows of `bins` to a position: at which there is speech.
pub(super) fn speech(mel: &[f32], bins: usize, spoken: usize) -> Vec<bool> {
    let levels: Vec<f32> = mel
        .chunks_exact(2 * bins)
        .take(spoken)
        .map(|rows| rows.iter().sum::<f32>() / (2 * bins) as f32)
        .collect();
    let mut sorted = levels.clone();
    sorted.sort_by(f32::total_cmp);
    let tenth = |tenths: usize| sorted.get(sorted.len() * tenths / 10).copied();
    let (Some(quiet), Some(loud)) = (tenth(1), tenth(9)) else {
        return Vec::new();
    };
    let least = quiet + SPEECH * (loud - quiet);
    levels.into_iter().map(|level| level >= least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::decoder::Token;

    fn decoded(tokens: usize) -> Decoded {
        let token = Token {
            id: 1,
            log_probability: -0.1,
            begin: 0,
        };
        Decoded {
            tokens: vec![token; tokens],
            end: Some(0.0),
            finish: 0,
            speech: Vec::new(),
            no_speech_probability: 0.0,
            language: None,
            ran_away: false,
        }
    }

    #[test]
    fn tokens_begin_where_they_are_looked_at() {
        // Three tokens and the end, each looked at for some positions, the silence after the turn not at all.
        let bounds = [0, 20, 45, 60, 80];
        let mut looks = vec![0.01; 4 * 130];
        for (row, bounds) in bounds.windows(2).enumerate() {
            looks[row * 130 + bounds[0]..row * 130 + bounds[1]].fill(0.5);
        }
        let mut decoded = decoded(3);
        align(&looks, 130, &mut decoded, 80);
        let begins: Vec<u16> = decoded.tokens.iter().map(|token| token.begin).collect();
        for (found, expected) in begins
            .iter()
            .chain([&decoded.finish])
            .zip([0i32, 20, 45, 60])
        {
            assert!((i32::from(*found) - expected).abs() <= 1, "{begins:?}");
        }
    }

    #[test]
    fn nothing_and_too_little_are_taken() {
        for (tokens, positions, rows, spoken) in [
            (0, 0, 0, 0),
            (3, 10, 0, 5),
            (3, 10, 2, 0),
            (2, 1, 3, 9),
            (0, 5, 1, 5),
        ] {
            let mut decoded = decoded(tokens);
            align(
                &vec![0.0; positions * rows],
                positions,
                &mut decoded,
                spoken,
            );
            assert!(usize::from(decoded.finish) <= spoken.max(positions));
        }
    }

    #[test]
    fn a_word_is_taken_in_to_where_there_is_speech() {
        let speech = [false, true, true, false, false, false];
        assert_eq!(tighten(0, 6, &speech), (1, 3));
        assert_eq!(tighten(3, 5, &speech), (3, 5));
        assert_eq!(tighten(2, 90, &speech), (2, 3));
        assert_eq!(tighten(9, 4, &speech), (9, 9));
    }

    #[test]
    fn speech_is_what_is_louder_than_the_turns_quiet() {
        let mut mel = vec![-1.0; 40 * 2 * 4];
        mel[10 * 8..30 * 8].fill(1.0);
        let found = speech(&mel, 4, 35);
        assert_eq!(found.len(), 35);
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(n, &speech)| speech == (10..30).contains(&n))
        );
        assert!(speech(&[], 4, 35).is_empty());
    }
}
