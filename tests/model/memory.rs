use std::process::Command;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::ImageError;
use vgg_surgery::graph::Shape;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{Error, Graph, Model};

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

fn limited(graph: &Graph, dtype: DType, bytes: u64) -> Model {
    let options = BuildOptions::new().dtype(dtype).memory_limit(bytes);
    graph.clone().build_with(&Device::Cpu, &options).unwrap()
}

fn assert_refused<T>(result: vgg_surgery::Result<T>, expected: (usize, u64)) {
    match result.map(drop).unwrap_err() {
        Error::Image(ImageError::NetworkMemory {
            batch,
            input,
            needed,
            limit,
        }) => {
            assert_eq!((batch, needed), expected);
            assert_eq!((input, limit), (Shape::map(3, 16, 12), needed - 1));
        }
        other => panic!("{other}"),
    }
}

/// What the plan says for one example, of which f64 takes twice as much. On the CPU,
/// f16 is computed in f32.
#[test]
fn a_limit_on_memory_is_the_number_of_the_plan() {
    let graph = two_blocks().input((3, 16, 12)).unwrap();
    let plan = graph.plan();
    let frozen = graph.clone().freeze_all();
    for (dtype, size) in [(DType::F16, 1), (DType::F32, 1), (DType::F64, 2)] {
        let x = Tensor::zeros((3, 3, 16, 12), dtype, &Device::Cpu).unwrap();
        let needed = 3 * size * plan.activation_bytes.unwrap();
        limited(&frozen, dtype, needed).forward(&x).unwrap();
        let refusing = limited(&frozen, dtype, needed - 1);
        assert_refused(refusing.forward(&x), (3, needed));
        refusing.forward(&x.narrow(0, 0, 2).unwrap()).unwrap();
        // A gradient keeps all values.
        let needed = 3 * size * plan.training_activation_bytes.unwrap();
        let allowing = limited(&graph, dtype, needed);
        allowing.forward_training(&x).unwrap();
        let refusing = limited(&graph, dtype, needed - 1);
        assert_refused(refusing.forward_training(&x), (3, needed));
        refusing.forward(&x).unwrap();
    }
}

#[test]
fn edits_keep_the_limit_on_memory() {
    let graph = two_blocks().input((3, 16, 12)).unwrap().freeze_all();
    let needed = graph.plan().activation_bytes.unwrap();
    let model = limited(&graph, DType::F32, needed - 1);
    let x = Tensor::zeros((1, 3, 16, 12), DType::F32, &Device::Cpu).unwrap();
    let edited = model.edit(|graph| graph.rename("block1_conv1", "first"));
    for model in [
        edited.unwrap(),
        model.fold_batch_norm().unwrap(),
        model.clone(),
    ] {
        assert_refused(model.forward(&x), (1, needed));
    }
    let freed = BuildOptions::new().memory_limit(needed);
    let freed = model.edit_with(&freed, Ok).unwrap();
    freed.forward(&x).unwrap();
}
