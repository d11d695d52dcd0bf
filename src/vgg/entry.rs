use crate::graph::{Graph, WeightSet};

use super::family;
use super::options::VggOptions;

macro_rules! networks {
    ($($network:ident, $family:ident, $what:literal;)*) => {$(
        #[doc = $what]
        ///
        /// Layers have Keras' names. The names in torchvision, timm and Caffe are
        /// understood wherever a layer is named. The network ends in a softmax over
        /// 1000 classes, and takes `(3, H, W)` of any size from 32x32: an adaptive
        /// pool to 7x7 precedes the dense layers, as in torchvision. [`VggOptions`]
        /// has the other forms.
        #[derive(Clone, Copy, Debug)]
        pub struct $network;

        impl $network {
            /// With torchvision's ImageNet weights. Building the graph downloads
            /// only what it still needs from the hub, which takes the feature
            /// `hub`.
            pub fn pretrained() -> Graph {
                Self::pretrained_from(Self::imagenet_weights())
            }

            /// With custom weights: a path, or any [`WeightSet`]. They are read
            /// when the graph is built. If they have labels, the network has one
            /// class for each label.
            pub fn pretrained_from(weights: impl Into<WeightSet>) -> Graph {
                Self::options()
                    .pretrained_from(weights)
                    .expect("the default options are legal")
            }

            /// With new parameters, drawn from this seed.
            pub fn untrained(seed: u64) -> Graph {
                Self::options()
                    .untrained(seed)
                    .expect("the default options are legal")
            }

            /// The options of Keras' and torchvision's constructors.
            pub fn options() -> VggOptions {
                VggOptions::new(family::$family)
            }

            /// The weights of [`Self::pretrained`]; set a revision to pin them.
            pub fn imagenet_weights() -> WeightSet {
                family::$family.imagenet_weights()
            }
        }
    )*};
}

networks! {
    Vgg11, VGG11, "VGG11: configuration A of Simonyan and Zisserman 2014.";
    Vgg11Bn, VGG11_BN, "VGG11 with batch normalization.";
    Vgg13, VGG13, "VGG13: configuration B of Simonyan and Zisserman 2014.";
    Vgg13Bn, VGG13_BN, "VGG13 with batch normalization.";
    Vgg16, VGG16, "VGG16: configuration D of Simonyan and Zisserman 2014.";
    Vgg16Bn, VGG16_BN, "VGG16 with batch normalization.";
    Vgg19, VGG19, "VGG19: configuration E of Simonyan and Zisserman 2014.";
    Vgg19Bn, VGG19_BN, "VGG19 with batch normalization.";
}
