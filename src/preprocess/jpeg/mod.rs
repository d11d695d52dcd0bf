//! Whether the compressed data of a JPEG file have all their blocks (ITU-T T.81).
//! Decoders guess what is missing and say nothing. In come bytes; out comes what
//! is wrong with them. Blocks are counted by reading their Huffman codes, without
//! computing pixels.

mod bits;
mod frame;
mod markers;
mod scan;

use bits::{Bits, Fault};
use frame::{Frame, Tables};
use markers::{END, RESTARTS, SCAN, START, next_marker, segment};
use scan::Scan;

/// What a file lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The bytes end before the marker of the end.
    NoEnd,
    /// Blocks are missing in the middle, or codes can't be read.
    Blocks,
}

/// The decoder refuses files of more scans.
const MOST_SCANS: usize = 100;

/// Walks from marker to marker to that of the end (annex B). The thumbnails of
/// cameras lie within segments and are passed over. What the decoder refuses by
/// itself, and what it can't decode, is not judged. Nor is an image above `limit`,
/// in bytes of its pixels.
pub(super) fn damage(bytes: &[u8], limit: u64) -> Option<Damage> {
    let mut walk = Walk {
        limit,
        ..Walk::default()
    };
    let mut at = 0;
    while let Some((marker, next)) = next_marker(bytes, at) {
        at = next;
        match marker {
            END => return None,
            0 | 1 | START => {}
            _ if RESTARTS.contains(&marker) => {}
            _ => {
                let Some(segment) = segment(bytes, at) else {
                    return Some(Damage::NoEnd);
                };
                at += 2 + segment.len();
                match walk.read(marker, segment, &bytes[at..]) {
                    Ok(read) => at += read,
                    Err(Fault::Ended) => return Some(Damage::NoEnd),
                    Err(Fault::Marker | Fault::Code) => return Some(Damage::Blocks),
                }
            }
        }
    }
    Some(Damage::NoEnd)
}

/// What the segments so far say.
#[derive(Default)]
struct Walk {
    tables: Tables,
    frame: Option<Frame>,
    scans: usize,
    limit: u64,
}

impl Walk {
    /// Reads a segment, and the compressed data after that of a scan: returns how
    /// many bytes of these were read.
    fn read(&mut self, marker: u8, segment: &[u8], rest: &[u8]) -> Result<usize, Fault> {
        match marker {
            // Baseline, extended and progressive, with Huffman codes.
            0xc0..=0xc2 => self.frame = Frame::read(segment, marker == 0xc2, self.limit),
            0xc4 => self.tables.read_codes(segment),
            0xdd => self.tables.read_interval(segment),
            SCAN => return self.scan(segment, rest),
            _ => {}
        }
        Ok(0)
    }

    fn scan(&mut self, segment: &[u8], rest: &[u8]) -> Result<usize, Fault> {
        self.scans += 1;
        let Some(frame) = self.frame.as_mut().filter(|_| self.scans <= MOST_SCANS) else {
            return Ok(0);
        };
        let Some(scan) = Scan::read(segment, frame, &self.tables) else {
            self.frame = None;
            return Ok(0);
        };
        let mut bits = Bits::new(rest);
        scan.walk(frame, &mut bits, self.tables.interval)?;
        bits.end()
    }
}
