use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use vgg_surgery::data::Sample;
use vgg_surgery::train::{FeatureCache, Finding};
use vgg_surgery::{Dataset, History, Model, Result, TensorDataset, Trainer};

use crate::{built, graph, noise, two_kinds, weights};

/// A data set that counts how often examples are read, and whose first example
/// can change.
struct Counting {
    data: TensorDataset,
    other: TensorDataset,
    reads: Arc<AtomicUsize>,
    version: Arc<AtomicU64>,
}

impl Counting {
    fn new(data: TensorDataset, other: TensorDataset) -> Self {
        Self {
            data,
            other,
            reads: Arc::default(),
            version: Arc::default(),
        }
    }

    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl Dataset for Counting {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.version.load(Ordering::Relaxed) > 0 {
            self.other.sample(index)
        } else {
            self.data.sample(index)
        }
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        Some(self.version.load(Ordering::Relaxed) * 1000 + index as u64)
    }
}

fn counting() -> Counting {
    Counting::new(two_kinds(10, 8, 1), two_kinds(10, 8, 5))
}

fn losses(history: &History) -> Vec<u64> {
    let losses = history.curve("val_loss").into_iter();
    losses.map(f64::to_bits).collect()
}

fn run(model: &mut Model, cache: FeatureCache) -> History {
    let (train, validation) = (two_kinds(10, 8, 1), two_kinds(6, 8, 2));
    Trainer::new(model)
        .batch_size(4)
        .epochs(3)
        .feature_cache(cache)
        .fit(&train, &validation)
        .unwrap()
}

/// Compares losses and weights after three epochs of one network on the CPU with
/// features cached in memory, in a file, and in both.
#[test]
fn cached_features_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = built(graph());
    let expected = run(&mut plain, FeatureCache::off());
    assert!(expected.cache.is_none());
    // 8 channels of 2x2 are 128 bytes for each of 10 and 6 examples.
    for (memory, in_memory, in_file) in [(1 << 20, 2048, 0), (0, 0, 2048), (500, 768, 1280)] {
        let cache = FeatureCache::new()
            .memory_limit(memory)
            .folder(folder.path());
        let mut model = built(graph());
        let history = run(&mut model, cache);
        assert_eq!(losses(&history), losses(&expected));
        assert_eq!(weights(&model), weights(&plain));
        let report = history.cache.unwrap();
        assert_eq!(report.layer, "block2_pool");
        assert_eq!(report.examples, 16);
        assert_eq!(
            (report.memory_bytes, report.file_bytes),
            (in_memory, in_file)
        );
        let from_cache: Vec<bool> = history.epochs.iter().map(|e| e.from_cache).collect();
        assert_eq!(from_cache, [false, true, true]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn examples_are_read_once() {
    let data = counting();
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).batch_size(4).epochs(3);
    trainer.fit_without_validation(&data).unwrap();
    assert_eq!(data.reads(), 10);
    trainer.fit_without_validation(&data).unwrap();
    assert_eq!(data.reads(), 0);
}

#[test]
fn a_changed_example_is_computed_anew() {
    let data = counting();
    let fit = |change: bool| {
        let mut model = built(graph());
        let mut trainer = Trainer::new(&mut model).batch_size(4).shuffle(false);
        if change {
            trainer.fit_without_validation(&data).unwrap();
            data.version.store(1, Ordering::Relaxed);
        }
        data.reads();
        trainer.fit_without_validation(&data).unwrap();
        (data.reads(), trainer.evaluate(&data).unwrap().loss)
    };
    let (reads, kept) = fit(true);
    assert_eq!(reads, 10);
    // Without anything kept from before.
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model)
        .batch_size(4)
        .shuffle(false)
        .feature_cache(FeatureCache::off());
    data.version.store(0, Ordering::Relaxed);
    trainer.fit_without_validation(&data).unwrap();
    data.version.store(1, Ordering::Relaxed);
    trainer.fit_without_validation(&data).unwrap();
    assert_eq!(
        trainer.evaluate(&data).unwrap().loss.to_bits(),
        kept.to_bits()
    );
}

#[test]
fn a_changed_weight_is_never_served_stale() {
    let data = counting();
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).batch_size(4);
    trainer.fit_without_validation(&data).unwrap();
    data.reads();
    // The last frozen layer learns, and is frozen again.
    trainer.unfreeze("block2_conv2").unwrap();
    let history = trainer.fit_without_validation(&data).unwrap();
    assert_eq!(history.cache.unwrap().layer, "block2_conv1");
    assert_eq!(data.reads(), 10);
    trainer.freeze("block2_conv2").unwrap();
    let history = trainer.fit_without_validation(&data).unwrap();
    assert_eq!(history.cache.unwrap().layer, "block2_pool");
    assert_eq!(data.reads(), 10);
}

