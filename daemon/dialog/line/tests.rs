use sotto_private::{Audio, Origin, Side};

use super::*;
use crate::Dialogs;

const RATE: u32 = 8_000;
const BLOCK: i64 = 20_000;

/// Feeds a line of blocks of 20 ms, and keeps what comes of it.
struct Tap {
    dialogs: Dialogs,
    at: Wall,
    noise: u64,
    events: Vec<CallEvent>,
    sound: Vec<Audio>,
}

#[derive(Clone, Copy)]
enum Sound {
    Hiss,
    Voice,
    Tone(f64, f64),
}

impl Tap {
    fn new() -> Self {
        Self { dialogs: Dialogs::new(Limits::default()), at: Wall::from_micros(1_000_000_000), noise: 1, events: Vec::new(), sound: Vec::new() }
    }

    fn block(&mut self, sound: Sound) -> Vec<i16> {
        let mut noise = || {
            self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from((self.noise >> 48) as u16 as i16)
        };
        let sine = |at: u32, hertz: f64| (f64::from(at) * hertz * std::f64::consts::TAU / f64::from(RATE)).sin() * 4_000.0;
        (0..RATE / 50)
            .map(|at| match sound {
                Sound::Hiss => noise() / 1_500.0,
                Sound::Voice => noise() / 8.0,
                Sound::Tone(low, high) => sine(at, low) + sine(at, high) + noise() / 1_500.0,
            } as i16)
            .collect()
    }

    /// `ms` of sound on the two channels.
    fn hear(&mut self, ms: i64, left: Sound, right: Sound) {
        for _ in 0..ms / 20 {
            for (channel, sound) in [(0, left), (1, right)] {
                let block = self.block(sound);
                self.dialogs.line(Pcm::new(self.at, 1, channel, RATE, block));
                self.drain();
            }
            self.at = self.at.plus(BLOCK);
        }
    }

    fn hear_both_in_one(&mut self, ms: i64, sound: Sound) {
        for _ in 0..ms / 20 {
            let block = self.block(sound);
            self.dialogs.line(Pcm::new(self.at, 1, Pcm::BOTH, RATE, block));
            self.drain();
            self.at = self.at.plus(BLOCK);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.dialogs.poll() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Audio(audio) => self.sound.push(audio),
            }
        }
    }

    fn names(&self) -> Vec<&'static str> {
        let name = |event: &CallEvent| match event {
            CallEvent::Offered { origin: Origin::Recording, .. } => "offered",
            CallEvent::Answered { .. } => "answered",
            CallEvent::Mixed { .. } => "mixed",
            CallEvent::Ended { cause: EndCause::HungUp, .. } => "hung up",
            CallEvent::Ended { cause: EndCause::Stopped, .. } => "stopped",
            _ => "else",
        };
        self.events.iter().map(name).collect()
    }
}

#[test]
fn two_calls_on_one_line() {
    let mut tap = Tap::new();
    tap.hear(5_000, Sound::Hiss, Sound::Hiss);
    assert!(tap.events.is_empty());
    let spoke = tap.at;
    tap.hear(3_000, Sound::Voice, Sound::Hiss);
    tap.hear(10_000, Sound::Hiss, Sound::Hiss);
    tap.hear(3_000, Sound::Hiss, Sound::Voice);
    let fell_silent = tap.at;
    tap.hear(25_000, Sound::Hiss, Sound::Hiss);
    tap.hear(2_000, Sound::Voice, Sound::Hiss);
    tap.dialogs.finish(tap.at, EndCause::Stopped);
    tap.drain();
    assert_eq!(tap.names(), ["offered", "answered", "hung up", "offered", "answered", "stopped"]);
    assert_eq!(tap.events[1].at(), spoke.plus(-LEAD), "with what came just before");
    assert_eq!(tap.events[2].at(), fell_silent, "over at the last voice, not 20 s after it");
    assert_eq!(tap.dialogs.counters().calls_open, 0);
    // Both channels are whole from the answer on.
    let first = tap.events[0].call();
    for side in Side::BOTH {
        let mut sound = tap.sound.iter().filter(|audio| audio.call == first && audio.side == side);
        assert_eq!(sound.next().map(|audio| audio.start), Some(spoke.plus(-LEAD)));
        assert!(sound.count() > 800);
    }
}

#[test]
fn a_click_is_no_call_and_neither_are_tones() {
    let mut tap = Tap::new();
    tap.hear(5_000, Sound::Hiss, Sound::Hiss);
    tap.hear(200, Sound::Voice, Sound::Hiss);
    tap.hear(2_000, Sound::Hiss, Sound::Hiss);
    tap.hear(30_000, Sound::Tone(350.0, 440.0), Sound::Hiss);
    assert!(tap.events.is_empty(), "{:?}", tap.names());
    tap.hear(1_000, Sound::Voice, Sound::Voice);
    let fell_silent = tap.at;
    tap.hear(25_000, Sound::Tone(480.0, 620.0), Sound::Hiss);
    assert_eq!(tap.names(), ["offered", "answered", "hung up"], "a busy tone does not keep a call");
    assert_eq!(tap.events[2].at(), fell_silent);
}

#[test]
fn dialled_digits_mark_where_the_call_was_offered() {
    let mut tap = Tap::new();
    tap.hear(2_000, Sound::Hiss, Sound::Hiss);
    let dialled = tap.at;
    for high in [1_209.0, 1_336.0, 1_477.0] {
        tap.hear(80, Sound::Tone(770.0, high), Sound::Hiss);
        tap.hear(80, Sound::Hiss, Sound::Hiss);
    }
    tap.hear(12_000, Sound::Hiss, Sound::Tone(440.0, 480.0));
    let spoke = tap.at;
    tap.hear(2_000, Sound::Hiss, Sound::Voice);
    assert_eq!(tap.names(), ["offered", "answered"]);
    assert_eq!((tap.events[0].at(), tap.events[1].at()), (dialled, spoke.plus(-LEAD)));
}

#[test]
fn both_parties_in_one_channel_are_nobodys_in_particular() {
    let mut tap = Tap::new();
    tap.hear_both_in_one(2_000, Sound::Hiss);
    tap.hear_both_in_one(2_000, Sound::Voice);
    assert_eq!(tap.names(), ["offered", "answered", "mixed"]);
    assert!(tap.sound.iter().all(|audio| audio.side == Side::Calling));
}

#[test]
fn a_line_that_goes_dead_ends_its_call() {
    let mut tap = Tap::new();
    tap.hear(1_000, Sound::Hiss, Sound::Hiss);
    tap.hear(1_000, Sound::Voice, Sound::Hiss);
    tap.dialogs.advance(tap.at.plus(19_000_000));
    tap.drain();
    assert_eq!(tap.names(), ["offered", "answered"]);
    tap.dialogs.advance(tap.at.plus(21_000_000));
    tap.drain();
    assert_eq!(tap.names(), ["offered", "answered", "hung up"]);
}

/// While nobody speaks, no more than a second and a half of sound is kept, whatever the times say.
#[test]
fn a_quiet_line_keeps_little() {
    let mut line = Line::default();
    let (limits, mut calls) = (Limits::default(), Calls::new(Limits::default()));
    for number in 0..5_000 {
        // A clock that stands still.
        line.pcm(Pcm::new(Wall::from_micros(7), number, 0, RATE, vec![0; 160]), &limits, &mut calls);
        line.pcm(Pcm::new(Wall::from_micros(7), number, 9, RATE, vec![0; 160]), &limits, &mut calls);
    }
    assert!(line.waiting.len() <= BLOCKS);
    assert_eq!(calls.counters().not_media, 5_000);
}
