//! A leg's sound as RTP packets (RFC 3550, RFC 3551), and what the network does to them.

use opusic_c::{Application, Channels, SampleRate};

use crate::random::Random;
use crate::script::{Call, Codec, Outage, Who};
use crate::{g711, g722};
use crate::sound::PER_MS;
use crate::timeline::Leg;
use crate::truth::Segment;

/// With silence suppression, packets are still sent for this long around a sound, milliseconds.
const HANGOVER_MS: u32 = 100;

/// From the start of a packet's span on the time line until it is on the wire, microseconds: the sender's buffer started that much earlier.
const SENT_AFTER_US: i64 = 3_000;

/// From the first copy of a doubled packet to the second, microseconds.
const DOUBLED_AFTER_US: i64 = 200;

/// A packet on the wire.
#[derive(Clone, Debug)]
pub(crate) struct RtpPacket {
    /// When it is captured, microseconds from the answer.
    pub(crate) at_us: i64,
    /// RTP header and payload.
    pub(crate) bytes: Vec<u8>,
}

/// A leg's packets in order of capture, and their count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// What arrives.
    pub(crate) packets: Vec<RtpPacket>,
    /// Packets sent.
    pub(crate) sent: u32,
    /// Packets that never arrive.
    pub(crate) lost: u32,
    /// Packets that arrive after a later one.
    pub(crate) reordered: u32,
    /// Packets that arrive twice.
    pub(crate) duplicated: u32,
}

/// Cuts the leg into packets and sends them through the network.
pub(crate) fn stream(
    call: &Call,
    who: Who,
    leg: &Leg,
    duration_ms: u32,
    number: usize,
    seed: u64,
) -> Stream {
    let sent = packetize(call, who, leg, number, seed);
    let mut random = Random::new(seed, &format!("network {number} {who}"));
    let network = &call.network;
    let ptime_us = f64::from(call.ptime_ms) * 1_000.0;
    // Nothing of the stream is captured after the BYE.
    let last_us = i64::from(duration_ms) * 1_000 - 1;

    let mut result = Stream {
        sent: sent.len() as u32,
        ..Stream::default()
    };
    let mut losing = false;
    let mut arrived: Vec<(i64, u32, Vec<u8>)> = Vec::with_capacity(sent.len());
    let mut previous_us = 0;
    let count = sent.len();
    for (index, (at_ms, bytes)) in sent.into_iter().enumerate() {
        losing = lose(
            losing,
            network.loss_percent,
            network.burst_packets.unwrap_or(1.0),
            &mut random,
        );
        let out = network
            .outage
            .iter()
            .any(|outage| outage.who == who && covers(outage, at_ms));
        // Drawn for every packet, so that more loss does not move the others' jitter.
        let (jitter, reorder, double) = (
            random.unit(),
            random.chance(network.reorder_percent),
            random.chance(network.duplicate_percent),
        );
        let edge = index == 0 || index + 1 == count;
        if (losing || out) && !edge {
            result.lost += 1;
            continue;
        }
        let due = i64::from(at_ms) * 1_000
            + SENT_AFTER_US
            + (jitter * network.jitter_ms * 1_000.0) as i64;
        let mut at_us = due.max(previous_us);
        previous_us = at_us;
        if reorder && !edge {
            at_us += (ptime_us * 1.5 + network.jitter_ms * 1_000.0) as i64;
        }
        arrived.push((at_us.min(last_us), index as u32, bytes.clone()));
        if double {
            result.duplicated += 1;
            arrived.push(((at_us + DOUBLED_AFTER_US).min(last_us), index as u32, bytes));
        }
    }
    arrived.sort_by_key(|&(at_us, ..)| at_us);
    let mut seen = std::collections::HashSet::new();
    let mut highest = 0;
    for (at_us, index, bytes) in arrived {
        if seen.insert(index) && index < highest {
            result.reordered += 1;
        }
        highest = highest.max(index);
        result.packets.push(RtpPacket { at_us, bytes });
    }
    result
}

/// The packets as sent: (start of the span, milliseconds from the answer; RTP bytes).
fn packetize(call: &Call, who: Who, leg: &Leg, number: usize, seed: u64) -> Vec<(u32, Vec<u8>)> {
    let mut random = Random::new(seed, &format!("rtp {number} {who}"));
    let (ssrc, first_timestamp, drawn) = (
        random.bits() as u32,
        random.bits() as u32,
        random.bits() as u16,
    );
    let mut sequence = call.party(who).first_sequence.unwrap_or(drawn);
    let samples = call.ptime_ms as usize * PER_MS;
    let (payload_type, _) = call.codec.rtpmap();
    let mut encode = encoder(call.codec);
    let mut packets = Vec::new();
    let mut talk_spurt = true;
    for (index, chunk) in leg.samples.chunks_exact(samples).enumerate() {
        let at_ms = index as u32 * call.ptime_ms;
        let span = Segment::new(at_ms, at_ms + call.ptime_ms);
        let muted = leg
            .muted
            .iter()
            .any(|hold| hold.start_ms <= at_ms && at_ms < hold.end_ms);
        let suppressed = call.silence_suppression
            && !leg.sounding.iter().any(|sound| {
                sound.start_ms < span.end_ms + HANGOVER_MS
                    && span.start_ms < sound.end_ms + HANGOVER_MS
            });
        if muted || suppressed {
            talk_spurt = true;
            continue;
        }
        let timestamp = first_timestamp.wrapping_add((index * samples) as u32 * call.codec.ticks());
        let mut bytes = Vec::with_capacity(12 + samples);
        bytes.extend([0x80, payload_type | if talk_spurt { 0x80 } else { 0 }]);
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(encode(chunk));
        packets.push((at_ms, bytes));
        sequence = sequence.wrapping_add(1);
        talk_spurt = false;
    }
    packets
}

