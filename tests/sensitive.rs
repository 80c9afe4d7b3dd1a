//! What is sensitive is blanked before anything else sees it, and counted.
//!
//! Customers with three voices read payment cards aloud. The lists of the charter wait for those very digits and must not hear
//! them; no digit is in what is printed, logged or kept; `card_spoken` says how many there were. Four calls; `SOTTO_CARD_CALLS` sets
//! another number (tests/eval runs 200).

use std::fmt::Write as _;

use serde_json::Value;
use sotto_tests::make;
use sotto_tests::process::{self, run, skip};
use sotto_tests::random::Random;
use sotto_tests::schema::validate;
use sotto_tests::script::Script;
use sotto_tests::site::{Site, config, has_pack};

const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = ["keywords", "sensitive", "resolution"]
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[retention]
scores_days = 7
[[purpose]]
metric = "keywords"
why = "See which topics come up"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "sensitive"
why = "See that no card is read aloud"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "resolution"
why = "See what is left open"
basis = "legitimate interest"
review_by = "2099-01-01"
"#;

const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const VOICES: [&str; 3] = ["slt", "rms", "awb"];

#[test]
fn cards_are_counted_and_their_digits_go_nowhere() {
    if !process::installed("flite") || !has_pack() {
        return skip("flite is not installed, or the model pack is not built");
    }
    let calls: usize = std::env::var("SOTTO_CARD_CALLS").ok().and_then(|count| count.parse().ok()).unwrap_or(4);
    let mut random = Random::new(16, "cards");
    let cards: Vec<Vec<usize>> = (0..calls).map(|call| card(call, &mut random)).collect();
    let site = Site::new(&config(None, None), &charter(&cards)).unwrap();
    let mut command = site.sotto().unwrap();
    command.arg("replay").arg("--publish");
    let mut texts = Vec::new();
    for (call, card) in cards.iter().enumerate() {
        let made = make(&Script::parse(&script(call, card)).unwrap()).unwrap();
        let pcap = site.path(&format!("card-{call}.pcap"));
        made.write_pcap(&pcap).unwrap();
        // Through the throw-away spool, to see what is printed, and through the lasting one, to see what is kept.
        let output = run(site.sotto().unwrap().arg("replay").arg(&pcap)).unwrap();
        texts.push(String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr));
        command.arg(&pcap);
    }
    let published = run(&mut command).unwrap();
    let mut kept = std::fs::read(site.spool()).unwrap();
    kept.extend(published.stderr);
    let (mut right, mut listed) = (0, 0);
    for (call, (card, text)) in cards.iter().zip(&texts).enumerate() {
        let score = score(text);
        let counted = &score["card_spoken"];
        println!("call {call}, {} digits, {}: card_spoken {counted}, unavailable {}", card.len(), VOICES[call % 3], score["unavailable"]);
        right += usize::from(*counted == 1);
        listed += usize::from(score["category_01"] == true);
        for group in card.chunks(4) {
            let written: String = group.iter().map(ToString::to_string).collect();
            let spoken = group.iter().map(|&digit| NAMES[digit]).collect::<Vec<_>>().join(" ");
            assert!(!contains(&kept, spoken.as_bytes()) && !text.contains(&spoken), "call {call}: spoken digits went on");
            assert!(group.len() < 4 || !text.contains(&format!("\"{written}")), "call {call}: digits went on");
        }
        let whole: String = card.iter().map(ToString::to_string).collect();
        assert!(!contains(&kept, &whole.as_bytes()[..8]) && !text.contains(&whole[..8]), "call {call}: digits went on");
    }
    println!("{right} of {calls} calls with the right card_spoken; {listed} with digits in a list");
    assert_eq!(listed, 0, "a list heard digits of a card");
    // Synthetic voices and the smallest recogniser: a misheard digit changes the count, never what is blanked.
    assert!(right * 2 >= calls, "{right} of {calls} cards were counted");
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Sixteen digits, or fifteen; some with a right check digit, most without.
fn card(call: usize, random: &mut Random) -> Vec<usize> {
    let length = if call % 5 == 4 { 15 } else { 16 };
    let mut digits: Vec<usize> = (0..length).map(|_| (random.unit() * 10.0) as usize % 10).collect();
    digits[0] = if length == 15 { 3 } else { 4 + call % 2 };
    digits
}

/// The lists wait for each card's groups, as words and as digits.
fn charter(cards: &[Vec<usize>]) -> String {
    let mut phrases = Vec::new();
    for group in cards.iter().flat_map(|card| card.chunks(4)).filter(|group| group.len() == 4).take(60) {
        phrases.push(group.iter().map(|&digit| NAMES[digit]).collect::<Vec<_>>().join(" "));
        phrases.push(group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        phrases.push(group.iter().map(ToString::to_string).collect::<String>());
    }
    let mut charter = CHARTER.to_owned();
    let _ = writeln!(charter, "[[category]]\nname = \"digits\"\nphrases = {phrases:?}");
    charter
}

fn script(call: usize, card: &[usize]) -> String {
    let voice = VOICES[call % 3];
    let agent = VOICES[(call + 1) % 3];
    let groups: Vec<String> = card.chunks(4).map(|group| group.iter().map(|&digit| NAMES[digit]).collect::<Vec<_>>().join(" ")).collect();
    let mut text = format!(
        "seed = {call}\n[[call]]\ndirection = \"inbound\"\ncodec = \"PCMU\"\nagent = {{ uri = \"sip:1001@pbx.example\", voice = \"{agent}\" }}\n\
         customer = {{ uri = \"sip:+12025550101@carrier.example\", voice = \"{voice}\" }}\n"
    );
    let mut say = |who: &str, said: &str| {
        let _ = writeln!(text, "[[call.say]]\nwho = \"{who}\"\ngap_ms = 700\ntext = \"{said}\"");
    };
    say("agent", "Thank you for calling. How would you like to pay for the order?");
    match call % 2 {
        0 => say("customer", &format!("With my card. The number is {}.", groups.join(", "))),
        // In groups, with the agent between them.
        _ => {
            say("customer", "With my card, please. Are you ready for the number?");
            say("agent", "Yes, please go ahead.");
            for group in &groups {
                say("customer", &format!("{group}."));
            }
        }
    }
    say("agent", "Thank you, the payment went through and the order is on its way.");
    say("customer", "Great, thank you very much for your help. Goodbye.");
    text
}

fn score(text: &str) -> Value {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["topic"].as_str().is_some_and(|topic| topic.ends_with("call/score"))).expect("a score");
    validate(line["topic"].as_str().unwrap(), line["payload"].to_string().as_bytes()).unwrap()
}
