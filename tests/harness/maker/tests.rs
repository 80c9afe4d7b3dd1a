use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::process::{installed, skip};
use crate::script::{After, Noise, NoiseKind, Say};
use crate::truth::Segment;

/// A call that needs no flite: tones stand in for speech where only packets matter.
fn tones() -> Call {
    Call {
        end_ms: Some(12_000),
        ..Call::default()
    }
    .sounds(Who::Agent, 1_000, 3_000, 440.0)
    .sounds(Who::Customer, 5_000, 3_000, 620.0)
}

/// A wav file of bursts: (start, length) in milliseconds, in a file of `length_ms`.
fn bursts(name: &str, length_ms: usize, parts: &[(usize, usize)]) -> PathBuf {
    let mut samples = vec![0.0; length_ms * sound::PER_MS];
    for &(at_ms, for_ms) in parts {
        // Ramps would move the first active frame; a block of constant amplitude has sharp edges.
        samples[at_ms * sound::PER_MS..(at_ms + for_ms) * sound::PER_MS]
            .iter_mut()
            .enumerate()
            .for_each(|(n, sample)| *sample = if n % 2 == 0 { 0.1 } else { -0.1 });
    }
    let folder = crate::process::target_folder().unwrap().join("bursts");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.wav"));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: sound::RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    sound::to_i16(&samples)
        .into_iter()
        .for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    path
}

#[test]
fn the_same_script_gives_the_same_bytes_and_another_seed_others() {
    let mut script = Script::of(tones());
    script.call[0].network.loss_percent = 5.0;
    script.call[0].noise = Some(Noise {
        kind: NoiseKind::White,
        level_dbfs: Some(-50.0),
        snr_db: None,
    });
    let first = make(&script).unwrap();
    assert_eq!(first.pcap(), make(&script).unwrap().pcap());
    script.seed = 2;
    assert_ne!(first.pcap(), make(&script).unwrap().pcap());
}

#[test]
fn truth_of_legs_of_known_bursts() {
    let agent = bursts(
        "agent",
        12_000,
        &[(500, 2_000), (2_900, 1_000), (4_500, 1_500)],
    );
    let customer = bursts("customer", 12_000, &[(5_200, 1_200), (11_000, 500)]);
    let call = Call {
        tail_ms: 0,
        ..Call::default()
    }
    .plays(Who::Agent, 0, &agent)
    .plays(Who::Customer, 0, &customer);
    let truth = make(&Script::of(call)).unwrap().truth.calls.remove(0);
    assert_eq!(truth.call_duration_ms, Some(12_000));
    // 400 ms are bridged, 600 ms are not.
    assert_eq!(
        truth.agent.segments,
        [Segment::new(500, 3_900), Segment::new(4_500, 6_000)]
    );
    assert_eq!(
        truth.customer.segments,
        [Segment::new(5_200, 6_400), Segment::new(11_000, 11_500)]
    );
    assert_eq!(
        (
            truth.agent.talk_time_ms,
            truth.customer.talk_time_ms,
            truth.overlap_ms
        ),
        (4_900, 1_700, 800)
    );
    assert_eq!(
        (
            truth.customer.interruptions_count,
            truth.agent.interruptions_count
        ),
        (1, 0)
    );
    assert_eq!(
        (truth.non_talk_time_total_ms, truth.silence_count),
        (4_600, 1)
    );
    assert_eq!(
        (truth.agent.words, truth.agent.talk_speed_wpm),
        (None, None)
    );
}

#[test]
fn gaps_count_from_sound_to_sound() {
    let wav = bursts("padded", 2_000, &[(700, 1_000)]);
    let say = |who, after, gap_ms| Say {
        wav: Some(wav.clone()),
        after,
        gap_ms: Some(gap_ms),
        ..Say::by(who)
    };
    let call = Call {
        say: vec![
            say(Who::Agent, After::PreviousEnd, 250),
            say(Who::Customer, After::PreviousStart, 600),
            say(Who::Agent, After::LatestEnd, 800),
            say(Who::Customer, After::PreviousEnd, -100),
        ],
        ..Call::default()
    };
    let truth = make(&Script::of(call)).unwrap().truth.calls.remove(0);
    assert_eq!(
        truth.agent.segments,
        [Segment::new(250, 1_250), Segment::new(2_650, 3_650)]
    );
    assert_eq!(
        truth.customer.segments,
        [Segment::new(850, 1_850), Segment::new(3_550, 4_550)]
    );
    assert_eq!(truth.call_duration_ms, Some(5_550));
}

