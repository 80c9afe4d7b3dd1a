use super::*;
use crate::kernels::testing::numbers;

/// Random weights that fit, and rows of activations.
fn random(
    instructions: Instructions,
    rows: usize,
    inputs: usize,
    outputs: usize,
) -> (Vec<u8>, Vec<i8>) {
    let levels = instructions.levels();
    let bytes = inputs.next_multiple_of(instructions.step());
    let values = numbers(3, rows * bytes)
        .iter()
        .map(|value| ((value + 1.0) / 2.0 * levels).round() as u8)
        .collect();
    let mut weights: Vec<i8> = numbers(4, inputs * outputs)
        .iter()
        .map(|value| (value * 127.0).round() as i8)
        .collect();
    for row in weights.chunks_exact_mut(inputs) {
        let shrink = fit(instructions, row);
        for weight in row {
            *weight = (f32::from(*weight) * shrink).trunc() as i8;
        }
    }
    (values, weights)
}

fn plain(matrix: &Matrix, rows: &[u8], weights: &[i8]) -> Vec<i32> {
    let (inputs, row_sums) = (matrix.inputs(), matrix.row_sums());
    let mut sums = Vec::new();
    for row in rows.chunks_exact(matrix.row_bytes()) {
        let start = sums.len();
        sums.extend(weights.chunks_exact(inputs).map(|weights| -> i32 {
            let products = row.iter().zip(weights);
            products.map(|(x, w)| i32::from(*x) * i32::from(*w)).sum()
        }));
        sums.resize(start + row_sums, 0);
    }
    sums
}

fn available() -> impl Iterator<Item = Instructions> {
    Instructions::ALL.into_iter().filter(|one| one.available())
}

#[test]
fn is_the_plain_product_with_all_instructions() {
    for instructions in available() {
        for (rows, inputs, outputs) in [
            (1, 1, 1),
            (1, 384, 51),
            (2, 7, 64),
            (3, 64, 33),
            (8, 384, 130),
            (65, 96, 40),
            (5, 1536, 384),
        ] {
            let (values, weights) = random(instructions, rows, inputs, outputs);
            let matrix = Matrix::new(instructions, inputs, outputs, &weights);
            let mut sums = vec![-1; rows * matrix.row_sums()];
            matrix.multiply(0..outputs, &values, &mut sums);
            let expected = plain(&matrix, &values, &weights);
            assert!(
                sums == expected,
                "{instructions:?}: {rows} x {inputs} x {outputs}"
            );
            // A part of the outputs is that part of the sums.
            let panel = instructions.panel();
            let part = panel.min(outputs)..outputs;
            let row_sums = part.len().next_multiple_of(panel);
            let mut sums = vec![-1; rows * row_sums];
            matrix.multiply(part, &values, &mut sums);
            let expected = expected.chunks_exact(matrix.row_sums());
            let expected: Vec<i32> = expected
                .flat_map(|row| &row[row.len() - row_sums..])
                .copied()
                .collect();
            assert!(sums == expected, "{instructions:?}: a part");
        }
    }
}

/// The greatest activations, and the greatest weights that fit: where sums would be cut off first.
#[test]
fn the_greatest_values_are_not_cut_off() {
    for instructions in available() {
        for sign in [1, -1] {
            for greatest in [127, 64, 33] {
                // As many of the greatest in a step as fit, the same in each place of a step once.
                for place in 0..instructions.step() {
                    let mut row = vec![0i8; 2048];
                    for step in row.chunks_exact_mut(instructions.step()) {
                        for turn in 0..step.len() {
                            let at = (place + turn) % step.len();
                            step[at] = (sign * greatest) as i8;
                            if fit(instructions, step) < 1.0 {
                                step[at] = 0;
                            }
                        }
                    }
                    let matrix = Matrix::new(instructions, 2048, 65, &row.repeat(65));
                    let values = [instructions.levels() as u8; 3 * 2048];
                    let mut sums = vec![0; 3 * matrix.row_sums()];
                    matrix.multiply(0..65, &values, &mut sums);
                    let total: i32 = row.iter().map(|&weight| i32::from(weight)).sum();
                    assert_ne!(total, 0);
                    for row in sums.chunks_exact(matrix.row_sums()) {
                        let expected = total * instructions.levels() as i32;
                        assert!(
                            row[..65].iter().all(|&sum| sum == expected),
                            "{instructions:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_fits_is_told_by_the_sums_in_16_bits() {
    let mut row = [0i8; 40];
    // The first pairs of two groups, in one step: 2 * 127 + 5.
    (row[16], row[17], row[20]) = (127, 127, 5);
    assert_eq!(fit(Instructions::Avx2, &row), 258.0 / 259.0);
    row[20] = 4;
    assert_eq!(fit(Instructions::Avx2, &row), 1.0);
    // The second pair is another sum, and so is the next step, and so are weights of the other sign.
    (row[18], row[32], row[24]) = (100, 100, -100);
    assert_eq!(fit(Instructions::Avx2, &row), 1.0);
    assert_eq!(fit(Instructions::Avx512Vnni, &[127; 64]), 1.0);
}

#[test]
fn a_weight_comes_back() {
    for instructions in available() {
        let (_, weights) = random(instructions, 1, 30, 70);
        let matrix = Matrix::new(instructions, 30, 70, &weights);
        for output in 0..70 {
            for input in 0..30 {
                assert_eq!(matrix.weight(output, input), weights[output * 30 + input]);
            }
        }
    }
}

#[test]
fn nothing_is_nothing() {
    let matrix = Matrix::new(Instructions::Portable, 8, 8, &[1; 64]);
    matrix.multiply(0..8, &[], &mut []);
    let matrix = Matrix::new(Instructions::Portable, 0, 0, &[]);
    matrix.multiply(0..0, &[], &mut []);
}
