//! Lays a call's utterances, holds, tones, music and noise on its time line: the sound of both legs, and when each talks.

use std::path::Path;

use crate::Error;
use crate::random::Random;
use crate::script::{After, Call, Noise, Say, Who};
use crate::sound::{self, PER_MS};
use crate::speech;
use crate::truth::{self, FRAME_MS, Segment};

/// Nominal level of telephone speech, dBov (ITU-T P.56).
const NOMINAL_LEVEL: f64 = -26.0;

/// Sound kept around an utterance's first and last active frame, milliseconds: its edges are too soft to count, not too soft to hear.
const EDGE_MS: u32 = 60;

/// The longest call, milliseconds: what a script may ask of the memory.
const LONGEST_CALL_MS: u32 = 4 * 3_600_000;

/// A call's sound and talk.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// From the answer to the end.
    pub(crate) duration_ms: u32,
    /// When it is on hold, in order.
    pub(crate) holds: Vec<Segment>,
    /// The agent's leg, then the customer's.
    pub(crate) legs: [Leg; 2],
}

/// One party's leg.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leg {
    /// When it talks, bridged.
    pub(crate) talk: Vec<Segment>,
    /// When it makes any sound but noise: talk, tones, music.
    pub(crate) sounding: Vec<Segment>,
    /// When it sends nothing, because of a hold.
    pub(crate) muted: Vec<Segment>,
    /// Words said, where known.
    pub(crate) words: Option<u32>,
    /// Its sound, 8 kHz.
    pub(crate) samples: Vec<i16>,
}

/// An utterance in its place.
struct Placed {
    who: Who,
    /// Active runs, milliseconds from the answer.
    runs: Vec<Segment>,
    /// Whether it is a wav file at a given time: a leg or a part of one, which lasts as long as the file.
    is_leg: bool,
    /// First sample of `sound` on the time line.
    first_sample: usize,
    sound: Vec<f64>,
    words: Option<u32>,
}

impl Placed {
    /// From the first active frame to the last.
    fn extent(&self) -> Segment {
        let (first, last) = (self.runs.first(), self.runs.last());
        Segment::new(
            first.map_or(0, |run| run.start_ms),
            last.map_or(0, |run| run.end_ms),
        )
    }

    /// Where the call may end at the earliest.
    fn end_ms(&self) -> u32 {
        if self.is_leg {
            ((self.first_sample + self.sound.len()) / PER_MS) as u32
        } else {
            self.extent().end_ms
        }
    }
}

