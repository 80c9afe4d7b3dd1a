use super::*;
use crate::bert::tests::{pack, reference, sentences};

#[test]
fn a_feeling_is_not_printed() {
    assert_eq!(format!("{:?}", Feeling { score: 4.5, spread: 0.5 }), "Feeling");
}

#[test]
fn confidences_are_those_of_a_normal_distribution() {
    let feeling = Feeling { score: -1.0, spread: 1.0 };
    assert!((feeling.confidence(1.0) - 0.6827).abs() < 1e-4);
    assert!((feeling.confidence(1.96) - 0.95).abs() < 1e-3);
    assert!((feeling.sign_confidence() - 0.8413).abs() < 1e-4);
    assert!(feeling.confidence(0.0) < 1e-6);
}

#[test]
fn feelings_are_those_of_the_trained_network() {
    let Some(pack) = pack() else { return };
    let sentiment = pack.sentiment().unwrap();
    for (text, expected) in sentences().iter().zip(reference()["sentiment"].as_array().unwrap()) {
        let found = sentiment.feel(text).unwrap();
        let (score, spread) = (expected["score"].as_f64().unwrap() as f32, expected["log_spread"].as_f64().unwrap() as f32);
        assert!((found.score - score).abs() < 0.25, "{text}: {} {score}", found.score);
        assert!((found.spread.ln() - spread).abs() < 0.2, "{text}");
    }
}

/// What a box must not get wrong.
#[test]
fn negation_and_politeness_are_understood() {
    let Some(pack) = pack() else { return };
    let sentiment = pack.sentiment().unwrap();
    let score = |text: &str| sentiment.feel(text).unwrap().score;
    assert!(score("that is really good") > 1.0);
    assert!(score("that is not good at all") < -1.0);
    assert!(score("thank you, but it still does not work") < -0.5);
    assert!(score("no problem at all, it works perfectly") > 1.0);
    assert!(score("my number is four one two").abs() < 1.0);
}
