//! One leg of a call: encoded packets in, stretches of talk and turns for the recogniser out.

use std::hint::black_box;

use sotto_models::vad::{Look, Vad, VadState};
use sotto_private::{Audio, Call, Encoding, Private, Side, Turn, Wall};

use crate::conceal::HISTORY;
use crate::decode::{Decoder, RATE, Refused};
use crate::sound::Sound;
use crate::turns::{FRAME, Noticed, Segmenter, Talk};

/// A hole longer than this is not filled: the timeline jumps over it.
const LONGEST_FILLED: i64 = 500 * 8;
/// Packets' edges may be this far off each other and still touch (rounding of time stamps).
const TOUCHING: i64 = 5 * 8;
/// Sound given to the recogniser before and after a turn.
pub(crate) const MARGIN: usize = 240 * 8;
/// The longest turn that the recogniser is given, sound around it included.
const LONGEST_TURN: usize = 28_000 * 8;
/// A turn that must be cut is cut at its likeliest pause after this.
const CUT_FROM: usize = 16_000 * 8;
/// The shortest turn that is worth a recogniser's time.
const SHORTEST_TURN: usize = 250 * 8;
/// Stretches of talk kept for a leg; more than this in one call is no conversation.
const MOST_TALKS: usize = 20_000;

/// What a leg has come to.
pub(crate) struct Leg {
    /// Where sample 0 of the timeline lies.
    origin: Wall,
    /// The next sample expected.
    next: i64,
    /// What the latest packet was in, and its decoder.
    decoder: Option<Box<(Encoding, Decoder)>>,
    /// The latest packet gave no sound.
    was_damaged: bool,
    sound: Sound,
    vad: VadState,
    segmenter: Segmenter,
    turn: Option<OpenTurn>,
    turns: u32,
    talks: Vec<Talk>,
    decoded: i64,
    frames_decoded: u64,
    /// Frames of it are to be looked at together with other legs'.
    pub(crate) is_awaited: bool,
    /// The detector has this leg's past.
    is_looked_at: bool,
}

struct OpenTurn {
    /// Where its first sample lies.
    start: i64,
    samples: Private<Vec<i16>>,
    /// The likeliest pause after [`CUT_FROM`]: its probability of speech and where.
    pause: (f32, usize),
}

/// What a leg is heard with, and for.
pub(crate) struct Listening<'a> {
    /// Without a detector (a benchmark of decoding) sound is decoded, and that is all.
    pub(crate) vad: Option<&'a Vad>,
    pub(crate) wants_turns: bool,
    /// Turns that are over.
    pub(crate) turns: &'a mut Vec<Turn>,
    /// Where a packet is decoded before it goes to its leg: always the same place, which the processor has at hand.
    pub(crate) fresh: &'a mut Private<Vec<i16>>,
}

impl Leg {
    pub(crate) fn new(origin: Wall) -> Self {
        Self {
            origin,
            next: 0,
            decoder: None,
            was_damaged: false,
            sound: Sound::default(),
            vad: VadState::new(),
            segmenter: Segmenter::new(),
            turn: None,
            turns: 0,
            talks: Vec::new(),
            decoded: 0,
            frames_decoded: 0,
            is_awaited: false,
            is_looked_at: false,
        }
    }

    /// Stretches of talk so far.
    pub(crate) fn talks(&self) -> &[Talk] {
        &self.talks
    }

    /// Samples decoded from packets.
    pub(crate) const fn decoded(&self) -> i64 {
        self.decoded
    }

    /// Reads what the next packet will need.
    pub(crate) fn expect(&self) {
        let encoding = self.decoder.as_ref().map(|decoder| decoder.0);
        black_box((self.next, encoding, self.decoded, self.is_awaited));
        self.sound.expect();
    }

