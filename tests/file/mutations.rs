use std::sync::LazyLock;

use candle_core::Device;
use proptest::prelude::*;
use vgg_surgery::graph::Precision;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Model, WeightSet};

use crate::{built, every_kind, parameters};

/// Every kind of layer, dense ones in whole numbers.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let model = built(&every_kind())
        .quantize_dense(Precision::Int8)
        .unwrap();
    model.to_bytes().unwrap()
});

fn header_bytes() -> usize {
    8 + u64::from_le_bytes(SOUND[..8].try_into().unwrap()) as usize
}

/// Whatever comes of it, it is an error, or a model that is the same once it was
/// written and read again.
fn loads(bytes: Vec<u8>) -> Option<Model> {
    let read = |bytes: Vec<u8>| Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new());
    let model = read(bytes).ok()?;
    let written = model.to_bytes().unwrap();
    let again = read(written.clone()).unwrap();
    assert!(model.graph().diff(again.graph()).is_empty());
    assert!(again.to_bytes().unwrap() == written);
    Some(model)
}

#[test]
fn what_fuzzing_begins_with_loads() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let base = std::fs::read(fuzz.join("base.safetensors")).unwrap();
    let options = LoadOptions::new().base(WeightSet::bytes(base));
    let files = std::fs::read_dir(fuzz.join("corpus/load")).unwrap();
    let mut count = 0;
    for path in files.map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&path).unwrap();
        let model = Model::from_bytes(bytes, &Device::Cpu, &options);
        let model = model.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(loads(model.to_bytes().unwrap()).map(|_| ()), Some(()));
        count += 1;
    }
    assert_eq!(count, 5);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn changed_bytes_of_the_header_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = SOUND.clone();
        for (place, byte) in changes {
            let place = place.index(header_bytes());
            bytes[place] = byte;
        }
        if let Some(model) = loads(bytes) {
            prop_assert!(model.parameters().count() > 0);
        }
    }

    #[test]
    fn a_changed_digit_or_word_never_panics(
        place in any::<prop::sample::Index>(),
        text in prop::sample::select(vec![
            "0", "1", "-1", "9999999999", "18446744073709551615", "1e400", "null", "\"\"", "[]", "{}",
        ]),
    ) {
        // The record stands escaped in the header: numbers are plain in both.
        let digits: Vec<usize> = (8..header_bytes()).filter(|&at| SOUND[at].is_ascii_digit()).collect();
        let at = digits[place.index(digits.len())];
        let text = text.replace('"', "\\\"");
        let mut header = SOUND[8..at].to_vec();
        header.extend(text.bytes());
        header.extend(&SOUND[at + 1..header_bytes()]);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(&SOUND[header_bytes()..]);
        if let Some(model) = loads(bytes) {
            prop_assert!(model.parameters().count() > 0);
        }
    }

    #[test]
    fn changed_data_changes_values_alone(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = SOUND.clone();
        let place = header_bytes() + place.index(bytes.len() - header_bytes());
        let differs = bytes[place] != byte;
        bytes[place] = byte;
        let changed = parameters(&loads(bytes).unwrap());
        let sound = parameters(&loads(SOUND.clone()).unwrap());
        let others = changed.iter().zip(&sound).filter(|(a, b)| a.2 != b.2).count();
        prop_assert_eq!(others, usize::from(differs));
    }

    #[test]
    fn cut_off_files_are_errors(place in any::<prop::sample::Index>()) {
        let bytes = SOUND[..place.index(SOUND.len())].to_vec();
        prop_assert!(loads(bytes).is_none());
    }
}
