//! Networks that slide over larger images, or see them more densely.

use candle_core::{Device, Tensor};
use vgg_surgery::graph::Contract;
use vgg_surgery::layers::{AdaptiveAvgPool2d, Layer, Padding};
use vgg_surgery::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense, Flatten, Graph, Head, MaxPool2d, Vgg16,
};

use crate::networks::trained;
use crate::{distance, last, noise};

#[test]
fn a_fully_convolutional_network_slides_over_larger_images() {
    // Without padding, every pixel of the map is the old network's output for
    // one window of the image.
    let graph = Graph::new("g", (2, 10, 8)).unwrap();
    let head = Head::new()
        .conv2d("conv", Conv2d::new(3, 3).relu())
        .max_pool2d("pool", 2)
        .flatten("flat")
        .dense("hidden", Dense::new(5).relu())
        .dense("out", Dense::new(4).softmax());
    let model = trained(&graph.attach(head).unwrap(), 4);
    let converted = model.to_fully_convolutional().unwrap();
    let x = noise((2, 2, 14, 10), 6);
    let map = converted.forward(&x).unwrap();
    assert_eq!(map.dims(), [2, 4, 3, 2]);
    for row in 0..3 {
        for column in 0..2 {
            let window = x
                .narrow(2, 2 * row, 10)
                .unwrap()
                .narrow(3, 2 * column, 8)
                .unwrap();
            let expected = model.forward(&window.contiguous().unwrap()).unwrap();
            let pixel = map.narrow(2, row, 1).unwrap().narrow(3, column, 1).unwrap();
            let pixel = pixel.flatten_from(1).unwrap();
            assert!(distance(&pixel, &expected) < 1e-5, "{row}, {column}");
        }
    }
}

#[test]
fn a_vgg_is_fully_convolutional_at_its_own_size() {
    let graph = Vgg16::options()
        .widths(16)
        .hidden(16)
        .classes(5)
        .untrained(1)
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let converted = model.to_fully_convolutional().unwrap();
    assert_eq!(converted.graph().input_shape().size(), None);
    let x = noise((1, 3, 224, 224), 2);
    let map = converted.forward(&x).unwrap();
    let vector = map.flatten_from(1).unwrap();
    assert!(distance(&vector, &model.forward(&x).unwrap()) < 1e-5);
    assert!(converted.graph().layer::<Conv2d>("fc6").is_ok());
}

/// An adaptive pool is no less in the way after a dropout.
#[test]
fn an_adaptive_pool_is_taken_out_wherever_it_stands() {
    let graph = Graph::new("g", (2, 4, 4)).unwrap();
    let head = Head::new()
        .conv2d("conv", Conv2d::new(3, 3).same().relu())
        .adaptive_avg_pool2d("adaptive", AdaptiveAvgPool2d::new(4))
        .activation("tanh", Activation::Tanh)
        .dropout("dropout", 0.5)
        .flatten("flat")
        .dense("out", Dense::new(4));
    let model = trained(&graph.attach(head).unwrap(), 4);
    let converted = model.to_fully_convolutional().unwrap();
    assert!(converted.graph().node("adaptive").is_err());
    let x = noise((1, 2, 4, 4), 6);
    let vector = converted.forward(&x).unwrap().flatten_from(1).unwrap();
    assert!(distance(&vector, &model.forward(&x).unwrap()) < 1e-5);
    let larger = converted.forward(&noise((1, 2, 6, 5), 6)).unwrap();
    assert_eq!(larger.dims(), [1, 4, 3, 2]);
}

/// Every `by`-th row and column.
pub fn every(map: &Tensor, by: (usize, usize)) -> Tensor {
    let (_, _, height, width) = map.dims4().unwrap();
    let places = |side: usize, by: usize| {
        let places: Vec<u32> = (0..side).step_by(by).map(|place| place as u32).collect();
        Tensor::new(places, &Device::Cpu).unwrap()
    };
    let rows = map
        .contiguous()
        .unwrap()
        .index_select(&places(height, by.0), 2)
        .unwrap();
    rows.index_select(&places(width, by.1), 3).unwrap()
}

