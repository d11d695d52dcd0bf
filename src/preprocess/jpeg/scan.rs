//! The blocks of one scan (annexes F and G).

use super::bits::{Bits, Fault};
use super::frame::{Codes, Frame, Grid, Tables};

/// What a scan holds of which components.
pub(super) struct Scan<'t> {
    parts: Vec<Part<'t>>,
    /// The first and last coefficient, in zigzag order.
    first: u32,
    last: u32,
    refines: bool,
}

struct Part<'t> {
    component: usize,
    dc: Option<&'t Codes>,
    ac: Option<&'t Codes>,
}

impl<'t> Scan<'t> {
    /// `None` if it is none that can be decoded.
    pub(super) fn read(segment: &[u8], frame: &Frame, tables: &'t Tables) -> Option<Self> {
        let (&count, rest) = segment.split_first()?;
        let (entries, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, approximation, ..] = rest else {
            return None;
        };
        let [dc, ac] = &tables.codes;
        let parts = entries.chunks_exact(2).map(|entry| {
            let ids = frame.components.iter().map(|component| component.id);
            Some(Part {
                component: ids.into_iter().position(|id| id == entry[0])?,
                dc: dc.get(usize::from(entry[1] >> 4))?.as_ref(),
                ac: ac.get(usize::from(entry[1] & 15))?.as_ref(),
            })
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let (first, last, refines) = match frame.is_progressive {
            true => (first, last, approximation >> 4 > 0),
            false => (0, 63, false),
        };
        let is_legal = first <= last && last < 64 && !parts.is_empty();
        let scan = Self {
            parts,
            first: u32::from(first),
            last: u32::from(last),
            refines,
        };
        (is_legal && scan.has_codes()).then_some(scan)
    }

    fn has_codes(&self) -> bool {
        let needs_dc = self.first == 0 && !self.refines;
        self.parts
            .iter()
            .all(|part| (!needs_dc || part.dc.is_some()) && (self.last == 0 || part.ac.is_some()))
    }

    /// Reads all blocks. A scan of one component has no units, but its blocks.
    pub(super) fn walk(
        &self,
        frame: &mut Frame,
        bits: &mut Bits<'_>,
        interval: usize,
    ) -> Result<(), Fault> {
        let alone = match self.parts.as_slice() {
            [part] => Some(part.component),
            _ => None,
        };
        let grid = alone.map_or(frame.units, |index| frame.components[index].blocks);
        let mut run = 0;
        for unit in 0..grid.across * grid.down {
            if interval > 0 && unit > 0 && unit % interval == 0 {
                bits.restart(unit / interval - 1)?;
                run = 0;
            }
            let (column, row) = (unit % grid.across, unit / grid.across);
            for part in &self.parts {
                let component = &mut frame.components[part.component];
                let stride = frame.units.across * component.sampling.across;
                let size = match alone {
                    Some(_) => Grid { across: 1, down: 1 },
                    None => component.sampling,
                };
                for y in row * size.down..(row + 1) * size.down {
                    for x in column * size.across..(column + 1) * size.across {
                        if frame.is_progressive {
                            let block = component.nonzero.get_mut(y * stride + x);
                            let block = block.ok_or(Fault::Code)?;
                            self.progressive(part, block, &mut run, bits)?;
                        } else {
                            sequential(part, bits)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// `run` is the number of blocks to come that end at once.
    fn progressive(
        &self,
        part: &Part<'_>,
        nonzero: &mut u64,
        run: &mut u32,
        bits: &mut Bits<'_>,
    ) -> Result<(), Fault> {
        if self.first == 0 {
            return match self.refines {
                true => bits.take(1).map(|_| ()),
                false => dc(part, bits),
            };
        }
        let Some(codes) = part.ac else {
            return Err(Fault::Code);
        };
        let mut at = self.first;
        while at <= self.last && *run == 0 {
            let symbol = codes.next(bits)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && zeros < 15 {
                *run = (1 << zeros) + bits.take(zeros)?;
                break;
            }
            bits.take(size)?;
            at = match self.refines {
                true => self.refine(*nonzero, at, Some(zeros), bits)?,
                false => at + zeros,
            };
            if size > 0 {
                if at > self.last {
                    return Err(Fault::Code);
                }
                *nonzero |= 1 << at;
            }
            at += 1;
        }
        if *run > 0 {
            *run -= 1;
            if self.refines {
                self.refine(*nonzero, at, None, bits)?;
            }
        }
        Ok(())
    }

    /// Takes a bit for each coefficient that is not 0, up to the zero after so
    /// many others; returns its place.
    fn refine(
        &self,
        nonzero: u64,
        from: u32,
        mut zeros: Option<u32>,
        bits: &mut Bits<'_>,
    ) -> Result<u32, Fault> {
        for at in from..=self.last {
            if nonzero >> at & 1 == 1 {
                bits.take(1)?;
            } else if let Some(left) = zeros.as_mut() {
                if *left == 0 {
                    return Ok(at);
                }
                *left -= 1;
            }
        }
        Ok(self.last + 1)
    }
}

fn dc(part: &Part<'_>, bits: &mut Bits<'_>) -> Result<(), Fault> {
    let size = part.dc.ok_or(Fault::Code)?.next(bits)?;
    if size > 15 {
        return Err(Fault::Code);
    }
    bits.take(u32::from(size)).map(|_| ())
}

fn sequential(part: &Part<'_>, bits: &mut Bits<'_>) -> Result<(), Fault> {
    dc(part, bits)?;
    let codes = part.ac.ok_or(Fault::Code)?;
    let mut at = 1;
    while at < 64 {
        let symbol = codes.next(bits)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            return Ok(());
        }
        at += zeros;
        if size > 0 && at > 63 {
            return Err(Fault::Code);
        }
        bits.take(size)?;
        at += 1;
    }
    Ok(())
}
