//! What an exported file holds. Whether ONNX Runtime computes the same is for
//! `.ci/onnx.py` to say, which runs the files that
//! `VGG_SURGERY_ONNX_CASES` names a folder for.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::FileError;
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{AdaptiveAvgPool2d, Upsample, ZeroPad2d};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{
    Activation, AvgPool2d, Conv2d, Error, Graph, Head, MaxPool2d, Model, Vgg11Bn, Vgg16,
};

use crate::{built, every_kind, images, temporary, whole, with_custom};

/// Where cases are left for another program, or for nobody.
pub struct Cases {
    folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Cases {
    pub fn new() -> Self {
        let temporary = temporary();
        let folder = std::env::var_os("VGG_SURGERY_ONNX_CASES").map(PathBuf::from);
        Self {
            folder: folder.unwrap_or_else(|| temporary.path().to_path_buf()),
            _temporary: temporary,
        }
    }

    /// Writes a model, images, and what it makes of them; returns the file.
    pub fn write(&self, name: &str, model: &Model, x: &Tensor) -> Vec<u8> {
        let path = self.folder.join(format!("{name}.onnx"));
        model.export_onnx(&path).unwrap();
        let f32s = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
        let mut tensors = HashMap::from([("input".to_string(), f32s(x))]);
        for (index, output) in model.forward_all(x).unwrap().iter().enumerate() {
            tensors.insert(format!("output{index}"), f32s(output));
        }
        let values = path.with_extension("safetensors");
        candle_core::safetensors::save(&tensors, values).unwrap();
        std::fs::read(path).unwrap()
    }
}

/// The fields of a message: number, and value or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for place in 0.. {
            let (&byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let (value, length) = match tag & 7 {
            0 => (varint(&mut bytes), 0),
            5 => (0, 4),
            2 => (0, varint(&mut bytes) as usize),
            kind => panic!("wire type {kind}"),
        };
        let (field, rest) = bytes.split_at(length);
        fields.push((tag >> 3, value, field));
        bytes = rest;
    }
    fields
}

fn all<'a>(message: &[(u64, u64, &'a [u8])], field: u64) -> Vec<&'a [u8]> {
    let of = message.iter().filter(|(number, ..)| *number == field);
    of.map(|&(.., bytes)| bytes).collect()
}

fn texts(message: &[u8], field: u64) -> Vec<String> {
    let texts = all(&fields(message), field).into_iter();
    texts
        .map(|text| String::from_utf8(text.to_vec()).unwrap())
        .collect()
}