    /// Decodes a packet. Its frames are to be looked at: see [`Leg::next_look`].
    ///
    /// # Errors
    /// Where the packet gave no sound. Its place is then a hole, like one that was lost.
    pub(crate) fn audio(&mut self, audio: &Audio, listening: &mut Listening<'_>) -> Result<(), Refused> {
        let mut decoder = match self.decoder.take() {
            Some(same) if same.0 == audio.encoding => same,
            _ => Box::new((audio.encoding, Decoder::new(audio.encoding))),
        };
        let result = self.hear(&mut decoder.1, audio, listening);
        self.was_damaged = result.is_err();
        self.decoder = Some(decoder);
        result
    }

    fn hear(&mut self, decoder: &mut Decoder, audio: &Audio, listening: &mut Listening<'_>) -> Result<(), Refused> {
        let most = decoder.samples(audio.payload())?;
        let at = audio.start.since(self.origin) * i64::from(RATE) / 1_000_000;
        let hole = at - self.next;
        let mut doubled = 0;
        if self.frames_decoded == 0 || hole > LONGEST_FILLED {
            self.jump(audio, at, listening);
        } else if hole > TOUCHING {
            let missing = hole as usize;
            let mut filling = Private::new(Vec::with_capacity(missing));
            if audio.missing > 0 || self.was_damaged {
                decoder.conceal(self.sound.latest(HISTORY).expose(), missing, audio.payload(), filling.expose_mut());
            } else {
                // Nothing was lost: the sender was silent, or sent comfort noise (RFC 3389) or a key (RFC 4733).
                filling.expose_mut().resize(missing, 0);
            }
            self.take_in(filling.expose(), audio, listening);
        } else if hole < -TOUCHING {
            doubled = usize::try_from(-hole).unwrap_or(0);
        }
        let mut fresh = std::mem::take(listening.fresh);
        fresh.cut(0);
        fresh.reserve(most);
        let decoded = decoder.decode(audio.payload(), fresh.expose_mut());
        if decoded.is_ok() {
            let new = fresh.expose().get(doubled..).unwrap_or_default();
            self.take_in(new, audio, listening);
            self.decoded += new.len() as i64;
            self.frames_decoded += 1;
        }
        *listening.fresh = fresh;
        decoded
    }

    /// Sound goes on the timeline. Where there is no room for what waits to be looked at, it is looked at now.
    fn take_in(&mut self, samples: &[i16], audio: &Audio, listening: &mut Listening<'_>) {
        let mut left = samples;
        while !left.is_empty() {
            let before = left.len();
            left = self.sound.write(left);
            self.next += (before - left.len()) as i64;
            match listening.vad {
                None => self.sound.take_frame(),
                Some(vad) if self.sound.is_full() && !left.is_empty() => self.look_alone(audio.call, audio.side, vad, listening.wants_turns, listening.turns),
                Some(_) => {}
            }
        }
    }

    /// Whether so much waits to be looked at that the next packet may find no room.
    pub(crate) const fn is_nearly_full(&self) -> bool {
        self.sound.is_nearly_full()
    }

    /// Where the timeline ends, samples from its origin.
    pub(crate) const fn place(&self) -> i64 {
        self.next
    }

    /// The sound from a place of the timeline on, as far as it is kept.
    pub(crate) fn sound_since(&self, place: i64) -> Private<Vec<i16>> {
        self.sound.latest(usize::try_from(self.next - place).unwrap_or(0))
    }

    /// The call is over: what is being said is over too.
    pub(crate) fn finish(&mut self, call: Call, side: Side, turns: &mut Vec<Turn>) {
        let noticed = self.segmenter.finish();
        self.notice(noticed, call, side, true, turns);
    }

    fn jump(&mut self, audio: &Audio, at: i64, listening: &mut Listening<'_>) {
        if let Some(vad) = listening.vad {
            // What was heard before belongs before.
            self.look_alone(audio.call, audio.side, vad, listening.wants_turns, listening.turns);
        }
        let noticed = self.segmenter.jump(at);
        self.notice(noticed, audio.call, audio.side, true, listening.turns);
        self.sound = Sound::new(listening.wants_turns);
        self.vad = VadState::new();
        self.next = at;
    }

