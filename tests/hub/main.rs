//! The main job against a local hub: surgery first, then only what is left is
//! fetched.
#![cfg(feature = "hub")]

mod network;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use support::content::Sparse;
use support::local_hub::{Behavior, LocalHub};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::weights::HubOptions;
use vgg_surgery::{Conv2d, Error, Graph, Vgg16};

const REPOSITORY: &str = "timm/vgg16.tv_in1k";
const FILE: &str = "model.safetensors";

/// The hash that Vgg16's own weight set promises.
const SHA256: &str = "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8";

struct Rig {
    hub: LocalHub,
    home: tempfile::TempDir,
}

impl Rig {
    fn start() -> Self {
        let file = Arc::new(Sparse::vgg16());
        let hub = LocalHub::start(REPOSITORY, vec![(FILE, file, SHA256.to_string())]);
        let home = tempfile::tempdir().unwrap();
        Self { hub, home }
    }

    fn hub_options(&self) -> HubOptions {
        HubOptions::from_env()
            .endpoint(self.hub.endpoint())
            .home(self.home.path())
            .offline(false)
            .retries(2)
            .retry_delay(Duration::from_millis(1))
    }

    fn options(&self) -> BuildOptions {
        BuildOptions::new().hub(self.hub_options())
    }
}

fn cut() -> Graph {
    Vgg16::pretrained().truncate("block2_pool").unwrap()
}

#[test]
fn a_cut_network_moves_little_of_553_mb() {
    let rig = Rig::start();
    let graph = cut();
    let model = graph.build_with(&Device::Cpu, &rig.options()).unwrap();
    let sent = rig.hub.take_sent();
    assert!(sent >= graph.plan().bytes_to_fetch);
    assert!(sent < 1_200_000, "{sent} bytes were sent");
    assert_eq!(rig.hub.take_requests().len(), 4);

    let file = Sparse::vgg16();
    for parameter in model.parameters() {
        let index = match parameter.layer {
            "block1_conv1" => 0,
            "block1_conv2" => 2,
            "block2_conv1" => 5,
            _ => 7,
        };
        let key = format!("features.{index}.{}", parameter.name);
        let values = parameter.tensor.flatten_all().unwrap();
        assert_eq!(values.to_vec1::<f32>().unwrap(), file.values(&key), "{key}");
    }
}

#[test]
fn a_larger_cut_fetches_the_difference_and_offline_needs_nothing() {
    let rig = Rig::start();
    let _ = cut().build_with(&Device::Cpu, &rig.options()).unwrap();
    rig.hub.take_sent();
    let larger = Vgg16::pretrained().truncate("block3_conv1").unwrap();
    let _ = larger.build_with(&Device::Cpu, &rig.options()).unwrap();
    let difference = 4 * 295_168;
    let sent = rig.hub.take_sent();
    assert!((difference..difference + 10_000).contains(&sent), "{sent}");

    let offline =
        BuildOptions::new().hub(HubOptions::from_env().home(rig.home.path()).offline(true));
    rig.hub.take_requests();
    let _ = cut().build_with(&Device::Cpu, &offline).unwrap();
    assert_eq!(rig.hub.take_requests(), []);
    let whole = Vgg16::pretrained().without_top().unwrap();
    let error = whole.build_with(&Device::Cpu, &offline).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[test]
fn a_refused_download_leaves_the_graph_usable() {
    let rig = Rig::start();
    rig.hub.behave(Behavior {
        api_status: Some(403),
        ..Behavior::default()
    });
    let graph = cut();
    let error = graph.build_with(&Device::Cpu, &rig.options()).unwrap_err();
    assert!(
        matches!(error, Error::HubForbidden { status: 403, .. }),
        "{error}"
    );
    rig.hub.behave(Behavior::default());
    let model = graph.build_with(&Device::Cpu, &rig.options()).unwrap();
    let x = Tensor::zeros((1, 3, 8, 8), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(model.forward(&x).unwrap().dims(), [1, 128, 2, 2]);
}

#[test]
fn an_edit_fetches_what_it_brings_and_keeps_the_rest() {
    let rig = Rig::start();
    let conv = Conv2d::new(64, 5).same().relu().named("new_conv");
    let graph = cut()
        .replace("block1_conv1"..="block1_conv2", conv)
        .unwrap();
    let model = graph.build_with(&Device::Cpu, &rig.options()).unwrap();
    rig.hub.take_sent();
    let back = Vgg16::pretrained()
        .slice("block3_conv1"..="block3_conv1")
        .unwrap();
    let longer = model
        .edit_with(&rig.options(), |graph| graph.append(back))
        .unwrap();
    let sent = rig.hub.take_sent();
    let difference = 4 * 295_168;
    assert!((difference..difference + 10_000).contains(&sent), "{sent}");
    assert_eq!(longer.graph().output_shapes()[0].channels(), 256);
}

/// Names the file that a process started by this test leaves its output in.
const OUTPUT: &str = "VGG_SURGERY_TEST_OUTPUT";

/// This test alone, in a process of its own that knows the hub from its
/// environment.
fn process(rig: &Rig, output: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "two_processes_load_at_once"])
        .env(OUTPUT, output)
        .env("HF_ENDPOINT", rig.hub.endpoint())
        .env("HF_HOME", rig.home.path())
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn two_processes_load_at_once() {
    let x = Tensor::ones((1, 3, 8, 8), DType::F32, &Device::Cpu).unwrap();
    if let Some(output) = env::var_os(OUTPUT) {
        let y = cut().build(&Device::Cpu).unwrap().forward(&x).unwrap();
        y.save_safetensors("y", output).unwrap();
        return;
    }
    let rig = Rig::start();
    let outputs = ["first", "second"].map(|name| rig.home.path().join(name));
    let processes = [0, 1].map(|index| process(&rig, &outputs[index]));
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let sent = rig.hub.take_sent();
    assert!(sent < 1_200_000, "{sent} bytes were sent");

    let model = cut().build_with(&Device::Cpu, &rig.options()).unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected = values(&model.forward(&x).unwrap());
    for output in outputs {
        let saved = candle_core::safetensors::load(output, &Device::Cpu).unwrap();
        assert_eq!(values(&saved["y"]), expected);
    }
}
