//! A turn's sound in, its words out; and how many words a written word is when it is spoken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sotto_models::ModelError;
use sotto_models::resample::Upsampler;
use sotto_models::whisper::{self, Whisper};
use sotto_private::{Call, Private, Side, Turn, Wall, Word, Words};

use crate::language::{Languages, Witness, is_verified};
use crate::read::{Readers, Reading, Wanted};
use crate::terms::Edition;

/// A turn on its way to a recogniser. Opaque: whoever carries it cannot look into it.
pub struct Job {
    pub(crate) turn: Turn,
    /// The customer's, as far as is known who that is.
    pub(crate) is_customer: bool,
    /// What is to be read of its words.
    pub(crate) wanted: Wanted,
    /// The terms that its call keeps to.
    pub(crate) edition: Edition,
}

/// What came of a [`Job`]. Opaque too.
pub struct Answer {
    pub(crate) call: Call,
    pub(crate) side: Side,
    ended: Wall,
    /// `None`: there was no time for it.
    pub(crate) words: Option<(Words, Reading)>,
}

impl Job {
    /// There was no time for it; its sound is wiped.
    #[must_use]
    pub fn shed(self) -> Answer {
        Answer { call: self.turn.call, side: self.turn.side, ended: self.turn.ended, words: None }
    }

    fn answer(&self, words: (Words, Reading)) -> Answer {
        Answer { call: self.turn.call, side: self.turn.side, ended: self.turn.ended, words: Some(words) }
    }

    /// Whose speech it is.
    pub(crate) const fn leg(&self) -> (Call, Side) {
        (self.turn.call, self.turn.side)
    }

    /// The terms that its call keeps to.
    #[must_use]
    pub const fn edition(&self) -> Edition {
        self.edition
    }

    /// How long it is, seconds.
    #[must_use]
    pub fn seconds(&self) -> f32 {
        self.turn.samples.expose().len() as f32 / 8_000.0
    }
}

impl Answer {
    /// When the speech ended that it answers to.
    #[must_use]
    pub const fn ended(&self) -> Wall {
        self.ended
    }

    /// Whether there was no time for it.
    #[must_use]
    pub const fn is_shed(&self) -> bool {
        self.words.is_none()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Answer")
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Job")
    }
}

/// Turns speech into words. One to a thread; clones share the model.
#[derive(Clone)]
pub struct Recogniser {
    whisper: Whisper,
    /// From the telephone's 8 kHz to the model's 16.
    upsampler: Upsampler,
    /// What the site speaks, where it says so.
    site: Option<whisper::Language>,
    /// Of all that recognise: whose turn a leg's next one is, is chance.
    languages: Arc<Mutex<Languages<whisper::Language>>>,
    /// What is read of the words, by the terms that calls keep to; of all clones.
    readers: Arc<Mutex<Vec<(Edition, Readers)>>>,
}

impl Recogniser {
    /// With loaded models, for calls under the first terms.
    ///
    /// # Panics
    /// Never: a factor of two is within the upsampler's range.
    #[must_use]
    pub fn new(whisper: Whisper, readers: Readers) -> Self {
        let readers = Arc::new(Mutex::new(vec![(Edition::default(), readers)]));
        Self { whisper, upsampler: Upsampler::new(2).expect("two is within the range"), site: None, languages: Arc::default(), readers }
    }

    /// For a site that speaks this language (ISO 639-1): turns are put into words in it, whatever they sound like. Without it, each leg's is found
    /// on its first long turn. A model that knows one language goes on in that.
    #[must_use]
    pub fn speaking(self, code: &str) -> Self {
        Self { site: self.whisper.language(code), ..self }
    }

    /// Reads the words of calls under other terms with `readers`; in all clones.
    pub fn agree(&self, edition: Edition, readers: Readers) {
        let mut all = self.all_readers();
        all.retain(|(known, _)| *known != edition);
        all.push((edition, readers));
    }

    /// No call keeps to terms older than `oldest` any more.
    pub fn forget(&self, oldest: Edition) {
        self.all_readers().retain(|(known, _)| *known >= oldest);
    }

    /// What reads under the newest terms.
    #[must_use]
    pub fn readers(&self) -> Option<Readers> {
        self.all_readers().last().map(|(_, readers)| readers.clone())
    }

    fn all_readers(&self) -> MutexGuard<'_, Vec<(Edition, Readers)>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The words of turns, in their order, each as if it were alone: together they cost less. Their sound is wiped.
    ///
    /// Where the model fails on them, each is tried alone, so that what one of them does to it is lost for that one only; its answer counts as
    /// shed, and the last failure is told. Nothing of a turn is in it.
    pub fn recognise(&mut self, jobs: Vec<Job>) -> (Vec<Answer>, Option<ModelError>) {
        match self.together(&jobs) {
            Ok(words) => (jobs.iter().zip(words).map(|(job, words)| job.answer(words)).collect(), None),
            Err(error) if jobs.len() == 1 => (jobs.into_iter().map(Job::shed).collect(), Some(error)),
            Err(mut last) => {
                let alone = jobs.into_iter().map(|job| match self.together(std::slice::from_ref(&job)) {
                    Ok(mut words) => match words.pop() {
                        Some(words) => job.answer(words),
                        None => job.shed(),
                    },
                    Err(error) => {
                        last = error;
                        job.shed()
                    }
                });
                (alone.collect(), Some(last))
            }
        }
    }

