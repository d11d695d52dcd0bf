//! The names of layers in other libraries, and the keys of their weights.

use crate::graph::{Alias, Layout, Part, WeightKey};

/// A layer's role in the family, which decides its names in other libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A convolution with its ReLU: its block, its place there, torchvision's
    /// index.
    Conv(usize, usize, usize),
    /// A convolution before a batch norm, numbered likewise.
    BareConv(usize, usize, usize),
    /// A batch norm, numbered likewise.
    Norm(usize, usize, usize),
    /// The ReLU after a batch norm, numbered likewise.
    Relu(usize, usize, usize),
    /// The pool of a block, and torchvision's index.
    Pool(usize, usize),
    /// A hidden dense layer, 1 or 2, and whether a dropout layer follows.
    Hidden(usize, bool),
    /// The dropout after a hidden dense layer.
    Dropout(usize),
    /// The dense layer of the classes.
    Predictions,
    Unnamed,
}

/// Torchvision's (and timm's) index of a hidden dense layer in `classifier`.
fn classifier_index(hidden: usize) -> usize {
    (hidden - 1) * 3
}

/// Without a dropout layer, a hidden layer also has the name of torchvision's
/// dropout, which does nothing in evaluation.
fn hidden_names(number: usize, dropout: bool) -> Vec<(String, Part)> {
    use Part::{Activation, Pre, Whole};
    let index = classifier_index(number);
    let mut names = vec![
        (format!("classifier.{index}"), Pre),
        (format!("classifier.{}", index + 1), Activation),
        (format!("pre_logits.fc{number}"), Pre),
        (format!("pre_logits.act{number}"), Activation),
        (format!("fc{}", number + 5), Whole),
        (format!("relu{}", number + 5), Activation),
    ];
    if !dropout {
        names.push((format!("classifier.{}", index + 2), Whole));
    }
    names
}

impl Role {
    pub(super) fn aliases(self) -> Vec<Alias> {
        use Part::{Activation, Pre, Whole};
        let names: Vec<(String, Part)> = match self {
            Self::Conv(block, place, index) => vec![
                (format!("features.{index}"), Pre),
                (format!("features.{}", index + 1), Activation),
                (format!("conv{block}_{place}"), Whole),
                (format!("relu{block}_{place}"), Activation),
            ],
            Self::BareConv(block, place, index) => vec![
                (format!("features.{index}"), Whole),
                (format!("conv{block}_{place}"), Whole),
            ],
            Self::Norm(block, place, index) => vec![
                (format!("features.{index}"), Whole),
                (format!("bn{block}_{place}"), Whole),
            ],
            Self::Relu(block, place, index) => vec![
                (format!("features.{index}"), Whole),
                (format!("relu{block}_{place}"), Whole),
            ],
            Self::Pool(block, index) => vec![
                (format!("features.{index}"), Whole),
                (format!("pool{block}"), Whole),
            ],
            Self::Hidden(number, dropout) => hidden_names(number, dropout),
            Self::Dropout(number) => vec![
                (
                    format!("classifier.{}", classifier_index(number) + 2),
                    Whole,
                ),
                (format!("drop{}", number + 5), Whole),
            ],
            Self::Predictions => vec![
                ("classifier.6".to_string(), Pre),
                ("head.fc".to_string(), Pre),
                ("fc8".to_string(), Pre),
                ("prob".to_string(), Activation),
            ],
            Self::Unnamed => Vec::new(),
        };
        names
            .into_iter()
            .map(|(name, part)| Alias { name, part })
            .collect()
    }

