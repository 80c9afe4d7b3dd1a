use std::path::{Path, PathBuf};

use super::*;

/// A device without a card: a file behind ALSA's own `file` plugin, over a device that is always ready. It is of two channels or one.
fn device(file: &Path) -> String {
    format!("plug:{{SLAVE={{type file slave.pcm null file /dev/null infile {} format raw}}}}", file.display())
}

/// A raw file of its own, with some silence after it, removed in the end. ALSA's plugin never comes back from a file's end: no test goes there.
struct Raw(PathBuf);

impl Raw {
    fn new(name: &str, samples: &[i16]) -> Self {
        let path = std::env::temp_dir().join(format!("sotto-alsa-{name}-{}.raw", std::process::id()));
        let bytes: Vec<u8> = samples.iter().chain(&[0; 96_000]).flat_map(|sample| sample.to_ne_bytes()).collect();
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

const fn options(channels: Channels, rate: u32) -> SoundCardOptions {
    SoundCardOptions { channels, rate, timeout: Duration::from_millis(1) }
}

/// The first blocks that a device delivers.
fn blocks(card: &mut SoundCard, count: usize) -> Vec<Pcm> {
    let mut blocks = Vec::new();
    while blocks.len() < count {
        match card.next().unwrap() {
            Next::Item(Captured::Line(pcm)) => blocks.push(pcm),
            Next::Quiet => {}
            other => panic!("{other:?}"),
        }
    }
    blocks
}

#[test]
fn left_is_the_agent_and_right_the_customer() {
    let sound: Vec<i16> = (0..8_000i16).flat_map(|at| [at, -at]).collect();
    let file = Raw::new("two", &sound);
    let mut card = SoundCard::open(&device(&file.0), options(Channels::AgentCustomer, 8_000)).unwrap();
    let blocks = blocks(&mut card, 100);
    assert!(blocks.iter().zip(1..).all(|(block, number)| block.number == number && block.rate == 8_000 && block.samples().len() == 160));
    let channel = |channel: u8| -> Vec<i16> { blocks.iter().filter(|block| block.channel == channel).flat_map(|block| block.samples().to_vec()).collect() };
    assert_eq!(channel(0), (0..8_000).collect::<Vec<i16>>());
    assert_eq!(channel(1), (0..8_000i16).map(|at| -at).collect::<Vec<i16>>());
    let counters = card.counters();
    assert_eq!((counters.frames, counters.delivered, counters.overruns), (100, 100, 0));
    // The pair has one time, the next pair the next one (led back to a wall clock that such a device is far ahead of).
    assert!(blocks.chunks(2).all(|pair| pair[0].at == pair[1].at));
    assert!(blocks.chunks(2).zip(blocks.chunks(2).skip(1)).all(|(one, two)| (19_990..=20_010).contains(&two[0].at.since(one[0].at))));
    assert!(blocks[0].at.micros > WALL_CLOCK);
}

#[test]
fn one_channel_holds_both() {
    let file = Raw::new("one", &[7; 48_000]);
    let mut card = SoundCard::open(&device(&file.0), options(Channels::Mixed, 48_000)).unwrap();
    let blocks = blocks(&mut card, 50);
    assert!(blocks.iter().all(|block| block.channel == Pcm::BOTH && block.samples() == [7; 960]));
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let error = SoundCard::open("hw:CARD=nowhere", options(Channels::Mixed, 8_000)).unwrap_err().to_string();
    assert!(error.starts_with("sound card hw:CARD=nowhere: there is no such device"), "{error}");
}

/// What it says of itself tells nothing of what it hears.
#[test]
fn its_debug_tells_nothing() {
    let file = Raw::new("debug", &[12_345; 800]);
    let card = SoundCard::open(&device(&file.0), options(Channels::Mixed, 8_000)).unwrap();
    assert!(!format!("{card:?}").contains("12345"));
}

#[test]
fn a_card_that_runs_fast_or_slow_is_led_back_and_never_by_a_step() {
    for off in [-2i64, 0, 2] {
        let mut clock = Clock::new(44_100);
        let start = 1_700_000_000_000_000i64;
        let mut last = None;
        for block in 1..50_000i64 {
            // The system is told late, now by more and now by less.
            let jitter = block * 7_919 % 3_000;
            let at = clock.block(Wall::from_micros(start + block * (20_000 + off) + jitter), 882);
            if let Some(last) = last.replace(at) {
                assert!((at.since(last) - 20_000).abs() <= LED_BACK);
            }
        }
        let drift = last.map(|last| last.micros - (start + 49_998 * (20_000 + off)));
        assert!(drift.is_some_and(|drift| (-100..3_100).contains(&drift)), "{off}: {drift:?} us off after 1,000 s");
    }
}

#[test]
fn a_gap_moves_the_clock_on_and_a_clock_set_back_does_not_move_it() {
    let mut clock = Clock::new(8_000);
    let at = |micros: i64| Wall::from_micros(1_700_000_000_000_000 + micros);
    assert_eq!(clock.block(at(20_000), 160), at(0));
    assert_eq!(clock.block(at(40_000), 160), at(20_000));
    assert_eq!(clock.block(at(3_600_000_000), 160), at(3_599_980_000), "after a suspend");
    assert_eq!(clock.block(at(40_000), 160), at(3_600_000_000 - LED_BACK));
}
