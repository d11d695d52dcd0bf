use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::DataError;
use vgg_surgery::explain::Probe;
use vgg_surgery::{Error, TensorDataset};

use super::{built, noise, whole};

/// Images of noise whose brightness shows their class.
fn examples(classes: usize) -> TensorDataset {
    let (mut images, mut targets) = (Vec::new(), Vec::new());
    for example in 0..classes * 8 {
        let class = example % classes;
        let quiet = (noise((1, 3, 32, 32)) * 0.1).unwrap();
        images.push((quiet + (class as f64 + 0.05 * (example % 3) as f64)).unwrap());
        targets.push(class);
    }
    TensorDataset::new(Tensor::cat(&images, 0).unwrap(), targets).unwrap()
}

#[test]
fn separable_classes_are_classified() {
    let model = built(whole());
    let report = Probe::new()
        .layers(["block1_pool", "fc1"])
        .folds(4)
        .batch_size(5)
        .run(&model, &examples(3))
        .unwrap();
    assert_eq!((report.examples, report.classes), (24, 3));
    assert_eq!(report.chance, 1.0 / 3.0);
    assert_eq!(report.rows[0].layer, "block1_pool");
    assert_eq!(report.rows[0].features, 4);
    assert_eq!(report.rows[0].folds, [1.0; 4]);
    assert_eq!(report.rows[0].deviation(), 0.0);
    assert_eq!(report.rows[1].features, 32);
    assert_eq!(report.best().unwrap().layer, "block1_pool");
    let table = report.to_string();
    assert!(
        table.contains("block1_pool        4   100.0%    0.0%"),
        "{table}"
    );
    let svg = report.to_svg();
    assert_eq!(svg.matches("<rect").count(), 2);
    assert_eq!(svg.matches("<circle").count(), 8);
}

#[test]
fn all_pools_are_probed_by_default() {
    let report = Probe::new().folds(2).run(&built(whole()), &examples(2));
    let layers = report.unwrap().rows.into_iter().map(|row| row.layer);
    let pools = (1..=5).map(|block| format!("block{block}_pool"));
    assert!(layers.eq(pools));
}

#[test]
fn equal_examples_are_classified_by_chance() {
    let model = built(whole());
    let same = Tensor::ones((8, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let data = TensorDataset::new(same, vec![0, 0, 0, 0, 0, 0, 1, 1]).unwrap();
    let report = Probe::new()
        .layers(["block2_pool"])
        .folds(2)
        .run(&model, &data)
        .unwrap();
    assert_eq!(report.rows[0].accuracy(), report.chance);
}

#[test]
fn illegal_settings_and_targets_are_refused() {
    let model = built(whole());
    let new = || Probe::new().layers(["block1_pool"]).folds(2);
    let none: [&str; 0] = [];
    let refused = |probe: Probe, data: &TensorDataset| {
        let error = probe.run(&model, data).unwrap_err();
        let is_setting = matches!(error, Error::InvalidSetting { .. });
        assert!(is_setting, "{error}");
    };
    for probe in [
        new().folds(1),
        new().folds(17),
        new().penalty(0.0),
        new().layers(none),
    ] {
        refused(probe, &examples(2));
    }
    let values = TensorDataset::values(noise((4, 3, 32, 32)), noise((4, 1))).unwrap();
    refused(new(), &values);
    for class in [16_384, 1 << 40, usize::MAX] {
        let far = TensorDataset::new(noise((2, 3, 32, 32)), [0, class]).unwrap();
        refused(new(), &far);
    }
    let empty = vgg_surgery::data::MemoryDataset::new(Vec::new());
    let error = Probe::new().run(&model, &empty).unwrap_err();
    assert!(matches!(error, Error::Data(DataError::Empty)));
}
