//! Of words in a language in which blanking is not verified no number is made, and each score says so; what needs no words is there all the same.

use serde_json::Value;
use sotto_tests::make;
use sotto_tests::process::{self, repository, run, skip};
use sotto_tests::schema::validate;
use sotto_tests::script::Script;
use sotto_tests::site::{Site, config, has_pack, packs};

const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = ["talk_balance", "silence", "keywords", "sentiment_customer", "resolution"]
detail = ["talk_balance", "sentiment_customer"]
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
metric = "talk_balance"
why = "See whether customers get to speak"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "silence"
why = "Find where our own systems make people wait"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "keywords"
why = "See which topics come up"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "sentiment_customer"
why = "Find the topics that leave customers unhappy"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "resolution"
why = "See what is left open"
basis = "legitimate interest"
review_by = "2099-01-01"
[[category]]
name = "refund"
phrases = ["refund", "money back", "no", "si"]
"#;

/// All that is made of words.
const OF_WORDS: [&str; 6] =
    ["category_01", "resolution", "sentiment_customer", "sentiment_end_customer", "talk_speed_agent_wpm", "talk_speed_customer_wpm"];

const CALL: &str = r#"seed = 4
[[call]]
direction = "inbound"
codec = "PCMU"
agent = { uri = "sip:1001@pbx.example", voice = "slt" }
customer = { uri = "sip:+12025550101@carrier.example", voice = "rms" }
[[call.say]]
who = "agent"
gap_ms = 700
text = "Billing department, good morning. How can I help you today?"
[[call.say]]
who = "customer"
gap_ms = 700
text = "There is something wrong with my bill. I was charged twice, and I want my money back."
[[call.say]]
who = "agent"
gap_ms = 700
text = "I am sorry about that. I have corrected your bill, and the money will be returned this week."
[[call.say]]
who = "customer"
gap_ms = 700
text = "That was quick. I am very happy with that, thank you so much for your help."
"#;

#[test]
fn a_sites_language_that_is_not_blanked_is_not_put_into_words() {
    if !process::installed("flite") || !has_pack() {
        return skip("flite is not installed, or the model pack is not built");
    }
    let unheard = scores_of_the_scripted_call("en", Some("de"));
    assert_eq!(unheard.len(), 1);
    assert_without_words(&unheard[0]);
    let heard = scores_of_the_scripted_call("en", Some("en"));
    assert_eq!(heard.len(), 1);
    assert_eq!((&heard[0]["category_01"], said_why(&heard[0], "resolution")), (&Value::Bool(true), None), "{}", heard[0]);
}

#[test]
fn the_larger_pack_hears_english_as_english() {
    if !process::installed("flite") || !has_multi() {
        return skip("flite is not installed, or the pack multi is not built (sh models/convert/build_pack.sh multi)");
    }
    for language in [None, Some("en")] {
        let heard = scores_of_the_scripted_call("multi", language);
        assert_eq!(heard.len(), 1);
        assert_eq!((&heard[0]["category_01"], said_why(&heard[0], "talk_speed_customer_wpm")), (&Value::Bool(true), None), "{language:?}: {}", heard[0]);
    }
}

/// Two people speak Spanish; the site says nothing of it, or says that it is English.
#[test]
fn a_real_call_in_another_language_has_no_number_made_of_words() {
    let capture = repository().join("../shared/data/pcap/SIP_CALL_RTP_G711.pcap");
    if !has_multi() || !capture.is_file() {
        return skip("the pack multi is not built (sh models/convert/build_pack.sh multi), or the capture is not here");
    }
    for language in [None, Some("en")] {
        let site = site("multi", language);
        let scores = replayed(&site, &capture);
        assert_eq!(scores.len(), 1, "{scores:?}");
        assert_without_words(&scores[0]);
    }
}

/// Nothing is made of words, and no number says why in another way than by the language.
fn assert_without_words(score: &Value) {
    for field in OF_WORDS {
        assert_eq!((&score[field], said_why(score, field)), (&Value::Null, Some("language")), "{field}: {score}");
    }
    assert!(score["talk_time_agent_ms"].as_u64().is_some_and(|time| time > 1_000), "{score}");
}

/// The reason that a score gives for a field that it lacks.
fn said_why<'a>(score: &'a Value, field: &str) -> Option<&'a str> {
    let said = score["unavailable"].as_str()?;
    said.split(',').filter_map(|one| one.split_once(':')).find(|(name, _)| *name == field).map(|(_, reason)| reason)
}

fn has_multi() -> bool {
    packs().is_ok_and(|folder| folder.join("multi/pack.toml").is_file())
}

fn scores_of_the_scripted_call(pack: &str, language: Option<&str>) -> Vec<Value> {
    let site = site(pack, language);
    let pcap = site.path("call.pcap");
    make(&Script::parse(CALL).unwrap()).unwrap().write_pcap(&pcap).unwrap();
    replayed(&site, &pcap)
}

fn site(pack: &str, language: Option<&str>) -> Site {
    let models = language.map_or_else(|| format!("pack = \"{pack}\"\n"), |code| format!("pack = \"{pack}\"\nlanguage = \"{code}\"\n"));
    // An agent of the scripted call, and the one of the capture.
    let config = config(None, None).replace("pack = \"en\"\n", &models).replace("[models]", "[[agents]]\nmatch = \"sip:francisco@*\"\nteam = \"billing\"\n[models]");
    Site::new(&config, CHARTER).unwrap()
}

fn replayed(site: &Site, capture: &std::path::Path) -> Vec<Value> {
    let printed = String::from_utf8(run(site.sotto().unwrap().arg("replay").arg(capture)).unwrap().stdout).unwrap();
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let scores = lines.filter(|line| line["topic"].as_str().unwrap().ends_with("call/score"));
    scores.map(|line| validate(line["topic"].as_str().unwrap(), line["payload"].to_string().as_bytes()).unwrap()).collect()
}