/// Lays out one call. `place` names it in errors; `random` streams come from `seed` and the call's place.
pub(crate) fn lay_out(
    call: &Call,
    number: usize,
    seed: u64,
    folder: &Path,
) -> Result<Timeline, Error> {
    let mut placed: Vec<Placed> = Vec::with_capacity(call.say.len());
    for (index, say) in call.say.iter().enumerate() {
        let utterance =
            place(call, say, &placed, folder).map_err(|error| error.at(number, "say", index))?;
        placed.push(utterance);
    }
    let holds = holds_of(call, number)?;
    check(&placed, &holds, number)?;

    let mut sounds: Vec<(Who, usize, Vec<f64>)> = Vec::new();
    for (index, tone) in call.tone.iter().enumerate() {
        if !(tone.hz > 0.0 && tone.hz < 4_000.0) || tone.for_ms == 0 {
            return Err(Error::new("a tone lies between 0 and 4,000 Hz and lasts")
                .at(number, "tone", index));
        }
        let samples = sound::tone(tone.for_ms as usize * PER_MS, tone.hz, tone.level_dbfs);
        sounds.push((tone.who, tone.at_ms as usize * PER_MS, samples));
    }
    for (index, music) in call.music.iter().enumerate() {
        let mut samples = sound::read_wav(&folder.join(&music.wav))
            .map_err(|error| error.at(number, "music", index))?;
        samples.truncate(music.for_ms.map_or(usize::MAX, |ms| ms as usize * PER_MS));
        if let Some(level) = music.level_dbfs {
            sound::set_level(&mut samples, level);
        }
        sounds.push((music.who, music.at_ms as usize * PER_MS, samples));
    }
    let mut hold_music: Vec<(Who, usize, Vec<f64>)> = Vec::new();
    for (index, hold) in call.hold.iter().enumerate() {
        let Some(wav) = &hold.music else { continue };
        let mut samples =
            sound::read_wav(&folder.join(wav)).map_err(|error| error.at(number, "hold", index))?;
        if samples.is_empty() {
            return Err(Error::new("the music holds no sound").at(number, "hold", index));
        }
        let wanted = hold.for_ms as usize * PER_MS;
        samples = samples.iter().copied().cycle().take(wanted).collect();
        sound::set_level(&mut samples, hold.music_level_dbfs);
        hold_music.push((hold.by, hold.at_ms as usize * PER_MS, samples));
    }

    let last_sound = placed
        .iter()
        .map(Placed::end_ms)
        .chain(holds.iter().map(|hold| hold.end_ms))
        .chain(
            sounds
                .iter()
                .map(|(_, at, samples)| ((at + samples.len()) / PER_MS) as u32),
        )
        .max()
        .unwrap_or(0);
    let duration_ms = call
        .end_ms
        .unwrap_or_else(|| last_sound.saturating_add(call.tail_ms));
    if duration_ms < last_sound || duration_ms == 0 || duration_ms > LONGEST_CALL_MS {
        return Err(Error::new(format!(
            "the call ends at {duration_ms} ms; its last sound or hold ends at {last_sound} ms, and no call lasts over {LONGEST_CALL_MS} ms"
        ))
        .in_call(number));
    }

    let length = duration_ms as usize * PER_MS;
    let legs = Who::BOTH.map(|who| {
        let mine = || placed.iter().filter(move |utterance| utterance.who == who);
        let mut samples = vec![0.0; length];
        mine().for_each(|utterance| {
            sound::mix(&mut samples, utterance.first_sample, &utterance.sound)
        });
        let talk = truth::bridge(
            mine()
                .flat_map(|utterance| utterance.runs.iter().copied())
                .collect(),
        );
        if let Some(noise) = call.noise {
            let mut random = Random::new(seed, &format!("noise {number} {who}"));
            let level = noise_level(noise, &samples, &talk);
            sound::mix(
                &mut samples,
                0,
                &sound::noise(length, noise.kind, level, &mut random),
            );
        }
        let mut sounding = talk.clone();
        for (by, at, extra) in &sounds {
            if *by == who {
                sound::mix(&mut samples, *at, extra);
                sounding.push(Segment::new(
                    (at / PER_MS) as u32,
                    ((at + extra.len()) / PER_MS) as u32,
                ));
            }
        }
        for hold in &holds {
            // Nobody's noise is heard while the call is on hold: the held side sends nothing, the holding side its music or nothing.
            let (start, end) = (
                hold.start_ms as usize * PER_MS,
                hold.end_ms as usize * PER_MS,
            );
            samples[start..end].fill(0.0);
        }
        let mut muted = holds.clone();
        for (by, at, music) in &hold_music {
            if *by == who {
                sound::mix(&mut samples, *at, music);
                let span = Segment::new((at / PER_MS) as u32, ((at + music.len()) / PER_MS) as u32);
                sounding.push(span);
                muted.retain(|hold| *hold != span);
            }
        }
        sounding.sort_unstable();
        let words = mine().map(|utterance| utterance.words).sum::<Option<u32>>();
        Leg {
            talk,
            sounding,
            muted,
            words,
            samples: sound::to_i16(&samples),
        }
    });
    Ok(Timeline {
        duration_ms,
        holds,
        legs,
    })
}

fn place(call: &Call, say: &Say, before: &[Placed], folder: &Path) -> Result<Placed, Error> {
    let words = say.text.as_deref().map(speech::count_words).transpose()?;
    let sound = match (&say.wav, &say.text) {
        (Some(wav), _) => sound::read_wav(&folder.join(wav))?,
        (None, Some(text)) => {
            let default = match say.who {
                Who::Agent => "slt",
                Who::Customer => "rms",
            };
            let voice = say
                .voice
                .as_deref()
                .or_else(|| call.party(say.who).voice.as_deref())
                .unwrap_or(default);
            speech::say(text, voice)?
        }
        (None, None) => return Err(Error::new("needs `text` or `wav`")),
    };
    let frame = FRAME_MS as usize * PER_MS;
    let frames = truth::active_frames(&sound);
    let (Some(&first), Some(&last)) = (frames.first(), frames.last()) else {
        return Err(Error::new("holds no sound"));
    };
    // A leg keeps its place on the time line: the silence that the file starts with is part of `at_ms`.
    let is_leg = say.at_ms.is_some() && say.wav.is_some();
    let at_ms = say.at_ms.map_or_else(|| after(say, before), Ok)?;
    let start_ms = if is_leg {
        at_ms + first as u32 * FRAME_MS
    } else {
        at_ms
    };
    let mut runs: Vec<Segment> = Vec::new();
    for frame in frames {
        let at = start_ms + (frame - first) as u32 * FRAME_MS;
        match runs.last_mut() {
            Some(run) if run.end_ms == at => run.end_ms += FRAME_MS,
            _ => runs.push(Segment::new(at, at + FRAME_MS)),
        }
    }

    let (mut sound, first_sample) = if is_leg {
        (sound, at_ms as usize * PER_MS)
    } else {
        let edge = (EDGE_MS.min(start_ms) as usize * PER_MS).min(first * frame);
        let kept =
            first * frame - edge..((last + 1) * frame + EDGE_MS as usize * PER_MS).min(sound.len());
        (sound[kept].to_vec(), start_ms as usize * PER_MS - edge)
    };
    if let Some(level) = say
        .level_dbfs
        .or_else(|| say.wav.is_none().then_some(NOMINAL_LEVEL))
    {
        let now = sound::root_mean_square(&within(&sound, first_sample, &runs));
        let gain = sound::factor(level) / now;
        sound.iter_mut().for_each(|sample| *sample *= gain);
    }
    Ok(Placed {
        who: say.who,
        runs,
        is_leg,
        first_sample,
        sound,
        words,
    })
}

