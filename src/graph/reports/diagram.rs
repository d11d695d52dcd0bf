use std::fmt::Write;

use super::super::core::Graph;
use super::super::node::Node;
use super::describe::described;

#[derive(Clone, Copy)]
pub(crate) struct Style {
    name: &'static str,
    pub(crate) fill: &'static str,
    pub(crate) border: &'static str,
}

impl Style {
    const fn new(name: &'static str, fill: &'static str, border: &'static str) -> Self {
        Self { name, fill, border }
    }
}

const PLAIN: Style = Style::new("plain", "#f5f5f5", "#9e9e9e");
const KEPT: Style = Style::new("kept", "#dbeafe", "#2563eb");
const FROZEN: Style = Style::new("frozen", "#e0f2f1", "#00897b");
const NEW: Style = Style::new("fresh", "#ffedd5", "#ea580c");

/// Gray without parameters, orange if they are new, green if they are frozen,
/// else blue.
pub(crate) fn style(node: &Node) -> Style {
    match node.parameters.first() {
        None => PLAIN,
        Some(parameter) if parameter.is_new() => NEW,
        Some(_) if node.frozen => FROZEN,
        Some(_) => KEPT,
    }
}

fn lines(node: &Node) -> [String; 3] {
    [node.name.clone(), described(node), node.shape.to_string()]
}

impl Graph {
    /// The network as a Graphviz diagram. New layers are orange, pretrained
    /// ones blue, frozen ones green.
    pub fn to_dot(&self) -> String {
        let mut text = format!("digraph \"{}\" {{\n", dot_escaped(&self.name));
        text.push_str("  ranksep=0.2;\n");
        text.push_str(
            "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=11];\n",
        );
        for (index, node) in self.nodes().enumerate() {
            let label = lines(node).map(|line| dot_escaped(&line)).join("\\n");
            let Style { fill, border, .. } = style(node);
            let _ = writeln!(
                text,
                "  n{index} [label=\"{label}\", fillcolor=\"{fill}\", color=\"{border}\"];"
            );
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  n{from} -> n{to};");
        }
        text.push_str("}\n");
        text
    }

    /// The network as a Mermaid diagram, in the colors of
    /// [`Graph::to_dot`].
    ///
    /// ```
    /// use vgg_surgery::Vgg16;
    ///
    /// let diagram = Vgg16::pretrained().truncate("block1_pool")?.to_mermaid();
    /// assert!(diagram.starts_with("flowchart TD\n"));
    /// assert!(diagram.contains("n0 --> n1"));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn to_mermaid(&self) -> String {
        let mut text = "flowchart TD\n".to_string();
        for (index, node) in self.nodes().enumerate() {
            let label = lines(node).map(|line| mermaid_escaped(&line)).join("<br/>");
            let _ = writeln!(text, "  n{index}[\"{label}\"]:::{}", style(node).name);
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  n{from} --> n{to}");
        }
        for Style { name, fill, border } in [PLAIN, KEPT, FROZEN, NEW] {
            let _ = writeln!(
                text,
                "  classDef {name} fill:{fill},stroke:{border},color:#111"
            );
        }
        text
    }

    /// The positions of the two nodes of each connection.
    pub(crate) fn edges(&self) -> Vec<(usize, usize)> {
        let edges = self.nodes().enumerate().flat_map(|(to, node)| {
            let inputs = node.inputs.iter();
            inputs.filter_map(move |&input| Some((self.position(input)?, to)))
        });
        edges.collect()
    }
}

fn dot_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn mermaid_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
