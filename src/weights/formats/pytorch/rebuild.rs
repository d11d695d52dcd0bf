//! Calls that torch.save writes for a tensor, read as what they describe.

use super::pickle::{Id, Instance, Object, Pickle};

/// Calls inside of each other: a tensor of a subclass, of a parameter, ..
const MAX_DEPTH: usize = 8;

/// Parts of a sparse tensor.
const MOST_PARTS: usize = 8;

const DAMAGED: &str = "its pickle describes a tensor as torch.save does not";

/// A tensor as it lies in its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) storage: Storage,
    /// As safetensors files spell it, or PyTorch's name if it has no other.
    pub(super) dtype: String,
    /// First element, counted from the start of the storage.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Elements from one index to the next, for each axis.
    pub(super) strides: Vec<u64>,
}

/// A run of elements in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    /// The type of its elements: bytes, if its tensors choose the type.
    pub(super) dtype: String,
    pub(super) elements: u64,
}

/// The tensor that a value is, if it is one.
pub(super) fn tensor(pickle: &Pickle<'_>, id: Id) -> Result<Option<View>, String> {
    tensor_within(pickle, id, MAX_DEPTH)
}

fn tensor_within(pickle: &Pickle<'_>, id: Id, depth: usize) -> Result<Option<View>, String> {
    let Object::Instance(instance) = pickle.get(id) else {
        return Ok(None);
    };
    rebuilt(pickle, instance.class, instance.arguments, depth)
}

fn rebuilt(
    pickle: &Pickle<'_>,
    function: Id,
    arguments: Id,
    depth: usize,
) -> Result<Option<View>, String> {
    let &Object::Global(module, name) = pickle.get(function) else {
        return Ok(None);
    };
    let Object::Sequence(arguments) = pickle.get(arguments) else {
        return Ok(None);
    };
    if !module.starts_with("torch") {
        return Ok(None);
    }
    let depth = depth.checked_sub(1).ok_or(DAMAGED)?;
    match (name, arguments.as_slice()) {
        (
            "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_qtensor",
            [storage, offset, shape, strides, ..],
        ) => view(pickle, [*storage, *offset, *shape, *strides], None).map(Some),
        ("_rebuild_tensor_v3", [storage, offset, shape, strides, _, _, dtype, ..]) => {
            view(pickle, [*storage, *offset, *shape, *strides], Some(*dtype)).map(Some)
        }
        ("_rebuild_from_type_v2", [function, _, arguments, ..]) => {
            rebuilt(pickle, *function, *arguments, depth)
        }
        (
            "_rebuild_parameter" | "_rebuild_parameter_with_state" | "Parameter" | "Variable",
            [tensor, ..],
        ) => tensor_within(pickle, *tensor, depth),
        ("_rebuild_sparse_tensor", [_, parts, ..]) => sparse(pickle, *parts, depth),
        _ => Ok(None),
    }
}

/// A tensor that stores few of its elements, which is not read. Its parts are
/// indices, values and the shape.
fn sparse(pickle: &Pickle<'_>, parts: Id, depth: usize) -> Result<Option<View>, String> {
    let Object::Sequence(parts) = pickle.get(parts) else {
        return Ok(None);
    };
    let (mut values, mut shape) = (None, None);
    for &part in parts.iter().take(MOST_PARTS) {
        // Parts are plain tensors: a file can't make this slow by nesting them.
        match tensor_within(pickle, part, depth.min(1)) {
            Ok(Some(tensor)) => values = Some(tensor),
            _ => shape = shape.or(integers(pickle, part).ok()),
        }
    }
    let (Some(values), Some(shape)) = (values, shape) else {
        return Ok(None);
    };
    let shape: Result<Vec<_>, _> = shape.into_iter().map(usize::try_from).collect();
    Ok(Some(View {
        dtype: format!("sparse {}", values.dtype),
        shape: shape.map_err(|_| DAMAGED)?,
        ..values
    }))
}

fn view(
    pickle: &Pickle<'_>,
    [storage, offset, shape, strides]: [Id; 4],
    dtype: Option<Id>,
) -> Result<View, String> {
    let (storage, start) = storage_of(pickle, storage)?.ok_or(DAMAGED)?;
    let offset = integer(pickle, offset).and_then(|offset| offset.checked_add(start));
    let shape = integers(pickle, shape)?.into_iter().map(usize::try_from);
    let dtype = dtype.map(|dtype| match pickle.get(dtype) {
        Object::Global("torch", name) => dtype_name(name),
        _ => String::new(),
    });
    let view = View {
        dtype: dtype.unwrap_or_else(|| storage.dtype.clone()),
        storage,
        offset: offset.ok_or(DAMAGED)?,
        shape: shape.collect::<Result<_, _>>().map_err(|_| DAMAGED)?,
        strides: integers(pickle, strides)?,
    };
    match view.shape.len() == view.strides.len() {
        true => Ok(view),
        false => Err(DAMAGED.to_string()),
    }
}

