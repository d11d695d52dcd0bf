use std::fs;
use std::path::Path;

use tempfile::TempDir;
use vgg_surgery::data::Loader;
use vgg_surgery::error::{DataError, ImageError};
use vgg_surgery::{Dataset, Error, Image, ImageFolder, Labels, Preprocessing, Result};

use crate::{bytes_8x8, class, classes, data_error, gradient, image};

/// A folder of images, 10x10 by default.
fn folder(files: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (index, file) in files.iter().enumerate() {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        gradient(10 + index, 10).save(path).unwrap();
    }
    root
}

fn open(root: &TempDir) -> Result<ImageFolder> {
    ImageFolder::open(root.path())
}

fn names(data: &ImageFolder, root: &Path) -> Vec<String> {
    let paths = (0..data.len()).map(|index| data.path(index).unwrap());
    let below = paths.map(|path| {
        path.strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_string()
    });
    below.collect()
}

/// torchvision 0.29's `find_classes` and `make_dataset`: classes by name,
/// then folders by path, then files by name.
#[test]
fn classes_and_files_are_in_torchvisions_order() {
    let files = [
        "b/2.png",
        "b/10.PNG",
        "B/x.jpeg",
        "a c/z/1.png",
        "a c/z-/1.png",
        "a c/k.webp",
    ];
    let root = folder(&files);
    fs::write(root.path().join("b/notes.txt"), "left aside").unwrap();
    fs::write(root.path().join("README.md"), "left aside").unwrap();
    fs::create_dir(root.path().join(".cache")).unwrap();
    fs::write(root.path().join("b/._2.png"), "hidden").unwrap();
    let data = open(&root).unwrap();
    let labels = data.classes().unwrap();
    let found: Vec<&str> = labels.iter().map(|label| label.name).collect();
    assert_eq!(found, ["B", "a c", "b"]);
    let expected = [
        "B/x.jpeg",
        "a c/k.webp",
        "a c/z/1.png",
        "a c/z-/1.png",
        "b/10.PNG",
        "b/2.png",
    ];
    assert_eq!(names(&data, root.path()), expected);
    let of = (0..data.len()).map(|index| data.class_of(index).unwrap());
    assert_eq!(of.collect::<Vec<_>>(), [0, 1, 1, 1, 2, 2]);
    let sample = data.sample(5).unwrap();
    assert_eq!((class(&sample), image(sample)), (2, gradient(10, 10)));
    assert!(data.skipped().is_empty());
    assert!(data.path(6).is_none() && data.verify().is_ok());
}

#[test]
fn batches_come_from_files() {
    let root = folder(&["a/1.png", "a/2.png", "b/1.png"]);
    let data = open(&root).unwrap();
    let loader = Loader::new(&data).preprocessing(bytes_8x8());
    let batch = loader.epoch(0).next().unwrap().unwrap();
    assert_eq!(batch.inputs.dims(), [3, 3, 8, 8]);
    assert_eq!(classes(&batch), [0, 0, 1]);
}

#[test]
fn gray_and_alpha_become_rgb() {
    let root = folder(&["a/1.png", "b/1.png"]);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess");
    for (from, to) in [("grey.png", "a/1.png"), ("rgba.png", "b/1.png")] {
        fs::copy(fixtures.join(from), root.path().join(to)).unwrap();
    }
    let data = open(&root).unwrap();
    let loader = Loader::new(&data).preprocessing(Preprocessing::new());
    let batch = loader.batch(0, &[0, 1]).unwrap();
    assert_eq!(batch.inputs.dims(), [2, 3, 41, 51]);
    let gray = image(data.sample(0).unwrap());
    assert!(
        gray.as_rgb8()
            .chunks_exact(3)
            .all(|p| p[0] == p[1] && p[1] == p[2])
    );
    let rgba = image(data.sample(1).unwrap());
    assert_eq!(rgba, Image::open(fixtures.join("rgba.png")).unwrap());
}

