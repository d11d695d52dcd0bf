//! Laws of resizing.

use proptest::prelude::*;
use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::{Resize, ResizeFilter};
use vgg_surgery::{Error, Image, Preprocessing};

use crate::FILTERS;

fn any_filter() -> impl Strategy<Value = ResizeFilter> {
    prop::sample::select(&FILTERS[..])
}

/// An image of noise, up to 40 pixels a side.
fn any_image() -> impl Strategy<Value = Image> {
    (1usize..40, 1usize..40).prop_flat_map(|(width, height)| {
        prop::collection::vec(any::<u8>(), 3 * width * height)
            .prop_map(move |bytes| Image::from_rgb8(width, height, bytes).unwrap())
    })
}

proptest! {
    #[test]
    fn a_resize_to_the_same_size_changes_nothing(source in any_image(), filter in any_filter()) {
        let (width, height) = (source.width(), source.height());
        prop_assert_eq!(&source.resize(width, height, filter).unwrap(), &source);
        let squash = Preprocessing::caffe().with_size(height, width).with_filter(filter);
        prop_assert_eq!(&squash.fit(&source).unwrap(), &source);
    }

    #[test]
    fn one_color_stays_one_color(
        color in any::<[u8; 3]>(),
        (width, height) in (1usize..60, 1usize..60),
        (new_width, new_height) in (1usize..60, 1usize..60),
        filter in any_filter(),
    ) {
        let source = Image::from_rgb8(width, height, color.repeat(width * height)).unwrap();
        let resized = source.resize(new_width, new_height, filter).unwrap();
        prop_assert_eq!(resized.into_rgb8(), color.repeat(new_width * new_height));
    }

    #[test]
    fn a_crop_of_the_resized_image_is_what_fit_computes(
        source in any_image(),
        short_side in 1usize..50,
        cut in 0usize..20,
        filter in any_filter(),
    ) {
        let resize = |crop| Preprocessing::new().with_resize(Resize::ShortSide { short_side, crop, filter });
        let whole = resize(None).fit(&source).unwrap();
        let height = whole.height().saturating_sub(2 * cut).max(whole.height() % 2).max(1);
        let width = whole.width().saturating_sub(2 * cut).max(whole.width() % 2).max(1);
        prop_assume!((whole.height() - height) % 2 == 0 && (whole.width() - width) % 2 == 0);
        let (x, y) = ((whole.width() - width) / 2, (whole.height() - height) / 2);
        let fitted = resize(Some((height, width))).fit(&source).unwrap();
        prop_assert_eq!(fitted, whole.crop(x, y, width, height).unwrap());
    }

    #[test]
    fn any_size_gives_an_image_of_it_or_an_error(
        source in any_image(),
        short_side in prop_oneof![0usize..300, any::<usize>()],
        crop in prop_oneof![(0usize..300, 0usize..300), any::<(usize, usize)>()],
        filter in any_filter(),
    ) {
        let preprocessing = Preprocessing::new().with_resize(Resize::ShortSide {
            short_side,
            crop: Some(crop),
            filter,
        });
        match preprocessing.fit(&source) {
            Ok(fitted) => prop_assert_eq!((fitted.height(), fitted.width()), crop),
            Err(
                Error::Image(ImageError::Size { .. } | ImageError::Memory { .. })
                | Error::InvalidPreprocessing { .. },
            ) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
