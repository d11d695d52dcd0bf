use crate::graph::{Graph, WeightSet};

use super::family;
use super::options::VggOptions;

macro_rules! networks {
    ($($network:ident, $family:ident, $what:literal;)*) => {$(
        #[doc = $what]
        ///
        /// Layers have Keras' names; torchvision's, timm's and Caffe's are
        /// understood wherever a layer is named. The network ends in a softmax
        /// over 1000 classes, and takes `(3, H, W)` of any size from 32x32:
        /// before the dense layers an adaptive pool to 7x7 stands, as in
        /// torchvision. [`VggOptions`] has the other forms.
        #[derive(Clone, Copy, Debug)]
        pub struct $network;

        impl $network {
            /// With ImageNet weights as torchvision trained them, to be fetched
            /// from the hub when the graph is built, and then only as far as
            /// the graph still needs them. Needs the feature `hub` then.
            pub fn pretrained() -> Graph {
                Self::pretrained_from(Self::imagenet_weights())
            }

            /// With your own weights: a path, or any [`WeightSet`]. They
            /// are read when the graph is built. If they have labels, the
            /// network has as many classes.
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

            /// Where [`Self::pretrained`] finds its weights; choose a revision
            /// to pin them.
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