#[test]
fn folders_that_hold_no_classes_are_refused() {
    let missing = TempDir::new().unwrap().path().join("nowhere");
    assert!(matches!(ImageFolder::open(&missing), Err(Error::Io { path, .. }) if path == missing));
    let empty = data_error(open(&folder(&[])));
    assert!(matches!(empty, DataError::NoClassFolders { images: 0, .. }));
    let flat = data_error(open(&folder(&["1.png", "2.jpg"])));
    assert!(matches!(flat, DataError::NoClassFolders { images: 2, .. }));
    let single = data_error(open(&folder(&["train/a/1.png", "train/b/1.png"])));
    assert!(matches!(single, DataError::OneClass { class, .. } if class == "train"));
    let root = folder(&["a/1.png"]);
    fs::create_dir(root.path().join("b")).unwrap();
    fs::write(root.path().join("b/readme.txt"), "no image").unwrap();
    let hollow = data_error(open(&root));
    assert!(matches!(hollow, DataError::EmptyFolder { folder } if folder.ends_with("b")));
}

/// A text with the extension of an image, half an image, a strip, and an
/// unsupported format.
fn with_unreadable() -> TempDir {
    let root = folder(&["a/1.png", "a/half.png", "b/1.png"]);
    let at = |name: &str| root.path().join(name);
    fs::write(at("a/text.jpg"), "this is no image").unwrap();
    fs::write(at("a/empty.png"), "").unwrap();
    fs::write(at("b/old.bmp"), "BM and so on").unwrap();
    let whole = fs::read(at("a/half.png")).unwrap();
    fs::write(at("a/half.png"), &whole[..whole.len() * 2 / 3]).unwrap();
    let strip = Image::from_rgb8(30_000, 1, vec![9; 90_000]).unwrap();
    strip.save(at("b/strip.png")).unwrap();
    root
}

#[test]
fn unreadable_files_are_named_and_refused() {
    let root = with_unreadable();
    let error = open(&root).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("4 of 7 images") && message.contains("empty.png"),
        "{message}"
    );
    let Error::Data(DataError::Unreadable { files, total: 7 }) = error else {
        panic!("{error:?}");
    };
    let named: Vec<_> = files
        .iter()
        .map(|file| file.path.file_name().unwrap())
        .collect();
    assert_eq!(named, ["empty.png", "text.jpg", "old.bmp", "strip.png"]);
    for file in &files {
        let name = file.path.display().to_string();
        assert!(file.reason.to_string().contains(&name), "{}", file.reason);
    }
    let strip = files[3].reason.to_string();
    assert!(strip.contains("30000x1"), "{strip}");
}

#[test]
fn unreadable_files_are_named_and_skipped() {
    let root = with_unreadable();
    let data = ImageFolder::options()
        .skip_unreadable()
        .open(root.path())
        .unwrap();
    assert_eq!(names(&data, root.path()), ["a/1.png", "b/1.png"]);
    let skipped = data
        .skipped()
        .iter()
        .map(|file| file.path.file_name().unwrap());
    let expected = ["empty.png", "half.png", "text.jpg", "old.bmp", "strip.png"];
    assert_eq!(skipped.collect::<Vec<_>>(), expected);
    for file in ["a/1.png", "a/half.png"] {
        fs::remove_file(root.path().join(file)).unwrap();
    }
    let left = ImageFolder::options().skip_unreadable().open(root.path());
    assert!(matches!(data_error(left), DataError::EmptyFolder { folder } if folder.ends_with("a")));
}

#[test]
fn half_an_image_is_found_when_it_is_read() {
    let root = folder(&["a/1.png", "a/2.png", "b/1.png"]);
    let path = root.path().join("a/2.png");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
    let data = open(&root).unwrap();
    let loader = Loader::new(&data).preprocessing(bytes_8x8());
    let error = loader.epoch(0).next().unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Image(ImageError::Unreadable { file, .. }) if Path::new(file) == path),
        "{error}"
    );
    let DataError::Unreadable { files, total: 3 } = data_error(data.verify()) else {
        panic!("the folder has damaged files");
    };
    assert_eq!(files.len(), 1);
    fs::remove_file(&path).unwrap();
    assert!(matches!(data.sample(1), Err(Error::Io { path: p, .. }) if p == path));
}

