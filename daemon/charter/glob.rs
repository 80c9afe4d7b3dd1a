//! Patterns with `*` (any run of characters, also none) and `?` (exactly one), ignoring ASCII case.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// Every text is a pattern; `*` and `?` are special.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.chars().map(|c| c.to_ascii_lowercase()).collect())
    }

    /// Whether the whole of `text` matches. Linear in the product of both lengths at worst, so a long text costs little.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
        let (mut at_pattern, mut at_text) = (0, 0);
        // Where the last star stood, and how much text it has swallowed so far.
        let mut star: Option<(usize, usize)> = None;
        while at_text < text.len() {
            match self.0.get(at_pattern) {
                Some('*') => {
                    star = Some((at_pattern, at_text));
                    at_pattern += 1;
                }
                Some(&c) if c == '?' || c == text[at_text] => {
                    at_pattern += 1;
                    at_text += 1;
                }
                _ => {
                    let Some((star_pattern, star_text)) = star else { return false };
                    star = Some((star_pattern, star_text + 1));
                    at_pattern = star_pattern + 1;
                    at_text = star_text + 1;
                }
            }
        }
        self.0[at_pattern..].iter().all(|&c| c == '*')
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|sign| std::fmt::Write::write_char(formatter, *sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let extension = Glob::new("sip:1???@*");
        assert!(extension.matches("sip:1042@pbx.example"));
        assert!(extension.matches("SIP:1042@pbx.example:5060"));
        assert!(!extension.matches("sip:10422@pbx.example"));
        assert!(!extension.matches("sip:2042@pbx.example"));
        assert!(Glob::new("*").matches(""));
        assert!(Glob::new("*a*b").matches("xxaxxab"));
        assert!(!Glob::new("*a*b").matches("xxaxxa"));
        assert!(!Glob::new("").matches("x"));
    }
}
