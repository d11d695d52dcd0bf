//! Damaged files of every format: an error or what was in them, never a panic, a
//! hang or more memory than the file deserves.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use vgg_surgery::graph::Precision;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Conv2d, Graph, Model, WeightSet};

use crate::child::{Process, cases, job, random};
use crate::small;

/// Sound files of a format, and what reads one.
struct Format {
    samples: Vec<PathBuf>,
    /// True if the file was sound.
    read: fn(&Path) -> bool,
}

const FORMATS: &[&str] = &[
    "model",
    "delta",
    "checkpoint",
    "pytorch-legacy",
    "pytorch-zip",
    #[cfg(feature = "keras")]
    "keras-h5",
    #[cfg(feature = "keras")]
    "keras-zip",
    #[cfg(feature = "image")]
    "png",
    #[cfg(feature = "image")]
    "jpg",
    #[cfg(feature = "image")]
    "webp",
    #[cfg(feature = "gif")]
    "gif",
    #[cfg(feature = "bmp")]
    "bmp",
    #[cfg(feature = "tiff")]
    "tif",
    #[cfg(feature = "image")]
    "csv",
    #[cfg(feature = "image")]
    "json",
];

fn fixtures(folder: &str, names: &[&str]) -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = fixtures.join(folder);
    names.iter().map(|name| folder.join(name)).collect()
}

impl Format {
    /// Also writes what the readers need beside the damaged file.
    fn of(name: &str, folder: &Path) -> Self {
        let sample = folder.join("sample");
        let base = folder.join("base.safetensors");
        let written = vec![sample.clone()];
        let (samples, read): (_, fn(&Path) -> bool) = match name {
            "model" => {
                let model = small::built(&small::graph(None));
                let model = model.quantize_dense(Precision::Int8).unwrap();
                model.save(&sample).unwrap();
                (written, read_model)
            }
            "delta" => {
                small::built(&small::graph(None)).save(&base).unwrap();
                let model = small::built(&small::graph(Some(&base)));
                model.save_delta(&sample).unwrap();
                (written, read_model)
            }
            "checkpoint" => {
                let mut model = small::built(&small::graph(None));
                let mut trainer = small::plain(&mut model);
                trainer.set_epochs(1);
                trainer.fit_without_validation(&small::data()).unwrap();
                trainer.save_checkpoint(&sample).unwrap();
                (written, read_checkpoint)
            }
            "pytorch-legacy" => {
                let names = ["legacy.pth", "legacy4.pth"];
                (fixtures("pytorch", &names), read_pytorch)
            }
            "pytorch-zip" => {
                let names = [
                    "protocol2.pth",
                    "protocol5.pth",
                    "checkpoint.pth.tar",
                    "nested.ckpt",
                ];
                (fixtures("pytorch", &names), read_pytorch)
            }
            #[cfg(feature = "keras")]
            "keras-h5" => {
                let names = ["small.h5", "small2.h5", "small2.weights.h5"];
                (fixtures("keras", &names), read_keras)
            }
            #[cfg(feature = "keras")]
            "keras-zip" => (fixtures("keras", &["small.keras"]), read_keras),
            #[cfg(feature = "image")]
            _ => of_images(name, folder),
            #[cfg(not(feature = "image"))]
            _ => unreachable!("{name}"),
        };
        Self { samples, read }
    }
}

#[cfg(feature = "image")]
fn of_images(name: &str, folder: &Path) -> (Vec<PathBuf>, fn(&Path) -> bool) {
    let sample = folder.join("sample");
    for image in ["a.png", "b.png"] {
        let from = fixtures("preprocess", &["grey2.png"]);
        fs::copy(&from[0], folder.join(image)).unwrap();
    }
    match name {
        "csv" => {
            let text = "image,labels\na.png,grass;cat\n\"b.png\",\"dog\"\n";
            fs::write(&sample, text).unwrap();
            (vec![sample], read_labels)
        }
        "json" => {
            let text = r#"{"a.png": ["grass", "c\u0061t"], "b.png": []}"#;
            let sample = sample.with_extension("json");
            fs::write(&sample, text).unwrap();
            (vec![sample], read_labels)
        }
        _ => {
            let all = fs::read_dir(fixtures("preprocess", &[""])[0].clone()).unwrap();
            let all = all.map(|entry| entry.unwrap().path());
            let ending = |path: &PathBuf| path.extension().is_some_and(|ending| ending == name);
            let mut samples: Vec<PathBuf> = all.filter(ending).collect();
            samples.sort();
            (samples, read_image)
        }
    }
}

/// A model that was read can be written, and read again.
fn read_model(path: &Path) -> bool {
    let Ok(model) = Model::load(path, &Device::Cpu) else {
        return false;
    };
    let bytes = model.to_bytes().unwrap();
    let again = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    model.graph().diff(again.graph()).is_empty()
}