    fn together(&mut self, jobs: &[Job]) -> Result<Vec<(Words, Reading)>, ModelError> {
        let sounds: Vec<Private<Vec<f32>>> = jobs.iter().map(|job| self.widened(&job.turn)).collect();
        let languages: Vec<_> = jobs.iter().map(|job| self.site.or_else(|| self.languages().of(job.leg()))).collect();
        let turns = sounds.iter().zip(languages).map(|(sound, language)| whisper::Turn { samples: sound.expose(), language });
        let turns: Vec<whisper::Turn<'_>> = turns.collect();
        let heard = self.whisper.transcribe_batch(&turns)?;
        for (job, heard) in jobs.iter().zip(&heard) {
            self.languages().learn(job.leg(), job.seconds(), heard.language);
        }
        let read = |(job, mut heard): (&Job, whisper::Heard)| {
            let witness = self.witness(job, &heard);
            if witness.is_some_and(|witness| !witness.may_be_read()) {
                // What cannot be blanked is wiped.
                heard.words.clear();
                return Ok((words_of(&job.turn, &heard), Reading { witness, ..Reading::default() }));
            }
            let mut words = words_of(&job.turn, &heard);
            drop(heard);
            let readers = self.all_readers().iter().find(|(edition, _)| *edition == job.edition).map(|(_, readers)| readers.clone());
            let readers = readers.ok_or(ModelError::Input("a turn under terms that no reader knows"))?;
            let reading = readers.read(&job.turn, job.wanted, &mut words.words)?;
            Ok((words, Reading { witness, ..reading }))
        };
        jobs.iter().zip(heard).map(read).collect()
    }

    /// What a turn in which words were heard says of its language; `None` where there were none, or the model knows one language only.
    fn witness(&self, job: &Job, heard: &whisper::Heard) -> Option<Witness> {
        let (language, probability) = heard.language.filter(|_| !heard.words.is_empty())?;
        let is_verified = self.whisper.code(language).is_some_and(is_verified);
        Some(Witness { likely: if is_verified { probability } else { 0.0 }, seconds: job.seconds() })
    }

    fn languages(&self) -> MutexGuard<'_, Languages<whisper::Language>> {
        self.languages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn widened(&self, turn: &Turn) -> Private<Vec<f32>> {
        let narrow = Private::new(turn.samples.expose().iter().map(|&sample| f32::from(sample) / 32_768.0).collect::<Vec<f32>>());
        Private::new(self.upsampler.upsample(narrow.expose()))
    }
}

fn words_of(turn: &Turn, heard: &whisper::Heard) -> Words {
    let words: Vec<Word> = heard.words.iter().map(|word| Word::new(&word.text, word.probability)).collect();
    let count = words.len().max(1) as f32;
    let mean_probability = words.iter().map(|word| word.probability).sum::<f32>() / count;
    let spoken = words.iter().map(|word| count_spoken(word.text())).sum();
    Words { call: turn.call, side: turn.side, turn: turn.number, words, spoken, mean_probability, no_speech: heard.no_speech_probability }
}

/// How many words a written word is when it is spoken: the recogniser writes "25" where "twenty five" was said.
fn count_spoken(written: &str) -> u32 {
    let parts = written.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '\u{2019}' | '.' | ',' | '$' | '%' | '£' | '€')));
    parts.map(count_part).sum()
}

fn count_part(part: &str) -> u32 {
    let currency = u32::from(part.contains(['$', '£', '€'])) + u32::from(part.contains('%'));
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return u32::from(part.chars().any(char::is_alphanumeric));
    }
    let trimmed = part.trim_matches(|c: char| !c.is_alphanumeric());
    // "3.50" is said as two numbers; "1,200" as one.
    let numbers: u32 = trimmed.split('.').map(|number| number.chars().filter(char::is_ascii_digit).collect::<String>()).map(|number| count_number(&number)).sum();
    numbers + currency
}

/// Words of a number in digits: long ones, and those with a leading zero, are read digit by digit.
fn count_number(digits: &str) -> u32 {
    let length = digits.len() as u32;
    if length > 6 || (digits.starts_with('0') && length > 1) {
        return length;
    }
    let Ok(number) = digits.parse::<u32>() else { return length };
    match number {
        _ if length == 0 => 0,
        0..=20 => 1,
        21..=99 => 1 + u32::from(!number.is_multiple_of(10)),
        100..=999 => 2 + if number.is_multiple_of(100) { 0 } else { count_number(&(number % 100).to_string()) },
        // Years are said in pairs: nineteen ninety nine.
        1_100..=1_999 => count_number(&(number / 100).to_string()) + count_number(&(number % 100).to_string()),
        _ => count_number(&(number / 1_000).to_string()) + 1 + if number.is_multiple_of(1_000) { 0 } else { count_number(&(number % 1_000).to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_words_count_as_they_are_spoken() {
        for (written, spoken) in [
            ("hello,", 1),
            ("don't", 1),
            ("twenty-five", 2),
            ("25", 2),
            ("20", 1),
            ("105", 3),
            ("$5", 2),
            ("10%", 2),
            ("1999", 3),
            ("2,000", 2),
            ("3.50", 2),
            ("5550142", 7),
            ("...", 0),
            ("007", 3),
        ] {
            assert_eq!(count_spoken(written), spoken, "{written}");
        }
    }
}
