use candle_core::{Device, Tensor};

use super::{EXACT, assert_close, channels_last, check_gradients, padding, random, values};
use crate::kernels::tests::oracle;
use crate::kernels::{Conv2dConfig, Conv2dGeometry, Size2};
use crate::layers::{Margins, Padding, Window};
use crate::ops::Convolution;
use crate::ops::device::conv2d;

/// `(N, C, H, W)`, output channels, and the rest.
struct Case {
    input: [usize; 4],
    out_channels: usize,
    convolution: Convolution,
}

fn case(input: [usize; 4], out_channels: usize, kernel_size: (usize, usize)) -> Case {
    Case {
        input,
        out_channels,
        convolution: Convolution {
            window: Window {
                kernel_size,
                ..Window::POINT
            },
            groups: 1,
        },
    }
}

impl Case {
    fn stride(mut self, vertical: usize, horizontal: usize) -> Self {
        self.convolution.window.stride = (vertical, horizontal);
        self
    }

    fn dilation(mut self, vertical: usize, horizontal: usize) -> Self {
        self.convolution.window.dilation = (vertical, horizontal);
        self
    }

    fn groups(mut self, groups: usize) -> Self {
        self.convolution.groups = groups;
        self
    }

    fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.convolution.window.padding = padding.into();
        self
    }

    fn same(self) -> Self {
        self.padding(Padding::Same)
    }

    fn tensors(&self) -> [Tensor; 3] {
        let (height, width) = self.convolution.window.kernel_size;
        let in_channels = self.input[1] / self.convolution.groups;
        [
            random(&self.input, 1),
            random(&[self.out_channels, in_channels, height, width], 2),
            random(&[self.out_channels], 3),
        ]
    }

    fn name(&self) -> String {
        format!(
            "{:?} to {} by {:?}",
            self.input, self.out_channels, self.convolution
        )
    }
}

fn check(case: &Case) {
    let [x, weight, bias] = case.tensors();
    let Convolution { window, groups } = case.convolution;
    let [batch, in_channels, height, width] = case.input;
    let geometry = Conv2dGeometry::new(Conv2dConfig {
        batch,
        size: (height, width).into(),
        in_channels,
        out_channels: case.out_channels,
        kernel_size: window.kernel_size.into(),
        stride: window.stride.into(),
        padding: padding(&window, height, width),
        dilation: window.dilation.into(),
        groups,
    });
    let geometry = geometry.unwrap();
    let expected = oracle::conv2d(&geometry, &channels_last(&x), &values(&weight));
    let expected = oracle::finish(expected, &values(&bias), false);
    let y = conv2d(&x, &weight, Some(&bias), case.convolution).unwrap();
    let Size2 { height, width } = geometry.out_size();
    let dims = [batch, case.out_channels, height, width];
    assert_eq!(y.dims(), dims, "{}", case.name());
    assert_close(&channels_last(&y), &expected, EXACT, &case.name());
}

fn uneven() -> Margins {
    Margins {
        top: 2,
        bottom: 0,
        left: 1,
        right: 3,
    }
}

#[test]
fn every_kernel_size_and_padding() {
    for kernel in 1..=7 {
        for input in [[2, 3, 8, 9], [1, 2, 7, 7]] {
            check(&case(input, 2, (kernel, kernel)));
            check(&case(input, 2, (kernel, kernel)).same());
            check(&case(input, 2, (kernel, kernel)).padding(kernel / 2));
            check(&case(input, 2, (kernel, 8 - kernel)).padding(uneven()));
        }
    }
    check(&case([1, 1, 2, 3], 1, (5, 7)).same());
    check(&case([3, 1, 1, 1], 4, (1, 1)));
    check(&case([1, 1, 1, 1], 1, (3, 3)).padding(4));
}

