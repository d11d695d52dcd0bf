use std::fmt;

use super::super::core::Graph;
use super::super::node::Node;
use super::provenance::Fate;
use super::table::{aligned, in_bytes, with_commas};

/// A table of the layers, as Keras' `model.summary()` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The network's name.
    pub name: String,
    /// A row for each node, in order.
    pub rows: Vec<SummaryRow>,
    /// The names of the outputs, in order.
    pub outputs: Vec<String>,
    /// Values in all parameters, running statistics included.
    pub parameters: u64,
    /// Values that training would change.
    pub trainable: u64,
    /// What is most likely a mistake, with what to do: layers that read the class
    /// scores of a classifier that was not cut off.
    pub warnings: Vec<String>,
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
    /// what each layer is connected to. Below it are the outputs, if there are several
    /// or the last layer is none, and warnings of what is most
    /// likely a mistake. It does no I/O.
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
            outputs: self.names(&self.outputs),
            parameters: self.parameter_count(),
            trainable: self.trainable_count(),
            warnings: self
                .score_readers()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    fn summary_row(&self, node: &Node) -> SummaryRow {
        SummaryRow {
            layer: node.name.clone(),
            kind: node.layer.kind().to_string(),
            shape: node.shape.to_string(),
            parameters: node.parameter_count(),
            trainable: (!node.parameters.is_empty()).then_some(!node.frozen),
            source: match node.parameters.first().map(|first| self.fate(first)) {
                None => String::new(),
                Some(Fate::Kept { source }) => source,
                Some(Fate::Derived { reason }) => reason,
                Some(_) => "new".to_string(),
            },
            inputs: self.names(&node.inputs),
        }
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
        let last = self.rows.last().map(|row| &row.layer);
        if self.outputs.len() > 1 || self.outputs.first() != last {
            writeln!(f, "Outputs: {}", self.outputs.join(", "))?;
        }
        let frozen = self.parameters.saturating_sub(self.trainable);
        for (what, count) in [
            ("Total params", self.parameters),
            ("Trainable params", self.trainable),
            ("Non-trainable params", frozen),
        ] {
            let size = in_bytes(count.saturating_mul(4));
            writeln!(f, "{what}: {} ({size})", with_commas(count))?;
        }
        for warning in &self.warnings {
            writeln!(f, "Warning: {warning}")?;
        }
        Ok(())
    }
}