#[test]
fn nothing_is_cached_if_layers_learn_or_do_not_fit() {
    let reasons = |model: &mut Model, cache: FeatureCache| {
        let history = run(model, cache);
        assert!(history.cache.is_none());
        history
            .findings
            .into_iter()
            .find_map(|finding| match finding {
                Finding::FeaturesNotKept { layer, reason } => Some((layer, reason)),
                _ => None,
            })
    };
    let all = graph().unfreeze(..).unwrap();
    assert_eq!(reasons(&mut built(all), FeatureCache::new()), None);
    let none = FeatureCache::new().memory_limit(100).file_limit(100);
    let (layer, reason) = reasons(&mut built(graph()), none).unwrap();
    assert_eq!(layer, "block2_pool");
    assert!(reason.contains("more bytes"), "{reason}");
}

#[test]
fn examples_without_fingerprints_are_not_cached() {
    struct Plain(TensorDataset);
    impl Dataset for Plain {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn sample(&self, index: usize) -> Result<Sample> {
            self.0.sample(index)
        }
    }
    let plain = Plain(two_kinds(6, 8, 1));
    let mut model = built(graph());
    let history = Trainer::new(&mut model)
        .fit_without_validation(&plain)
        .unwrap();
    assert!(history.cache.is_none());
    let text = history.to_string();
    assert!(text.contains("no fingerprints"), "{text}");
}

/// The second `fit` augments, so its training data are not cached,
/// and trains layers before those whose output was cached.
#[test]
fn the_cache_of_an_earlier_fit_is_not_used_for_other_layers() {
    let samples = |seed: usize| {
        let samples = (0..6).map(|index| Sample::new(image(index + seed), index % 2));
        vgg_surgery::data::MemoryDataset::new(samples.collect::<Vec<_>>())
    };
    let (train, validation) = (samples(0), samples(10));
    let run = |cache: FeatureCache| {
        let graph = graph().with_preprocessing(vgg_surgery::Preprocessing::new());
        let mut model = built(graph);
        let mut trainer = Trainer::new(&mut model).batch_size(3).feature_cache(cache);
        trainer.fit(&train, &validation).unwrap();
        trainer.unfreeze("block2_conv2").unwrap();
        let mut trainer = trainer.augment(vgg_surgery::Augmentation::new().flip(0.5));
        losses(&trainer.fit(&train, &validation).unwrap())
    };
    assert_eq!(run(FeatureCache::new()), run(FeatureCache::off()));
}

#[test]
fn changed_targets_are_never_stale() {
    let x = noise((8, 3, 8, 8), 3);
    let run = |cache: FeatureCache| {
        let mut model = built(graph());
        let mut trainer = Trainer::new(&mut model).batch_size(4).feature_cache(cache);
        for classes in [[0, 1, 0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0, 1, 0]] {
            let data = TensorDataset::new(x.clone(), classes).unwrap();
            trainer.fit(&data, &data).unwrap();
        }
        losses(&trainer.history())
    };
    assert_eq!(run(FeatureCache::new()), run(FeatureCache::off()));
}

#[test]
fn an_epoch_is_from_the_cache_when_nothing_had_to_be_computed() {
    let (train, validation) = (two_kinds(6, 8, 1), two_kinds(4, 8, 2));
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).batch_size(4);
    trainer.fit(&train, &validation).unwrap();
    trainer.fit(&train, &validation).unwrap();
    let history = trainer.fit(&train, &two_kinds(4, 8, 5)).unwrap();
    let from_cache: Vec<bool> = history.epochs.iter().map(|e| e.from_cache).collect();
    assert_eq!(from_cache, [false, true, false]);
}

fn image(index: usize) -> vgg_surgery::Image {
    let pixels = (0..192).map(|at| ((at * 37 + index * 101) % 256) as u8);
    vgg_surgery::Image::from_rgb8(8, 8, pixels.collect::<Vec<u8>>()).unwrap()
}

/// With one view every epoch is as the first one would be.
#[test]
fn views_of_augmented_examples_are_taken_in_turn() {
    let samples = (0..6).map(|index| Sample::new(image(index), index % 2));
    let data = vgg_surgery::data::MemoryDataset::new(samples.collect::<Vec<_>>());
    let reads = |views: u64, epochs: u64| {
        let graph = graph().with_preprocessing(vgg_surgery::Preprocessing::new());
        let mut model = built(graph);
        let history = Trainer::new(&mut model)
            .augment(vgg_surgery::Augmentation::new().flip(0.5).noise(0.1))
            .feature_cache(FeatureCache::new().views(views))
            .epochs(epochs)
            .fit_without_validation(&data)
            .unwrap();
        assert!(history.findings.is_empty(), "{history}");
        (history.cache.map(|cache| cache.examples), weights(&model))
    };
    assert_eq!(reads(0, 2).0, None);
    assert_eq!(reads(3, 2).0, Some(18));
    // Epochs that take views for the first time see what is drawn again.
    assert_eq!(reads(2, 2).1, reads(0, 2).1);
    assert_ne!(reads(1, 2).1, reads(0, 2).1);
}
