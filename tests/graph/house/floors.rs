//! A file imports only from floors below its own.

use super::imports::Sources;
use super::sources::{File, sources};

fn floor(room: &str) -> usize {
    match room {
        "lib" => 10,
        "accelerate" => 9,
        "heal" => 8,
        "train" | "explain" => 7,
        "data" | "surgery" | "export" => 6,
        "model" => 5,
        "weights" | "vgg" => 4,
        "ops" | "graph" => 3,
        "layers" | "preprocess" | "optim" => 2,
        "kernels" => 1,
        "shape" | "error" | "files" | "memory" | "nearest" | "random" | "threads" => 0,
        other => panic!("the room {other} has no floor; give it one here and in the design"),
    }
}

/// Whether files in the one room may import from the other.
fn may_import(room: &str, other: &str) -> bool {
    let (own, below) = (floor(room), floor(other));
    let skips_ops = other == "kernels" && room != "ops" && own >= floor("ops");
    room == other || (below < own && !skips_ops) || (own == 0 && below == 0)
}

/// The imports that break the rule.
fn broken(files: Vec<File>) -> Vec<(String, String)> {
    let sources = Sources::of(files);
    let imports = sources
        .imports()
        .flat_map(|(file, imports)| imports.into_iter().map(move |import| (file, import.room)));
    imports
        .filter(|(file, room)| !may_import(file.room(), room))
        .map(|(file, room)| (file.path.clone(), room))
        .collect()
}

#[test]
fn a_file_imports_only_from_floors_below() {
    let broken = broken(sources());
    assert!(broken.is_empty(), "not from a floor below: {broken:#?}");
}

#[test]
fn a_broken_rule_is_seen() {
    let of = |path: &str, text: &str| -> Vec<String> {
        let rooms = ["graph", "model", "ops", "vgg", "kernels", "error", "shape"];
        let mut files: Vec<_> = rooms
            .iter()
            .map(|room| File::new(&format!("{room}/mod.rs"), ""))
            .collect();
        files.retain(|file| file.path != path);
        files.push(File::new("lib.rs", "pub use model::Model;"));
        files.push(File::new(path, text));
        broken(files).into_iter().map(|(_, room)| room).collect()
    };
    assert_eq!(of("graph/a.rs", "use crate::model::Model;"), ["model"]);
    assert_eq!(of("graph/a.rs", "use crate::Model;"), ["model"]);
    assert_eq!(
        of("graph/a.rs", "use crate::{ops::A, vgg::B};"),
        ["ops", "vgg"]
    );
    assert_eq!(of("graph/a.rs", "fn f() { crate::ops::g(); }"), ["ops"]);
    assert_eq!(of("graph/a.rs", "use super::super::vgg::X;"), ["vgg"]);
    assert_eq!(of("graph/mod.rs", "use super::vgg::X;"), ["vgg"]);
    assert_eq!(of("model/a.rs", "use crate::kernels::X;"), ["kernels"]);
    for innocent in [
        "// use crate::model;\nuse super::node;",
        "const A: &str = \"crate::model\";",
        "use crate::error::{A, B};",
        "mod inside { use super::super::node; }",
    ] {
        assert!(of("graph/a.rs", innocent).is_empty(), "{innocent}");
    }
    assert!(of("ops/a.rs", "use crate::kernels::X;").is_empty());
    assert!(of("shape/a.rs", "use crate::error::X;").is_empty());
}
