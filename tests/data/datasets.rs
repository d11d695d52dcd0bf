use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::data::{FnDataset, MemoryDataset, Sample, SampleInput, Subset, Target};
use vgg_surgery::error::DataError;
use vgg_surgery::{Dataset, Error, Labels, Result, TensorDataset};

use crate::{assert_data_error, class, gradient, images, numbered, values};

fn zeros(dims: (usize, usize)) -> Tensor {
    Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn a_tensor_gives_its_rows() {
    let data = numbered(7);
    assert_eq!((data.len(), data.is_empty()), (7, false));
    let sample = data.sample(4).unwrap();
    assert_eq!((class(&sample), sample.weight), (1, 1.0));
    assert_eq!(data.class_of(4), Some(1));
    let SampleInput::Tensor(row) = sample.input else {
        panic!("a tensor's examples are tensors");
    };
    assert_eq!(values(&row), [4.0, -4.0]);
    let beyond = DataError::IndexOutOfRange { index: 7, len: 7 };
    assert_data_error(data.sample(7), &beyond);
    assert_eq!(data.class_of(7), None);
}

#[test]
fn targets_are_one_for_each_input() {
    let mismatch = |targets| DataError::Count {
        inputs: 3,
        what: "targets",
        targets,
    };
    let x = || zeros((3, 2));
    assert_data_error(TensorDataset::new(x(), [0, 1]), &mismatch(2));
    assert_data_error(TensorDataset::soft(x(), zeros((4, 2))), &mismatch(4));
    assert_data_error(TensorDataset::values(x(), zeros((1, 2))), &mismatch(1));
    assert_data_error(TensorDataset::new(zeros((0, 2)), []), &DataError::Empty);
    let flat = x().flatten_all().unwrap();
    let maps = x().reshape((3, 2, 1, 1)).unwrap();
    for (shares, shape) in [(flat, "[6]"), (maps, "[3, 2, 1, 1]")] {
        let error = TensorDataset::soft(x(), shares).unwrap_err().to_string();
        let start = format!("soft targets of shape {shape} must be (N, K)");
        assert!(error.starts_with(&start), "{error}");
        assert!(error.ends_with("TensorDataset::values"), "{error}");
    }
}

#[test]
fn every_class_has_a_name() {
    let two = || Labels::new(["a", "b"]);
    let error = numbered(3).with_classes(two()).unwrap_err();
    assert!(matches!(
        error,
        Error::ClassOutOfRange {
            example: Some(2),
            class: 2,
            classes: 2,
        }
    ));
    assert!(numbered(2).with_classes(two()).is_ok());
    let memory = |class| MemoryDataset::new([Sample::new(gradient(2, 2), class)]);
    assert!(memory(1).with_classes(two()).is_ok());
    assert!(memory(2).with_classes(two()).is_err());
}

#[test]
fn fingerprints_follow_the_content() {
    let (a, b) = (numbered(5), numbered(6));
    let prints: Vec<u64> = (0..5).map(|i| a.fingerprint(i).unwrap()).collect();
    let same: Vec<u64> = (0..5).map(|i| b.fingerprint(i).unwrap()).collect();
    assert_eq!(prints, same);
    let mut unique = prints.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 5);
    assert_eq!(a.fingerprint(5), None);
    let shown = images(3);
    assert_ne!(shown.fingerprint(0), shown.fingerprint(1));
    let turned = MemoryDataset::new([
        Sample::new(vgg_surgery::Image::from_rgb8(1, 2, [0; 6]).unwrap(), 0),
        Sample::new(vgg_surgery::Image::from_rgb8(2, 1, [0; 6]).unwrap(), 0),
    ]);
    assert_ne!(turned.fingerprint(0), turned.fingerprint(1));
}

#[test]
fn fingerprints_follow_target_and_weight() {
    let x = || Tensor::zeros((2, 3, 2, 2), DType::F32, &Device::Cpu).unwrap();
    let table = |value: f32| Tensor::full(value, (2, 2), &Device::Cpu).unwrap();
    let sets: [Box<dyn Dataset>; 6] = [
        Box::new(TensorDataset::new(x(), [0, 1]).unwrap()),
        Box::new(TensorDataset::new(x(), [1, 0]).unwrap()),
        Box::new(TensorDataset::soft(x(), table(0.5)).unwrap()),
        Box::new(TensorDataset::values(x(), table(0.5)).unwrap()),
        Box::new(TensorDataset::values(x(), table(0.25)).unwrap()),
        Box::new(MemoryDataset::new([Sample::new(
            x().get(0).unwrap(),
            0usize,
        )
        .with_weight(2.0)])),
    ];
    let mut prints: Vec<u64> = sets.iter().map(|set| set.fingerprint(0).unwrap()).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), sets.len());
}

#[test]
fn an_iterator_and_a_function_are_data_sets() {
    let collected: MemoryDataset = (0..4).map(|i| numbered(4).sample(i).unwrap()).collect();
    assert_eq!(collected.len(), 4);
    assert_eq!(collected.class_of(3), Some(0));
    assert!(collected.sample(4).is_err());
    let data = FnDataset::new(3, |index| numbered(9).sample(index + 5));
    assert_eq!(class(&data.sample(1).unwrap()), 0);
    assert_data_error(
        data.sample(3),
        &DataError::IndexOutOfRange { index: 3, len: 3 },
    );
    assert_eq!(data.fingerprint(0), numbered(9).fingerprint(5));
    let named = data.with_classes(Labels::new(["a", "b", "c"]));
    assert_eq!(named.classes().unwrap().len(), 3);
}

