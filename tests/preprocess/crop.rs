//! The crop from the middle.

use vgg_surgery::preprocess::{Resize, ResizeFilter};
use vgg_surgery::{Image, Preprocessing};

#[test]
fn a_center_crop_keeps_the_short_side_or_fits_it_to_the_crop() {
    let of = |preprocessing: Preprocessing, filter| {
        let Resize::ShortSide {
            short_side,
            crop: Some(crop),
            filter: found,
        } = preprocessing.with_center_crop(200, 160).resize()
        else {
            panic!("no crop");
        };
        assert_eq!((crop, found), ((200, 160), filter));
        short_side
    };
    let (bilinear, nearest) = (ResizeFilter::Bilinear, ResizeFilter::Nearest);
    assert_eq!(of(Preprocessing::torchvision(), bilinear), 256);
    assert_eq!(of(Preprocessing::caffe(), nearest), 200);
    assert_eq!(of(Preprocessing::new(), bilinear), 200);
    let image = Image::from_rgb8(40, 30, vec![77; 3 * 40 * 30]).unwrap();
    let x = Preprocessing::new().with_center_crop(8, 6);
    assert_eq!(x.apply(&image).unwrap().dims(), [1, 3, 8, 6]);
}
