//! docs/operations.md: every operation on a small network, with diagrams and
//! contract from the crate. `UPDATE_CATALOGUE=1` writes the file again.

mod entries;
mod models;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use vgg_surgery::graph::Operation;
use vgg_surgery::{Graph, Model};

/// A network before and after an operation.
struct Entry {
    name: &'static str,
    call: String,
    effect: &'static str,
    before: Graph,
    after: Graph,
}

impl Entry {
    fn new(
        (name, effect): (&'static str, &'static str),
        call: String,
        before: &Model,
        after: &Model,
    ) -> Self {
        Self {
            name,
            call,
            effect,
            before: before.graph().clone(),
            after: after.graph().clone(),
        }
    }
}

const HEADING: &str = "# Operations

Each edit has a contract. **Exact** edits do not change the function of the layers
they touch, or only select layers. **Approximate** edits change it by an amount
that can be measured. **Reinitializing** edits add values that were never trained.
`Graph::operations()` lists the edits of a network with their contracts, and how
many values were kept, derived, new or dropped. `Model::verify` measures the edits
on images, at the layers that have the same names in both networks. New layers can
learn the function of the layers they replaced: see
[healing](guide.md#healing-a-replaced-range). The API documentation lists limits
and errors of each method.

Every edit of a graph also works on a model, through `Model::edit`, which keeps
the values of all layers that remain. Edits that need values are methods of
`Model`. Most networks below are the first layers of `Vgg16::nano()`. In the
diagrams, drawn by `Graph::to_mermaid`, pretrained layers are blue, frozen layers
green and new layers orange.
";

fn diagram(graph: &Graph) -> String {
    graph
        .to_mermaid()
        .replacen("flowchart TD", "flowchart LR", 1)
}

fn told(operation: &Operation) -> String {
    let error = operation.error.map_or(String::new(), |error| {
        format!(", weights moved by {:.2} %", 100.0 * error)
    });
    format!(
        "- **{}** `{}`: {} values kept, {} derived, {} new, {} dropped{error}",
        operation.contract,
        operation.what,
        operation.kept,
        operation.derived,
        operation.new,
        operation.dropped
    )
}

fn written(entries: &[Entry]) -> String {
    let mut text = HEADING.to_string();
    text.push('\n');
    for entry in entries {
        let name = entry.name;
        let _ = writeln!(text, "- [{name}](#{name})");
    }
    for entry in entries {
        let Entry {
            name,
            call,
            effect,
            before,
            after,
        } = entry;
        let _ = writeln!(
            text,
            "\n## {name}\n\n{effect}\n\n```rust,ignore\n{call}\n```\n"
        );
        for operation in &after.operations()[before.operations().len()..] {
            let _ = writeln!(text, "{}", told(operation));
        }
        text.push('\n');
        for (when, graph) in [("Before", before), ("After", after)] {
            let _ = writeln!(text, "{when}:\n\n```mermaid\n{}```\n", diagram(graph));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_catalogue_shows_what_the_operations_do() {
    let expected = written(&entries::all());
    let file = path("docs/operations.md");
    if std::env::var_os("UPDATE_CATALOGUE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let actual = std::fs::read_to_string(&file).unwrap();
    assert_eq!(actual, expected, "UPDATE_CATALOGUE=1 writes the file again");
}

/// Public methods of the files below a folder that give another value of their
/// type, as `(name, first parameter)`.
fn edits(folder: &str, of: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(folder)).unwrap() {
        let file = entry.unwrap().path();
        if file.is_dir() {
            found.extend(edits(file.to_str().unwrap(), of));
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        let blocks = text.split("\nimpl ").skip(1);
        for block in blocks.filter(|block| block.starts_with(&format!("{of} {{"))) {
            for method in block.split("    pub fn ").skip(1) {
                let (name, rest) = method.split_once('(').unwrap();
                let name = name.split('<').next().unwrap();
                let (signature, _) = rest.split_once('{').unwrap();
                let result = signature.rsplit("-> ").next().unwrap().trim();
                if result == "Self" || result == "Result<Self>" {
                    let first = signature.trim_start().split([',', ')']).next().unwrap();
                    found.push((name.to_string(), first.to_string()));
                }
            }
        }
    }
    found
}

/// What tells something of a network, and changes none of its layers.
const REMARKS: [&str; 3] = ["with_labels", "with_note", "with_preprocessing"];

#[test]
fn the_catalogue_has_every_operation_on_graphs_and_models() {
    let shown: BTreeSet<String> = entries::all().iter().map(|e| e.name.to_string()).collect();
    let (of_graphs, of_models) = (edits("src/graph", "Graph"), edits("src/surgery", "Model"));
    assert!(of_graphs.len() > 15 && of_models.len() > 5);
    let of_graphs = of_graphs
        .iter()
        .filter(|(_, first)| first.ends_with("self") && !first.starts_with('&'));
    let of_models = of_models.iter().filter(|(_, first)| first == "&self");
    let missing: Vec<&String> = of_graphs
        .chain(of_models)
        .map(|(name, _)| name)
        .filter(|name| !shown.contains(*name) && !REMARKS.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
