//! Files whose variables have numbers: what Keras 3 writes. A layer's group has
//! a group `vars` with the datasets `0`, `1`, .. and the layer's name as an
//! attribute; groups of inner layers lie beside it.

use hdf5_pure::{Dataset, Group};

use super::dataset::Stored;
use super::names;
use super::tensors::Tensors;

/// How deep groups may lie in each other.
const DEEPEST: usize = 24;

/// Enters the variables of all layers. The reason of an error is for a message
/// about the file.
pub(super) fn read(root: &Group, tensors: &mut Tensors) -> Result<(), String> {
    for (name, group) in groups(root, "")? {
        // Of an optimizer and the model itself.
        if name != "optimizer" && name != VARIABLES {
            walk(&group, "", &name, 0, tensors)?;
        }
    }
    Ok(())
}

const VARIABLES: &str = "vars";

/// Groups that hold lists of layers, and are none themselves.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// Enters what lies below a group that is called `name`, for layers below
/// `prefix`.
fn walk(
    group: &Group,
    prefix: &str,
    name: &str,
    depth: usize,
    tensors: &mut Tensors,
) -> Result<(), String> {
    if depth > DEEPEST {
        let reason = format!("its groups lie more than {DEEPEST} levels deep, or in each other");
        return Err(reason);
    }
    tensors.visit()?;
    let inner = groups(group, name)?;
    let variables = inner.iter().find(|(name, _)| name == VARIABLES);
    let own = variables.map(|(_, variables)| own_name(variables));
    let layer = match own {
        _ if CONTAINERS.contains(&name) => prefix.to_string(),
        Some(Ok(Some(own))) => format!("{prefix}{own}/"),
        Some(Err(reason)) => return Err(reason),
        Some(Ok(None)) | None => format!("{prefix}{name}/"),
    };
    if let Some((_, variables)) = variables {
        enter(variables, &layer, tensors)?;
    }
    for (name, group) in inner.iter().filter(|(name, _)| name != VARIABLES) {
        walk(group, &layer, name, depth + 1, tensors)?;
    }
    Ok(())
}

fn groups(group: &Group, name: &str) -> Result<Vec<(String, Group)>, String> {
    let groups = group.iter_groups();
    let groups = groups.map_err(|error| format!("group \"{name}\" is damaged: {error}"))?;
    Ok(groups.collect())
}

/// The layer's name, which Keras did not write before 3.6.
fn own_name(variables: &Group) -> Result<Option<String>, String> {
    let attributes = variables.attrs();
    let attributes = attributes.map_err(|error| format!("a layer's name is damaged: {error}"))?;
    let name = attributes.get("name").and_then(|name| name.as_str());
    Ok(name.filter(|name| !name.is_empty()).map(str::to_string))
}

fn enter(variables: &Group, layer: &str, tensors: &mut Tensors) -> Result<(), String> {
    let datasets = variables.iter_datasets();
    let datasets = datasets.map_err(|error| format!("layer \"{layer}\" is damaged: {error}"))?;
    let mut datasets: Vec<(String, Dataset)> = datasets.collect();
    datasets.sort_by_key(|(name, _)| (name.len(), name.clone()));
    let mut entries = Vec::new();
    for (name, dataset) in &datasets {
        entries.push((
            name,
            Stored::of(dataset).map_err(|reason| format!("tensor \"{layer}{name}\" {reason}"))?,
        ));
    }
    let shapes: Vec<&[usize]> = entries.iter().map(|(_, stored)| &*stored.shape).collect();
    let names = names::numbered(&shapes);
    for (index, (number, stored)) in entries.into_iter().enumerate() {
        let name = names.and_then(|names| names.get(index).copied());
        let name = name.unwrap_or(number);
        tensors.enter(
            format!("{layer}{name}"),
            format!("{layer}{VARIABLES}/{number}"),
            stored,
        )?;
    }
    Ok(())
}
