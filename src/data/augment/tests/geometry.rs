use crate::data::augment::tests::{fixtures, image};

use super::*;

#[test]
fn affine_maps_are_pillows() {
    let tensors = fixtures();
    let source = image(&tensors["source"]);
    let size = source.size();
    let mut compared = 0;
    for (name, expected) in &tensors {
        let Some(settings) = name.strip_prefix("affine/") else {
            continue;
        };
        let fields: Vec<&str> = settings.split('/').collect();
        let number = |field: usize| -> f64 { fields[field].parse().unwrap() };
        let fill = match fields[4] {
            "black" => Fill::Black,
            _ => Fill::Color([9, 200, 77]),
        };
        let matrix = inverse_affine(size, number(0), (number(1), number(2)), number(3));
        let mapped = affine(&source, &matrix, fill).unwrap();
        assert_eq!(mapped, image(expected), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

fn row(bytes: [u8; 3]) -> Image {
    let pixels = bytes.into_iter().flat_map(|byte| [byte; 3]);
    Image::from_rgb8(3, 1, pixels.collect::<Vec<_>>()).unwrap()
}

fn reds(image: &Image) -> Vec<u8> {
    image.as_rgb8().iter().step_by(3).copied().collect()
}

#[test]
fn what_comes_in_from_beyond_the_edge_is_as_the_fill_says() {
    let source = row([10, 20, 30]);
    let shifted = |right, fill| reds(&moved(&source, right, 0, fill).unwrap());
    assert_eq!(shifted(2, Fill::Black), [0, 0, 10]);
    assert_eq!(shifted(2, Fill::Color([7; 3])), [7, 7, 10]);
    assert_eq!(shifted(2, Fill::Edge), [10, 10, 10]);
    assert_eq!(shifted(2, Fill::Reflect), [20, 10, 10]);
    assert_eq!(shifted(-2, Fill::Reflect), [30, 30, 20]);
    assert_eq!(shifted(-4, Fill::Reflect), [20, 10, 10]);
    assert_eq!(shifted(1 << 30, Fill::Black), [0, 0, 0]);
    assert_eq!(shifted(1 << 30, Fill::Edge), [10, 10, 10]);
}

#[test]
fn flips_swap_pixels_not_channels() {
    let image = Image::from_rgb8(3, 2, (0..18).collect::<Vec<u8>>()).unwrap();
    let wide = flipped(image.clone()).unwrap();
    assert_eq!(wide.pixel(0, 1), Some([15, 16, 17]));
    assert_eq!(wide.pixel(1, 0), image.pixel(1, 0));
    assert_eq!(wide.pixel(2, 0), Some([0, 1, 2]));
    assert_eq!(flipped(wide).unwrap(), image);
    let tall = flipped_vertically(&image).unwrap();
    assert_eq!(tall.pixel(0, 0), Some([9, 10, 11]));
    assert_eq!(flipped_vertically(&tall).unwrap(), image);
}
