//! Questions with a found answer: an empty line takes it.

use std::io::{BufRead, Write};

use crate::End;

/// Whoever answers: a person at a terminal, a script at a pipe, or nobody, who takes every found answer.
pub(crate) struct Asker<R, W> {
    answers: Option<R>,
    out: W,
}

/// Why there is no answer.
const ENDED: &str = "the answers ended before the questions; nothing was written";

impl<R: BufRead, W: Write> Asker<R, W> {
    /// `answers` is `None` where nobody is asked.
    pub(crate) const fn new(answers: Option<R>, out: W) -> Self {
        Self { answers, out }
    }

    /// Whether anybody is asked.
    pub(crate) const fn is_asking(&self) -> bool {
        self.answers.is_some()
    }

    /// Says something.
    pub(crate) fn say(&mut self, text: &str) {
        // Who does not look is told nothing.
        drop(writeln!(self.out, "{text}"));
    }

    /// Asks until the answer is one that `read` takes; where nobody is asked, the found one has to be.
    pub(crate) fn ask<T>(&mut self, question: &str, found: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, End> {
        loop {
            let line = match &mut self.answers {
                None => return read(found).map_err(|why| End::bad_configuration(format!("{question}: {why}"))),
                Some(answers) => {
                    let shown = if found.is_empty() { String::new() } else { format!(" [{found}]") };
                    drop(write!(self.out, "{question}{shown}: "));
                    drop(self.out.flush());
                    let mut line = String::new();
                    if answers.read_line(&mut line).map_err(End::no)? == 0 {
                        return Err(End::no(ENDED));
                    }
                    line
                }
            };
            let given = if line.trim().is_empty() { found } else { line.trim() };
            match read(given) {
                Ok(answer) => return Ok(answer),
                Err(why) => self.say(&format!("  {why}")),
            }
        }
    }

    /// Yes or no.
    pub(crate) fn confirm(&mut self, question: &str, is_yes: bool) -> Result<bool, End> {
        self.ask(question, if is_yes { "yes" } else { "no" }, |answer| match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("yes or no".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| "a number".to_owned())
    }

    #[test]
    fn an_empty_line_takes_what_was_found_and_a_wrong_one_is_asked_again() {
        let mut out = Vec::new();
        let mut asker = Asker::new(Some(&b"\nx\n7\nYES\n"[..]), &mut out);
        assert_eq!(asker.ask("how many", "3", number).ok(), Some(3));
        assert_eq!(asker.ask("how many", "3", number).ok(), Some(7));
        assert_eq!(asker.confirm("sure", false).ok(), Some(true));
        assert!(asker.ask("more", "1", number).is_err(), "the answers have ended");
        assert!(String::from_utf8(out).unwrap().contains("how many [3]:   a number\n"));
    }

    #[test]
    fn where_nobody_is_asked_what_was_found_counts_or_is_refused() {
        let mut asker = Asker::new(None::<&[u8]>, Vec::new());
        assert_eq!(asker.ask("how many", "3", number).ok(), Some(3));
        assert!(matches!(asker.ask("how many", "", number), Err(End::BadConfiguration(why)) if why == "how many: a number"));
    }
}
