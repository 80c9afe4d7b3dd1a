//! What is read of a turn's words while they exist: the words go no further than the thread that heard them, but for the site's lists.

use std::fmt;
use std::sync::Arc;

use sotto_charter::{Charter, Group};
use sotto_models::embed::Embedder;
use sotto_models::pii::Finder;
use sotto_models::sentiment::{Feeling, Sentiment};
use sotto_models::{ModelError, Pack, PackError};
use sotto_private::{Turn, Wall, Word};

use crate::blank::{self, Blanked};
use crate::language::Witness;
use crate::resolution::Endings;
use crate::topics::Topics;

/// At 8 kHz.
const MICROS_A_SAMPLE: i64 = 125;

/// The text models that a charter needs. A clone shares them.
#[derive(Clone)]
pub struct Readers {
    finder: Arc<Finder>,
    sentiment: Option<Arc<Sentiment>>,
    meaning: Option<Arc<Meanings>>,
}

/// What is read by what was meant.
struct Meanings {
    embedder: Arc<Embedder>,
    endings: Option<Endings>,
    topics: Option<Topics>,
}

/// What is to be read of a turn: what the charter names, of the party that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) sentiment: bool,
    pub(crate) resolution: bool,
    pub(crate) topics: bool,
}

/// What was read of one turn.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) blanked: Blanked,
    pub(crate) feeling: Option<Feeling>,
    pub(crate) settled: Option<f64>,
    /// The site's lists that it means, a bit each.
    pub(crate) topics: u32,
    /// From the turn's first sample to its last.
    pub(crate) span: Option<(Wall, Wall)>,
    /// What the turn says of its language.
    pub(crate) witness: Option<Witness>,
}

impl Readers {
    /// Loads what the charter needs, and no more: a charter without sentiment loads no sentiment model. The finder of what is
    /// sensitive goes with the words, whatever else is agreed, and is all there is without a charter.
    ///
    /// # Errors
    /// The pack has no such model, or it cannot be read.
    pub fn load(pack: &Pack, charter: Option<&Charter>) -> Result<Self, PackError> {
        let finder = Arc::new(pack.pii()?);
        let none = Self { finder, sentiment: None, meaning: None };
        charter.map_or_else(|| Ok(none.clone()), |charter| none.renewed(pack, charter))
    }

    /// For another charter: the models of this one that are still needed, and of the same pack what is missing.
    ///
    /// # Errors
    /// As with [`Readers::load`].
    pub fn renewed(&self, pack: &Pack, charter: &Charter) -> Result<Self, PackError> {
        let sentiment = match &self.sentiment {
            _ if !charter.names(Group::SentimentCustomer) => None,
            Some(known) => Some(Arc::clone(known)),
            None => Some(Arc::new(pack.sentiment()?)),
        };
        let meaning = if charter.names(Group::Resolution) || charter.needs_meanings() {
            let known = self.meaning.as_deref().map(|meaning| Arc::clone(&meaning.embedder));
            let embedder = known.map_or_else(|| pack.embedder().map(Arc::new), Ok)?;
            let meanings = Meanings::new(embedder, charter);
            Some(Arc::new(meanings.map_err(|error| PackError::Model { file: "embed.gguf".into(), error })?))
        } else {
            None
        };
        Ok(Self { finder: Arc::clone(&self.finder), sentiment, meaning })
    }

    /// Blanks a turn's words, and reads what is left of them.
    pub(crate) fn read(&self, turn: &Turn, wanted: Wanted, words: &mut [Word]) -> Result<Reading, ModelError> {
        let end = turn.start.plus(turn.samples.expose().len() as i64 * MICROS_A_SAMPLE);
        let mut reading = Reading {
            blanked: blank::blank(words, &self.finder)?,
            span: Some((turn.start, end)),
            ..Reading::default()
        };
        let Some(text) = blank::remaining(words) else { return Ok(reading) };
        if let Some(sentiment) = self.sentiment.as_ref().filter(|_| wanted.sentiment) {
            reading.feeling = Some(sentiment.feel(text.expose())?);
        }
        let Some(Meanings { embedder, endings, topics }) = self.meaning.as_deref() else { return Ok(reading) };
        if let Some(endings) = endings.as_ref().filter(|_| wanted.resolution) {
            reading.settled = Some(endings.weigh(text.expose(), embedder)?);
        }
        if let Some(topics) = topics.as_ref().filter(|_| wanted.topics) {
            reading.topics = topics.heard(text.expose(), embedder)?;
        }
        Ok(reading)
    }

    /// By list, how far above its threshold a text's meaning lies: for who writes a list.
    pub(crate) fn nearness(&self, text: &str) -> Result<Vec<(usize, f32)>, ModelError> {
        match self.meaning.as_deref() {
            Some(Meanings { embedder, topics: Some(topics), .. }) => topics.nearness(text, embedder),
            _ => Ok(Vec::new()),
        }
    }
}

impl Meanings {
    fn new(embedder: Arc<Embedder>, charter: &Charter) -> Result<Self, ModelError> {
        let endings = charter.names(Group::Resolution).then(|| Endings::new(&embedder)).transpose()?;
        let topics = charter.needs_meanings().then(|| Topics::new(charter, &embedder)).transpose()?;
        Ok(Self { embedder, endings, topics })
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Readers")
    }
}
