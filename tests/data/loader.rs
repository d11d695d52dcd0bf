use std::ops::RangeInclusive;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::data::{Batch, FnDataset, Loader, MemoryDataset, Sample, Targets};
use vgg_surgery::error::{DataError, ImageError};
use vgg_surgery::{
    Augmentation, Dataset, Error, Labels, Preprocessing, Result, TensorDataset, Vgg16,
};

use crate::{bytes_8x8, classes, data_error, gradient, images, numbered, values};

fn epoch(loader: &Loader<'_>, epoch: u64) -> Vec<Batch> {
    loader.epoch(epoch).collect::<Result<_>>().unwrap()
}

fn indices(loader: &Loader<'_>, number: u64) -> Vec<usize> {
    let batches = epoch(loader, number).into_iter();
    batches.flat_map(|batch| batch.indices).collect()
}

fn assert_same(a: &[Batch], b: &[Batch]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.indices, b.indices);
        assert_eq!(values(&a.inputs), values(&b.inputs));
        assert_eq!(format!("{:?}", a.targets), format!("{:?}", b.targets));
    }
}

#[test]
fn batches_hold_the_examples_in_order() {
    let data = numbered(10);
    let loader = Loader::new(&data).batch_size(4);
    let batches = epoch(&loader, 0);
    assert_eq!(loader.batches(), 3);
    let sizes: Vec<usize> = batches.iter().map(Batch::len).collect();
    assert_eq!(sizes, [4, 4, 2]);
    assert_eq!(values(&batches[2].inputs), [8.0, -8.0, 9.0, -9.0]);
    assert_eq!(classes(&batches[1]), [1, 2, 0, 1]);
    assert_eq!(batches[1].indices, [4, 5, 6, 7]);
    assert!(batches[0].weights.is_none() && !batches[0].is_empty());
    let whole = loader.clone().drop_last(true);
    assert_eq!((whole.batches(), indices(&whole, 0).len()), (2, 8));
    assert_eq!(loader.dataset().len(), 10);
}

#[test]
fn a_shuffled_epoch_is_a_permutation_by_seed_and_epoch() {
    let data = numbered(50);
    let loader = Loader::new(&data).batch_size(8).shuffle(3);
    let first = indices(&loader, 0);
    assert_eq!(first, loader.order(0));
    assert_ne!(first, (0..50).collect::<Vec<_>>());
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    assert_eq!(first, indices(&loader, 0));
    assert_ne!(first, indices(&loader, 1));
    assert_ne!(first, indices(&loader.clone().shuffle(4), 0));
}

#[test]
fn a_shuffle_leaves_no_place_out() {
    let data = numbered(4);
    let loader = Loader::new(&data).shuffle(0);
    let mut seen = [[0; 4]; 4];
    for epoch in 0..4000 {
        for (place, index) in loader.order(epoch).into_iter().enumerate() {
            seen[place][index] += 1;
        }
    }
    // Binomial of 4000 at 1/4: five standard deviations.
    let bound = 5.0 * (4000.0f64 * 0.25 * 0.75).sqrt();
    for count in seen.into_iter().flatten() {
        assert!((f64::from(count) - 1000.0).abs() < bound, "{count}");
    }
}

fn augmented(data: &dyn Dataset) -> Loader<'_> {
    let augmentation = Augmentation::new()
        .resized_crop(0.3..=1.0, 0.5..=2.0)
        .flip(0.5)
        .rotation(20.0)
        .brightness(0.3)
        .noise(0.05)
        .mixup(0.4);
    Loader::new(data)
        .preprocessing(bytes_8x8())
        .batch_size(5)
        .shuffle(2)
        .augment(augmentation)
}

#[test]
fn batches_do_not_depend_on_threads_nor_on_being_made_ahead() {
    let data = images(13).with_classes(Labels::new(["a", "b"])).unwrap();
    let loader = augmented(&data);
    let reference = epoch(&loader, 6);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        assert_same(&pool.install(|| epoch(&loader, 6)), &reference);
    }
    for prefetch in [0, 1, 4] {
        let loader = loader.clone().prefetch(prefetch);
        let ahead = loader.ahead(6, |batches| batches.collect::<Result<Vec<_>>>());
        assert_same(&ahead.unwrap(), &reference);
    }
    let again = loader.batch(6, &reference[1].indices).unwrap();
    assert_same(&[again], &reference[1..2]);
    let other = values(&loader.batch(7, &reference[1].indices).unwrap().inputs);
    assert_ne!(other, values(&reference[1].inputs));
}

