use candle_core::{DType, Device, Module, ModuleT, Tensor};
use vgg_surgery::graph::{NodeId, Shape};
use vgg_surgery::layers::{Add, Concat, Rescale, Upsample};
use vgg_surgery::{Error, Graph, Model};

use crate::{
    assert_close, assert_error, assert_same_bits, built, images, two_blocks, values, whole,
};

#[test]
fn taps_of_every_dialect() {
    let model = built(whole());
    let x = images((2, 3, 32, 32));
    let names = [
        "block3_conv3",
        "conv3_3",
        "relu3_3",
        "features.15",
        "features.14",
        "block3_conv3:pre",
        "conv3_3:pre",
        "pool3",
        "features.16",
        "block3_pool",
        "fc6",
        "classifier.1",
        "classifier.0",
        "pre_logits.fc1",
        "prob",
        "fc8",
    ];
    let taps = model.taps(names, &x).unwrap();
    let asked: Vec<&str> = taps.iter().map(|(name, _)| name).collect();
    assert_eq!(asked, names);
    let tap = |name: &str| taps.get(name).unwrap();
    for name in ["conv3_3", "relu3_3", "features.15"] {
        assert_same_bits(tap(name), tap("block3_conv3"), name);
    }
    for name in ["block3_conv3:pre", "conv3_3:pre"] {
        assert_same_bits(tap(name), tap("features.14"), name);
    }
    for (before, after) in [("features.14", "block3_conv3"), ("classifier.0", "fc6")] {
        assert!(values(tap(before)).iter().any(|&v| v < 0.0));
        assert_same_bits(&tap(before).relu().unwrap(), tap(after), after);
    }
    for name in ["features.16", "block3_pool"] {
        assert_same_bits(tap(name), tap("pool3"), name);
    }
    assert_same_bits(tap("pre_logits.fc1"), tap("classifier.0"), "timm");
    let softmax = candle_nn::ops::softmax(tap("fc8"), 1).unwrap();
    assert_same_bits(&softmax, tap("prob"), "softmax");
    assert_same_bits(tap("prob"), &model.forward(&x).unwrap(), "the output");
    assert!(taps.get("nowhere").is_none());
    assert_eq!(taps.into_vec().len(), names.len());
    let none: [&str; 0] = [];
    assert_eq!(model.taps(none, &x).unwrap().iter().len(), 0);
    let twice = model.taps(["pool1", "pool1"], &x).unwrap().into_vec();
    assert_same_bits(&twice[0], &twice[1], "the same tap twice");
}

#[test]
fn taps_by_unknown_names() {
    let model = built(two_blocks());
    let x = images((1, 3, 8, 8));
    let error = model.taps(["pool1", "pool3"], &x).unwrap_err();
    assert_eq!(error.layer(), Some("pool3"));
    assert!(matches!(error, Error::UnknownLayer { .. }));
    let foreign = whole().node_id("fc1").unwrap();
    let error = model.forward_to(foreign, &x).unwrap_err();
    assert!(matches!(error, Error::UnknownNode));
}

#[test]
fn forward_to_a_layer() {
    let model = built(two_blocks());
    let x = images((1, 3, 8, 8));
    let pool = model.graph().node_id("pool1").unwrap();
    let by_name = model.forward_to("block1_pool", &x).unwrap();
    assert_same_bits(&model.forward_to(pool, &x).unwrap(), &by_name, "a handle");
    let (front, back) = model.graph().split_at("pool1").unwrap();
    let front = model.edit(|_| Ok(front)).unwrap();
    let back = model.edit(|_| Ok(back)).unwrap();
    assert_same_bits(&front.forward(&x).unwrap(), &by_name, "the front");
    let whole = model.forward(&x).unwrap();
    assert_same_bits(&back.forward(&by_name).unwrap(), &whole, "the back");
    let input = model.forward_to("input", &x).unwrap();
    assert_same_bits(&input, &x, "the input");
}

/// A layer that nobody asks for does not limit the images.
#[test]
fn a_tap_is_legal_where_what_it_depends_on_is() {
    let model = built(whole());
    let x = images((1, 3, 4, 4));
    assert_eq!(model.forward_to("pool2", &x).unwrap().dims(), [1, 8, 1, 1]);
    let error = model.forward_to("pool3", &x).unwrap_err();
    assert_eq!(error.layer(), Some("block3_pool"));
    let none = images((0, 3, 4, 4));
    assert_eq!(
        model.forward_to("pool2", &none).unwrap().dims(),
        [0, 8, 1, 1]
    );
}

