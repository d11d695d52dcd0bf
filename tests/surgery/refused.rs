use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::ImageError;
use vgg_surgery::graph::{Precision, Shape};
use vgg_surgery::layers::{Add, Init};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::surgery::{Criterion, Prune, Rank};
use vgg_surgery::{Activation, Conv2d, Dense, Error, Flatten, Graph, Head, Model, Vgg11Bn, Vgg16};

fn small() -> Model {
    let graph = Vgg16::options()
        .widths(16)
        .hidden(8)
        .classes(3)
        .untrained(1)
        .unwrap();
    graph.build(&Device::Cpu).unwrap()
}

fn assert_illegal(result: vgg_surgery::Result<Model>, layer: &str, words: &str) {
    match result.unwrap_err() {
        Error::IllegalEdit { layer: at, reason } => {
            assert_eq!(at, layer, "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn channels_that_mean_something_are_left_alone() {
    let model = small();
    assert_illegal(model.widen("predictions", 5), "predictions", "output");
    assert_illegal(
        model.widen("block1_conv1", 3),
        "block1_conv1",
        "fewer than its 4",
    );
    let prune = |layer: &str, prune| model.prune_filters(layer, prune);
    assert_illegal(
        prune("predictions", Prune::count(1)),
        "predictions",
        "output",
    );
    assert_illegal(
        prune("block1_conv1", Prune::count(4)),
        "block1_conv1",
        "4 filters can't be taken out of 4",
    );
    for fraction in [1.0, -0.1, f64::NAN] {
        assert_illegal(
            prune("block1_conv1", Prune::fraction(fraction)),
            "block1_conv1",
            "from 0 to below 1",
        );
    }
    assert_illegal(
        prune("block1_pool", Prune::count(1)),
        "block1_pool",
        "no dense layer",
    );
    let last = model.edit(|graph| graph.truncate("block5_pool")).unwrap();
    assert_illegal(
        last.prune_filters("block5_conv3", Prune::count(1)),
        "block5_pool",
        "output",
    );
}

#[test]
fn sums_softmaxes_and_groups_hold_channels_together() {
    let mut graph = Graph::new("g", (4, 4, 4)).unwrap();
    let input = graph.node_id("input").unwrap();
    let a = graph.add("a", Conv2d::new(4, 1), [input]).unwrap();
    let sum = graph.add("sum", Add, [a, input]).unwrap();
    let soft = graph
        .add("soft", Conv2d::new(3, 1).softmax(), [sum])
        .unwrap();
    let grouped = graph.add("grouped", Conv2d::new(4, 1), [soft]).unwrap();
    let out = graph
        .add("out", Conv2d::new(4, 1).groups(2), [grouped])
        .unwrap();
    let model = graph
        .with_outputs([out])
        .unwrap()
        .build(&Device::Cpu)
        .unwrap();
    assert_illegal(model.widen("a", 5), "sum", "can't be adapted");
    assert_illegal(model.widen("soft", 5), "soft", "mixes");
    let _ = model.prune_filters("soft", Prune::count(1)).unwrap();
    assert_illegal(model.widen("grouped", 6), "out", "can't be adapted");
    assert_illegal(model.widen("out", 6), "out", "output");
    assert_illegal(model.factorize("out", 1), "out", "one group");
    assert_illegal(model.factorize_spatial("sum", 1), "sum", "no convolution");
    assert_illegal(model.factorize("a", 5), "a", "from 1 to 4");
    assert_illegal(
        model.factorize("a", Rank::Energy(f64::NAN)),
        "a",
        "energies",
    );
    assert_illegal(model.adapt_input(1), "sum", "no convolution");
}

#[test]
fn a_softmax_of_its_own_mixes_channels_too() {
    let graph = Graph::new("g", (3, 4, 4)).unwrap();
    let head = Head::new()
        .conv2d("a", Conv2d::new(3, 1))
        .activation("s", Activation::Softmax)
        .conv2d("out", Conv2d::new(2, 1));
    let model = graph.attach(head).unwrap().build(&Device::Cpu).unwrap();
    assert_illegal(model.widen("a", 5), "s", "mixes");
    let _ = model.widen("a", 3).unwrap();
    let _ = model.prune_filters("a", Prune::count(1)).unwrap();
}

#[test]
fn filters_are_ranked_by_something() {
    let model = small();
    let by = |x: Tensor| Prune::count(1).by(Criterion::Activation(x));
    let nothing = Tensor::zeros((0, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let error = model.prune_filters("block1_conv1", by(nothing));
    assert!(matches!(
        error.unwrap_err(),
        Error::Image(ImageError::EmptyBatch)
    ));
    let nan = Tensor::full(f32::NAN, (1, 3, 32, 32), &Device::Cpu).unwrap();
    let pruned = model.prune_filters("block1_conv1", by(nan));
    assert_illegal(pruned, "block1_conv1", "not finite");
}

/// In bf16 a sum of ones ends at 256.
#[test]
fn activations_of_narrow_types_are_told_apart() {
    let ones = Conv2d::new(2, 1).kernel_init(Init::ZEROS);
    let graph = Graph::new("g", (1, 40, 40)).unwrap();
    let head = Head::new().conv2d("a", ones).conv2d("b", Conv2d::new(1, 1));
    let graph = graph.attach(head).unwrap();
    let options = BuildOptions::new().dtype(DType::BF16);
    let model = graph.build_with(&Device::Cpu, &options).unwrap();
    let bias = model.trainable_variables();
    let bias = bias.iter().find(|variable| variable.dims() == [2]).unwrap();
    let values = Tensor::new(&[1f32, 0.5], &Device::Cpu).unwrap();
    bias.set(&values.to_dtype(DType::BF16).unwrap()).unwrap();
    let x = Tensor::zeros((1, 1, 40, 40), DType::BF16, &Device::Cpu).unwrap();
    let by = Prune::count(1).by(Criterion::Activation(x));
    let pruned = model.prune_filters("a", by).unwrap();
    let left = pruned.parameters().find(|p| p.name == "bias").unwrap();
    let left = left.tensor.to_dtype(DType::F32).unwrap();
    assert_eq!(left.to_vec1::<f32>().unwrap(), [1.0]);
}

#[test]
fn a_model_holds_no_values_finer_than_its_type() {
    let graph = Vgg16::options().widths(16).hidden(8).classes(3);
    let graph = graph.untrained(1).unwrap().truncate("fc1").unwrap();
    let options = BuildOptions::new().dtype(DType::BF16);
    let narrow = graph.build_with(&Device::Cpu, &options).unwrap();
    let _ = narrow.quantize_dense(Precision::Bf16).unwrap();
    for precision in [Precision::F16, Precision::Int8] {
        let error = narrow.quantize_dense(precision).unwrap_err();
        assert!(
            error.to_string().contains("load the model in F32"),
            "{error}"
        );
    }
    let large = Dense::new(2).kernel_init(Init::Constant(1e5));
    let graph = Graph::new("g", 4).unwrap().attach(large.named("fc"));
    let model = graph.unwrap().build(&Device::Cpu).unwrap();
    assert_illegal(
        model.quantize_dense(Precision::F16),
        "fc",
        "not finite in f16",
    );
    let _ = model.quantize_dense(Precision::Bf16).unwrap();
}

#[test]
fn a_pool_that_pools_is_not_taken_out() {
    let small = small().edit(|graph| graph.input((3, 64, 64))).unwrap();
    let error = small.to_fully_convolutional();
    assert_illegal(error, "avgpool", "(32, 2, 2), which convolutions do not");
    let whole = small.edit(|graph| graph.input((3, 224, 224))).unwrap();
    let _ = whole.to_fully_convolutional().unwrap();
}

#[test]
fn what_has_no_weights_is_not_factorized() {
    let model = Vgg11Bn::options()
        .widths(16)
        .hidden(8)
        .untrained(1)
        .unwrap();
    let model = model.build(&Device::Cpu).unwrap();
    for layer in [
        "block1_pool",
        "input",
        "flatten",
        "block1_relu1",
        "block1_bn1",
    ] {
        assert_illegal(model.factorize(layer, 1), layer, "no dense layer");
        assert_illegal(model.factorize_spatial(layer, 1), layer, "no convolution");
    }
}

#[test]
fn weights_that_are_not_finite_are_not_factorized() {
    let broken = Conv2d::new(3, 3).kernel_init(Init::Constant(f32::NAN));
    let graph = Graph::new("g", (3, 4, 4)).unwrap();
    let graph = graph.attach(broken.named("broken")).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    for rank in [Rank::Exactly(2), Rank::Energy(0.5)] {
        assert_illegal(model.factorize("broken", rank), "broken", "not finite");
        let spatial = model.factorize_spatial("broken", rank);
        assert_illegal(spatial, "broken", "not finite");
    }
}

#[test]
fn what_is_no_classifier_is_not_made_convolutional() {
    let cut = small().edit(|graph| graph.without_top()).unwrap();
    assert_illegal(cut.to_fully_convolutional(), "block5_pool", "no flatten");
    let graph = Graph::new("g", (3, 4, 4)).unwrap();
    let flat = graph.attach(Flatten::new().named("flat")).unwrap();
    let model = flat.build(&Device::Cpu).unwrap();
    assert_illegal(model.to_fully_convolutional(), "flat", "output");
    let twice = flat
        .attach(Head::new().dense("d", Dense::new(4)).flatten("again"))
        .unwrap();
    let model = twice.build(&Device::Cpu).unwrap();
    assert_illegal(model.to_fully_convolutional(), "flat", "several");
    let graph = Graph::new("g", (3, 4, 4)).unwrap();
    let pooled = Head::new()
        .global_avg_pool2d("pool")
        .flatten("flat")
        .dense("d", Dense::new(2));
    let model = graph.attach(pooled).unwrap().build(&Device::Cpu).unwrap();
    assert_illegal(model.to_fully_convolutional(), "flat", "takes a vector");
}

#[test]
fn absurd_numbers_of_channels_are_refused_before_memory_is_asked_for() {
    let model = small();
    for channels in [(1 << 24) + 1, u32::MAX as usize, usize::MAX] {
        assert_illegal(
            model.widen("block1_conv1", channels),
            "block1_conv1",
            "limit",
        );
        let error = model.adapt_input(channels).unwrap_err();
        assert!(matches!(error, Error::InvalidLayer { .. }), "{error}");
    }
}

/// Legal numbers of channels whose product is 2^48 values.
#[test]
fn more_values_than_memory_has_room_for_are_refused() {
    let most = 1 << 24;
    let zeros = Init::Constant(0.0);
    let no_room = |outcome: vgg_surgery::Result<Model>| {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("fit into memory"), "{error}");
    };
    let head = Head::new()
        .dense("a", Dense::new(1).kernel_init(zeros))
        .dense("b", Dense::new(1));
    let wide = Graph::new("wide", Shape::vector(most)).unwrap();
    let wide = wide.attach(head).unwrap().build(&Device::Cpu).unwrap();
    no_room(wide.widen("a", most));
    let conv = Conv2d::new(16, 1024).kernel_init(zeros).named("conv");
    let large = Graph::new("large", (1, 1024, 1024)).unwrap();
    let large = large.attach(conv).unwrap().build(&Device::Cpu).unwrap();
    no_room(large.adapt_input(most));
}

#[test]
fn only_layers_with_channels_of_their_own_are_widened() {
    let model = small();
    for layer in ["block1_pool", "input", "flatten"] {
        assert_illegal(model.widen(layer, 4000), layer, "no dense layer");
    }
}

#[test]
fn a_donor_gives_layers_not_its_input() {
    let model = small();
    let donor = model.edit(|graph| graph.rename("block1_conv1", "first"));
    let donor = donor
        .unwrap()
        .edit(|graph| graph.rename("input", "block1_conv1"));
    assert_illegal(
        model.transplant("block1_conv1", &donor.unwrap()),
        "block1_conv1",
        "donor",
    );
}

#[test]
fn names_and_inputs_are_checked() {
    let model = small();
    for error in [
        model.widen("nothing", 9).unwrap_err(),
        model.prune_filters("nothing", Prune::count(1)).unwrap_err(),
        model.factorize("nothing", 1).unwrap_err(),
        model.transplant("nothing", &model).unwrap_err(),
    ] {
        assert!(matches!(error, Error::UnknownLayer { .. }), "{error}");
    }
    let error = model.adapt_input(0).unwrap_err();
    assert!(matches!(error, Error::InvalidLayer { .. }), "{error}");
    let vector = Graph::new("g", Shape::vector(3))
        .unwrap()
        .attach(Dense::new(2).named("d"));
    let vector = vector.unwrap().build(&Device::Cpu).unwrap();
    assert_illegal(vector.adapt_input(1), "input", "vectors");
    let first = model.factorize("fc1", 2).unwrap();
    let again = first.edit(|graph| graph.rename("fc2", "fc1_low_low"));
    let error = again.unwrap().factorize("fc1_low", 1).unwrap_err();
    assert!(matches!(error, Error::DuplicateName { .. }), "{error}");
}
