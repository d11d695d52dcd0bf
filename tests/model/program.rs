use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{Custom, CustomLayer};
use vgg_surgery::{Activation, Conv2d, Dense, Error, Graph, Head, Model, Vgg11Bn};

use crate::{assert_same_bits, built, images, two_blocks, values, whole};

/// Every line: the layers, what is computed, and the size of the output.
#[test]
fn a_program_reads_like_a_plan() {
    let graph = two_blocks()
        .attach(
            Head::new()
                .global_avg_pool2d("pool")
                .dense("out", Dense::new(3).softmax()),
        )
        .unwrap();
    let program = built(graph).program((2, 3, 40, 32)).unwrap();
    let expected = "\
vgg16 for (2, 3, 40, 32)
  block1_conv1               conv2d 3x3, relu (direct)            (2, 4, 40, 32)
  block1_conv2..block1_pool  conv2d 3x3, relu, max pool (direct)  (2, 4, 20, 16)
  block2_conv1               conv2d 3x3, relu (direct)            (2, 8, 20, 16)
  block2_conv2..block2_pool  conv2d 3x3, relu, max pool (direct)  (2, 8, 10, 8)
  pool                       global average pool                  (2, 8)
  out                        dense                                (2, 3)
  out                        softmax                              (2, 3)
";
    assert_eq!(program.to_string(), expected);
    assert_eq!(format!("{program:?}"), expected);
}

#[test]
fn a_program_of_a_size_that_does_not_fit_is_refused() {
    let model = built(whole());
    let error = model.program((1, 4, 32, 32)).unwrap_err();
    assert!(matches!(error, Error::InputShape { .. }), "{error:?}");
    let error = model.program((1, 3, 16, 16)).unwrap_err();
    assert!(matches!(error, Error::InputTooSmall { .. }), "{error:?}");
    assert!(model.program(7).is_err());
}

#[test]
fn batch_norms_are_folded_where_no_gradient_needs_them() {
    let graph = Vgg11Bn::options().widths(16).untrained(1).unwrap();
    let model = built(graph.truncate("block1_pool").unwrap());
    let program = model.program((1, 3, 32, 32)).unwrap().to_string();
    assert!(
        program.contains("conv2d 3x3, batch norm, relu, max pool"),
        "{program}"
    );
}

/// Whoever holds a variable may write to it between two passes.
#[test]
fn a_kept_program_reads_variables_again() {
    let graph = Vgg11Bn::options().widths(16).untrained(1).unwrap();
    let model = built(graph.truncate("block2_pool").unwrap());
    let x = images((1, 3, 16, 16));
    for variable in model.trainable_variables() {
        let before = model.forward(&x).unwrap();
        let changed = (variable.as_detached_tensor() + 0.25).unwrap();
        variable.set(&changed).unwrap();
        let after = model.forward(&x).unwrap();
        assert_ne!(values(&before), values(&after), "{:?}", variable.dims());
        let fresh = model.edit(Ok).unwrap().forward(&x).unwrap();
        assert_same_bits(&after, &fresh, "a new model of the same values");
    }
}

#[test]
fn running_statistics_that_training_moves_are_read_again() {
    let graph = Vgg11Bn::options().widths(16).untrained(1).unwrap();
    let model = built(graph.truncate("block2_pool").unwrap());
    let x = images((4, 3, 16, 16));
    let before = model.forward(&x).unwrap();
    model.forward_training(&x).unwrap();
    let after = model.forward(&x).unwrap();
    assert_ne!(values(&before), values(&after));
    let fresh = model.edit(Ok).unwrap().forward(&x).unwrap();
    assert_same_bits(&after, &fresh, "after a step of training");
}

#[test]
fn freezing_changes_what_training_records() {
    let mut model = built(two_blocks());
    let x = images((1, 3, 16, 16));
    assert!(model.forward_training(&x).unwrap().track_op());
    model.freeze(..).unwrap();
    assert!(!model.forward_training(&x).unwrap().track_op());
    model.unfreeze("block2_conv2").unwrap();
    assert!(model.forward_training(&x).unwrap().track_op());
    assert!(!model.forward(&x).unwrap().track_op());
}

/// More sizes than programs are kept, and back to the first.
#[test]
fn sizes_in_turn_give_what_they_gave() {
    let model = built(two_blocks());
    let sides: Vec<usize> = (8..30).collect();
    let run = |side: &usize| model.forward(&images((1, 3, *side, *side))).unwrap();
    let first: Vec<Tensor> = sides.iter().map(run).collect();
    for (side, expected) in sides.iter().zip(&first) {
        assert_same_bits(&run(side), expected, &format!("side {side}"));
    }
}