#[test]
fn nobody_talks_on_hold_or_over_himself() {
    let wav = bursts("one", 2_000, &[(0, 2_000)]);
    let refused = |call: Call| make(&Script::of(call)).unwrap_err().to_string();
    let held = Call::default()
        .plays(Who::Agent, 0, &wav)
        .holds(1_000, 5_000);
    assert!(refused(held).contains("call 1, say 1: is heard from 0 to 2000 ms"));
    let twice = Call::default()
        .plays(Who::Agent, 0, &wav)
        .plays(Who::Agent, 1_000, &wav);
    assert!(refused(twice).contains("say 2: the agent would talk over itself"));
}

#[test]
fn on_hold_nobody_sends_but_the_music() {
    let music = bursts("music", 500, &[(0, 500)]);
    let mut call = tones().holds(9_000, 2_000);
    let packets = |call: &Call| {
        let truth = make(&Script::of(call.clone()))
            .unwrap()
            .truth
            .calls
            .remove(0);
        assert_eq!((truth.hold_ms, truth.hold_count), (2_000, 1));
        [truth.agent.packets_sent, truth.customer.packets_sent]
    };
    assert_eq!(packets(&call), [500, 500]);
    call.hold[0].music = Some(music);
    assert_eq!(packets(&call), [600, 500]);
}

#[test]
fn each_outcome_has_its_messages() {
    let lines = |call: &Call| {
        let made = make(&Script::of(call.clone())).unwrap();
        let mut lines = Vec::new();
        for packet in made.packets {
            let payload = &packet.frame[42..];
            if payload.starts_with(b"SIP/2.0 ")
                || payload
                    .windows(9)
                    .take(80)
                    .any(|window| window == b" SIP/2.0\r")
            {
                let line =
                    String::from_utf8_lossy(payload.split(|&byte| byte == b'\r').next().unwrap())
                        .into_owned();
                let mut words = line.split(' ');
                let first = words.next().unwrap().to_owned();
                lines.push(if first == "SIP/2.0" {
                    words.next().unwrap().to_owned()
                } else {
                    first
                });
            }
        }
        lines.join(" ")
    };
    let unanswered = |outcome| Call {
        outcome,
        ..Call::default()
    };
    assert_eq!(lines(&tones()), "INVITE 100 180 200 ACK BYE 200");
    assert_eq!(
        lines(&tones().holds(9_000, 1_000)),
        "INVITE 100 180 200 ACK INVITE 200 ACK INVITE 200 ACK BYE 200"
    );
    assert_eq!(
        lines(&Call {
            outcome: Outcome::NoBye,
            ..tones()
        }),
        "INVITE 100 180 200 ACK"
    );
    assert_eq!(
        lines(&unanswered(Outcome::Cancelled)),
        "INVITE 100 180 CANCEL 200 487 ACK"
    );
    assert_eq!(
        lines(&unanswered(Outcome::Rejected)),
        "INVITE 100 180 486 ACK"
    );
    assert_eq!(lines(&unanswered(Outcome::Unanswered)), "INVITE 100 180");
}

#[test]
fn a_script_that_says_too_much_or_too_little_is_refused_with_the_line() {
    let wrong = |text: &str| {
        Script::parse(text)
            .and_then(|script| make(&script))
            .unwrap_err()
            .to_string()
    };
    assert!(wrong("seed = 1\n[[call]]\nring = 3\n").contains("line 3"));
    assert!(wrong("[[call]]\n[[call.say]]\nwho = \"nobody\"\n").contains("line 3"));
    assert!(wrong("").contains("no [[call]]"));
    assert!(wrong("[[call]]\nptime_ms = 25\n").contains("call 1: ptime_ms"));
    assert!(
        wrong("[[call]]\n[[call]]\n[[call.say]]\nwho = \"agent\"\n")
            .contains("call 2, say 1: needs")
    );
}

#[test]
fn an_error_after_reading_names_the_line_too() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "[[call]]\nend_ms = 2000\n\n[[call]]\n[[call.tone]]\nwho = \"agent\"\nat_ms = 0\nfor_ms = 100\nhz = 200\n[[call.say]]\nwho = \"agent\"\ntext = \"it is 5\"\n";
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let error = make_file(file.path(), &Overrides::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 10: call 2, say 1: the text holds a numeral"),
        "{error}"
    );
}

#[test]
fn many_calls_in_one_capture_keep_apart() {
    let call = Call {
        end_ms: Some(1_000),
        ring_ms: 100,
        ..Call::default()
    };
    let made = make(&Script::repeated(&call, 50, 200)).unwrap();
    let ids: std::collections::HashSet<&str> = made
        .truth
        .calls
        .iter()
        .map(|call| call.call_id.as_str())
        .collect();
    assert_eq!((ids.len(), made.truth.calls.len()), (50, 50));
    assert!(
        made.packets
            .windows(2)
            .all(|pair| pair[0].at_us <= pair[1].at_us)
    );
    let offset =
        |n: usize| made.truth.calls[n].invite_epoch_ms - made.truth.calls[0].invite_epoch_ms;
    assert_eq!((offset(1), offset(49)), (200, 9_800));
}

