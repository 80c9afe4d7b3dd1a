//! A few seconds of listening at a mirror port, counted only: nothing of it is kept, and nothing decoded.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sotto_capture::{Captured, Counters, Interface, InterfaceOptions, Next, Source as _};
use sotto_dialog::{Dialogs, Limits, Output};
use sotto_redact::Proposer;

use crate::pipeline::wall_clock;

/// Where `sotto-mirror@.service` puts the mirror interface, away from all others.
pub(crate) const NAMESPACE: &str = "/run/netns/sotto-mirror";

/// What was heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) seconds: u64,
    /// Why it cannot be listened to.
    pub(crate) refused: Option<String>,
    pub(crate) is_down: bool,
    /// It is in a network namespace of its own.
    pub(crate) is_apart: bool,
    pub(crate) ring_bytes: usize,
    /// Frames that came in while it listened, of any kind.
    pub(crate) frames: u64,
    pub(crate) capture: Counters,
    pub(crate) dialog: sotto_dialog::Counters,
    /// Calls of which one direction sounded, and of which both did.
    pub(crate) one_way: usize,
    pub(crate) both_ways: usize,
    /// What the parties' numbers have in common.
    pub(crate) proposer: Proposer,
}

/// Listens. It runs on a thread of its own, which may go where the interface is.
pub(crate) fn listen(name: &str, options: InterfaceOptions, seconds: u64) -> Heard {
    let heard = std::thread::scope(|scope| scope.spawn(|| here_or_apart(name, options, seconds)).join());
    heard.unwrap_or_else(|_| Heard { refused: Some("listening failed".to_owned()), ..Heard::default() })
}

/// The interfaces that are here, and the one that was put apart, with whether each is up; the loopback last.
pub(crate) fn interfaces() -> Vec<(String, bool)> {
    let mut names: Vec<String> = counted().into_keys().collect();
    let apart = std::thread::scope(|scope| scope.spawn(|| if go_apart() { counted() } else { BTreeMap::new() }).join());
    names.extend(apart.unwrap_or_default().into_keys().filter(|name| name != "lo"));
    names.sort_by_key(|name| (name == "lo", name.clone()));
    names.dedup();
    let is_up = |name: &String| {
        let flags = std::fs::read_to_string(PathBuf::from("/sys/class/net").join(name).join("flags")).unwrap_or_default();
        // IFF_UP (netdevice(7)); one that is apart is not seen here, and is up, as the service has it.
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).map_or(true, |flags| flags & 1 != 0)
    };
    names.into_iter().map(|name| (is_up(&name), name)).map(|(is_up, name)| (name, is_up)).collect()
}

fn here_or_apart(name: &str, options: InterfaceOptions, seconds: u64) -> Heard {
    let mut heard = Heard { seconds, ..Heard::default() };
    if !counted().contains_key(name) {
        heard.is_apart = go_apart() && counted().contains_key(name);
    }
    let before = counted().get(name).copied().unwrap_or_default();
    let mut interface = match Interface::open(name, options) {
        Ok(interface) => interface,
        Err(error) => return Heard { refused: Some(error.to_string()), ..heard },
    };
    heard.ring_bytes = interface.ring_bytes();
    let mut dialogs = Dialogs::new(Limits::default());
    let mut sounded: BTreeMap<u64, [bool; 2]> = BTreeMap::new();
    let end = wall_clock().micros.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000));
    while wall_clock().micros < end {
        match interface.next() {
            Ok(Next::Item(Captured::Datagram(datagram))) => dialogs.datagram(datagram),
            Ok(Next::Item(Captured::Segment(segment))) => dialogs.segment(segment),
            Ok(Next::InterfaceDown) => heard.is_down = true,
            Ok(Next::InterfaceUp) => heard.is_down = false,
            Ok(_) => dialogs.advance(wall_clock()),
            Err(error) => {
                heard.refused = Some(error.to_string());
                break;
            }
        }
        while let Some(output) = dialogs.poll() {
            match output {
                Output::Event(event) => heard.proposer.see(&event),
                Output::Audio(audio) => sounded.entry(audio.call.0).or_default()[audio.side.index()] = true,
            }
        }
    }
    heard.both_ways = sounded.values().filter(|sides| sides[0] && sides[1]).count();
    heard.one_way = sounded.len() - heard.both_ways;
    heard.capture = interface.counters();
    heard.dialog = dialogs.counters();
    heard.frames = counted().get(name).copied().unwrap_or_default().saturating_sub(before);
    heard
}

/// Takes this thread to where the mirror interface is alone; whether there is such a place.
fn go_apart() -> bool {
    let Ok(place) = std::fs::File::open(NAMESPACE) else { return false };
    move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).is_ok()
}

/// The interfaces of this thread's network namespace, with the frames that each has received.
pub(crate) fn counted() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    parse(&text)
}

/// `/proc/net/dev` (proc(5)): name, then received bytes and packets.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        Some((name.trim().to_owned(), rest.split_whitespace().nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let text = "Inter-|   Receive                            |  Transmit\n face |bytes    packets errs drop\n    lo:     772      10    0    4\n  eth1: 1 2 3\n torn:\n";
        assert_eq!(parse(text), BTreeMap::from([("lo".to_owned(), 10), ("eth1".to_owned(), 2)]));
    }

    #[test]
    fn an_interface_that_is_not_there_is_told() {
        let heard = listen("sotto-nowhere", InterfaceOptions::default(), 1);
        assert!(heard.refused.unwrap().contains("no such interface"));
    }
}
