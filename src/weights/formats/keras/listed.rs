//! Files with lists of names: what Keras 1 and 2 write, and Keras 3 as its
//! legacy format. A group's attribute `layer_names` lists its layers, and
//! `weight_names` of each layer the paths of its weights.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hdf5_pure::{AttrValue, Group};

use super::dataset::Stored;
use super::names;
use super::tensors::Tensors;

/// Whether a group has such lists.
pub(super) fn is_listed(group: &Group) -> Result<bool, String> {
    let attributes = attributes(group, "the file")?;
    Ok(list(&attributes, "layer_names").is_some())
}

/// Enters the weights of all layers. The reason of an error is for a message
/// about the file.
pub(super) fn read(group: &Group, tensors: &mut Tensors) -> Result<(), String> {
    let layers = list(&attributes(group, "the file")?, "layer_names").unwrap_or_default();
    let groups = group.iter_groups();
    let groups: BTreeMap<String, Group> = groups
        .map_err(|error| format!("its list of groups is damaged: {error}"))?
        .collect();
    let mut seen = BTreeSet::new();
    for layer in &layers {
        if !seen.insert(layer) {
            continue;
        }
        let fault = |error| format!("layer \"{layer}\" can't be read: {error}");
        let found = match groups.get(layer) {
            Some(found) => found.clone(),
            None => group.group(layer).map_err(fault)?,
        };
        let weights = list(&attributes(&found, layer)?, "weight_names");
        for weight in weights.unwrap_or_default() {
            let dataset = found.dataset(&weight).map_err(fault)?;
            let path = format!("{layer}/{weight}");
            let stored = Stored::of(&dataset);
            let stored = stored.map_err(|reason| format!("tensor \"{path}\" {reason}"))?;
            tensors.enter(names::parameter(layer, &weight), path, stored)?;
        }
    }
    Ok(())
}

fn attributes(group: &Group, whose: &str) -> Result<HashMap<String, AttrValue>, String> {
    let attributes = group.attrs();
    attributes.map_err(|error| format!("the attributes of {whose} are damaged: {error}"))
}

/// The strings of an attribute, or of its parts, which are numbered from 0, if
/// it was too long for one. `None` if there is none of this name.
fn list(attributes: &HashMap<String, AttrValue>, name: &str) -> Option<Vec<String>> {
    // An empty list has the type of a number.
    let strings = |value: &AttrValue| value.as_strings().unwrap_or_default().to_vec();
    if let Some(value) = attributes.get(name) {
        return Some(strings(value));
    }
    let parts = (0..).map_while(|part: usize| attributes.get(&format!("{name}{part}")));
    let parts: Vec<Vec<String>> = parts.map(strings).collect();
    (!parts.is_empty()).then(|| parts.concat())
}
