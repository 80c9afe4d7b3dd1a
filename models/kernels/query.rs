//! Attention of one position of each of several turns to a memory, as each step of the decoder needs it.
//!
//! The memory is read once from end to end for each step, and that is what a step costs. So it lies
//! as it is read: keys in blocks of [`BLOCK`] positions with the positions innermost, values by position. What
//! several turns look at, the silence after them, is read once for up to [`TILE`] of them.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use zeroize::Zeroize;

use crate::kernels::{Rows, room, vector};

/// Width of a head, in all Whisper models.
pub(crate) const HEAD: usize = 64;
/// Positions in a block of keys: one vector of the widest instructions.
pub(crate) const BLOCK: usize = 16;
/// Vectors that are summed up side by side, so that none waits for itself.
const LANES: usize = 4;
/// Queries that share what was read; half as many where there are half as many registers.
const TILE: usize = 4;

/// Queries at a time.
pub(crate) const MOST_TURNS: usize = 16;

/// Keys and values of one layer. They are made of sound, and wiped when dropped.
#[derive(Default)]
pub(crate) struct Memory {
    width: usize,
    /// Positions that can be written.
    positions: usize,
    /// Positions before which all lies that was written.
    written: usize,
    /// Positions that there is room for: reading goes on to the end of a group that starts at any block.
    capacity: usize,
    /// `[head][block][HEAD][BLOCK]`
    keys: Vec<f32>,
    /// `[head][position][HEAD]`
    values: Vec<f32>,
}

impl Memory {
    #[cfg(test)]
    fn new(positions: usize, width: usize) -> Self {
        let mut memory = Self::default();
        memory.renew(positions, width);
        memory
    }

    /// Makes room for `positions` positions of `width` values, a multiple of [`HEAD`], where something else was; that
    /// is wiped.
    pub(crate) fn renew(&mut self, positions: usize, width: usize) {
        self.wipe();
        self.width = width;
        self.positions = positions;
        self.capacity = positions.next_multiple_of(BLOCK) + LANES * BLOCK;
        room(&mut self.keys, self.capacity * width);
        room(&mut self.values, self.capacity * width);
    }

    /// Forgets what was written; the room stays.
    pub(crate) fn wipe(&mut self) {
        let written = self.written.next_multiple_of(BLOCK);
        for head in 0..self.width / HEAD {
            let start = head * self.capacity * HEAD;
            self.keys[start..start + written * HEAD].fill(0.0);
            self.values[start..start + written * HEAD].fill(0.0);
        }
        self.written = 0;
    }

    /// Writes rows of keys and values side by side (`2 * width` values each) from a position on.
    pub(crate) fn write(&mut self, from: usize, rows: &[f32]) {
        for (index, row) in rows.chunks_exact(2 * self.width).enumerate() {
            let (keys, values) = row.split_at(self.width);
            self.put(from + index, keys, values);
        }
    }

    fn put(&mut self, position: usize, keys: &[f32], values: &[f32]) {
        assert!(position < self.positions, "the caller made room");
        self.written = self.written.max(position + 1);
        let (block, lane) = (position / BLOCK, position % BLOCK);
        for (head, (keys, values)) in keys
            .chunks_exact(HEAD)
            .zip(values.chunks_exact(HEAD))
            .enumerate()
        {
            let start = head * self.capacity * HEAD;
            let block = &mut self.keys[start + block * BLOCK * HEAD..][..BLOCK * HEAD];
            for (row, key) in block.chunks_exact_mut(BLOCK).zip(keys) {
                row[lane] = *key;
            }
            self.values[start + position * HEAD..][..HEAD].copy_from_slice(values);
        }
    }

    fn keys(&self, head: usize, from: usize) -> &[f32] {
        &self.keys[(head * self.capacity + from) * HEAD..(head + 1) * self.capacity * HEAD]
    }

    fn values(&self, head: usize, from: usize) -> &[f32] {
        &self.values[(head * self.capacity + from) * HEAD..(head + 1) * self.capacity * HEAD]
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.values.zeroize();
    }
}

/// One query of each turn, on the turn's own memory and on what all have in common.
pub(crate) struct QueryAttention<'a> {
    /// For each turn its memory and how many positions of it count.
    pub(crate) own: &'a [(&'a Memory, usize)],
    /// What follows.
    pub(crate) common: Option<Common<'a>>,
}