/// Operators, constants, inputs and outputs, by name.
struct Read {
    operators: Vec<String>,
    constants: HashMap<String, Vec<u8>>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

fn read(file: &[u8]) -> Read {
    let model = fields(file);
    let opset = fields(all(&model, 8)[0]);
    assert_eq!(opset.iter().find(|(field, ..)| *field == 2).unwrap().1, 18);
    let graph = fields(all(&model, 7)[0]);
    let names = |field: u64, name: u64| -> Vec<String> {
        let messages = all(&graph, field).into_iter();
        messages
            .map(|message| texts(message, name).remove(0))
            .collect()
    };
    let constants = all(&graph, 5).into_iter().map(|tensor| {
        let values = all(&fields(tensor), 9).concat();
        (texts(tensor, 8).remove(0), values)
    });
    Read {
        operators: names(1, 4),
        constants: constants.collect(),
        inputs: names(11, 1),
        outputs: names(12, 1),
    }
}

#[test]
fn every_kind_of_layer_is_exported() {
    let model = built(&every_kind());
    let read = read(&Cases::new().write("every_kind", &model, &images((2, 3, 12, 10))));
    assert_eq!(read.inputs, ["input"]);
    assert_eq!(read.outputs, ["out", "flat_chw"]);
    for parameter in model.parameters() {
        let values: Vec<f32> = parameter.tensor.flatten_all().unwrap().to_vec1().unwrap();
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        let key = format!("{}:{}", parameter.layer, parameter.name);
        assert!(read.constants[&key] == bytes, "{key}");
    }
    let expected = [
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Concat",
        "Conv",
        "Erf",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "MatMul",
        "MaxPool",
        "Mul",
        "Pad",
        "Relu",
        "Resize",
        "Sigmoid",
        "Softmax",
        "Sum",
        "Tanh",
        "Transpose",
    ];
    for kind in expected {
        assert!(
            read.operators.iter().any(|operator| operator == kind),
            "{kind}"
        );
    }
}

#[test]
fn whole_networks_are_exported() {
    let cases = Cases::new();
    let x = images((2, 3, 64, 64));
    let sized = whole().input((3, 64, 64)).unwrap();
    let read = read(&cases.write("vgg16", &built(&sized), &x));
    let count = |kind: &str| read.operators.iter().filter(|o| *o == kind).count();
    assert_eq!((count("Conv"), count("Relu"), count("Gemm")), (13, 15, 3));
    let normed = Vgg11Bn::options()
        .widths(16)
        .hidden(8)
        .classes(3)
        .dropout(0.5);
    let normed = normed.input((3, 64, 64)).untrained(1).unwrap();
    cases.write("vgg11_bn", &built(&normed), &x);
    let half = BuildOptions::new().dtype(DType::F64);
    let double = sized.build_with(&Device::Cpu, &half).unwrap();
    cases.write("double", &double, &x);
}

#[test]
fn an_open_size_stays_open() {
    let cases = Cases::new();
    let mut graph = Graph::new("open", Shape::any_size(3)).unwrap();
    let chain = Head::new()
        .conv2d("conv", Conv2d::new(4, 3).same().relu())
        .max_pool2d(
            "pool",
            MaxPool2d::new(3)
                .stride(2)
                .padding(vgg_surgery::layers::Padding::Same),
        )
        .avg_pool2d("average", AvgPool2d::new(2).stride(1).padding(1))
        .layer("pad", ZeroPad2d::new(1))
        .layer("times", Upsample::times((2, 3)))
        .layer("bilinear", Upsample::times(2).bilinear());
    graph = graph.attach(chain).unwrap();
    let like = graph.node_id("conv").unwrap();
    let last = graph.outputs()[0];
    let nearest = graph.add("nearest", Upsample::to(like), [last]).unwrap();
    let fixed = graph
        .add("fixed", Upsample::fixed((6, 5)).bilinear(), [nearest])
        .unwrap();
    let point = graph
        .add("point", AdaptiveAvgPool2d::new(1), [fixed])
        .unwrap();
    let gelu = graph.add("gelu", Activation::Gelu, [nearest]).unwrap();
    let graph = graph.with_outputs([gelu, point, gelu]).unwrap();
    let read = read(&cases.write("open", &built(&graph), &images((1, 3, 11, 8))));
    assert_eq!(read.outputs, ["gelu", "point", "gelu:output2"]);
}

#[test]
fn an_input_that_is_an_output_is_copied() {
    let graph = Graph::new("nothing", 4).unwrap();
    let read = read(&Cases::new().write("nothing", &built(&graph), &images((2, 4))));
    assert_eq!(
        (read.inputs, read.outputs),
        (vec!["input".into()], vec!["input:output0".into()])
    );
}

fn refused(graph: &Graph) -> (String, String) {
    let folder = temporary();
    match built(graph)
        .export_onnx(folder.path().join("x.onnx"))
        .unwrap_err()
    {
        Error::File(FileError::NotInOnnx { layer, reason }) => (layer, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn what_onnx_can_not_say_is_told() {
    assert_eq!(refused(&with_custom()).0, "scale");
    let (layer, reason) = refused(&Vgg16::options().widths(16).hidden(8).untrained(0).unwrap());
    assert_eq!(layer, "avgpool");
    assert!(reason.contains("input(..)"), "{reason}");
    let wide = Conv2d::new(2, 3).same().stride(2).dilation(2).named("wide");
    let graph = Graph::new("g", Shape::any_size(3))
        .unwrap()
        .attach(wide)
        .unwrap();
    assert_eq!(refused(&graph).0, "wide");
}
