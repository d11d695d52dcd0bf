//! A delta whose base is on a hub.

use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use sha2::{Digest, Sha256};
use vgg_surgery::model::{BuildOptions, LoadOptions};
use vgg_surgery::weights::HubOptions;
use vgg_surgery::{Dense, Error, Head, Model, Vgg16, WeightSet};

use crate::support::local_hub::{COMMIT, LocalHub};
use crate::{assert_same, built, temporary, whole};

#[test]
fn the_base_is_pinned_to_its_commit_and_found_in_the_cache() {
    let base = built(&whole()).to_bytes().unwrap();
    let sha256: String = Sha256::digest(&base)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let file = "model.safetensors";
    let bytes = Arc::new(base);
    let hub = LocalHub::start("me/vgg", vec![(file, bytes.clone(), sha256.clone())]);
    let home = temporary();
    let options = |offline| {
        HubOptions::from_env()
            .endpoint(hub.endpoint())
            .home(home.path())
            .offline(offline)
            .retries(0)
            .timeout(Duration::from_secs(5))
    };
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(2));
    let graph = Vgg16::options().widths(16).hidden(32).classes(10);
    let graph = graph.pretrained_from(WeightSet::hub("me/vgg")).unwrap();
    let graph = graph.truncate("block3_pool").unwrap().attach(head).unwrap();
    let build = BuildOptions::new().hub(options(false));
    let model = graph.build_with(&Device::Cpu, &build).unwrap();

    let path = home.path().join("head.safetensors");
    let online = LoadOptions::new().hub(options(false));
    model.save_delta_with(&path, &online).unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    for named in ["me/vgg", COMMIT, sha256.as_str()] {
        assert!(text.contains(named), "{named} is not in the file");
    }

    // A mirror is named in its place; a copy on disk is not.
    let copy = home.path().join("copy.safetensors");
    std::fs::write(&copy, &*bytes).unwrap();
    let named = |options: LoadOptions| {
        let path = home.path().join("other");
        model.save_delta_with(&path, &options).unwrap();
        String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
    };
    let text = named(LoadOptions::new().base(copy.as_path()));
    assert!(text.contains("me/vgg") && !text.contains("copy.safetensors"));
    let mirror = LocalHub::start("you/mirror", vec![(file, bytes, sha256.clone())]);
    let elsewhere = temporary();
    let of_mirror = options(false)
        .endpoint(mirror.endpoint())
        .home(elsewhere.path());
    let text = named(
        LoadOptions::new()
            .hub(of_mirror)
            .base(WeightSet::hub("you/mirror")),
    );
    assert!(text.contains(r#"repository\":\"you/mirror"#) && text.contains(COMMIT));
    assert!(!text.contains(r#"repository\":\"me/vgg"#));

    // The hub moves on; the file does not.
    hub.set_commit(&"f".repeat(40));
    hub.take_requests();
    let again = Model::load_with(&path, &Device::Cpu, &LoadOptions::new().hub(options(true)));
    assert_same(&again.unwrap(), &model);
    assert_eq!(hub.take_requests(), []);

    let elsewhere = temporary();
    let empty = options(true).home(elsewhere.path());
    let error = Model::load_with(&path, &Device::Cpu, &LoadOptions::new().hub(empty)).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}
