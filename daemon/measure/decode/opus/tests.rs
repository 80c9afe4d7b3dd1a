use opusic_c::{Application, Bitrate, Encoder, InbandFec};

use super::*;

const FRAME: usize = 160;

/// A voice-like sound: a glottal pulse train of 110 to 150 Hz under a syllable's envelope.
fn sound(count: usize) -> Vec<i16> {
    let mut phase = 0.0f32;
    let at = |at: usize| {
        let seconds = at as f32 / RATE as f32;
        phase += (130.0 + 20.0 * (seconds * 5.0).sin()) / RATE as f32;
        let cycle = phase.fract() * std::f32::consts::TAU;
        let voice: f32 = (1..12).map(|harmonic| (cycle * harmonic as f32).sin() / harmonic as f32).sum();
        (voice * 5_000.0 * (0.6 + 0.4 * (seconds * 20.0).sin())) as i16
    };
    (0..count).map(at).collect()
}

fn packets(sound: &[i16], fec: InbandFec) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz8000, Application::Voip).unwrap();
    encoder.set_bitrate(Bitrate::Value(24_000)).unwrap();
    encoder.set_inband_fec(fec).unwrap();
    encoder.set_packet_loss(if matches!(fec, InbandFec::Off) { 0 } else { 20 }).unwrap();
    let frame = |frame: &[i16]| {
        let frame: Vec<u16> = frame.iter().map(|&sample| sample as u16).collect();
        let mut packet = Vec::with_capacity(1_275);
        encoder.encode_to_vec(&frame, &mut packet).unwrap();
        packet
    };
    sound.chunks_exact(FRAME).map(frame).collect()
}

/// Signal to noise at the best delay, dB: the codec has one of its own.
fn likeness(sound: &[i16], heard: &[i16]) -> f64 {
    let at = |delay: usize| {
        let pairs = || sound.iter().zip(&heard[delay..]).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let (signal, error) = pairs().fold((0.0, 0.0), |(signal, error), (a, b)| (signal + a * a, error + (a - b) * (a - b)));
        10.0 * (signal / error).log10()
    };
    (0..200).map(at).fold(f64::MIN, f64::max)
}

#[test]
fn a_voice_comes_back_at_its_own_level_and_length() {
    let sound = sound(16_000);
    let mut decoder = Decoder::new().unwrap();
    let mut heard = Vec::new();
    for packet in packets(&sound, InbandFec::Off) {
        decoder.decode(&packet, &mut heard).unwrap();
    }
    assert_eq!(heard.len(), sound.len());
    let level = |samples: &[i16]| samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>().log10() * 10.0;
    assert!((level(&sound) - level(&heard)).abs() < 1.0, "{} and {} dB", level(&sound), level(&heard));
    let likeness = likeness(&sound[4_000..15_000], &heard[4_000..]);
    assert!(likeness > 3.0, "{likeness} dB");
}

/// A sender that knows of loss packs a coarse copy of each frame into the next packet. Lost is a syllable's beginning, of which nothing before
/// it tells.
#[test]
fn a_lost_packet_is_mended_by_the_next_ones_copy() {
    let mut sound = sound(16_000);
    for silence in sound.chunks_mut(5 * FRAME).step_by(2) {
        silence.fill(0);
    }
    let energy = |frame: &[i16]| frame.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
    let kept = |fec: InbandFec| {
        let packets = packets(&sound, fec);
        let mut decoder = Decoder::new().unwrap();
        let (mut heard, mut kept) = (Vec::new(), Vec::new());
        for (number, packet) in packets.iter().enumerate() {
            if number % 10 == 5 {
                continue;
            }
            if number % 10 == 6 {
                assert!(decoder.conceal(FRAME, packet, &mut heard));
                kept.push(energy(&heard[heard.len() - FRAME..]) / energy(&sound[heard.len() - FRAME..heard.len()]));
            }
            decoder.decode(packet, &mut heard).unwrap();
        }
        assert_eq!(heard.len(), sound.len());
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    let (with, without) = (kept(InbandFec::Mode1), kept(InbandFec::Off));
    assert!(with > 0.3 && without < 0.1, "of the lost energy came back: with a copy {with}, without {without}");
}

#[test]
fn concealment_has_the_length_of_the_hole_or_is_left_to_others() {
    let packets = packets(&sound(3_200), InbandFec::Off);
    let mut decoder = Decoder::new().unwrap();
    let mut heard = Vec::new();
    assert!(!decoder.conceal(FRAME, &packets[0], &mut heard), "nothing was heard yet");
    decoder.decode(&packets[0], &mut heard).unwrap();
    for missing in [20, 25, 160, 479, 960, 979] {
        let before = heard.len();
        assert!(decoder.conceal(missing, &packets[5], &mut heard), "{missing}");
        assert_eq!(heard.len() - before, missing);
    }
    let before = heard.len();
    assert!(!decoder.conceal(19, &packets[5], &mut heard));
    assert!(!decoder.conceal(980, &packets[5], &mut heard));
    assert!(!decoder.conceal(160, &[0x0b, 0], &mut heard), "the packet after it is damaged");
    assert_eq!(heard.len(), before);
}

/// Silence suppression: a packet of one or two bytes.
#[test]
fn a_packet_without_sound_lasts_as_long_as_any() {
    let mut decoder = Decoder::new().unwrap();
    let mut heard = Vec::new();
    decoder.decode(&packets(&sound(160), InbandFec::Off)[0], &mut heard).unwrap();
    decoder.decode(&[0x08], &mut heard).unwrap();
    assert_eq!(heard.len(), 2 * FRAME);
}
