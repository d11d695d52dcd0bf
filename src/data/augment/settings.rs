use std::ops::RangeInclusive;

use crate::error::{Result, require};

/// Random changes to images, drawn for each example in each epoch.
///
/// The order is fixed: crop, flips, one affine transform for rotation, shift
/// and zoom, then brightness, contrast and saturation in random order, noise,
/// erasing, and mixup of the batch. The changes work on 8-bit images at the
/// network's size. Only [`resized_crop`](Self::resized_crop) works on the
/// original image, in place of the preprocessing's resize.
///
/// The changes depend on the seed, the epoch and the example's index. Examples
/// that are tensors can only be mixed. A [`Mask`](super::super::Mask) moves with its image; changes
/// that move an image are refused if the target is a map of values, because the
/// map would not move.
///
/// ```
/// use vgg_surgery::{Augmentation, Image, Preprocessing};
///
/// let augmentation = Augmentation::new()
///     .resized_crop(0.5..=1.0, 0.75..=1.33)
///     .flip(0.5)
///     .rotation(10.0)
///     .brightness(0.2);
/// let image = Image::from_rgb8(40, 30, vec![128; 40 * 30 * 3])?;
/// let preprocessing = Preprocessing::torchvision().with_size(32, 32);
/// let seen = augmentation.apply(&image, &preprocessing, 7)?;
/// assert_eq!((seen.width(), seen.height()), (32, 32));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Augmentation {
    pub(super) crop: Crop,
    pub(super) flip: f64,
    pub(super) vertical_flip: f64,
    pub(super) rotation: f64,
    pub(super) shift: (f64, f64),
    pub(super) zoom: RangeInclusive<f64>,
    pub(super) fill: Fill,
    pub(super) brightness: f64,
    pub(super) contrast: f64,
    pub(super) saturation: f64,
    pub(super) noise: f64,
    pub(super) erasing: Option<Erasing>,
    pub(in crate::data) mixup: Option<f64>,
}

