//! Keys and values of what is looked at, as attention reads them.

use rten_simd::ops::{BitOps, FloatOps, NarrowSaturate, NumOps};
use rten_simd::{Isa, SimdOp};
use zeroize::Zeroize;

use crate::kernels::dots::{INPUTS, MOST, OUTPUTS, PANEL};
use crate::kernels::{Rows, room, vector};

/// Width of a head, in all Whisper models.
pub(crate) const HEAD: usize = INPUTS;
/// No row counts as smaller than this.
const LEAST_SCALE: f32 = 1e-30;

/// Keys and values of one layer: of each position and head whole numbers and what one of them stands for, in the panels
/// that [`dots`](crate::kernels::dots) reads. They are made of sound, and wiped when dropped.
#[derive(Default)]
pub(crate) struct Memory {
    width: usize,
    /// Positions that can be written.
    positions: usize,
    /// Positions before which all lies that was written.
    written: usize,
    /// Positions that there is room for: whole panels.
    capacity: usize,
    /// `[head][OUTPUTS positions]` panels.
    keys: Vec<i16>,
    /// `[head][INPUTS positions][half of a head]` panels.
    values: Vec<i16>,
    /// `[head][position]`
    key_scales: Vec<f32>,
    value_scales: Vec<f32>,
    /// The greatest of each head's values' scales.
    most: Vec<f32>,
}

impl Memory {
    #[cfg(test)]
    pub(super) fn new(positions: usize, width: usize) -> Self {
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
        self.capacity = positions.next_multiple_of(INPUTS);
        room(&mut self.keys, self.capacity * width);
        room(&mut self.values, self.capacity * width);
        room(&mut self.key_scales, self.capacity * width / HEAD);
        room(&mut self.value_scales, self.capacity * width / HEAD);
        self.most.clear();
        self.most.resize(width / HEAD, LEAST_SCALE);
    }

    /// Values that it could hold of keys, and so many of values, without asking for more memory.
    pub(crate) fn held(&self) -> usize {
        self.keys.capacity()
    }

    /// Forgets what was written; the room stays.
    pub(crate) fn wipe(&mut self) {
        let written = self.written.next_multiple_of(INPUTS);
        for head in 0..self.width / HEAD {
            let start = head * self.capacity;
            let whole = start * HEAD..(start + written) * HEAD;
            self.keys[whole.clone()].fill(0);
            self.values[whole].fill(0);
            self.key_scales[start..start + written].fill(0.0);
            self.value_scales[start..start + written].fill(0.0);
        }
        self.written = 0;
    }

    /// Writes rows of keys and values side by side (`2 * width` values each) from a position on.
    pub(crate) fn write(&mut self, from: usize, rows: &[f32]) {
        let width = self.width;
        let count = rows.len() / (2 * width);
        for head in 0..width / HEAD {
            let keys = Rows::new(&rows[head * HEAD..], 2 * width);
            let values = Rows::new(&rows[width + head * HEAD..], 2 * width);
            self.write_head(head, from, count, keys, values);
        }
    }

    /// Writes one head's keys and values of `count` positions.
    pub(super) fn write_head(&mut self, head: usize, from: usize, count: usize, keys: Rows<'_>, values: Rows<'_>) {
        assert!(from + count <= self.positions, "the caller made room");
        self.written = self.written.max(from + count);
        let start = head * self.capacity;
        let whole = start * HEAD..(start + self.capacity) * HEAD;
        let each = start..start + self.capacity;
        let most = Put {
            from,
            count,
            rows: [keys, values],
            keys: &mut self.keys[whole.clone()],
            values: &mut self.values[whole],
            key_scales: &mut self.key_scales[each.clone()],
            value_scales: &mut self.value_scales[each],
        }
        .dispatch();
        self.most[head] = self.most[head].max(most);
    }

    /// Positions that can be written.
    pub(super) const fn positions(&self) -> usize {
        self.positions
    }

    /// Heads times values of each.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// A head's panels of keys from a position on, the first of a panel.
    pub(super) fn keys(&self, head: usize, from: usize) -> &[i16] {
        &self.keys[(head * self.capacity + from) * HEAD..(head + 1) * self.capacity * HEAD]
    }

    /// A head's panels of values from a position on, the first of a panel.
    pub(super) fn values(&self, head: usize, from: usize) -> &[i16] {
        &self.values[(head * self.capacity + from) * HEAD..(head + 1) * self.capacity * HEAD]
    }

    /// What one step of each position's keys stands for.
    pub(super) fn key_scales(&self, head: usize) -> &[f32] {
        &self.key_scales[head * self.capacity..][..self.capacity]
    }

    /// What one step of each position's values stands for.
    pub(super) fn value_scales(&self, head: usize) -> &[f32] {
        &self.value_scales[head * self.capacity..][..self.capacity]
    }

    /// The greatest of these.
    pub(super) fn most(&self, head: usize) -> f32 {
        self.most[head]
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        let whole = self.keys.iter().chain(&self.values).all(|value| *value == 0);
        whole && self.key_scales.iter().chain(&self.value_scales).all(|value| *value == 0.0)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.values.zeroize();
        self.key_scales.zeroize();
        self.value_scales.zeroize();
    }
}

