//! Attention of a position of each of several turns to a memory, as each step of the decoder needs it, and of some positions
//! of one turn to all of it, as the encoder does.
//!
//! What several turns look at, the silence after them, is read once for all of them.

use rten_simd::{Isa, SimdOp};
use zeroize::Zeroize;

use crate::kernels::dots::{INPUTS, MOST_WEIGHT, Mix, OUTPUTS, PANEL, Scores, TILE};
use crate::kernels::memory::{HEAD, Memory, round};
use crate::kernels::{Rows, room, vector};

/// Queries at a time.
pub(crate) const MOST_TURNS: usize = 16;
/// Positions whose panels, 16 KiB of them, are taken by all queries before the next ones: they stay in the nearest cache
/// meanwhile.
const AT_ONCE: usize = 2 * INPUTS;

/// Room that attentions use one after the other.
#[derive(Default)]
pub(crate) struct AttentionRoom {
    /// A row for each query: how much it looks at each position.
    scores: Vec<f32>,
    /// The same in whole numbers, times each position's scale.
    weights: Vec<i16>,
    queries: Vec<i16>,
}

impl AttentionRoom {
    /// So many queries, and for each a row of scores and one of weights. None of it ever becomes less, so all of it is wiped.
    fn of(&mut self, count: usize, row: usize) -> (&mut [[i16; HEAD]], &mut [f32], &mut [i16]) {
        if self.scores.len() < count * row {
            room(&mut self.scores, count * row);
            room(&mut self.weights, count * row);
        }
        if self.queries.len() < count * HEAD {
            room(&mut self.queries, count * HEAD);
        }
        (
            &mut self.queries.as_chunks_mut::<HEAD>().0[..count],
            &mut self.scores[..count * row],
            &mut self.weights[..count * row],
        )
    }

    pub(crate) fn wipe(&mut self) {
        self.scores.fill(0.0);
        self.weights.fill(0);
        self.queries.fill(0);
    }
}

/// One query of each turn, on the turn's own memory and on what all have in common.
pub(crate) struct QueryAttention<'a> {
    /// For each turn its memory and how many positions of it count.
    pub(crate) own: &'a [(&'a Memory, usize)],
    /// What comes before.
    pub(crate) common: Option<Common<'a>>,
}

/// Positions that several turns look at.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    pub(crate) memory: &'a Memory,
    /// For each turn how many of them it looks at, from the first on, and how many positions each of those stands
    /// for.
    pub(crate) parts: &'a [(usize, f32)],
}

/// Where queries look: row `n` of `rows` gets what the positions of turn `n` weigh, added up over these heads.
pub(crate) struct Looks<'a> {
    pub(crate) heads: &'a [usize],
    pub(crate) rows: &'a mut [f32],
    pub(crate) stride: usize,
}

