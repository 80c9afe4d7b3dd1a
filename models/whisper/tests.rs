use super::*;

#[test]
fn what_was_heard_is_not_printed() {
    let heard = Heard {
        words: vec![HeardWord {
            text: "marmalade".to_owned(),
            probability: 0.75,
            confidence: 0.75,
            begin: 0.75,
            end: 1.75,
        }],
        average_log_probability: -0.3,
        no_speech_probability: 0.01,
        language: None,
        decoded_twice: false,
        cut_short: false,
    };
    let printed = format!("{heard:?} {:?} {heard:#?}", heard.words);
    assert!(
        !printed.contains("marmalade") && !printed.contains("75"),
        "printed"
    );
}

#[test]
fn a_worker_may_own_a_model() {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<Whisper>();
    sendable::<Heard>();
}

/// The built pack's model; `None`, said aloud, where it was not built.
fn model() -> Option<Whisper> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
    if !directory.join(crate::pack::MANIFEST).is_file() {
        eprintln!("skipped: no pack in target/models/en (sh models/convert/build_pack.sh en)");
        return None;
    }
    Some(crate::Pack::open(&directory).unwrap().whisper().unwrap())
}

/// A telephone prompt of the shared data at 16 kHz; `None`, said aloud, where there is no such folder.
fn prompt(name: &str) -> Option<Vec<f32>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/speech/asterisk")
        .join(name);
    let Ok(mut wav) = hound::WavReader::open(&path) else {
        eprintln!("skipped: no speech/asterisk/{name} in ../shared/data");
        return None;
    };
    let samples: Vec<f32> = wav
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    Some(
        crate::resample::Upsampler::new(2)
            .unwrap()
            .upsample(&samples),
    )
}

fn joined(heard: &Heard) -> String {
    let words: Vec<&str> = heard.words.iter().map(|word| word.text.as_str()).collect();
    words.join(" ")
}

#[test]
fn a_prompt_is_heard_with_the_tail_as_with_the_whole_window() {
    let (Some(mut whisper), Some(samples)) = (model(), prompt("vm-msgsaved.wav")) else {
        return;
    };
    let heard = whisper.transcribe(&samples).unwrap();
    assert_eq!(joined(&heard), "Your message has been saved.");
    assert!(heard.average_log_probability > -0.5);
    assert!(heard.no_speech_probability < 0.5);
    assert!(
        heard
            .words
            .iter()
            .all(|word| (0.3..=1.0).contains(&word.probability))
    );
    assert!(!heard.decoded_twice && !heard.cut_short);

    let turn = Turn {
        samples: &samples,
        language: None,
    };
    let whole = whisper.decode(&[turn], |_| WINDOW, &mut |_| ()).unwrap();
    let words = whisper.model.tokens.words(&whole[0]);
    assert_eq!(words.len(), heard.words.len());
    assert!(
        words
            .iter()
            .zip(&heard.words)
            .all(|(a, b)| a.text == b.text)
    );
}

#[test]
fn a_turn_leaves_nothing_to_the_next() {
    let (Some(mut whisper), Some(samples)) = (model(), prompt("vm-msgsaved.wav")) else {
        return;
    };
    let first = whisper.transcribe(&samples).unwrap();
    whisper.transcribe(&vec![0.25; 32_000]).unwrap();
    let again = whisper.clone().transcribe(&samples).unwrap();
    assert!(first == again, "the same turn was heard in another way");
}

/// The promise is the words bit by bit and the probabilities to a thousandth; it is kept to the last bit.
#[test]
fn a_batch_is_heard_as_its_turns_alone() {
    let names = [
        "vm-msgsaved.wav",
        "vm-goodbye.wav",
        "demo-instruct.wav",
        "yes-dear.wav",
    ];
    let prompts: Option<Vec<Vec<f32>>> = names.into_iter().map(prompt).collect();
    let (Some(mut whisper), Some(mut prompts)) = (model(), prompts) else {
        return;
    };
    prompts[2].truncate(12 * SAMPLE_RATE);
    // One twice, one that is only noise, and more than go into one batch.
    prompts.push(prompts[0].clone());
    prompts.push(
        (0..32_000)
            .map(|n| f32::from(n as i16 % 7) / 9.0 - 0.3)
            .collect(),
    );
    let short = prompts[1].clone();
    prompts.extend((0..14).map(|n| short[n * 400..].to_vec()));
    let alone: Vec<Heard> = prompts
        .iter()
        .map(|samples| whisper.transcribe(samples).unwrap())
        .collect();
    assert!(alone[..5].iter().all(|heard| !heard.words.is_empty()));
    let turns: Vec<Turn<'_>> = prompts
        .iter()
        .map(|samples| Turn {
            samples,
            language: None,
        })
        .collect();
    for size in [2, 5, turns.len()] {
        let together = turns
            .chunks(size)
            .flat_map(|turns| whisper.transcribe_batch(turns).unwrap());
        for (index, (together, alone)) in together.zip(&alone).enumerate() {
            assert!(
                together == *alone,
                "turn {index} in batches of {size} was heard in another way"
            );
        }
    }
    assert!(whisper.transcribe_batch(&[]).unwrap().is_empty());
}

