//! Images with any number of labels, from CSV and JSON files.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;
use vgg_surgery::data::{ImageLabelFolder, ImageLabelOptions, Loader, Sample, Target, Targets};
use vgg_surgery::error::DataError;
use vgg_surgery::{Dataset, Error, Labels, Result, TensorDataset};

use crate::{bytes_8x8, data_error, gradient, image, values};

/// Three images, and a file of labels of this name.
pub(crate) fn folder(name: &str, text: &str) -> TempDir {
    let root = TempDir::new().unwrap();
    for (index, file) in ["a.png", "b.png", "sub/c.png"].iter().enumerate() {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        gradient(10 + index, 10).save(path).unwrap();
    }
    fs::write(root.path().join(name), text).unwrap();
    root
}

pub(crate) fn opened(
    options: ImageLabelOptions,
    name: &str,
    text: &str,
) -> Result<ImageLabelFolder> {
    let root = folder(name, text);
    options.open(root.path(), root.path().join(name))
}

pub(crate) fn csv(text: &str) -> Result<ImageLabelFolder> {
    opened(ImageLabelFolder::options(), "labels.csv", text)
}

pub(crate) fn names(data: &ImageLabelFolder) -> Vec<&str> {
    data.labels().iter().map(|label| label.name).collect()
}

pub(crate) fn sets(data: &dyn Dataset) -> Vec<Vec<usize>> {
    let sets = (0..data.len()).map(|index| data.labels_of(index));
    sets.collect::<Option<_>>().unwrap()
}

/// The rows of scikit-learn's `MultiLabelBinarizer` for these labels: sorted names.
#[test]
fn lists_columns_and_json_say_the_same() {
    let listed = "image,labels\na.png,grass;cat\nb.png,dog\nsub/c.png,\n";
    let in_columns = "image,first,second\na.png,cat,grass\nb.png,dog,\nsub/c.png,,\n";
    let ragged = "a.png,grass,cat\nb.png,dog\nsub/c.png\n";
    let spaced = "\u{feff}a.png, cat ; grass\r\n\r\nb.png,dog;dog\r\nsub/c.png,";
    for text in [listed, in_columns, ragged, spaced] {
        let data = csv(text).unwrap();
        assert_eq!(names(&data), ["cat", "dog", "grass"], "{text}");
        assert_eq!(sets(&data), [vec![0, 2], vec![1], vec![]], "{text}");
    }
    let json = r#"{"a.png": ["grass", "cat"], "b.png": ["dog"], "sub/c.png": []}"#;
    let options = ImageLabelFolder::options;
    let data = opened(options(), "labels.JSON", json).unwrap();
    assert_eq!(names(&data), ["cat", "dog", "grass"]);
    assert_eq!(sets(&data), [vec![0, 2], vec![1], vec![]]);
    let tabs = "image\tlabels\na.png\tcat;grass\nb.png\tdog\nsub/c.png\t\n";
    let data = opened(options(), "labels.tsv", tabs).unwrap();
    assert_eq!(sets(&data), [vec![0, 2], vec![1], vec![]]);
}

#[test]
fn one_hot_columns_name_the_labels_in_their_order() {
    let text = "image,sky,\"a, b\",cat\nb.png,1,0,True\na.png,0.0,1.0,false\n";
    let data = csv(text).unwrap();
    assert_eq!(names(&data), ["sky", "a, b", "cat"]);
    assert_eq!(sets(&data), [vec![0, 2], vec![1]]);
    assert!(data.path(0).unwrap().ends_with("b.png"));
    let single = |is_one_hot| {
        let options = ImageLabelFolder::options().one_hot(is_one_hot);
        opened(options, "l.csv", "image,has_cat\na.png,1\nb.png,0\n").unwrap()
    };
    assert_eq!(names(&single(true)), ["has_cat"]);
    assert_eq!(sets(&single(true)), [vec![0], vec![]]);
    assert_eq!(names(&single(false)), ["0", "1"]);
}

