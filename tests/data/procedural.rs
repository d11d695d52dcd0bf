use std::collections::BTreeSet;

use vgg_surgery::data::{Motif, ProceduralDataset};
use vgg_surgery::error::{DataError, ImageError};
use vgg_surgery::{Dataset, Error};

use crate::{assert_data_error, class, image};

#[test]
fn motifs_are_many_and_some_are_held_out() {
    let names: BTreeSet<&str> = Motif::ALL.iter().map(|motif| motif.name()).collect();
    assert_eq!(names.len(), Motif::ALL.len());
    let (trained, held_out) = (Motif::trained_on(), Motif::HELD_OUT);
    assert!(trained.len() >= 20 && held_out.len() >= 4);
    assert_eq!(trained.len() + held_out.len(), Motif::ALL.len());
    assert!(held_out.iter().all(|motif| !trained.contains(motif)));
}

#[test]
fn the_same_seed_gives_the_same_images() {
    let data = |seed| {
        let data = ProceduralDataset::new(Motif::ALL, 2).unwrap();
        data.size(16).seed(seed)
    };
    let (a, b, c) = (data(1), data(1), data(2));
    assert_eq!(a.len(), 2 * Motif::ALL.len());
    for index in 0..a.len() {
        let shown = image(a.sample(index).unwrap());
        assert_eq!((shown.width(), shown.height()), (16, 16));
        assert_eq!(shown, image(b.sample(index).unwrap()));
        assert_ne!(shown, image(c.sample(index).unwrap()));
        assert_eq!(a.fingerprint(index), b.fingerprint(index));
        assert_ne!(a.fingerprint(index), c.fingerprint(index));
    }
    let (first, second) = (a.sample(0).unwrap(), a.sample(Motif::ALL.len()).unwrap());
    assert_eq!(class(&first), class(&second));
    assert_ne!(image(first), image(second));
}

/// The image of one motif does not depend on the other motifs.
#[test]
fn classes_follow_the_motifs_in_turn() {
    let data = ProceduralDataset::new([Motif::Disc, Motif::Dots, Motif::Star], 4).unwrap();
    let labels = data.classes().unwrap();
    assert_eq!(labels.find("dots"), [1]);
    assert_eq!(data.motifs()[2], Motif::Star);
    for index in 0..12 {
        let expected = index % 3;
        assert_eq!(data.class_of(index), Some(expected));
        assert_eq!(class(&data.sample(index).unwrap()), expected);
    }
    let beyond = DataError::IndexOutOfRange { index: 12, len: 12 };
    assert_data_error(data.sample(12), &beyond);
    assert_eq!(data.class_of(12), None);
}

/// Shapes cover some of the image, and no texture is a single color.
#[test]
fn every_motif_shows() {
    let data = ProceduralDataset::new(Motif::ALL, 8)
        .unwrap()
        .size(32)
        .seed(4);
    for index in 0..data.len() {
        let shown = image(data.sample(index).unwrap());
        let light: Vec<f64> = shown
            .as_rgb8()
            .chunks_exact(3)
            .map(|pixel| pixel.iter().map(|&byte| f64::from(byte)).sum::<f64>() / 3.0)
            .collect();
        let mean = light.iter().sum::<f64>() / light.len() as f64;
        let variance = light.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / light.len() as f64;
        let motif = data.motifs()[index % data.motifs().len()];
        // The grain alone has at most 0.12 * 255 / sqrt(6) = 12.5 in each
        // channel, 7.2 in their mean.
        assert!(variance.sqrt() > 7.3, "{motif:?}: {}", variance.sqrt());
    }
}

#[test]
fn nothing_to_show_is_an_error() {
    assert_data_error(ProceduralDataset::new([], 3), &DataError::Empty);
    assert_data_error(ProceduralDataset::new([Motif::Disc], 0), &DataError::Empty);
    let data = |size| ProceduralDataset::new([Motif::Disc], 1).unwrap().size(size);
    for size in [0, usize::MAX] {
        let error = data(size).sample(0).unwrap_err();
        assert!(
            matches!(error, Error::Image(ImageError::Size { .. })),
            "{error}"
        );
    }
}
