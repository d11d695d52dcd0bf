//! Metrics of image quality, against results of other libraries from
//! tests/fixtures/perceptual/make.py.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::error::ExplainError;
use vgg_surgery::explain::{Dists, Lpips, Ssim};
use vgg_surgery::{Error, Vgg16, Vgg19};

use super::oracle::{assert_near, fixture, trunk, trunk_of, values};

/// The oracle computes in f64, the library in f32: variances are small differences of
/// means of squares.
const CLOSE: f32 = 1e-5;

/// Rounding of the seven or more layers below a feature map.
const DEEP: f32 = 5e-5;

fn oracle() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(at("perceptual.safetensors"), &Device::Cpu).unwrap()
}

fn at(file: &str) -> PathBuf {
    fixture("perceptual").join(file)
}

/// The images of the oracle, `image` in make.py.
fn images(channels: usize, height: usize, width: usize) -> [Tensor; 2] {
    let pixels = (0..channels)
        .flat_map(|k| (0..height).flat_map(move |r| (0..width).map(move |c| pixel(k, r, c))));
    let (first, second): (Vec<f32>, Vec<f32>) = pixels.unzip();
    [first, second].map(|values| {
        let values = Tensor::from_vec(values, (1, channels, height, width), &Device::Cpu);
        (values.unwrap() / 255.0).unwrap()
    })
}

fn pixel(k: usize, r: usize, c: usize) -> (f32, f32) {
    let first = (r * r + 2 * c * c + 97 * k * r) / 50 % 256;
    let other = (r * 31 + c * 17 + k * 7) * 13 % 256;
    (first as f32, ((3 * first + other) / 4) as f32)
}

fn gradient_of(value: impl FnOnce(&Tensor) -> Tensor, at: &Tensor) -> Vec<f32> {
    let at = Var::from_tensor(at).unwrap();
    let gradients = value(at.as_tensor()).sum_all().unwrap().backward().unwrap();
    values(gradients.get(&at).unwrap())
}

#[test]
fn ssim_is_scikit_images_and_pytorchs() {
    let oracle = oracle();
    let ssim = Ssim::new(1.0).unwrap();
    let [first, second] = images(3, 32, 45);
    let similarity = values(&ssim.similarity(&first, &second).unwrap());
    assert_near(&similarity, &oracle["ssim.skimage"], CLOSE, "scikit-image");
    assert_near(&similarity, &oracle["ssim.pytorch"], CLOSE, "PyTorch");
    let gradient = gradient_of(|first| ssim.similarity(first, &second).unwrap(), &first);
    assert_near(&gradient, &oracle["ssim.gradient"], CLOSE, "gradient");
    let itself = ssim.similarity(&first, &first).unwrap();
    assert_near(
        &values(&itself),
        &Tensor::new(&[1f32], &Device::Cpu).unwrap(),
        CLOSE,
        "itself",
    );
}

/// One window, and bytes in any type.
#[test]
fn ssim_takes_bytes() {
    let oracle = oracle();
    let [first, second] = images(2, 11, 11).map(|image| (image * 255.0).unwrap());
    let [first, second] = [first, second].map(|image| image.round().unwrap());
    for dtype in [DType::F32, DType::F64, DType::U8, DType::U32] {
        let [first, second] = [&first, &second].map(|image| image.to_dtype(dtype).unwrap());
        let ssim = Ssim::new(255.0).unwrap();
        let similarity = ssim.similarity(&first, &second).unwrap();
        assert_near(&values(&similarity), &oracle["ssim.small"], CLOSE, "bytes");
    }
}

#[test]
fn multi_scale_ssim_is_pytorchs_and_tensorflows() {
    let oracle = oracle();
    let ssim = Ssim::new(1.0).unwrap();
    let [first, second] = images(3, 176, 192);
    let similarity = ssim.multi_scale(&first, &second).unwrap();
    assert_near(
        &values(&similarity),
        &oracle["ms_ssim"],
        CLOSE,
        "even sizes",
    );
    let [first, second] = images(1, 161, 175);
    let similarity = ssim.multi_scale(&first, &second).unwrap();
    assert_near(
        &values(&similarity),
        &oracle["ms_ssim.odd"],
        CLOSE,
        "odd sizes",
    );
}

/// The gradient of a power below 1 is infinite at 0.
#[test]
fn an_opposite_image_has_no_similarity_and_no_gradient() {
    let ssim = Ssim::new(1.0).unwrap();
    let [first, _] = images(1, 161, 161);
    let opposite = (1.0 - &first).unwrap();
    let similarity = |x: &Tensor| ssim.multi_scale(x, &opposite).unwrap();
    assert_eq!(values(&similarity(&first)), [0.0]);
    let gradient = gradient_of(similarity, &first);
    assert!(gradient.iter().all(|value| value.is_finite()));
}

#[test]
fn each_image_of_a_batch_is_compared_with_its_partner() {
    let [first, second] = images(3, 161, 161);
    let pair = Tensor::cat(&[&first, &second], 0).unwrap();
    let other = Tensor::cat(&[&second, &second], 0).unwrap();
    let ssim = Ssim::new(1.0).unwrap();
    let dists = Dists::from_file(&trunk(), at("dists.pt")).unwrap();
    type Compare<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Tensor;
    let comparisons: [Compare<'_>; 3] = [
        &|a, b| ssim.similarity(a, b).unwrap(),
        &|a, b| ssim.multi_scale(a, b).unwrap(),
        &|a, b| dists.distance(a, b).unwrap(),
    ];
    for compare in comparisons {
        let alone = [compare(&first, &second), compare(&second, &second)];
        let alone = Tensor::cat(&alone, 0).unwrap();
        assert_near(&values(&compare(&pair, &other)), &alone, CLOSE, "batch");
    }
}

