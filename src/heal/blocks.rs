use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::graph::{Graph, NodeId, Pick};
use crate::layer::Layer;
use crate::model::Model;
use crate::preprocess::Picture;

use super::lessons::Lessons;
use super::seam::{same_value, twin};

/// How near a network's values at the end of a block are to another's.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BlockR2 {
    /// The layer whose value it is: the last before a pool, or an output.
    pub layer: String,
    /// One minus the squared error over the squared deviation from the mean of
    /// the other network's values: 1 if they are the same, 0 if they are no
    /// nearer than that mean.
    pub r2: f64,
}

/// The end of a block, in two networks.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) layer: String,
    pub(super) new: Pick,
    pub(super) old: Pick,
}

impl Model {
    /// How near this network's values are to another's at the end of each
    /// block (before every pool that both have, and at the outputs), all
    /// pictures taken together. They are preprocessed as this network asks
    /// for.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Picture, Preprocessing, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).no_top().untrained(0)?;
    /// let graph = graph.with_preprocessing(Preprocessing::caffe().with_size(32, 32));
    /// let model = graph.build(&Device::Cpu)?;
    /// let bytes: Vec<u8> = (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect();
    /// let blocks = model.block_r2(&model, &[Picture::from_rgb8(64, 64, bytes)?])?;
    /// assert_eq!(blocks[0].layer, "block1_conv2");
    /// assert!(blocks.iter().all(|block| block.r2 == 1.0));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`PictureError::EmptyBatch`](crate::PictureError::EmptyBatch)(crate::Error::Picture(PictureError::EmptyBatch)) without pictures;
    /// [`Error::Unsupported`](crate::Error::Unsupported) without a
    /// preprocessing; those of the preprocessing and of [`Model::forward`].
    pub fn block_r2(&self, other: &Model, pictures: &[Picture]) -> Result<Vec<BlockR2>> {
        let lessons = Lessons::new(pictures, self.graph().input_preprocessing()?, 0)?;
        measure(self, other, &ends(self.graph(), other.graph()), &lessons)
    }
}

/// The ends of blocks that two networks have, in the order of the new one.
pub(super) fn ends(new: &Graph, old: &Graph) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    let mut push = |id: NodeId, old: Option<Pick>| {
        let Some(old) = old.filter(|_| !ends.iter().any(|end| end.new.id == id)) else {
            return;
        };
        ends.push(End {
            layer: new.expect_node(id).name().to_string(),
            new: Pick::whole(id),
            old,
        });
    };
    for pool in new.nodes().filter(|node| is_pool(node.layer())) {
        let twin = twin(pool, old).filter(|twin| is_pool(twin.layer()));
        push(
            pool.inputs()[0],
            twin.map(|twin| Pick::whole(twin.inputs()[0])),
        );
    }
    for (&id, &other) in new.outputs().iter().zip(old.outputs()) {
        let node = new.expect_node(id);
        if !is_pool(node.layer()) {
            let same = same_value(new, id, old);
            push(id, same.or(Some(Pick::whole(other))));
        }
    }
    ends.retain(|end| new.expect_node(end.new.id).shape() == old.expect_node(end.old.id).shape());
    ends
}

fn is_pool(layer: &Layer) -> bool {
    matches!(layer, Layer::MaxPool2d(_) | Layer::AvgPool2d(_))
}

/// Sums over one block's values.
#[derive(Clone, Debug, Default)]
struct Sums {
    count: f64,
    error: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, new: &Tensor, old: &Tensor) -> Result<()> {
        let (new, old) = (numbers(new)?, numbers(old)?);
        for (&new, &old) in new.iter().zip(&old) {
            let (new, old) = (f64::from(new), f64::from(old));
            self.error += (new - old) * (new - old);
            self.sum += old;
            self.squares += old * old;
        }
        self.count += old.len() as f64;
        Ok(())
    }

    fn r2(&self) -> f64 {
        if self.error == 0.0 {
            return 1.0;
        }
        1.0 - self.error / (self.squares - self.sum * self.sum / self.count)
    }
}

/// The numbers of a value; maps that lie channels last come in that order.
fn numbers(value: &Tensor) -> Result<Vec<f32>> {
    let value = value.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let value = if value.rank() == 4 {
        value.permute((0, 2, 3, 1))?
    } else {
        value
    };
    Ok(value.flatten_all()?.to_vec1()?)
}

pub(super) fn measure(
    new: &Model,
    old: &Model,
    ends: &[End],
    lessons: &Lessons<'_>,
) -> Result<Vec<BlockR2>> {
    let mut sums = vec![Sums::default(); ends.len()];
    let news: Vec<Pick> = ends.iter().map(|end| end.new).collect();
    let olds: Vec<Pick> = ends.iter().map(|end| end.old).collect();
    for index in 0..lessons.len() {
        let x = lessons.whole(index)?;
        let news = new.run(&x.to_device(new.device())?, &news, false)?;
        let olds = old.run(&x.to_device(old.device())?, &olds, false)?;
        for (sums, (new, old)) in sums.iter_mut().zip(news.iter().zip(&olds)) {
            sums.add(new, old)?;
        }
    }
    let rows = ends.iter().zip(&sums).map(|(end, sums)| BlockR2 {
        layer: end.layer.clone(),
        r2: sums.r2(),
    });
    Ok(rows.collect())
}