/// Rounds rows and puts them where they belong; gives the greatest scale of values.
struct Put<'s, 'd> {
    from: usize,
    count: usize,
    /// Keys and values.
    rows: [Rows<'s>; 2],
    keys: &'d mut [i16],
    values: &'d mut [i16],
    key_scales: &'d mut [f32],
    value_scales: &'d mut [f32],
}

impl SimdOp for Put<'_, '_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let mut most = 0.0f32;
        let mut whole = [0i16; HEAD];
        for index in 0..self.count {
            let position = self.from + index;
            self.key_scales[position] = round(isa, self.rows[0].row(index, HEAD), &mut whole);
            let panel = &mut self.keys[position / OUTPUTS * PANEL..][..PANEL];
            let lane = position % OUTPUTS;
            for (panel, two) in panel.as_chunks_mut::<{ 2 * OUTPUTS }>().0.iter_mut().zip(whole.as_chunks::<2>().0) {
                panel[2 * lane] = two[0];
                panel[2 * lane + 1] = two[1];
            }
            let scale = round(isa, self.rows[1].row(index, HEAD), &mut whole);
            self.value_scales[position] = scale;
            most = most.max(scale);
            let panels = &mut self.values[position / INPUTS * 2 * PANEL..][..2 * PANEL];
            let (pair, side) = (position % INPUTS / 2, position % 2);
            for (panel, half) in panels.chunks_exact_mut(PANEL).zip(whole.chunks_exact(OUTPUTS)) {
                let panel = &mut panel[pair * 2 * OUTPUTS..][..2 * OUTPUTS];
                for (two, value) in panel.as_chunks_mut::<2>().0.iter_mut().zip(half) {
                    two[side] = *value;
                }
            }
        }
        whole.zeroize();
        most
    }
}

/// Whole numbers up to [`MOST`] on either side of zero, ties to even; gives what one step stands for.
#[inline(always)]
pub(super) fn round<I: Isa>(isa: I, row: &[f32], output: &mut [i16; HEAD]) -> f32 {
    let (floats, ints, shorts) = (isa.f32(), isa.i32(), isa.i16());
    let width = floats.len();
    let (low, high) = vector::range(isa, row);
    let scale = (high.max(-low) / MOST).max(LEAST_SCALE);
    let factor = floats.splat(1.0 / scale);
    for place in (0..HEAD).step_by(2 * width) {
        let first = floats.mul(floats.load(&row[place..]), factor);
        let second = floats.mul(floats.load(&row[place + width..]), factor);
        let both = ints.narrow_saturate(floats.to_int_round(first), floats.to_int_round(second));
        shorts.store(both, &mut output[place..]);
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    #[test]
    fn what_is_written_later_stands_and_what_was_there_is_gone() {
        let mut memory = Memory::new(40, HEAD);
        memory.write(0, &numbers(1, 40 * 2 * HEAD));
        memory.write(3, &numbers(2, 5 * 2 * HEAD));
        let mut again = Memory::new(90, 2 * HEAD);
        again.write(0, &numbers(7, 90 * 4 * HEAD));
        again.renew(40, HEAD);
        // Nothing of what was there is left, neither in the room of now nor behind it.
        assert!(again.is_empty());
        let mut rows = numbers(1, 40 * 2 * HEAD);
        rows[3 * 2 * HEAD..8 * 2 * HEAD].copy_from_slice(&numbers(2, 5 * 2 * HEAD));
        again.write(0, &rows);
        assert!(memory.keys == again.keys && memory.values == again.values);
        assert!(memory.key_scales == again.key_scales && memory.value_scales == again.value_scales);
        again.wipe();
        assert!(again.is_empty());
    }

    #[test]
    fn whole_numbers_stand_for_what_they_were_made_of() {
        let (positions, width) = (100, 2 * HEAD);
        let rows = numbers(3, positions * 2 * width);
        let mut memory = Memory::new(positions, width);
        memory.write(0, &rows);
        for (position, row) in rows.chunks_exact(2 * width).enumerate() {
            for head in 0..2 {
                for index in 0..HEAD {
                    let key = memory.keys(head, position / OUTPUTS * OUTPUTS);
                    let key = key[(index / 2 * OUTPUTS + position % OUTPUTS) * 2 + index % 2];
                    let key = f32::from(key) * memory.key_scales(head)[position];
                    assert!((key - row[head * HEAD + index]).abs() <= 1.3e-4, "{position} {head} {index}");
                    let value = &memory.values(head, position / INPUTS * INPUTS)[index / OUTPUTS * PANEL..];
                    let value = value[(position % INPUTS / 2 * OUTPUTS + index % OUTPUTS) * 2 + position % 2];
                    let value = f32::from(value) * memory.value_scales(head)[position];
                    assert!((value - row[width + head * HEAD + index]).abs() <= 1.3e-4, "{position} {head} {index}");
                    assert!(memory.value_scales(head)[position] <= memory.most(head));
                }
            }
        }
    }
}
