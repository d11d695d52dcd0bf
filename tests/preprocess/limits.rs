//! How much memory an image may take that is made from another.

use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::ResizeFilter;
use vgg_surgery::{Error, Image, Preprocessing};

fn gray(width: usize, height: usize) -> Image {
    Image::from_rgb8(width, height, vec![77; 3 * width * height]).unwrap()
}

#[test]
fn what_is_made_from_an_image_has_its_limit() {
    let limit = 3 * 16 * 16;
    let image = gray(10, 10).with_memory_limit(limit);
    let filters = [ResizeFilter::Nearest, ResizeFilter::Bicubic];
    for filter in filters {
        let made = image.resize(16, 16, filter).unwrap();
        let made = made.crop(0, 0, 8, 8).unwrap();
        assert_eq!((made.memory_limit(), made.width()), (limit, 8));
        let squash = Preprocessing::caffe().with_filter(filter).with_size(16, 17);
        for error in [
            image.resize(17, 16, filter).unwrap_err(),
            image.resize(100_000, 100_000, filter).unwrap_err(),
            squash.apply(&image).unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::Image(ImageError::Memory { limit: 768, .. })),
                "{error}"
            );
        }
    }
    // The width is resized first, to 1 x 20 pixels.
    let wide = gray(100, 20).with_memory_limit(59);
    let error = wide.resize(1, 1, ResizeFilter::Bilinear).unwrap_err();
    assert!(
        matches!(error, Error::Image(ImageError::Memory { needed: 60, .. })),
        "{error}"
    );
    assert!(wide.resize(1, 1, ResizeFilter::Nearest).is_ok());
    let error = gray(3, 3).resize(100_000, 100_000, ResizeFilter::Bilinear);
    assert!(matches!(
        error,
        Err(Error::Image(ImageError::Memory {
            limit: 536_870_912,
            ..
        }))
    ));
}

/// 844 TB, whatever the machine.
#[test]
fn a_batch_beyond_memory_is_refused_before_it_is_resized() {
    let image = gray(1, 1);
    let batch = vec![&image; 1 << 20];
    let error = Preprocessing::caffe()
        .with_size(1 << 13, 1 << 13)
        .apply_batch(&batch)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Image(ImageError::BatchMemory {
                batch: 0x10_0000,
                width: 8192,
                height: 8192
            })
        ),
        "{error}"
    );
}
