use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(5)
}

/// Checks mean and variance of draws against what they should be: within five
/// standard errors of the mean, and 5 % of the variance.
fn assert_moments(draws: &[f64], mean: f64, variance: f64) {
    let count = draws.len() as f64;
    let found = draws.iter().sum::<f64>() / count;
    let bound = 5.0 * (variance / count).sqrt();
    assert!((found - mean).abs() < bound, "mean {found}, not {mean}");
    let spread = draws.iter().map(|x| (x - found).powi(2)).sum::<f64>() / count;
    assert!(
        (spread / variance - 1.0).abs() < 0.05,
        "variance {spread}, not {variance}"
    );
}

#[test]
fn uniform_draws_fill_their_range() {
    let mut rng = rng();
    let draws: Vec<f64> = (0..20_000)
        .map(|_| uniform(&(2.0..=5.0), &mut rng))
        .collect();
    assert!(draws.iter().all(|x| (2.0..=5.0).contains(x)));
    assert_moments(&draws, 3.5, 9.0 / 12.0);
}

#[test]
fn jitter_does_not_go_below_zero() {
    let mut rng = rng();
    let draws: Vec<f64> = (0..20_000).map(|_| jitter(1.5, &mut rng)).collect();
    assert!(draws.iter().all(|x| (0.0..=2.5).contains(x)));
    assert_moments(&draws, 1.25, 2.5 * 2.5 / 12.0);
}

#[test]
fn beta_has_its_moments() {
    let mut rng = rng();
    for alpha in [0.2, 1.0, 4.0] {
        let draws: Vec<f64> = (0..40_000).map(|_| beta(alpha, &mut rng)).collect();
        assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)));
        // Variance a b / ((a + b)^2 (a + b + 1)).
        assert_moments(&draws, 0.5, 1.0 / (4.0 * (2.0 * alpha + 1.0)));
    }
    assert!((0..1000).all(|_| beta(1e-3, &mut rng).is_finite()));
}

#[test]
fn crops_keep_to_area_and_aspect() {
    let mut rng = rng();
    let (width, height) = (400, 300);
    let mut areas = Vec::new();
    for _ in 0..4000 {
        let part = resized_crop(Size { width, height }, &(0.1..=0.4), &(0.5..=2.0), &mut rng);
        assert!(part.x + part.width <= width && part.y + part.height <= height);
        let aspect = part.width as f64 / part.height as f64;
        // Sides of over 60 pixels, each rounded by half a pixel at most.
        assert!((0.49..=2.04).contains(&aspect), "{aspect}");
        areas.push((part.width * part.height) as f64 / (width * height) as f64);
    }
    assert!(areas.iter().all(|area| (0.098..=0.402).contains(area)));
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    // A few of the widest don't fit and are drawn again.
    assert!((mean - 0.25).abs() < 0.02, "{mean}");
}

#[test]
fn a_crop_that_fits_nowhere_is_the_middle_at_the_nearest_aspect() {
    let mut rng = rng();
    let mut crop = |width, height| {
        let size = Size { width, height };
        resized_crop(size, &(1.0..=1.0), &(0.75..=1.25), &mut rng)
    };
    // width > 1.25 height: 12.5 rounds to the even 12.
    let wide = Part {
        x: 44,
        y: 0,
        width: 12,
        height: 10,
    };
    assert_eq!(crop(100, 10), wide);
    let tall = Part {
        x: 0,
        y: 43,
        width: 10,
        height: 13,
    };
    assert_eq!(crop(10, 100), tall);
    let strip = crop(30_000, 1);
    assert_eq!((strip.width, strip.height), (1, 1));
}

#[test]
fn erased_parts_lie_within() {
    let mut rng = rng();
    let size = Size {
        width: 40,
        height: 30,
    };
    for _ in 0..2000 {
        let part = erased(size, &(0.02..=0.33), &(0.3..=3.3), &mut rng).unwrap();
        assert!(part.x + part.width <= 40 && part.y + part.height <= 30);
        assert!(part.width < 40 && part.height < 30);
        // 24 to 396 pixels, sides rounded.
        assert!((12..=460).contains(&(part.width * part.height)));
    }
    assert_eq!(erased(size, &(1.0..=1.0), &(1.0..=1.0), &mut rng), None);
}
