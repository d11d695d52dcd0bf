use crate::error::Result;
use crate::graph::{Contract, NodeRef};
use crate::layers::LIMIT;
use crate::model::Model;

use super::channels::{Channels, check_rechannels, rechannel};

impl Model {
    /// Gives a convolution more filters, or a dense layer more features,
    /// without changing what the network computes. Filters are repeated in
    /// turn, and the layers that read them divide their weights among the copies
    /// (Net2WiderNet; Chen, Goodfellow and Shlens 2016).
    ///
    /// Contract: exact. Copies stay equal in training, unless dropout or another
    /// random layer separates them.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let wider = model.widen("block1_conv1", 10)?;
    /// assert_eq!(wider.graph().node("block1_conv1")?.shape().channels(), 10);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`](crate::Graph::node);
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) for fewer channels than
    /// there are or more than 16,777,216, for a layer of another kind or with
    /// groups, and if the channels reach an output, a softmax, a sum or a custom
    /// layer; [`Error::InvalidLayer`](crate::Error::InvalidLayer) for more values
    /// than fit into memory.
    pub fn widen(&self, layer: impl NodeRef, channels: usize) -> Result<Self> {
        let id = layer.pick(self.graph())?.id;
        let what = format!("widen({}, {channels})", layer.in_words(self.graph()));
        let old = self.graph().node(id)?.shape().channels();
        if !(old..=LIMIT).contains(&channels) {
            let reason = match channels < old {
                true => format!("{channels} channels are fewer than its {old}"),
                false => format!("{channels} channels are too many; {LIMIT} is the limit"),
            };
            return Err(self.graph().illegal(id, &reason));
        }
        let originals = (0..channels).map(|channel| channel % old);
        let copies = |original: usize| (channels - original).div_ceil(old);
        let widened = Channels {
            from: originals.clone().map(|original| original as u32).collect(),
            share: originals
                .map(|original| 1.0 / copies(original) as f32)
                .collect(),
            repeats: channels > old,
        };
        self.redraft(&what, Contract::Exact, |draft| match channels == old {
            true => check_rechannels(draft, id),
            false => rechannel(draft, id, widened),
        })
    }
}
