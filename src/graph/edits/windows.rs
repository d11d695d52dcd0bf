use crate::error::Result;
use crate::layers::{AvgPool2d, Conv2d, IntoPair, Layer, MaxPool2d, Padding, Pooling};

use super::super::context::Claim;
use super::super::context::EditContext;
use super::super::core::Graph;
use super::super::ledger::Contract;
use super::super::node::NodeId;
use super::super::select::{NodeRef, Select};

/// Edits of windows that slide over feature maps. Weights are kept.
impl Graph {
    /// Makes pools average or max pools with the same window, stride and padding.
    ///
    /// Contract: approximate; exact for pools that are already of this kind.
    ///
    /// ```
    /// use vgg_surgery::layers::Pooling;
    /// use vgg_surgery::{AvgPool2d, Vgg16};
    ///
    /// let graph = Vgg16::pretrained().swap_pool(["pool1", "pool2"], Pooling::Average)?;
    /// let pool: &AvgPool2d = graph.layer("block1_pool")?;
    /// assert_eq!(pool.stride, (2, 2));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the selection; [`Error::IllegalEdit`](crate::Error::IllegalEdit)
    /// for layers that are no pools.
    pub fn swap_pool(self, layers: impl Select, kind: Pooling) -> Result<Self> {
        let selection = layers.select(&self)?;
        let word = match kind {
            Pooling::Average => "average",
            Pooling::Max => "max",
        };
        let what = format!("swap_pool({}, {word})", selection.words);
        self.edit(what, Claim::Inferred, |graph| {
            for pick in &selection.picks {
                let (kernel_size, stride, padding) = match graph.expect_node(pick.id).layer() {
                    Layer::MaxPool2d(pool) => (pool.kernel_size, pool.stride, pool.padding),
                    Layer::AvgPool2d(pool) => (pool.kernel_size, pool.stride, pool.padding),
                    _ => return Err(graph.illegal(pick.id, "it is no pool with a window")),
                };
                let pool: Layer = match kind {
                    Pooling::Average => {
                        let pool = AvgPool2d::new(kernel_size).stride(stride);
                        pool.padding(padding).into()
                    }
                    Pooling::Max => {
                        let pool = MaxPool2d::new(kernel_size).stride(stride);
                        pool.padding(padding).into()
                    }
                };
                graph.set_layer(pick.id, pool);
            }
            Ok(())
        })
    }

    /// Sets the stride of a convolution or a pool, and changes no layer after it.
    /// Its output becomes denser or sparser.
    ///
    /// Contract: approximate. [`Graph::dilate`] also adapts the layers after it.
    ///
    /// ```
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::pretrained().without_top()?.input((3, 224, 224))?;
    /// let denser = graph.change_stride("block4_pool", 1)?;
    /// assert_eq!(denser.output_shapes()[0].size(), Some((13, 13)));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`]; [`Error::IllegalEdit`](crate::Error::IllegalEdit) for
    /// a layer without a stride; the errors of shapes.
    pub fn change_stride(self, layer: impl NodeRef, stride: impl IntoPair) -> Result<Self> {
        let id = layer.pick(&self)?.id;
        let stride = stride.pair();
        let what = format!("change_stride({}, {stride:?})", layer.in_words(&self));
        self.edit(what, Claim::Inferred, |graph| graph.set_stride(id, stride))
    }

    /// Sets the stride of a pool or a convolution to 1, and dilates the
    /// convolutions after it by the old stride. Features become denser and
    /// weights still fit (the atrous algorithm; Holschneider 1989, Chen et al.
    /// 2015).
    ///
    /// Contract: exact. In the layers after it, values at multiples of the old
    /// stride stay the same, and the values between them are new.
    ///
    /// ```
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let graph = Vgg16::pretrained()
    ///     .truncate("block5_conv3")?
    ///     .input((3, 224, 224))?
    ///     .dilate("block4_pool")?;
    /// assert_eq!(graph.layer::<Conv2d>("block5_conv1")?.dilation, (2, 2));
    /// assert_eq!(graph.output_shapes()[0].size(), Some((27, 27)));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`]; [`Error::IllegalEdit`](crate::Error::IllegalEdit) for
    /// a layer without a stride or with margins that depend on the size of its
    /// input, and if a layer after it is none of these: a convolution of stride 1
    /// with equal margins, an activation, a norm, a sum, a concatenation or a
    /// dropout.
    pub fn dilate(self, layer: impl NodeRef) -> Result<Self> {
        let id = layer.pick(&self)?.id;
        let what = format!("dilate({})", layer.in_words(&self));
        self.edit(what, Claim::Is(Contract::Exact), |graph| {
            let window = graph.expect_node(id).layer().rules().window();
            graph.set_stride(id, (1, 1))?;
            if window.padding == Padding::Same && window.stride != (1, 1) {
                let reason = "its margins depend on the size of its input; give it padding in \
                              numbers first";
                return Err(graph.illegal(id, reason));
            }
            let denser = graph.descendants(id);
            for next in graph.followers(id) {
                let inputs = graph.expect_node(next).inputs();
                let wholly = inputs.iter().all(|input| denser.contains(input));
                graph.spread(next, window.stride, wholly)?;
            }
            Ok(())
        })
    }
}

impl EditContext {
    fn set_stride(&mut self, id: NodeId, stride: (usize, usize)) -> Result<()> {
        let moves = self.change_layer(id, |layer| {
            match layer {
                Layer::Conv2d(conv) => conv.stride = stride,
                Layer::MaxPool2d(pool) => pool.stride = stride,
                Layer::AvgPool2d(pool) => pool.stride = stride,
                _ => return false,
            }
            true
        });
        if moves {
            return Ok(());
        }
        Err(self.illegal(id, "it does not move in steps"))
    }

    fn spread(&mut self, id: NodeId, by: (usize, usize), wholly: bool) -> Result<()> {
        let fits = self.change_layer(id, |layer| match layer {
            Layer::Conv2d(conv) if conv.stride == (1, 1) => {
                spread_filters(conv, by);
                let (height, width) = conv.kernel_size;
                let is_even = height % 2 == 0 || width % 2 == 0;
                !(is_even && conv.padding == Padding::Same)
            }
            Layer::Add(_) | Layer::Concat(_) => wholly,
            layer => layer.rules().is_elementwise(),
        });
        if fits {
            return Ok(());
        }
        let reason = "it follows, and can't be spread; cut the network before it";
        Err(self.illegal(id, reason))
    }
}

fn spread_filters(conv: &mut Conv2d, by: (usize, usize)) {
    // Margins count pixels, which are closer together now.
    if let Padding::Explicit(margins) = &mut conv.padding {
        margins.top = margins.top.saturating_mul(by.0);
        margins.bottom = margins.bottom.saturating_mul(by.0);
        margins.left = margins.left.saturating_mul(by.1);
        margins.right = margins.right.saturating_mul(by.1);
    }
    conv.dilation.0 = conv.dilation.0.saturating_mul(by.0);
    conv.dilation.1 = conv.dilation.1.saturating_mul(by.1);
}
