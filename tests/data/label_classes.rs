//! A class for each image from a CSV or JSON file, and labels that are no plain text.

use vgg_surgery::data::ImageLabelFolder;
use vgg_surgery::{Dataset, ImageFolder, Labels, Result};

use crate::labels::{csv, folder, names, opened, refused, sets};

fn classes(name: &str, text: &str) -> Result<ImageFolder> {
    let root = folder(name, text);
    ImageLabelFolder::options().open_classes(root.path(), root.path().join(name))
}

/// The indices of scikit-learn's `LabelEncoder` for these classes: sorted names, as
/// Keras' `flow_from_dataframe` has them too.
#[test]
fn a_file_may_have_a_class_for_each_image() {
    let one_hot = "image,cat,dog\na.png,0,1\nb.png,1,0\nsub/c.png,0,1\n";
    let json = r#"{"a.png": ["dog"], "b.png": ["cat"], "sub/c.png": ["dog"]}"#;
    for (name, text, names) in [
        (
            "l.csv",
            "file,label\na.png,dog\nb.png,cat\nsub/c.png,dog\n",
            ["cat", "dog"],
        ),
        ("l.csv", "a.png,1\nb.png,0\nsub/c.png,1\n", ["0", "1"]),
        (
            "l.csv",
            "file,label\na.png,1\nb.png,0\nsub/c.png,1\n",
            ["0", "1"],
        ),
        ("l.csv", one_hot, ["cat", "dog"]),
        ("l.json", json, ["cat", "dog"]),
    ] {
        let data = classes(name, text).unwrap();
        let labels = Dataset::classes(&data).unwrap();
        let found: Vec<&str> = labels.iter().map(|label| label.name).collect();
        assert_eq!(found, names, "{text}");
        let indices = (0..3).map(|index| data.class_of(index));
        assert_eq!(indices.collect::<Vec<_>>(), [Some(1), Some(0), Some(1)]);
        assert!(data.path(2).unwrap().ends_with("sub/c.png"));
    }
    let root = folder("l.csv", "a.png,dog\n");
    let given = ImageLabelFolder::options().with_labels(Labels::new(["cat", "dog"]));
    let given = given.open_classes(root.path(), root.path().join("l.csv"));
    assert_eq!(given.unwrap().class_of(0), Some(1));
}

#[test]
fn an_image_has_one_class() {
    for (text, at, words) in [
        ("a.png,dog;cat\nb.png,cat\n", Some(1), "a.png 2 labels"),
        ("f,l\na.png,dog\nb.png,\n", Some(3), "b.png 0 labels"),
        ("a.png,dog\nb.png,dog\n", None, "the same class"),
    ] {
        refused(classes("l.csv", text), at, words);
    }
}

/// A label from a file colors no terminal.
#[test]
fn control_characters_of_labels_are_escaped() {
    let data = csv("a.png,\u{1b}[31mred\nb.png,blue\n").unwrap();
    assert_eq!(names(&data), ["\\u{1b}[31mred", "blue"]);
    let known = ImageLabelFolder::options().with_labels(data.labels().clone());
    let text = "a.png,\u{1b}[31mred\nb.png,\u{1b}[32mgreen\n";
    let error = opened(known.clone(), "l.csv", text)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\\u{1b}[32mgreen") && !error.contains('\u{1b}'),
        "{error}"
    );
    assert_eq!(
        sets(&opened(known, "l.csv", "a.png,\u{1b}[31mred\n").unwrap()),
        [[0]]
    );
    let error = csv("\u{1b}a.png,x\n\u{1b}a.png,x\n")
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\u{1b}'), "{error}");
}
