//! One leg of a call: encoded packets in, stretches of talk and turns for the recogniser out.

use sotto_models::vad::{Look, Vad, VadState};
use sotto_private::{Audio, Call, Encoding, Private, Side, Turn, Wall};

use crate::decode::{Decoder, RATE, Refused};
use crate::turns::{FRAME, Noticed, Segmenter, Talk};

/// A hole longer than this is not filled: the timeline jumps over it.
const LONGEST_FILLED: i64 = 500 * 8;
/// Packets' edges may be this far off each other and still touch (rounding of time stamps).
const TOUCHING: i64 = 5 * 8;
/// Sound given to the recogniser before and after a turn.
const MARGIN: usize = 240 * 8;
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
    /// Decoded sound, of which less than a frame waits to be looked at; before it, enough history to conceal from.
    sound: Private<Vec<i16>>,
    /// How much of `sound` was looked at.
    looked_at: usize,
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

/// History kept before the sound being looked at, for concealment and for the sound before a turn.
const HISTORY: usize = MARGIN + 300 * 8;
/// How much more than that may gather before it is wiped: some packets' worth, so that it need not be moved for each.
const SLACK: usize = 160 * 8;
/// What a leg's sound takes while nothing is lost, in samples: room for all of it from the start, so that nothing moves.
const ROOM: usize = HISTORY + SLACK + FRAME + 60 * 8;

