//! Words about somebody's health: conditions, treatments, drugs. Heard in a call, they are counted and go no further.

use std::ops::Range;

use crate::pii::atoms::Atom;

/// Beginnings of words that are about health wherever they stand.
const STEMS: [&str; 62] = [
    "diabet", "cancer", "tumor", "tumour", "chemotherap", "radiotherap", "leukemi", "leukaemi", "lymphoma", "melanoma", "asthma", "arthriti",
    "epilep", "seizure", "dementia", "alzheimer", "parkinson", "schizophren", "bipolar", "psychiatr", "psychotherap", "antidepress",
    "insulin", "metformin", "ibuprofen", "antibiotic", "penicillin", "opioid", "oxycodone", "morphine", "dialysis", "transplant", "pregnan",
    "miscarriage", "abortion", "ivf", "hiv", "hepatitis", "tubercul", "pneumonia", "migraine", "fibromyalgia", "multiple sclerosis",
    "hypertens", "blood pressure", "cholesterol", "heart attack", "heart condition", "heart disease", "stroke victim", "had a stroke",
    "wheelchair", "disabilit", "panic attack", "anxiety disorder", "eating disorder", "anorexi", "bulimi", "rehab", "biopsy",
    "hysterectom", "chronic pain",
];
/// These are about health with a word like "my" before them; a printer's condition is nobody's.
const OWN: [&str; 15] = [
    "surgery", "surgeon", "diagnosis", "prescription", "medication", "medicine", "illness", "disease", "therapist", "therapy", "depression",
    "oncologist", "cardiologist", "gynecologist", "doctor",
];
const OWNERS: [&str; 9] = ["my", "his", "her", "our", "your", "their", "had", "have", "having"];

/// Words of health that begin at an atom.
pub(super) fn at(atoms: &[Atom], from: usize) -> Option<Range<usize>> {
    let plain = |index: usize| atoms.get(index).map_or("", |atom| atom.plain.as_str());
    let stem = STEMS.iter().find_map(|stem| {
        let mut parts = stem.split(' ').enumerate().peekable();
        let mut length = 0;
        while let Some((place, part)) = parts.next() {
            let found = plain(from + place);
            let fits = if parts.peek().is_none() { found.starts_with(part) } else { found == part };
            if !fits {
                return None;
            }
            length = place + 1;
        }
        Some(length)
    });
    let own = || (OWN.contains(&plain(from)) && from > 0 && (1..=2).any(|back| from >= back && OWNERS.contains(&plain(from - back)))).then_some(1);
    stem.or_else(own).map(|length| from..from + length)
}
