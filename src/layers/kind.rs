use serde::{Deserialize, Serialize};

use super::{
    Activation, AdaptiveAvgPool2d, Add, AvgPool2d, BatchNorm2d, Concat, Conv2d, Custom, Dense,
    Dropout, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, Input, MaxPool2d, Rescale, Rules, Upsample,
    ZeroPad2d,
};

mod sealed {
    pub trait Sealed {}
}

/// The kinds of layer that [`Graph::layer`](crate::Graph::layer) can look up.
pub trait LayerKind: sealed::Sealed {
    /// The kind's name: `"Conv2d"`.
    const KIND: &'static str;

    /// The layer as this kind, if it is of it.
    fn from_layer(layer: &Layer) -> Option<&Self>;
}

macro_rules! layers {
    ($($kind:ident),* $(,)?) => {
        /// A layer of any kind.
        ///
        /// Serializes as `{"kind": "Conv2d", "settings": {..}}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "settings")]
        #[non_exhaustive]
        pub enum Layer {
            $(
                #[doc = concat!("A [`", stringify!($kind), "`](crate::layers::", stringify!($kind), ").")]
                $kind($kind),
            )*
        }

        impl Layer {
            /// The kind's name, as [`Graph::summary`](crate::Graph::summary)
            /// shows it.
            pub fn kind(&self) -> &str {
                if let Self::Custom(custom) = self {
                    return custom.kind();
                }
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                }
            }

            pub(crate) fn rules(&self) -> &dyn Rules {
                match self {
                    $(Self::$kind(layer) => layer,)*
                }
            }
        }

        $(
            impl From<$kind> for Layer {
                fn from(layer: $kind) -> Self {
                    Self::$kind(layer)
                }
            }

            impl sealed::Sealed for $kind {}

            impl LayerKind for $kind {
                const KIND: &'static str = stringify!($kind);

                fn from_layer(layer: &Layer) -> Option<&Self> {
                    match layer {
                        Layer::$kind(layer) => Some(layer),
                        _ => None,
                    }
                }
            }

            impl $kind {
                /// Gives the layer a name.
                pub fn named(self, name: impl Into<String>) -> NamedLayer {
                    NamedLayer::new(name, self)
                }
            }
        )*
    };
}

layers!(
    Input,
    Conv2d,
    MaxPool2d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Dense,
    Flatten,
    Dropout,
    Activation,
    Add,
    Concat,
    Upsample,
    ZeroPad2d,
    Rescale,
    Custom,
);

impl Layer {
    /// What the layer applies to its output; an [`Activation`] is one itself.
    pub fn activation(&self) -> Activation {
        self.rules().activation()
    }

    /// Sets what the layer applies to its output, if its kind can.
    pub(crate) fn set_activation(&mut self, activation: Activation) {
        match self {
            Self::Conv2d(layer) => layer.activation = activation,
            Self::Dense(layer) => layer.activation = activation,
            Self::BatchNorm2d(layer) => layer.activation = activation,
            _ => {}
        }
    }

    /// Makes training compute what evaluation does, if its kind can.
    pub(crate) fn remove_randomness(&mut self) {
        if let Self::Dropout(dropout) = self {
            dropout.rate = 0.0;
        }
    }
}

/// A layer with its name in a graph; without one, the graph
/// makes it up from the kind, as Keras does: `conv2d`, `conv2d_1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedLayer {
    pub(crate) name: Option<String>,
    pub(crate) layer: Layer,
}

impl NamedLayer {
    /// A layer of this name.
    pub fn new(name: impl Into<String>, layer: impl Into<Layer>) -> Self {
        Self {
            name: Some(name.into()),
            layer: layer.into(),
        }
    }
}

impl<L: Into<Layer>> From<L> for NamedLayer {
    fn from(layer: L) -> Self {
        Self {
            name: None,
            layer: layer.into(),
        }
    }
}