#[test]
fn dists_is_its_packages() {
    let oracle = oracle();
    let [first, second] = images(3, 45, 38);
    let dists = Dists::from_file(&trunk(), at("dists.pt")).unwrap();
    let distance = dists.distance(&first, &second).unwrap();
    assert_near(&values(&distance), &oracle["dists"], DEEP, "DISTS");
    let gradient = gradient_of(|first| dists.distance(first, &second).unwrap(), &first);
    assert_near(&gradient, &oracle["dists.gradient"], DEEP, "gradient");
    let itself = values(&dists.distance(&first, &first).unwrap());
    assert!(itself[0].abs() < 1e-6, "{itself:?}");
    // The square root in a pool has no gradient at 0.
    let black = first.zeros_like().unwrap();
    let gradient = gradient_of(|black| dists.distance(black, &second).unwrap(), &black);
    assert!(gradient.iter().all(|value| value.is_finite()));
}

#[test]
fn half_precision_rounds_dists_and_not_its_sums() {
    let [first, second] = images(3, 45, 38);
    let exact = Dists::from_file(&trunk(), at("dists.pt")).unwrap();
    let exact = exact.distance(&first, &second).unwrap();
    let dists = Dists::from_file(&trunk_of(DType::BF16), at("dists.pt")).unwrap();
    let distance = dists.distance(&first, &second).unwrap();
    assert_eq!(distance.dtype(), DType::F32);
    assert_near(&values(&distance), &exact, 0.05, "bf16");
}

#[test]
fn lpips_reads_its_packages_file() {
    let oracle = oracle();
    let lpips = Lpips::from_file(trunk(), at("lpips.pth")).unwrap();
    let scaled = images(3, 45, 38).map(|image| {
        let constant = |values: [f32; 3]| {
            Tensor::new(&values, &Device::Cpu)
                .unwrap()
                .reshape((1, 3, 1, 1))
                .unwrap()
        };
        let shifted = ((image * 2.0).unwrap() - 1.0).unwrap();
        let shifted = shifted
            .broadcast_sub(&constant([-0.030, -0.088, -0.188]))
            .unwrap();
        shifted
            .broadcast_div(&constant([0.458, 0.448, 0.450]))
            .unwrap()
    });
    let distance = lpips.distance(&scaled[0], &scaled[1]).unwrap();
    assert_near(&values(&distance), &oracle["lpips"], DEEP, "LPIPS");
}

#[test]
fn a_file_for_other_networks_is_refused() {
    let model = Arc::new(trunk());
    let open = |file: PathBuf| Lpips::from_file(Arc::clone(&model), file).unwrap_err();
    assert!(matches!(open(at("dists.pt")), Error::MissingTensor { .. }));
    assert!(matches!(open(at("none.pth")), Error::Io { .. }));
    assert!(matches!(open(at("make.py")), Error::InvalidWeights { .. }));
    let error = Dists::from_file(&model, at("lpips.pth")).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { .. }));
    // Other widths.
    let wide = Vgg16::options().widths(8).untrained(0).unwrap();
    let wide = wide.truncate("relu5_3").unwrap();
    let wide = wide.build(&Device::Cpu).unwrap();
    let error = Dists::from_file(&wide, at("dists.pt")).unwrap_err();
    assert!(matches!(error, Error::TensorShape { .. }), "{error}");
    let error = Lpips::from_file(wide, at("lpips.pth")).unwrap_err();
    assert!(matches!(error, Error::TensorShape { .. }), "{error}");
}

#[test]
fn weights_that_have_no_sum_are_refused() {
    let channels = 3 + 4 + 8 + 16 + 32 + 32;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zeros.safetensors");
    for value in [0f32, f32::NAN] {
        let weights = Tensor::full(value, (1, channels, 1, 1), &Device::Cpu).unwrap();
        let tensors = HashMap::from([("alpha", weights.clone()), ("beta", weights)]);
        candle_core::safetensors::save(&tensors, &file).unwrap();
        let error = Dists::from_file(&trunk(), &file).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

#[test]
fn metrics_refuse_what_they_were_not_made_for() {
    let other = Vgg19::options().widths(16).untrained(0).unwrap();
    let other = other.truncate("relu5_4").unwrap();
    let other = other.build(&Device::Cpu).unwrap();
    let gray = trunk().adapt_input(1).unwrap();
    for error in [
        Dists::from_file(&other, at("dists.pt")).unwrap_err(),
        Dists::from_file(&gray, at("dists.pt")).unwrap_err(),
        Lpips::from_file(other, at("lpips.pth")).unwrap_err(),
        Ssim::new(0.0).unwrap_err(),
        Ssim::new(f64::INFINITY).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
    let ssim = Ssim::new(1.0).unwrap();
    let dists = Dists::from_file(&trunk(), at("dists.pt")).unwrap();
    let [small, large] = [images(3, 10, 11), images(3, 160, 161)].map(|[first, _]| first);
    let [[other, _], [gray, _]] = [images(3, 32, 32), images(1, 32, 32)];
    let row = small.flatten_all().unwrap();
    for error in [
        ssim.similarity(&small, &small).unwrap_err(),
        ssim.similarity(&row, &row).unwrap_err(),
        ssim.similarity(&large, &other).unwrap_err(),
        ssim.multi_scale(&large, &large).unwrap_err(),
        dists.distance(&large, &other).unwrap_err(),
        dists.distance(&gray, &gray).unwrap_err(),
    ] {
        let is_input = matches!(error, Error::Explain(ExplainError::Input { .. }));
        assert!(is_input, "{error}");
    }
}
