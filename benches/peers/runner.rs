//! This crate's worker for `compare.py`, and the maker of the weights and
//! pictures that all workers read.
//!
//! `prepare FOLDER` writes them; `JOB FOLDER` loads a job and then runs it once
//! for each line on standard input.

mod protocol;

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::path::Path;

use candle_core::safetensors;
use candle_core::{DType, Device, IndexOp, Tensor, TensorId, Var};
use candle_nn::loss::cross_entropy;
use protocol::{Result, serve, summarize};
use vgg_surgery::{Activation, Conv2d, Dense, Graph, Head, Model, Vgg16, VggOptions};

const WARM_UPS: usize = 2;
const CLASSES: usize = 1000;
const TUTORIAL_CLASSES: usize = 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [command, folder] if command == "prepare" => prepare(Path::new(folder)),
        [job, folder] => run(job, Path::new(folder)),
        _ => {
            eprintln!("a worker of compare.py; usage: (prepare | JOB) FOLDER");
            Ok(())
        }
    }
}

fn options() -> VggOptions {
    Vgg16::options().classifier_activation(Activation::Linear)
}

fn tutorial(trunk: Graph) -> Result<Graph> {
    Ok(trunk.attach(
        Head::new()
            .conv2d("head_conv", Conv2d::new(64, 3).relu())
            .max_pool2d("head_pool", 2)
            .flatten("head_flatten")
            .dense("head_fc", Dense::new(256).relu())
            .dropout("head_dropout", 0.5)
            .dense("head_out", Dense::new(TUTORIAL_CLASSES)),
    )?)
}

/// Writes `weights.safetensors`, with every parameter as `layer.parameter`, and
/// `pictures.safetensors`, with batches named after their sides.
fn prepare(folder: &Path) -> Result<()> {
    let network = options().untrained(0)?;
    let trunk = network.clone().input((3, 160, 160))?;
    let head = tutorial(trunk.truncate("block2_pool")?)?;
    let mut weights = BTreeMap::new();
    for graph in [network, head] {
        for parameter in graph.build(&Device::Cpu)?.parameters() {
            let name = format!("{}.{}", parameter.layer, parameter.name);
            weights.insert(name, parameter.tensor.clone());
        }
    }
    save(weights, &folder.join("weights.safetensors"))?;
    let mut pictures = BTreeMap::new();
    for (batch, side) in [(8, 224), (32, 160)] {
        let batch = Tensor::randn(0f32, 1f32, (batch, 3, side, side), &Device::Cpu)?;
        pictures.insert(side.to_string(), batch);
    }
    save(pictures, &folder.join("pictures.safetensors"))
}

fn save(tensors: BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let partial = path.with_extension("partial");
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    safetensors::save(&tensors, &partial)?;
    Ok(std::fs::rename(partial, path)?)
}

fn run(job: &str, folder: &Path) -> Result<()> {
    let network = options().pretrained_from(folder.join("weights.safetensors"))?;
    let pictures = |batch: usize, side: usize| -> Result<Tensor> {
        let all = safetensors::load(folder.join("pictures.safetensors"), &Device::Cpu)?;
        Ok(all[&side.to_string()].i(..batch)?)
    };
    let small = || {
        network
            .clone()
            .input((3, 160, 160))?
            .truncate("block2_pool")
    };
    match job {
        "vgg16_b1" => infer(network, &pictures(1, 224)?),
        "vgg16_b8" => infer(network, &pictures(8, 224)?),
        "notop_b1" => infer(network.without_top()?, &pictures(1, 224)?),
        "notop_b8" => infer(network.without_top()?, &pictures(8, 224)?),
        "block2_pool_b32" => infer(small()?, &pictures(32, 160)?),
        "train_frozen" | "train_all" => {
            let trunk = small()?;
            let trunk = if job == "train_frozen" {
                trunk.freeze_all()
            } else {
                trunk
            };
            let rule = Rule::RmsProp {
                learning_rate: 1e-4,
                rho: 0.9,
                epsilon: 1e-7,
            };
            train(
                tutorial(trunk)?,
                &pictures(32, 160)?,
                TUTORIAL_CLASSES,
                rule,
            )
        }
        "finetune_b8" => {
            let rule = Rule::Sgd {
                learning_rate: 1e-3,
            };
            train(network, &pictures(8, 224)?, CLASSES, rule)
        }
        "memory_b8" => once(network, &pictures(8, 224)?),
        _ => Err(format!("no job is called {job}").into()),
    }
}

