//! How examples save pictures.

use vgg_surgery::{Picture, Result};

use crate::output::folder;

/// Saves a picture as PNG in the folder of an example, and says where.
pub fn save(picture: &Picture, example: &str, name: &str) -> Result<()> {
    let path = folder(example)?.join(format!("{name}.png"));
    picture.save(&path)?;
    println!("{}", path.display());
    Ok(())
}
