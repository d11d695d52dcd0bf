//! The markers between segments (T.81, annex B).

use std::ops::RangeInclusive;

pub(super) const RESTARTS: RangeInclusive<u8> = 0xd0..=0xd7;
pub(super) const START: u8 = 0xd8;
pub(super) const END: u8 = 0xd9;
pub(super) const SCAN: u8 = 0xda;

/// The marker at or after a position, and where it ends. FF fills.
pub(super) fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let from = at + bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
    let code = from + bytes[from..].iter().position(|&byte| byte != 0xff)?;
    Some((bytes[code], code + 1))
}

/// What a segment holds after its length.
pub(super) fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    bytes.get(at..at + length.max(2))?.get(2..)
}
