//! What a file holds, for the message that it lacks a tensor.

use super::stored::StoredTensors;
use crate::error::Holdings;

/// How many names are listed.
const LISTED: usize = 3;

/// Names that occur in one kind of network, most specific first.
const NETWORKS: [(&str, &str); 19] = [
    ("lora_", "LoRA adapters"),
    ("text_model.", "CLIP"),
    ("visual.transformer.", "CLIP"),
    ("patch_embed.", "a vision transformer"),
    ("encoder.layers.encoder_layer_", "a vision transformer"),
    (
        "lin0.model.1.weight",
        "the linear layers of LPIPS, without their VGG",
    ),
    ("exp_avg", "the state of an optimizer"),
    ("momentum_buffer", "the state of an optimizer"),
    ("denseblock1", "a DenseNet"),
    ("layer1.0.conv1", "a ResNet"),
    ("layer1.0.bn1", "a ResNet"),
    ("Mixed_5b", "an Inception"),
    ("inception3a", "a GoogLeNet"),
    (".squeeze.weight", "a SqueezeNet"),
    (".fire2.", "a SqueezeNet"),
    ("stages.0.", "a ConvNeXt or Swin"),
    ("blocks.0.", "an EfficientNet or MobileNet"),
    ("features.1.conv.", "a MobileNet"),
    ("features.0.0.weight", "a MobileNet or EfficientNet"),
];

/// What a file with these names, in alphabetical order, holds.
pub(super) fn holdings(source: &dyn StoredTensors, keys: &[String]) -> Holdings {
    Holdings {
        tensors: keys.len(),
        first: keys.iter().take(LISTED).cloned().collect(),
        prefix: common_prefix(keys).to_string(),
        network: network(source, keys),
    }
}

/// The whole parts that all names begin with.
fn common_prefix(keys: &[String]) -> &str {
    let [first, .., last] = keys else {
        return "";
    };
    // In alphabetical order, the first and the last differ the most.
    let pairs = first.bytes().zip(last.bytes());
    let shared = pairs.take_while(|(one, other)| one == other).count();
    let mut begin = first.as_bytes()[..shared].iter();
    let end = begin.rposition(|byte| matches!(byte, b'.' | b'/'));
    end.map_or("", |end| &first[..=end])
}

fn network(source: &dyn StoredTensors, keys: &[String]) -> Option<String> {
    let holds = |part: &str| keys.iter().any(|key| key.contains(part));
    if let Some((_, network)) = NETWORKS.iter().find(|(part, _)| holds(part)) {
        return Some((*network).to_string());
    }
    let is_convolution = |key: &&String| {
        let is_weight = key.ends_with("weight") || key.contains("kernel");
        is_weight && source.shape(key).is_some_and(|shape| shape.len() == 4)
    };
    let is_of_features = |key: &&String| {
        let is_named = ["features.", "block", "conv"]
            .iter()
            .any(|part| key.contains(part));
        is_named && is_convolution(key)
    };
    let depth = match keys.iter().filter(is_of_features).count() {
        5 if holds("features.") => return Some("AlexNet".to_string()),
        8 => 11,
        10 => 13,
        13 => 16,
        16 => 19,
        _ => return None,
    };
    let norm = if holds("running_mean") {
        " with batch normalization"
    } else {
        ""
    };
    Some(format!("VGG{depth}{norm}"))
}
