//! The canonical layer names as constants, so that a misspelled one does not
//! compile.

macro_rules! names {
    ($($family:ident: $($constant:ident = $name:literal),*;)*) => {$(
        #[doc = concat!("The layer names of ", stringify!($family), ".")]
        pub mod $family {
            /// Where images enter.
            pub const INPUT: &str = "input";
            $(
                #[doc = concat!("The layer `", $name, "`.")]
                pub const $constant: &str = $name;
            )*
            /// The adaptive pool of torchvision's classifier.
            pub const AVGPOOL: &str = "avgpool";
            /// The map as a vector.
            pub const FLATTEN: &str = "flatten";
            /// The first hidden dense layer.
            pub const FC1: &str = "fc1";
            /// The second hidden dense layer.
            pub const FC2: &str = "fc2";
            /// The dense layer of the classes.
            pub const PREDICTIONS: &str = "predictions";

            #[cfg(test)]
            pub(super) const ALL: &[&str] = &[
                INPUT, $($constant,)* AVGPOOL, FLATTEN, FC1, FC2, PREDICTIONS,
            ];
        }
    )*};
}

names! {
    vgg11:
        BLOCK1_CONV1 = "block1_conv1", BLOCK1_POOL = "block1_pool",
        BLOCK2_CONV1 = "block2_conv1", BLOCK2_POOL = "block2_pool",
        BLOCK3_CONV1 = "block3_conv1", BLOCK3_CONV2 = "block3_conv2", BLOCK3_POOL = "block3_pool",
        BLOCK4_CONV1 = "block4_conv1", BLOCK4_CONV2 = "block4_conv2", BLOCK4_POOL = "block4_pool",
        BLOCK5_CONV1 = "block5_conv1", BLOCK5_CONV2 = "block5_conv2", BLOCK5_POOL = "block5_pool";
    vgg13:
        BLOCK1_CONV1 = "block1_conv1", BLOCK1_CONV2 = "block1_conv2", BLOCK1_POOL = "block1_pool",
        BLOCK2_CONV1 = "block2_conv1", BLOCK2_CONV2 = "block2_conv2", BLOCK2_POOL = "block2_pool",
        BLOCK3_CONV1 = "block3_conv1", BLOCK3_CONV2 = "block3_conv2", BLOCK3_POOL = "block3_pool",
        BLOCK4_CONV1 = "block4_conv1", BLOCK4_CONV2 = "block4_conv2", BLOCK4_POOL = "block4_pool",
        BLOCK5_CONV1 = "block5_conv1", BLOCK5_CONV2 = "block5_conv2", BLOCK5_POOL = "block5_pool";
    vgg16:
        BLOCK1_CONV1 = "block1_conv1", BLOCK1_CONV2 = "block1_conv2", BLOCK1_POOL = "block1_pool",
        BLOCK2_CONV1 = "block2_conv1", BLOCK2_CONV2 = "block2_conv2", BLOCK2_POOL = "block2_pool",
        BLOCK3_CONV1 = "block3_conv1", BLOCK3_CONV2 = "block3_conv2",
        BLOCK3_CONV3 = "block3_conv3", BLOCK3_POOL = "block3_pool",
        BLOCK4_CONV1 = "block4_conv1", BLOCK4_CONV2 = "block4_conv2",
        BLOCK4_CONV3 = "block4_conv3", BLOCK4_POOL = "block4_pool",
        BLOCK5_CONV1 = "block5_conv1", BLOCK5_CONV2 = "block5_conv2",
        BLOCK5_CONV3 = "block5_conv3", BLOCK5_POOL = "block5_pool";
    vgg19:
        BLOCK1_CONV1 = "block1_conv1", BLOCK1_CONV2 = "block1_conv2", BLOCK1_POOL = "block1_pool",
        BLOCK2_CONV1 = "block2_conv1", BLOCK2_CONV2 = "block2_conv2", BLOCK2_POOL = "block2_pool",
        BLOCK3_CONV1 = "block3_conv1", BLOCK3_CONV2 = "block3_conv2",
        BLOCK3_CONV3 = "block3_conv3", BLOCK3_CONV4 = "block3_conv4", BLOCK3_POOL = "block3_pool",
        BLOCK4_CONV1 = "block4_conv1", BLOCK4_CONV2 = "block4_conv2",
        BLOCK4_CONV3 = "block4_conv3", BLOCK4_CONV4 = "block4_conv4", BLOCK4_POOL = "block4_pool",
        BLOCK5_CONV1 = "block5_conv1", BLOCK5_CONV2 = "block5_conv2",
        BLOCK5_CONV3 = "block5_conv3", BLOCK5_CONV4 = "block5_conv4", BLOCK5_POOL = "block5_pool";
}

#[cfg(test)]
mod tests {
    use crate::graph::Graph;
    use crate::vgg::{Vgg11, Vgg13, Vgg16, Vgg19};

    #[test]
    fn constants_are_the_names_of_the_layers() {
        let names = |graph: &Graph| -> Vec<String> {
            graph.nodes().map(|node| node.name().to_string()).collect()
        };
        assert_eq!(names(&Vgg11::untrained(0)), super::vgg11::ALL);
        assert_eq!(names(&Vgg13::untrained(0)), super::vgg13::ALL);
        assert_eq!(names(&Vgg16::untrained(0)), super::vgg16::ALL);
        assert_eq!(names(&Vgg19::untrained(0)), super::vgg19::ALL);
    }
}
