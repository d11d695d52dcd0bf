//! What writes files, each in two versions that are always the same bytes.

use std::path::Path;

use vgg_surgery::{History, Model, Result};

use crate::small;

/// What there is to write, in two versions.
pub struct Material {
    models: [Model; 2],
    histories: [History; 2],
}

impl Material {
    /// Writes a base for deltas to the folder.
    pub fn new(folder: &Path) -> Self {
        let base = folder.join("base.safetensors");
        if !base.exists() {
            small::built(&small::graph(None)).save(&base).unwrap();
        }
        let models = [0.0, 1.0].map(|more| {
            let model = small::built(&small::graph(Some(&base)));
            for variable in model.trainable_variables() {
                variable
                    .set(&(variable.as_tensor() + more).unwrap())
                    .unwrap();
            }
            model
        });
        // The time that it took is in a trained model too.
        let histories = [1, 2].map(|epochs| {
            let mut model = small::built(&small::graph(None));
            let mut trainer = small::plain(&mut model);
            trainer.set_epochs(epochs);
            let history = trainer.fit_without_validation(&small::data());
            let mut history = history.unwrap();
            let times = history.epochs.iter_mut();
            times.for_each(|epoch| epoch.seconds = 0.0);
            history
        });
        Self { models, histories }
    }
}

type Write = fn(&Material, usize, &Path) -> Result<()>;

pub struct Writer {
    pub file: &'static str,
    pub write: Write,
}

const fn writer(file: &'static str, write: Write) -> Writer {
    Writer { file, write }
}

pub const WRITERS: &[Writer] = &[
    writer("model.safetensors", |of, version, path| {
        of.models[version].save(path)
    }),
    writer("delta.safetensors", |of, version, path| {
        of.models[version].save_delta(path)
    }),
    writer("model.onnx", |of, version, path| {
        of.models[version].export_onnx(path)
    }),
    writer("history.csv", |of, version, path| {
        of.histories[version].save_csv(path)
    }),
    writer("history.json", |of, version, path| {
        of.histories[version].save_json(path)
    }),
    writer("history.svg", |of, version, path| {
        of.histories[version].save_plot(path)
    }),
    #[cfg(feature = "image")]
    writer("image.png", |_, version, path| {
        let pixels = vec![version as u8; 3 * 64 * 64];
        vgg_surgery::Image::from_rgb8(64, 64, pixels)?.save(path)
    }),
];
