//! Training with a single output for two classes, and what the model says afterward.

use candle_core::{Device, Tensor};
use vgg_surgery::data::{FnDataset, Sample, Target};
use vgg_surgery::train::Finding;
use vgg_surgery::{
    Adam, Dataset, Dense, Error, Graph, Head, Image, Labels, Loss, Model, Preprocessing,
    TensorDataset, Trainer,
};

use crate::{built, noise};

fn gray(level: u8) -> Image {
    Image::from_rgb8(4, 4, vec![level; 48]).unwrap()
}

/// Dark images of class 0, and bright ones of class 1.
fn levels(labels: Option<Labels>) -> impl Dataset {
    let data = FnDataset::new(16, |index| {
        let level = 16 * u8::try_from(index).unwrap_or(0);
        Ok(Sample::new(gray(level), usize::from(level > 127)))
    });
    match labels {
        Some(labels) => data.with_classes(labels),
        None => data,
    }
}

fn network(out: Dense) -> Graph {
    let head = Head::new().global_avg_pool2d("pool").dense("out", out);
    let graph = Graph::new("g", (3, 4, 4)).unwrap().attach(head).unwrap();
    graph.with_preprocessing(Preprocessing::new())
}

fn trained(out: Dense, data: &dyn Dataset) -> (Model, f64) {
    let mut model = built(network(out));
    let history = Trainer::new(&mut model)
        .loss(Loss::binary_cross_entropy())
        .optimizer(Adam::new(0.1))
        .epochs(60)
        .fit(data, data)
        .unwrap();
    let accuracy = *history.curve("val_accuracy").last().unwrap();
    (model, accuracy)
}

fn predicted(model: &Model) -> Vec<usize> {
    let images: Vec<Image> = (0..16).map(|index| gray(16 * index)).collect();
    let predictions = model.predict_images(&images).unwrap();
    let best = predictions
        .iter()
        .filter_map(|prediction| prediction.best());
    best.map(|class| class.index).collect()
}

#[test]
fn predictions_are_right_where_the_metric_says_so() {
    let pets = Labels::new(["cat", "dog"]);
    for labels in [Some(pets.clone()), None] {
        for out in [Dense::new(1).sigmoid(), Dense::new(1)] {
            let is_logit = out == Dense::new(1);
            let (model, accuracy) = trained(out, &levels(labels.clone()));
            let right = predicted(&model).into_iter().enumerate();
            let right = right.filter(|&(index, class)| class == usize::from(16 * index > 127));
            assert_eq!(right.count() as f64 / 16.0, accuracy);
            assert!(accuracy > 0.8, "{accuracy}");
            let expected = match &labels {
                None if is_logit => Some(Labels::new(["class 0", "class 1"])),
                labels => labels.clone(),
            };
            assert_eq!(model.labels(), expected.as_ref());
        }
    }
}

#[test]
fn a_regression_stays_one_whatever_the_classes_are_called() {
    let data = FnDataset::new(4, |index| {
        let value = Tensor::new(&[index as f32], &Device::Cpu)?;
        Ok(Sample::new(gray(64 * index as u8), Target::Values(value)))
    });
    let data = data.with_classes(Labels::new(["cat", "dog"]));
    let mut model = built(network(Dense::new(1)));
    let mut trainer = Trainer::new(&mut model).loss(Loss::mean_squared_error());
    trainer.fit_without_validation(&data).unwrap();
    assert_eq!((model.labels(), model.graph().classes()), (None, 1));
    assert_eq!(model.predict_image(&gray(1)).unwrap().scores().len(), 1);
}

#[test]
fn the_default_loss_names_the_one_to_take() {
    let data = TensorDataset::new(noise((4, 3, 4, 4), 1).abs().unwrap(), [0, 1, 0, 1]).unwrap();
    let mut model = built(network(Dense::new(1).sigmoid()));
    let mut trainer = Trainer::new(&mut model);
    let found = trainer.check(&data).unwrap();
    let error = trainer.fit_without_validation(&data).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    let reason = error.to_string();
    assert!(reason.contains("Loss::binary_cross_entropy()"), "{reason}");
    let layer = "out".to_string();
    let sigmoid = Finding::SigmoidUnderCrossEntropy { layer };
    assert_eq!(found, [Finding::Refused { reason }, sigmoid]);

    let mut model = built(network(Dense::new(2).sigmoid()));
    let found = Trainer::new(&mut model).check(&data).unwrap();
    let layer = "out".to_string();
    assert_eq!(found, [Finding::SigmoidUnderCrossEntropy { layer }]);
    let text = found[0].to_string();
    assert!(text.contains("Loss::binary_cross_entropy()"), "{text}");

    let mut model = built(network(Dense::new(1).sigmoid()));
    let trainer = Trainer::new(&mut model).loss(Loss::binary_cross_entropy());
    assert_eq!(trainer.check(&data).unwrap(), []);
}
