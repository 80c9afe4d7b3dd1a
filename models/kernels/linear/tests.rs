use super::*;
use crate::kernels::testing::numbers;

fn layer(inputs: usize, outputs: usize, activation: Activation) -> (Linear, Vec<f32>) {
    let weights = numbers(7, inputs * outputs);
    let linear = Linear::from_rows(inputs, &weights, numbers(8, outputs), activation);
    (linear, weights)
}

fn forward(linear: &Linear, input: &[f32]) -> Vec<f32> {
    let mut output = vec![f32::NAN; 3];
    linear.forward_into(input, None, &mut output).unwrap();
    output
}

fn plain(linear: &Linear, weights: &[f32], input: &[f32]) -> Vec<f32> {
    let mut output = Vec::new();
    for row in input.chunks_exact(linear.weights.inputs()) {
        for (weights, bias) in weights
            .chunks_exact(linear.weights.inputs())
            .zip(&linear.bias)
        {
            let sum: f32 = weights.iter().zip(row).map(|(w, x)| w * x).sum();
            output.push(sum + bias);
        }
    }
    output
}

/// Rounding to 8 bits on both sides, and no more than that: the error of a sum of random
/// products is known in size.
#[test]
fn is_the_plain_product_but_for_rounding() {
    for (rows, inputs, outputs) in [
        (1, 1, 1),
        (1, 384, 51),
        (3, 64, 33),
        (65, 96, 40),
        (200, 33, 17),
    ] {
        let (linear, weights) = layer(inputs, outputs, Activation::None);
        let input = numbers(9, rows * inputs);
        let found = forward(&linear, &input);
        let expected = plain(&linear, &weights, &input);
        assert_eq!(found.len(), expected.len());
        // Rounding is evenly spread over a step: of activations 2 / levels, of weights their scale. Times the other side's
        // root mean square and the root of the count, four standard deviations and the two sides' independence.
        let deviation = |step: f32| step / 12f32.sqrt() / 3f32.sqrt();
        let activations = deviation(2.0 / linear.weights.instructions().levels());
        let weights = deviation(linear.scales.iter().copied().fold(0.0, f32::max));
        let allowed = 0.01 + 4.0 * activations.hypot(weights) * (inputs as f32).sqrt();
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() < allowed,
                "{rows} x {inputs} x {outputs}, {index}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn gelu_follows_the_product() {
    for outputs in [5, 48] {
        let (linear, weights) = layer(64, outputs, Activation::Gelu);
        let input = numbers(3, 4 * 64);
        let found = forward(&linear, &input);
        for (found, expected) in found.iter().zip(plain(&linear, &weights, &input)) {
            // tanh's approximation of GELU is within 0.001 of the exact one.
            let cubed = expected.powi(3);
            let gelu =
                0.5 * expected * (1.0 + (0.797_884_6 * (expected + 0.044_715 * cubed)).tanh());
            assert!((found - gelu).abs() < 0.2, "{found} for {gelu}");
        }
    }
}

#[test]
fn a_residual_is_added() {
    for (rows, outputs) in [(1, 5), (3, 48), (170, 133)] {
        let (linear, _) = layer(64, outputs, Activation::None);
        let input = numbers(3, rows * 64);
        let residual = numbers(4, rows * outputs);
        let alone = forward(&linear, &input);
        let mut found = Vec::new();
        linear
            .forward_into(&input, Some(&residual), &mut found)
            .unwrap();
        let mut sum = residual.clone();
        linear.add_to(&input, &mut sum).unwrap();
        assert_eq!(found, sum);
        for ((found, alone), residual) in found.iter().zip(&alone).zip(&residual) {
            assert_eq!(*found, alone + residual);
        }
        assert!(
            linear
                .forward_into(&input, Some(&residual[1..]), &mut found)
                .is_err()
        );
        assert!(linear.add_to(&input, &mut sum[1..]).is_err());
    }
}

/// Each row is what it is alone: how many go at once is a matter of speed.
#[test]
fn rows_do_not_touch_each_other() {
    let (linear, _) = layer(100, 300, Activation::Gelu);
    let input = numbers(3, 200 * 100);
    let together = forward(&linear, &input);
    for (row, together) in input.chunks_exact(100).zip(together.chunks_exact(300)) {
        assert_eq!(forward(&linear, row), together);
    }
}

/// Two numbers for each activation: what is left is the rounding of the weights.
#[test]
fn fine_activations_are_as_good_as_f32() {
    for (inputs, outputs) in [(100, 30), (1152, 67)] {
        let (linear, _) = layer(inputs, outputs, Activation::None);
        let linear = linear.fine();
        let mut weights = Vec::new();
        (0..outputs).for_each(|output| assert!(linear.append_row(output, &mut weights)));
        let input = numbers(3, 7 * inputs);
        let expected = plain(&linear, &weights, &input);
        for (found, expected) in forward(&linear, &input).iter().zip(expected) {
            assert!((found - expected).abs() < 5e-3, "{found} for {expected}");
        }
    }
}

#[test]
fn a_norm_comes_before() {
    let (linear, _) = layer(100, 30, Activation::None);
    let norm = LayerNorm::new(numbers(5, 100), numbers(6, 100));
    let input = numbers(3, 7 * 100);
    let (mut normed, mut found) = (Vec::new(), Vec::new());
    norm.forward_into(&input, &mut normed);
    linear.forward_normed(&norm, &input, &mut found).unwrap();
    assert_eq!(found, forward(&linear, &normed));
}

#[test]
fn nothing_and_zero_are_no_trouble() {
    let (linear, _) = layer(32, 8, Activation::None);
    assert!(forward(&linear, &[]).is_empty());
    assert_eq!(forward(&linear, &[0.0; 32]), linear.bias);
    assert!(
        linear
            .forward_into(&[0.0; 31], None, &mut Vec::new())
            .is_err()
    );
}

#[test]
fn a_row_of_weights_comes_back() {
    let (linear, weights) = layer(32, 8, Activation::None);
    let mut row = Vec::new();
    assert!(linear.append_row(3, &mut row));
    assert_eq!(row.len(), 32);
    for (found, expected) in row.iter().zip(&weights[3 * 32..]) {
        assert!((found - expected).abs() <= 0.51 * linear.scales[3]);
    }
    assert!(!linear.append_row(8, &mut row));
}
