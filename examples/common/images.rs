//! Saving images.

use vgg_surgery::{Image, Result};

use crate::output::folder;

/// Saves an image as PNG in the folder of an example, and prints the path.
pub fn save(image: &Image, example: &str, name: &str) -> Result<()> {
    let path = folder(example)?.join(format!("{name}.png"));
    image.save(&path)?;
    println!("{}", path.display());
    Ok(())
}
