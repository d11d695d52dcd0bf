//! Networks of one channel. The luma of a gray image is the image.

use vgg_surgery::explain::{Dream, Maximization, Stylize, filter_images};
use vgg_surgery::{Explainer, Image, Model, Preprocessing};

use super::{built, whole};

fn model() -> Model {
    let preprocessing = Preprocessing::torchvision().with_size(40, 40);
    let graph = whole().with_preprocessing(preprocessing);
    built(graph).adapt_input(1).unwrap()
}

fn image(is_colored: bool) -> Image {
    let bytes = (0..44 * 50).flat_map(|at| {
        let level = (at * at % 251) as u8;
        [level, if is_colored { level / 2 } else { level }, level]
    });
    Image::from_rgb8(44, 50, bytes.collect::<Vec<_>>()).unwrap()
}

fn is_gray(image: &Image) -> bool {
    let mut pixels = image.as_rgb8().chunks_exact(3);
    pixels.all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
}

#[test]
fn a_colored_image_is_explained_as_its_luma() {
    let model = model();
    let explainer = Explainer::new(&model).unwrap();
    let colored = image(true);
    let preprocessing = model.graph().input_preprocessing().unwrap();
    let luma = preprocessing
        .clone()
        .without_resize()
        .fit(&colored)
        .unwrap();
    assert!(is_gray(&luma) && luma != colored);
    let x = preprocessing.apply(&colored).unwrap();
    assert_eq!(x.dims(), [1, 1, 40, 40]);
    let class = explainer.top_class(&colored).unwrap();
    let heat = explainer.grad_cam("block4_conv3", &x, class).unwrap();
    let of_image = explainer.grad_cam("block4_conv3", &colored, class).unwrap();
    assert_eq!(of_image.values(), heat.values());
    let slopes = explainer.saliency(&x, class).unwrap();
    assert_eq!(slopes.magnitude().unwrap().width(), 40);
}

#[test]
fn computed_images_are_gray() {
    let model = model();
    let maximization = Maximization::new().size(40).steps(2);
    let maximized = maximization.run(&model, "block2_conv1", 1).unwrap();
    assert_eq!((maximized.width(), maximized.height()), (40, 40));
    let open = built(whole().without_top().unwrap())
        .edit(|graph| Ok(graph.with_preprocessing(Preprocessing::caffe())))
        .unwrap()
        .adapt_input(1)
        .unwrap();
    let dream = Dream::new().octaves(2).steps(1).jitter(2);
    let dreamed = dream.run(&open, "block3_conv1", &image(true)).unwrap();
    let stylize = Stylize::new().steps(2);
    let stylized = stylize.run(&open, &image(true), &image(false)).unwrap();
    let filters = filter_images(&model, "block1_conv1").unwrap();
    assert_eq!(filters.len(), 4);
    for image in filters
        .iter()
        .chain([&maximized, &dreamed, &stylized.image])
    {
        assert!(is_gray(image));
    }
}

/// The largest magnitude is black or white, and 0 is middle gray.
#[test]
fn filters_of_one_channel_are_shown() {
    let model = model();
    let mut parameters = model.parameters();
    let weight = parameters.find(|p| p.layer == "block1_conv1" && p.name == "weight");
    let weight: Vec<f32> = weight
        .unwrap()
        .tensor
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap();
    let images = filter_images(&model, "block1_conv1").unwrap();
    for (image, filter) in images.iter().zip(weight.chunks_exact(9)) {
        let most = filter
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        let levels = filter
            .iter()
            .map(|value| (127.5 + 127.5 * value / most).round() as u8);
        for (pixel, level) in image.as_rgb8().chunks_exact(3).zip(levels) {
            assert!(pixel[0].abs_diff(level) <= 1);
        }
    }
}
