use crate::error::Result;
use crate::graph::{Contract, NodeRef};
use crate::layer::LIMIT;
use crate::model::Model;

use super::channels::{Channels, check_rechannels, rechannel};

impl Model {
    /// Gives a convolution more filters, or a dense layer more features,
    /// without changing what the network computes: filters are repeated in
    /// turn, and what reads them divides their weights among the copies
    /// (Net2WiderNet; Chen, Goodfellow and Shlens 2016).
    ///
    /// Contract: exact. Copies that are trained stay alike unless something
    /// tells them apart, such as dropout.
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
    /// Those of the name; [`Error::IllegalEdit`](crate::Error::IllegalEdit) for
    /// fewer channels than there are or more than 16,777,216, a layer of another
    /// kind or with groups, and where the channels reach an output, a softmax, a
    /// sum or a custom layer;
    /// [`Error::InvalidLayer`](crate::Error::InvalidLayer) for more values than
    /// fit into memory.
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
        let copies = |from: usize| (channels - from).div_ceil(old);
        let widened = Channels {
            from: (0..channels)
                .map(|channel| (channel % old) as u32)
                .collect(),
            share: (0..channels)
                .map(|channel| 1.0 / copies(channel % old) as f32)
                .collect(),
            repeats: channels > old,
        };
        self.redraft(&what, Contract::Exact, |graph, draft| {
            if channels == old {
                return check_rechannels(graph, id);
            }
            rechannel(graph, draft, id, widened)
        })
    }
}
