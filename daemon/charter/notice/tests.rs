use super::*;

const CHARTER: &str = r#"version = "2026-11"
profile = "eu"
kpis = ["silence", "talk_balance"]
detail = ["talk_balance"]
languages = ["en", "de"]
[controller]
name = "Harbor <Telecom> & Sons"
contact = "privacy@harbor.example"
reviewer = "the head of quality"
[agreement]
name = "Works agreement 7"
parties = ["Harbor Telecom", "Works council"]
signed = "2026-10-01"
[[audience]]
name = "supervisors"
why = "To coach their teams"
outputs = ["scores"]
[[consent]]
match = "*"
customer = "notice"
notice = "N-3"
agent = "agreement"
[keys]
objection = "*9"
[sampling]
percent = 20
[exclude]
lines = ["council"]
[retention]
scores_days = 5
[[purpose]]
metric = "silence"
why = "Find where our own systems make people wait"
basis = "legitimate interest"
review_by = "2027-05-01"
[[purpose]]
metric = "talk_balance"
why = "See whether customers get to speak"
basis = "legitimate interest"
review_by = "2027-06-01"
"#;

fn facts() -> Facts {
    Facts { site: "harbor".into(), node: "rec-1".into(), charter: "0123456789abcdef".into(), version: "0.1.0".into(), confidence: vec![(Group::Silence, 0.9)], ..Facts::default() }
}

fn document(language: Language, onboarding: bool) -> Document {
    of(&Charter::parse(CHARTER).unwrap(), &facts(), language, onboarding)
}

/// What the charter says that the people measured must be told (GDPR 13, AI Act 26(7)).
#[test]
fn everything_that_people_must_be_told_is_told_in_each_language_and_each_form() {
    let must = ["Telecom", "privacy@harbor.example", "the head of quality", "Works agreement 7", "2026-10-01", "Find where our own systems", "legitimate interest", "2027-05-01", "N-3", "20", "council", "supervisors", "To coach their teams", "5", "400", "2026-11", "0123456789abcdef", "9"];
    for language in Language::ALL {
        let document = document(language, false);
        for text in [document.text(), document.markdown(), document.html()] {
            let flat = text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
            for said in must {
                assert!(flat.contains(said), "{language:?}: {said} is not said");
            }
        }
    }
}

#[test]
fn both_languages_say_the_same_things() {
    let shape = |language| {
        let sections = document(language, true).sections;
        sections.iter().map(|section| section.blocks.iter().map(|block| match block {
            Block::Text(_) => 1,
            Block::Points(points) => 100 + points.len(),
            Block::Entries(entries) => 200 + entries.len(),
            Block::Titled(_, entries) => 300 + entries.len(),
            Block::Lines(lines) => 400 + lines.len(),
        }).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    assert_eq!(shape(Language::English), shape(Language::German));
    for group_of in Group::ALL {
        assert_ne!(group(group_of, Tongue(Language::English)).what, group(group_of, Tongue(Language::German)).what);
    }
}

#[test]
fn a_sites_words_are_text_and_nothing_else() {
    let document = document(Language::English, false);
    assert!(document.html().contains("Harbor &lt;Telecom&gt; &amp; Sons") && !document.html().contains("<Telecom>"));
    assert!(document.markdown().contains("Harbor \\<Telecom\\>"));
    assert!(document.text().lines().all(|line| line.chars().count() <= 76));
    for far in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!document.html().contains(far), "{far}");
    }
}

#[test]
fn onboarding_adds_a_page_to_sign() {
    assert!(!document(Language::English, false).html().contains("Signature"));
    let with = document(Language::English, true);
    assert!(with.html().contains("class=\"form\"") && with.text().contains("Signature: ____"));
}

#[test]
fn a_charter_that_measures_nothing_says_so() {
    let nothing = Charter::parse(CHARTER).unwrap().standing_down();
    let text = of(&nothing, &Facts { is_signed: Some(false), ..facts() }, Language::English, false).text();
    assert!(text.contains("nothing of what is said is measured") && text.contains("No call"), "{text}");
    assert!(!text.contains("Find where our own systems"));
}

/// Flesch reading ease of the English notice: 60 and above is plain English, as school leavers read it.
#[test]
fn it_is_readable_at_school_level() {
    let text = document(Language::English, false).text();
    let sentences: Vec<&str> = text.split(['.', ';', ':', '\n']).filter(|part| part.split_whitespace().count() > 3).collect();
    let words: Vec<&str> = sentences.iter().flat_map(|sentence| sentence.split_whitespace()).filter(|word| word.chars().any(char::is_alphabetic)).collect();
    let syllables: usize = words.iter().map(|word| syllables(word)).sum();
    let ease = 206.835 - 1.015 * words.len() as f64 / sentences.len() as f64 - 84.6 * syllables as f64 / words.len() as f64;
    eprintln!("Flesch reading ease {ease:.0}");
    assert!(ease >= 60.0, "{ease:.0}");
}

/// Groups of vowels, a silent e at the end left out.
fn syllables(word: &str) -> usize {
    let letters: Vec<char> = word.to_lowercase().chars().filter(|letter| letter.is_alphabetic()).collect();
    let is_vowel = |letter: &char| "aeiouy".contains(*letter);
    let groups = letters.iter().enumerate().filter(|(at, letter)| is_vowel(letter) && (*at == 0 || !is_vowel(&letters[at - 1]))).count();
    let silent = letters.len() > 2 && letters.ends_with(&['e']) && !letters.ends_with(&['l', 'e']);
    groups.saturating_sub(usize::from(silent)).max(1)
}

#[test]
fn the_impact_assessment_asks_for_what_only_the_site_knows() {
    for language in Language::ALL {
        let text = impact::of(&Charter::parse(CHARTER).unwrap(), &facts(), language).text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("35(9)") && text.contains("____") && text.contains("BetrVG 87(1) no. 6") && text.contains("90 %"), "{text}");
    }
}
