use candle_core::{Device, Tensor};

use crate::error::{DataError, Error, Result, require};
use crate::graph::NodeRef;
use crate::memory::has_room;
use crate::model::Model;

use super::dataset::Dataset;
use super::loader::Loader;

impl Model {
    /// The output of a layer for each example of a data set: `(N, ..)` on the
    /// CPU, in the data set's order and the model's type.
    ///
    /// Images are preprocessed as the weights require. As in
    /// [`Model::forward_to`], dropout does nothing, and `layer` may be a name of
    /// any dialect. A layer after a pool saves memory.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    /// use vgg_surgery::data::{Motif, ProceduralDataset};
    ///
    /// let model = Vgg16::nano().input((3, 32, 32))?.build(&Device::Cpu)?;
    /// let images = ProceduralDataset::new([Motif::Bricks, Motif::Heart], 3)?;
    /// let features = model.features(&images, "block4_pool")?;
    /// assert_eq!(features.dims(), [6, 64, 2, 2]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Empty`]; [`Error::InvalidSetting`] if all features together
    /// do not fit into memory; the errors of [`Loader::epoch`] and
    /// [`Model::forward_to`].
    pub fn features(&self, dataset: &dyn Dataset, layer: impl NodeRef) -> Result<Tensor> {
        let count = dataset.len();
        let mut all: Option<Tensor> = None;
        let mut first = 0;
        Loader::for_model(dataset, self).ahead(0, |batches| {
            for batch in batches {
                let part = self.forward_to(&layer, &batch?.inputs)?.detach();
                let part = part.to_device(&Device::Cpu)?.contiguous()?;
                let rows = match &all {
                    Some(rows) => rows,
                    None => all.insert(empty_rows(count, &part)?),
                };
                rows.slice_set(&part, 0, first)?;
                first += part.dim(0)?;
            }
            all.ok_or(Error::Data(DataError::Empty))
        })
    }
}

/// Space for `count` rows of the shape of a row of `part`.
fn empty_rows(count: usize, part: &Tensor) -> Result<Tensor> {
    let row = &part.dims()[1..];
    let values = row
        .iter()
        .try_fold(count, |values, &side| values.checked_mul(side));
    require(
        values.is_some_and(has_room::<f32>),
        format_args!("features {row:?} of {count} examples"),
        "do not fit into memory; choose a layer with a smaller output",
    )?;
    Ok(Tensor::zeros(
        [&[count], row].concat(),
        part.dtype(),
        &Device::Cpu,
    )?)
}