#[test]
fn several_outputs() {
    let names = ["block2_conv1:pre", "pool1", "block2_conv1", "block2_pool"];
    let model = built(two_blocks());
    let x = images((2, 3, 8, 8));
    let several = model.edit(|graph| graph.with_outputs(names)).unwrap();
    let outputs = several.forward_all(&x).unwrap();
    assert_eq!(outputs.len(), 4);
    let taps = model.taps(names, &x).unwrap().into_vec();
    for ((output, tap), name) in outputs.iter().zip(&taps).zip(names) {
        assert_same_bits(output, tap, name);
    }
    let first = several.forward(&x).unwrap();
    assert_same_bits(&first, &taps[0], "forward gives the first");
    let named = several.forward_named(&x).unwrap();
    let found: Vec<&str> = named.iter().map(|(name, _)| name).collect();
    assert_eq!(found, several.graph().output_names());
    for (output, (name, tap)) in outputs.iter().zip(named.iter()) {
        assert_same_bits(output, tap, name);
    }
}

fn branching() -> Graph {
    let mut graph = two_blocks();
    let [a, b]: [NodeId; 2] =
        ["block1_pool", "block2_pool"].map(|name| graph.node_id(name).unwrap());
    let up = graph.add("up", Upsample::to(a), [b]).unwrap();
    let smooth = Upsample::like().bilinear().sized_by(a);
    let smooth = graph.add("smooth", smooth, [b]).unwrap();
    let sum = graph.add("sum", Add, [up, smooth, up]).unwrap();
    let join = graph.add("join", Concat::channels(), [a, sum]).unwrap();
    let scaled = graph.add("scaled", Rescale::new(0.5, 1.0), [join]).unwrap();
    graph.with_outputs([scaled]).unwrap()
}

#[test]
fn branches_compute_what_their_parts_do() {
    let model = built(branching());
    for (height, width) in [(8, 8), (10, 14), (7, 9)] {
        let x = images((2, 3, height, width));
        let a = model.forward_to("pool1", &x).unwrap();
        let b = model.forward_to("pool2", &x).unwrap().contiguous().unwrap();
        let (_, _, rows, columns) = a.dims4().unwrap();
        let index = |from: usize, to: usize| {
            let indices: Vec<u32> = (0..to).map(|i| (i * from / to) as u32).collect();
            Tensor::new(indices, &Device::Cpu).unwrap()
        };
        let (_, _, from_rows, from_columns) = b.dims4().unwrap();
        let up = b
            .index_select(&index(from_rows, rows), 2)
            .and_then(|up| up.index_select(&index(from_columns, columns), 3))
            .unwrap();
        assert_same_bits(&model.forward_to("up", &x).unwrap(), &up, "up");
        let smooth = model.forward_to("smooth", &x).unwrap();
        assert_eq!(smooth.dims(), up.dims());
        let sum = ((&up + &smooth).unwrap() + &up).unwrap();
        let join = Tensor::cat(&[&a, &sum], 1).unwrap();
        let expected = ((join * 0.5).unwrap() + 1.0).unwrap();
        let actual = model.forward(&x).unwrap();
        assert_close(&actual, &expected, 1e-6, "the whole");
    }
}

#[test]
fn batches_of_any_size() {
    for graph in [whole(), two_blocks(), branching()] {
        let model = built(graph);
        let x = images((3, 3, 32, 40));
        let together = model.forward(&x).unwrap();
        for n in 0..3 {
            let alone = model.forward(&x.narrow(0, n, 1).unwrap()).unwrap();
            let one = together.narrow(0, n, 1).unwrap();
            assert_close(&alone, &one, 1e-6, "one of three");
        }
        let none = model.forward(&x.narrow(0, 0, 0).unwrap()).unwrap();
        assert_eq!(none.dims()[0], 0);
        assert_eq!(none.dims()[1..], together.dims()[1..]);
        let none = model.forward_training(&x.narrow(0, 0, 0).unwrap()).unwrap();
        assert_eq!(none.dims()[1..], together.dims()[1..]);
    }
    let model = built(whole());
    let taps = ["pool1", "features.0", "fc1"];
    let taps = model.taps(taps, &images((0, 3, 32, 48))).unwrap();
    let dims: Vec<_> = taps
        .iter()
        .map(|(_, value)| value.dims().to_vec())
        .collect();
    assert_eq!(dims, [vec![0, 4, 16, 24], vec![0, 4, 32, 48], vec![0, 32]]);
}