/// Positions that several turns look at.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    pub(crate) memory: &'a Memory,
    /// For each turn how many of them it looks at, from the first on, and how many positions each of those stands
    /// for. Neighbours cost least.
    pub(crate) parts: &'a [(usize, f32)],
}

/// Where queries look: row `n` of `rows` gets what the positions of turn `n` weigh, added up over these heads.
pub(crate) struct Looks<'a> {
    pub(crate) heads: &'a [usize],
    pub(crate) rows: &'a mut [f32],
    pub(crate) stride: usize,
}

impl QueryAttention<'_> {
    /// Query `n` is `queries[n * stride..]`; its result is row `n` of `output`, whose old content is gone. `scores`
    /// is room.
    ///
    /// What comes of a turn is the same to the last bit, whoever else is there.
    pub(crate) fn forward(
        &self,
        queries: &[f32],
        stride: usize,
        scores: &mut Vec<f32>,
        output: &mut Vec<f32>,
        mut looks: Option<Looks<'_>>,
    ) {
        let width = self.own.first().map_or(0, |(memory, _)| memory.width);
        let longest = self.own.iter().map(|&(_, positions)| positions).max();
        // In a row of scores the common ones come first, each turn's own ones always after the same number of them.
        let shared = self
            .common
            .map_or(0, |common| common.memory.positions.next_multiple_of(BLOCK));
        let row = shared + longest.unwrap_or(0).next_multiple_of(BLOCK) + LANES * BLOCK;
        if scores.len() < self.own.len() * row {
            scores.resize(self.own.len() * row, 0.0);
        }
        let scores = &mut scores[..self.own.len() * row];
        room(output, self.own.len() * width);
        output.fill(0.0);
        let mut sums = [0.0; MOST_TURNS];
        assert!(self.own.len() <= MOST_TURNS, "the caller divides them");
        for head in 0..width / HEAD {
            let queries = Rows::new(&queries[head * HEAD..], stride);
            self.each_common(|memory, turns, positions| {
                Scores {
                    queries: queries.from(turns.start),
                    count: turns.len(),
                    keys: memory.keys(head, 0),
                    length: positions,
                    scores: &mut scores[turns.start * row..],
                    stride: row,
                }
                .dispatch();
            });
            // Scores come in whole groups; what comes after overwrites what is too much of them.
            for (index, &(memory, positions)) in self.own.iter().enumerate() {
                let scores = &mut scores[index * row..][..row];
                if let Some(common) = self.common {
                    let (count, weight) = common.parts[index];
                    let stands_for = weight.ln();
                    for score in &mut scores[..count] {
                        *score += stands_for;
                    }
                    scores[count..shared].fill(f32::NEG_INFINITY);
                }
                Scores {
                    queries: queries.from(index),
                    count: 1,
                    keys: memory.keys(head, 0),
                    length: positions,
                    scores: &mut scores[shared..],
                    stride: row,
                }
                .dispatch();
                sums[index] = Exponentials(&mut scores[..shared + positions]).dispatch();
                if let Some(looks) = looks.as_mut().filter(|looks| looks.heads.contains(&head)) {
                    let row = &mut looks.rows[index * looks.stride..][..positions];
                    for (look, score) in row.iter_mut().zip(&scores[shared..]) {
                        *look += score / sums[index];
                    }
                }
            }
            self.each_common(|memory, turns, positions| {
                Mix {
                    weights: Rows::new(&scores[turns.start * row..], row),
                    count: turns.len(),
                    values: &memory.values(head, 0)[..positions * HEAD],
                    output: &mut output[turns.start * width + head * HEAD..],
                    stride: width,
                }
                .dispatch();
            });
            for (index, &(memory, positions)) in self.own.iter().enumerate() {
                Mix {
                    weights: Rows::new(&scores[index * row + shared..], row),
                    count: 1,
                    values: &memory.values(head, 0)[..positions * HEAD],
                    output: &mut output[index * width + head * HEAD..],
                    stride: width,
                }
                .dispatch();
                divide(
                    &mut output[index * width + head * HEAD..][..HEAD],
                    sums[index],
                );
            }
        }
    }

    /// One head's attention of `count` queries to the first positions of one memory: added to `output`, which begins with
    /// that head's part of the first query's row.
    pub(crate) fn one_head(
        memory: &Memory,
        positions: usize,
        head: usize,
        queries: Rows<'_>,
        count: usize,
        scores: &mut Vec<f32>,
        output: &mut [f32],
    ) {
        let row = positions.next_multiple_of(BLOCK) + LANES * BLOCK;
        if scores.len() < count * row {
            scores.resize(count * row, 0.0);
        }
        let scores = &mut scores[..count * row];
        Scores {
            queries,
            count,
            keys: memory.keys(head, 0),
            length: positions,
            scores,
            stride: row,
        }
        .dispatch();
        let mut sums = [0.0; MOST_TURNS];
        for (row, sum) in scores.chunks_exact_mut(row).zip(&mut sums) {
            *sum = Exponentials(&mut row[..positions]).dispatch();
        }
        Mix {
            weights: Rows {
                values: scores,
                stride: row,
            },
            count,
            values: &memory.values(head, 0)[..positions * HEAD],
            output,
            stride: memory.width,
        }
        .dispatch();
        for (row, sum) in sums[..count].iter().enumerate() {
            divide(&mut output[row * memory.width..][..HEAD], *sum);
        }
    }

    /// Calls for some turns at a time, with the most common positions that one of them looks at.
    fn each_common(&self, mut some: impl FnMut(&Memory, std::ops::Range<usize>, usize)) {
        let Some(common) = self.common else { return };
        for from in (0..self.own.len()).step_by(TILE) {
            let turns = from..self.own.len().min(from + TILE);
            let counts = common.parts[turns.clone()].iter().map(|&(count, _)| count);
            some(common.memory, turns, counts.max().unwrap_or(0));
        }
    }
}

