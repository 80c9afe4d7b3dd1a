use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use sotto_models::gguf::{self, Tensors};
use sotto_models::whisper::{Turn, Whisper};

use super::*;
use crate::whisper::Stored;

const WIDTH: usize = 64;
const FEED_FORWARD: usize = 128;
const MEL_BINS: usize = 16;
const TOKENS: [&str; 12] = [
    "a",
    "Ġb",
    "c",
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|es|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|nospeech|>",
    "<|notimestamps|>",
    "<|0.00|>",
];

/// A folder of its own, gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sotto-convert-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A whole model of random weights, one encoder layer and two decoder layers, under the published names.
fn random_weights() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        (
            "model.encoder.conv1.weight".into(),
            vec![WIDTH, MEL_BINS, 3],
        ),
        ("model.encoder.conv1.bias".into(), vec![WIDTH]),
        ("model.encoder.conv2.weight".into(), vec![WIDTH, WIDTH, 3]),
        ("model.encoder.conv2.bias".into(), vec![WIDTH]),
        (
            "model.encoder.embed_positions.weight".into(),
            vec![1500, WIDTH],
        ),
        (
            "model.decoder.embed_positions.weight".into(),
            vec![448, WIDTH],
        ),
        (
            "model.decoder.embed_tokens.weight".into(),
            vec![TOKENS.len(), WIDTH],
        ),
    ];
    let both = |shapes: &mut Vec<(String, Vec<usize>)>, name: String, shape: Vec<usize>| {
        shapes.push((format!("{name}.bias"), vec![shape[0]]));
        shapes.push((format!("{name}.weight"), shape));
    };
    for (side, layers) in [("encoder", 1), ("decoder", 2)] {
        both(&mut shapes, format!("model.{side}.layer_norm"), vec![WIDTH]);
        for layer in 0..layers {
            let layer = format!("model.{side}.layers.{layer}");
            let mut attentions = vec!["self_attn"];
            if side == "decoder" {
                attentions.push("encoder_attn");
            }
            for attention in attentions {
                for kind in ["q", "v", "out"] {
                    both(
                        &mut shapes,
                        format!("{layer}.{attention}.{kind}_proj"),
                        vec![WIDTH, WIDTH],
                    );
                }
                shapes.push((
                    format!("{layer}.{attention}.k_proj.weight"),
                    vec![WIDTH, WIDTH],
                ));
                both(
                    &mut shapes,
                    format!("{layer}.{attention}_layer_norm"),
                    vec![WIDTH],
                );
            }
            both(
                &mut shapes,
                format!("{layer}.fc1"),
                vec![FEED_FORWARD, WIDTH],
            );
            both(
                &mut shapes,
                format!("{layer}.fc2"),
                vec![WIDTH, FEED_FORWARD],
            );
            both(
                &mut shapes,
                format!("{layer}.final_layer_norm"),
                vec![WIDTH],
            );
        }
    }
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Numbers that are the same in 16 bits.
        f32::from((state >> 24) as u8) / 128.0 - 1.0
    };
    shapes
        .into_iter()
        .map(|(name, shape)| {
            let values = (0..shape.iter().product()).map(|_| random()).collect();
            (name, shape, values)
        })
        .collect()
}

fn write_folder(folder: &Folder, weights: &[(String, Vec<usize>, Vec<f32>)], dtype: &str) {
    let tensors: Vec<(&str, &[usize], &[f32])> = weights
        .iter()
        .map(|(name, shape, values)| (name.as_str(), &shape[..], &values[..]))
        .collect();
    folder.write("model.safetensors", &safetensors::file(&tensors, dtype));
    folder.write(
        "config.json",
        br#"{"d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 1,
            "decoder_attention_heads": 1, "suppress_tokens": [1, 2], "begin_suppress_tokens": [3]}"#,
    );
    folder.write("generation_config.json", br#"{"suppress_tokens": [2, -1]}"#);
    let numbered = |range: std::ops::Range<usize>| {
        let map: BTreeMap<&str, usize> = range.map(|id| (TOKENS[id], id)).collect();
        serde_json::to_vec(&map).unwrap()
    };
    folder.write("vocab.json", &numbered(0..4));
    folder.write("added_tokens.json", &numbered(4..TOKENS.len()));
}

#[test]
fn a_published_model_becomes_one_of_ours_and_runs() {
    let weights = random_weights();
    let mut made = Vec::new();
    for dtype in ["F32", "F16", "BF16"] {
        let folder = Folder::new(dtype);
        write_folder(&folder, &weights, dtype);
        let path = folder.0.join("model.safetensors");
        let (metadata, tensors) = crate::whisper::convert(&[path], Stored::default()).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        gguf::write(&mut bytes, metadata, &tensors).unwrap();
        made.push(bytes.into_inner());
    }
    assert!(
        made[0] == made[1] && made[0] == made[2],
        "16 bits hold these weights"
    );

    let tensors = Tensors::parse(&made[0]).unwrap();
    assert_eq!(tensors.u32s("whisper.prompt").unwrap(), [4, 5, 8, 10]);
    assert_eq!(tensors.u32s("whisper.suppress").unwrap(), [2]);
    assert_eq!(tensors.u32s("whisper.suppress_begin").unwrap(), [3]);
    assert_eq!(tensors.texts("general.languages").unwrap(), ["en", "es"]);
    let published = |name: &str| &weights.iter().find(|(known, ..)| known == name).unwrap().2;
    let layer = "model.decoder.layers.1.encoder_attn";
    let bias = tensors
        .f32("decoder.1.cross_attention.key_value.bias", &[2 * WIDTH])
        .unwrap();
    assert!(
        bias[..WIDTH].iter().all(|value| *value == 0.0),
        "keys have no bias"
    );
    assert_eq!(
        bias[WIDTH..],
        published(&format!("{layer}.v_proj.bias"))[..]
    );
    let found = tensors
        .f32(
            "decoder.1.cross_attention.key_value.weight",
            &[2 * WIDTH, WIDTH],
        )
        .unwrap();
    let expected = [
        &published(&format!("{layer}.k_proj.weight"))[..],
        &published(&format!("{layer}.v_proj.weight"))[..],
    ]
    .concat();
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 0.01);
    }

    let mut whisper = Whisper::load(&tensors).unwrap();
    let spanish = whisper.language("es").unwrap();
    let samples: Vec<f32> = (0..20_000).map(|n| (n as f32 * 0.3).sin() * 0.1).collect();
    let turn = |language| Turn {
        samples: &samples,
        language,
    };
    let heard = whisper
        .transcribe_batch(&[turn(None), turn(Some(spanish))])
        .unwrap();
    assert_eq!(
        heard[1].language.map(|(language, _)| language),
        Some(spanish)
    );
    assert!(
        heard[0]
            .language
            .is_some_and(|(_, probability)| probability >= 0.5)
    );
}

#[test]
fn what_is_missing_is_named() {
    let mut weights = random_weights();
    weights.retain(|(name, ..)| name != "model.decoder.layers.0.fc1.bias");
    let folder = Folder::new("missing");
    write_folder(&folder, &weights, "F32");
    let path = folder.0.join("model.safetensors");
    let error = crate::whisper::convert(std::slice::from_ref(&path), Stored::default())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("model.decoder.layers.0.fc1.bias"), "{error}");
    folder.write("vocab.json", br#"{"a": 99999999999}"#);
    assert!(crate::whisper::convert(std::slice::from_ref(&path), Stored::default()).is_err());
    folder.write("config.json", b"{}");
    let error = crate::whisper::convert(&[path], Stored::default())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("config.json"), "{error}");
}
