use std::process::Command;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::Error;

use crate::{assert_passes_in, built, two_blocks};

/// Each layer's output fits into 4 GB, but not all of them. The process was killed.
#[test]
#[cfg(target_os = "linux")]
fn a_pass_whose_gradients_need_too_much_is_refused() {
    const LIMITED: &str = "VGG_SURGERY_TEST_LIMITED";
    if std::env::var_os(LIMITED).is_some() {
        let mut model = built(two_blocks());
        // Values that are repeated take no memory.
        let x = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let x = x.broadcast_as((16, 3, 2048, 2048)).unwrap();
        match model.forward_training(&x).unwrap_err() {
            Error::InvalidLayer { layer, reason } => {
                assert_eq!(layer, "block1_conv1..block2_pool");
                assert!(reason.contains("a batch of 16 do not fit"), "{reason}");
            }
            other => panic!("{other}"),
        }
        model.freeze(..).unwrap();
        assert!(model.program(x.dims()).is_ok());
        return;
    }
    let name = "memory::a_pass_whose_gradients_need_too_much_is_refused";
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 4000000 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(LIMITED, "1");
    assert_passes_in(&mut limited);
}
