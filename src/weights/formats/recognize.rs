//! What a file is, by its bytes.

/// The longest piece of a file's beginning that tells formats apart.
const START_BYTES: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    /// A zip archive, as PyTorch writes since 1.6, and Keras since 3.
    Archive,
    /// HDF5, as Keras writes.
    Hdf5,
    /// A pickle, as PyTorch wrote before.
    Pickle,
    /// What it is and what to do, in words that follow "it is".
    Other(&'static str),
}

const READ_ELSEWHERE: [(&[u8], &str); 9] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "a pointer of Git LFS, not the file itself; run `git lfs pull`, or download the file from \
         the site of the repository",
    ),
    (
        b"\x93NUMPY",
        "a NumPy array; save the arrays by name as safetensors, with safetensors.numpy.save_file",
    ),
    (
        b"MATLAB ",
        "a MATLAB file; read it with scipy.io.loadmat in Python, and save its arrays as \
         safetensors",
    ),
    (
        b"GGUF",
        "a GGUF file, which holds language models; use a safetensors or PyTorch file",
    ),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
];

const WEB_PAGE: &str = "a web page, not weights; download the file itself (a browser shows where \
                        its address leads)";
const JSON: &str = "JSON text, maybe the index of a model in several files; give the file that \
                    holds the tensors";
const CAFFE: &str = "a Caffe model; convert it with PyTorch or Keras, and save its tensors as \
                     safetensors";
const ONNX: &str = "an ONNX model; use the weights that it was exported from, or save its \
                    initializers as safetensors";
const TENSORFLOW: &str = "a checkpoint of TensorFlow; read it with tf.train.load_checkpoint in \
                          Python, and save its tensors as safetensors";
const TFLITE: &str = "a TensorFlow Lite model; use the weights that it was converted from";
const TAR: &str = "a tar archive; unpack it first. If PyTorch before 0.2 wrote it, load it in \
                   PyTorch and save it again";

/// The last bytes of a table of TensorFlow: LevelDB's magic number.
const TABLE_END: &[u8] = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";

/// What is not recognized counts as safetensors.
pub(super) fn format_of(bytes: &[u8]) -> Format {
    let start = bytes.get(..START_BYTES).unwrap_or(bytes);
    if has_header(start) {
        return Format::Safetensors;
    }
    if start.starts_with(b"PK\x03\x04") {
        return Format::Archive;
    }
    if start.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Format::Hdf5;
    }
    if matches!(start, [0x80, 2..=5, ..]) {
        return Format::Pickle;
    }
    let mut known = READ_ELSEWHERE.iter();
    if let Some((_, words)) = known.find(|(magic, _)| start.starts_with(magic)) {
        return Format::Other(words);
    }
    let words = match start.trim_ascii_start() {
        text if begins_like_a_page(text) => WEB_PAGE,
        [b'{' | b'[', ..] => JSON,
        _ if start.get(4..8) == Some(b"TFL3") => TFLITE,
        _ if start.get(257..262) == Some(b"ustar") => TAR,
        _ if bytes.ends_with(TABLE_END) => TENSORFLOW,
        _ if is_caffe(start) => CAFFE,
        [0x08, 1..=32, 0x12, ..] => ONNX,
        _ => return Format::Safetensors,
    };
    Format::Other(words)
}

/// Eight bytes of a length below 4 GB, then JSON.
fn has_header(start: &[u8]) -> bool {
    matches!(start, [_, _, _, _, 0, 0, 0, 0, b'{', ..])
}

fn begins_like_a_page(text: &[u8]) -> bool {
    ["<!doctype", "<html", "<?xml", "<head", "<!--"]
        .iter()
        .any(|tag| {
            let start = text.get(..tag.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
        })
}

/// A protocol buffer that begins with a name and goes on with a layer or an
/// input.
fn is_caffe(start: &[u8]) -> bool {
    let &[0x0a, length, ref rest @ ..] = start else {
        return false;
    };
    let Some((name, rest)) = rest.split_at_checked(length.into()) else {
        return false;
    };
    let is_name = !name.is_empty() && name.iter().all(|byte| (b' '..=b'~').contains(byte));
    is_name && matches!(rest, [0x12 | 0x1a, ..] | [0xa2, 0x06, ..])
}

/// Why a zip archive is not PyTorch's or Keras', by the names of its members.
pub(super) fn archive<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> String {
    let has = |ending: &str| names.clone().any(|name| name.ends_with(ending));
    let words = if has(".npy") {
        "it is an .npz file of NumPy; save its arrays as safetensors, with \
         safetensors.numpy.save_file(dict(numpy.load(..)), ..)"
    } else if has(".weights.npz") {
        "it is a Keras model with weights of NumPy; save it again in Keras, which writes \
         model.weights.h5"
    } else if has(".safetensors") || has(".pth") || has(".pt") || has(".h5") {
        "it is a zip archive of other files; unpack it first"
    } else {
        let first = names.next().unwrap_or("nothing");
        return format!(
            "it is a zip archive, but not of PyTorch: it holds \"{first}\" and no data.pkl"
        );
    };
    words.to_string()
}
