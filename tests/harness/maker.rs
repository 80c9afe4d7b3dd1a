//! The call maker: a script becomes packets, and what is true of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::Error;
use crate::frame::{self, DSCP_MEDIA, DSCP_SIGNALLING};
use crate::pcap::{self, Packet};
use crate::random::Random;
use crate::rtp::{self, Stream};
use crate::script::{Call, Codec, Outcome, Overrides, Script, Who};
use crate::sip::{self, Endpoint, Signalling};
use crate::sound;
use crate::timeline::{self, Leg, Timeline};
use crate::truth::{self, CallTruth, LegTruth, Truth};

/// What a script became.
#[derive(Clone, Debug)]
pub struct Made {
    /// The capture, in order of time.
    pub packets: Vec<Packet>,
    /// What is true of it.
    pub truth: Truth,
    /// The sound of each call, 8 kHz, the agent's leg, then the customer's: with noise and music, before codec and loss.
    pub legs: Vec<[Vec<i16>; 2]>,
}

impl Made {
    /// The capture as the bytes of a pcap file.
    #[must_use]
    pub fn pcap(&self) -> Vec<u8> {
        pcap::to_bytes(&self.packets)
    }

    /// Writes the capture.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_pcap(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, self.pcap()).map_err(|source| Error::file(path, &source))
    }

    /// Writes the truth as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_truth(&self, path: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(&self.truth)
            .map_err(|source| Error::new(source.to_string()))?;
        text.push('\n');
        std::fs::write(path, text).map_err(|source| Error::file(path, &source))
    }

    /// Writes the first call's legs as a wav file: left the agent, right the customer.
    ///
    /// # Errors
    /// There is no sound, or the file cannot be written.
    pub fn write_wav(&self, path: &Path) -> Result<(), Error> {
        let [agent, customer] = self
            .legs
            .first()
            .ok_or_else(|| Error::new("no call, no sound"))?;
        sound::write_two_channels(path, [agent, customer])
    }
}

/// Makes what a script file says.
///
/// # Errors
/// As [`Script::read`] and [`make`]; an error names the file and the line.
pub fn make_file(path: &Path, overrides: &Overrides) -> Result<Made, Error> {
    let mut script = Script::read(path)?;
    script.apply(overrides);
    make(&script).map_err(|error| error.in_file(path))
}

/// Makes the calls of a script. The same script gives the same bytes.
///
/// # Errors
/// The script contradicts itself (somebody talks over himself or while on hold), a sound is missing, flite is not installed.
pub fn make(script: &Script) -> Result<Made, Error> {
    let mut made = Made {
        packets: Vec::new(),
        truth: Truth { calls: Vec::new() },
        legs: Vec::new(),
    };
    if script.call.is_empty() {
        return Err(Error::new("the script has no [[call]]"));
    }
    for (number, call) in script.call.iter().enumerate() {
        make_call(script, number, call, &mut made)?;
    }
    // Stable: packets of one instant keep the order in which their calls stand in the script.
    made.packets.sort_by_key(|packet| packet.at_us);
    Ok(made)
}

