//! Curves of a history as pictures.

mod chart;
mod font;
mod raster;
mod scale;
mod svg;

use std::path::Path;

use crate::error::{Error, Result};

use super::history::{History, write};

impl History {
    /// Its curves as an SVG picture: losses above, all that lies between 0 and
    /// 1 below, training in full lines and validation dashed. Needs the
    /// feature `plot`.
    pub fn to_svg(&self) -> String {
        svg::render(&chart::draw(self))
    }

    /// Saves its curves as a picture: as PNG if the path ends in `.png`, else
    /// as SVG. Needs the feature `plot`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_plot(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let is_png = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        if !is_png {
            return write(path, self.to_svg().as_bytes());
        }
        let png = raster::render(&chart::draw(self)).map_err(|error| Error::Io {
            path: path.to_path_buf(),
            source: std::io::Error::other(error),
        })?;
        write(path, &png)
    }
}
