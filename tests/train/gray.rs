//! A network of one channel on image files.

use std::path::Path;

use candle_core::Device;
use vgg_surgery::preprocess::ChannelOrder;
use vgg_surgery::train::History;
use vgg_surgery::{
    Adam, Dataset, Dense, Head, Image, ImageFolder, Model, Preprocessing, Trainer, Vgg16,
};

/// Bright and dark images, in color or as their lumas.
fn folder(root: &Path, is_colored: bool) -> ImageFolder {
    let gray = Preprocessing::new().with_channel_order(ChannelOrder::Gray);
    for (class, base) in [("bright", 150), ("dark", 20)] {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for index in 0..4u8 {
            let bytes = (0..40 * 36).flat_map(|at| {
                let level = base + (at % 40) as u8 + 5 * index;
                [level, level ^ 0x15, level / 2]
            });
            let image = Image::from_rgb8(40, 36, bytes.collect::<Vec<_>>()).unwrap();
            let stored = if is_colored {
                image
            } else {
                gray.fit(&image).unwrap()
            };
            stored
                .save(root.join(format!("{class}/{index}.png")))
                .unwrap();
        }
    }
    ImageFolder::open(root).unwrap()
}

fn model() -> Model {
    let nano = Vgg16::nano().input((3, 36, 40)).unwrap();
    // A resize to 8 bits does not commute with the luma.
    let plain = nano.preprocessing().unwrap().clone().without_resize();
    let trunk = nano.truncate("block2_pool").unwrap().freeze_all();
    let trunk = trunk.with_preprocessing(plain);
    let trunk = trunk.build(&Device::Cpu).unwrap().adapt_input(1).unwrap();
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(2).softmax());
    trunk
        .edit(|graph| graph.attach(head).map(|graph| graph.seed(3)))
        .unwrap()
}

fn trained(data: &ImageFolder) -> (Model, History) {
    let mut model = model();
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Adam::new(0.05))
        .epochs(12);
    let check = trainer.check(data).unwrap();
    assert!(check.is_empty(), "{check:?}");
    let history = trainer.fit_without_validation(data).unwrap();
    drop(trainer);
    (model, history)
}

/// The luma of a gray image is the image: both folders are the same data.
#[test]
fn colored_and_gray_files_train_a_network_of_one_channel() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let colored = folder(folders[0].path(), true);
    let gray = folder(folders[1].path(), false);
    let (model, history) = trained(&colored);
    let (other, same) = trained(&gray);
    assert_eq!(history.curve("loss").len(), 12);
    assert_eq!(history.curve("loss"), same.curve("loss"));
    assert!(history.curve("loss")[11] < history.curve("loss")[0]);
    for index in 0..colored.len() {
        let [first, second] = [&colored, &gray].map(|data| Image::open(data.path(index).unwrap()));
        let prediction = model.predict_image(&first.unwrap()).unwrap();
        assert_eq!(prediction, other.predict_image(&second.unwrap()).unwrap());
    }
}
