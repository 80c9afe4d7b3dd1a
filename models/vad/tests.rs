use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::io::Cursor;
use std::path::Path;

use super::*;
use crate::{Pack, gguf};

/// The generator of `reference/silero_vad.py`.
struct Noise(u32);

impl Noise {
    /// The next number, -1 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0) / 2f64.powi(31) - 1.0
    }
}

type Weights = BTreeMap<&'static str, (Vec<usize>, Vec<f32>)>;

/// All that the network needs, at random, small enough that nothing saturates.
fn random_weights() -> Weights {
    let mut noise = Noise(7);
    let shapes: [(&str, &[usize], f64); 14] = [
        ("conv1.weight", &[WIDE, PUBLISHED_BINS, TAPS], 0.1),
        ("conv1.bias", &[WIDE], 0.2),
        ("conv2.weight", &[NARROW, WIDE, TAPS], 0.1),
        ("conv2.bias", &[NARROW], 0.2),
        ("conv3.weight", &[NARROW, NARROW, TAPS], 0.2),
        ("conv3.bias", &[NARROW], 0.2),
        ("conv4.weight", &[WIDE, NARROW, TAPS], 0.2),
        ("conv4.bias", &[WIDE], 0.2),
        ("lstm_cell.weight_ih", &[GATES * CELL, WIDE], 0.1),
        ("lstm_cell.weight_hh", &[GATES * CELL, CELL], 0.2),
        ("lstm_cell.bias_ih", &[GATES * CELL], 0.5),
        ("lstm_cell.bias_hh", &[GATES * CELL], 0.5),
        ("final_conv.weight", &[1, CELL, 1], 0.5),
        ("final_conv.bias", &[1], 0.5),
    ];
    shapes
        .into_iter()
        .map(|(name, shape, scale)| {
            let count = shape.iter().product();
            let values = (0..count).map(|_| (scale * noise.next()) as f32).collect();
            (name, (shape.to_vec(), values))
        })
        .collect()
}

fn file(weights: &Weights) -> Vec<u8> {
    let tensors = weights
        .iter()
        .map(|(name, (shape, values))| ((*name).to_owned(), gguf::plain(shape, values).unwrap()))
        .collect();
    let mut bytes = Cursor::new(Vec::new());
    gguf::write(&mut bytes, BTreeMap::new(), &tensors).unwrap();
    bytes.into_inner()
}

/// The network written down as its papers draw it: no packing, no short cut, in f64.
struct Plain {
    weights: Weights,
    hidden: Vec<f64>,
    cell: Vec<f64>,
    context: Vec<f64>,
}

