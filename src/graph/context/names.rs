//! The names that layers may have.

use crate::error::{Error, Result};

use super::super::core::Graph;
use super::super::node::{Alias, NodeId, Part};

const LONGEST_NAME: usize = 256;

/// What an underscore and a number take at most.
const NUMBER_BYTES: usize = 21;

impl Graph {
    pub(crate) fn check_new_name(&self, name: &str) -> Result<()> {
        self.check_name_for(None, name)
    }

    /// Checks a new name of a node, which may be one of its own in another
    /// dialect.
    pub(crate) fn check_name_for(&self, id: Option<NodeId>, name: &str) -> Result<()> {
        if let Err(reason) = Self::check_name(name) {
            return Err(Error::InvalidName {
                name: name.to_string(),
                reason,
            });
        }
        if self.is_taken(id, name) {
            return Err(Error::DuplicateName {
                name: name.to_string(),
            });
        }
        Ok(())
    }

    /// Whether a name is another node's, in any dialect.
    fn is_taken(&self, id: Option<NodeId>, name: &str) -> bool {
        let mut others = self.nodes().filter(|node| Some(node.id) != id);
        others.any(|node| node.name == name || node.aliases().any(|alias| alias == name))
    }

    /// A name may be any text that a message and a key of a file can show.
    pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
        if name.is_empty() {
            Err("it is empty")
        } else if name.len() > LONGEST_NAME {
            Err("it is longer than 256 bytes")
        } else if name.contains(':') {
            Err("a colon parts a name from \"pre\"")
        } else if name.chars().any(|c| c.is_control() || c == '"') {
            Err("it holds a control character or a quotation mark")
        } else if name.trim() != name {
            Err("it begins or ends with white space")
        } else {
            Ok(())
        }
    }

    /// This name, or the first of `name_1`, `name_2`, .. that is free; of a
    /// name that may be too long, its beginning.
    pub(super) fn free_name(&self, stem: &str) -> String {
        let stem = beginning(stem, LONGEST_NAME - NUMBER_BYTES);
        if !self.is_taken(None, stem) {
            return stem.to_string();
        }
        (1_u64..)
            .map(|number| format!("{stem}_{number}"))
            .find(|name| !self.is_taken(None, name))
            .expect("a graph never has all the names there are")
    }
}

/// Whether a name means the activation or, in a numbering that counts the
/// activation, a layer after it.
pub(super) fn is_behind_activation(alias: &Alias, aliases: &[Alias]) -> bool {
    let is_numbered_behind = |activation: &Alias| {
        let (place, after) = (numbered(&activation.name), numbered(&alias.name));
        let both = place.zip(after);
        both.is_some_and(|((stem, place), (other, after))| stem == other && place < after)
    };
    match alias.part {
        Part::Activation => true,
        Part::Pre => false,
        Part::Whole => {
            let mut activations = aliases.iter().filter(|a| a.part == Part::Activation);
            activations.any(is_numbered_behind)
        }
    }
}

/// `classifier.2` as `classifier` and 2.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let (stem, number) = name.rsplit_once('.')?;
    Some((stem, number.parse().ok()?))
}

/// As much of a text as fits into a number of bytes.
fn beginning(text: &str, bytes: usize) -> &str {
    let fitting = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = fitting.take_while(|&end| end <= bytes).last().unwrap_or(0);
    text[..end].trim_end()
}

pub(super) fn snake_case(kind: &str) -> String {
    let mut name = String::with_capacity(kind.len() + 4);
    for c in kind.chars().filter(|c| c.is_alphanumeric()) {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    if name.is_empty() {
        name.push_str("layer");
    }
    name
}