/// Pixels beyond the edge of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fill {
    /// Black, the default of torchvision.
    #[default]
    Black,
    /// One color: red, green, blue.
    Color([u8; 3]),
    /// The nearest pixel of the edge; Keras' `nearest`.
    Edge,
    /// The mirrored image, `(d c b a | a b c d | d c b a)`; Keras' `reflect`.
    Reflect,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Crop {
    None,
    Padded(usize),
    Resized {
        area: RangeInclusive<f64>,
        aspect: RangeInclusive<f64>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Erasing {
    pub(super) probability: f64,
    pub(super) area: RangeInclusive<f64>,
    pub(super) aspect: RangeInclusive<f64>,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self::new()
    }
}

impl Augmentation {
    /// No change.
    pub const fn new() -> Self {
        Self {
            crop: Crop::None,
            flip: 0.0,
            vertical_flip: 0.0,
            rotation: 0.0,
            shift: (0.0, 0.0),
            zoom: 1.0..=1.0,
            fill: Fill::Black,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            noise: 0.0,
            erasing: None,
            mixup: None,
        }
    }

    /// Crops a random fraction of the `area` (above 0, at most 1) with a random
    /// `aspect` (width over height, drawn logarithmically), and resizes it to
    /// the network's size, or the image's size if the preprocessing does not
    /// resize. torchvision's `RandomResizedCrop`, whose defaults are 0.08 to 1
    /// and 3/4 to 4/3. Replaces [`padded_crop`](Self::padded_crop).
    pub fn resized_crop(mut self, area: RangeInclusive<f64>, aspect: RangeInclusive<f64>) -> Self {
        self.crop = Crop::Resized { area, aspect };
        self
    }

    /// Pads each side of the resized image with this many pixels of the
    /// [`fill`](Self::fill), and crops a random part of the former size.
    /// torchvision's `RandomCrop(size, padding)`. Replaces
    /// [`resized_crop`](Self::resized_crop).
    pub fn padded_crop(mut self, padding: usize) -> Self {
        self.crop = Crop::Padded(padding);
        self
    }

    /// Swaps left and right with this probability, 0 to 1. torchvision's
    /// `RandomHorizontalFlip`.
    pub fn flip(mut self, probability: f64) -> Self {
        self.flip = probability;
        self
    }

    /// Swaps top and bottom with this probability, 0 to 1. torchvision's
    /// `RandomVerticalFlip`.
    pub fn vertical_flip(mut self, probability: f64) -> Self {
        self.vertical_flip = probability;
        self
    }

    /// Rotates around the center by up to this many degrees (0 to 180) either
    /// way. torchvision's `RandomAffine(degrees)`, bilinear.
    pub fn rotation(mut self, degrees: f64) -> Self {
        self.rotation = degrees;
        self
    }

    /// Shifts by up to these fractions (0 to 1) of width and height either way,
    /// in whole pixels. torchvision's `RandomAffine(translate=(x, y))`.
    pub fn shift(mut self, x: f64, y: f64) -> Self {
        self.shift = (x, y);
        self
    }

    /// Enlarges by a factor from this range, above 0. torchvision's
    /// `RandomAffine(scale)`, bilinear.
    pub fn zoom(mut self, factor: RangeInclusive<f64>) -> Self {
        self.zoom = factor;
        self
    }

    /// Sets the pixels beyond the edge; black by default.
    pub fn fill(mut self, fill: Fill) -> Self {
        self.fill = fill;
        self
    }

    /// Multiplies all values by a factor between `1 - strength` (at least 0)
    /// and `1 + strength`. torchvision's `ColorJitter(brightness)` on Pillow's
    /// images.
    pub fn brightness(mut self, strength: f64) -> Self {
        self.brightness = strength;
        self
    }

    /// Blends with the mean gray, by a factor drawn as for
    /// [`brightness`](Self::brightness). torchvision's `ColorJitter(contrast)`.
    pub fn contrast(mut self, strength: f64) -> Self {
        self.contrast = strength;
        self
    }

    /// Blends with the image in gray, by a factor drawn as for
    /// [`brightness`](Self::brightness). torchvision's
    /// `ColorJitter(saturation)`.
    pub fn saturation(mut self, strength: f64) -> Self {
        self.saturation = strength;
        self
    }

    /// Adds normal noise to each value and clips. `sigma` is the standard
    /// deviation as a fraction of the full range. torchvision's
    /// `GaussianNoise(sigma)`.
    pub fn noise(mut self, sigma: f64) -> Self {
        self.noise = sigma;
        self
    }

    /// With this probability, paints a random rectangle in the mean color of
    /// the preprocessing. It covers a fraction of the `area` (0 to 1) and has an
    /// `aspect` of height over width, drawn logarithmically. torchvision's
    /// `RandomErasing(p, scale, ratio)`, whose defaults are 0.5, 0.02 to 0.33
    /// and 0.3 to 3.3.
    pub fn erasing(
        mut self,
        probability: f64,
        area: RangeInclusive<f64>,
        aspect: RangeInclusive<f64>,
    ) -> Self {
        self.erasing = Some(Erasing {
            probability,
            area,
            aspect,
        });
        self
    }

    /// Mixes inputs, targets and weights of each example with the previous
    /// example of the batch. The example's own fraction is drawn from
    /// Beta(alpha, alpha) for the batch. Classes become fractions, which needs a
    /// data set with named classes. torchvision's `MixUp(alpha)` (Zhang et al.
    /// 2018).
    pub fn mixup(mut self, alpha: f64) -> Self {
        self.mixup = Some(alpha);
        self
    }

    /// Whether single images are changed, apart from mixing.
    pub(in crate::data) fn changes_images(&self) -> bool {
        let unmixed = Self {
            mixup: None,
            fill: Fill::Black,
            ..self.clone()
        };
        unmixed != Self::new()
    }

    /// Whether the contents of an image can move.
    pub(in crate::data) fn moves(&self) -> bool {
        let unmoved = Self {
            crop: self.crop.clone(),
            flip: self.flip,
            vertical_flip: self.vertical_flip,
            rotation: self.rotation,
            shift: self.shift,
            zoom: self.zoom.clone(),
            ..Self::new()
        };
        unmoved != Self::new()
    }

    pub(in crate::data) fn check(&self) -> Result<()> {
        let erasing = self.erasing.as_ref().map_or(0.0, |e| e.probability);
        for (name, value) in [
            ("flip", self.flip),
            ("vertical flip", self.vertical_flip),
            ("shift along x", self.shift.0),
            ("shift along y", self.shift.1),
            ("probability of erasing", erasing),
        ] {
            check(
                name,
                value,
                (0.0..=1.0).contains(&value),
                "is not between 0 and 1",
            )?;
        }
        let reason = "is not between 0 and 180 degrees";
        check(
            "rotation",
            self.rotation,
            (0.0..=180.0).contains(&self.rotation),
            reason,
        )?;
        for (name, value) in [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("noise", self.noise),
        ] {
            let is_legal = (0.0..=f64::MAX).contains(&value);
            check(name, value, is_legal, "is not finite and at least 0")?;
        }
        if let Some(alpha) = self.mixup {
            let is_legal = alpha > 0.0 && alpha.is_finite();
            check("mixup", alpha, is_legal, "is not finite and above 0")?;
        }
        check_range("a zoom", &self.zoom, f64::MAX)?;
        if let Crop::Resized { area, aspect } = &self.crop {
            check_range("a crop's area", area, 1.0)?;
            check_range("a crop's aspect", aspect, f64::MAX)?;
        }
        if let Some(Erasing { area, aspect, .. }) = &self.erasing {
            check_range("an erased area", area, 1.0)?;
            check_range("an erased aspect", aspect, f64::MAX)?;
        }
        Ok(())
    }
}

fn check(name: &str, value: f64, is_legal: bool, reason: &'static str) -> Result<()> {
    require(is_legal, format_args!("a {name} of {value}"), reason)
}

fn check_range(name: &str, range: &RangeInclusive<f64>, most: f64) -> Result<()> {
    let (start, end) = (*range.start(), *range.end());
    let reason = match most {
        1.0 => "is not above 0 and up to 1, or its end comes first",
        _ => "is not finite and above 0, or its end comes first",
    };
    let is_legal = start > 0.0 && start <= end && end <= most;
    require(is_legal, format_args!("{name} of {start} to {end}"), reason)
}