#[test]
fn inputs_that_do_not_fit() {
    let fixed = built(whole().input((3, 64, 48)).unwrap());
    let any = built(whole());
    let wrong = |model: &Model, shape: &[usize]| {
        let expected = Error::InputShape {
            expected: model.graph().input_shape(),
            actual: shape.to_vec(),
        };
        assert_error(
            model.forward(&images(shape)).unwrap_err(),
            expected,
            "shape",
        );
    };
    for shape in [
        &[1, 3, 48, 64][..],
        &[1, 1, 64, 48],
        &[3, 64, 48],
        &[1, 3],
        &[],
        &[1, 1, 3, 64, 48],
        &[0, 3, 1, 1],
    ] {
        wrong(&fixed, shape);
    }
    for shape in [&[1, 4, 64, 48][..], &[3, 64, 48], &[1, 3]] {
        wrong(&any, shape);
    }
    let vector = Graph::new("v", 5).unwrap();
    let vector = built(vector.attach(vgg_surgery::Dense::new(2)).unwrap());
    wrong(&vector, &[1, 4]);
    wrong(&vector, &[1, 5, 1, 1]);
    assert_eq!(vector.forward(&images((2, 5))).unwrap().dims(), [2, 2]);
    for shape in [(1, 3, 31, 64), (0, 3, 31, 64)] {
        let error = any.forward(&images(shape)).unwrap_err();
        let expected = Error::InputTooSmall {
            layer: "block5_pool".to_string(),
            actual: Shape::map(32, 1, 4),
            minimum_height: 2,
            minimum_width: 2,
        };
        assert_error(error, expected, "too small");
    }
    let error = any.forward(&images((1, 3, 0, 64))).unwrap_err();
    assert!(matches!(error, Error::InvalidLayer { .. }));
    assert_eq!(error.layer(), Some("input"));
}

#[test]
fn other_types_are_converted() {
    let model = built(two_blocks());
    let bytes: Vec<u8> = (0..192).collect();
    let bytes = Tensor::from_vec(bytes, (1, 3, 8, 8), &Device::Cpu).unwrap();
    let floats = bytes.to_dtype(DType::F32).unwrap();
    let expected = model.forward(&floats).unwrap();
    assert_same_bits(&model.forward(&bytes).unwrap(), &expected, "bytes");
    let doubles = floats.to_dtype(DType::F64).unwrap();
    assert_same_bits(&model.forward(&doubles).unwrap(), &expected, "doubles");
}

#[test]
fn a_model_is_a_candle_module() {
    let model = built(two_blocks());
    let x = images((1, 3, 8, 8));
    let expected = model.forward(&x).unwrap();
    let chained = x.apply(&model).unwrap();
    assert_same_bits(&chained, &expected, "apply");
    assert_same_bits(&Module::forward(&model, &x).unwrap(), &expected, "Module");
    assert_same_bits(&model.forward_t(&x, false).unwrap(), &expected, "ModuleT");
    let boxed: Box<dyn Module> = Box::new(built(two_blocks()));
    let error = boxed.forward(&images((1, 1, 8, 8))).unwrap_err();
    assert!(error.to_string().contains("the model takes (N, 3, ?, ?)"));
    let training = model.training_mode();
    assert_same_bits(&x.apply(&training).unwrap(), &expected, "training");
}

/// The permutations and the new axis that make these tensors an input.
#[test]
fn a_tensor_of_other_axes_is_told_how_to_become_an_input() {
    let model = built(two_blocks());
    let message = |dims: &[usize]| {
        let x = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        model.forward(&x).unwrap_err().to_string()
    };
    assert!(message(&[3, 32, 32]).ends_with("; add the batch with unsqueeze(0)"));
    let last = message(&[1, 32, 32, 3]);
    assert!(
        last.ends_with("; put the channels first with permute((0, 3, 1, 2))"),
        "{last}"
    );
    let both = message(&[32, 32, 3]);
    assert!(
        both.ends_with("permute((2, 0, 1)) and unsqueeze(0)"),
        "{both}"
    );
    assert!(message(&[1, 4, 32, 32]).ends_with("but got [1, 4, 32, 32]"));
}
