//! No two files import each other, not even by way of others.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Sources;
use super::sources::{File, sources};

/// Folders in which circles are still allowed, while they are being mended.
const BEING_MENDED: &[&str] = &["graph/", "kernels/", "surgery/", "train/", "vgg/"];

type Imports = BTreeMap<String, BTreeSet<String>>;

fn imports(files: Vec<File>) -> Imports {
    let sources = Sources::of(files);
    let imports = sources.imports().map(|(file, imports)| {
        let files = imports.into_iter().map(|import| import.file);
        (file.path.clone(), files.collect())
    });
    imports.collect()
}

/// All that is imported from a file on, directly or not.
fn reached(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in imports.get(file).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}

/// The groups of files that reach each other.
fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|file| (file, reached(imports, file)))
        .collect();
    let groups = reached.iter().filter(|(file, to)| to.contains(**file));
    groups
        .map(|(file, to)| {
            let back = |other: &&String| reached.get(other).is_some_and(|to| to.contains(*file));
            to.iter().filter(back).cloned().collect()
        })
        .collect()
}

/// A group, a line for each of its files and what it imports of the others.
fn described(group: &[String], imports: &Imports) -> String {
    let lines = group.iter().map(|file| {
        let others = imports[file].iter().filter(|other| group.contains(other));
        let others: Vec<_> = others.map(String::as_str).collect();
        format!("  {file} -> {}", others.join(", "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_files_import_each_other() {
    let imports = imports(sources());
    let is_being_mended = |group: &&Vec<String>| {
        let in_one = |folder: &&str| group.iter().all(|file| file.starts_with(folder));
        BEING_MENDED.iter().any(|folder| in_one(folder))
    };
    let circles = circles(&imports);
    let unexpected = circles.iter().filter(|group| !is_being_mended(group));
    let unexpected: Vec<_> = unexpected.map(|group| described(group, &imports)).collect();
    assert!(
        unexpected.is_empty(),
        "files import each other in circles:\n{}",
        unexpected.join("\n\n")
    );
}

#[test]
fn nothing_is_imported_that_a_reader_cannot_see() {
    let sources = Sources::of(sources());
    let globs = sources.globs();
    assert!(globs.is_empty(), "import all of a module: {globs:?}");
    let count: usize = sources.imports().map(|(_, imports)| imports.len()).sum();
    assert!(count > 1000, "found {count} imports alone");
}

fn of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let files = files.iter().map(|(path, text)| File::new(path, text));
    circles(&imports(files.collect())).into_iter().collect()
}

#[test]
fn a_circle_is_seen() {
    let a = ("r/a.rs", "use super::b::B;");
    assert!(of(&[("r/mod.rs", "mod a; mod b;"), a, ("r/b.rs", "")]).is_empty());
    for back in [
        "use super::a::A;",
        "use super::a::{self, A};",
        "use crate::r::{a::A as Other};",
        "fn f() { super::a::A::new() }",
        "fn f() -> crate::r::a::A { g() }",
        "mod inside { use super::super::a::A; }",
        "use super::A;",
        "use super::Renamed;",
    ] {
        let room = "mod a; mod b; pub use a::A; use a::A as Renamed;";
        let found = of(&[("r/mod.rs", room), a, ("r/b.rs", back)]);
        assert_eq!(found.len(), 1, "{back}");
        assert!(found[0].contains(&"r/a.rs".to_string()), "{back}");
    }
}

#[test]
fn a_circle_of_three_and_one_through_a_room_are_seen() {
    let three = [
        ("r/mod.rs", "mod a; mod b; mod c;"),
        ("r/a.rs", "use super::b::B;"),
        ("r/b.rs", "use super::c::C;"),
        ("r/c.rs", "use super::a::A;"),
    ];
    assert_eq!(of(&three), [["r/a.rs", "r/b.rs", "r/c.rs"]]);
    let room = [
        ("r/mod.rs", "mod a; pub use a::A; struct B(A);"),
        ("r/a.rs", "use super::B;"),
    ];
    assert_eq!(of(&room), [["r/a.rs", "r/mod.rs"]]);
    let outside = [
        ("lib.rs", "mod r; mod s; pub use r::R; pub use s::S;"),
        ("r.rs", "use crate::S;"),
        ("s/mod.rs", "mod inner; pub use inner::S;"),
        ("s/inner.rs", "use crate::R;"),
    ];
    assert_eq!(of(&outside), [["r.rs", "s/inner.rs"]]);
}

#[test]
fn what_is_no_import_makes_no_circle() {
    let a = ("r/a.rs", "use super::b::B;");
    let room = (
        "r/mod.rs",
        "mod a; mod b; pub use a::A; pub(crate) use b::B;",
    );
    for innocent in [
        "// use super::a::A;",
        "const A: &str = \"super::a::A\";",
        "#[cfg(test)] mod tests { use super::super::a::A; }",
        "mod inside { use super::a; }",
        "pub(in crate::r::a) struct B;",
        "fn f() -> impl Fn() + use<'_> { other::a::A }",
    ] {
        let found = of(&[room, a, ("r/b.rs", innocent)]);
        assert!(found.is_empty(), "{innocent}: {found:?}");
    }
    let test = ("r/tests/mod.rs", "use super::b::B;");
    let found = of(&[room, ("r/b.rs", "use super::tests::T;"), test]);
    assert!(found.is_empty(), "{found:?}");
}
