//! Heat maps lie where the network saw what they explain.

use candle_core::Device;
use vgg_surgery::error::ExplainError;
use vgg_surgery::explain::{ColorMap, Heatmap, Occlusion};
use vgg_surgery::preprocess::Resize;
use vgg_surgery::{Activation, Dense, Error, Explainer, Graph, Head, Image, Model, Preprocessing};

/// Scores the mean brightness.
fn brightness(preprocessing: Preprocessing) -> Model {
    let head = Head::new()
        .activation("relu", Activation::Relu)
        .global_avg_pool2d("pool")
        .dense("score", Dense::new(1));
    let graph = Graph::new("brightness", (3, None, None))
        .unwrap()
        .attach(head)
        .unwrap();
    let model = graph
        .with_preprocessing(preprocessing)
        .build(&Device::Cpu)
        .unwrap();
    for variable in model.trainable_variables() {
        let ones = variable.ones_like().unwrap();
        variable.set(&ones).unwrap();
    }
    model
}

/// Black, with a white square.
fn square(width: usize, height: usize, left: usize, top: usize, side: usize) -> Image {
    let inside = |start: usize, at: usize| (start..start + side).contains(&at);
    let pixels = (0..height).flat_map(|y| {
        (0..width).flat_map(move |x| [255 * u8::from(inside(left, x) && inside(top, y)); 3])
    });
    Image::from_rgb8(width, height, pixels.collect::<Vec<u8>>()).unwrap()
}

/// The middle of the pixels that are at least half as bright as the brightest.
fn middle(heat: &Heatmap) -> [f64; 2] {
    let (_, high) = heat.range();
    let values = heat.values().iter().enumerate();
    let bright: Vec<usize> = values
        .filter(|(_, value)| **value >= high / 2.0)
        .map(|(index, _)| index)
        .collect();
    let mean = |of: fn(usize, usize) -> usize| {
        let sum: usize = bright.iter().map(|&at| of(at, heat.width())).sum();
        sum as f64 / bright.len() as f64 + 0.5
    };
    [mean(|at, width| at % width), mean(|at, width| at / width)]
}

#[test]
fn evidence_is_marked_where_it_lies_in_the_image() {
    // Short side 256, center 224: columns 125 to 475 of 600 are seen.
    let imagenet = Preprocessing::torchvision();
    let squashed = Preprocessing::torchvision().with_size(64, 96);
    let own_size = Preprocessing::torchvision().without_resize();
    for preprocessing in [imagenet, squashed, own_size] {
        let model = brightness(preprocessing.clone());
        let explainer = Explainer::new(&model).unwrap();
        let image = square(600, 400, 160, 220, 40);
        // Windows of the square's size: one of them covers most of it.
        let windows = Occlusion::new(40, 40).stride(20, 20);
        let maps = [
            explainer.grad_cam("relu", &image, 0).unwrap(),
            explainer.saliency(&image, 0).unwrap().sum().unwrap(),
            explainer.occlusion(&image, 0, &windows).unwrap(),
        ];
        for (heat, slack) in maps.iter().zip([3.0, 3.0, 40.0]) {
            let placed = heat.spread_over(&image).unwrap();
            assert_eq!((placed.height(), placed.width()), (400, 600));
            let [x, y] = middle(&placed);
            assert!(
                (x - 180.0).abs() < slack && (y - 240.0).abs() < slack,
                "{preprocessing:?}: ({x}, {y})"
            );
        }
    }
}

#[test]
fn what_a_crop_cuts_off_shows_the_image() {
    let model = brightness(Preprocessing::torchvision());
    let explainer = Explainer::new(&model).unwrap();
    let image = square(600, 400, 160, 220, 40);
    let heat = explainer.grad_cam("relu", &image, 0).unwrap();
    let placed = heat.spread_over(&image).unwrap();
    // 400 to 256 pixels scales by 1.5625, so 224 pixels are 350 of the image,
    // in the middle of 600 by 400.
    let seen = |row: usize, column: usize| !placed.values()[row * 600 + column].is_nan();
    assert_eq!((seen(200, 124), seen(200, 125)), (false, true));
    assert_eq!((seen(200, 474), seen(200, 475)), (true, false));
    assert_eq!((seen(24, 300), seen(25, 300)), (false, true));
    assert_eq!((seen(374, 300), seen(375, 300)), (true, false));
    let overlaid = heat.overlay(&image, ColorMap::Diverging, 1.0).unwrap();
    assert_eq!(overlaid.pixel(10, 200), Some([0, 0, 0]));
    assert_ne!(overlaid.pixel(300, 200), Some([0, 0, 0]));
}

