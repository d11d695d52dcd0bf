use candle_core::Tensor;
use sha2::{Digest, Sha256};

use super::write::write_values;
use crate::error::Result;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes a tensor's values in row order into a hash, as little-endian bytes.
pub(crate) fn hash_tensor(tensor: &Tensor, hasher: &mut Sha256) -> Result<()> {
    write_values(tensor, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })
}
