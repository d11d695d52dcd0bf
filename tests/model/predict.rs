use candle_core::{Device, Tensor};
use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::Resize;
use vgg_surgery::{Activation, Dense, Error, Graph, Head, Image, Labels, Model, Preprocessing};

use crate::{assert_error, built, two_blocks, whole};

fn image(width: usize, height: usize, seed: u8) -> Image {
    let bytes: Vec<u8> = (0..3 * width * height)
        .map(|index| (index as u8).wrapping_mul(37).wrapping_add(seed))
        .collect();
    Image::from_rgb8(width, height, bytes).unwrap()
}

fn names() -> Labels {
    Labels::new((0..10).map(|class| format!("class {class}")))
}

fn classifier() -> Graph {
    let graph = whole().with_preprocessing(Preprocessing::caffe());
    graph.input((3, 40, 32)).unwrap()
}

#[test]
fn an_image_is_preprocessed_at_the_size_of_the_input() {
    let model = built(classifier().with_labels(names()).unwrap());
    let image = image(50, 60, 1);
    let prediction = model.predict_image(&image).unwrap();
    let x = Preprocessing::caffe()
        .with_size(40, 32)
        .apply(&image)
        .unwrap();
    let expected: Vec<f32> = model
        .forward(&x)
        .unwrap()
        .squeeze(0)
        .unwrap()
        .to_vec1()
        .unwrap();
    assert_eq!(prediction.scores(), expected);
    let sum: f32 = expected.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5);
    let top = prediction.top(3);
    assert_eq!(top.len(), 3);
    assert!(top[0].score >= top[1].score && top[1].score >= top[2].score);
    let best = expected.iter().copied().fold(0.0, f32::max);
    assert_eq!(top[0].score, best);
    let name = format!("class {}", top[0].index);
    assert_eq!(top[0].name.as_deref(), Some(name.as_str()));
    assert_eq!(top[0].synset, None);
    assert_eq!(top[0].to_string(), format!("{best:.4} {name}"));
    assert_eq!(prediction.top(99).len(), 10);
    assert!(prediction.top(0).is_empty());
    assert_eq!(prediction.best().as_ref(), top.first());
    assert_eq!(model.classify(&image, 3).unwrap(), top);
}

#[test]
fn images_in_a_batch_are_what_they_are_alone() {
    let model = built(classifier());
    let images = [image(20, 30, 1), image(33, 20, 2), image(5, 5, 3)];
    let together = model.predict_images(&images).unwrap();
    assert_eq!(together.len(), 3);
    for (together, image) in together.iter().zip(&images) {
        let alone = model.predict_image(image).unwrap();
        assert_eq!(together.scores().len(), alone.scores().len());
        for (a, b) in together.scores().iter().zip(alone.scores()) {
            assert!((a - b).abs() <= 1e-6);
        }
    }
    let error = model.predict_images(&[]).unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::EmptyBatch)));
}

/// The scores of a network whose output is its one dense layer's bias.
fn with_scores(scores: &[f32]) -> Model {
    let graph = Graph::new("g", (3, 1, 1)).unwrap();
    let head = Head::new().flatten("flat").dense(
        "out",
        Dense::new(scores.len()).kernel_init(vgg_surgery::layers::Init::ZEROS),
    );
    let graph = graph.attach(head).unwrap();
    let model = built(graph.with_preprocessing(Preprocessing::new()));
    let bias = Tensor::new(scores, &Device::Cpu).unwrap();
    model.trainable_variables()[1].set(&bias).unwrap();
    model
}

#[test]
fn of_equal_scores_the_lower_index_comes_first_and_nan_last() {
    let order = |scores: &[f32]| -> Vec<usize> {
        let prediction = with_scores(scores).predict_image(&image(4, 4, 0)).unwrap();
        prediction
            .top(scores.len())
            .iter()
            .map(|r| r.index)
            .collect()
    };
    assert_eq!(order(&[1.0, 3.0, 3.0, 2.0]), [1, 2, 3, 0]);
    assert_eq!(
        order(&[f32::NAN, 1.0, f32::NEG_INFINITY, 2.0]),
        [3, 1, 2, 0]
    );
    assert_eq!(order(&[-0.0, 0.0]), [0, 1]);
}