#[test]
fn strides_dilations_and_groups() {
    for kernel in [(1, 1), (3, 3), (2, 3), (5, 4)] {
        for stride in [(1, 1), (2, 2), (3, 3), (1, 2), (3, 1)] {
            let strided = || case([2, 4, 9, 10], 6, kernel).stride(stride.0, stride.1);
            check(&strided());
            check(&strided().same());
            check(&strided().padding(uneven()));
            check(&strided().groups(2).padding(1));
            check(&strided().dilation(2, 2));
            check(&strided().dilation(2, 1).same().groups(2));
            check(&strided().dilation(1, 3).padding((2, 1)));
        }
    }
    check(&case([1, 4, 5, 5], 8, (3, 3)).groups(4).same());
}

#[test]
fn gradients() {
    let input = [2, 2, 5, 6];
    let cases = [
        case(input, 3, (3, 3)),
        case(input, 3, (3, 3)).same(),
        case(input, 2, (1, 1)).padding(1),
        case(input, 2, (2, 3)).padding(uneven()),
        case(input, 2, (3, 3)).dilation(2, 2).padding(2),
        case(input, 2, (3, 2)).dilation(1, 2),
        case(input, 4, (3, 3)).groups(2).padding(1),
        case(input, 2, (2, 2)).groups(2).dilation(2, 1).same(),
    ];
    for case in cases {
        let [x, weight, bias] = case.tensors();
        let f = |t: &[Tensor]| conv2d(&t[0], &t[1], Some(&t[2]), case.convolution);
        check_gradients(f, &[x, weight, bias], &case.name());
    }
}

/// Height and width leave different remainders, and some pixels are under no
/// window.
#[test]
fn gradients_of_strides() {
    for (height, width) in [(5, 5), (6, 6), (5, 6), (6, 5), (7, 8)] {
        let strided = |vertical, horizontal| {
            case([1, 2, height, width], 2, (3, 3)).stride(vertical, horizontal)
        };
        let cases = [
            strided(2, 2),
            strided(2, 2).padding(1),
            strided(2, 2).same(),
            strided(3, 3).groups(2),
            strided(2, 2).dilation(2, 2).padding(2),
            strided(1, 2),
            strided(2, 1).dilation(2, 1).same(),
        ];
        for case in cases {
            let [x, weight, _] = case.tensors();
            let f = |t: &[Tensor]| conv2d(&t[0], &t[1], None, case.convolution);
            check_gradients(f, &[x, weight], &case.name());
        }
    }
}

/// TensorFlow pads nothing above and one row below at stride 2 on even sides:
/// the window of row 0 covers rows 0 to 2.
#[test]
fn same_padding_is_tensorflows() {
    let x: Vec<f64> = (0..16).map(f64::from).collect();
    let x = Tensor::from_vec(x, (1, 1, 4, 4), &Device::Cpu).unwrap();
    let weight = Tensor::ones((1, 1, 3, 3), candle_core::DType::F64, &Device::Cpu).unwrap();
    let convolution = case([1, 1, 4, 4], 1, (3, 3))
        .stride(2, 2)
        .same()
        .convolution;
    let y = conv2d(&x, &weight, None, convolution).unwrap();
    // sums of x[0..3][0..3], x[0..3][2..4], x[2..4][0..3], x[2..4][2..4]
    assert_eq!(values(&y), [45.0, 39.0, 66.0, 50.0]);
}

#[test]
fn values_in_any_memory_order() {
    let case = case([2, 3, 6, 5], 4, (3, 3)).same();
    let [x, weight, bias] = case.tensors();
    let expected = conv2d(&x, &weight, Some(&bias), case.convolution).unwrap();
    let permuted = x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let permuted = permuted.permute((0, 3, 1, 2)).unwrap();
    let y = conv2d(&permuted, &weight, Some(&bias), case.convolution).unwrap();
    assert_close(&values(&y), &values(&expected), EXACT, "channels last");
    for strided in [(2, 2), (1, 2)] {
        let mut convolution = case.convolution;
        convolution.window.stride = strided;
        let expected = conv2d(&x, &weight, None, convolution).unwrap();
        let y = conv2d(&permuted, &weight, None, convolution).unwrap();
        assert_close(&values(&y), &values(&expected), EXACT, "strided");
    }
}