#[test]
fn a_test_set_takes_its_classes_from_the_training_set() {
    let root = folder(&["c/1.png"]);
    let labels = Labels::new(["a", "c"]);
    let test = ImageFolder::options()
        .with_classes(labels)
        .open(root.path());
    assert_eq!(test.unwrap().class_of(0), Some(1));
    let other = ImageFolder::options().with_classes(Labels::new(["a", "b"]));
    let error = data_error(other.open(root.path()));
    assert!(
        matches!(error, DataError::UnknownClass { folder, classes: 2 } if folder.ends_with("c"))
    );
}

#[test]
fn a_changed_file_has_another_fingerprint() {
    let root = folder(&["a/1.png", "b/1.png"]);
    let data = open(&root).unwrap();
    let before = data.fingerprint(0).unwrap();
    assert_eq!(data.fingerprint(0), Some(before));
    assert_ne!(data.fingerprint(1), Some(before));
    gradient(31, 17).save(root.path().join("a/1.png")).unwrap();
    assert_ne!(data.fingerprint(0), Some(before));
    fs::remove_file(root.path().join("a/1.png")).unwrap();
    assert_eq!(data.fingerprint(0), None);
}

#[test]
fn a_class_of_another_number_has_another_fingerprint() {
    let root = folder(&["a/1.png", "b/1.png"]);
    let of = |names: [&str; 2]| {
        let options = ImageFolder::options().with_classes(Labels::new(names));
        options.open(root.path()).unwrap().fingerprint(0).unwrap()
    };
    assert_eq!(of(["a", "b"]), of(["a", "b"]));
    assert_ne!(of(["a", "b"]), of(["b", "a"]));
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    let root = folder(&["a/1.png", "b/1.png"]);
    std::os::unix::fs::symlink("..", root.path().join("a/up")).unwrap();
    std::os::unix::fs::symlink(".", root.path().join("b/here")).unwrap();
    let elsewhere = folder(&["more/2.png"]);
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join("b/linked")).unwrap();
    let data = open(&root).unwrap();
    assert_eq!(
        names(&data, root.path()),
        ["a/1.png", "b/1.png", "b/linked/more/2.png"]
    );
}

#[cfg(unix)]
#[test]
fn class_folders_may_link_to_each_other() {
    let root = folder(&["a/1.png", "b/2.png"]);
    std::os::unix::fs::symlink("../b", root.path().join("a/x")).unwrap();
    std::os::unix::fs::symlink("../a", root.path().join("b/y")).unwrap();
    let data = open(&root).unwrap();
    assert_eq!(
        names(&data, root.path()),
        ["a/1.png", "a/x/2.png", "b/2.png", "b/y/1.png"]
    );
}

/// 10 x 10 pixels take 300 bytes, 11 x 10 take 330.
#[test]
fn the_memory_limit_holds_when_a_folder_is_opened() {
    let root = folder(&["a/1.png", "b/2.png"]);
    let options = |limit| {
        let images = Image::options().memory_limit(limit);
        ImageFolder::options().image_options(images)
    };
    assert!(options(330).open(root.path()).is_ok());
    let error = data_error(options(329).open(root.path()));
    assert!(
        matches!(&error, DataError::Unreadable { files, total: 2 }
            if files.len() == 1 && files[0].path.ends_with("b/2.png")),
        "{error}"
    );
}

/// Printed, they would change the colors of a terminal.
#[test]
#[cfg(unix)]
fn control_characters_of_files_and_folders_are_escaped() {
    let root = folder(&["\u{1b}[31mred/a.png"]);
    let mut errors = vec![open(&root).unwrap_err()];
    let root = folder(&["\u{1b}[31mred/\u{1b}[1m.png", "blue/b.png"]);
    let red = root.path().join("\u{1b}[31mred");
    assert_eq!(
        open(&root).unwrap().classes().unwrap().get(0).unwrap().name,
        "\\u{1b}[31mred"
    );
    let known = ImageFolder::options().with_classes(Labels::new(["blue", "green"]));
    errors.push(known.open(root.path()).unwrap_err());
    fs::write(red.join("\u{1b}[1m.png"), "text").unwrap();
    errors.push(open(&root).unwrap_err());
    errors.push(Image::open(red.join("none.png")).unwrap_err());
    errors.push(ImageFolder::open(&red).unwrap_err());
    for error in errors {
        let text = error.to_string();
        assert!(
            text.contains("\\u{1b}[31mred") && !text.contains('\u{1b}'),
            "{text:?}"
        );
    }
}
