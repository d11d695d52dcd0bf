//! A dataset of an HDF5 file: type, shape and place of its values.

use std::ops::Range;

use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, Layout};

use super::super::header::element_bytes;

/// A stored tensor.
pub(super) struct Stored {
    /// As safetensors spells it, if it has a name there.
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// Its bytes in the HDF5 file, or why they can't be read.
    pub(super) range: Result<Range<u64>, String>,
}

impl Stored {
    /// The reason of an error is for a message about the file.
    pub(super) fn of(dataset: &Dataset) -> Result<Self, String> {
        let damaged = |error: hdf5_pure::Error| format!("is damaged: {error}");
        let shape = dataset.shape().map_err(damaged)?;
        let sides = shape.iter().map(|&side| usize::try_from(side));
        let shape: Vec<usize> = sides
            .collect::<Result<_, _>>()
            .map_err(|_| "has a side that is too long".to_string())?;
        let dtype = dtype_of(dataset, &dataset.datatype().map_err(damaged)?);
        let range = match element_bytes(&dtype) {
            Some(width) => range_of(dataset, &shape, width),
            None => Ok(0..0),
        };
        Ok(Self {
            dtype,
            shape,
            range,
        })
    }
}

fn dtype_of(dataset: &Dataset, datatype: &Datatype) -> String {
    let name = match datatype {
        Datatype::FloatingPoint {
            size,
            byte_order,
            layout,
        } => match (size, layout.exponent_size, layout.mantissa_size) {
            _ if *byte_order != DatatypeByteOrder::LittleEndian => "big-endian floats",
            (2, 5, 10) => "F16",
            (2, 8, 7) => "BF16",
            (4, 8, 23) => "F32",
            (8, 11, 52) => "F64",
            _ => "floats of another layout than IEEE's",
        },
        Datatype::Opaque { size: 2, .. } if is_bfloat16(dataset) => "BF16",
        other => return other.to_string(),
    };
    name.to_string()
}

/// Keras notes this type in an attribute, for h5py has no name for it.
fn is_bfloat16(dataset: &Dataset) -> bool {
    let attributes = dataset.attrs().unwrap_or_default();
    let dtype = attributes.get("dtype").and_then(|value| value.as_str());
    dtype == Some("bfloat16")
}

fn range_of(dataset: &Dataset, shape: &[usize], width: u64) -> Result<Range<u64>, String> {
    let elements = shape
        .iter()
        .try_fold(1u64, |count, &side| count.checked_mul(side as u64));
    let expected = elements.and_then(|elements| elements.checked_mul(width));
    let layout = dataset.layout();
    let (address, size) = match layout.map_err(|error| format!("is damaged: {error}"))? {
        Layout::Contiguous { size: 0, .. } if expected == Some(0) => return Ok(0..0),
        Layout::Contiguous {
            address: Some(address),
            size,
        } => (address, size),
        Layout::Contiguous { .. } => return Err("was never written".to_string()),
        Layout::Compact { .. } => {
            return Err(
                "is stored within its header; rewrite it with h5repack -l CONTI -m 0".to_string(),
            );
        }
        _ => {
            return Err(
                "is stored in chunks, maybe compressed; save the file again with Keras, or \
                 rewrite it with h5repack -l CONTI -f NONE"
                    .to_string(),
            );
        }
    };
    if expected != Some(size) {
        return Err(format!("takes {size} bytes, which do not fit {shape:?}"));
    }
    let end = address.checked_add(size);
    Ok(address..end.ok_or("lies outside of the file")?)
}
