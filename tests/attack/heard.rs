//! Fifty calls as the listener heard them, each leg's sound as one hash of what left the dialogs and one of what it is decoded to.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use sotto_capture::{Captured, Decap, Link};
use sotto_dialog::{Counters, Dialogs, EndCause, Limits, Output};
use sotto_measure::decoded_digest;
use sotto_private::{Audio, CallEvent, Wall};
use sotto_tests::pcap::Packet;
use sotto_tests::script::{Call, Party, Script, Who};
use sotto_tests::{Made, make};

/// True calls.
pub(crate) const CALLS: usize = 50;
/// How long each of them talks, milliseconds.
pub(crate) const TALK_MS: u32 = 6_000;

/// Calls that begin one after the other within a second, each with a sound of its own on either leg.
pub(crate) fn calls() -> Made {
    let call = (0..CALLS).map(|number| {
        let named = |uri: String| Party { uri: Some(uri), ..Party::default() };
        let call = Call {
            start_ms: 20 * number as u64,
            ring_ms: 200,
            end_ms: Some(TALK_MS),
            call_id: Some(format!("true-{number}")),
            agent: named(format!("sip:1{number:03}@pbx.example")),
            customer: named(format!("sip:+1202555{number:04}@carrier.example")),
            ..Call::default()
        };
        let hz = 300.0 + 13.0 * number as f64;
        call.sounds(Who::Agent, 0, TALK_MS, hz).sounds(Who::Customer, 0, TALK_MS, hz + 7.0)
    });
    make(&Script { call: call.collect(), ..Script::default() }).unwrap()
}

/// A call, by who speaks with whom; what it came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Of each leg's sound: what was said, in which encoding, and where it lies on the clock.
    pub(crate) legs: [String; 2],
    /// What each leg's sound is decoded to, sample by sample.
    pub(crate) decoded: [u64; 2],
    pub(crate) packets: [u64; 2],
    /// From the answer to the end, milliseconds.
    pub(crate) lasted_ms: i64,
    pub(crate) cause: Option<EndCause>,
}

struct Hearing {
    parties: String,
    answered: Option<Wall>,
    legs: [Sha256; 2],
    sound: [Vec<Audio>; 2],
}

/// Passes frames through the decapsulation and the dialogs as the pipeline does.
pub(crate) struct Listener {
    decap: Decap,
    dialogs: Dialogs,
    open: BTreeMap<u64, Hearing>,
    /// Calls that were answered.
    heard: BTreeMap<String, Heard>,
    number: u64,
    latest: Wall,
}

impl Listener {
    pub(crate) fn new() -> Self {
        Self {
            decap: Decap::default(),
            dialogs: Dialogs::new(Limits::default()),
            open: BTreeMap::new(),
            heard: BTreeMap::new(),
            number: 0,
            latest: Wall::default(),
        }
    }

    pub(crate) fn frame(&mut self, packet: &Packet) {
        self.number += 1;
        let at = Wall::from_micros(packet.at_us);
        self.latest = self.latest.max(at);
        match self.decap.frame(Link::Ethernet, &packet.frame, at, self.number) {
            Some(Captured::Datagram(datagram)) => self.dialogs.datagram(datagram),
            Some(Captured::Segment(segment)) => self.dialogs.segment(segment),
            _ => {}
        }
        self.drain();
    }

    /// The end of the capture; the calls by their parties, and what was counted.
    pub(crate) fn finish(mut self) -> (BTreeMap<String, Heard>, Counters) {
        self.dialogs.finish(self.latest, EndCause::CaptureEnded);
        self.drain();
        (self.heard, self.dialogs.counters())
    }

    fn drain(&mut self) {
        while let Some(output) = self.dialogs.poll() {
            match output {
                Output::Audio(audio) => {
                    let Some(hearing) = self.open.get_mut(&audio.call.0) else { panic!("sound of a call that is not open") };
                    let leg = &mut hearing.legs[audio.side.index()];
                    leg.update(audio.start.micros.to_be_bytes());
                    leg.update(format!("{:?}", audio.encoding));
                    leg.update(audio.payload());
                    hearing.sound[audio.side.index()].push(audio);
                }
                Output::Event(CallEvent::Offered { call, calling, called, .. }) => {
                    let parties = format!("{} -> {}", calling.identity(), called.identity());
                    self.open.insert(call.0, Hearing { parties, answered: None, legs: [Sha256::new(), Sha256::new()], sound: [Vec::new(), Vec::new()] });
                }
                Output::Event(CallEvent::Answered { call, at, .. }) => {
                    if let Some(hearing) = self.open.get_mut(&call.0) {
                        hearing.answered = Some(at);
                    }
                }
                Output::Event(CallEvent::Ended { call, at, cause, .. }) => {
                    let Some(hearing) = self.open.remove(&call.0) else { panic!("the end of a call that is not open") };
                    let Some(answered) = hearing.answered else { continue };
                    let heard = Heard {
                        legs: hearing.legs.map(|leg| leg.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                        decoded: hearing.sound.each_ref().map(|sound| decoded_digest(answered, sound)),
                        packets: hearing.sound.each_ref().map(|sound| sound.len() as u64),
                        lasted_ms: at.since(answered) / 1_000,
                        cause: Some(cause),
                    };
                    assert_eq!(self.heard.insert(hearing.parties, heard), None, "one call became two");
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// What the fifty calls come to with nobody else on the wire.
pub(crate) fn undisturbed(made: &Made) -> BTreeMap<String, Heard> {
    let mut listener = Listener::new();
    made.packets.iter().for_each(|packet| listener.frame(packet));
    let (heard, _) = listener.finish();
    assert_eq!(heard.len(), CALLS);
    for (parties, call) in &heard {
        assert_eq!((call.lasted_ms, call.cause), (i64::from(TALK_MS), Some(EndCause::HungUp)), "{parties}");
        assert_eq!(call.packets, [u64::from(TALK_MS / 20); 2], "{parties}");
    }
    let sounds: std::collections::BTreeSet<u64> = heard.values().flat_map(|call| call.decoded).collect();
    assert_eq!(sounds.len(), 2 * CALLS, "each leg has a sound of its own");
    heard
}

/// That the fifty calls are what they were, and how far they are not.
pub(crate) fn assert_same(with: &BTreeMap<String, Heard>, without: &BTreeMap<String, Heard>) {
    let changed: Vec<_> = without.iter().filter(|(parties, call)| with.get(*parties) != Some(call)).collect();
    if let Some((parties, call)) = changed.first() {
        panic!("{} of {} calls are not what they were; the first, {parties}:\n{call:?}\nbecame\n{:?}", changed.len(), without.len(), with.get(*parties));
    }
}
