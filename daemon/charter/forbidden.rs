//! Subjects that no list may aim at: a list of words about somebody's health is a register of the sick, whatever it is called.
//!
//! GDPR Art. 9 names them (health, belief, union, sex life, origin, politics). The words here are beginnings; a list is refused where
//! a word of it begins so. It is no complete dictionary, and who wants to go around it can: the charter is signed by people who read it.

/// A subject and how words about it begin.
const SUBJECTS: [(&str, &[&str]); 5] = [
    (
        "somebody's health",
        &[
            "sick", "illness", "disease", "cancer", "diabet", "pregnan", "depress", "anxiety", "therap", "diagnos", "medicat", "prescription", "surgery",
            "hospital", "disab", "wheelchair", "hiv", "aids", "alcohol", "addict", "rehab", "burnout", "maternity", "miscarr", "abort", "symptom",
            "asthma", "epilep", "psych", "handicap", "migraine", "covid",
        ],
    ),
    (
        "somebody's belief or politics",
        &[
            "church", "mosque", "synagog", "relig", "christian", "muslim", "islam", "jewish", "hindu", "buddh", "atheis", "catholic", "pray", "ramadan",
            "bible", "quran", "koran", "democrat", "republican", "conservative party", "labour party", "socialist", "communis", "vote", "election",
        ],
    ),
    ("a union or works council", &["union", "works council", "strike", "collective bargain", "shop steward", "picket", "walkout"]),
    (
        "somebody's private life",
        &[
            "divorce", "girlfriend", "boyfriend", "affair", "sexual", "gay", "lesbian", "bisexual", "transgender", "homosexual", "marital", "dating",
            "bankrupt", "arrest", "prison", "convict",
        ],
    ),
    ("somebody's origin", &["ethnic", "racial", "immigra", "refugee", "asylum", "foreigner", "nationality"]),
];

/// The subject that a phrase aims at, where no list may.
pub(crate) fn subject_of(phrase: &str) -> Option<&'static str> {
    let plain: String = phrase.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let text = format!(" {}", words.join(" "));
    let aims = |stem: &&str| text.contains(&format!(" {stem}"));
    SUBJECTS.iter().find(|(_, stems)| stems.iter().any(|stem| aims(&stem))).map(|(subject, _)| *subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_seen_in_its_inflections_and_trade_is_left_alone() {
        assert_eq!(subject_of("I was diagnosed last year"), Some("somebody's health"));
        assert_eq!(subject_of("Works Council"), Some("a union or works council"));
        assert_eq!(subject_of("my Pregnancy"), Some("somebody's health"));
        for phrase in ["cancel", "refund", "reunion ticket", "broken device", "speak to a manager", "router"] {
            assert_eq!(subject_of(phrase), None, "{phrase}");
        }
    }
}
