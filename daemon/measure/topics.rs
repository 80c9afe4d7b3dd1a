//! The site's lists by meaning: a turn that means nearly the same as a sentence of the list is heard, whatever its words.
//!
//! How near is near enough is found on the list's own sentences: they lie about as near to each other as what shall be heard does to them,
//! and those that must not be heard lie further.

use sotto_charter::Charter;
use sotto_models::ModelError;
use sotto_models::embed::{Embedder, Meaning};

/// Cosines between which a threshold may lie (all-MiniLM-L6-v2 gives unrelated sentences 0 to 0.3, paraphrases 0.6 and more).
const THRESHOLDS: (f32, f32) = (0.45, 0.7);
/// What a list of one sentence gets.
const ALONE: f32 = 0.55;
/// A turn must be this much nearer to what is like the list than to what is unlike it.
const MARGIN: f32 = 0.03;
/// Nearer than the threshold by less than this, or further by less: a near miss, for who writes a list.
pub(crate) const NEAR: f32 = 0.1;

/// Lists by meaning.
pub(crate) struct Topics(Vec<Topic>);

struct Topic {
    ordinal: usize,
    like: Vec<Meaning>,
    unlike: Vec<Meaning>,
    threshold: f32,
}

impl Topics {
    pub(crate) fn new(charter: &Charter, embedder: &Embedder) -> Result<Self, ModelError> {
        let meanings = |sentences: &[String]| sentences.iter().map(|sentence| embedder.embed(sentence)).collect::<Result<Vec<_>, _>>();
        let lists = charter.categories.iter().enumerate().filter(|(_, category)| !category.like.is_empty());
        let topics = lists.map(|(ordinal, category)| {
            let (like, unlike) = (meanings(&category.like)?, meanings(&category.unlike)?);
            let threshold = threshold(&like, &unlike);
            Ok(Topic { ordinal, like, unlike, threshold })
        });
        topics.collect::<Result<_, ModelError>>().map(Self)
    }

    /// The lists that a turn means, a bit each; the first list is the lowest.
    pub(crate) fn heard(&self, text: &str, embedder: &Embedder) -> Result<u32, ModelError> {
        let meaning = embedder.embed(text)?;
        Ok(self.0.iter().filter(|topic| topic.excess(&meaning) >= 0.0).fold(0, |bits, topic| bits | 1 << topic.ordinal))
    }

    /// By list: how far above its threshold a text lies.
    pub(crate) fn nearness(&self, text: &str, embedder: &Embedder) -> Result<Vec<(usize, f32)>, ModelError> {
        let meaning = embedder.embed(text)?;
        Ok(self.0.iter().map(|topic| (topic.ordinal, topic.excess(&meaning))).collect())
    }
}

impl Topic {
    fn excess(&self, meaning: &Meaning) -> f32 {
        let like = nearest(meaning, &self.like);
        (like - self.threshold).min(like - nearest(meaning, &self.unlike) - MARGIN)
    }
}

fn nearest(meaning: &Meaning, others: &[Meaning]) -> f32 {
    others.iter().map(|other| meaning.likeness(other)).fold(f32::NEG_INFINITY, f32::max)
}

/// Where half of the list's sentences would be heard by the others, but above what is unlike them.
fn threshold(like: &[Meaning], unlike: &[Meaning]) -> f32 {
    let mut inner: Vec<f32> = (0..like.len())
        .map(|index| like.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| like[index].likeness(other)).fold(f32::NEG_INFINITY, f32::max))
        .filter(|likeness| likeness.is_finite())
        .collect();
    inner.sort_by(f32::total_cmp);
    let near = inner.get(inner.len() / 2).map_or(ALONE, |median| median - NEAR);
    let far = unlike.iter().map(|meaning| nearest(meaning, like)).fold(f32::NEG_INFINITY, f32::max);
    near.max(far.min(THRESHOLDS.1)).clamp(THRESHOLDS.0, THRESHOLDS.1)
}