impl QueryAttention<'_> {
    /// Query `n` is `queries[n * stride..]`; its result is row `n` of `output`, whose old content is gone.
    ///
    /// What comes of a turn is the same to the last bit, whoever else is there.
    pub(crate) fn forward(
        &self,
        queries: &[f32],
        stride: usize,
        attention: &mut AttentionRoom,
        output: &mut Vec<f32>,
        mut looks: Option<Looks<'_>>,
    ) {
        let count = self.own.len();
        assert!(count <= MOST_TURNS, "the caller divides them");
        let width = self.own.first().map_or(0, |(memory, _)| memory.width());
        let longest = self.own.iter().map(|&(_, positions)| positions).max();
        // In a row the common ones come first, each turn's own ones always after the same number of them.
        let shared = self
            .common
            .map_or(0, |common| common.memory.positions().next_multiple_of(INPUTS));
        let row = shared + longest.unwrap_or(0).next_multiple_of(INPUTS);
        let (rounded, scores, weights) = attention.of(count, row);
        room(output, count * width);
        output.fill(0.0);
        let looked = self.common.map_or(0, |common| {
            common.parts.iter().map(|&(count, _)| count).max().unwrap_or(0)
        });
        let (mut factors, mut shifts) = ([0.0; MOST_TURNS], [0.0; MOST_TURNS]);
        for head in 0..width / HEAD {
            let queries = Rows::new(&queries[head * HEAD..], stride);
            RoundQueries { queries, rounded, factors: &mut factors }.dispatch();
            if let Some(common) = self.common {
                for (shift, (_, stands_for)) in shifts.iter_mut().zip(common.parts) {
                    *shift = stands_for.ln();
                }
                let asked = Asked { queries: rounded, factors: &factors, shifts: &shifts };
                asked.score(common.memory, head, looked, scores, row);
            }
            let mut shares = [[0.0; MOST_TURNS]; 2];
            for (index, &(memory, positions)) in self.own.iter().enumerate() {
                let scores = &mut scores[index * row..][..row];
                let common = self.common.map(|common| (common.memory, common.parts[index].0));
                let asked = Asked { queries: &rounded[index..=index], factors: &factors[index..], shifts: &[0.0] };
                asked.score(memory, head, positions, &mut scores[shared..], row);
                let parts = [common.unwrap_or((memory, 0)), (memory, positions)];
                let weights = &mut weights[index * row..][..row];
                let found = Weigh { parts, head, shared, scores: &mut *scores, weights }.dispatch();
                shares[0][index] = found[0];
                shares[1][index] = found[1];
                if let Some(looks) = looks.as_mut().filter(|looks| looks.heads.contains(&head)) {
                    let row = &mut looks.rows[index * looks.stride..][..positions];
                    for (look, score) in row.iter_mut().zip(&scores[shared..]) {
                        *look += score / found[2];
                    }
                }
            }
            let output = &mut output[head * HEAD..];
            if let Some(common) = self.common {
                let mixed = Mixed { weights, stride: row, factors: &shares[0][..count] };
                mixed.add(common.memory, head, looked, output, width);
            }
            for (index, &(memory, positions)) in self.own.iter().enumerate() {
                let weights = &weights[index * row + shared..];
                let mixed = Mixed { weights, stride: row, factors: &shares[1][index..=index] };
                mixed.add(memory, head, positions, &mut output[index * width..], width);
            }
        }
    }
}

/// One head's attention of `count` queries to the first positions of one memory, added to `output`, whose rows begin
/// `stride` after one another.
pub(crate) fn look_at_all(
    (memory, positions): (&Memory, usize),
    queries: Rows<'_>,
    count: usize,
    attention: &mut AttentionRoom,
    output: &mut [f32],
    stride: usize,
) {
    assert!(count <= MOST_TURNS, "the caller divides them");
    let row = positions.next_multiple_of(INPUTS);
    let (rounded, scores, weights) = attention.of(count, row);
    let (mut factors, mut shares) = ([0.0; MOST_TURNS], [0.0; MOST_TURNS]);
    RoundQueries { queries, rounded, factors: &mut factors }.dispatch();
    let asked = Asked { queries: rounded, factors: &factors, shifts: &[0.0; MOST_TURNS] };
    asked.score(memory, 0, positions, scores, row);
    let rows = scores.chunks_exact_mut(row).zip(weights.chunks_exact_mut(row));
    for ((scores, weights), share) in rows.zip(&mut shares) {
        let parts = [(memory, 0), (memory, positions)];
        *share = Weigh { parts, head: 0, shared: 0, scores, weights }.dispatch()[1];
    }
    let mixed = Mixed { weights, stride: row, factors: &shares[..count] };
    mixed.add(memory, 0, positions, output, stride);
}

/// Queries in whole numbers, `factors` times what they were.
struct RoundQueries<'s, 'd> {
    queries: Rows<'s>,
    rounded: &'d mut [[i16; HEAD]],
    factors: &'d mut [f32; MOST_TURNS],
}

impl SimdOp for RoundQueries<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        for (index, (rounded, factor)) in self.rounded.iter_mut().zip(self.factors).enumerate() {
            *factor = round(isa, self.queries.row(index, HEAD), rounded) / (HEAD as f32).sqrt();
        }
    }
}

/// Rounded queries.
struct Asked<'a> {
    queries: &'a [[i16; HEAD]],
    factors: &'a [f32],
    /// What each query's scores are raised by.
    shifts: &'a [f32],
}

impl Asked<'_> {
    /// How much each looks at the first positions of a memory; a row of scores begins `stride` after the one before.
    fn score(&self, memory: &Memory, head: usize, positions: usize, scores: &mut [f32], stride: usize) {
        let positions = positions.next_multiple_of(OUTPUTS);
        for from in (0..positions).step_by(AT_ONCE) {
            let to = positions.min(from + AT_ONCE);
            for first in (0..self.queries.len()).step_by(TILE) {
                let end = self.queries.len().min(first + TILE);
                Scores {
                    queries: &self.queries[first..end],
                    keys: memory.keys(head, from),
                    scales: &memory.key_scales(head)[from..to],
                    factors: &self.factors[first..],
                    shifts: &self.shifts[first..],
                    scores: &mut scores[first * stride + from..],
                    stride,
                }
                .run();
            }
        }
    }
}

