//! sotto passes on no sound and no spoken word: canaries go in, and nothing that comes out holds one.

#[path = "privacy/keeper.rs"]
mod keeper;
#[path = "privacy/scene.rs"]
mod scene;
#[path = "privacy/search.rs"]
mod search;
#[path = "privacy/tape.rs"]
mod tape;

use std::time::Instant;

use sotto_tests::broker::Broker;
use sotto_tests::process::{installed, skip, sotto_binary};
use sotto_tests::sabotage;
use sotto_tests::schema::validate;
use sotto_tests::site::has_pack;

use crate::scene::{Evidence, Scene, WORDS};
use crate::search::{Found, Search, base64, hexadecimal};

#[test]
fn nothing_that_was_said_or_signalled_comes_out() {
    if let Some(absent) = absent() {
        return skip(absent);
    }
    let scene = Scene::new();
    let mut evidence = scene.play(&sotto_binary().unwrap());

    // There was something to lose: every canary word was understood.
    let score = evidence.messages.iter().find(|message| message.topic.ends_with("/call/score")).unwrap();
    let score = validate(&score.topic, &score.payload).unwrap();
    for (ordinal, word) in WORDS.into_iter().enumerate() {
        assert_eq!(score[format!("category_{:02}", ordinal + 1)], true, "{word} was not understood: {score}");
    }
    // And the search looked everywhere it says.
    for place in ["MQTT, up", "spool.db.", "spool.db-wal.", "spool.db-shm.", "the uplink's log", "replay: standard output"] {
        let bytes: usize = evidence.places.iter().filter(|(name, _)| name.starts_with(place)).map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes > 0, "{place} is empty");
    }
    let spools = evidence.places.iter().filter(|(name, _)| name.starts_with("spool.db.")).count();
    assert!(spools > 1, "the scratch of replay was not seen");
    for message in &evidence.messages {
        validate(&message.topic, &message.payload).unwrap();
    }

    let bytes: usize = evidence.places.iter().map(|(_, bytes)| bytes.len()).sum();
    eprintln!("{} places, {bytes} bytes", evidence.places.len());
    assert_eq!(told(&found(&scene.search, &evidence)), Vec::<String>::new());

    // The same search, where there is something to find.
    evidence.places[0].1.extend(b"heard: Crocodile");
    assert_eq!(found(&scene.search, &evidence).len(), 1);
}

#[test]
fn a_recogniser_that_logs_its_words_is_caught() {
    if let Some(absent) = absent() {
        return skip(absent);
    }
    let began = Instant::now();
    let sotto = sabotage::build("log-words.patch").unwrap();
    eprintln!("built in {:.0} s", began.elapsed().as_secs_f64());
    let scene = Scene::new();
    let found = found(&scene.search, &scene.play(&sotto));
    for word in WORDS {
        let is_it = |found: &Found| found.canary.starts_with(word) && found.place == "replay --publish: standard error";
        assert!(found.iter().any(is_it), "{word} was not caught");
    }
}

/// The search finds what is there, in each form, wherever it stands.
#[test]
fn the_search_finds_every_form() {
    let mut search = Search::default();
    search.text("crocodile");
    let sound: Vec<u8> = (0..1_600_u32).map(|n| (n * n % 251) as u8).collect();
    search.sound("tone", &sound);
    let wide = |order: fn(u16) -> [u8; 2]| "CrocoDile".bytes().flat_map(|byte| order(byte.into())).collect::<Vec<u8>>();
    let mut forms = vec![b"CROCODILE".to_vec(), b"elidocorc".to_vec(), wide(u16::to_le_bytes), wide(u16::to_be_bytes)];
    forms.push(hexadecimal(b"crocodile").to_ascii_uppercase());
    for before in ["", "a", "ab", "abc"] {
        forms.push(base64(format!("{before}crocodile and more").as_bytes()));
        forms.push(base64(format!("{before}Crocodile").as_bytes()));
    }
    for at in [0, 1, 77, 1_000] {
        forms.push(sound[at..at + 79].to_vec());
    }
    forms.push(base64(&sound[..160]));
    for form in forms {
        let place = [b"before".as_slice(), &form, b"after"].concat();
        assert!(!search.look("here", &place).is_empty(), "{form:?}");
    }
    assert_eq!(search.look("here", b"a crocodil, an alligator"), []);
    assert_eq!(search.look("here", &[0xff; 4_096]), []);
}

fn absent() -> Option<&'static str> {
    if !Broker::is_installed() {
        Some("mosquitto is not installed")
    } else if !installed("flite") {
        Some("flite is not installed")
    } else if !has_pack() {
        Some("the model pack has not been built")
    } else {
        None
    }
}

fn found(search: &Search, evidence: &Evidence) -> Vec<Found> {
    evidence.places.iter().flat_map(|(place, bytes)| [search.look(place, bytes), search.look(place, place.as_bytes())].concat()).collect()
}

fn told(found: &[Found]) -> Vec<String> {
    found.iter().take(20).map(ToString::to_string).collect()
}