/// What was heard is allocated, and some lists of a batch: nothing for a token, a layer of it or a position.
#[test]
fn hearing_allocates_nothing_for_each_token() {
    let names = ["vm-msgsaved.wav", "demo-instruct.wav"];
    let prompts: Option<Vec<Vec<f32>>> = names.into_iter().map(prompt).collect();
    let (Some(mut whisper), Some(mut prompts)) = (model(), prompts) else {
        return;
    };
    prompts[1].truncate(12 * SAMPLE_RATE);
    let mut beside_words = Vec::new();
    for samples in &prompts {
        // The first time makes room.
        whisper.transcribe(samples).unwrap();
        let mut heard = None;
        let allocated = allocation_counter::measure(|| heard = whisper.transcribe(samples).ok());
        let words = heard.unwrap().words.len() as u64;
        assert!(words >= 4);
        // A word's text, and the list of them as it grows.
        beside_words.push(allocated.count_total.saturating_sub(2 * words));
    }
    assert!(
        beside_words.iter().all(|count| *count < 64),
        "{beside_words:?}"
    );
    assert!(beside_words[1] <= beside_words[0] + 12, "{beside_words:?}");
    let mel = vec![0.1; 300 * 80];
    let Whisper {
        model,
        room,
        encoded,
        ..
    } = &mut whisper;
    model.encoder.forward(&mel, room, encoded).unwrap();
    let allocated =
        allocation_counter::measure(|| model.encoder.forward(&mel, room, encoded).unwrap());
    assert_eq!(allocated.count_total, 0, "the encoder allocates");
}

/// Words of a synthetic voice with known times, by construction: see `benches/word_times.sh` for more of them.
#[test]
fn words_come_in_order_and_within_the_turn() {
    let (Some(mut whisper), Some(samples)) = (model(), prompt("vm-msgsaved.wav")) else {
        return;
    };
    let heard = whisper.transcribe(&samples).unwrap();
    let seconds = samples.len() as f32 / SAMPLE_RATE as f32;
    for pair in heard.words.windows(2) {
        assert!(pair[0].end <= pair[1].begin + 0.021);
    }
    for word in &heard.words {
        assert!(word.begin < word.end && word.end <= seconds + 0.03);
        assert!((0.0..=1.0).contains(&word.confidence));
    }
    assert!(
        heard
            .confidence()
            .is_some_and(|confidence| confidence > 0.5)
    );
}

#[test]
fn silence_noise_and_the_limits_are_taken() {
    let Some(mut whisper) = model() else {
        return;
    };
    let mut state = 1u32;
    let noise: Vec<f32> = (0..48_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect();
    for samples in [
        &[][..],
        &[0.0; 1],
        &[0.0; 48_000],
        &noise,
        &[f32::NAN; 100],
        &vec![1.0; MAX_SAMPLES],
    ] {
        let heard = whisper.transcribe(samples).unwrap();
        for word in &heard.words {
            assert!(
                word.probability < 0.5,
                "a word is certain where nobody spoke"
            );
        }
    }
    assert!(whisper.transcribe(&vec![0.0; MAX_SAMPLES + 1]).is_err());
}

#[test]
fn what_is_no_whisper_is_refused_by_name() {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use crate::gguf::{self, Value};

    let mut metadata = BTreeMap::new();
    let mut refused = |key: &str, value: Value| {
        metadata.insert(key.to_owned(), value);
        let mut bytes = Cursor::new(Vec::new());
        gguf::write(&mut bytes, metadata.clone(), &BTreeMap::new()).unwrap();
        let bytes = bytes.into_inner();
        let tensors = Tensors::parse(&bytes).unwrap();
        Whisper::load(&tensors).unwrap_err().to_string()
    };
    let text = |text: &str| Value::String(text.to_owned());
    assert!(refused("general.architecture", text("llama")).contains("general.architecture"));
    assert!(refused("general.architecture", text("whisper")).contains("whisper.embedding_length"));
    assert!(refused("whisper.embedding_length", Value::U32(u32::MAX)).contains("1 to 2048"));
    assert!(refused("whisper.embedding_length", Value::U32(384)).contains("head_count"));
    for side in ["encoder", "decoder"] {
        let key = format!("whisper.{side}.attention.head_count");
        assert!(refused(&key, Value::U32(5)).contains("heads of 64"));
        refused(&key, Value::U32(6));
    }
    assert!(refused("whisper.encoder.context_length", Value::U32(750)).contains("1500"));
}