/// Puts the exponentials in place, and gives their sum: by it the few results are divided, not the many weights.
struct Exponentials<'a>(&'a mut [f32]);

impl SimdOp for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        vector::exponentials(isa, self.0)
    }
}

fn divide(values: &mut [f32], by: f32) {
    for value in values {
        *value /= by;
    }
}

/// Queries that one reading serves, on vectors of so many f32.
const fn tile(vector: usize) -> usize {
    if vector == 8 { TILE / 2 } else { TILE }
}

/// `scores[n][p] = queries[n] · keys[p] / 8`, whole groups of positions.
struct Scores<'a> {
    queries: Rows<'a>,
    count: usize,
    keys: &'a [f32],
    length: usize,
    scores: &'a mut [f32],
    stride: usize,
}

impl SimdOp for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let tile = tile(isa.f32().len());
        let mut done = 0;
        while done < self.count {
            let count = tile.min(self.count - done);
            match count {
                1 => self.some::<I, 1>(isa, done),
                2 => self.some::<I, 2>(isa, done),
                3 => self.some::<I, 3>(isa, done),
                _ => self.some::<I, TILE>(isa, done),
            }
            done += count;
        }
    }
}

impl Scores<'_> {
    #[inline(always)]
    fn some<I: Isa, const M: usize>(&mut self, isa: I, first: usize) {
        let ops = isa.f32();
        let width = ops.len();
        let scale = ops.splat(1.0 / (HEAD as f32).sqrt());
        let queries = self.queries.from(first).take::<M>(HEAD);
        // LANES vectors in a row: whether they are four blocks or one, each lies at a fixed distance. Plain
        // loops, since a closure here would be a call for each vector.
        let step = LANES * width;
        for from in (0..self.length).step_by(step) {
            let mut lanes: [&[f32]; LANES] = [&[]; LANES];
            for (lane, keys) in lanes.iter_mut().enumerate() {
                let position = from + lane * width;
                let start = position / BLOCK * BLOCK * HEAD + position % BLOCK;
                *keys = &self.keys[start..start + (HEAD - 1) * BLOCK + width];
            }
            let mut sums = [[ops.zero(); LANES]; M];
            for index in 0..HEAD {
                let mut keys = [ops.zero(); LANES];
                for lane in 0..LANES {
                    keys[lane] = ops.load(&lanes[lane][index * BLOCK..]);
                }
                for (sums, query) in sums.iter_mut().zip(&queries) {
                    let query = ops.splat(query[index]);
                    for lane in 0..LANES {
                        sums[lane] = ops.mul_add(keys[lane], query, sums[lane]);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let scores = &mut self.scores[(first + row) * self.stride + from..][..step];
                for lane in 0..LANES {
                    ops.store(ops.mul(sums[lane], scale), &mut scores[lane * width..]);
                }
            }
        }
    }
}

/// `output[n] += sum of weights[n][p] * values[p]`.
struct Mix<'a> {
    weights: Rows<'a>,
    count: usize,
    values: &'a [f32],
    output: &'a mut [f32],
    stride: usize,
}

