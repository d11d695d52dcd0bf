//! The devices that the build knows and the machine has.

use candle_core::Device;

/// The CPU; with `cuda` or `metal` also the first GPU, which must be there.
pub fn devices() -> Vec<Device> {
    vec![
        Device::Cpu,
        #[cfg(feature = "cuda")]
        Device::new_cuda(0).expect("the feature cuda is tested on a machine that has it"),
        #[cfg(feature = "metal")]
        Device::new_metal(0).expect("the feature metal is tested on a machine that has it"),
    ]
}