fn after(say: &Say, before: &[Placed]) -> Result<u32, Error> {
    let point = match (say.after, before.last()) {
        (_, None) => 0,
        (After::PreviousEnd, Some(previous)) => previous.extent().end_ms,
        (After::PreviousStart, Some(previous)) => previous.extent().start_ms,
        (After::LatestEnd, Some(_)) => before
            .iter()
            .map(|utterance| utterance.extent().end_ms)
            .max()
            .unwrap_or(0),
    };
    point
        .checked_add_signed(say.gap_ms.unwrap_or(400))
        .ok_or_else(|| Error::new("starts before the call is answered"))
}

fn holds_of(call: &Call, number: usize) -> Result<Vec<Segment>, Error> {
    let mut holds: Vec<Segment> = Vec::with_capacity(call.hold.len());
    for (index, hold) in call.hold.iter().enumerate() {
        let segment = Segment::new(hold.at_ms, hold.at_ms.saturating_add(hold.for_ms));
        // A re-INVITE takes 30 ms in these calls, and a second one must not start inside it.
        if hold.for_ms < 100
            || holds
                .last()
                .is_some_and(|last| segment.start_ms < last.end_ms + 100)
        {
            return Err(Error::new(
                "lasts under 100 ms, or starts within 100 ms of the hold before it",
            )
            .at(number, "hold", index));
        }
        holds.push(segment);
    }
    Ok(holds)
}

/// Nobody talks over himself, and nobody talks while on hold: the truth would be wrong.
fn check(placed: &[Placed], holds: &[Segment], number: usize) -> Result<(), Error> {
    let common = |a: Segment, b: Segment| a.start_ms < b.end_ms && b.start_ms < a.end_ms;
    for (index, utterance) in placed.iter().enumerate() {
        let extent = utterance.extent();
        if let Some(other) = placed[..index]
            .iter()
            .position(|other| other.who == utterance.who && common(other.extent(), extent))
        {
            let reason = format!(
                "the {} would talk over itself: say {} lasts to {} ms, this one starts at {} ms",
                utterance.who,
                other + 1,
                placed[other].extent().end_ms,
                extent.start_ms
            );
            return Err(Error::new(reason).at(number, "say", index));
        }
        if holds
            .iter()
            .any(|&hold| utterance.runs.iter().any(|&run| common(run, hold)))
        {
            let reason = format!(
                "is heard from {} to {} ms, while the call is on hold",
                extent.start_ms, extent.end_ms
            );
            return Err(Error::new(reason).at(number, "say", index));
        }
    }
    Ok(())
}

/// The samples of the runs, end to end; `first_sample` is where `sound` starts on the time line.
fn within(sound: &[f64], first_sample: usize, runs: &[Segment]) -> Vec<f64> {
    let at = |ms: u32| {
        (ms as usize * PER_MS)
            .saturating_sub(first_sample)
            .min(sound.len())
    };
    runs.iter()
        .flat_map(|run| &sound[at(run.start_ms)..at(run.end_ms)])
        .copied()
        .collect()
}

fn noise_level(noise: Noise, leg: &[f64], talk: &[Segment]) -> f64 {
    if let Some(level) = noise.level_dbfs {
        return level;
    }
    let speech = sound::root_mean_square(&within(leg, 0, talk));
    let speech_level = if speech > 0.0 {
        20.0 * speech.log10()
    } else {
        NOMINAL_LEVEL
    };
    speech_level - noise.snr_db.unwrap_or(0.0)
}
