use std::fmt;

use super::geometry::Resize;
use super::pipeline::{ChannelOrder, PixelRange, Preprocessing};
use super::resample::ResizeFilter;

impl fmt::Display for Preprocessing {
    /// A line each: values, mean, deviation and resize.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.channel_order() {
            ChannelOrder::Rgb => "RGB",
            ChannelOrder::Bgr => "BGR",
            ChannelOrder::Gray => "gray",
        };
        let range = match self.range() {
            PixelRange::Unit => "0 to 1",
            PixelRange::Byte => "0 to 255",
            PixelRange::Signed => "-1 to 1",
        };
        writeln!(f, "values:        {order}, {range}")?;
        writeln!(f, "mean:          {:?}", self.mean())?;
        writeln!(f, "deviation:     {:?}", self.std())?;
        write!(f, "resize:        {}", self.resize())
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Squash {
                height,
                width,
                filter,
            } => write!(f, "to {height}x{width}, {filter}"),
            Self::ShortSide {
                short_side,
                crop,
                filter,
            } => {
                write!(f, "short side to {short_side}, {filter}")?;
                match crop {
                    Some((height, width)) => write!(f, ", the middle {height}x{width}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for ResizeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}
