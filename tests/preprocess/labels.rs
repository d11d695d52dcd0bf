//! The names of classes.

use vgg_surgery::{Error, Labels};

#[test]
fn imagenet_has_its_thousand_classes() {
    let labels = Labels::imagenet();
    assert_eq!(labels.len(), 1000);
    assert!(!labels.is_empty());
    let known = [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane bird"),
        (282, "n02123159", "tiger cat"),
        (504, "n03063599", "coffee mug"),
        (517, "n03126707", "crane"),
        (638, "n03710637", "maillot"),
        (639, "n03710721", "maillot tank suit"),
        (999, "n15075141", "toilet tissue"),
    ];
    for (index, synset, name) in known {
        let label = labels.get(index).unwrap();
        assert_eq!(
            (label.index, label.synset, label.name),
            (index, Some(synset), name)
        );
        assert_eq!(labels.find(name), [index]);
        assert_eq!(labels.find_synset(synset), Some(index));
    }
    assert_eq!(labels.get(1000), None);
}

#[test]
fn imagenet_is_in_the_order_of_its_synsets() {
    let labels = Labels::imagenet();
    let synsets: Vec<_> = labels.iter().map(|label| label.synset.unwrap()).collect();
    assert!(synsets.is_sorted_by(|a, b| a < b));
    assert!(
        synsets
            .iter()
            .all(|id| id.len() == 9 && id.starts_with('n'))
    );
    assert!(labels.iter().all(|label| !label.name.trim().is_empty()));
}

#[test]
fn names_that_stand_twice_are_found_twice() {
    let labels = Labels::new(["crane", "maillot", "crane"]);
    assert_eq!(labels.find("crane"), [0, 2]);
    assert_eq!(labels.index_of("crane"), Some(0));
    assert_eq!(labels.index_of("Crane"), None);
    assert_eq!(labels.find("maillot"), [1]);
    assert!(labels.find("Crane").is_empty());
    assert_eq!(labels.find_synset("crane"), None);
    assert!(Labels::new(Vec::<String>::new()).is_empty());
}

#[test]
fn labels_are_written_down_and_read_back() {
    let bare = Labels::new(["a", "b"]);
    assert_eq!(
        serde_json::to_string(&bare).unwrap(),
        r#"{"names":["a","b"],"synsets":null}"#
    );
    let with_ids = bare.clone().with_synsets(["n1", "n2"]).unwrap();
    let none = Labels::new(Vec::<String>::new());
    for labels in [bare, with_ids, none, Labels::imagenet()] {
        let text = serde_json::to_string(&labels).unwrap();
        assert_eq!(serde_json::from_str::<Labels>(&text).unwrap(), labels);
    }
}

#[test]
fn synset_ids_are_one_for_each_name() {
    let error = Labels::new(["a", "b"]).with_synsets(["n1"]).unwrap_err();
    assert!(matches!(
        error,
        Error::LabelCount {
            names: 2,
            synsets: 1
        }
    ));
    let text = r#"{"names":["a","b"],"synsets":["n1"]}"#;
    let message = serde_json::from_str::<Labels>(text)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("2 labels can't have 1 synset ids"),
        "{message}"
    );
}

#[test]
fn control_characters_of_names_are_escaped() {
    let red = "\u{1b}[31mcat";
    let shown = "\\u{1b}[31mcat";
    let json = r#"{"names": ["\u001b[31mcat", "a\nb"], "synsets": ["\u0007", null]}"#;
    let read: Labels = serde_json::from_str(json).unwrap();
    let label = read.get(0).unwrap();
    assert_eq!((label.name, label.synset), (shown, Some("\\u{7}")));
    assert_eq!(read.get(1).unwrap().name, "a\\nb");
    for labels in [read, Labels::new([red])] {
        assert_eq!(labels.find(red), [0]);
        assert_eq!(labels.index_of(red), Some(0));
        assert_eq!(labels.index_of(shown), Some(0));
    }
}
