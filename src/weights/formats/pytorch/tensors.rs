//! The tensors of a pickle, wherever they lie in it.

use std::collections::{BTreeMap, HashSet};

use super::pickle::{Id, Instance, Object, Pickle};
use super::rebuild::{View, pairs, tensor};
use crate::error::printable;

/// Dictionaries and lists inside of each other.
const MAX_DEPTH: usize = 32;

/// All names together, with the names of dictionaries.
const MAX_NAME_BYTES: usize = 64 << 20;

/// What a pickle holds.
#[derive(Default)]
pub(super) struct Contents {
    /// By the keys that lead to it, joined by dots, without control characters.
    pub(super) tensors: BTreeMap<String, View>,
    /// The class of a pickled network.
    pub(super) network: Option<String>,
}

impl Contents {
    /// Everything below the root. The reason of an error is for a message about
    /// the file.
    pub(super) fn of(pickle: &Pickle<'_>) -> Result<Self, String> {
        let mut walk = Walk {
            pickle,
            seen: HashSet::new(),
            name_bytes: 0,
            contents: Self::default(),
        };
        walk.visit(pickle.root, String::new(), 0)?;
        Ok(walk.contents)
    }
}

struct Walk<'p> {
    pickle: &'p Pickle<'p>,
    /// Containers may be shared, and may contain themselves.
    seen: HashSet<Id>,
    name_bytes: usize,
    contents: Contents,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, name: String, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "its dictionaries are more than {MAX_DEPTH} levels deep"
            ));
        }
        let pickle = self.pickle;
        if let Some(view) = tensor(pickle, id)? {
            if let Some(other) = self.contents.tensors.get(&name)
                && *other != view
            {
                return Err(format!("it has two tensors \"{name}\""));
            }
            self.contents.tensors.insert(name, view);
            return Ok(());
        }
        match pickle.get(id) {
            Object::Sequence(parts) if self.seen.insert(id) => {
                for (index, &part) in parts.iter().enumerate() {
                    self.enter(part, &name, format_args!("{index}"), depth)?;
                }
            }
            Object::Dict(items) if self.seen.insert(id) => self.visit_items(items, &name, depth)?,
            Object::Instance(instance) if self.seen.insert(id) => {
                self.note_network(instance);
                // An OrderedDict of Python 2 gets its items as an argument.
                self.visit_items(&pairs(pickle, instance), &name, depth)?;
                self.visit_items(&instance.items, &name, depth)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_items(&mut self, items: &[(Id, Id)], name: &str, depth: usize) -> Result<(), String> {
        // A key that is set twice has the value set last.
        let mut last: BTreeMap<&str, Id> = BTreeMap::new();
        for &(key, value) in items {
            match self.pickle.get(key) {
                Object::Text(text) => drop(last.insert(text, value)),
                Object::Integer(key) => self.enter(value, name, format_args!("{key}"), depth)?,
                _ => {}
            }
        }
        for (key, value) in last {
            self.enter(value, name, format_args!("{key}"), depth)?;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        id: Id,
        above: &str,
        key: std::fmt::Arguments<'_>,
        depth: usize,
    ) -> Result<(), String> {
        let may_hold = match self.pickle.get(id) {
            Object::Sequence(parts) => !parts.is_empty(),
            Object::Dict(_) | Object::Instance(_) => true,
            _ => false,
        };
        if !may_hold {
            return Ok(());
        }
        let name = printable(match above {
            "" => key.to_string(),
            above => format!("{above}.{key}"),
        });
        self.name_bytes += name.len();
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(format!("its names take more than {MAX_NAME_BYTES} bytes"));
        }
        self.visit(id, name, depth + 1)
    }

    /// The class; before PyTorch 1.6 the file has its source code beside it.
    fn class_of(&self, instance: &Instance) -> Id {
        let Object::Persistent(description) = self.pickle.get(instance.class) else {
            return instance.class;
        };
        match self.pickle.get(*description) {
            Object::Sequence(parts) => parts.get(1).copied().unwrap_or(instance.class),
            _ => instance.class,
        }
    }

    /// Notes the class of an object that has submodules.
    fn note_network(&mut self, instance: &Instance) {
        let Object::Dict(state) = instance
            .state
            .map_or(&Object::Other, |id| self.pickle.get(id))
        else {
            return;
        };
        let mut keys = state.iter().map(|&(key, _)| self.pickle.get(key));
        if keys.any(|key| matches!(key, Object::Text("_modules" | "training")))
            && let Object::Global(module, name) = self.pickle.get(self.class_of(instance))
        {
            let network = &mut self.contents.network;
            network.get_or_insert_with(|| printable(format!("{module}.{name}")));
        }
    }
}