/// The files of fastai's `PLANET` and `PASCAL_2007`, whose labels are between spaces.
#[test]
fn columns_separators_and_endings_can_be_chosen() {
    let options = ImageLabelFolder::options();
    let planet = options.clone().delimiter(' ').suffix(".png");
    let text = "image_name,tags\na,haze primary\nb,clear\n";
    let data = opened(planet.clone(), "train.csv", text).unwrap();
    assert_eq!(names(&data), ["clear", "haze", "primary"]);
    assert_eq!(sets(&data), [vec![1, 2], vec![0]]);
    let headless = opened(planet, "train.csv", "a,haze primary\nb,clear\n").unwrap();
    assert_eq!(sets(&headless), [vec![1, 2], vec![0]]);
    let pascal = options.clone().delimiter(' ').label_columns(["labels"]);
    let text = "is_valid,labels,fname\nTrue,car person,a.png\nFalse,car,b.png\n";
    let data = opened(pascal.file_column("fname"), "train.csv", text).unwrap();
    assert_eq!(sets(&data), [vec![0, 1], vec![0]]);
    let semicolons = options.separator(';').delimiter('|');
    let data = opened(semicolons, "l.csv", "a.png;cat|dog\nb.png;dog\n").unwrap();
    assert_eq!(sets(&data), [vec![0, 1], vec![1]]);
}

#[test]
fn given_labels_have_their_order_and_no_others_are_accepted() {
    let labels = Labels::new(["dog", "cat", "bird"]);
    let options = ImageLabelFolder::options().with_labels(labels);
    let data = opened(options.clone(), "l.csv", "a.png,cat;dog\nb.png,\n").unwrap();
    assert_eq!(names(&data), ["dog", "cat", "bird"]);
    assert_eq!(sets(&data), [vec![0, 1], vec![]]);
    let error = data_error(opened(options, "l.csv", "a.png,cat;dgo\n"));
    assert!(
        matches!(&error, DataError::UnknownLabel { image, label, nearest, .. }
            if image == "a.png" && label == "dgo" && nearest[0] == "dog"),
        "{error}"
    );
    let twice = ImageLabelFolder::options().with_labels(Labels::new(["a", "a"]));
    refused(
        opened(twice, "l.csv", "a.png,a\n"),
        None,
        "two labels named \"a\"",
    );
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T>, at: Option<usize>, words: &str) {
    let error = data_error(result);
    let DataError::LabelFile { line, reason, file } = &error else {
        panic!("{error}");
    };
    assert_eq!(*line, at, "{reason}");
    assert!(reason.contains(words), "{reason}");
    assert!(error.to_string().starts_with(&file.display().to_string()));
}

#[test]
fn files_that_could_mean_something_else_are_refused() {
    let line = Some;
    refused(csv(""), None, "lists no images");
    refused(csv("image,labels\n"), None, "lists no images");
    refused(csv("a.png,\nb.png,\n"), None, "gives no image a label");
    refused(csv("a.png;cat\nb.png;dog\n"), None, "single column");
    refused(
        csv("image,labels\na.png,cat,dog\n"),
        line(2),
        "3 fields, but the header has 2",
    );
    refused(csv("a.png,\"cat,dog\"\n"), line(1), "delimiter(..)");
    refused(
        csv("\"a.png\",\"['cat', 'dog']\"\n"),
        line(1),
        "delimiter(..)",
    );
    refused(csv("a.png,cat|dog\n"), line(1), "delimiter(..)");
    refused(csv("image,has_cat\na.png,1\n"), None, "one_hot(true)");
    refused(
        csv("image,labels,is_valid\na.png,cat,True\n"),
        None,
        "\"is_valid\"",
    );
    refused(
        csv("image,cat,cat\na.png,1,0\n"),
        line(1),
        "two columns named \"cat\"",
    );
    refused(csv("a.png,cat\n\"b.png,dog\n"), line(2), "never closed");
    let options = ImageLabelFolder::options;
    let one_hot = opened(
        options().one_hot(true),
        "l.csv",
        "image,cat,dog\na.png,1,2\n",
    );
    refused(one_hot, line(2), "\"2\" for \"dog\"");
    let headless = opened(options().one_hot(true), "l.csv", "a.png,1,0\n");
    refused(headless, line(1), "has no header");
    let column = options().label_columns(["tags"]);
    refused(
        opened(column.clone(), "l.csv", "image,labels\na.png,x\n"),
        line(1),
        "no \"tags\"",
    );
    refused(
        opened(column, "l.csv", "a.png,x\n"),
        line(1),
        "has no header",
    );
    for json in ["[]", "{\"a.png\": \"cat\"}", "{\"a.png\": [1]}", "{"] {
        refused(
            opened(options(), "l.json", json),
            None,
            "lists of labels by file",
        );
    }
    let root = folder("l.csv", "");
    fs::write(root.path().join("l.csv"), [0xff, 0xfe, b'a']).unwrap();
    let error = ImageLabelFolder::open(root.path(), root.path().join("l.csv"));
    refused(error, None, "UTF-8");
    let error = ImageLabelFolder::open(root.path(), root.path().join("none.csv"));
    assert!(matches!(error, Err(Error::Io { path, .. }) if path.ends_with("none.csv")));
}

