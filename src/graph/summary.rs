use std::fmt;
use std::ops::Range;

use super::core::Graph;
use super::node::{Node, Origin};

/// A table of the layers, as Keras' `model.summary()` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The network's name.
    pub name: String,
    /// A row for each node, in order.
    pub rows: Vec<SummaryRow>,
    /// Values in all parameters, running statistics included.
    pub parameters: u64,
    /// Values that training would change.
    pub trainable: u64,
}

/// One row of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryRow {
    /// The layer's name.
    pub layer: String,
    /// The kind of the layer.
    pub kind: String,
    /// The shape of its output, without the batch.
    pub shape: String,
    /// Values in its parameters.
    pub parameters: u64,
    /// Whether training would change them; `None` if there are none.
    pub trainable: Option<bool>,
    /// Where its parameters come from; empty if there are none.
    pub source: String,
    /// The layers it takes its inputs from.
    pub inputs: Vec<String>,
}

impl Graph {
    /// A table of the layers: names and kinds, output shapes, parameters, what
    /// is trainable, where parameters come from, and, for graphs that branch,
    /// what each layer is connected to. It does no I/O.
    ///
    /// ```
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::pretrained().truncate("block1_pool")?.input((3, 64, 64))?;
    /// println!("{}", graph.summary());
    /// assert_eq!(graph.summary().rows[3].shape, "(64, 32, 32)");
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn summary(&self) -> Summary {
        Summary {
            name: self.name.clone(),
            rows: self.nodes().map(|node| self.summary_row(node)).collect(),
            parameters: self.parameter_count(),
            trainable: self.trainable_count(),
        }
    }

    fn summary_row(&self, node: &Node) -> SummaryRow {
        let inputs = node.inputs.iter();
        SummaryRow {
            layer: node.name.clone(),
            kind: node.layer.kind().to_string(),
            shape: node.shape.to_string(),
            parameters: node.parameter_count(),
            trainable: (!node.parameters.is_empty()).then_some(!node.frozen),
            source: source(node),
            inputs: inputs
                .map(|&id| self.expect_node(id).name.clone())
                .collect(),
        }
    }
}

fn source(node: &Node) -> String {
    match node.parameters.first().map(|parameter| &parameter.origin) {
        None => String::new(),
        Some(Origin::Pretrained { weights, .. }) => weights.to_string(),
        Some(Origin::Init { .. } | Origin::Tensor { source: None, .. }) => "new".to_string(),
        Some(Origin::Tensor {
            source: Some(source),
            ..
        }) => source.words.to_string(),
    }
}

impl Summary {
    fn branches(&self) -> bool {
        self.rows.windows(2).any(|pair| match pair {
            [before, after] => after.inputs != [before.layer.clone()],
            _ => false,
        })
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let branches = self.branches();
        let mut header: Vec<String> = ["Layer (kind)", "Output shape", "Params", "Trains", "From"]
            .map(String::from)
            .to_vec();
        if branches {
            header.push("Connected to".to_string());
        }
        let rows = self.rows.iter().map(|row| {
            let trains = match row.trainable {
                None => "-",
                Some(true) => "yes",
                Some(false) => "no",
            };
            let mut cells = vec![
                format!("{} ({})", row.layer, row.kind),
                row.shape.clone(),
                with_commas(row.parameters),
                trains.to_string(),
                row.source.clone(),
            ];
            if branches {
                cells.push(row.inputs.join(", "));
            }
            cells
        });
        std::iter::once(header).chain(rows).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let table = aligned(&cells, 2..3);
        let rule = "-".repeat(table.lines().nth(1).map_or(0, str::len));
        writeln!(f, "Model: {}", self.name)?;
        writeln!(f, "{rule}")?;
        f.write_str(&table)?;
        writeln!(f, "{rule}")?;
        let frozen = self.parameters.saturating_sub(self.trainable);
        for (what, count) in [
            ("Total params", self.parameters),
            ("Trainable params", self.trainable),
            ("Non-trainable params", frozen),
        ] {
            let size = in_bytes(count.saturating_mul(4));
            writeln!(f, "{what}: {} ({size})", with_commas(count))?;
        }
        Ok(())
    }
}

/// Rows of cells as a table, a rule below the first; the columns of this range
/// are numbers.
pub(crate) fn aligned(cells: &[Vec<String>], numbers: Range<usize>) -> String {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let lengths = cells.iter().filter_map(|row| row.get(column));
            lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let total = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
    let mut text = String::new();
    for (index, row) in cells.iter().enumerate() {
        let padded = row.iter().zip(&widths).enumerate();
        let line: Vec<String> = padded
            .map(|(column, (cell, &width))| {
                if numbers.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        text += line.join("  ").trim_end();
        text.push('\n');
        if index == 0 {
            text += &"-".repeat(total);
            text.push('\n');
        }
    }
    text
}

/// `14714688` as `14,714,688`.
pub(crate) fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `58862592` as `58.9 MB`.
pub(crate) fn in_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut unit = 0;
    while size >= 999.95 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}