/// One row of scores becomes exponentials, and these weights. Gives what a weight of either part is worth, and the sum of
/// the exponentials: by it the few results are divided, not the many weights.
struct Weigh<'s, 'd> {
    /// Two memories and how many positions of each count, the first before `shared`, the other from there on.
    parts: [(&'s Memory, usize); 2],
    head: usize,
    shared: usize,
    scores: &'d mut [f32],
    weights: &'d mut [i16],
}

impl SimdOp for Weigh<'_, '_> {
    type Output = [f32; 3];

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> [f32; 3] {
        let Self { parts, head, shared, scores, weights } = self;
        let starts = [0, shared];
        let ends = [shared, scores.len()];
        for ((start, end), (_, positions)) in starts.into_iter().zip(ends).zip(parts) {
            // Scores come in whole panels, and panels of values are longer.
            if start + positions < end {
                scores[start + positions..end].fill(f32::NEG_INFINITY);
            }
        }
        let greatest = vector::greatest(isa, scores);
        let mut sum = 0.0;
        let mut worth = [0.0; 2];
        for (part, (memory, positions)) in parts.into_iter().enumerate() {
            let length = positions.next_multiple_of(INPUTS).min(ends[part] - starts[part]);
            let place = starts[part]..starts[part] + length;
            let step = memory.most(head) / MOST_WEIGHT;
            let scales = memory.value_scales(head);
            let (scores, weights_here) = (&mut scores[place.clone()], &mut weights[place.clone()]);
            sum += vector::weigh(isa, scores, greatest, scales, 1.0 / step, weights_here);
            weights[place.end..ends[part]].fill(0);
            worth[part] = step;
        }
        [worth[0] / sum, worth[1] / sum, sum]
    }
}

/// Weights of some queries, and what those are worth.
struct Mixed<'a> {
    weights: &'a [i16],
    stride: usize,
    factors: &'a [f32],
}

impl Mixed<'_> {
    /// Adds one head's values, weighed, to rows of `output` that begin `stride` after one another.
    fn add(&self, memory: &Memory, head: usize, positions: usize, output: &mut [f32], stride: usize) {
        let count = self.factors.len();
        for from in (0..positions).step_by(AT_ONCE) {
            let chunks = (positions.min(from + AT_ONCE) - from).div_ceil(INPUTS);
            for half in 0..HEAD / OUTPUTS {
                for first in (0..count).step_by(TILE) {
                    Mix {
                        weights: &self.weights[first * self.stride + from..],
                        stride: self.stride,
                        count: TILE.min(count - first),
                        values: &memory.values(head, from)[half * PANEL..],
                        chunks,
                        factors: &self.factors[first..],
                        output: &mut output[first * stride + half * OUTPUTS..],
                        output_stride: stride,
                    }
                    .run();
                }
            }
        }
    }
}

