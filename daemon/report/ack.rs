//! The only shape that may come in: what a collector says it has.

use std::fmt;
use std::str::FromStr;

use crate::{Fingerprint, IdError, Millis};

/// `ack`: these scores of this box are on a collector's disk. The box deletes those of them that it had sent and was still owed an answer for:
/// an acknowledgement can end the keeping of a copy, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// When it was said.
    pub ts_ms: Millis,
    /// Whose scores, as they name it (`outbox`).
    pub outbox: Fingerprint,
    /// Which, by their `order`.
    pub orders: Orders,
}

/// Ranges of numbers from 1 on, in ascending order and apart from each other; written as `1-4,6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Orders {
    ranges: [(u64, u64); Self::AT_MOST],
    count: usize,
}

impl Orders {
    /// So many ranges are said at once.
    pub const AT_MOST: usize = 16;

    /// Adds a range behind the others: whether there was room for it, and it lay there.
    pub fn push(&mut self, from: u64, to: u64) -> bool {
        let last = self.iter().last().map_or(0, |(_, to)| to);
        if self.count == Self::AT_MOST || from <= last || to < from {
            return false;
        }
        self.ranges[self.count] = (from, to);
        self.count += 1;
        true
    }

    /// The ranges, both ends included.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges[..self.count].iter().copied()
    }
}

impl fmt::Display for Orders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ordinal, (from, to)) in self.iter().enumerate() {
            let separator = if ordinal == 0 { "" } else { "," };
            if from == to { write!(formatter, "{separator}{from}")? } else { write!(formatter, "{separator}{from}-{to}")? }
        }
        Ok(())
    }
}

impl FromStr for Orders {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut orders = Self::default();
        for range in text.split(',') {
            let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let (Some(from), Some(to)) = (number(from), number(to)) else { return Err(IdError) };
            if !orders.push(from, to) {
                return Err(IdError);
            }
        }
        Ok(orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_back_and_nothing_else_does() {
        for text in ["1", "1-4,6", "7-18446744073709551615"] {
            assert_eq!(text.parse::<Orders>().unwrap().to_string(), text);
        }
        let many: String = (1..=17).map(|n| format!("{},", 2 * n)).collect();
        for wrong in ["", "0", "4-1", "1-4,4", "6,1", "+1", "1-", "-1", "1,", "a", "1-2-3", "99999999999999999999", many.trim_end_matches(',')] {
            assert!(wrong.parse::<Orders>().is_err(), "{wrong}");
        }
    }
}
