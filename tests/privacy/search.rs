//! Finds canaries in bytes: text in any case and in the forms that programs write text in, sound by pieces of 64 bytes.

use std::collections::HashMap;
use std::fmt;

/// Every pattern is at least this long; its first bytes are looked up.
const HEAD: usize = 8;
/// A piece of sound.
const PIECE: usize = 64;
/// From one piece to the next: so no run of 64 + 15 bytes of the sound goes unseen.
const STRIDE: usize = 16;
/// Fewer different bytes than this make silence, which is everywhere.
const LEAST_DIFFERENT: usize = 12;

/// A canary that got out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which, and in what form.
    pub(crate) canary: String,
    pub(crate) place: String,
    pub(crate) offset: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {} at byte {}", self.canary, self.place, self.offset)
    }
}

#[derive(Default)]
pub(crate) struct Search {
    /// Looked for byte by byte.
    exact: Patterns,
    /// Looked for in lower case.
    folded: Patterns,
}

#[derive(Default)]
struct Patterns(HashMap<[u8; HEAD], Vec<(Vec<u8>, String)>>);

impl Patterns {
    fn add(&mut self, pattern: Vec<u8>, canary: String) {
        let head = pattern[..HEAD].try_into().unwrap();
        self.0.entry(head).or_default().push((pattern, canary));
    }

    fn find(&self, place: &str, bytes: &[u8], found: &mut Vec<Found>) {
        for (offset, head) in bytes.windows(HEAD).enumerate() {
            for (pattern, canary) in self.0.get(head).into_iter().flatten() {
                if bytes[offset..].starts_with(pattern) {
                    found.push(Found { canary: canary.clone(), place: place.to_owned(), offset });
                }
            }
        }
    }
}

impl Search {
    /// A word, a name, a number: at least eight characters of ASCII.
    pub(crate) fn text(&mut self, text: &str) {
        assert!(text.is_ascii() && text.len() >= HEAD, "{text} would be found by chance");
        let lower = text.to_lowercase();
        let wide = |order: fn(u16) -> [u8; 2]| lower.bytes().flat_map(|byte| order(byte.into())).collect::<Vec<u8>>();
        for (form, pattern) in [
            ("as it is", lower.clone().into_bytes()),
            ("in UTF-16LE", wide(u16::to_le_bytes)),
            ("in UTF-16BE", wide(u16::to_be_bytes)),
            ("in hexadecimal", hexadecimal(lower.as_bytes())),
            ("in hexadecimal", hexadecimal(text.as_bytes())),
            ("backwards", lower.bytes().rev().collect()),
        ] {
            self.folded.add(pattern, format!("{text} {form}"));
        }
        let mut capital = lower.clone();
        capital[..1].make_ascii_uppercase();
        for form in [&lower, &capital, &lower.to_uppercase()] {
            for before in 0..3 {
                self.exact.add(base64_inside(form.as_bytes(), before), format!("{text} in base64"));
            }
        }
    }

    /// Sound, as 8-bit mu-law words: itself, the samples that it decodes to, and what `base64` makes of both.
    pub(crate) fn sound(&mut self, name: &str, mu_law: &[u8]) {
        let samples: Vec<i16> = mu_law.iter().copied().map(decoded).collect();
        let bytes = |of: fn(i16) -> Vec<u8>| samples.iter().copied().flat_map(of).collect::<Vec<u8>>();
        for (form, bytes) in [
            ("in mu-law", mu_law.to_vec()),
            ("in PCM16LE", bytes(|sample| sample.to_le_bytes().to_vec())),
            ("in PCM16BE", bytes(|sample| sample.to_be_bytes().to_vec())),
            ("in 32-bit floats", bytes(|sample| (f32::from(sample) / 32_768.0).to_le_bytes().to_vec())),
        ] {
            for piece in bytes.windows(PIECE).step_by(STRIDE).filter(|piece| says_something(piece)) {
                self.exact.add(piece.to_vec(), format!("{name} {form}"));
            }
            for piece in bytes.chunks_exact(PIECE / 4 * 3).filter(|piece| says_something(piece)) {
                self.exact.add(base64(piece), format!("{name} {form} in base64"));
            }
        }
    }

    /// What is found in one place.
    pub(crate) fn look(&self, place: &str, bytes: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        self.exact.find(place, bytes, &mut found);
        self.folded.find(place, &bytes.to_ascii_lowercase(), &mut found);
        found
    }
}

fn says_something(piece: &[u8]) -> bool {
    let mut different = [false; 256];
    piece.iter().for_each(|&byte| different[usize::from(byte)] = true);
    different.iter().filter(|&&is_there| is_there).count() >= LEAST_DIFFERENT
}

/// ITU-T G.711, table 2b.
fn decoded(word: u8) -> i16 {
    let word = !word;
    let magnitude = (((i16::from(word & 0x0f) << 3) + 0x84) << ((word & 0x70) >> 4)) - 0x84;
    if word & 0x80 == 0 { magnitude } else { -magnitude }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// RFC 4648 section 4, without padding.
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|group| {
            let bits = group.iter().enumerate().fold(0_u32, |bits, (place, &byte)| bits | u32::from(byte) << (16 - 8 * place));
            (0..=group.len()).map(move |place| ALPHABET[(bits >> (18 - 6 * place)) as usize & 63])
        })
        .collect()
}

/// What base64 makes of bytes that stand `before` bytes after the start of a group: only the characters that do not depend on what is around.
fn base64_inside(bytes: &[u8], before: usize) -> Vec<u8> {
    let padded = [&vec![0; before], bytes].concat();
    let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    base64(&padded)[first..last].to_vec()
}
