//! Loading from every kind of source, and every fault of theirs.

#[cfg(feature = "hub")]
#[path = "../../../tests/support/content.rs"]
mod content;
mod header;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_bad_files;
#[cfg(feature = "hub")]
mod hub_cache;
#[cfg(feature = "hub")]
mod hub_faults;
#[cfg(feature = "hub")]
mod hub_mirrors;
#[cfg(feature = "hub")]
mod hub_neighbors;
#[cfg(feature = "keras")]
mod keras;
#[cfg(feature = "hub")]
#[path = "../../../tests/support/local_hub.rs"]
mod local_hub;
mod pytorch;
mod sources;

use candle_core::Tensor;

use super::{ReadOptions, Wanted, load};
use crate::error::Result;
use crate::graph::{Layout, WeightKey, WeightSet};

/// The address of a server that answers with a start, and then with the same bytes
/// until the client has had enough.
#[cfg(feature = "hub")]
fn endless(start: &'static str, rest: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::Write;
        let rest = rest.repeat(1000);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(start.as_bytes());
            while stream.write_all(rest.as_bytes()).is_ok() {}
        }
    });
    format!("http://{address}")
}

/// A candidate stored as it is used.
fn key(name: &str) -> WeightKey {
    WeightKey {
        name: name.to_string(),
        layout: Layout::AsIs,
    }
}

/// Loads tensors of one candidate each.
fn load_plain(
    set: &WeightSet,
    wanted: &[(&str, Vec<usize>)],
    options: &ReadOptions,
) -> Result<Vec<Tensor>> {
    let keys: Vec<[WeightKey; 1]> = wanted.iter().map(|(name, _)| [key(name)]).collect();
    let wanted: Vec<Wanted<'_>> = keys
        .iter()
        .zip(wanted)
        .map(|(keys, (_, shape))| Wanted {
            keys,
            shape,
            is_optional: false,
        })
        .collect();
    let loaded = load(set, &wanted, options)?;
    let loaded = loaded.into_iter().flatten();
    Ok(loaded.map(|loaded| loaded.tensor).collect())
}

fn raw_safetensors(json: &str, data: &[u8]) -> Vec<u8> {
    let length = (json.len() as u64).to_le_bytes();
    [&length, json.as_bytes(), data].concat()
}

/// The file that the safetensors crate writes of some little-endian f32 data.
fn safetensors_of(tensors: &[(&str, Vec<usize>)]) -> Vec<u8> {
    let data: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape)| {
            let bytes = values_of(name, shape)
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (*name, shape.clone(), bytes)
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// The values that [`safetensors_of`] gives a tensor.
fn values_of(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().map(f32::from).sum::<f32>();
    (0..shape.iter().product())
        .map(|index: usize| seed + index as f32)
        .collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