    /// The keys of a parameter: torchvision's and timm's, this crate's, Keras',
    /// then the keys of files that hold a part of the network.
    pub(super) fn weight_keys(
        self,
        layer: &str,
        parameter: &str,
        top_map: (usize, usize, usize),
    ) -> Vec<WeightKey> {
        let mut keys = Vec::new();
        let mut push = |name: String, layout: Layout| keys.push(WeightKey { name, layout });
        match self {
            Self::Conv(.., index) | Self::BareConv(.., index) | Self::Norm(.., index) => {
                push(format!("features.{index}.{parameter}"), Layout::AsIs);
            }
            Self::Hidden(number, _) => {
                let index = classifier_index(number);
                push(format!("classifier.{index}.{parameter}"), Layout::AsIs);
                let layout = self.timm_layout(parameter, top_map);
                push(format!("pre_logits.fc{number}.{parameter}"), layout);
            }
            Self::Predictions => {
                push(format!("classifier.6.{parameter}"), Layout::AsIs);
                push(format!("head.fc.{parameter}"), Layout::AsIs);
            }
            _ => {}
        }
        push(format!("{layer}.{parameter}"), Layout::AsIs);
        if let Some((name, layout)) = self.keras_name(parameter, top_map) {
            push(format!("{layer}/{name}"), layout);
            push(format!("{layer}/{name}:0"), layout);
            push(format!("{layer}/{layer}/{name}:0"), layout);
            push(format!("{layer}.{name}"), layout);
            if let Some(class) = self.keras_class() {
                push(format!("{class}/{name}"), layout);
            }
        }
        for name in self.short_names() {
            push(format!("{name}.{parameter}"), Layout::AsIs);
        }
        keys
    }

    /// Caffe's name as PyTorch users write it, and torchvision's index alone.
    fn short_names(self) -> Vec<String> {
        match self {
            Self::Conv(block, place, index) | Self::BareConv(block, place, index) => {
                vec![format!("conv{block}_{place}"), index.to_string()]
            }
            Self::Norm(block, place, index) => {
                vec![format!("bn{block}_{place}"), index.to_string()]
            }
            Self::Hidden(number, _) => vec![
                format!("fc{}", number + 5),
                classifier_index(number).to_string(),
            ],
            Self::Predictions => vec!["fc8".to_string(), "6".to_string()],
            _ => Vec::new(),
        }
    }

    /// timm's dense layers are convolutions: the first over the whole feature map,
    /// the others 1x1.
    fn timm_layout(
        self,
        parameter: &str,
        (channels, height, width): (usize, usize, usize),
    ) -> Layout {
        match (self, parameter) {
            (Self::Hidden(1, _), "weight") => Layout::DenseAsConv {
                channels,
                height,
                width,
            },
            (_, "weight") => Layout::DenseAsPointwise,
            _ => Layout::AsIs,
        }
    }

    /// What Keras calls a layer without a name: its class and, from the second
    /// on, a number. Weight files of before Keras 3.6 know layers by that alone.
    fn keras_class(self) -> Option<String> {
        let (class, number) = match self {
            Self::Conv(block, _, index) => ("conv2d", (index + 1 - block) / 2),
            Self::BareConv(block, _, index) => ("conv2d", (index + 1 - block) / 3),
            Self::Norm(block, _, index) => ("batch_normalization", (index - block) / 3),
            Self::Hidden(number, _) => ("dense", number - 1),
            Self::Predictions => ("dense", 2),
            _ => return None,
        };
        Some(match number {
            0 => class.to_string(),
            number => format!("{class}_{number}"),
        })
    }

    fn keras_name(
        self,
        parameter: &str,
        (channels, height, width): (usize, usize, usize),
    ) -> Option<(&'static str, Layout)> {
        let kernel = match self {
            Self::Conv(..) | Self::BareConv(..) => Layout::Hwio,
            Self::Hidden(1, _) => Layout::InOutHwc {
                channels,
                height,
                width,
            },
            Self::Hidden(..) | Self::Predictions => Layout::InOut,
            Self::Norm(..) => {
                let name = match parameter {
                    "weight" => "gamma",
                    "bias" => "beta",
                    "running_mean" => "moving_mean",
                    _ => "moving_variance",
                };
                return Some((name, Layout::AsIs));
            }
            _ => return None,
        };
        Some(match parameter {
            "weight" => ("kernel", kernel),
            _ => ("bias", Layout::AsIs),
        })
    }
}
