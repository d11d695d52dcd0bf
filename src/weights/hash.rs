//! Hashes of bytes, files and tensors.

#[cfg(feature = "hub")]
use std::fs::File;
#[cfg(feature = "hub")]
use std::io::{self, Read};

use candle_core::Tensor;
use sha2::{Digest, Sha256};

use super::write::write_values;
use crate::error::Result;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(feature = "hub")]
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Takes up to so many bytes of a file into a hash.
#[cfg(feature = "hub")]
pub(super) fn hash_file(file: &mut File, bytes: u64, hasher: &mut Sha256) -> io::Result<()> {
    io::copy(&mut file.take(bytes), hasher).map(|_| ())
}

/// Takes a tensor's values in row order into a hash, as little-endian bytes.
pub(crate) fn hash_tensor(tensor: &Tensor, hasher: &mut Sha256) -> Result<()> {
    write_values(tensor, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })
}