#[test]
fn labels_follow_their_layer() {
    let graph = classifier().with_labels(names()).unwrap();
    let image = image(40, 32, 1);
    let first = |graph: Graph| {
        let best = built(graph).predict_image(&image).unwrap().top(1);
        best[0].name.clone()
    };
    assert!(first(graph.clone()).is_some());
    let logits = graph.clone().truncate("predictions:pre").unwrap();
    assert!(first(logits.clone()).is_some());
    let softened = logits.attach(Activation::Sigmoid).unwrap();
    assert!(first(softened).is_some());
    let other = graph.clone().attach(Dense::new(10)).unwrap();
    assert!(first(other).is_none());
    let hidden = graph.truncate("fc1").unwrap();
    assert!(first(hidden).is_none());
}

#[test]
fn what_a_model_lacks_for_images() {
    let image = image(40, 32, 1);
    let unsupported = |what, reason: &str| Error::Unsupported {
        what,
        reason: reason.to_string(),
    };
    let error = built(classifier()).classify(&image, 1).unwrap_err();
    let reason = "it has no labels; give its graph some (with_labels), or use predict_image";
    assert_error(error, unsupported("name classes", reason), "labels");
    let error = built(whole()).predict_image(&image).unwrap_err();
    let reason = "it has no preprocessing; give its graph one with with_preprocessing";
    assert_error(error, unsupported("take images", reason), "preprocessing");
    let maps = two_blocks().with_preprocessing(Preprocessing::caffe());
    let error = built(maps.input((3, 8, 8)).unwrap())
        .predict_image(&image)
        .unwrap_err();
    let reason = "its output is a feature map (8, 2, 2); attach a classifier first";
    assert_error(error, unsupported("classify", reason), "a map");
    let any_size = whole().with_preprocessing(Preprocessing::caffe().without_resize());
    let sizes = [image.clone(), self::image(64, 64, 1)];
    let error = built(any_size.clone()).predict_images(&sizes).unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::BatchSizes { .. })));
    let small = self::image(8, 8, 1);
    let error = built(any_size).predict_image(&small).unwrap_err();
    assert!(matches!(error, Error::InputTooSmall { .. }));
    let gray = vgg_surgery::Vgg11::options().widths(16).in_channels(1);
    let gray = gray.untrained(0).unwrap();
    let gray = gray.with_preprocessing(Preprocessing::caffe());
    let error = built(gray).predict_image(&image).unwrap_err();
    let reason = "its input has channels: 1, but its preprocessing makes 3; set another with \
                  with_preprocessing, whose with_channel_order is Gray";
    assert_error(error, unsupported("take images", reason), "gray");
    let five = vgg_surgery::Vgg11::options().widths(16).in_channels(5);
    let five = five.untrained(0).unwrap();
    let error = built(five).predict_image(&image).unwrap_err();
    let reason = "its input has 5 channels, and images have 1 or 3; give it tensors, as \
                  TensorDataset and forward take them";
    assert_error(error, unsupported("take images", reason), "5 channels");
}

#[test]
fn preprocessing_takes_the_inputs_size() {
    let graph = whole().with_preprocessing(Preprocessing::torchvision());
    let own = graph.input_preprocessing().unwrap();
    assert_eq!(own, Preprocessing::torchvision());
    let sized = graph.input((3, 160, 160)).unwrap();
    let sized = sized.input_preprocessing().unwrap();
    assert!(matches!(
        sized.resize(),
        Resize::ShortSide {
            short_side: 182,
            crop: Some((160, 160)),
            ..
        }
    ));
}

#[test]
fn labels_must_be_as_many_as_the_classes() {
    let error = classifier().with_labels(Labels::new(["a", "b"]));
    let expected = Error::Unsupported {
        what: "take these labels",
        reason: "there are 2 for the 10 classes of \"predictions\"".to_string(),
    };
    assert_error(error.unwrap_err(), expected, "two labels");
}