#[test]
fn a_consumer_may_leave_early() {
    let data = numbered(1000);
    let loader = Loader::new(&data).batch_size(1).prefetch(2);
    let first = loader.ahead(0, |batches| batches.next().unwrap().unwrap().indices);
    assert_eq!(first, [0]);
}

#[test]
fn an_unfinished_epoch_blocks_nothing() {
    let data = numbered(1000);
    let loader = Loader::new(&data).batch_size(1).prefetch(2);
    let mut iterated = 0;
    loader.ahead(0, |batches| iterated += batches.by_ref().take(3).count());
    assert_eq!(iterated, 3);
}

#[test]
fn no_more_than_asked_for_is_made_ahead() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let made = AtomicUsize::new(0);
    let data = FnDataset::new(100, |index| {
        made.fetch_add(1, Ordering::SeqCst);
        numbered(100).sample(index)
    });
    let loader = Loader::new(&data).batch_size(1).prefetch(3);
    loader.ahead(0, |batches| {
        for (taken, batch) in batches.enumerate() {
            batch.unwrap();
            let ahead = made.load(Ordering::SeqCst) - taken;
            // The current batch, the waiting batches, and the one being loaded.
            assert!(ahead <= 1 + 3 + 1, "{ahead} batches at once");
        }
    });
    assert_eq!(made.into_inner(), 100);
}

