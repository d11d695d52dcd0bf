use crate::error::Result;
use crate::graph::Node;
use crate::layers::{Upsample, UpsampleMode, UpsampleSize};
use crate::shape::Shape;

use super::writer::{Attribute, Writer, axis, inner_names, not_in_onnx, signed};

impl Writer<'_> {
    /// Adaptive average pooling as a product with a weight matrix for each axis.
    pub(super) fn adaptive(
        &mut self,
        node: &Node,
        x: &str,
        input: Shape,
        (rows, columns): (usize, usize),
    ) -> Result<()> {
        let output = node.name();
        if (rows, columns) == (1, 1) {
            self.operator("GlobalAveragePool", &[x], output, Vec::new());
            return Ok(());
        }
        let Some((height, width)) = input.size() else {
            let reason = "its windows depend on the input size; set that with input(..)";
            return Err(not_in_onnx(node, reason).into());
        };
        let [down, across, pooled] = inner_names(output, ["down", "across", "pooled"]);
        self.floats(&down, means(rows, height), &[rows, height])?;
        let turned = transposed(&means(columns, width), columns);
        self.floats(&across, turned, &[width, columns])?;
        self.operator("MatMul", &[&down, x], &pooled, Vec::new());
        self.operator("MatMul", &[&pooled, &across], output, Vec::new());
        Ok(())
    }

    pub(super) fn upsample(
        &mut self,
        node: &Node,
        upsample: &Upsample,
        inputs: &[&Node],
    ) -> Result<()> {
        let (x, output) = (inputs[0].name(), node.name());
        let sizes = inputs[0].shape().size().zip(node.shape().size());
        if let (UpsampleMode::Nearest, Some((from, to))) = (upsample.mode, sizes) {
            self.gather_nearest(x, from, to, output);
            return Ok(());
        }
        let (mode, coordinates) = match upsample.mode {
            UpsampleMode::Nearest => ("nearest", "asymmetric"),
            UpsampleMode::Bilinear => ("linear", "half_pixel"),
        };
        let mut attributes = vec![
            ("mode", Attribute::Text(mode)),
            (
                "coordinate_transformation_mode",
                Attribute::Text(coordinates),
            ),
            ("axes", Attribute::Ints(vec![2, 3])),
        ];
        if upsample.mode == UpsampleMode::Nearest {
            attributes.push(("nearest_mode", Attribute::Text("floor")));
        }
        let size = format!("{output}:size");
        match upsample.size {
            UpsampleSize::Times(vertical, horizontal) if sizes.is_none() => {
                self.floats(&size, vec![vertical as f32, horizontal as f32], &[2])?;
                self.operator("Resize", &[x, "", &size], output, attributes);
                return Ok(());
            }
            UpsampleSize::Like if sizes.is_none() => {
                let sides = vec![("start", Attribute::Int(2)), ("end", Attribute::Int(4))];
                self.operator("Shape", &[inputs[1].name()], &size, sides);
            }
            _ => {
                let Some((height, width)) = node.shape().size() else {
                    let reason = "its size is not known; set the input's with input(..)";
                    return Err(not_in_onnx(node, reason).into());
                };
                self.ints(&size, &[signed(height), signed(width)]);
            }
        }
        self.operator("Resize", &[x, "", "", &size], output, attributes);
        Ok(())
    }

    /// Nearest-neighbor resizing: pixel `floor(i * input / output)`, in integers.
    fn gather_nearest(&mut self, x: &str, from: (usize, usize), to: (usize, usize), output: &str) {
        let [rows, columns, picked] = inner_names(output, ["rows", "columns", "picked"]);
        for (name, from, to) in [(&rows, from.0, to.0), (&columns, from.1, to.1)] {
            let positions: Vec<i64> = (0..to).map(|at| signed(at * from / to)).collect();
            self.ints(name, &positions);
        }
        self.operator("Gather", &[x, &rows], &picked, axis(2));
        self.operator("Gather", &[&picked, &columns], output, axis(3));
    }
}

/// A `(windows, side)` matrix: window `i` of `n` is the mean of
/// `floor(i side / n)` to `ceil((i + 1) side / n)`.
fn means(windows: usize, side: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; windows * side];
    for (window, row) in matrix.chunks_exact_mut(side).enumerate() {
        let start = window * side / windows;
        let end = ((window + 1) * side).div_ceil(windows);
        row[start..end].fill(1.0 / (end - start) as f32);
    }
    matrix
}

fn transposed(matrix: &[f32], rows: usize) -> Vec<f32> {
    let columns = matrix.len() / rows;
    let values = (0..columns).flat_map(|column| matrix[column..].iter().step_by(columns));
    values.copied().collect()
}
