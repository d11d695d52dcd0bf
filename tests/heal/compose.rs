use candle_core::Tensor;
use vgg_surgery::heal::HealingMethod;
use vgg_surgery::layers::{Margins, NamedLayer, Padding};
use vgg_surgery::{Activation, BatchNorm2d, Conv2d, Dropout, Healing, Model};

use crate::{assert_close, chain, images, input, parameter, values};

const SIZE: (usize, usize) = (17, 14);

/// Sums in f64 of at most a few thousand products of numbers around 1.
const ROUNDING: f64 = 1e-12;

fn replaced(model: &Model, conv: Conv2d) -> Model {
    let conv = conv.named("new");
    model.edit(|graph| graph.replace("a"..="z", conv)).unwrap()
}

fn composed(
    layers: Vec<NamedLayer>,
    conv: Conv2d,
) -> (Model, Model, vgg_surgery::heal::HealReport) {
    let mut layers = layers;
    layers.push(Conv2d::new(2, 1).named("behind"));
    let model = chain(SIZE, layers);
    let mut new = replaced(&model, conv);
    let report = new
        .heal_with("new", &model, &images(1, 20, 20), &Healing::compose())
        .unwrap();
    (model, new, report)
}

/// Where only the first layer is padded, the product is the whole truth.
#[test]
fn linear_layers_are_composed_exactly() {
    let cases: Vec<(&str, Vec<NamedLayer>, Conv2d)> = vec![
        (
            "two 3x3 are a 5x5",
            vec![
                Conv2d::new(4, 3).named("a"),
                Conv2d::new(5, 3).relu().named("z"),
            ],
            Conv2d::new(5, 5).relu(),
        ),
        (
            "the first is padded",
            vec![
                Conv2d::new(4, 3).padding(2).named("a"),
                Conv2d::new(5, 3).named("z"),
            ],
            Conv2d::new(5, 5).padding(2),
        ),
        (
            "a larger filter holds the product",
            vec![
                Conv2d::new(4, 3).padding(2).named("a"),
                Conv2d::new(5, 3).named("z"),
            ],
            Conv2d::new(5, 7).padding(3),
        ),
        (
            "strides, dilations and uneven kernels",
            vec![
                Conv2d::new(4, (3, 2))
                    .stride((2, 1))
                    .dilation((1, 2))
                    .padding(1)
                    .named("a"),
                Conv2d::new(6, (2, 3))
                    .stride((1, 2))
                    .without_bias()
                    .named("b"),
                Conv2d::new(3, 1).named("z"),
            ],
            Conv2d::new(3, (5, 5)).stride((2, 2)).padding(1),
        ),
        (
            "groups",
            vec![
                Conv2d::new(6, 3).named("a"),
                Conv2d::new(4, 3).groups(2).named("z"),
            ],
            Conv2d::new(4, 5),
        ),
        (
            "groups throughout",
            vec![
                Conv2d::new(6, 3).groups(3).named("a"),
                Conv2d::new(3, 3).groups(3).named("z"),
            ],
            Conv2d::new(3, 5).groups(3),
        ),
        (
            "batch norm, dropout and an activation of its own",
            vec![
                Conv2d::new(4, 3).without_bias().named("a"),
                BatchNorm2d::new().named("norm"),
                Dropout::new(0.3).named("dropout"),
                Conv2d::new(5, 3).named("conv"),
                BatchNorm2d::new().named("norm2"),
                Activation::Relu.named("z"),
            ],
            Conv2d::new(5, 5).relu(),
        ),
        (
            "a product on the diagonal of a dilated filter",
            vec![
                Conv2d::new(4, 3).dilation(2).named("a"),
                Conv2d::new(2, 1).named("z"),
            ],
            Conv2d::new(2, 3).dilation(2),
        ),
    ];
    for (what, layers, conv) in cases {
        let (old, new, report) = composed(layers, conv);
        for seed in 0..2 {
            let x = input(SIZE, seed);
            let (expected, actual) = (old.forward(&x).unwrap(), new.forward(&x).unwrap());
            assert_close(&actual, &expected, ROUNDING, what);
        }
        assert_eq!((report.is_exact, report.border), (true, (0, 0)), "{what}");
        assert_eq!(report.method, HealingMethod::Compose);
    }
}

