use std::path::Path;

use crate::error::{Result, io_error};
use crate::train::history::{History, save};

use super::{chart, raster, svg};

impl History {
    /// Its curves as an SVG image: losses above, everything between 0 and 1
    /// below; training as solid lines, validation dashed. Needs the feature
    /// `plot`.
    pub fn to_svg(&self) -> String {
        svg::render(&chart::draw(self))
    }

    /// Saves its curves as an image: PNG if the path ends in `.png`, else SVG.
    /// Needs the feature `plot`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save_plot(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let is_png = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        let bytes = if is_png {
            let png = raster::render(&chart::draw(self)).map_err(std::io::Error::other);
            png.map_err(|source| io_error(path, source))?
        } else {
            self.to_svg().into_bytes()
        };
        save(path, &bytes)
    }
}