impl SimdOp for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let tile = tile(isa.f32().len());
        let mut done = 0;
        while done < self.count {
            let count = tile.min(self.count - done);
            match count {
                1 => self.some::<I, 1>(isa, done),
                2 => self.some::<I, 2>(isa, done),
                3 => self.some::<I, 3>(isa, done),
                _ => self.some::<I, TILE>(isa, done),
            }
            done += count;
        }
    }
}

impl Mix<'_> {
    #[inline(always)]
    fn some<I: Isa, const M: usize>(&mut self, isa: I, first: usize) {
        let ops = isa.f32();
        let width = ops.len();
        let step = LANES * width;
        let weights = self.weights.from(first).take::<M>(self.values.len() / HEAD);
        for part in (0..HEAD).step_by(step) {
            let mut sums = [[ops.zero(); LANES]; M];
            for (row, sums) in sums.iter_mut().enumerate() {
                let output = &self.output[(first + row) * self.stride + part..][..step];
                for lane in 0..LANES {
                    sums[lane] = ops.load(&output[lane * width..]);
                }
            }
            for (position, values) in self.values.chunks_exact(HEAD).enumerate() {
                let values = &values[part..part + step];
                let mut loaded = [ops.zero(); LANES];
                for lane in 0..LANES {
                    loaded[lane] = ops.load(&values[lane * width..]);
                }
                for (sums, weights) in sums.iter_mut().zip(&weights) {
                    let weight = ops.splat(weights[position]);
                    for lane in 0..LANES {
                        sums[lane] = ops.mul_add(loaded[lane], weight, sums[lane]);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let output = &mut self.output[(first + row) * self.stride + part..][..step];
                for lane in 0..LANES {
                    ops.store(sums[lane], &mut output[lane * width..]);
                }
            }
        }
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
        let mut scores = vec![f32::NAN; 10_000];
        let attention = QueryAttention { own, common };
        attention.forward(queries, stride, &mut scores, &mut output, None);
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
                (found - expected).abs() < 1e-4,
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
        memory.write(0, &numbers(4, 20 * 2 * width));
        let own = [(&memory, 20), (&memory, 7)];
        let queries = numbers(5, 2 * width);
        let (mut scores, mut output) = (Vec::new(), Vec::new());
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
        let values = memory.values(1, 0);
        for index in 0..HEAD {
            let mixed: f32 = (0..20).map(|p| rows[p] * values[p * HEAD + index]).sum();
            assert!((mixed - output[HEAD + index]).abs() < 1e-5);
        }
    }

    #[test]
    fn what_is_written_later_stands_and_what_was_there_is_gone() {
        let mut memory = Memory::new(40, HEAD);
        memory.write(0, &numbers(1, 40 * 2 * HEAD));
        memory.write(3, &numbers(2, 5 * 2 * HEAD));
        let mut again = Memory::new(90, 2 * HEAD);
        again.write(0, &numbers(7, 90 * 4 * HEAD));
        again.renew(40, HEAD);
        // Nothing of what was there is left, neither in the room of now nor behind it.
        assert!(
            again
                .keys
                .iter()
                .chain(&again.values)
                .all(|value| *value == 0.0)
        );
        let mut rows = numbers(1, 40 * 2 * HEAD);
        rows[3 * 2 * HEAD..8 * 2 * HEAD].copy_from_slice(&numbers(2, 5 * 2 * HEAD));
        again.write(0, &rows);
        assert_eq!(memory.keys, again.keys);
        assert_eq!(memory.values, again.values);
    }
}