#[test]
fn images_are_preprocessed_as_the_model_asks() {
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .untrained(0)
        .unwrap();
    let graph = graph.input((3, 32, 32)).unwrap();
    let graph = graph.with_preprocessing(Preprocessing::caffe());
    let model = graph.build(&Device::Cpu).unwrap();
    let data = images(2);
    let batch = Loader::for_model(&data, &model).batch(0, &[1]).unwrap();
    let expected = Preprocessing::caffe().with_size(32, 32);
    let expected = expected.apply(&gradient(21, 16)).unwrap();
    assert_eq!(batch.inputs.dims(), [1, 3, 32, 32]);
    assert_eq!(values(&batch.inputs), values(&expected));
    let error = Loader::new(&data).batch(0, &[0]).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn images_and_tensors_go_together_where_they_fit() {
    let tensor = Tensor::ones((3, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let samples = [Sample::new(tensor, 0), Sample::new(gradient(9, 9), 1)];
    let data = MemoryDataset::new(samples);
    let loader = Loader::new(&data).preprocessing(bytes_8x8());
    let batch = loader.batch(0, &[0, 1]).unwrap();
    assert_eq!(batch.inputs.dims(), [2, 3, 8, 8]);
    assert_eq!(values(&batch.inputs)[..192], [1.0; 192]);
}

#[test]
fn weights_and_targets_are_stacked() {
    let x = || Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let samples = [
        Sample::new(x(), vec![0.25, 0.75]),
        Sample::new(x(), vec![1.0, 0.0]),
    ];
    let soft = MemoryDataset::new(samples.map(|sample| sample.with_weight(0.5)));
    let batch = Loader::new(&soft).batch(0, &[1, 0]).unwrap();
    let Targets::Soft(shares) = &batch.targets else {
        panic!("shares stay shares");
    };
    assert_eq!(values(shares), [1.0, 0.0, 0.25, 0.75]);
    assert_eq!(values(batch.weights.as_ref().unwrap()), [0.5, 0.5]);
    let regression = TensorDataset::values(x().reshape((2, 1)).unwrap(), x()).unwrap();
    let batch = Loader::new(&regression).batch(0, &[0, 1]).unwrap();
    assert!(matches!(&batch.targets, Targets::Values(v) if v.dims() == [2]));
}

fn load(samples: Vec<Sample>) -> Result<Vec<Batch>> {
    let data = MemoryDataset::new(samples);
    let loader = Loader::new(&data).preprocessing(Preprocessing::new());
    loader.epoch(0).collect()
}

fn error_of(samples: Vec<Sample>) -> DataError {
    data_error(load(samples))
}

#[test]
fn unusable_examples_are_refused() {
    let row = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let good = || Sample::new(row(&[1.0, 2.0]), 0);
    let with = |sample: Sample| error_of(vec![good(), sample]);
    let nan = with(Sample::new(row(&[1.0, f32::NAN]), 0));
    assert!(matches!(
        nan,
        DataError::NonFinite {
            index: 1,
            what: "input"
        }
    ));
    let infinite = with(Sample::new(row(&[1.0, 2.0]), row(&[f32::INFINITY])));
    assert!(matches!(
        infinite,
        DataError::NonFinite { what: "target", .. }
    ));
    let share = with(Sample::new(row(&[1.0, 2.0]), vec![f32::NAN]));
    assert!(matches!(share, DataError::NonFinite { what: "target", .. }));
    for weight in [f32::NAN, -1.0] {
        let error = load(vec![good(), good().with_weight(weight)]).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        assert!(error.to_string().contains("weight"), "{error}");
    }
    let shape = with(Sample::new(row(&[1.0]), 0));
    assert!(matches!(
        shape,
        DataError::Shapes { index: 1, what: "input", ref actual, .. } if *actual == [1]
    ));
    let mixed = with(Sample::new(row(&[1.0, 2.0]), vec![1.0]));
    assert!(matches!(mixed, DataError::MixedTargets { index: 1, .. }));
    let empty = error_of(Vec::new());
    assert!(matches!(empty, DataError::Empty));
}

#[test]
fn an_error_ends_the_epoch_and_is_the_first_examples() {
    let data = FnDataset::new(40, |index| match index {
        3.. => Err(Error::Image(ImageError::EmptyBatch)),
        1 | 2 => numbered(1).sample(index),
        _ => numbered(9).sample(index),
    });
    let loader = Loader::new(&data).batch_size(20);
    let results: Vec<Result<Batch>> = loader.epoch(0).collect();
    assert_eq!(results.len(), 1);
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert!(matches!(
        error,
        Error::Data(DataError::IndexOutOfRange { index: 1, .. })
    ));
    let ahead = loader.ahead(0, |batches| batches.filter(Result::is_err).count());
    assert_eq!(ahead, 1);
}

#[test]
fn a_single_batch_is_checked_too() {
    let data = numbered(4);
    let augmented = |augmentation: Augmentation| Loader::new(&data).augment(augmentation);
    for loader in [
        augmented(Augmentation::new().mixup(f64::NAN)),
        augmented(Augmentation::new().mixup(-1e7)),
        augmented(Augmentation::new().resized_crop(2.0..=2.0, RangeInclusive::new(2.0, 1.0))),
        Loader::new(&data).batch_size(0),
    ] {
        let error = loader.batch(0, &[0]).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

#[test]
fn maps_are_not_left_behind_by_their_images() {
    let image = images(1).sample(0).unwrap().input;
    let map = Tensor::zeros((1, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let data = FnDataset::new(1, move |_| Ok(Sample::new(image.clone(), map.clone())));
    let loader = |augmentation: Augmentation| {
        let preprocessing = Preprocessing::new().with_size(8, 8);
        let loader = Loader::new(&data).preprocessing(preprocessing);
        loader.augment(augmentation)
    };
    for moving in [
        Augmentation::new().flip(0.5),
        Augmentation::new().padded_crop(2),
        Augmentation::new().rotation(5.0),
        Augmentation::new().zoom(0.9..=1.1),
    ] {
        let error = loader(moving).batch(0, &[0]).unwrap_err();
        assert!(error.to_string().contains("which is a map"), "{error}");
    }
    let still = Augmentation::new().brightness(0.5).noise(0.1);
    assert_eq!(loader(still).batch(0, &[0]).unwrap().len(), 1);
}

#[test]
fn settings_and_classes_are_checked() {
    let data = numbered(4);
    let refused = |loader: Loader<'_>| loader.epoch(0).collect::<Result<Vec<_>>>().unwrap_err();
    let error = refused(Loader::new(&data).batch_size(0));
    assert!(matches!(error, Error::InvalidSetting { .. }));
    assert_eq!(Loader::new(&data).batch_size(0).batches(), 0);
    let on_tensors = refused(Loader::new(&data).augment(Augmentation::new().flip(0.5)));
    assert!(on_tensors.to_string().contains("tensor"), "{on_tensors}");
    let unnamed = refused(Loader::new(&data).augment(Augmentation::new().mixup(1.0)));
    assert!(
        unnamed.to_string().contains("number of classes"),
        "{unnamed}"
    );
    let named = FnDataset::new(3, |index| numbered(3).sample(index));
    let named = named.with_classes(Labels::new(["a", "b"]));
    let error = refused(Loader::new(&named));
    assert!(matches!(
        error,
        Error::ClassOutOfRange {
            example: Some(2),
            class: 2,
            classes: 2
        }
    ));
}
