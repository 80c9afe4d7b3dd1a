//! A million Call-IDs and a million sources of sound, while fifty true calls stay exact and the memory stays bounded.

#[path = "attack/heard.rs"]
mod heard;

use std::time::Instant;

use heard::{Listener, assert_same, calls, undisturbed};
use sotto_tests::frame::{self, DSCP_MEDIA, DSCP_SIGNALLING, Path};
use sotto_tests::pcap::Packet;
use sotto_tests::random::Random;

/// Of each.
const FLOOD: u32 = 1_000_000;
/// What the whole test may take at its peak, MiB: the calls' own packets, the tables at their caps, and room.
const MOST_MIB: u64 = 768;

#[test]
fn a_million_calls_and_a_million_sources_pass_by() {
    let made = calls();
    let without = undisturbed(&made);
    let before = peak_mib();
    let began = Instant::now();

    let media: Vec<Path> = made.packets.iter().filter(|packet| !packet.is_signalling()).take(2_000).map(Packet::path).collect();
    // All true calls are answered by then, and none of them is over.
    let first = made.packets[0].at_us + 2_000_000;
    let last = made.packets[0].at_us + 6_000_000;
    let mut random = Random::new(1, "flood");
    let mut listener = Listener::new();
    let mut sent = 0;
    for packet in &made.packets {
        let due = (packet.at_us.clamp(first, last) - first) * i64::from(FLOOD) / (last - first);
        while i64::from(sent) < due {
            let at_us = first + i64::from(sent) * (last - first) / i64::from(FLOOD);
            listener.frame(&invite(at_us, sent));
            let path = media[random.bits() as usize % media.len()];
            let mut rtp = vec![0x2a; 172];
            rtp[..2].copy_from_slice(&[0x80, 0]);
            rtp[2..8].copy_from_slice(&random.bits().to_be_bytes()[..6]);
            rtp[8..12].copy_from_slice(&(sent | 0x8000_0000).to_be_bytes());
            // Half of them as if from a true sender, half from an address of their own.
            let path = if sent % 2 == 0 { path } else { Path { source: stranger(sent), ..path } };
            listener.frame(&Packet { at_us, frame: frame::build(&Path { dscp: DSCP_MEDIA, ..path }, sent as u16, &rtp) });
            sent += 1;
        }
        listener.frame(packet);
    }
    assert_eq!(sent, FLOOD);
    let (with, counters) = listener.finish();
    let took = began.elapsed();
    let peak = peak_mib();
    println!(
        "{FLOOD} Call-IDs and {FLOOD} SSRCs in {:.1} s; {} calls seen, {} given up at the cap; peak memory {peak} MiB, before the flood {before} MiB",
        took.as_secs_f64(),
        counters.calls,
        counters.calls_evicted
    );
    assert_same(&with, &without);
    assert!(counters.calls_evicted > 0, "{counters:?}");
    assert!(peak < MOST_MIB, "{peak} MiB");
}

fn stranger(number: u32) -> std::net::SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    std::net::SocketAddr::from(([198, 18 | (a & 1), b, c], 4_000))
}

fn invite(at_us: i64, number: u32) -> Packet {
    let path = Path { source: stranger(number), destination: "203.0.113.1:5060".parse().unwrap(), vlan: None, dscp: DSCP_SIGNALLING };
    let text = format!(
        "INVITE sip:1001@pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.18.0.1;branch=z9hG4bK{number}\r\nFrom: <sip:flood@x.example>;tag={number}\r\n\
         To: <sip:1001@pbx.example>\r\nCall-ID: flood-{number}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    Packet { at_us, frame: frame::build(&path, number as u16, text.as_bytes()) }
}

/// The most that this process ever held in memory; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1_024
}