/// What makes a packet's payload of its samples, in order.
fn encoder(codec: Codec) -> Box<dyn FnMut(&[i16]) -> Vec<u8>> {
    /// The most that a packet of 60 ms may take.
    const LARGEST: usize = 1_275 * 3;
    match codec {
        Codec::Pcmu => Box::new(|samples| samples.iter().map(|&sample| g711::mu_law(sample)).collect()),
        Codec::Pcma => Box::new(|samples| samples.iter().map(|&sample| g711::a_law(sample)).collect()),
        Codec::G722 => {
            let mut encoder = g722::Encoder::default();
            Box::new(move |samples| samples.iter().map(|&sample| encoder.encode(sample)).collect())
        }
        Codec::Opus => {
            let mut encoder = opusic_c::Encoder::new(Channels::Mono, SampleRate::Hz8000, Application::Voip).expect("there is memory for an encoder");
            Box::new(move |samples| {
                let samples: Vec<u16> = samples.iter().map(|sample| sample.cast_unsigned()).collect();
                let mut payload = vec![0; LARGEST];
                let length = encoder.encode_to_slice(&samples, &mut payload).expect("a packet's length is one of Opus'");
                payload.truncate(length);
                payload
            })
        }
    }
}

/// Gilbert's model: the mean share is `percent`, the mean run `burst` packets.
fn lose(losing: bool, percent: f64, burst: f64, random: &mut Random) -> bool {
    let share = percent / 100.0;
    if burst <= 1.0 {
        return random.unit() < share;
    }
    let stay = 1.0 - 1.0 / burst;
    let start = share / (burst * (1.0 - share));
    random.unit() < if losing { stay } else { start }
}

const fn covers(outage: &Outage, at_ms: u32) -> bool {
    outage.at_ms <= at_ms && at_ms < outage.at_ms.saturating_add(outage.for_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(call: &Call) -> (Vec<(u16, u32, bool)>, Stream) {
        let leg = Leg {
            samples: vec![100; 10_000 * PER_MS],
            ..Leg::default()
        };
        let stream = stream(call, Who::Agent, &leg, 10_000, 0, 1);
        let read = |packet: &RtpPacket| {
            let b = &packet.bytes;
            (
                u16::from_be_bytes([b[2], b[3]]),
                u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
                b[1] & 0x80 != 0,
            )
        };
        (stream.packets.iter().map(read).collect(), stream)
    }

    #[test]
    fn sequence_and_timestamp_go_on_without_a_gap_through_the_wrap() {
        let mut call = Call {
            ptime_ms: 30,
            ..Call::default()
        };
        call.agent.first_sequence = Some(65_530);
        let (packets, stream) = made(&call);
        assert_eq!((packets.len(), stream.sent, stream.lost), (333, 333, 0));
        assert_eq!(packets[0].0, 65_530);
        for pair in packets.windows(2) {
            assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
            assert_eq!(pair[1].1, pair[0].1.wrapping_add(240));
        }
        assert_eq!(
            packets.iter().filter(|packet| packet.2).count(),
            1,
            "one marker, on the first packet"
        );
    }

    #[test]
    fn loss_reordering_and_duplicates_are_counted_as_a_receiver_would() {
        let mut call = Call::default();
        call.network.loss_percent = 10.0;
        call.network.burst_packets = Some(3.0);
        call.network.reorder_percent = 5.0;
        call.network.duplicate_percent = 5.0;
        call.network.jitter_ms = 8.0;
        let (packets, stream) = made(&call);
        let first = packets[0].0;
        let distinct: std::collections::HashSet<u16> =
            packets.iter().map(|packet| packet.0).collect();
        assert_eq!(distinct.len() as u32, stream.sent - stream.lost);
        assert_eq!(
            packets.len() as u32,
            stream.sent - stream.lost + stream.duplicated
        );
        let span = packets
            .iter()
            .map(|packet| packet.0.wrapping_sub(first))
            .max()
            .unwrap();
        assert_eq!(
            u32::from(span) + 1,
            stream.sent,
            "first and last packet arrive"
        );
        assert!((20..100).contains(&stream.lost), "{}", stream.lost);
        assert!(stream.reordered > 5 && stream.duplicated > 5);
        assert!(
            stream
                .packets
                .windows(2)
                .all(|pair| pair[0].at_us <= pair[1].at_us)
        );
    }

    #[test]
    fn the_mean_share_lost_is_what_was_asked() {
        for burst in [1.0, 4.0] {
            let mut random = Random::new(3, "share");
            let mut losing = false;
            let lost = (0..200_000)
                .filter(|_| {
                    losing = lose(losing, 3.0, burst, &mut random);
                    losing
                })
                .count();
            assert!((lost as f64 / 2_000.0 - 3.0).abs() < 0.2, "{lost}");
        }
    }

    #[test]
    fn a_silent_leg_sends_only_around_its_sounds_when_told_to() {
        let call = Call {
            silence_suppression: true,
            ..Call::default()
        };
        let leg = Leg {
            samples: vec![0; 10_000 * PER_MS],
            sounding: vec![Segment::new(1_000, 2_000), Segment::new(5_000, 6_000)],
            ..Leg::default()
        };
        let stream = stream(&call, Who::Agent, &leg, 10_000, 0, 1);
        assert_eq!(stream.sent, 2 * (1_200 / 20));
        let markers: Vec<i64> = stream
            .packets
            .iter()
            .filter(|packet| packet.bytes[1] & 0x80 != 0)
            .map(|packet| packet.at_us / 1_000)
            .collect();
        assert_eq!(markers, [903, 4_903]);
    }
}