    /// The next frame that the detector is to look at, with this leg's past; it must come back with [`Leg::looked`] before the next.
    pub(crate) fn next_look(&mut self) -> Option<Look> {
        let fresh = self.sound.frame().filter(|_| !self.is_looked_at)?;
        self.is_looked_at = true;
        let mut look = Look { state: std::mem::take(&mut self.vad), frame: [0.0; FRAME], probability: 0.0 };
        for (to, from) in look.frame.iter_mut().zip(fresh) {
            *to = f32::from(*from) / 32_768.0;
        }
        Some(look)
    }

    /// What the detector says of the frame that [`Leg::next_look`] gave.
    pub(crate) fn looked(&mut self, look: &mut Look, call: Call, side: Side, keep_turns: bool, turns: &mut Vec<Turn>) {
        self.is_looked_at = false;
        std::mem::swap(&mut self.vad, &mut look.state);
        let Some(samples) = self.sound.frame() else { return };
        let probability = look.probability;
        let noticed = self.segmenter.frame(self.next - self.sound.waiting() as i64, samples, probability);
        if let Some(turn) = &mut self.turn {
            turn.samples.append(samples);
            let length = turn.samples.expose().len();
            if length >= CUT_FROM && probability <= turn.pause.0 {
                turn.pause = (probability, length - FRAME / 2);
            }
        }
        self.sound.take_frame();
        self.notice(noticed, call, side, keep_turns, turns);
        self.cut(call, side, turns);
    }

    /// Looks at all that waits, without the other legs.
    pub(crate) fn look_alone(&mut self, call: Call, side: Side, vad: &Vad, keep_turns: bool, turns: &mut Vec<Turn>) {
        while let Some(mut look) = self.next_look() {
            vad.look(std::slice::from_mut(&mut look));
            self.looked(&mut look, call, side, keep_turns, turns);
        }
    }

    fn notice(&mut self, noticed: Noticed, call: Call, side: Side, keep_turns: bool, turns: &mut Vec<Turn>) {
        match noticed {
            Noticed::Nothing => {}
            Noticed::Began(start) => {
                if keep_turns {
                    let looked_at = self.next - self.sound.waiting() as i64;
                    let samples = self.sound.before_waiting(usize::try_from(looked_at - start).unwrap_or(0) + MARGIN);
                    let start = looked_at - samples.expose().len() as i64;
                    self.turn = Some(OpenTurn { start, samples, pause: (f32::INFINITY, 0) });
                }
            }
            Noticed::Ended(talk) => {
                if self.talks.len() < MOST_TALKS {
                    self.talks.push(talk);
                }
                if let Some(mut turn) = self.turn.take() {
                    let length = usize::try_from(talk.end - turn.start).unwrap_or(0) + MARGIN;
                    turn.samples.cut(length);
                    if turn.samples.expose().len() >= SHORTEST_TURN {
                        turns.push(self.turn_of(call, side, turn, talk.end));
                    }
                }
            }
            Noticed::Dropped => self.turn = None,
        }
    }

    /// A turn that grows too long is cut at its likeliest pause, and goes on.
    fn cut(&mut self, call: Call, side: Side, turns: &mut Vec<Turn>) {
        let Some(mut turn) = self.turn.take_if(|turn| turn.samples.expose().len() >= LONGEST_TURN) else { return };
        let at = turn.pause.1.clamp(CUT_FROM, turn.samples.expose().len());
        let rest = turn.samples.expose()[at..].to_vec();
        turn.samples.cut(at);
        self.turn = Some(OpenTurn { start: turn.start + at as i64, samples: Private::new(rest), pause: (f32::INFINITY, 0) });
        let now = self.next;
        turns.push(self.turn_of(call, side, turn, now));
    }

    /// `end` is the sample at which its speech ended.
    fn turn_of(&mut self, call: Call, side: Side, turn: OpenTurn, end: i64) -> Turn {
        let number = self.turns;
        self.turns += 1;
        let [start, ended] = [turn.start, end].map(|sample| self.origin.plus(sample * 1_000_000 / i64::from(RATE)));
        Turn { call, side, number, start, ended, samples: turn.samples }
    }
}
