//! Who talks when: from a probability of speech every 32 ms and the level every 10 ms to stretches of talk.
//!
//! The detector says roughly where speech is; the level says where exactly it begins and ends. A stretch begins where the level
//! first rises above a gate and ends where it last falls below it; the gate lies 45 dB under the stretch's own peak, or just
//! above the noise where that is louder. Pauses under `bridge_ms` (published) are part of the stretch.

use sotto_charter::thresholds::BRIDGE_MS;

/// One step of the detector, samples at 8 kHz.
pub(crate) const FRAME: usize = 256;
/// One step of the level, samples.
const TICK: usize = 80;

/// From this probability on, it is speech.
const SPEECH: f32 = 0.5;
/// Once in speech, it goes on until the probability falls below this.
const STILL_SPEECH: f32 = 0.35;
/// Below this, the level is taken for the noise's.
const SURELY_NOISE: f32 = 0.1;
/// A stretch with less speech than this is a click or a cough.
const SHORTEST: i64 = 96 * 8;
/// How far from where the detector sees it an edge is looked for, and how far behind an end.
const EDGE: i64 = 240 * 8;
const EDGE_AFTER: i64 = 128 * 8;
/// Ticks that an edge's search may pass below the gate.
const LONGEST_DIP: u32 = 6;
/// How late the detector sees a beginning, on average (`models/cards/silero-vad.md`).
const USUAL_DELAY: i64 = 64 * 8;
/// How far below its own peak a stretch still is talk.
const BELOW_PEAK_DB: f32 = 45.0;
/// How far above the noise a tick must be to be talk.
const ABOVE_NOISE_DB: f32 = 6.0;
const BRIDGE: i64 = BRIDGE_MS as i64 * 8;
/// Levels kept: long enough to look back from the end of a bridged pause to the edge before it.
const KEPT_TICKS: usize = ((BRIDGE + 2 * EDGE) as usize + 4 * FRAME) / TICK + 1;

/// A stretch of talk: samples from the beginning of the leg's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// What the segmenter noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// Nothing new.
    Nothing,
    /// Speech began; its sound is to be kept from about this sample on.
    Began(i64),
    /// A stretch of talk is over.
    Ended(Talk),
    /// What began was no talk; its sound can go.
    Dropped,
}

/// Finds the stretches of one leg's talk.
pub(crate) struct Segmenter {
    /// Levels in dB of full scale of the latest ticks; the last of them ends at `ticks_end`.
    levels: std::collections::VecDeque<f32>,
    ticks_end: i64,
    partial: f64,
    partial_samples: usize,
    noise: NoiseFloor,
    current: Option<Current>,
}

struct Current {
    start: i64,
    /// End of the last frame that the detector took for speech.
    speech_end: i64,
    speech_frames: i64,
    peak: f32,
}

impl Segmenter {
    pub(crate) fn new() -> Self {
        Self {
            levels: std::collections::VecDeque::with_capacity(KEPT_TICKS),
            ticks_end: 0,
            partial: 0.0,
            partial_samples: 0,
            noise: NoiseFloor::new(),
            current: None,
        }
    }

    /// One frame: `at` is where its first sample lies; frames follow one another, or jump ahead after [`Segmenter::jump`].
    pub(crate) fn frame(&mut self, at: i64, samples: &[i16], probability: f32) -> Noticed {
        let end = at + samples.len() as i64;
        self.take_levels(samples, end, probability);
        let gate = self.gate();
        match &mut self.current {
            None if probability >= SPEECH => {
                let start = self.edge_before(at, end, gate);
                let peak = self.peak_between(start, end);
                self.current = Some(Current { start, speech_end: end, speech_frames: 1, peak });
                Noticed::Began(start)
            }
            None => Noticed::Nothing,
            Some(current) => {
                if probability >= STILL_SPEECH {
                    current.speech_end = end;
                    current.speech_frames += 1;
                }
                if end - current.speech_end >= BRIDGE { self.finish() } else { Noticed::Nothing }
            }
        }
    }