/// tshark is somebody else's reading of the same bytes: checksums, streams, loss.
#[test]
fn tshark_reads_what_was_meant() {
    if !installed("tshark") {
        return skip("tshark is not installed");
    }
    for (ipv6, vlan, ptime_ms) in [
        (false, None, 20),
        (true, Some(5), 30),
        (false, Some(4_094), 10),
        (true, None, 60),
    ] {
        let mut call = Call {
            ipv6,
            vlan,
            ptime_ms,
            ..tones()
        }
        .holds(9_000, 1_000);
        call.network.loss_percent = 4.0;
        call.network.burst_packets = Some(2.0);
        call.agent.asserted = Some("sip:1042@pbx.example".to_owned());
        let mut other = Call {
            start_ms: 3_000,
            ..call.clone()
        };
        other.outcome = Outcome::NoBye;
        let made = make(&Script {
            call: vec![call, other],
            ..Script::default()
        })
        .unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        made.write_pcap(file.path()).unwrap();
        let tshark = |arguments: &[&str]| {
            let output = Command::new("tshark")
                .arg("-r")
                .arg(file.path())
                .args(arguments)
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let checked = [
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ];
        let bad = tshark(
            &[
                &checked[..],
                &[
                    "-Y",
                    "udp.checksum.status != 1 || ip.checksum.status == 0 || _ws.malformed",
                ],
            ]
            .concat(),
        );
        assert_eq!(bad, "", "damaged in tshark's eyes");

        // Columns: ..., payload type, packets, lost (percent), ...
        let streams = tshark(&["-q", "-z", "rtp,streams"]);
        let mut seen: Vec<(u32, u32)> = streams
            .lines()
            .filter(|line| line.contains("g711U"))
            .map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                let codec = columns
                    .iter()
                    .position(|&column| column == "g711U")
                    .unwrap();
                (
                    columns[codec + 1].parse().unwrap(),
                    columns[codec + 2].parse().unwrap(),
                )
            })
            .collect();
        let mut meant: Vec<(u32, u32)> = made
            .truth
            .calls
            .iter()
            .flat_map(|truth| [&truth.agent, &truth.customer])
            .map(|leg| (leg.packets_sent - leg.packets_lost, leg.packets_lost))
            .collect();
        seen.sort_unstable();
        meant.sort_unstable();
        assert_eq!(seen, meant, "{streams}");
        assert!(meant.iter().all(|leg| leg.1 > 0));
    }
}

/// A miscounted interruption must be the product's fault: none of the ten calls may lie near a threshold.
#[test]
fn no_scripted_call_hangs_on_a_tenth_of_a_second() {
    const SLACK_MS: u32 = 120;
    if !installed("flite") {
        return skip("flite is not installed");
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("calls");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let truth = make_file(&path, &Overrides::default()).unwrap().truth;
        for call in &truth.calls {
            count += 1;
            let duration = call.call_duration_ms.unwrap();
            assert!(
                (60_000..=120_000).contains(&duration),
                "{}: {duration} ms",
                path.display()
            );
            let longer = |leg: &LegTruth| {
                truth::bridge(
                    leg.segments
                        .iter()
                        .map(|s| {
                            Segment::new(s.start_ms.saturating_sub(SLACK_MS), s.end_ms + SLACK_MS)
                        })
                        .collect(),
                )
            };
            let shorter = |leg: &LegTruth| -> Vec<Segment> {
                leg.segments
                    .iter()
                    .map(|s| Segment::new(s.start_ms + SLACK_MS, s.end_ms - SLACK_MS))
                    .collect()
            };
            for who in Who::BOTH {
                let (by, over) = (call.leg(who), call.leg(who.other()));
                for (x, y) in [
                    (longer(by), longer(over)),
                    (shorter(by), shorter(over)),
                    (longer(by), shorter(over)),
                    (shorter(by), longer(over)),
                ] {
                    let counted = truth::interruptions(&x, &y);
                    assert_eq!(
                        counted.0,
                        by.interruptions_count,
                        "{}: {who}",
                        path.display()
                    );
                }
                assert!(
                    by.words.is_some_and(|words| words > 40),
                    "{}: {who}",
                    path.display()
                );
            }
            let (agent, customer) = (&call.agent, &call.customer);
            let total = call.silence_count as usize;
            let holds: Vec<Segment> = Script::read(&path).unwrap().call[0]
                .hold
                .iter()
                .map(|hold| Segment::new(hold.at_ms, hold.at_ms + hold.for_ms))
                .collect();
            for (a, b) in [
                (longer(agent), longer(customer)),
                (shorter(agent), shorter(customer)),
            ] {
                assert_eq!(
                    truth::non_talk(&a, &b, &holds, duration).len(),
                    total,
                    "{}",
                    path.display()
                );
            }
        }
    }
    assert_eq!(count, 10);
}
