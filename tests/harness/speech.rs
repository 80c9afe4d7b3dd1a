//! Speech from flite (Debian package `flite`), kept under the target folder so that a second run takes a moment.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::process::target_folder;
use crate::sound::read_wav;

/// Says `text` with a flite voice; 8 kHz samples, full scale 1.0, with flite's own silence at both ends.
///
/// # Errors
/// flite is not installed, refuses, or the cache cannot be written.
pub fn say(text: &str, voice: &str) -> Result<Vec<f64>, Error> {
    let folder = target_folder()?.join("flite");
    let cached = folder.join(cache_name(text, voice));
    if !cached.exists() {
        std::fs::create_dir_all(&folder).map_err(|source| Error::file(&folder, &source))?;
        synthesize(text, voice, &cached)?;
    }
    read_wav(&cached)
}

/// Counts the words of `text` as they are spoken: parts between spaces, hyphens and dashes that hold a letter; `don't` is one.
///
/// # Errors
/// The text holds a numeral: nobody can say how many words "1,200" is.
pub fn count_words(text: &str) -> Result<u32, Error> {
    if text.chars().any(|c| c.is_ascii_digit()) {
        return Err(Error::new(
            "the text holds a numeral; write numbers as words, so that the words can be counted",
        ));
    }
    let parts = text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | '/'));
    Ok(parts
        .filter(|part| part.chars().any(char::is_alphabetic))
        .count() as u32)
}

fn synthesize(text: &str, voice: &str, path: &Path) -> Result<(), Error> {
    // Written beside and renamed: two tests may want the same sentence at once.
    let beside = path.with_extension(format!(
        "{}-{:?}.wav",
        std::process::id(),
        std::thread::current().id()
    ));
    let output = Command::new("flite")
        .args(["-voice", voice, "-t", text, "-o"])
        .arg(&beside)
        .output()
        .map_err(|source| {
            Error::new(format!(
                "flite cannot be run ({source}); install the Debian package flite"
            ))
        })?;
    if !output.status.success() || !beside.exists() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!(
            "flite failed ({}): {}",
            output.status,
            said.trim()
        )));
    }
    std::fs::rename(&beside, path).map_err(|source| Error::file(path, &source))
}

fn cache_name(text: &str, voice: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{voice}\0{text}"));
    PathBuf::from(
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    )
    .with_extension("wav")
}

#[cfg(test)]
mod tests {
    use super::count_words;

    #[test]
    fn words_are_counted_as_spoken() {
        assert_eq!(
            count_words("Thank you - that's twenty-three, isn't it?").unwrap(),
            7
        );
        assert!(count_words("It costs 20 dollars").is_err());
    }
}
