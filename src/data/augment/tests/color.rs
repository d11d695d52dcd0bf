use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::data::augment::tests::{fixtures, image};

use super::*;

#[test]
fn brightness_contrast_and_saturation_are_pillows() {
    let tensors = fixtures();
    let source = image(&tensors["source"]);
    let changes = [
        ("brightness", Change::Brightness),
        ("contrast", Change::Contrast),
        ("saturation", Change::Saturation),
    ];
    for (name, change) in changes {
        for factor in ["0.0", "0.25", "0.7", "1.0", "1.3", "2.0"] {
            let mut bytes = source.as_rgb8().to_vec();
            change.apply(&mut bytes, factor.parse().unwrap());
            let expected = image(&tensors[&format!("{name}/{factor}")]);
            assert!(bytes == expected.as_rgb8(), "{name} by {factor}");
        }
    }
}

#[test]
fn noise_has_its_deviation_and_clips() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut bytes = vec![128; 100_000];
    add_noise(&mut bytes, 20.0, &mut rng);
    let count = bytes.len() as f64;
    let mean = bytes.iter().map(|&b| f64::from(b)).sum::<f64>() / count;
    let variance = bytes.iter().map(|&b| (f64::from(b) - mean).powi(2));
    let deviation = (variance.sum::<f64>() / count).sqrt();
    // Five standard errors: 20 / sqrt(n), and 20 / sqrt(2 n).
    assert!((mean - 128.0).abs() < 5.0 * 20.0 / count.sqrt(), "{mean}");
    assert!(
        (deviation - 20.0).abs() < 5.0 * 20.0 / (2.0 * count).sqrt(),
        "{deviation}"
    );
    let mut white = vec![255; 1000];
    add_noise(&mut white, 20.0, &mut rng);
    let clipped = white.iter().filter(|&&b| b == 255).count() as f64;
    assert!(
        (clipped - 500.0).abs() < 5.0 * 250f64.sqrt() + 20.0,
        "{clipped}"
    );
}

#[test]
fn a_part_is_painted_and_nothing_else() {
    let mut bytes = vec![0; 3 * 4 * 3];
    let part = Part {
        x: 1,
        y: 1,
        width: 2,
        height: 1,
    };
    paint(&mut bytes, 4, &part, [1, 2, 3]);
    let painted: Vec<usize> = (0..36).filter(|&i| bytes[i] != 0).collect();
    assert_eq!(painted, (15..21).collect::<Vec<_>>());
    assert_eq!(bytes[15..21], [1, 2, 3, 1, 2, 3]);
}