fn infer(graph: Graph, x: &Tensor) -> Result<()> {
    let model = graph.freeze_all().build(&Device::Cpu)?;
    let mut computed = Vec::new();
    for _ in 0..WARM_UPS {
        computed.push(summary(&model.forward(x)?)?);
    }
    serve(&computed, || {
        model.forward(x)?;
        Ok(())
    })
}

/// Without a run before the first that is asked for.
fn once(graph: Graph, x: &Tensor) -> Result<()> {
    let model = graph.freeze_all().build(&Device::Cpu)?;
    serve(&[], || {
        model.forward(x)?;
        Ok(())
    })
}

fn train(graph: Graph, x: &Tensor, classes: usize, rule: Rule) -> Result<()> {
    let model = graph.build(&Device::Cpu)?;
    let labels: Vec<u32> = (0..x.dim(0)?)
        .map(|picture| u32::try_from(picture % classes))
        .collect::<std::result::Result<_, _>>()?;
    let labels = Tensor::new(labels, &Device::Cpu)?;
    let mut trainer = Trainer {
        variables: model.trainable_variables(),
        rule,
        mean_squares: HashMap::new(),
    };
    let mut computed = vec![summary(&model.forward(x)?)?];
    for _ in 0..WARM_UPS {
        computed.push(trainer.step(&model, x, &labels)?);
    }
    serve(&computed, || {
        trainer.step(&model, x, &labels)?;
        Ok(())
    })
}

fn summary(output: &Tensor) -> Result<f64> {
    Ok(summarize(&output.flatten_all()?.to_vec1()?))
}

#[derive(Clone, Copy)]
enum Rule {
    Sgd {
        learning_rate: f64,
    },
    /// As Keras computes it, without momentum.
    RmsProp {
        learning_rate: f64,
        rho: f64,
        epsilon: f64,
    },
}

struct Trainer {
    variables: Vec<Var>,
    rule: Rule,
    mean_squares: HashMap<TensorId, Tensor>,
}

impl Trainer {
    /// Forward, backward, update; gives the loss before the update.
    fn step(&mut self, model: &Model, x: &Tensor, labels: &Tensor) -> Result<f64> {
        let loss = cross_entropy(&model.forward_training(x)?, labels)?;
        let gradients = loss.backward()?;
        for variable in &self.variables {
            let gradient = gradients
                .get(variable)
                .ok_or("a variable has no gradient")?;
            update(variable, gradient, self.rule, &mut self.mean_squares)?;
        }
        Ok(f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?))
    }
}

fn update(
    variable: &Var,
    gradient: &Tensor,
    rule: Rule,
    mean_squares: &mut HashMap<TensorId, Tensor>,
) -> Result<()> {
    let change = match rule {
        Rule::Sgd { learning_rate } => (gradient * learning_rate)?,
        Rule::RmsProp {
            learning_rate,
            rho,
            epsilon,
        } => {
            let squares = (gradient.sqr()? * (1.0 - rho))?;
            let mean_square = match mean_squares.get(&variable.id()) {
                Some(before) => ((before * rho)? + squares)?,
                None => squares,
            };
            mean_squares.insert(variable.id(), mean_square.clone());
            ((gradient * learning_rate)? / (mean_square + epsilon)?.sqrt()?)?
        }
    };
    variable.set(&(variable.as_tensor() - change)?)?;
    Ok(())
}
