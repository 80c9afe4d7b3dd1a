//! When a decoding has run away, and what is left of it; when it is so doubtful that another one is worth its time.

use super::decoder::{Decoded, Token};

/// Nobody speaks faster: 8 tokens a second are some 6 words, and the 24 allow for spelled numbers in a short turn.
const TOKENS_A_SECOND: f32 = 8.0;
const TOKENS_AT_LEAST: f32 = 24.0;
/// The longest phrase that is looked for as a repetition.
const MAX_PHRASE: usize = 24;
/// So often the same, and so many tokens in all: "no, no, no, no" is speech.
const REPEATS: usize = 4;
const REPEATED_TOKENS: usize = 12;

/// Tokens less likely than this on average are mostly not what was said. OpenAI's `logprob_threshold` is -1: of 135 prompts in noise as
/// loud as speech it held of 33, and decoding them again made 152 errors of 154; with this one it holds of 8, and
/// hardly ever without noise.
const UNLIKELY: f32 = -1.5;
/// So many times as many pairs of neighbouring tokens as different ones: what OpenAI's `compression_ratio_threshold` is for. Few tokens
/// tell nothing.
const COMPRESSION: f32 = 2.0;
const COMPRESSED_TOKENS: usize = 16;

/// Whether the decoding is hardly believable: its tokens unlikely, or much the same again and again.
pub(super) fn is_doubtful(decoded: &Decoded) -> bool {
    decoded.average_log_probability() < UNLIKELY || compression(&decoded.tokens) > COMPRESSION
}

/// How many times each pair of neighbours is there on average.
fn compression(tokens: &[Token]) -> f32 {
    if tokens.len() < COMPRESSED_TOKENS {
        return 1.0;
    }
    let mut pairs: Vec<(u32, u32)> = tokens.windows(2).map(|two| (two[0].id, two[1].id)).collect();
    let count = pairs.len();
    pairs.sort_unstable();
    pairs.dedup();
    let ratio = count as f32 / pairs.len() as f32;
    pairs.iter_mut().for_each(|pair| *pair = (0, 0));
    ratio
}

/// Whether the decoding repeats itself, or says more than a turn of so many seconds can hold.
pub(super) fn runs_away(tokens: &[Token], seconds: f32) -> bool {
    tokens.len() > most_tokens(seconds) || phrase(tokens).is_some()
}

/// Tokens that a turn of so many seconds can hold.
pub(super) fn most_tokens(seconds: f32) -> usize {
    (TOKENS_AT_LEAST + TOKENS_A_SECOND * seconds) as usize
}

/// Keeps a repeated phrase once.
pub(super) fn cut(decoded: &mut Decoded) {
    let tokens = &mut decoded.tokens;
    while let Some(length) = phrase(tokens) {
        let kept = &tokens[tokens.len() - length..];
        let mut end = tokens.len() - length;
        while end >= length && same(&tokens[end - length..end], kept) {
            end -= length;
        }
        if let Some(cut) = tokens.get(end + length) {
            decoded.finish = cut.begin;
        }
        tokens.truncate(end + length);
    }
}

/// The length of the phrase that the tokens end with again and again.
fn phrase(tokens: &[Token]) -> Option<usize> {
    (1..=MAX_PHRASE).find(|&length| {
        let times = REPEATS.max(REPEATED_TOKENS.div_ceil(length));
        let Some(start) = tokens.len().checked_sub(times * length) else {
            return false;
        };
        let tail = &tokens[start..];
        same(&tail[length..], &tail[..tail.len() - length])
    })
}

fn same(a: &[Token], b: &[Token]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.id == b.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[u32]) -> Vec<Token> {
        ids.iter()
            .map(|&id| Token {
                id,
                log_probability: -0.1,
                begin: 0,
            })
            .collect()
    }

    #[test]
    fn speech_does_not_run_away() {
        let counting: Vec<u32> = (0..30).collect();
        assert!(!runs_away(&tokens(&counting), 5.0));
        assert!(
            !runs_away(&tokens(&[5, 1, 1, 1, 1, 1, 7]), 2.0),
            "no, no, no"
        );
        assert!(!runs_away(&tokens(&[1, 2, 3, 1, 2, 3, 1, 2, 3]), 2.0));
        assert!(!runs_away(&[], 0.0));
    }

    #[test]
    fn repetition_and_too_many_words_do() {
        assert!(runs_away(
            &tokens(&[9, 8, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]),
            20.0
        ));
        assert!(runs_away(&tokens(&[4; 12]), 20.0));
        let many: Vec<u32> = (0..41).collect();
        assert!(runs_away(&tokens(&many), 2.0));
        assert!(!runs_away(&tokens(&many), 20.0));
    }

    fn decoded(tokens: Vec<Token>, ran_away: bool) -> Decoded {
        Decoded {
            tokens,
            end: None,
            finish: 0,
            speech: Vec::new(),
            no_speech_probability: 0.0,
            language: None,
            ran_away,
        }
    }

    #[test]
    fn what_is_unlikely_or_much_the_same_is_doubtful() {
        let with = |log_probability: f32| {
            let mut tokens = tokens(&[1, 2, 3, 4]);
            tokens[1].log_probability = log_probability;
            is_doubtful(&decoded(tokens, false))
        };
        // With three of -0.1 the mean of four.
        assert!(with(-5.8) && !with(-5.6));
        let again: Vec<u32> = [1, 2, 3, 4, 5].into_iter().cycle().take(17).collect();
        assert!(!runs_away(&tokens(&again), 20.0));
        assert!(is_doubtful(&decoded(tokens(&again), false)));
        assert!(!is_doubtful(&decoded(tokens(&again[..15]), false)));
        let counting: Vec<u32> = (0..40).collect();
        assert!(!is_doubtful(&decoded(tokens(&counting), false)));
        assert!(!is_doubtful(&decoded(Vec::new(), false)));
    }

    #[test]
    fn a_phrase_stays_once() {
        let mut decoded = decoded(tokens(&[9, 8, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]), true);
        cut(&mut decoded);
        let ids: Vec<u32> = decoded.tokens.iter().map(|token| token.id).collect();
        assert_eq!(ids, [9, 8, 1, 2, 3]);
    }
}
