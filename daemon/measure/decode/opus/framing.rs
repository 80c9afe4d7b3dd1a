//! How an Opus packet is put together (RFC 6716 section 3), checked before a decoder sees it.

use crate::decode::{RATE, Refused};

/// The longest frame, bytes (section 3.2.1; R2 of section 3.4).
const LONGEST_FRAME: usize = 1_275;
/// The longest packet, samples at [`RATE`]: 120 ms (R5 of section 3.4).
const LONGEST_PACKET: usize = RATE as usize * 120 / 1_000;

/// How many samples at [`RATE`] a whole packet holds. All of section 3.4's rules, R1 to R7, are seen to.
pub(crate) fn samples(packet: &[u8]) -> Result<usize, Refused> {
    let (&toc, rest) = packet.split_first().ok_or(Refused::Damaged)?;
    let frames = match toc & 3 {
        0 => one(rest)?,
        1 => two_alike(rest)?,
        2 => two(rest)?,
        _ => several(rest)?,
    };
    let samples = frames * frame(toc);
    if samples <= LONGEST_PACKET { Ok(samples) } else { Err(Refused::Damaged) }
}

/// Samples of one frame at [`RATE`] (table 2).
pub(crate) fn frame(toc: u8) -> usize {
    /// 2.5 ms.
    const SHORTEST: usize = RATE as usize / 400;
    match toc >> 3 {
        config @ 0..=11 => SHORTEST * [4, 8, 16, 24][usize::from(config % 4)],
        config @ 12..=15 => SHORTEST * [4, 8][usize::from(config % 2)],
        config => SHORTEST * [1, 2, 4, 8][usize::from(config % 4)],
    }
}

/// Code 0, section 3.2.2.
fn one(rest: &[u8]) -> Result<usize, Refused> {
    fits(rest.len()).map(|()| 1)
}

/// Code 1, section 3.2.3: R3.
fn two_alike(rest: &[u8]) -> Result<usize, Refused> {
    if !rest.len().is_multiple_of(2) {
        return Err(Refused::Damaged);
    }
    fits(rest.len() / 2).map(|()| 2)
}

/// Code 2, section 3.2.4: R4.
fn two(rest: &[u8]) -> Result<usize, Refused> {
    let (first, rest) = length(rest)?;
    fits(rest.len().checked_sub(first).ok_or(Refused::Damaged)?).map(|()| 2)
}

/// Code 3, section 3.2.5: R5, R6 and R7.
fn several(rest: &[u8]) -> Result<usize, Refused> {
    let (&count, mut rest) = rest.split_first().ok_or(Refused::Damaged)?;
    let (is_variable, is_padded, frames) = (count & 0x80 != 0, count & 0x40 != 0, usize::from(count & 0x3f));
    // 48 frames of 2.5 ms are 120 ms; more are too long whatever they hold.
    if !(1..=48).contains(&frames) {
        return Err(Refused::Damaged);
    }
    let mut padding = 0usize;
    if is_padded {
        loop {
            let (&more, after) = rest.split_first().ok_or(Refused::Damaged)?;
            rest = after;
            // 255 stands for 254 and another byte.
            padding += usize::from(more.min(254));
            if more < 255 {
                break;
            }
        }
    }
    let mut sound = rest.len().checked_sub(padding).ok_or(Refused::Damaged)?;
    if !is_variable {
        return if sound.is_multiple_of(frames) { fits(sound / frames).map(|()| frames) } else { Err(Refused::Damaged) };
    }
    // The lengths of all frames but the last come first; of the padding nothing is a length.
    rest = rest.get(..sound).unwrap_or_default();
    let mut told = 0usize;
    for _ in 1..frames {
        let (length, after) = length(rest)?;
        rest = after;
        told += length;
    }
    sound = rest.len().checked_sub(told).ok_or(Refused::Damaged)?;
    fits(sound).map(|()| frames)
}

