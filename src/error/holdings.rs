use std::fmt;

/// What a weight file holds, for the message that it lacks a tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holdings {
    /// Number of tensors; 0 also if they can't be listed.
    pub tensors: usize,
    /// The names of the first tensors, in alphabetical order.
    pub first: Vec<String>,
    /// What all names begin with, up to a dot or a slash.
    pub prefix: String,
    /// The kind of network whose tensors have such names, if it is known.
    pub network: Option<String>,
}

/// As a message goes on: `; it holds ..`, or nothing without tensors.
impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<String> = self.first.iter().map(|name| shortened(name)).collect();
        let first = first.join(", ");
        match self.tensors {
            0 => return Ok(()),
            1 => write!(f, "; it holds one tensor, {first}")?,
            count => write!(f, "; it holds {count} tensors: {first}")?,
        }
        if self.tensors > self.first.len() {
            f.write_str(", ..")?;
        }
        if !self.prefix.is_empty() {
            write!(f, " (all below {})", shortened(&self.prefix))?;
        }
        match &self.network {
            Some(network) => write!(f, "; it looks like {network}"),
            None => Ok(()),
        }
    }
}

/// A name in quotes, cut if it is very long.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(80) {
        Some((end, _)) => format!("\"{}..\"", &name[..end]),
        None => format!("\"{name}\""),
    }
}
