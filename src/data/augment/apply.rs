use rand::Rng;

use crate::data::mask::Mask;
use crate::data::random::{Purpose, stream};
use crate::error::Result;
use crate::preprocess::{Image, Preprocessing, Resize, ResizeFilter};
use crate::random::shuffle;

use super::color::{Change, add_noise, paint};
use super::draw;
use super::geometry::{affine, flipped, flipped_vertically, inverse_affine, moved};
use super::settings::{Augmentation, Crop, Fill};

impl Augmentation {
    /// The image as the network sees it before normalization: augmented with
    /// this seed, and resized as the preprocessing says. Mixup, which needs a
    /// batch, is not applied.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting); the
    /// errors of [`Preprocessing::fit`].
    pub fn apply(&self, image: &Image, preprocessing: &Preprocessing, seed: u64) -> Result<Image> {
        self.check()?;
        let mut rng = stream(Purpose::Augmentation, seed, 0, 0);
        self.apply_with(image, preprocessing, &mut rng)
    }

    /// As [`Augmentation::apply`], for settings that were checked.
    pub(in crate::data) fn apply_with(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        rng: &mut impl Rng,
    ) -> Result<Image> {
        let image = self.moved(image, preprocessing, ResizeFilter::Bilinear, rng)?;
        let size = image.size();
        let mut bytes = image.into_rgb8();
        self.recolor(&mut bytes, rng);
        if self.noise > 0.0 {
            add_noise(&mut bytes, self.noise * 255.0, rng);
        }
        if let Some(erasing) = &self.erasing
            && happens(erasing.probability, rng)
            && let Some(part) = draw::erased(size, &erasing.area, &erasing.aspect, rng)
        {
            paint(&mut bytes, size.width, &part, preprocessing.mean_color());
        }
        Image::from_rgb8(size.width, size.height, bytes)
    }

    /// The mask as [`apply_with`](Self::apply_with) moves its image: the first
    /// random numbers decide, and they depend on the size alone.
    pub(in crate::data) fn apply_to_mask(
        &self,
        mask: &Mask,
        preprocessing: &Preprocessing,
        rng: &mut impl Rng,
    ) -> Result<Mask> {
        let fill = match self.fill {
            Fill::Color(_) => Fill::Black,
            other => other,
        };
        let own = Self {
            fill,
            ..self.clone()
        };
        match mask.filter() {
            Some(filter) => {
                let preprocessing = preprocessing.clone().with_filter(filter);
                mask.moved(|image| own.moved(image, &preprocessing, filter, rng))
            }
            None => {
                mask.moved(|image| own.moved(image, preprocessing, ResizeFilter::Bilinear, rng))
            }
        }
    }

    /// What changes the position of pixels. The filter is that of affine
    /// transforms.
    fn moved(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        filter: ResizeFilter,
        rng: &mut impl Rng,
    ) -> Result<Image> {
        let mut image = self.cropped(image, preprocessing, filter, rng)?;
        if happens(self.flip, rng) {
            image = flipped(image)?;
        }
        if happens(self.vertical_flip, rng) {
            image = flipped_vertically(&image)?;
        }
        self.transformed(image, filter, rng)
    }

    fn cropped(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        filter: ResizeFilter,
        rng: &mut impl Rng,
    ) -> Result<Image> {
        match &self.crop {
            Crop::None => preprocessing.fit(image),
            &Crop::Padded(padding) => {
                let image = preprocessing.fit(image)?;
                // No image is 2^30 pixels wide: any larger shift is the same.
                let padding = i64::try_from(padding).unwrap_or(i64::MAX).min(1 << 30);
                let mut offset = || rng.random_range(-padding..=padding);
                let (right, down) = (offset(), offset());
                moved(&image, right, down, self.fill)
            }
            Crop::Resized { area, aspect } => {
                let whole = image.size();
                let part = draw::resized_crop(whole, area, aspect, rng);
                let cropped = image.crop(part.x, part.y, part.width, part.height)?;
                match (preprocessing.resize(), preprocessing.size()) {
                    (Resize::None, _) => cropped.resize(whole.width, whole.height, filter),
                    (resize, Some((height, width))) => {
                        cropped.resize(width, height, resize.filter())
                    }
                    (_, None) => preprocessing.fit(&cropped),
                }
            }
        }
    }

    /// Rotation, shift and zoom in one affine transform.
    fn transformed(&self, image: Image, filter: ResizeFilter, rng: &mut impl Rng) -> Result<Image> {
        let size = image.size();
        let mut within = |bound: f64| draw::uniform(&(-bound..=bound), rng);
        let degrees = within(self.rotation);
        let shift_x = within(self.shift.0 * size.width as f64).round_ties_even();
        let shift_y = within(self.shift.1 * size.height as f64).round_ties_even();
        let zoom = draw::uniform(&self.zoom, rng);
        if (degrees, shift_x, shift_y, zoom) == (0.0, 0.0, 0.0, 1.0) {
            return Ok(image);
        }
        let matrix = inverse_affine(size, degrees, (shift_x, shift_y), zoom);
        affine(&image, &matrix, self.fill, filter)
    }

    fn recolor(&self, bytes: &mut [u8], rng: &mut impl Rng) {
        let mut changes = [
            (Change::Brightness, self.brightness),
            (Change::Contrast, self.contrast),
            (Change::Saturation, self.saturation),
        ];
        shuffle(&mut changes, rng);
        for (change, strength) in changes {
            if strength > 0.0 {
                change.apply(bytes, draw::jitter(strength, rng));
            }
        }
    }
}

fn happens(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}