impl Plain {
    fn probability(&mut self, frame: &[f32]) -> f64 {
        let mut heard = self.context.clone();
        heard.extend(frame.iter().map(|&sample| f64::from(sample)));
        self.context = heard[heard.len() - CONTEXT..].to_vec();
        let mirrored: Vec<f64> = heard.iter().rev().skip(1).take(32).copied().collect();
        heard.extend(mirrored);

        // [channel][time], with the half of the spectrum that is not there as zeros.
        let mut x = vec![vec![0.0; SPECTRA]; PUBLISHED_BINS];
        for (bin, row) in x.iter_mut().enumerate().take(BINS) {
            for (time, value) in row.iter_mut().enumerate() {
                let (mut re, mut im) = (0.0, 0.0);
                for n in 0..WINDOW {
                    let turn = TAU * n as f64 / WINDOW as f64;
                    let sample = heard[time * HOP + n] * (1.0 - turn.cos());
                    re += sample * (turn * bin as f64).cos();
                    im -= sample * (turn * bin as f64).sin();
                }
                *value = re.hypot(im);
            }
        }
        for (name, step) in [("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)] {
            x = self.convolve(name, step, &x);
        }
        let input: Vec<f64> = x.iter().map(|row| row[0]).collect();
        assert_eq!(x[0].len(), 1);

        let gates: Vec<f64> = (0..GATES * CELL)
            .map(|gate| {
                let dot = |name: &str, with: &[f64]| -> f64 {
                    let row = &self.weights[name].1[gate * 128..][..128];
                    row.iter().zip(with).map(|(&w, v)| f64::from(w) * v).sum()
                };
                let bias = |name: &str| f64::from(self.weights[name].1[gate]);
                dot("lstm_cell.weight_ih", &input)
                    + dot("lstm_cell.weight_hh", &self.hidden)
                    + bias("lstm_cell.bias_ih")
                    + bias("lstm_cell.bias_hh")
            })
            .collect();
        let logistic = |value: f64| 1.0 / (1.0 + (-value).exp());
        for unit in 0..CELL {
            let gate = |which: usize| gates[which * CELL + unit];
            self.cell[unit] =
                logistic(gate(1)) * self.cell[unit] + logistic(gate(0)) * gate(2).tanh();
            self.hidden[unit] = logistic(gate(3)) * self.cell[unit].tanh();
        }
        let output = &self.weights["final_conv.weight"].1;
        let sum: f64 = self
            .hidden
            .iter()
            .zip(output)
            .map(|(value, &weight)| value.max(0.0) * f64::from(weight))
            .sum();
        logistic(sum + f64::from(self.weights["final_conv.bias"].1[0]))
    }

    fn convolve(&self, name: &str, step: usize, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (shape, weight) = &self.weights[format!("{name}.weight").as_str()];
        let (_, bias) = &self.weights[format!("{name}.bias").as_str()];
        let times = x[0].len();
        (0..shape[0])
            .map(|output| {
                (0..times)
                    .step_by(step)
                    .map(|centre| {
                        let mut sum = f64::from(bias[output]);
                        for (input, row) in x.iter().enumerate() {
                            for tap in 0..TAPS {
                                let Some(at) = (centre + tap).checked_sub(1) else {
                                    continue;
                                };
                                let index = (output * shape[1] + input) * TAPS + tap;
                                sum += row.get(at).unwrap_or(&0.0) * f64::from(weight[index]);
                            }
                        }
                        sum.max(0.0)
                    })
                    .collect()
            })
            .collect()
    }
}

#[test]
fn the_packed_network_is_the_plain_one() {
    let weights = random_weights();
    let bytes = file(&weights);
    let vad = Vad::load(&Tensors::parse(&bytes).unwrap()).unwrap();
    let mut state = VadState::new();
    let mut plain = Plain {
        weights,
        hidden: vec![0.0; CELL],
        cell: vec![0.0; CELL],
        context: vec![0.0; CONTEXT],
    };
    let mut noise = Noise(3);
    let mut seen = Vec::new();
    for turn in 0..8 {
        let loud = 0.05 * f64::from(turn);
        let frame: [f32; Vad::FRAME] = std::array::from_fn(|_| (loud * noise.next()) as f32);
        let expected = plain.probability(&frame);
        let probability = f64::from(vad.probability(&mut state, &frame));
        assert!(
            (probability - expected).abs() < 1e-5,
            "frame {turn}: {probability}, expected {expected}"
        );
        seen.push(expected);
    }
    let spread = seen
        .iter()
        .fold(0.0f64, |most, value| most.max((value - seen[0]).abs()));
    assert!(spread > 0.05, "the weights make a difference: {seen:?}");
}

#[test]
fn legs_do_not_hear_each_other() {
    let bytes = file(&random_weights());
    let vad = Vad::load(&Tensors::parse(&bytes).unwrap()).unwrap();
    let mut noise = Noise(5);
    let mut frame = || std::array::from_fn(|_| (0.3 * noise.next()) as f32);
    let frames: [[f32; Vad::FRAME]; 4] = [frame(), frame(), frame(), frame()];

    let mut alone = VadState::new();
    let expected = frames.map(|frame| vad.probability(&mut alone, &frame));
    let mut one = VadState::new();
    let mut other = VadState::new();
    let beside = frames.map(|frame| {
        let _ = vad.probability(&mut other, &frame.map(|sample| -0.5 * sample));
        vad.probability(&mut one, &frame)
    });
    assert_eq!(expected, beside);
    assert_ne!(
        expected[3],
        vad.probability(&mut VadState::new(), &frames[3]),
        "the past counts"
    );
}

#[test]
fn legs_that_are_looked_at_together_are_looked_at_as_if_alone() {
    let bytes = file(&random_weights());
    let vad = Vad::load(&Tensors::parse(&bytes).unwrap()).unwrap();
    let mut noise = Noise(7);
    for legs in [1, 2, 3, 16, 17, 39] {
        let mut alone = vec![VadState::new(); legs];
        let mut together = alone.clone();
        for _ in 0..3 {
            let frames: Vec<[f32; Vad::FRAME]> = (0..legs)
                .map(|_| std::array::from_fn(|_| (0.3 * noise.next()) as f32))
                .collect();
            let expected: Vec<f32> = alone
                .iter_mut()
                .zip(&frames)
                .map(|(state, frame)| vad.probability(state, frame))
                .collect();
            let mut looks: Vec<Look> = together
                .drain(..)
                .zip(&frames)
                .map(|(state, frame)| Look {
                    state,
                    frame: *frame,
                    probability: 0.0,
                })
                .collect();
            assert_eq!(vad.look(&mut looks), legs);
            let probabilities: Vec<f32> = looks.iter().map(|look| look.probability).collect();
            assert_eq!(probabilities, expected, "{legs} legs");
            together = looks.iter().map(|look| look.state.clone()).collect();
        }
    }
}

/// A leg through [`Vad::look`], the probabilities and how many frames were looked at.
fn look_at_all(vad: &Vad, frames: &[[f32; Vad::FRAME]]) -> (Vec<f32>, usize) {
    let mut state = VadState::new();
    let mut looked_at = 0;
    let probabilities = frames
        .iter()
        .map(|frame| {
            let mut look = [Look {
                state: state.clone(),
                frame: *frame,
                probability: 0.0,
            }];
            looked_at += vad.look(&mut look);
            state = look[0].state.clone();
            look[0].probability
        })
        .collect();
    (probabilities, looked_at)
}

#[test]
fn lasting_silence_is_not_looked_at_and_costs_no_speech() {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
    if !pack.exists() {
        eprintln!("SKIPPED: the model pack is not built");
        return;
    }
    let vad = Pack::open(&pack).unwrap().vad().unwrap();
    // Speech, ten seconds of silence with comfort noise at -66 dB, speech again.
    let speech = reference_signal();
    let mut noise = Noise(9);
    let hush = (0..10 * Vad::RATE).map(|_| (0.000_9 * noise.next()) as f32);
    let signal: Vec<f32> = speech.iter().copied().chain(hush).chain(speech.iter().copied()).collect();
    let frames = signal.as_chunks::<{ Vad::FRAME }>().0;
    let (gated, looked_at) = look_at_all(&vad, frames);
    let mut state = VadState::new();
    let plain: Vec<f32> = frames.iter().map(|frame| vad.probability(&mut state, frame)).collect();
    assert!(looked_at < frames.len() - 200, "{looked_at} of {}", frames.len());
    // What the network remembers of the silence is a little other, so that a frame on the edge may fall to the other side; none of the speech is lost.
    let speech_of = |probabilities: &[f32]| probabilities.iter().filter(|probability| **probability >= 0.5).count();
    let others = gated.iter().zip(&plain).filter(|(a, b)| (**a >= 0.5) != (**b >= 0.5)).count();
    let (with, without) = (speech_of(&gated), speech_of(&plain));
    assert!(others * 50 <= frames.len() && with * 100 >= without * 99, "{others} frames of {} decided otherwise; {with} of speech for {without}", frames.len());
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    for name in random_weights().into_keys() {
        let mut weights = random_weights();
        weights.remove(name);
        let bytes = file(&weights);
        match Vad::load(&Tensors::parse(&bytes).unwrap()) {
            Err(ModelError::MissingTensor { name: missing }) => assert_eq!(missing, name),
            other => panic!("{name}: {other:?}"),
        }

        let mut weights = random_weights();
        let (shape, values) = weights.get_mut(name).unwrap();
        shape[0] += 1;
        values.resize(shape.iter().product(), 0.0);
        let bytes = file(&weights);
        assert!(matches!(
            Vad::load(&Tensors::parse(&bytes).unwrap()),
            Err(ModelError::Shape { name: found, .. }) if found == name
        ));
    }
}

#[test]
fn nothing_of_the_sound_is_told_or_kept() {
    let mut state = VadState::new();
    state.context.fill(0.123_456);
    state.hidden.fill(0.123_456);
    state.cell.fill(0.123_456);
    assert_eq!(format!("{state:?}"), "VadState");
    state.wipe();
    assert_eq!(state.context, [0.0; CONTEXT]);
    assert_eq!(state.hidden, [0.0; CELL]);
    assert_eq!(state.cell, [0.0; CELL]);
}

/// The signal of `reference/silero_vad.py`.
fn reference_signal() -> Vec<f32> {
    let mut noise = Noise(1);
    (0..3 * Vad::RATE)
        .map(|n| {
            let t = f64::from(n) / f64::from(Vad::RATE);
            let slow = |rate: f64| (TAU * rate * t).sin();
            let pitch = TAU * (120.0 * t + 4.0 * slow(0.7));
            let first = 500.0 + 250.0 * slow(2.1);
            let second = 1500.0 + 500.0 * slow(1.3);
            let buzz: f64 = (1..28)
                .map(|harmonic| {
                    let f = 120.0 * f64::from(harmonic);
                    let gain = (-((f - first) / 150.0).powi(2)).exp()
                        + 0.5 * (-((f - second) / 200.0).powi(2)).exp();
                    gain * (f64::from(harmonic) * pitch).sin()
                })
                .sum();
            let syllables = slow(3.7).max(0.0).sqrt();
            let speech = (0.4..1.4).contains(&t) || t >= 2.0;
            let buzz = if speech { 0.12 * buzz * syllables } else { 0.0 };
            let hiss = 0.02 * noise.next();
            (buzz + if t >= 1.7 { hiss } else { 0.0 }) as f32
        })
        .collect()
}

#[derive(serde::Deserialize)]
struct Reference {
    same: Vec<f32>,
    upsampled: Vec<f32>,
}

#[test]
fn the_published_weights_say_what_the_python_package_says() {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
    if !pack.exists() {
        eprintln!("SKIPPED: the model pack is not built");
        return;
    }
    let vad = Pack::open(&pack).unwrap().vad().unwrap();
    let reference: Reference =
        serde_json::from_str(include_str!("../reference/silero_vad.json")).unwrap();

    let mut state = VadState::new();
    let signal = reference_signal();
    let frames = signal.as_chunks::<{ Vad::FRAME }>().0;
    assert_eq!(frames.len(), reference.same.len());
    let mut apart = 0.0f32;
    for (index, frame) in frames.iter().enumerate() {
        let probability = vad.probability(&mut state, frame);
        let difference = (probability - reference.same[index]).abs();
        assert!(difference < 1e-3, "frame {index}: {difference} off");
        apart = apart.max((probability - reference.upsampled[index]).abs());
    }
    assert!(
        apart < 0.05,
        "the short cut is {apart} off the upsampled signal"
    );
}