#[test]
fn an_image_is_listed_once() {
    let error = data_error(csv("a.png,cat\nb.png,dog\na.png,grass\n"));
    assert!(
        matches!(&error, DataError::RepeatedImage { image, lines: Some((1, 3)), .. }
            if image == "a.png"),
        "{error}"
    );
    let json = r#"{"a.png": ["cat"], "a.png": []}"#;
    let error = data_error(opened(ImageLabelFolder::options(), "l.json", json));
    assert!(matches!(
        error,
        DataError::RepeatedImage { lines: None, .. }
    ));
}

#[test]
fn missing_images_are_named_or_skipped() {
    let text = "a.png,cat\nnone.png,dog\nl.csv,cat\nb.png,dog\n";
    let error = data_error(opened(ImageLabelFolder::options(), "l.csv", text));
    let DataError::Unreadable { files, total: 4 } = &error else {
        panic!("{error}");
    };
    let paths: Vec<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    assert!(paths[0].ends_with("none.png") && paths[1].ends_with("l.csv"));
    let options = ImageLabelFolder::options().skip_unreadable();
    let data = opened(options.clone(), "l.csv", text).unwrap();
    assert_eq!((data.len(), data.skipped().len()), (2, 2));
    assert_eq!(sets(&data), [[0], [1]]);
    let none = data_error(opened(options, "l.csv", "none.png,dog\n"));
    assert!(matches!(none, DataError::EmptyFolder { .. }));
}

