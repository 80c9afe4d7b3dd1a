use serde_json::Value;

use super::*;

/// What `reference/bert.py` wrote.
pub(crate) fn reference() -> Value {
    serde_json::from_str(include_str!("../reference/bert.json")).unwrap()
}

pub(crate) fn sentences() -> Vec<String> {
    let reference = reference();
    reference["sentences"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The built pack; `None`, said aloud, where it was not built.
pub(crate) fn pack() -> Option<crate::Pack> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
    if !directory.join(crate::pack::MANIFEST).is_file() {
        eprintln!("skipped: no pack in target/models/en (sh models/convert/build_pack.sh en)");
        return None;
    }
    Some(crate::Pack::open(&directory).unwrap())
}

#[test]
fn what_was_said_is_not_printed() {
    let encoded = Encoded { pieces: Vec::new(), rows: vec![0.75], width: 1 };
    assert_eq!(encoded.mean(), [0.75]);
    let head = Head { weight: vec![1.0, 2.0, 3.0, 4.0], bias: vec![0.5, 0.0] };
    assert_eq!(head.apply(&[1.0, 1.0]), [3.5, 7.0]);
}

#[test]
fn what_two_models_have_in_common_is_in_memory_once() {
    if pack().is_none() {
        return;
    }
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
    let files = ["embed.gguf", "sentiment.gguf"].map(|name| std::fs::read(directory.join(name)).unwrap());
    let tensors = [0, 1].map(|index| Tensors::parse(&files[index]).unwrap());
    let mut parts = Parts::default();
    let [first, second] = [0, 1].map(|index| Bert::load(&tensors[index], &mut parts).unwrap());
    assert!(Arc::ptr_eq(&first.words, &second.words));
    let common = first.layers.iter().zip(&second.layers).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    // The last two layers were trained anew.
    assert_eq!((common, first.layers.len()), (4, 6));
    let alone = Bert::load(&tensors[1], &mut Parts::default()).unwrap();
    assert!(alone.encode("it works again").unwrap().rows == second.encode("it works again").unwrap().rows);
}
