use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::data::dataset::{Dataset, check_index};
use crate::data::mask::{Mask, MaskKind};
use crate::data::sample::Sample;
use crate::error::{DataError, Error, Result, shown};
use crate::preprocess::{ImageOptions, Labels, Size, open_classes, open_gray};
use crate::random::hash;
use crate::threads;

use super::files::{file_identity, header, images_below, of_file, read};

/// Images and their masks in two folders, for segmentation: `photos/7.jpg`
/// belongs to `masks/7.png`.
///
/// Files belong together if they have the same name, apart from the ending, in
/// the same subfolder. Masks without an image are ignored. A mask holds the class of
/// each pixel, or [fractions]: it is a gray image of 8 bits, or, for classes, also a PNG
/// of 1, 2 or 4 bits or with a palette, whose stored numbers are the classes. Opening
/// reads only names and headers.
///
/// ```no_run
/// use vgg_surgery::data::ImageMaskFolder;
/// use vgg_surgery::{Dataset, Labels};
///
/// let streets = ImageMaskFolder::open("streets/photos", "streets/masks")?
///     .with_classes(Labels::new(["road", "car", "sky"]));
/// let (train, validation) = streets.split(0.8, 7)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// [fractions]: Self::fractions
#[derive(Clone, Debug)]
#[must_use]
pub struct ImageMaskFolder {
    pairs: Vec<Pair>,
    kind: MaskKind,
    ignored: Option<u8>,
    classes: Option<Labels>,
}

#[derive(Clone, Debug)]
struct Pair {
    image: PathBuf,
    mask: PathBuf,
}

impl ImageMaskFolder {
    /// Opens a folder of images and a folder of masks.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder can't be read; [`DataError::EmptyFolder`]
    /// without images; [`DataError::MaskCount`] unless an image has exactly one
    /// mask; [`DataError::MaskSize`] if sizes differ;
    /// [`ImageError::Unreadable`](crate::error::ImageError::Unreadable) or
    /// [`DataError::Image`] if a header is not that of a usable image.
    pub fn open(images: impl AsRef<Path>, masks: impl AsRef<Path>) -> Result<Self> {
        threads::start()?;
        let pairs = pairs(images.as_ref(), masks.as_ref())?;
        // Collecting all results first returns the first pair's error.
        let checked: Vec<_> = pairs.par_iter().map(Pair::check).collect();
        checked.into_iter().collect::<Result<()>>()?;
        Ok(Self {
            pairs,
            kind: MaskKind::Classes,
            ignored: None,
            classes: None,
        })
    }

    /// Reads masks as fractions, from 0 for black to 1 for white, for a network
    /// with one output for each pixel. Masks of black and white, and masks with
    /// soft edges, are of this kind.
    pub fn fractions(mut self) -> Self {
        self.kind = MaskKind::Fractions;
        self
    }

    /// Leaves pixels of this class out of the loss, such as the borders of objects in
    /// PASCAL VOC, which are 255; see [`Mask::ignore_class`].
    pub fn ignore_class(mut self, class: u8) -> Self {
        self.ignored = Some(class);
        self
    }

    /// Names the classes. A pixel of a class without a name is then an error when
    /// its example is used.
    pub fn with_classes(mut self, labels: Labels) -> Self {
        self.classes = Some(labels);
        self
    }

    /// The files of an example: image and mask.
    pub fn paths(&self, index: usize) -> Option<(&Path, &Path)> {
        let pair = self.pairs.get(index)?;
        Some((&pair.image, &pair.mask))
    }

    /// Decodes every image and mask, in parallel, to check that all can be read.
    ///
    /// # Errors
    /// The error of the first pair that can't be read, as in
    /// [`open`](Self::open), which also names a mask that is not gray.
    pub fn verify(&self) -> Result<()> {
        threads::start()?;
        let read: Vec<_> = (0..self.len())
            .into_par_iter()
            .map(|index| self.sample(index).map(drop))
            .collect();
        read.into_iter().collect()
    }
}

/// The images, each with its mask.
fn pairs(images: &Path, masks: &Path) -> Result<Vec<Pair>> {
    let mut masks_of: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
    for mask in images_below(masks)? {
        masks_of.entry(stem(&mask, masks)).or_default().push(mask);
    }
    let found = images_below(images)?;
    if found.is_empty() {
        return Err(Error::Data(DataError::EmptyFolder {
            folder: images.to_path_buf(),
        }));
    }
    let pair = |image: PathBuf| match masks_of.get(&stem(&image, images)).map(Vec::as_slice) {
        Some([mask]) => Ok(Pair {
            image,
            mask: mask.clone(),
        }),
        others => Err(Error::Data(DataError::MaskCount {
            image,
            folder: masks.to_path_buf(),
            masks: others.map_or(0, <[_]>::len),
        })),
    };
    found.into_iter().map(pair).collect()
}

/// A file's path in its folder, without the ending.
fn stem(file: &Path, folder: &Path) -> PathBuf {
    file.strip_prefix(folder).unwrap_or(file).with_extension("")
}

impl Pair {
    fn check(&self) -> Result<()> {
        let plain = ImageOptions::default();
        self.check_sizes(header(&self.image, &plain)?, header(&self.mask, &plain)?)
    }

    fn check_sizes(&self, image: Size, mask: Size) -> Result<()> {
        if image == mask {
            return Ok(());
        }
        Err(Error::Data(DataError::MaskSize {
            image: shown(&self.image),
            expected: (image.height, image.width),
            mask: (mask.height, mask.width),
        }))
    }
}

impl Dataset for ImageMaskFolder {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        let (pair, plain) = (&self.pairs[index], ImageOptions::default());
        let image = read(&pair.image, &plain)?;
        let mask = match self.kind {
            MaskKind::Classes => open_classes(&pair.mask, &plain),
            MaskKind::Fractions => open_gray(&pair.mask, &plain),
        };
        let mask = mask.map_err(|error| of_file(&pair.mask, error))?;
        pair.check_sizes(image.size(), mask.size())?;
        let mask = Mask::new(mask, self.kind).ignoring(self.ignored);
        Ok(Sample::new(image, mask))
    }

    fn classes(&self) -> Option<&Labels> {
        self.classes.as_ref()
    }

    /// A hash of path, length and modification time of both files, and of how
    /// the mask is read.
    fn fingerprint(&self, index: usize) -> Option<u64> {
        let pair = self.pairs.get(index)?;
        let image = file_identity(&pair.image)?.into_iter();
        let mask = file_identity(&pair.mask)?;
        Some(hash(
            image
                .chain(mask)
                .chain(self.ignored)
                .chain([self.kind as u8]),
        ))
    }
}
