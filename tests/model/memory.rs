use std::process::Command;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::Error;
use vgg_surgery::error::ImageError;
use vgg_surgery::graph::Shape;
use vgg_surgery::model::BuildOptions;

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

/// What the plan says for one example is what a pass is refused for.
#[test]
fn a_limit_on_memory_is_the_number_of_the_plan() {
    let graph = two_blocks().input((3, 16, 12)).unwrap();
    let needed = 3 * graph.plan().activation_bytes.unwrap();
    let limited = |bytes| {
        let options = BuildOptions::new().memory_limit(bytes);
        let graph = graph.clone().freeze_all();
        graph.build_with(&Device::Cpu, &options).unwrap()
    };
    let x = Tensor::zeros((3, 3, 16, 12), DType::F32, &Device::Cpu).unwrap();
    limited(needed).forward(&x).unwrap();
    let refusing = limited(needed - 1);
    let edited = refusing.edit(|graph| graph.unfreeze(..)).unwrap();
    for refused in [refusing.forward(&x), edited.forward_training(&x)] {
        match refused.unwrap_err() {
            Error::Image(ImageError::NetworkMemory {
                batch,
                input,
                limit,
                ..
            }) => {
                assert_eq!((batch, input), (3, Shape::map(3, 16, 12)));
                assert_eq!(limit, needed - 1);
            }
            other => panic!("{other}"),
        }
    }
    let less = x.narrow(0, 0, 2).unwrap();
    refusing.forward(&less).unwrap();
}