fn make_call(script: &Script, number: usize, call: &Call, made: &mut Made) -> Result<(), Error> {
    check(call).map_err(|error| error.in_call(number))?;
    let seed = script.seed;
    let mut random = Random::new(seed, &format!("call {number}"));
    let endpoints = endpoints(call, number).map_err(|error| error.in_call(number))?;
    let call_id = call
        .call_id
        .clone()
        .unwrap_or_else(|| format!("{:016x}@{}", random.bits(), endpoints[0].signalling.ip()));
    let timeline = if call.outcome.is_answered() {
        timeline::lay_out(call, number, seed, &script.folder)?
    } else {
        Timeline {
            duration_ms: 0,
            holds: Vec::new(),
            legs: [Leg::default(), Leg::default()],
        }
    };

    let invite_us = (script.start_epoch_ms + call.start_ms as i64) * 1_000;
    let answer_us = invite_us + sip::answered_after_us(call);
    let signalling = Signalling {
        call,
        call_id: &call_id,
        endpoints: &endpoints,
        holds: &timeline.holds,
        duration_ms: timeline.duration_ms,
    };
    let mut identifications = [random.bits() as u16, random.bits() as u16];
    let mut send = |at_us: i64, from: Who, addresses: [SocketAddr; 2], dscp: u8, payload: &[u8]| {
        let path = frame::Path {
            source: addresses[0],
            destination: addresses[1],
            vlan: call.vlan,
            dscp,
        };
        let identification = &mut identifications[from.index()];
        *identification = identification.wrapping_add(1);
        made.packets.push(Packet {
            at_us,
            frame: frame::build(&path, *identification, payload),
        });
    };
    for message in signalling.messages(&mut random) {
        let addresses =
            [message.from, message.from.other()].map(|who| endpoints[who.index()].signalling);
        send(
            invite_us + message.at_us,
            message.from,
            addresses,
            DSCP_SIGNALLING,
            message.text.as_bytes(),
        );
    }
    let streams = Who::BOTH.map(|who| {
        let stream = rtp::stream(
            call,
            who,
            &timeline.legs[who.index()],
            timeline.duration_ms,
            number,
            seed,
        );
        let addresses = [who, who.other()].map(|who| endpoints[who.index()].media);
        for packet in &stream.packets {
            send(
                answer_us + packet.at_us,
                who,
                addresses,
                DSCP_MEDIA,
                &packet.bytes,
            );
        }
        stream
    });
    made.truth
        .calls
        .push(truth_of(call, &call_id, &timeline, &streams, invite_us));
    made.legs.push(timeline.legs.map(|leg| leg.samples));
    Ok(())
}

fn truth_of(
    call: &Call,
    call_id: &str,
    timeline: &Timeline,
    streams: &[Stream; 2],
    invite_us: i64,
) -> CallTruth {
    let answered = call.outcome.is_answered();
    let decided_us = sip::answered_after_us(call);
    let rang = call.outcome != Outcome::Unanswered
        && !(call.outcome == Outcome::Rejected && call.ring_ms == 0);
    let talk = Who::BOTH.map(|who| timeline.legs[who.index()].talk.as_slice());
    let non_talk = truth::non_talk(talk[0], talk[1], &timeline.holds, timeline.duration_ms);
    let [agent, customer] = Who::BOTH.map(|who| {
        let (leg, stream) = (&timeline.legs[who.index()], &streams[who.index()]);
        let talk_time_ms = truth::total_ms(&leg.talk);
        let (interruptions_count, backchannels_count) =
            truth::interruptions(talk[who.index()], talk[who.other().index()]);
        let words = leg.words.filter(|_| answered);
        LegTruth {
            talk_time_ms,
            words,
            talk_speed_wpm: words.filter(|_| talk_time_ms > 0).map(|words| {
                (f64::from(words) * 600_000.0 / f64::from(talk_time_ms)).round() / 10.0
            }),
            interruptions_count,
            backchannels_count,
            longest_monologue_ms: leg
                .talk
                .iter()
                .map(|segment| segment.length_ms())
                .max()
                .unwrap_or(0),
            packets_sent: stream.sent,
            packets_lost: stream.lost,
            packets_reordered: stream.reordered,
            packets_duplicated: stream.duplicated,
            segments: leg.talk.clone(),
        }
    });
    let invite_epoch_ms = invite_us / 1_000;
    CallTruth {
        call_id: call_id.to_owned(),
        direction: call.direction,
        outcome: call.outcome,
        ended_by: (call.outcome == Outcome::Answered).then_some(call.ended_by),
        codec: call.codec,
        ptime_ms: call.ptime_ms,
        invite_epoch_ms,
        answer_epoch_ms: answered.then_some(invite_epoch_ms + decided_us / 1_000),
        end_epoch_ms: rang
            .then_some(invite_epoch_ms + decided_us / 1_000 + i64::from(timeline.duration_ms)),
        ring_ms: rang.then_some(call.ring_ms),
        invite_to_answer_ms: rang.then_some((decided_us / 1_000) as u32),
        call_duration_ms: answered.then_some(timeline.duration_ms),
        hold_ms: truth::total_ms(&timeline.holds),
        hold_count: timeline.holds.len() as u32,
        overlap_ms: truth::overlap_ms(talk[0], talk[1]),
        non_talk_time_total_ms: truth::total_ms(&non_talk),
        silence_count: non_talk.len() as u32,
        agent,
        customer,
    }
}