/// A resized map had forgotten its place, and was stretched over the whole image.
#[test]
fn a_resized_map_keeps_its_place() {
    let model = brightness(Preprocessing::torchvision());
    let explainer = Explainer::new(&model).unwrap();
    let image = square(600, 400, 160, 220, 40);
    let heat = explainer.grad_cam("relu", &image, 0).unwrap();
    let smaller = heat.resize(112, 112).unwrap();
    let placed = smaller.spread_over(&image).unwrap();
    let [x, y] = middle(&placed);
    assert!(
        (x - 180.0).abs() < 5.0 && (y - 240.0).abs() < 5.0,
        "({x}, {y})"
    );
    assert_eq!(placed.spread_over(&image).unwrap().range(), placed.range());
    let other = square(224, 224, 0, 0, 9);
    assert!(smaller.overlay(&other, ColorMap::Gray, 0.5).is_err());
}

#[test]
fn a_padded_image_has_a_map_of_its_own_part() {
    // A crop larger than the resized image: 64 rows of which 32 are the image.
    let resize = Resize::ShortSide {
        short_side: 32,
        crop: Some((64, 64)),
        filter: vgg_surgery::preprocess::ResizeFilter::Bilinear,
    };
    let model = brightness(Preprocessing::torchvision().with_resize(resize));
    let explainer = Explainer::new(&model).unwrap();
    let image = square(128, 64, 90, 20, 16);
    let heat = explainer.grad_cam("relu", &image, 0).unwrap();
    assert_eq!((heat.height(), heat.width()), (64, 64));
    let [x, y] = middle(&heat.spread_over(&image).unwrap());
    assert!(
        (x - 98.0).abs() < 2.0 && (y - 28.0).abs() < 2.0,
        "({x}, {y})"
    );
}

#[test]
fn a_map_of_another_image_is_refused() {
    let model = brightness(Preprocessing::torchvision());
    let explainer = Explainer::new(&model).unwrap();
    let image = square(600, 400, 160, 220, 40);
    let x = Preprocessing::torchvision().apply(&image).unwrap();
    let of_image = explainer.grad_cam("relu", &image, 0).unwrap();
    let of_tensor = explainer.grad_cam("relu", &x, 0).unwrap();
    assert_eq!(of_image.values(), of_tensor.values());
    for (heat, other) in [
        (&of_image, square(400, 600, 0, 0, 9)),
        (&of_tensor, image.clone()),
    ] {
        let error = heat.overlay(&other, ColorMap::Gray, 0.5).unwrap_err();
        assert!(
            matches!(error, Error::Explain(ExplainError::OtherImage { .. })),
            "{error}"
        );
    }
    let seen = Preprocessing::torchvision().fit(&image).unwrap();
    assert!(of_tensor.overlay(&seen, ColorMap::Gray, 0.5).is_ok());
}

#[test]
fn an_overlay_keeps_the_colors_of_a_normalized_map() {
    let black = Image::from_rgb8(3, 1, vec![0; 9]).unwrap();
    let heat = Heatmap::new(1, 3, vec![0.0, 1.0, 4.0]).unwrap();
    let colors = ColorMap::Diverging;
    for normalized in [heat.normalized_about_zero(), heat.normalized_below(0.4)] {
        let overlaid = normalized.overlay(&black, colors, 1.0).unwrap();
        assert_eq!(overlaid, normalized.to_image(colors).unwrap());
    }
    // Zero is white, whatever the range.
    let overlaid = heat.overlay(&black, colors, 1.0).unwrap();
    assert_eq!(overlaid.pixel(0, 0), Some(colors.color(0.5)));
}
