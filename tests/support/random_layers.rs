use vgg_surgery::layers::{Sequential, ZeroPad2d};
use vgg_surgery::{Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense};

/// Layers for random edits: of the numbers 0 to 6 without dense layers and groups, of 7
/// and 8 with them.
pub fn some_layers(number: usize) -> Sequential {
    match number {
        0 => Conv2d::new(4, 3).same().relu().into(),
        1 => Conv2d::new(3, (1, 2)).stride((1, 2)).into(),
        2 => AvgPool2d::new(2).into(),
        3 => BatchNorm2d::new().relu().into(),
        4 => Activation::Tanh.into(),
        5 => [Conv2d::new(5, 1), Conv2d::new(4, 3).same().gelu()].into(),
        6 => ZeroPad2d::new(1).into(),
        7 => Dense::new(3).relu().into(),
        _ => Conv2d::new(4, 3).same().dilation(2).groups(2).into(),
    }
}