/// What the types cannot say.
fn check(call: &Call) -> Result<(), Error> {
    let network = &call.network;
    let has_sound = call.say.len() + call.hold.len() + call.tone.len() + call.music.len() > 0;
    let wrong = if !(10..=60).contains(&call.ptime_ms) || !call.ptime_ms.is_multiple_of(10) {
        "ptime_ms is 10, 20, 30, 40, 50 or 60"
    } else if call.codec == Codec::Opus && matches!(call.ptime_ms, 30 | 50) {
        "ptime_ms of Opus is 10, 20, 40 or 60"
    } else if call.vlan.is_some_and(|vlan| !(1..=4_094).contains(&vlan)) {
        "vlan lies between 1 and 4094"
    } else if call.outcome == Outcome::Rejected && !(300..=699).contains(&call.reject_status) {
        "reject_status lies between 300 and 699"
    } else if !(0.0..=90.0).contains(&network.loss_percent) {
        "loss_percent lies between 0 and 90"
    } else if network
        .burst_packets
        .is_some_and(|burst| !(1.0..=1_000.0).contains(&burst))
    {
        "burst_packets lies between 1 and 1000"
    } else if !(0.0..=50.0).contains(&network.reorder_percent) {
        "reorder_percent lies between 0 and 50"
    } else if !(0.0..=100.0).contains(&network.duplicate_percent) {
        "duplicate_percent lies between 0 and 100"
    } else if !(0.0..=1_000.0).contains(&network.jitter_ms) {
        "jitter_ms lies between 0 and 1000"
    } else if call
        .noise
        .is_some_and(|noise| noise.level_dbfs.is_some() == noise.snr_db.is_some())
    {
        "noise takes one of level_dbfs and snr_db"
    } else if has_sound && !call.outcome.is_answered() {
        "a call that is not answered has no sound and no hold"
    } else {
        return Ok(());
    };
    Err(Error::new(wrong))
}

fn endpoints(call: &Call, number: usize) -> Result<[Endpoint; 2], Error> {
    // RTP ports of the calls differ, so that many calls fit between two hosts; 12,000 calls, then they come again.
    let offset = (number % 12_000 * 2) as u16;
    let endpoints = Who::BOTH.map(|who| {
        let party = call.party(who);
        let (uri, v4, v6, first_port) = match who {
            Who::Agent => (
                "sip:1042@pbx.example",
                Ipv4Addr::new(192, 0, 2, 20),
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x20),
                16_384,
            ),
            Who::Customer => (
                "sip:+12025550142@carrier.example",
                Ipv4Addr::new(198, 51, 100, 10),
                Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10),
                40_960,
            ),
        };
        let ip = party.ip.unwrap_or(if call.ipv6 {
            IpAddr::V6(v6)
        } else {
            IpAddr::V4(v4)
        });
        Endpoint {
            uri: party.uri.clone().unwrap_or_else(|| uri.to_owned()),
            asserted: party.asserted.clone(),
            signalling: SocketAddr::new(ip, party.sip_port.unwrap_or(5_060)),
            media: SocketAddr::new(ip, party.rtp_port.unwrap_or(first_port + offset)),
        }
    });
    if endpoints[0].signalling.is_ipv4() != endpoints[1].signalling.is_ipv4() {
        return Err(Error::new(
            "one party has an IPv4 address and the other an IPv6 one",
        ));
    }
    Ok(endpoints)
}

#[cfg(test)]
mod tests;