fn read_checkpoint(path: &Path) -> bool {
    let mut model = small::built(&small::graph(None));
    let mut trainer = small::plain(&mut model);
    trainer.set_epochs(1);
    if let Ok(mut trainer) = trainer.resume(path) {
        let _ = trainer.fit_without_validation(&small::data());
    }
    model.load_weights(path).is_ok()
}

fn read_pytorch(path: &Path) -> bool {
    let conv = Conv2d::new(2, 2).named("conv");
    let graph = Graph::new("one", (3, 4, 4)).unwrap().attach(conv).unwrap();
    let graph = graph.also_from(WeightSet::file(path), ["conv"]);
    graph.and_then(|graph| graph.build(&Device::Cpu)).is_ok()
}

#[cfg(feature = "keras")]
fn read_keras(path: &Path) -> bool {
    let options = vgg_surgery::Vgg11Bn::options().widths(32);
    let graph = options.pretrained_from(WeightSet::file(path));
    let graph = graph.and_then(|graph| graph.truncate("block1_bn1"));
    graph.and_then(|graph| graph.build(&Device::Cpu)).is_ok()
}

#[cfg(feature = "image")]
fn read_image(path: &Path) -> bool {
    let options = vgg_surgery::Image::options().memory_limit(64 << 20);
    options.open(path).is_ok()
}

#[cfg(feature = "image")]
fn read_labels(path: &Path) -> bool {
    let folder = path.parent().unwrap();
    vgg_surgery::data::ImageLabelFolder::open(folder, path).is_ok()
}

/// Numbers at and beyond borders.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX - 7,
    u64::MAX,
];

/// What stands for a number in a text.
const TEXTS: [&str; 10] = [
    "0",
    "-1",
    "9999999999",
    "18446744073709551615",
    "1e400",
    "0.5",
    "null",
    "\"\"",
    "[]",
    "{}",
];

fn range(random: &mut ChaCha8Rng, length: usize, most: usize) -> std::ops::Range<usize> {
    let start = random.random_range(0..=length);
    let end = start + random.random_range(0..=most.min(length - start));
    start..end
}

/// One change at a random place.
fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let at = random.random_range(0..length);
    match random.random_range(0..8) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(range(random, length, 64))),
        3 => {
            let copy = bytes[range(random, length, 64)].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => {
            let copy = bytes[range(random, length, 64)].to_vec();
            let end = length.min(at + copy.len());
            bytes[at..end].copy_from_slice(&copy[..end - at]);
        }
        5 => {
            let number = NUMBERS.choose(random).unwrap();
            let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
            let size = 1 << random.random_range(0..4);
            let new = if random.random() {
                &little[..size]
            } else {
                &big[8 - size..]
            };
            let end = length.min(at + size);
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        6 => {
            let digit = (at..length)
                .find(|&at| bytes[at].is_ascii_digit())
                .unwrap_or(at);
            let digits = bytes[digit..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit());
            let end = digit + digits.count();
            bytes.splice(digit..end, TEXTS.choose(random).unwrap().bytes());
        }
        _ => {
            let new: Vec<u8> = (0..random.random_range(1..9))
                .map(|_| random.random())
                .collect();
            bytes.splice(at..at, new);
        }
    }
}

/// A file with up to four changes. Half of the safetensors files are changed in
/// their header alone, and state its length.
fn damaged(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let length = sound.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let header = length.and_then(|length| sound.get(8..)?.get(..usize::try_from(length).ok()?));
    let is_header = header.is_some_and(|header| header.first() == Some(&b'{'));
    let mut part = match header {
        Some(header) if is_header && random.random() => header.to_vec(),
        _ => {
            let mut bytes = sound.to_vec();
            (0..random.random_range(1..5)).for_each(|_| mutate(&mut bytes, random));
            return bytes;
        }
    };
    let data = &sound[8 + part.len()..];
    (0..random.random_range(1..5)).for_each(|_| mutate(&mut part, random));
    [&(part.len() as u64).to_le_bytes()[..], &part, data].concat()
}

/// The last file that was read stays, for whoever looks for the reason.
fn child(name: &str, folder: &Path) {
    // A panic that is caught on its way is one too.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    let format = Format::of(name, folder);
    let sound: Vec<Vec<u8>> = format
        .samples
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    for path in &format.samples {
        assert!((format.read)(path), "{} is sound", path.display());
    }
    let ending = if name == "json" { "json" } else { "bin" };
    let path = folder.join("damaged").with_extension(ending);
    for case in 0..cases(500) {
        let mut random = random(name, case);
        let bytes = damaged(sound.choose(&mut random).unwrap(), &mut random);
        fs::write(&path, bytes).unwrap();
        (format.read)(&path);
    }
}

#[test]
fn damaged_files_are_errors() {
    if let Some((name, folder)) = job() {
        return child(&name, &folder);
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged");
    for name in FORMATS {
        let folder = root.join(name);
        fs::create_dir_all(&folder).unwrap();
        Process::new("mutations::damaged_files_are_errors", name, &folder)
            .seconds(30 + cases(500) / 20)
            .megabytes(1500)
            .run();
    }
}