impl Drop for AttentionRoom {
    fn drop(&mut self) {
        self.scores.zeroize();
        self.weights.zeroize();
        self.queries.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    fn forward(
        own: &[(&Memory, usize)],
        common: Option<Common<'_>>,
        queries: &[f32],
        stride: usize,
    ) -> Vec<f32> {
        let mut output = vec![9.0; 3];
        // Room that was used before: nothing of it may matter.
        let mut attention_room = AttentionRoom {
            scores: vec![f32::NAN; 10_000],
            weights: vec![77; 10_000],
            queries: Vec::new(),
        };
        let attention = QueryAttention { own, common };
        attention.forward(queries, stride, &mut attention_room, &mut output, None);
        output
    }

    /// Of one query on rows of keys and values.
    fn plain(query: &[f32], rows: &[f32]) -> Vec<f32> {
        let width = query.len();
        let mut output = vec![0.0; width];
        for head in (0..width).step_by(HEAD) {
            let weights: Vec<f32> = rows
                .chunks_exact(2 * width)
                .map(|row| {
                    let key = &row[head..head + HEAD];
                    let score: f32 = key.iter().zip(&query[head..]).map(|(k, q)| k * q).sum();
                    (score / 8.0).exp()
                })
                .collect();
            let sum: f32 = weights.iter().sum();
            for index in head..head + HEAD {
                let values = rows.chunks_exact(2 * width).map(|row| row[width + index]);
                output[index] = values.zip(&weights).map(|(v, w)| v * w / sum).sum();
            }
        }
        output
    }

    fn assert_near(found: &[f32], expected: &[f32], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 5e-4,
                "{what}: {found} {expected}"
            );
        }
    }

    #[test]
    fn is_the_plain_formula() {
        for (positions, heads, capacity) in [
            (1, 1, 1),
            (7, 2, 20),
            (64, 1, 64),
            (150, 3, 448),
            (1500, 6, 1500),
        ] {
            let width = heads * HEAD;
            let rows = numbers(4, positions * 2 * width);
            let query = numbers(5, width);
            let mut memory = Memory::new(capacity, width);
            memory.write(0, &rows);
            let found = forward(&[(&memory, positions)], None, &query, width);
            assert_near(&found, &plain(&query, &rows), &format!("{positions}"));
        }
    }

    /// Turns of many lengths, two of one length and one without a tail among them, in batches of many sizes. What counts
    /// as three is there three times in the plain formula.
    #[test]
    fn several_turns_with_a_common_tail_are_as_each_alone() {
        let width = 2 * HEAD;
        let all = 103;
        let tail = numbers(6, all * 2 * width);
        let mut common = Memory::new(all, width);
        common.write(0, &tail);
        let lengths = [16, 41, 48, 48, 64, 112, 200];
        let counts = [103, 90, 90, 90, 64, 1, 0];
        let memories: Vec<Memory> = (0..)
            .zip(lengths)
            .map(|(seed, length)| {
                let mut memory = Memory::new(length, width);
                memory.write(0, &numbers(10 + seed, length * 2 * width));
                memory
            })
            .collect();
        let stride = width + 5;
        let queries = numbers(5, lengths.len() * stride);
        for weight in [1, 3] {
            let parts = counts.map(|count| (count, weight as f32));
            for from in 0..lengths.len() {
                for to in from + 1..=lengths.len() {
                    let own: Vec<(&Memory, usize)> = memories[from..to]
                        .iter()
                        .zip(lengths[from..to].iter().copied())
                        .collect();
                    let shared = |parts| {
                        Some(Common {
                            memory: &common,
                            parts,
                        })
                    };
                    let tails = &parts[from..to];
                    let found = forward(&own, shared(tails), &queries[from * stride..], stride);
                    for (index, found) in found.chunks_exact(width).enumerate() {
                        let turn = from + index;
                        let mut rows = numbers(10 + turn as u64, lengths[turn] * 2 * width);
                        for _ in 0..weight {
                            rows.extend_from_slice(&tail[..counts[turn] * 2 * width]);
                        }
                        let query = &queries[turn * stride..][..width];
                        assert_near(found, &plain(query, &rows), &format!("{from} {to} {turn}"));
                        let alone = &own[index..=index];
                        let alone = forward(alone, shared(&tails[index..=index]), query, width);
                        assert!(alone == found, "the others changed a turn's result");
                    }
                }
            }
        }
    }

    #[test]
    fn where_a_head_looks_is_told() {
        let width = 2 * HEAD;
        let mut memory = Memory::new(20, width);
        let written = numbers(4, 20 * 2 * width);
        memory.write(0, &written);
        let own = [(&memory, 20), (&memory, 7)];
        let queries = numbers(5, 2 * width);
        let (mut scores, mut output) = (AttentionRoom::default(), Vec::new());
        let mut rows = vec![0.0; 2 * 30];
        let looks = Looks {
            heads: &[1],
            rows: &mut rows,
            stride: 30,
        };
        let attention = QueryAttention {
            own: &own,
            common: None,
        };
        attention.forward(&queries, width, &mut scores, &mut output, Some(looks));
        for (row, positions) in rows.chunks_exact(30).zip([20, 7]) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(row[positions..].iter().all(|look| *look == 0.0));
        }
        // The values, weighed so, are that head's result.
        for index in 0..HEAD {
            let value = |position: usize| written[position * 2 * width + width + HEAD + index];
            let mixed: f32 = (0..20).map(|p| rows[p] * value(p)).sum();
            assert!((mixed - output[HEAD + index]).abs() < 5e-4);
        }
    }
}
