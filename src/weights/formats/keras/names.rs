//! One name for each parameter, `layer/kernel`, out of what the versions of
//! Keras call it.

/// The name of a parameter in a file with `weight_names`, as in
/// `block1_conv1/block1_conv1_W_1:0`, `block1_conv1/kernel:0` or, inside of a
/// nested model, `block1_conv1/kernel` below `vgg16`.
pub(super) fn parameter(layer: &str, weight: &str) -> String {
    let weight = weight.strip_prefix('/').unwrap_or(weight);
    let (scope, last) = weight.rsplit_once('/').unwrap_or(("", weight));
    let last = without_number(last, ':');
    let scope = scope.strip_prefix(layer).map_or(scope, |rest| {
        // TensorFlow numbers scopes that were taken: "conv1_1" for "conv1".
        let is_numbered = rest.strip_prefix('_').is_some_and(is_number);
        match rest.strip_prefix('/') {
            Some(inner) => inner,
            None if rest.is_empty() || is_numbered => "",
            None => scope,
        }
    });
    match scope {
        "" => format!("{layer}/{}", plain(layer, last)),
        // A shared name of an inner layer begins with its own.
        inner => format!("{layer}/{inner}/{}", plain(inner, last)),
    }
}

/// `kernel` for Keras 1's `block1_conv1_W_1` of the layer `block1_conv1`.
fn plain<'a>(layer: &str, name: &'a str) -> &'a str {
    let layer = layer.rsplit('/').next().unwrap_or(layer);
    let own = name
        .strip_prefix(layer)
        .and_then(|own| own.strip_prefix('_'));
    match own.map(|own| without_number(own, '_')) {
        Some("W") => "kernel",
        Some("b") => "bias",
        Some("gamma") => "gamma",
        Some("beta") => "beta",
        Some("running_mean") => "moving_mean",
        // It is a variance, in spite of its name.
        Some("running_std") => "moving_variance",
        _ => name,
    }
}

fn without_number(name: &str, mark: char) -> &str {
    match name.rsplit_once(mark) {
        Some((name, number)) if is_number(number) => name,
        _ => name,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The names of a layer's variables that have numbers alone, by their shapes;
/// `None` if the shapes fit no layer of a VGG.
pub(super) fn numbered(shapes: &[&[usize]]) -> Option<&'static [&'static str]> {
    match shapes {
        [kernel] if kernel.len() > 1 => Some(&["kernel"]),
        [kernel, bias] if kernel.len() > 1 && bias.len() == 1 => Some(&["kernel", "bias"]),
        [gamma, rest @ ..] if rest.len() == 3 && gamma.len() == 1 => rest
            .iter()
            .all(|shape| shape == gamma)
            .then_some(&["gamma", "beta", "moving_mean", "moving_variance"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_gives_a_parameter_the_same_name() {
        for (layer, weight, expected) in [
            ("block1_conv1", "block1_conv1_W_1:0", "block1_conv1/kernel"),
            ("block1_conv1", "block1_conv1_b_1:0", "block1_conv1/bias"),
            ("fc1", "fc1_W:0", "fc1/kernel"),
            ("bn", "bn_running_mean:0", "bn/moving_mean"),
            ("bn", "bn_running_std:0", "bn/moving_variance"),
            (
                "block1_conv1",
                "block1_conv1/kernel:0",
                "block1_conv1/kernel",
            ),
            (
                "block1_conv1",
                "block1_conv1_1/kernel:0",
                "block1_conv1/kernel",
            ),
            ("block1_conv1", "block1_conv1/kernel", "block1_conv1/kernel"),
            ("conv", "kernel", "conv/kernel"),
            ("conv1", "conv11/kernel", "conv1/conv11/kernel"),
            (
                "vgg16",
                "block1_conv1/kernel:0",
                "vgg16/block1_conv1/kernel",
            ),
            (
                "vgg16",
                "vgg16/block1_conv1/kernel",
                "vgg16/block1_conv1/kernel",
            ),
            ("vgg16", "block1_conv1_W:0", "vgg16/block1_conv1_W"),
            (
                "vgg16",
                "block1_conv1/block1_conv1_W:0",
                "vgg16/block1_conv1/kernel",
            ),
            (
                "conv2d",
                "conv2d_transpose/kernel:0",
                "conv2d/conv2d_transpose/kernel",
            ),
        ] {
            assert_eq!(parameter(layer, weight), expected);
        }
    }

    #[test]
    fn numbers_get_names_by_the_shapes() {
        let (kernel, bias) = (&[3, 3, 3, 8][..], &[8][..]);
        assert_eq!(numbered(&[kernel, bias]), Some(&["kernel", "bias"][..]));
        assert_eq!(numbered(&[kernel]), Some(&["kernel"][..]));
        let norm = numbered(&[bias; 4]).unwrap();
        assert_eq!(norm, ["gamma", "beta", "moving_mean", "moving_variance"]);
        assert_eq!(numbered(&[bias, bias, bias, &[2]]), None);
        assert_eq!(numbered(&[bias; 2]), None);
        assert_eq!(numbered(&[bias]), None);
        assert_eq!(numbered(&[]), None);
    }
}