/// The storage that a persistent value names, and the element at which the part
/// of it that is meant begins.
pub(super) fn storage_of(pickle: &Pickle<'_>, id: Id) -> Result<Option<(Storage, u64)>, String> {
    let &Object::Persistent(description) = pickle.get(id) else {
        return Ok(None);
    };
    let Object::Sequence(parts) = pickle.get(description) else {
        return Ok(None);
    };
    let &[word, class, key, _, elements, ref part @ ..] = parts.as_slice() else {
        return Ok(None);
    };
    let (Object::Text("storage"), &Object::Global(_, class)) =
        (pickle.get(word), pickle.get(class))
    else {
        return Ok(None);
    };
    let key = match pickle.get(key) {
        Object::Text(key) => (*key).to_string(),
        Object::Integer(key) => key.to_string(),
        _ => return Err(DAMAGED.to_string()),
    };
    // In files of PyTorch before 0.4: key, first element and length of a part.
    let start = part.first().map(|&part| pickle.get(part));
    let start = match start {
        Some(Object::Sequence(part)) => part.get(1).and_then(|&start| integer(pickle, start)),
        _ => Some(0),
    };
    let storage = Storage {
        key,
        dtype: dtype_of_storage(class),
        elements: integer(pickle, elements).ok_or(DAMAGED)?,
    };
    Ok(Some((storage, start.ok_or(DAMAGED)?)))
}

/// The pairs of a key and a value that a dictionary of Python 2 gets as an
/// argument.
pub(super) fn pairs(pickle: &Pickle<'_>, instance: &Instance) -> Vec<(Id, Id)> {
    let Object::Global("collections", "OrderedDict") = pickle.get(instance.class) else {
        return Vec::new();
    };
    let parts = |id: Id| match pickle.get(id) {
        Object::Sequence(parts) => parts.as_slice(),
        _ => &[],
    };
    let list = parts(instance.arguments).first().map(|&list| parts(list));
    let pairs = list.unwrap_or_default().iter().map(|&pair| parts(pair));
    pairs
        .filter_map(|pair| match *pair {
            [key, value] => Some((key, value)),
            _ => None,
        })
        .collect()
}

fn integer(pickle: &Pickle<'_>, id: Id) -> Option<u64> {
    match pickle.get(id) {
        Object::Integer(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

/// A tuple or a `torch.Size`.
fn integers(pickle: &Pickle<'_>, id: Id) -> Result<Vec<u64>, String> {
    let values = match pickle.get(id) {
        Object::Instance(size) => match pickle.get(size.arguments) {
            Object::Sequence(arguments) => arguments.first().map(|&tuple| pickle.get(tuple)),
            _ => None,
        },
        tuple => Some(tuple),
    };
    let Some(Object::Sequence(values)) = values else {
        return Err(DAMAGED.to_string());
    };
    let values = values.iter().map(|&value| integer(pickle, value));
    values
        .collect::<Option<_>>()
        .ok_or_else(|| DAMAGED.to_string())
}

/// `FloatStorage`, of the CPU or a GPU, is f32.
fn dtype_of_storage(class: &str) -> String {
    let name = match class.strip_suffix("Storage").unwrap_or(class) {
        "Float" => "float32",
        "Double" => "float64",
        "Half" => "float16",
        "BFloat16" => "bfloat16",
        "Long" => "int64",
        "Int" => "int32",
        "Short" => "int16",
        "Char" => "int8",
        "Byte" | "Untyped" => "uint8",
        "Bool" => "bool",
        "QInt8" => "quantized I8",
        "QUInt8" => "quantized U8",
        "QInt32" => "quantized I32",
        "ComplexFloat" => "complex64",
        "ComplexDouble" => "complex128",
        other => other,
    };
    dtype_name(name)
}

fn dtype_name(torch: &str) -> String {
    let name = match torch {
        "float32" => "F32",
        "float64" => "F64",
        "float16" => "F16",
        "bfloat16" => "BF16",
        "int64" => "I64",
        "int32" => "I32",
        "int16" => "I16",
        "int8" => "I8",
        "uint8" => "U8",
        "bool" => "BOOL",
        "complex64" => "C64",
        "complex128" => "C128",
        other => other,
    };
    name.to_string()
}
