use crate::graph::WeightSet;
use crate::preprocess::{Labels, Preprocessing};

/// Filters in each block (Simonyan and Zisserman 2014, table 1).
pub(super) const FILTERS: [usize; 5] = [64, 128, 256, 512, 512];

/// Features of the two hidden dense layers.
pub(super) const HIDDEN: usize = 4096;

/// Classes of ImageNet.
pub(super) const CLASSES: usize = 1000;

/// Height and width of the feature map that the classifier takes.
pub(super) const TOP_SIZE: usize = 7;

/// Height and width of the images that the networks were trained on.
pub(super) const IMAGE_SIZE: usize = 224;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// Convolutions in each block.
    pub(super) convolutions: [usize; 5],
    pub(super) batch_norm: bool,
    repository: &'static str,
    /// The hash of the repository's `model.safetensors`, if known.
    sha256: Option<&'static str>,
}

impl Family {
    /// torchvision's ImageNet weights, from the hub.
    pub(super) fn imagenet_weights(&self) -> WeightSet {
        let weights = WeightSet::hub(self.repository)
            .preprocessing(Preprocessing::torchvision())
            .labels(Labels::imagenet())
            .license("BSD-3-Clause");
        match self.sha256 {
            Some(sha256) => weights.sha256(sha256),
            None => weights,
        }
    }
}

macro_rules! families {
    ($($constant:ident: $name:literal, $convolutions:expr, $batch_norm:literal, $sha256:expr;)*) => {
        $(
            pub(super) const $constant: Family = Family {
                name: $name,
                convolutions: $convolutions,
                batch_norm: $batch_norm,
                repository: concat!("timm/", $name, ".tv_in1k"),
                sha256: $sha256,
            };
        )*
    };
}

families! {
    VGG11: "vgg11", [1, 1, 2, 2, 2], false,
        Some("682c023808812148d4e60c76d80ad83dbeaf5d50eb1a952a0b836895003151e5");
    VGG11_BN: "vgg11_bn", [1, 1, 2, 2, 2], true, None;
    VGG13: "vgg13", [2, 2, 2, 2, 2], false, None;
    VGG13_BN: "vgg13_bn", [2, 2, 2, 2, 2], true, None;
    VGG16: "vgg16", [2, 2, 3, 3, 3], false,
        Some("57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8");
    VGG16_BN: "vgg16_bn", [2, 2, 3, 3, 3], true,
        Some("88bbedbc8e780413736db38ac4efd41b06fc0e93fd5b8879b584bba63a950129");
    VGG19: "vgg19", [2, 2, 4, 4, 4], false,
        Some("11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669");
    VGG19_BN: "vgg19_bn", [2, 2, 4, 4, 4], true, None;
}