impl Leg {
    pub(crate) fn new(origin: Wall) -> Self {
        Self {
            origin,
            next: 0,
            decoder: None,
            was_damaged: false,
            sound: Private::new(Vec::new()),
            looked_at: 0,
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

    /// Decodes a packet. Without a detector (a benchmark of decoding) that is all; with one, its frames are to be looked at: see [`Leg::next_look`].
    ///
    /// # Errors
    /// Where the packet gave no sound. Its place is then a hole, like one that was lost.
    pub(crate) fn audio(&mut self, audio: &Audio, vad: Option<&Vad>, keep_turns: bool, turns: &mut Vec<Turn>) -> Result<(), Refused> {
        let mut decoder = match self.decoder.take() {
            Some(same) if same.0 == audio.encoding => same,
            _ => Box::new((audio.encoding, Decoder::new(audio.encoding))),
        };
        if let Some(vad) = vad
            && self.will_jump(audio)
        {
            // What was heard before belongs before.
            self.look_alone(audio.call, audio.side, vad, keep_turns, turns);
        }
        let result = self.hear(&mut decoder.1, audio, turns);
        self.was_damaged = result.is_err();
        self.decoder = Some(decoder);
        if vad.is_none() {
            self.looked_at = self.sound.expose().len();
        }
        self.forget();
        result
    }

    /// Whether the timeline will jump to this packet, over a hole that is not filled.
    fn will_jump(&self, audio: &Audio) -> bool {
        let at = audio.start.since(self.origin) * i64::from(RATE) / 1_000_000;
        self.frames_decoded > 0 && at - self.next > LONGEST_FILLED
    }

    fn hear(&mut self, decoder: &mut Decoder, audio: &Audio, turns: &mut Vec<Turn>) -> Result<(), Refused> {
        let most = decoder.samples(audio.payload())?;
        let at = audio.start.since(self.origin) * i64::from(RATE) / 1_000_000;
        let hole = at - self.next;
        let mut skip = 0;
        if self.frames_decoded == 0 || hole > LONGEST_FILLED {
            self.jump(audio, at, turns);
        } else if hole > TOUCHING {
            let missing = hole as usize;
            let mut filling = Private::new(Vec::with_capacity(missing));
            if audio.missing > 0 || self.was_damaged {
                decoder.conceal(self.sound.expose(), missing, audio.payload(), filling.expose_mut());
            } else {
                // Nothing was lost: the sender was silent, or sent comfort noise (RFC 3389) or a key (RFC 4733).
                filling.expose_mut().resize(missing, 0);
            }
            self.sound.append(filling.expose());
            self.next += hole;
        } else if hole < -TOUCHING {
            skip = usize::try_from(-hole).unwrap_or(0);
        }
        let before = self.sound.expose().len();
        self.sound.reserve(most);
        decoder.decode(audio.payload(), self.sound.expose_mut())?;
        if skip > 0 {
            let sound = self.sound.expose_mut();
            let doubled = skip.min(sound.len() - before);
            sound.drain(before..before + doubled);
        }
        let fresh = (self.sound.expose().len() - before) as i64;
        self.next += fresh;
        self.decoded += fresh;
        self.frames_decoded += 1;
        Ok(())
    }

    /// Where the timeline ends, samples from its origin.
    pub(crate) const fn place(&self) -> i64 {
        self.next
    }

    /// The sound from a place of the timeline on, as far as it is kept.
    pub(crate) fn sound_since(&self, place: i64) -> &[i16] {
        let sound = self.sound.expose();
        let fresh = usize::try_from(self.next - place).unwrap_or(0);
        &sound[sound.len() - fresh.min(sound.len())..]
    }

    /// The call is over: what is being said is over too.
    pub(crate) fn finish(&mut self, call: Call, side: Side, turns: &mut Vec<Turn>) {
        let noticed = self.segmenter.finish();
        self.notice(noticed, call, side, true, turns);
    }

    fn jump(&mut self, audio: &Audio, at: i64, turns: &mut Vec<Turn>) {
        let noticed = self.segmenter.jump(at);
        self.notice(noticed, audio.call, audio.side, true, turns);
        self.sound = Private::new(Vec::with_capacity(ROOM));
        self.looked_at = 0;
        self.vad = VadState::new();
        self.next = at;
    }

    /// The next frame that the detector is to look at, with this leg's past; it must come back with [`Leg::looked`] before the next.
    pub(crate) fn next_look(&mut self) -> Option<Look> {
        let fresh = self.sound.expose().get(self.looked_at..self.looked_at + FRAME).filter(|_| !self.is_looked_at)?;
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
        let probability = look.probability;
        let range = self.looked_at..self.looked_at + FRAME;
        let at = self.next - (self.sound.expose().len() - range.start) as i64;
        let noticed = self.segmenter.frame(at, &self.sound.expose()[range.clone()], probability);
        self.looked_at = range.end;
        if let Some(turn) = &mut self.turn {
            turn.samples.append(&self.sound.expose()[range]);
            let length = turn.samples.expose().len();
            if length >= CUT_FROM && probability <= turn.pause.0 {
                turn.pause = (probability, length - FRAME / 2);
            }
        }
        self.notice(noticed, call, side, keep_turns, turns);
        self.cut(call, side, turns);
    }

    /// Looks at all that waits, without the other legs.
    pub(crate) fn look_alone(&mut self, call: Call, side: Side, vad: &Vad, keep_turns: bool, turns: &mut Vec<Turn>) {
        while let Some(mut look) = self.next_look() {
            vad.look(std::slice::from_mut(&mut look));
            self.looked(&mut look, call, side, keep_turns, turns);
        }
        self.forget();
    }

    fn notice(&mut self, noticed: Noticed, call: Call, side: Side, keep_turns: bool, turns: &mut Vec<Turn>) {
        match noticed {
            Noticed::Nothing => {}
            Noticed::Began(start) => {
                if keep_turns {
                    let sound = self.sound.expose();
                    // Sample `looked_at` of `sound` lies at this place of the timeline.
                    let looked_at = self.next - (sound.len() - self.looked_at) as i64;
                    let back = usize::try_from(looked_at - start).unwrap_or(0) + MARGIN;
                    let from = self.looked_at.saturating_sub(back);
                    let samples = sound[from..self.looked_at].to_vec();
                    let start = looked_at - samples.len() as i64;
                    self.turn = Some(OpenTurn { start, samples: Private::new(samples), pause: (f32::INFINITY, 0) });
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

    /// What was looked at and is too old to be needed again is wiped.
    pub(crate) fn forget(&mut self) {
        let old = self.looked_at.saturating_sub(HISTORY);
        if old > SLACK {
            let kept = self.sound.expose().len() - old;
            self.sound.expose_mut().copy_within(old.., 0);
            self.sound.cut(kept);
            self.looked_at -= old;
        }
    }
}
