//! The segments that say how the compressed data are laid out.

use super::bits::{Bits, Fault};
use crate::preprocess::size::Size;

/// Huffman codes and the restart interval.
#[derive(Default)]
pub(super) struct Tables {
    /// Of DC and AC coefficients, by number.
    pub(super) codes: [[Option<Codes>; 4]; 2],
    /// Units between restarts; 0 for none.
    pub(super) interval: usize,
}

/// A Huffman table (annex C).
#[derive(Clone)]
pub(super) struct Codes {
    /// For each length in bits: the end of its codes, moved up to 16 bits, and
    /// what to add to a code for its place in `symbols`.
    lengths: [Length; 16],
    symbols: Vec<u8>,
    /// The symbol and length of codes of up to 8 bits, by the next 8 bits. Longer
    /// codes have length 0.
    short: [(u8, u8); 256],
}

#[derive(Clone, Copy, Default)]
struct Length {
    end: usize,
    offset: isize,
}

impl Codes {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let mut lengths = [Length::default(); 16];
        let mut short = [(0, 0); 256];
        let (mut code, mut place) = (0usize, 0usize);
        for (index, &count) in counts.iter().enumerate() {
            let bits = index + 1;
            let first = (code, place);
            for _ in 0..count {
                if bits <= 8
                    && let Some(&symbol) = symbols.get(place)
                    && let Some(entries) =
                        short.get_mut(code << (8 - bits)..(code + 1) << (8 - bits))
                {
                    entries.fill((symbol, bits as u8));
                }
                (code, place) = (code + 1, place + 1);
            }
            lengths[index] = Length {
                end: code << (16 - bits),
                offset: first.1 as isize - first.0 as isize,
            };
            code <<= 1;
        }
        Self {
            lengths,
            symbols: symbols.to_vec(),
            short,
        }
    }

    pub(super) fn next(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let ahead = bits.peek();
        let (symbol, length) = self.short[ahead >> 8];
        if length > 0 {
            bits.take(u32::from(length))?;
            return Ok(symbol);
        }
        for (index, length) in self.lengths.iter().enumerate() {
            if ahead < length.end {
                let code = bits.take(index as u32 + 1)? as isize;
                let place = usize::try_from(code + length.offset);
                let symbol = place.ok().and_then(|place| self.symbols.get(place));
                return symbol.copied().ok_or(Fault::Code);
            }
        }
        // Of bits that are missing, no code can be expected.
        bits.take(16)?;
        Err(Fault::Code)
    }
}

impl Tables {
    pub(super) fn read_codes(&mut self, mut segment: &[u8]) {
        while let Some((&[head], rest)) = segment.split_first_chunk()
            && let Some((counts, rest)) = rest.split_first_chunk::<16>()
        {
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let Some((symbols, rest)) = rest.split_at_checked(total) else {
                return;
            };
            let class = self.codes.get_mut(usize::from(head >> 4));
            if let Some(codes) = class.and_then(|codes| codes.get_mut(usize::from(head & 15))) {
                *codes = Some(Codes::new(counts, symbols));
            }
            segment = rest;
        }
    }

    pub(super) fn read_interval(&mut self, segment: &[u8]) {
        if let Some(&interval) = segment.first_chunk() {
            self.interval = usize::from(u16::from_be_bytes(interval));
        }
    }
}

/// The image as blocks of 8x8 coefficients.
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    pub(super) components: Vec<Component>,
    /// Interleaved units, across and down.
    pub(super) units: Grid,
}

#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) across: usize,
    pub(super) down: usize,
}

pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks in each unit.
    pub(super) sampling: Grid,
    /// Blocks in a scan of this component alone.
    pub(super) blocks: Grid,
    /// Which coefficients of each block are not 0, a bit for each; of a
    /// progressive image, with the blocks that only fill units up.
    pub(super) nonzero: Vec<u64>,
}

impl Frame {
    /// `None` if it is none that can be decoded.
    pub(super) fn read(segment: &[u8], is_progressive: bool, limit: u64) -> Option<Self> {
        let &[_, h1, h0, w1, w0, count, ref rest @ ..] = segment else {
            return None;
        };
        let height = usize::from(u16::from_be_bytes([h1, h0]));
        let width = usize::from(u16::from_be_bytes([w1, w0]));
        let entries = rest.chunks_exact(3).take(usize::from(count));
        let sampling = |packed: u8| Grid {
            across: usize::from(packed >> 4),
            down: usize::from(packed & 15),
        };
        let factors = || entries.clone().map(|entry| sampling(entry[1]));
        let across = factors().map(|factor| factor.across).max()?;
        let down = factors().map(|factor| factor.down).max()?;
        let is_legal = |factor: Grid| factor.across.min(factor.down) > 0;
        // Only the size of the first frame was checked before.
        Size { width, height }.pixels_within(limit).ok()?;
        if count > 4 || !factors().all(is_legal) {
            return None;
        }
        let units = Grid {
            across: width.div_ceil(8 * across),
            down: height.div_ceil(8 * down),
        };
        let component = |entry: &[u8]| {
            let own = sampling(entry[1]);
            let stored = units.across * own.across * units.down * own.down;
            Component {
                id: entry[0],
                sampling: own,
                blocks: Grid {
                    across: (width * own.across).div_ceil(8 * across),
                    down: (height * own.down).div_ceil(8 * down),
                },
                nonzero: vec![0; if is_progressive { stored } else { 0 }],
            }
        };
        Some(Self {
            is_progressive,
            components: entries.clone().map(component).collect(),
            units,
        })
    }
}