    /// The timeline goes on at `at`, further ahead: nothing was sent in between, so whatever was said is over.
    pub(crate) fn jump(&mut self, at: i64) -> Noticed {
        let noticed = self.finish();
        self.levels.clear();
        self.ticks_end = at;
        (self.partial, self.partial_samples) = (0.0, 0);
        noticed
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) -> Noticed {
        let Some(current) = self.current.take() else { return Noticed::Nothing };
        if current.speech_frames * FRAME as i64 <= SHORTEST {
            return Noticed::Dropped;
        }
        let peak = current.peak.max(self.peak_between(current.speech_end - EDGE, current.speech_end));
        let gate = (peak - BELOW_PEAK_DB).max(self.noise.level() + ABOVE_NOISE_DB);
        let end = self.edge_after(current.speech_end, gate).max(current.start + TICK as i64);
        Noticed::Ended(Talk { start: current.start, end })
    }

    fn gate(&self) -> f32 {
        let peak = self.current.as_ref().map_or(f32::NEG_INFINITY, |current| current.peak);
        (peak - BELOW_PEAK_DB).max(self.noise.level() + ABOVE_NOISE_DB)
    }

    /// Where the level first rose above the gate before the frame that is speech. Short dips do not stop the search: a word may
    /// begin with a plosive's click and its silence. Where the noise hides the beginning, the detector's usual delay is taken off.
    fn edge_before(&self, at: i64, end: i64, gate: f32) -> i64 {
        let faintest = self.peak_between(at - 2 * TICK as i64, end) - BELOW_PEAK_DB;
        let is_hidden = gate > faintest;
        let gate = gate.max(faintest);
        let mut edge = None;
        let mut dip = 0;
        for (tick_end, level) in self.back_from(end).take_while(|(tick_end, _)| *tick_end > at - EDGE) {
            if level >= gate {
                edge = Some(tick_end - TICK as i64);
                dip = 0;
            } else if tick_end <= at {
                dip += 1;
                if dip > LONGEST_DIP {
                    break;
                }
            }
        }
        let edge = edge.unwrap_or(at);
        if is_hidden { edge.min(at - USUAL_DELAY) } else { edge }
    }

    /// The end of the last tick above the gate: before the place where the detector saw the end, or reaching beyond it with no
    /// more than short dips.
    fn edge_after(&self, speech_end: i64, gate: f32) -> i64 {
        let mut around: Vec<(i64, f32)> = self.back_from(speech_end + EDGE_AFTER).take_while(|(tick_end, _)| *tick_end > speech_end - EDGE).collect();
        around.reverse();
        let mut edge = speech_end;
        let mut dip = 0;
        for (tick_end, level) in around {
            if level >= gate {
                edge = tick_end;
                dip = 0;
            } else if tick_end > speech_end {
                dip += 1;
                if dip > LONGEST_DIP {
                    break;
                }
            }
        }
        edge
    }

    /// Ticks whose end lies at or before `end`, latest first.
    fn back_from(&self, end: i64) -> impl Iterator<Item = (i64, f32)> + '_ {
        let last = self.ticks_end;
        self.levels
            .iter()
            .rev()
            .enumerate()
            .map(move |(back, level)| (last - back as i64 * TICK as i64, *level))
            .skip_while(move |(tick_end, _)| *tick_end > end)
    }

    fn peak_between(&self, from: i64, to: i64) -> f32 {
        self.back_from(to).take_while(|(tick_end, _)| *tick_end > from).map(|(_, level)| level).fold(f32::NEG_INFINITY, f32::max)
    }

    fn take_levels(&mut self, samples: &[i16], end: i64, probability: f32) {
        let mut at = end - samples.len() as i64;
        for &sample in samples {
            self.partial += f64::from(sample).powi(2);
            self.partial_samples += 1;
            at += 1;
            if self.partial_samples == TICK {
                let level = 10.0 * ((self.partial / TICK as f64 / 32_768.0f64.powi(2)).max(1e-10).log10() as f32);
                (self.partial, self.partial_samples) = (0.0, 0);
                if self.levels.len() == KEPT_TICKS {
                    self.levels.pop_front();
                }
                self.levels.push_back(level);
                self.ticks_end = at;
                if probability < SURELY_NOISE && self.current.is_none() {
                    self.noise.hear(level);
                }
                if let Some(current) = &mut self.current {
                    current.peak = current.peak.max(level);
                }
            }
        }
    }
}