/// A frame's length, told by one byte or two (section 3.2.1), and what comes after it.
fn length(rest: &[u8]) -> Result<(usize, &[u8]), Refused> {
    match *rest {
        [short @ 0..=251, ref rest @ ..] => Ok((usize::from(short), rest)),
        [first @ 252..=255, second, ref rest @ ..] => Ok((usize::from(first) + 4 * usize::from(second), rest)),
        _ => Err(Refused::Damaged),
    }
}

const fn fits(frame: usize) -> Result<(), Refused> {
    if frame <= LONGEST_FRAME { Ok(()) } else { Err(Refused::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(head: &[u8], length: usize) -> Vec<u8> {
        head.iter().copied().chain(std::iter::repeat_n(0, length)).collect()
    }

    #[test]
    fn each_rule_of_section_3_4() {
        // SILK, 20 ms: 0x08, CELT, 2.5 ms: 0xe0.
        let read = |head: &[u8], length: usize| samples(&packet(head, length)).ok();
        assert_eq!(samples(&[]).ok(), None, "R1");
        assert_eq!(read(&[0x08], 0), Some(160), "a frame may be empty");
        assert_eq!(read(&[0x08], 1_275), Some(160), "R2");
        assert_eq!(read(&[0x08], 1_276), None, "R2");
        assert_eq!(read(&[0x09], 20), Some(320), "R3");
        assert_eq!(read(&[0x09], 21), None, "R3");
        assert_eq!(read(&[0x09], 2_552), None, "R2, of two");
        assert_eq!(read(&[0x0a, 5], 5), Some(320), "R4");
        assert_eq!(read(&[0x0a, 5], 4), None, "R4");
        assert_eq!(read(&[0x0a, 252, 1], 256), Some(320), "R4, in two bytes");
        assert_eq!(read(&[0x0a, 252], 0), None, "R4, half a length");
        assert_eq!(read(&[0x0a], 0), None, "R4, no length");
        assert_eq!(read(&[0xe3, 48], 48), Some(960), "R5");
        assert_eq!(read(&[0xe3, 49], 49), None, "R5");
        assert_eq!(read(&[0xe3, 0], 0), None, "R5, no frame");
        assert_eq!(read(&[0x0b, 7], 7), None, "R5, 140 ms");
        assert_eq!(read(&[0xe3, 3], 7), None, "R6");
        assert_eq!(read(&[0xe3, 3 | 0x40, 2], 8), Some(60), "R6, padded");
        assert_eq!(read(&[0xe3, 3 | 0x40, 255, 1], 255 + 6), Some(60), "R6, padded with 255 bytes");
        assert_eq!(read(&[0xe3, 3 | 0x40, 9], 8), None, "R6, more padding than packet");
        assert_eq!(read(&[0xe3, 3 | 0x40, 255], 0), None, "padding without an end");
        assert_eq!(read(&[0xe3, 3 | 0x80, 2, 3], 5), Some(60), "R7");
        assert_eq!(read(&[0xe3, 3 | 0x80, 2, 3], 4), None, "R7");
        assert_eq!(read(&[0xe3, 3 | 0x80, 2], 0), None, "R7, a length is missing");
        assert_eq!(read(&[0xe3, 3 | 0xc0, 1, 2, 3], 6), Some(60), "R7, padded");
        assert_eq!(read(&[0xe3, 3 | 0xc0, 2, 2], 2), None, "R7, a length within the padding is none");
    }

    /// What is agreed with the stage before, which counts the same time from the first bytes.
    #[test]
    fn it_lasts_as_long_as_the_stage_before_said() {
        for toc in 0..=255u8 {
            for second in 0..=63u8 {
                let packet = packet(&[toc, second], 96 - 2 * usize::from(toc & 1 != 1));
                if let Ok(samples) = samples(&packet) {
                    assert_eq!(samples as i64 * 125, sotto_private::Encoding::Opus.micros(&packet), "{toc:#x} {second}");
                }
            }
        }
    }
}
