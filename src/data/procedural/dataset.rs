use crate::data::dataset::{Dataset, check_index};
use crate::data::random::{Purpose, stream};
use crate::data::sample::Sample;
use crate::error::{DataError, Error, Result};
use crate::preprocess::Labels;
use crate::random::hash;

use super::motif::Motif;
use super::paint::image;

/// Images of textures and shapes, computed on demand, with their classes.
///
/// Each has random colors, contrast, angle, scale, position, grain and light.
/// The same seed produces the same images on every machine.
///
/// ```
/// use vgg_surgery::data::{Motif, ProceduralDataset};
/// use vgg_surgery::Dataset;
///
/// let motifs = [Motif::Bricks, Motif::Wood, Motif::Heart];
/// let images = ProceduralDataset::new(motifs, 20)?.size(32).seed(7);
/// assert_eq!(images.len(), 60);
/// assert_eq!(images.classes().unwrap().get(1).unwrap().name, "wood");
/// assert_eq!(images.class_of(4), Some(1));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ProceduralDataset {
    motifs: Vec<Motif>,
    classes: Labels,
    per_class: usize,
    size: usize,
    seed: u64,
}

impl ProceduralDataset {
    /// `per_class` images of 64x64 pixels of each motif. The motifs are the
    /// classes, in this order. They alternate: image `i` has the class `i` modulo the
    /// number of motifs.
    ///
    /// # Errors
    /// [`DataError::Empty`] if there are no images.
    pub fn new(motifs: impl Into<Vec<Motif>>, per_class: usize) -> Result<Self> {
        let motifs = motifs.into();
        if motifs.is_empty() || per_class == 0 {
            return Err(Error::Data(DataError::Empty));
        }
        Ok(Self {
            classes: Motif::labels(&motifs),
            motifs,
            per_class,
            size: 64,
            seed: 0,
        })
    }

    /// Sets the height and width of the images, in pixels; 64 by default.
    pub fn size(mut self, pixels: usize) -> Self {
        self.size = pixels;
        self
    }

    /// Sets the seed; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The motifs, in the order of the classes.
    pub fn motifs(&self) -> &[Motif] {
        &self.motifs
    }

    fn motif(&self, index: usize) -> Motif {
        self.motifs[index % self.motifs.len()]
    }
}

impl Dataset for ProceduralDataset {
    fn len(&self) -> usize {
        self.motifs.len().saturating_mul(self.per_class)
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        let motif = self.motif(index);
        let mut rng = stream(Purpose::Synthesis, self.seed, index as u64, motif as u64);
        let image = image(motif, self.size, &mut rng)?;
        Ok(Sample::new(image, index % self.motifs.len()))
    }

    fn classes(&self) -> Option<&Labels> {
        Some(&self.classes)
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        (index < self.len()).then(|| index % self.motifs.len())
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        let class = (index % self.motifs.len()) as u64;
        let numbers = [self.seed, index as u64, self.size as u64, class];
        let numbers = numbers.into_iter().flat_map(u64::to_le_bytes);
        Some(hash(numbers.chain(self.motif(index).name().bytes())))
    }
}