#[test]
fn threads_share_a_model() {
    let model = built(two_blocks());
    let inputs: Vec<Tensor> = (0..6).map(|n| images((1 + n % 2, 3, 16, 16 + n))).collect();
    let run = |model: &Model, x: &Tensor| model.forward(x).unwrap();
    let expected: Vec<Tensor> = inputs.iter().map(|x| run(&model, x)).collect();
    let fresh = built(two_blocks());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (x, expected) in inputs.iter().zip(&expected) {
                    assert_same_bits(&run(&fresh, x), expected, "in a thread");
                }
            });
        }
    });
}

#[test]
fn a_batch_of_no_examples_gives_none() {
    let model = built(whole());
    let x = images((0, 3, 32, 32));
    assert_eq!(model.forward(&x).unwrap().dims(), [0, 10]);
    assert_eq!(model.forward_training(&x).unwrap().dims(), [0, 10]);
    let taps = model.taps(["block2_pool"], &x).unwrap();
    assert_eq!(taps.get("block2_pool").unwrap().dims(), [0, 8, 8, 8]);
}

/// A view repeats one image: the input itself takes no memory.
#[test]
fn a_batch_that_does_not_fit_into_memory_is_refused() {
    let image = images((1, 3, 32, 32));
    let graph = Graph::new("relu", (3, 32, 32)).unwrap();
    let relu = built(graph.attach(Activation::Relu.named("relu")).unwrap());
    for model in [relu, built(two_blocks())] {
        for batch in [usize::MAX, 1 << 60, 1 << 45] {
            let x = image.broadcast_as((batch, 3, 32, 32)).unwrap();
            let results = [
                model.forward(&x),
                model.forward_training(&x),
                model.forward_to("input", &x),
            ];
            for result in results {
                let error = result.unwrap_err();
                assert!(error.to_string().contains("smaller batches"), "{error}");
            }
            assert!(model.program((batch, 3, 32, 32)).is_err());
        }
    }
}

/// A layer with a variable of its own, which says `shape` of its output.
#[derive(Debug)]
struct Scale {
    factor: Var,
    shape: Option<Shape>,
}

impl CustomLayer for Scale {
    fn kind(&self) -> &str {
        "Scale"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(self.shape.unwrap_or(inputs[0]))
    }

    fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        inputs[0].broadcast_mul(self.factor.as_tensor())
    }
}

fn scaled(shape: Option<Shape>) -> (Model, Var) {
    let factor = Var::new(&[2f32], &Device::Cpu).unwrap();
    let scale = Scale {
        factor: factor.clone(),
        shape,
    };
    let graph = two_blocks()
        .attach(Custom::new(scale).named("scale"))
        .unwrap();
    (built(graph), factor)
}

#[test]
fn a_custom_layers_own_variable_learns_in_training_alone() {
    let (model, factor) = scaled(None);
    let x = images((1, 3, 16, 16));
    assert!(!model.forward(&x).unwrap().track_op());
    let loss = model.forward_training(&x).unwrap().sum_all().unwrap();
    let gradient = loss.backward().unwrap();
    let sum = (model.forward(&x).unwrap() / 2.0)
        .unwrap()
        .sum_all()
        .unwrap();
    let expected = sum
        .to_dtype(DType::F64)
        .unwrap()
        .to_scalar::<f64>()
        .unwrap();
    let actual = gradient.get(factor.as_tensor()).unwrap();
    let actual = f64::from(actual.to_vec1::<f32>().unwrap()[0]);
    // Two sums of 128 values of the same sign, in f32.
    assert!((actual - expected).abs() <= 128.0 * f64::from(f32::EPSILON) * expected.abs());
}

#[test]
fn a_custom_layer_has_to_say_its_output_size() {
    let (model, _) = scaled(Some(Shape::any_size(8)));
    let error = model.forward(&images((1, 3, 16, 16))).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidLayer { layer, .. } if layer == "scale"),
        "{error:?}"
    );
}

/// Layers whose margins are larger than memory: refused, not allocated.
#[test]
fn margins_that_do_not_fit_into_memory_are_refused() {
    for conv in [
        Conv2d::new(2, 3).dilation(8_388_607).same(),
        Conv2d::new(2, 3).padding(1 << 24).stride(1 << 24),
    ] {
        let graph = Graph::new("g", (3, 32, 32)).unwrap();
        let model = built(graph.attach(conv.named("wide")).unwrap());
        let x = images((1, 3, 32, 32));
        for error in [
            model.forward(&x).unwrap_err(),
            model.forward_training(&x).unwrap_err(),
            model.program((1, 3, 32, 32)).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidLayer { .. }), "{error}");
            assert_eq!(error.layer(), Some("wide"));
            assert!(error.to_string().contains("margins included"), "{error}");
        }
    }
}
