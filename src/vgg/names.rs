//! The layer names as constants: a misspelled name does not compile.

/// Defines modules of names. A module that is `with` another also has its names.
macro_rules! names {
    ($($family:ident $(with $smaller:ident)?:
        $($constant:ident = $name:literal $($what:literal)?),*;)*) => {$(
        #[doc = concat!("The layer names of ", stringify!($family), ".")]
        pub mod $family {
            $(
                #[doc(inline)]
                pub use super::$smaller::*;
            )?
            $(
                #[doc = concat!("The layer `", $name, "`", $(": ", $what,)? ".")]
                pub const $constant: &str = $name;
            )*
        }
    )*};
}

names! {
    vgg11:
        INPUT = "input" "where images enter",
        BLOCK1_CONV1 = "block1_conv1", BLOCK1_POOL = "block1_pool",
        BLOCK2_CONV1 = "block2_conv1", BLOCK2_POOL = "block2_pool",
        BLOCK3_CONV1 = "block3_conv1", BLOCK3_CONV2 = "block3_conv2", BLOCK3_POOL = "block3_pool",
        BLOCK4_CONV1 = "block4_conv1", BLOCK4_CONV2 = "block4_conv2", BLOCK4_POOL = "block4_pool",
        BLOCK5_CONV1 = "block5_conv1", BLOCK5_CONV2 = "block5_conv2", BLOCK5_POOL = "block5_pool",
        AVGPOOL = "avgpool" "the adaptive pool of torchvision's classifier",
        FLATTEN = "flatten" "the last feature map as a vector",
        FC1 = "fc1" "the first hidden dense layer",
        FC2 = "fc2" "the second hidden dense layer",
        PREDICTIONS = "predictions" "the dense layer of the classes";
    vgg13 with vgg11:
        BLOCK1_CONV2 = "block1_conv2", BLOCK2_CONV2 = "block2_conv2";
    vgg16 with vgg13:
        BLOCK3_CONV3 = "block3_conv3", BLOCK4_CONV3 = "block4_conv3", BLOCK5_CONV3 = "block5_conv3";
    vgg19 with vgg16:
        BLOCK3_CONV4 = "block3_conv4", BLOCK4_CONV4 = "block4_conv4", BLOCK5_CONV4 = "block5_conv4";
}
