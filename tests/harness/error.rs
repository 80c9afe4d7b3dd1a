//! What went wrong in the harness, and where in the script.

use std::fmt;
use std::path::Path;

/// An error of the harness: a reason, and the place in the script where there is one.
#[derive(Debug)]
pub struct Error {
    place: Option<Place>,
    reason: String,
}

/// A place in a script: the call, and the entry of one of its lists.
#[derive(Clone, Copy, Debug)]
struct Place {
    call: usize,
    entry: Option<(&'static str, usize)>,
}

impl Error {
    /// A reason alone.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            place: None,
            reason: reason.into(),
        }
    }

    /// Something about a file.
    #[must_use]
    pub fn file(path: &Path, source: &std::io::Error) -> Self {
        Self::new(format!("{}: {source}", path.display()))
    }

    /// Says in which call, unless that is known.
    pub(crate) fn in_call(mut self, call: usize) -> Self {
        self.place.get_or_insert(Place { call, entry: None });
        self
    }

    /// Says in which entry of a call's list.
    pub(crate) fn at(mut self, call: usize, list: &'static str, index: usize) -> Self {
        self.place.get_or_insert(Place {
            call,
            entry: Some((list, index)),
        });
        self
    }

    /// Says in which line of the script file.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        let Some(place) = self.place else { return self };
        let line = std::fs::read_to_string(path)
            .ok()
            .and_then(|text| place.line(&text));
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        self.reason = format!("{}: {line}{self}", path.display());
        self.place = None;
        self
    }
}

impl Place {
    /// The line of the entry's header: the call's `[[call]]`, then so many `[[call.say]]` after it.
    fn line(self, text: &str) -> Option<usize> {
        let headers =
            |wanted: String| move |line: &&(usize, &str)| line.1.trim_start().starts_with(&wanted);
        let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).collect();
        let call = lines
            .iter()
            .filter(headers("[[call]]".to_owned()))
            .nth(self.call)?
            .0;
        let Some((list, index)) = self.entry else {
            return Some(call);
        };
        lines[call..]
            .iter()
            .filter(headers(format!("[[call.{list}]]")))
            .nth(index)
            .map(|line| line.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            None => {}
            Some(Place { call, entry: None }) => write!(f, "call {}: ", call + 1)?,
            Some(Place {
                call,
                entry: Some((list, index)),
            }) => write!(f, "call {}, {list} {}: ", call + 1, index + 1)?,
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}