/// The noise's level: a running mean over ticks that are surely no speech, quick to fall and slow to rise.
struct NoiseFloor(Option<f32>);

impl NoiseFloor {
    const fn new() -> Self {
        Self(None)
    }

    fn hear(&mut self, level: f32) {
        self.0 = Some(match self.0 {
            None => level,
            Some(floor) => floor + (level - floor) * if level < floor { 0.1 } else { 0.02 },
        });
    }

    /// dB of full scale; before anything was heard, as low as it gets.
    fn level(&self) -> f32 {
        self.0.unwrap_or(-100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs stretches of (milliseconds, amplitude, probability) through a segmenter.
    fn run(stretches: &[(i64, i16, f32)]) -> Vec<Talk> {
        let mut segmenter = Segmenter::new();
        let (mut samples, mut probabilities) = (Vec::new(), Vec::new());
        for &(ms, amplitude, probability) in stretches {
            for at in 0..ms * 8 {
                samples.push(if at % 2 == 0 { amplitude } else { -amplitude });
                probabilities.push(probability);
            }
        }
        let mut talks = Vec::new();
        for (ordinal, frame) in samples.chunks_exact(FRAME).enumerate() {
            let at = (ordinal * FRAME) as i64;
            if let Noticed::Ended(talk) = segmenter.frame(at, frame, probabilities[at as usize + FRAME / 2]) {
                talks.push(talk);
            }
        }
        if let Noticed::Ended(talk) = segmenter.finish() {
            talks.push(talk);
        }
        talks
    }

    fn ms(talk: Talk) -> (i64, i64) {
        (talk.start / 8, talk.end / 8)
    }

    #[test]
    fn edges_are_found_to_the_tick() {
        let talks = run(&[(1_000, 3, 0.0), (1_000, 5_000, 0.9), (1_000, 3, 0.0)]);
        assert_eq!(talks.len(), 1);
        let (start, end) = ms(talks[0]);
        assert!((990..=1_010).contains(&start) && (1_990..=2_010).contains(&end), "{start} {end}");
    }

    #[test]
    fn edges_are_found_where_the_detector_is_late_at_both_ends() {
        let talks = run(&[(1_000, 3, 0.0), (150, 4_000, 0.2), (800, 5_000, 0.9), (100, 1_000, 0.1), (1_000, 3, 0.0)]);
        let (start, end) = ms(talks[0]);
        assert!((990..=1_010).contains(&start) && (2_040..=2_060).contains(&end), "{start} {end}");
    }

    #[test]
    fn short_pauses_are_bridged_and_long_ones_not() {
        assert_eq!(run(&[(500, 3, 0.0), (600, 5_000, 0.9), (440, 3, 0.0), (600, 5_000, 0.9), (900, 3, 0.0)]).len(), 1);
        assert_eq!(run(&[(500, 3, 0.0), (600, 5_000, 0.9), (600, 3, 0.0), (600, 5_000, 0.9), (900, 3, 0.0)]).len(), 2);
    }

    #[test]
    fn a_click_is_no_talk() {
        assert_eq!(run(&[(1_000, 3, 0.0), (64, 20_000, 0.9), (1_500, 3, 0.0)]), []);
    }
}
