//! A local hub, and a cache for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::weights::HubOptions;
use vgg_surgery::{Graph, Model, Result, Vgg16};

use crate::child::Process;
use crate::support::content::Sparse;
use crate::support::local_hub::LocalHub;

const REPOSITORY: &str = "timm/vgg16.tv_in1k";
/// The hash that Vgg16's own weight set promises.
const SHA256: &str = "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8";
const ENDPOINT: &str = "HF_ENDPOINT";

pub struct Rig {
    pub hub: LocalHub,
    home: tempfile::TempDir,
}

pub fn cut() -> Graph {
    Vgg16::pretrained().truncate("block2_pool").unwrap()
}

fn build(endpoint: &str, home: &Path) -> Result<Model> {
    let hub = HubOptions::from_env()
        .endpoint(endpoint)
        .home(home)
        .offline(false)
        .retries(2)
        .retry_delay(Duration::from_millis(1));
    cut().build_with(&Device::Cpu, &BuildOptions::new().hub(hub))
}

impl Rig {
    pub fn start() -> Self {
        let file = Arc::new(Sparse::vgg16());
        let files = vec![("model.safetensors", file as _, SHA256.to_string())];
        Self {
            hub: LocalHub::start(REPOSITORY, files),
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn build(&self) -> Result<Model> {
        build(self.hub.endpoint(), self.home())
    }

    /// Builds in a child that knows this hub.
    pub fn child(home: &Path) -> Result<Model> {
        build(&std::env::var(ENDPOINT).unwrap(), home)
    }

    pub fn known_to<'a>(&self, process: Process<'a>) -> Process<'a> {
        process.variable(ENDPOINT, self.hub.endpoint())
    }
}
