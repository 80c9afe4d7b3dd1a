use std::io::Cursor;

use super::*;

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [name.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat();
    if body.len() % 2 == 1 {
        chunk.push(0);
    }
    chunk
}

fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let frame = channels * bits / 8;
    let fields = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
    let body = [&fields[..], &rate.to_le_bytes(), &(rate * u32::from(frame)).to_le_bytes(), &frame.to_le_bytes(), &bits.to_le_bytes()].concat();
    chunk(b"fmt ", &body)
}

fn wav(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    [b"RIFF".as_slice(), &(body.len() as u32 + 4).to_le_bytes(), b"WAVE", &body].concat()
}

fn open(bytes: &[u8]) -> Result<WavFile<Cursor<Vec<u8>>>, CaptureError> {
    WavFile::from_reader(Path::new("test.wav"), Cursor::new(bytes.to_vec()), Some(bytes.len() as u64), Wall::from_micros(1_000_000))
}

fn read(bytes: &[u8]) -> (Vec<Pcm>, Option<CaptureError>) {
    let mut source = match open(bytes) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut blocks = Vec::new();
    loop {
        match source.next() {
            Ok(Next::Item(Captured::Pcm(pcm))) => blocks.push(pcm),
            Ok(Next::End) => return (blocks, None),
            Ok(other) => panic!("a recording said {other:?}"),
            Err(error) => {
                assert!(matches!(source.next(), Ok(Next::End)));
                return (blocks, Some(error));
            }
        }
    }
}

/// `frames` frames: the left counts up, the right counts down.
fn linear(frames: i16) -> Vec<u8> {
    (0..frames).flat_map(|frame| [frame.to_le_bytes(), (-frame).to_le_bytes()].concat()).collect()
}

#[test]
fn the_channels_come_apart_in_blocks_of_20_ms() {
    let (blocks, error) = read(&wav(&[format(1, 2, 8_000, 16), chunk(b"LIST", b"odd"), chunk(b"data", &linear(400))]));
    assert!(error.is_none(), "{error:?}");
    let shape: Vec<_> = blocks.iter().map(|pcm| (pcm.number, pcm.channel, pcm.at.micros, pcm.samples().len())).collect();
    let expected = [
        (1, 0, 1_000_000, 160),
        (2, 1, 1_000_000, 160),
        (3, 0, 1_020_000, 160),
        (4, 1, 1_020_000, 160),
        (5, 0, 1_040_000, 80),
        (6, 1, 1_040_000, 80),
    ];
    assert_eq!(shape, expected);
    assert_eq!((blocks[2].samples()[0], blocks[3].samples()[0]), (160, -160));
    assert!(blocks.iter().all(|pcm| pcm.rate == 8_000));
}

#[test]
fn an_odd_rate_does_not_drift() {
    let (blocks, _) = read(&wav(&[format(1, 2, 11_025, 16), chunk(b"data", &linear(11_025))]));
    let last = blocks.last().unwrap();
    assert_eq!(last.at.micros, 1_000_000 + 11_000 * 1_000_000 / 11_025);
}

#[test]
fn the_laws_decode_to_the_values_of_g711() {
    assert_eq!([0xff, 0x80, 0x00].map(mulaw), [0, 32_124, -32_124]);
    assert_eq!([0xd5, 0xaa, 0x2a].map(alaw), [8, 32_256, -32_256]);
    for code in 0..=255u8 {
        assert_eq!(mulaw(code), -mulaw(code ^ 0x80));
        assert_eq!(alaw(code), -alaw(code ^ 0x80));
    }
    let (blocks, error) = read(&wav(&[format(7, 2, 8_000, 8), chunk(b"data", &[0x80, 0x00, 0xff, 0xff])]));
    assert!(error.is_none());
    assert_eq!((blocks[0].samples(), blocks[1].samples()), ([32_124, 0].as_slice(), [-32_124, 0].as_slice()));
}

#[test]
fn a_stream_without_a_length_is_read_to_its_end() {
    for length in [0, u32::MAX] {
        let mut file = wav(&[format(1, 2, 8_000, 16), chunk(b"data", &linear(100))]);
        let at = file.windows(4).position(|window| window == b"data").unwrap() + 4;
        file[at..at + 4].copy_from_slice(&length.to_le_bytes());
        let (blocks, error) = read(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(blocks[0].samples().len(), 100);
    }
}

#[test]
fn a_recording_cut_anywhere_gives_its_whole_frames_and_then_says_where() {
    let file = wav(&[format(1, 2, 8_000, 16), chunk(b"data", &linear(400))]);
    for length in 0..file.len() {
        let (blocks, error) = read(&file[..length]);
        let samples: usize = blocks.iter().filter(|pcm| pcm.channel == 0).map(|pcm| pcm.samples().len()).sum();
        assert_eq!(samples, length.saturating_sub(44) / 4, "cut to {length}");
        assert!(matches!(error, Some(CaptureError::Damaged { .. } | CaptureError::WrongKind { .. })), "cut to {length}: {error:?}");
    }
    let (_, error) = read(&file[..44 + 650]);
    assert_eq!(error.unwrap().to_string(), "test.wav: packet 5 at byte 692: the recording is cut short");
}

#[test]
fn what_cannot_be_told_apart_is_refused_with_a_reason() {
    let refused = |fmt: Vec<u8>| open(&wav(&[fmt, chunk(b"data", &[0; 8])])).unwrap_err().to_string();
    assert!(refused(format(1, 1, 8_000, 16)).contains("1 channel(s); a call needs two, the agent left and the customer right"));
    assert!(refused(format(17, 2, 8_000, 4)).contains("coding 17 with 4 bits"));
    assert!(refused(format(1, 2, 0, 16)).contains("a rate of 0 Hz"));
    assert_eq!(open(b"RIFX....WAVE").unwrap_err().to_string(), "test.wav: is not a wav file");
    assert!(open(&wav(&[chunk(b"data", &[0; 8])])).unwrap_err().to_string().contains("before its format"));
    let huge = [b"RIFF".as_slice(), &[0; 4], b"WAVE", b"junk", &[0xff; 4]].concat();
    assert!(open(&huge).unwrap_err().to_string().contains("length is impossible"));
}