#[test]
fn dilation_keeps_the_old_values_on_their_grid() {
    let behind = || {
        Head::new()
            .conv2d("one", Conv2d::new(3, 3).same().relu())
            .batch_norm2d("norm", BatchNorm2d::new())
            .conv2d("two", Conv2d::new(2, (3, 2)).padding((1, 1)))
    };
    let pools: [(&str, Layer); 3] = [
        ("max", MaxPool2d::new(2).into()),
        ("average", AvgPool2d::new(3).stride((3, 2)).into()),
        ("conv", Conv2d::new(4, 3).stride(2).padding(1).relu().into()),
    ];
    for (name, pool) in pools {
        let graph = Graph::new("g", (3, 13, 12)).unwrap();
        let layer = vgg_surgery::layers::NamedLayer::new("pool", pool);
        let graph = graph.attach(layer).unwrap().attach(behind()).unwrap();
        let by = graph.layer::<MaxPool2d>("pool").map(|pool| pool.stride);
        let by = by.or_else(|_| graph.layer::<AvgPool2d>("pool").map(|pool| pool.stride));
        let by = by.unwrap_or((2, 2));
        let model = trained(&graph, 8);
        let dense = model.edit(|graph| graph.dilate("pool")).unwrap();
        assert_eq!(last(&dense).contract, Contract::Exact);
        assert_eq!(last(&dense).dropped, 0);
        let x = noise((2, 3, 13, 12), 3);
        let (now, before) = (dense.forward(&x).unwrap(), model.forward(&x).unwrap());
        let grid = every(&now, by);
        let (_, _, height, width) = before.dims4().unwrap();
        let grid = grid
            .narrow(2, 0, height)
            .unwrap()
            .narrow(3, 0, width)
            .unwrap();
        assert!(
            distance(&grid.contiguous().unwrap(), &before) < 1e-5,
            "{name}"
        );
    }
}

#[test]
fn what_can_not_be_spread_is_told() {
    let vgg = || Vgg16::options().widths(16).untrained(0).unwrap();
    let error = vgg().dilate("block3_pool").unwrap_err();
    assert_eq!(error.layer(), Some("block4_pool"));
    let error = vgg().dilate("fc1").unwrap_err();
    assert_eq!(error.layer(), Some("fc1"));
    let same = Graph::new("g", (3, 8, 8)).unwrap();
    let same = same
        .attach(MaxPool2d::new(2).padding(Padding::Same).named("pool"))
        .unwrap();
    assert_eq!(same.dilate("pool").unwrap_err().layer(), Some("pool"));
    let even = Graph::new("g", (3, 8, 8)).unwrap();
    let even = even.attach(
        Head::new()
            .max_pool2d("pool", 2)
            .conv2d("even", Conv2d::new(2, 2).same()),
    );
    assert_eq!(
        even.unwrap().dilate("pool").unwrap_err().layer(),
        Some("even")
    );
}

#[test]
fn a_pool_that_something_else_reads_stays() {
    let mut graph = Graph::new("g", (2, 9, 9)).unwrap();
    let input = graph.node_id("input").unwrap();
    let pool = vgg_surgery::layers::AdaptiveAvgPool2d::new(3);
    let pool = graph.add("pool", pool, [input]).unwrap();
    let flat = graph.add("flat", Flatten::new(), [pool]).unwrap();
    let dense = graph.add("dense", Dense::new(3), [flat]).unwrap();
    let other = graph.add("other", Conv2d::new(2, 3), [pool]).unwrap();
    let model = trained(&graph.with_outputs([dense, other]).unwrap(), 1);
    let converted = model.to_fully_convolutional().unwrap();
    let x = noise((2, 2, 9, 9), 4);
    let (now, before) = (
        converted.forward_all(&x).unwrap(),
        model.forward_all(&x).unwrap(),
    );
    assert!(distance(&now[0].flatten_from(1).unwrap(), &before[0]) < 1e-5);
    assert!(distance(&now[1], &before[1]) < 1e-5);
}
