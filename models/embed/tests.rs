use super::*;
use crate::bert::tests::{pack, reference, sentences};

#[test]
fn a_meaning_is_not_printed() {
    assert_eq!(format!("{:?}", Meaning(vec![0.25])), "Meaning");
}

/// The reference is in f32, here are 8 bits: the angle between the two is small.
#[test]
fn meanings_are_those_of_the_published_network() {
    let Some(pack) = pack() else { return };
    let embedder = pack.embedder().unwrap();
    for (text, expected) in sentences().iter().zip(reference()["embed"].as_array().unwrap()) {
        let expected = Meaning(expected["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect());
        let likeness = embedder.embed(text).unwrap().likeness(&expected);
        assert!(likeness > 0.96, "{text}: {likeness}");
    }
}

#[test]
fn sentences_about_the_same_lie_closer() {
    let Some(pack) = pack() else { return };
    let embedder = pack.embedder().unwrap();
    let meaning = |text: &str| embedder.embed(text).unwrap();
    let end = meaning("I want to close my account");
    assert!(end.likeness(&meaning("please terminate my contract")) > end.likeness(&meaning("what is the weather like today")) + 0.2);
    // Neither nothing nor too much of it is refused.
    assert_eq!(meaning("").values().len(), 384);
    assert_eq!(meaning(&"word ".repeat(2_000)).values().len(), 384);
}