#[test]
fn examples_are_images_with_a_row_of_zeros_and_ones() {
    let root = folder("l.csv", "b.png,dog\na.png,cat;grass\n");
    let data = ImageLabelFolder::open(root.path(), root.path().join("l.csv")).unwrap();
    let Sample {
        target: Target::Values(target),
        ..
    } = data.sample(1).unwrap()
    else {
        panic!("not values");
    };
    assert_eq!(values(&target), [1.0, 0.0, 1.0]);
    assert_eq!(image(data.sample(1).unwrap()), gradient(10, 10));
    assert!(data.verify().is_ok() && data.class_of(0).is_none());
    assert!(matches!(
        data_error(data.sample(2)),
        DataError::IndexOutOfRange { .. }
    ));
    let loader = Loader::new(&data).preprocessing(bytes_8x8());
    let batch = loader.batch(0, &[0, 1]).unwrap();
    let Targets::Values(targets) = batch.targets else {
        panic!("not values");
    };
    assert_eq!(
        targets.to_vec2::<f32>().unwrap(),
        [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    );
    let other = folder("l.csv", "b.png,dog\na.png,cat\n");
    fs::copy(other.path().join("l.csv"), root.path().join("l.csv")).unwrap();
    let changed = ImageLabelFolder::open(root.path(), root.path().join("l.csv")).unwrap();
    assert_ne!(changed.fingerprint(1), data.fingerprint(1));
    let again = folder("l.csv", "a.png,cat\n");
    fs::remove_file(again.path().join("a.png")).unwrap();
    assert!(ImageLabelFolder::open(again.path(), again.path().join("l.csv")).is_err());
}

/// `count` rows, of which row `i` has label 0 if `i` is even, and so on.
fn every_nth(count: usize, nth: &[usize]) -> TensorDataset {
    let rows = (0..count).flat_map(|index| nth.iter().map(move |n| u8::from(index % n == 0)));
    let rows = Tensor::from_vec(rows.collect(), (count, nth.len()), &Device::Cpu).unwrap();
    let x = Tensor::zeros((count, 2), DType::F32, &Device::Cpu).unwrap();
    TensorDataset::multi_label(x, rows).unwrap()
}

fn counts(data: &dyn Dataset, labels: usize) -> Vec<usize> {
    let sets = sets(data);
    let of = (0..labels).map(|label| sets.iter().filter(|set| set.contains(&label)).count());
    of.collect()
}

#[test]
fn a_split_has_its_fraction_of_every_label() {
    let data = every_nth(100, &[2, 5, 30, 50]);
    assert_eq!(counts(&data, 4), [50, 20, 4, 2]);
    for seed in 0..20 {
        let (train, test) = data.clone().split(0.8, seed).unwrap();
        assert_eq!(train.len() + test.len(), 100);
        assert!(train.len().abs_diff(80) <= 4, "{}", train.len());
        let found = counts(&test, 4);
        assert!(
            found[0].abs_diff(10) <= 2 && found[1].abs_diff(4) <= 2,
            "{found:?}"
        );
        assert_eq!(found[2..], [1, 1], "seed {seed}");
        let mut all = [train.indices(), test.indices()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
    let (one, again) = (
        (&data).split(0.8, 1).unwrap(),
        (&data).split(0.8, 1).unwrap(),
    );
    assert_eq!(one.0.indices(), again.0.indices());
    let other = (&data).split(0.8, 2).unwrap();
    assert_ne!(one.0.indices(), other.0.indices());
    assert!(every_nth(1, &[1]).split(0.5, 0).is_err());
}

#[test]
fn some_examples_of_every_label_are_chosen() {
    let data = every_nth(100, &[2, 5, 30]);
    let few = (&data).per_class(4, 7).unwrap();
    let found = counts(&few, 3);
    assert!(found.iter().all(|&count| count >= 4), "{found:?}");
    // The four of label 2 have both other labels.
    assert_eq!((few.len(), found), (4, vec![4, 4, 4]));
    let named = data.clone().with_classes(Labels::new(["a", "b", "c"]));
    let error = data_error(named.unwrap().per_class(5, 7));
    assert!(
        matches!(error, DataError::TooFewExamples { class, wanted: 5, found: 4 }
        if class == "c")
    );
}

#[test]
fn labels_in_a_tensor_are_zeros_and_ones() {
    let x = || Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap();
    let of = |rows: [[f32; 2]; 2]| {
        let rows = Tensor::new(&rows, &Device::Cpu).unwrap();
        TensorDataset::multi_label(x(), rows)
    };
    let data = of([[1.0, 0.0], [1.0, 1.0]]).unwrap();
    assert_eq!(sets(&data), [vec![0], vec![0, 1]]);
    let error = of([[1.0, 0.0], [0.5, 1.0]]).unwrap_err();
    let text = "a target of 0.5 for label 0 of example 1 must be 0 or 1; for fractions use \
                TensorDataset::values";
    assert_eq!(error.to_string(), text);
    assert!(of([[1.0, f32::NAN], [0.0, 1.0]]).is_err());
    let flat = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let error = TensorDataset::multi_label(x(), flat).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    let error = data_error(data.with_classes(Labels::new(["a"])));
    assert!(matches!(
        error,
        DataError::LabelNames {
            labels: 2,
            names: 1
        }
    ));
}
