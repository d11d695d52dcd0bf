//! This crate's worker for `compare.py`. It also makes the weights and images for
//! all workers.
//!
//! `prepare FOLDER` writes them; `JOB FOLDER` loads a job and then runs it once
//! for each line on standard input.

mod protocol;

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::path::Path;

use candle_core::safetensors;
use candle_core::{Device, IndexOp, Tensor, Var};
use protocol::{Result, serve, summarize};
use vgg_surgery::data::Targets;
use vgg_surgery::model::backward;
use vgg_surgery::optim::{Clip, Optimizer, OptimizerState, Update};
use vgg_surgery::{
    Activation, Conv2d, Dense, Graph, Head, Loss, Model, RmsProp, Sgd, Vgg16, VggOptions,
};

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
/// `images.safetensors`, with batches named after their sides.
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
    let mut images = BTreeMap::new();
    for (batch, side) in [(8, 224), (32, 160)] {
        let batch = Tensor::randn(0f32, 1f32, (batch, 3, side, side), &Device::Cpu)?;
        images.insert(side.to_string(), batch);
    }
    save(images, &folder.join("images.safetensors"))
}

fn save(tensors: BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let partial = path.with_extension("partial");
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    safetensors::save(&tensors, &partial)?;
    Ok(std::fs::rename(partial, path)?)
}

fn run(job: &str, folder: &Path) -> Result<()> {
    let network = options().pretrained_from(folder.join("weights.safetensors"))?;
    let images = |batch: usize, side: usize| -> Result<Tensor> {
        let all = safetensors::load(folder.join("images.safetensors"), &Device::Cpu)?;
        Ok(all[&side.to_string()].i(..batch)?)
    };
    let small = || {
        network
            .clone()
            .input((3, 160, 160))?
            .truncate("block2_pool")
    };
    match job {
        "vgg16_b1" => infer(network, &images(1, 224)?),
        "vgg16_b8" => infer(network, &images(8, 224)?),
        "notop_b1" => infer(network.without_top()?, &images(1, 224)?),
        "notop_b8" => infer(network.without_top()?, &images(8, 224)?),
        "block2_pool_b32" => infer(small()?, &images(32, 160)?),
        "train_frozen" | "train_all" => {
            let trunk = small()?;
            let trunk = if job == "train_frozen" {
                trunk.freeze_all()
            } else {
                trunk
            };
            let optimizer = RmsProp::new(1e-4);
            train(
                tutorial(trunk)?,
                &images(32, 160)?,
                TUTORIAL_CLASSES,
                optimizer,
            )
        }
        "finetune_b8" => train(network, &images(8, 224)?, CLASSES, Sgd::new(1e-3)),
        "memory_b8" => once(network, &images(8, 224)?),
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

/// Serves a job without a warm-up run.
fn once(graph: Graph, x: &Tensor) -> Result<()> {
    let model = graph.freeze_all().build(&Device::Cpu)?;
    serve(&[], || {
        model.forward(x)?;
        Ok(())
    })
}

fn train(graph: Graph, x: &Tensor, classes: usize, optimizer: impl Into<Optimizer>) -> Result<()> {
    let model = graph.build(&Device::Cpu)?;
    let labels = (0..x.dim(0)?).map(|image| image % classes).collect();
    let mut step = Step {
        labels: Targets::Classes(labels),
        loss: Loss::cross_entropy(),
        variables: variables(&model),
        optimizer: OptimizerState::new(optimizer),
    };
    let mut computed = vec![summary(&model.forward(x)?)?];
    for _ in 0..WARM_UPS {
        computed.push(step.run(&model, x)?);
    }
    serve(&computed, || {
        step.run(&model, x)?;
        Ok(())
    })
}

/// The trained variables with their names.
fn variables(model: &Model) -> Vec<(String, Var)> {
    let names = model
        .parameters()
        .filter(|parameter| parameter.is_trainable)
        .map(|parameter| format!("{}.{}", parameter.layer, parameter.name));
    names.zip(model.trainable_variables()).collect()
}

/// A training step on one batch.
struct Step {
    labels: Targets,
    loss: Loss,
    variables: Vec<(String, Var)>,
    optimizer: OptimizerState,
}

impl Step {
    /// Forward, backward, update; returns the loss before the update.
    fn run(&mut self, model: &Model, x: &Tensor) -> Result<f64> {
        let logits = model.forward_training(x)?;
        let loss = self.loss.compute(&logits, &self.labels, None)?;
        let mut gradients = backward(&loss)?;
        let learning_rate = self.optimizer.optimizer().learning_rate();
        let found = self
            .variables
            .iter()
            .map(|(name, variable)| {
                let gradient = gradients.take(variable)?;
                Ok((name, variable, gradient.ok_or("a gradient is missing")?))
            })
            .collect::<Result<Vec<_>>>()?;
        let updates: Vec<_> = found
            .iter()
            .map(|(name, variable, gradient)| Update {
                name,
                variable,
                gradient,
                learning_rate,
                decay: None,
            })
            .collect();
        self.optimizer.step(&updates, Clip::None)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }
}

fn summary(output: &Tensor) -> Result<f64> {
    Ok(summarize(&output.flatten_all()?.to_vec1()?))
}
