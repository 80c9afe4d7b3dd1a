//! The ports at which sound is received.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Even ports, each with the odd one behind it for RTCP (RFC 3550 section 11). One that was given back rests the longest: late
/// packets of a call that is over must not reach another.
#[derive(Debug)]
pub(super) struct Ports {
    free: VecDeque<u16>,
}

impl Ports {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        let (first, last) = (*range.start(), *range.end());
        Self { free: range.filter(|port| port % 2 == 0 && *port >= first && *port < last).collect() }
    }

    pub(super) fn take(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    pub(super) fn give(&mut self, port: u16) {
        self.free.push_back(port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_room_for_rtcp_and_rests() {
        let mut ports = Ports::new(20_001..=20_006);
        assert_eq!([ports.take(), ports.take(), ports.take()], [Some(20_002), Some(20_004), None]);
        ports.give(20_004);
        assert_eq!(ports.take(), Some(20_004));
    }
}
