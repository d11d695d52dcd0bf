//! The worker of `compare.py` for other Rust crates:
//! `PEER JOB FOLDER --threads N` loads a job and then runs it once for each line
//! on standard input.

#[path = "../../protocol.rs"]
mod protocol;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, ModuleT, Tensor, safetensors};
use candle_nn::VarBuilder;
use candle_transformers::models::vgg::{Models, Vgg};
use protocol::{Result, serve, summarize};
use rten::{Model, ModelOptions};
use rten_tensor::AsView;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

const WARM_UPS: usize = 2;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, job, folder, flag, threads] = arguments.as_slice() else {
        return Err("usage: PEER JOB FOLDER --threads N".into());
    };
    if flag != "--threads" {
        return Err(format!("{flag} is no option").into());
    }
    let job = Job {
        name: job.clone(),
        folder: PathBuf::from(folder),
        threads: threads.parse()?,
    };
    match peer.as_str() {
        "candle" => candle(&job),
        "rten" => rten(&job),
        "tract" => tract(&job),
        _ => Err(format!("{peer} is no peer of this worker").into()),
    }
}

struct Job {
    name: String,
    folder: PathBuf,
    threads: usize,
}

impl Job {
    fn network(&self) -> PathBuf {
        self.folder.join(format!("{}.onnx", self.name))
    }

    /// The job's batch, `(N, C, H, W)`, and its shape.
    fn images(&self) -> Result<(Vec<f32>, [usize; 4])> {
        let (batch, side) = match self.name.as_str() {
            "vgg16_b1" | "notop_b1" => (1, 224),
            "vgg16_b8" | "notop_b8" | "memory_b8" => (8, 224),
            "block2_pool_b32" => (32, 160),
            name => return Err(format!("{name} is no job of inference").into()),
        };
        let path = self.folder.join("images.safetensors");
        let all = safetensors::load(path, &Device::Cpu)?;
        let images = all[&side.to_string()].narrow(0, 0, batch)?;
        Ok((images.flatten_all()?.to_vec1()?, [batch, 3, side, side]))
    }

    /// Serves the job; `run` returns the output on request.
    fn serve(&self, run: impl Fn() -> Result<Box<dyn Output>>) -> Result<()> {
        let mut computed = Vec::new();
        if self.name != "memory_b8" {
            for _ in 0..WARM_UPS {
                computed.push(summarize(&run()?.values()?));
            }
        }
        serve(&computed, || {
            run()?;
            Ok(())
        })
    }
}

/// The output of a library.
trait Output {
    fn values(&self) -> Result<Vec<f32>>;
}

impl Output for Tensor {
    fn values(&self) -> Result<Vec<f32>> {
        Ok(self.flatten_all()?.to_vec1()?)
    }
}

impl Output for rten::Value {
    fn values(&self) -> Result<Vec<f32>> {
        let tensor: rten_tensor::TensorView<'_, f32> = self.as_view().try_into()?;
        Ok(tensor.to_vec())
    }
}

impl Output for TVec<TValue> {
    fn values(&self) -> Result<Vec<f32>> {
        let output = self.first().ok_or("the network has no output")?;
        Ok(output
            .to_plain_array_view::<f32>()?
            .iter()
            .copied()
            .collect())
    }
}

fn candle(job: &Job) -> Result<()> {
    let weights = timm_weights(&job.folder.join("weights.safetensors"))?;
    let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let model = Vgg::new(weights, Models::Vgg16)?;
    let (images, [_, channels, height, width]) = job.images()?;
    let image = Tensor::from_vec(images, (channels, height, width), &Device::Cpu)?;
    job.serve(|| Ok(Box::new(model.forward_t(&image, false)?)))
}

/// The weights under the names and in the shapes that candle-transformers
/// expects.
fn timm_weights(path: &Path) -> Result<HashMap<String, Tensor>> {
    let indices = [
        &[0, 2][..],
        &[5, 7],
        &[10, 12, 14],
        &[17, 19, 21],
        &[24, 26, 28],
    ];
    let mut names = HashMap::from([
        ("fc1".to_string(), "pre_logits.fc1".to_string()),
        ("fc2".to_string(), "pre_logits.fc2".to_string()),
        ("predictions".to_string(), "head.fc".to_string()),
    ]);
    for (block, indices) in (1..).zip(indices) {
        for (step, index) in (1..).zip(indices) {
            names.insert(
                format!("block{block}_conv{step}"),
                format!("features.{index}"),
            );
        }
    }
    let mut weights = HashMap::new();
    for (name, tensor) in safetensors::load(path, &Device::Cpu)? {
        let (layer, parameter) = name.split_once('.').ok_or("a tensor without a layer")?;
        let Some(timm) = names.get(layer) else {
            continue;
        };
        let tensor = match name.as_str() {
            "fc1.weight" => tensor.reshape((4096, 512, 7, 7))?,
            "fc2.weight" => tensor.reshape((4096, 4096, 1, 1))?,
            _ => tensor,
        };
        weights.insert(format!("{timm}.{parameter}"), tensor);
    }
    Ok(weights)
}

/// `RTEN_NUM_THREADS` sets the number of threads.
fn rten(job: &Job) -> Result<()> {
    let model: Model = ModelOptions::with_all_ops()
        .prepack_weights(true)
        .load_file(job.network())?;
    let (images, shape) = job.images()?;
    let images = rten_tensor::NdTensor::from_data(shape, images);
    job.serve(|| Ok(Box::new(model.run_one(images.view().into(), None)?)))
}

fn tract(job: &Job) -> Result<()> {
    set_default_executor(Executor::multithread(job.threads));
    let model = tract_onnx::onnx()
        .model_for_path(job.network())?
        .into_optimized()?
        .into_runnable()?;
    let (images, shape) = job.images()?;
    let images = tract_onnx::prelude::Tensor::from_shape(&shape, &images)?.into_tvalue();
    job.serve(|| Ok(Box::new(model.run(tvec!(images.clone()))?)))
}
