//! The tensors of a file by their names, within limits.

use std::collections::BTreeMap;

use super::dataset::Stored;
use crate::error::printable;

/// More tensors or groups than any network has.
const MOST: usize = 1 << 16;

/// A longer name is no layer's.
const LONGEST_NAME: usize = 1024;

#[derive(Default)]
pub(super) struct Tensors {
    by_name: BTreeMap<String, Stored>,
    visited: usize,
}

impl Tensors {
    /// Counts a group.
    ///
    /// # Errors
    /// A reason, for a message about the file, beyond the limit.
    pub(super) fn visit(&mut self) -> Result<(), String> {
        self.visited += 1;
        match self.visited > MOST {
            true => Err(format!("it has more than {MOST} groups and tensors")),
            false => Ok(()),
        }
    }

    /// Enters a tensor under its name; under its path if the name is taken.
    ///
    /// # Errors
    /// As [`Tensors::visit`].
    pub(super) fn enter(
        &mut self,
        name: String,
        path: String,
        stored: Stored,
    ) -> Result<(), String> {
        self.visit()?;
        if name.len().max(path.len()) > LONGEST_NAME {
            return Err(format!("a name in it has more than {LONGEST_NAME} bytes"));
        }
        let (name, path) = (printable(name), printable(path));
        let name = match self.by_name.contains_key(&name) {
            true => path,
            false => name,
        };
        self.by_name.insert(name, stored);
        Ok(())
    }

    pub(super) fn finish(self) -> BTreeMap<String, Stored> {
        self.by_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(side: usize) -> Stored {
        Stored {
            dtype: "F32".to_string(),
            shape: vec![side],
            range: Ok(0..0),
        }
    }

    #[test]
    fn the_second_tensor_of_a_name_is_known_by_its_path() {
        let mut tensors = Tensors::default();
        for (side, path) in [(1, "a/one/kernel"), (2, "a/two/kernel")] {
            let entered = tensors.enter("a/kernel".to_string(), path.to_string(), stored(side));
            assert_eq!(entered, Ok(()));
        }
        let tensors = tensors.finish();
        let shapes: Vec<_> = tensors
            .iter()
            .map(|(name, stored)| (&**name, &*stored.shape))
            .collect();
        assert_eq!(shapes, [("a/kernel", &[1][..]), ("a/two/kernel", &[2])]);
    }

    #[test]
    fn names_and_numbers_of_tensors_are_limited() {
        let mut tensors = Tensors::default();
        let path = "x".repeat(LONGEST_NAME + 1);
        assert!(tensors.enter("a".to_string(), path, stored(1)).is_err());
        for _ in 1..MOST {
            assert_eq!(tensors.visit(), Ok(()));
        }
        assert!(tensors.visit().is_err());
    }
}