#[test]
fn a_functions_fingerprints_follow_its_version() {
    let never = |_| -> Result<Sample> { panic!("the function is not called") };
    let prints = |version| {
        let data = FnDataset::new(2, never).with_version(version);
        [0, 1, 2].map(|index| data.fingerprint(index))
    };
    let [first, second, beyond] = prints(1);
    assert!(first.is_some() && first != second);
    assert_eq!(prints(1)[0], first);
    assert_ne!(prints(2)[0], first);
    assert_eq!(beyond, None);
}

#[test]
fn data_sets_behind_pointers_are_data_sets() {
    let whole = numbered(4);
    let boxed: Box<dyn Dataset> = Box::new(whole.clone());
    let shared: Arc<dyn Dataset> = Arc::new(whole.clone());
    for data in [&boxed as &dyn Dataset, &shared, &&whole] {
        assert_eq!(data.len(), 4);
        assert_eq!(data.class_of(2), Some(2));
        assert_eq!(data.fingerprint(1), whole.fingerprint(1));
        assert!(data.classes().is_none() && data.sample(0).is_ok());
    }
}

#[test]
fn a_subset_counts_anew() {
    let whole = &numbered(10);
    let some = &whole.subset([7, 2, 7]).unwrap();
    assert_eq!((some.len(), some.indices()), (3, &[7, 2, 7][..]));
    assert_eq!(class(&some.sample(1).unwrap()), 2);
    assert_eq!(some.fingerprint(0), whole.fingerprint(7));
    assert_eq!(some.class_of(3), None);
    let nested = some.subset([1]).unwrap();
    assert_eq!(class(&nested.sample(0).unwrap()), 2);
    let beyond = |index, len| DataError::IndexOutOfRange { index, len };
    assert_data_error(whole.subset([10]), &beyond(10, 10));
    assert_data_error(some.sample(3), &beyond(3, 3));
}

/// The number of examples of each class.
fn counts(data: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; 3];
    for index in 0..data.len() {
        counts[data.class_of(index).unwrap()] += 1;
    }
    counts
}

#[test]
fn a_split_takes_a_share_of_each_class() {
    let whole = &numbered(31);
    let (train, validation) = whole.split(0.7, 1).unwrap();
    // 11, 10 and 10 examples: 7.7, 7 and 7 of them.
    assert_eq!(counts(&train), [8, 7, 7]);
    assert_eq!(counts(&validation), [3, 3, 3]);
    let mut all = [train.indices(), validation.indices()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..31).collect::<Vec<_>>());
    assert_eq!(whole.split(0.7, 1).unwrap().0.indices(), train.indices());
    assert_ne!(whole.split(0.7, 2).unwrap().0.indices(), train.indices());
    // With any fraction, both parts have an example of every class.
    assert_eq!(counts(&whole.split(0.01, 1).unwrap().0), [1, 1, 1]);
    assert_eq!(counts(&whole.split(0.99, 1).unwrap().1), [1, 1, 1]);
}

#[test]
fn the_parts_of_a_moved_data_set_own_it() {
    fn parts() -> Result<(Subset<'static>, Subset<'static>)> {
        numbered(31).split(0.7, 1)
    }
    let (train, validation) = parts().unwrap();
    let few = train.per_class(2, 1).unwrap();
    let threads = [few, validation.subset([3, 0]).unwrap()]
        .map(|part| std::thread::spawn(move || part.sample(1).is_ok()));
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn a_split_without_classes_is_by_number() {
    let data = TensorDataset::values(zeros((10, 2)), zeros((10, 1))).unwrap();
    let (first, second) = (&data).split(0.25, 0).unwrap();
    assert_eq!((first.len(), second.len()), (3, 7));
    assert_data_error((&data).per_class(1, 0), &DataError::NoClasses);
}

#[test]
fn a_fraction_that_leaves_a_part_empty_is_refused() {
    let data = &numbered(30);
    for fraction in [0.0, 1.0, -0.5, 2.0, f64::NAN] {
        let error = data.split(fraction, 0);
        let is_setting = matches!(error, Err(Error::InvalidSetting { .. }));
        assert!(is_setting, "{fraction}");
    }
    let error = numbered(3).split(0.5, 0).unwrap_err();
    assert!(error.to_string().contains("one part empty"), "{error}");
}

#[test]
fn some_of_each_class() {
    let whole = &numbered(31);
    let few = whole.per_class(4, 9).unwrap();
    assert_eq!(counts(&few), [4, 4, 4]);
    assert!(few.indices().is_sorted());
    assert_eq!(few.indices(), whole.per_class(4, 9).unwrap().indices());
    assert_ne!(few.indices(), whole.per_class(4, 8).unwrap().indices());
    let named = numbered(31)
        .with_classes(Labels::new(["a", "b", "c"]))
        .unwrap();
    let expected = DataError::TooFewExamples {
        class: "b".to_string(),
        wanted: 11,
        found: 10,
    };
    assert_data_error(named.per_class(11, 0), &expected);
    let read = FnDataset::new(9, |index| numbered(9).sample(index));
    assert_eq!(read.per_class(2, 0).unwrap().len(), 6);
}

#[test]
fn samples_convert_from_their_parts() {
    let soft = Sample::new(zeros((1, 2)), vec![0.5, 0.5]).with_weight(2.0);
    assert!(matches!(soft.target, Target::Soft(ref shares) if shares.len() == 2));
    assert_eq!(soft.weight, 2.0);
    let values = Sample::new(gradient(2, 2), zeros((1, 2)));
    assert!(matches!(values.target, Target::Values(_)));
    assert!(matches!(values.input, SampleInput::Image(_)));
}
