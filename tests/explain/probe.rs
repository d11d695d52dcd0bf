use candle_core::{DType, Device, Tensor};
use vgg_surgery::{DataError, Error, Probe, TensorDataset};

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
fn what_can_be_told_apart_is() {
    let model = built(whole());
    let report = Probe::new()
        .folds(4)
        .batch_size(5)
        .run(&model, &examples(3), ["block1_pool", "fc1"])
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
fn what_is_the_same_is_told_as_by_chance() {
    let model = built(whole());
    let same = Tensor::ones((8, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let data = TensorDataset::new(same, vec![0, 0, 0, 0, 0, 0, 1, 1]).unwrap();
    let report = Probe::new()
        .folds(2)
        .run(&model, &data, ["block2_pool"])
        .unwrap();
    assert_eq!(report.rows[0].accuracy(), report.chance);
}

#[test]
fn what_can_not_be_probed_is_refused() {
    let model = built(whole());
    let data = examples(2);
    let layers = ["block1_pool"];
    let none: [&str; 0] = [];
    for error in [
        Probe::new()
            .folds(1)
            .run(&model, &data, layers)
            .unwrap_err(),
        Probe::new()
            .folds(17)
            .run(&model, &data, layers)
            .unwrap_err(),
        Probe::new()
            .penalty(0.0)
            .run(&model, &data, layers)
            .unwrap_err(),
        Probe::new().run(&model, &data, none).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidSetting { .. }));
    }
    let values = TensorDataset::values(noise((4, 3, 32, 32)), noise((4, 1))).unwrap();
    let error = Probe::new()
        .folds(2)
        .run(&model, &values, layers)
        .unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }));
    for class in [16_384, 1 << 40, usize::MAX] {
        let far = TensorDataset::new(noise((2, 3, 32, 32)), [0, class]).unwrap();
        let error = Probe::new().folds(2).run(&model, &far, layers).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }));
    }
    let empty = vgg_surgery::MemoryDataset::new(Vec::new());
    let error = Probe::new().run(&model, &empty, layers).unwrap_err();
    assert!(matches!(error, Error::Data(DataError::Empty)));
}