fn inner(x: &Tensor, (rows, columns): (usize, usize)) -> Tensor {
    let (_, _, height, width) = x.dims4().unwrap();
    x.narrow(2, rows, height - 2 * rows)
        .and_then(|x| x.narrow(3, columns, width - 2 * columns))
        .unwrap()
}

/// Zeros around the value in between are not what the first layer would give
/// there.
#[test]
fn behind_padding_the_border_differs_and_nothing_else() {
    let layers = vec![
        Conv2d::new(4, 3).same().named("a"),
        Conv2d::new(5, (3, 5)).same().named("b"),
        Conv2d::new(5, 3).same().named("z"),
    ];
    let conv = Conv2d::new(5, (7, 9)).same();
    let (old, new, report) = composed(layers, conv);
    assert_eq!((report.is_exact, report.border), (true, (2, 3)));
    let x = input(SIZE, 5);
    let (expected, actual) = (old.forward(&x).unwrap(), new.forward(&x).unwrap());
    let border = report.border;
    assert_close(
        &inner(&actual, border),
        &inner(&expected, border),
        ROUNDING,
        "inside",
    );
    let nearer = (border.0 - 1, border.1 - 1);
    let (a, b) = (inner(&actual, nearer), inner(&expected, nearer));
    let gap = (a - b).unwrap().abs().unwrap();
    assert!(values(&gap).iter().any(|&gap| gap > 1e-3));
}

/// 1x1 filters by hand: the product of two matrices.
#[test]
fn filters_and_biases_are_multiplied() {
    let layers = vec![Conv2d::new(2, 1).named("a"), Conv2d::new(1, 1).named("z")];
    let (old, new, _) = composed(layers, Conv2d::new(1, 1));
    let [first, first_bias] = ["a.weight", "a.bias"].map(|key| values(&parameter(&old, key)));
    let [second, second_bias] = ["z.weight", "z.bias"].map(|key| values(&parameter(&old, key)));
    let weight: Vec<f64> = (0..3)
        .map(|i| second[0] * first[i] + second[1] * first[3 + i])
        .collect();
    let bias = second_bias[0] + second[0] * first_bias[0] + second[1] * first_bias[1];
    let actual = values(&parameter(&new, "new.weight"));
    assert_eq!(actual.len(), weight.len());
    for (actual, expected) in actual.iter().zip(&weight) {
        assert!((actual - expected).abs() < ROUNDING);
    }
    assert!((values(&parameter(&new, "new.bias"))[0] - bias).abs() < ROUNDING);
}

#[test]
fn activations_in_between_are_left_out() {
    let layers = vec![
        Conv2d::new(4, 3).relu().named("a"),
        Conv2d::new(5, 3).named("z"),
    ];
    let linear = vec![Conv2d::new(4, 3).named("a"), Conv2d::new(5, 3).named("z")];
    let (_, new, report) = composed(layers, Conv2d::new(5, 5));
    assert!(!report.is_exact);
    let (_, without, _) = composed(linear, Conv2d::new(5, 5));
    let key = "new.weight";
    assert_eq!(
        values(&parameter(&new, key)),
        values(&parameter(&without, key))
    );
    let ends_otherwise = vec![
        Conv2d::new(4, 3).named("a"),
        Conv2d::new(5, 3).relu().named("z"),
    ];
    let (_, _, report) = composed(ends_otherwise, Conv2d::new(5, 5));
    assert!(!report.is_exact);
}

#[test]
fn margins_may_be_uneven() {
    let margins = Margins {
        top: 2,
        bottom: 0,
        left: 1,
        right: 3,
    };
    let padded = |conv: Conv2d| conv.padding(Padding::Explicit(margins));
    let layers = vec![
        padded(Conv2d::new(4, 3)).named("a"),
        Conv2d::new(5, 3).named("z"),
    ];
    let (old, new, report) = composed(layers, padded(Conv2d::new(5, 5)));
    assert_eq!((report.is_exact, report.border), (true, (0, 0)));
    let x = input(SIZE, 9);
    let (expected, actual) = (old.forward(&x).unwrap(), new.forward(&x).unwrap());
    assert_close(&actual, &expected, ROUNDING, "uneven");
}
