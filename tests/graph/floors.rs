//! The house rules, read off the source: floors, lengths, `unsafe`, panics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::rust_text::{block, end_of_signature, functions, without_comments_and_strings, words};

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 59;

/// The one file besides `kernels/` that may be unsafe: it maps weight files.
const MEMORY_MAP: &str = "weights/file.rs";

fn floor(room: &str) -> usize {
    match room {
        "lib" => 7,
        "train" | "explain" | "heal" | "data" | "export" | "surgery" => 6,
        "model" => 5,
        "ops" | "optim" | "weights" => 4,
        "vgg" => 3,
        "graph" => 2,
        "layer" | "preprocess" | "kernels" => 1,
        "shape" | "error" | "nearest" | "random" => 0,
        other => panic!("the room {other} has no floor; give it one here and in the design"),
    }
}

struct File {
    /// Below its folder, with slashes.
    path: String,
    text: String,
    /// The text without comments and what strings hold, line by line as it was.
    code: String,
}

impl File {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Number of modules from the crate's root down to this file.
    fn depth(&self) -> usize {
        let steps = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") || self.path == "lib.rs" {
            steps - 1
        } else {
            steps
        }
    }

    fn is_test(&self) -> bool {
        let mut steps = self.path.split('/');
        steps.any(|step| step == "tests" || step == "tests.rs")
    }
}

fn sources() -> Vec<File> {
    files_in("src")
}

fn files_in(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let files = paths.iter().map(|path| {
        let below = path.strip_prefix(&root).unwrap();
        let steps: Vec<_> = below.iter().map(|step| step.to_str().unwrap()).collect();
        let text = std::fs::read_to_string(path).unwrap();
        let code = without_comments_and_strings(&text);
        File {
            path: steps.join("/"),
            text,
            code,
        }
    });
    files.collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            paths.push(path);
        }
    }
}

/// The rooms that a path named from the crate's root on leads to: what stands
/// after `crate::`, each of several in braces.
fn rooms_after(code: &str) -> Vec<String> {
    let Some(rest) = code.strip_prefix("::") else {
        return Vec::new();
    };
    let Some(braced) = rest.strip_prefix('{') else {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        return vec![rest[..end.unwrap_or(rest.len())].to_string()];
    };
    let (mut depth, mut rooms, mut current) = (0, Vec::new(), String::new());
    for c in braced.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => rooms.push(std::mem::take(&mut current)),
            c => current.push(c),
        }
    }
    rooms.push(current);
    let heads = rooms
        .iter()
        .map(|path| path.trim().split("::").next().unwrap());
    let heads = heads.map(|head| head.split_whitespace().next().unwrap_or_default());
    heads
        .filter(|head| !head.is_empty())
        .map(str::to_string)
        .collect()
}

/// Modules that are open around a place, below the file's own.
fn inline_depth(code: &str, place: usize) -> usize {
    let mut open: Vec<bool> = Vec::new();
    let mut is_module = false;
    for (at, c) in code[..place].char_indices() {
        match c {
            '{' => {
                open.push(is_module);
                is_module = false;
            }
            '}' => {
                open.pop();
            }
            ';' => is_module = false,
            'm' if code[at..].starts_with("mod ") => {
                let before = code[..at].chars().next_back();
                is_module |= before.is_none_or(char::is_whitespace);
            }
            _ => {}
        }
    }
    open.iter().filter(|&&module| module).count()
}

/// The rooms that a file reaches into.
fn imports(file: &File) -> Vec<String> {
    let mut rooms = Vec::new();
    let mut supers = 0;
    for (at, word) in words(&file.code) {
        let after = &file.code[at + word.len()..];
        match word {
            "crate" => rooms.extend(rooms_after(after)),
            "super" => {
                supers += 1;
                let reaches_root = supers == file.depth() + inline_depth(&file.code, at);
                if !after.starts_with("::super") {
                    supers = 0;
                    if reaches_root {
                        rooms.extend(rooms_after(after));
                    }
                }
            }
            _ => {}
        }
    }
    rooms
}

#[test]
fn a_file_imports_only_from_floors_below() {
    for file in sources().iter().filter(|file| file.path != "lib.rs") {
        let own = floor(file.room());
        for room in imports(file) {
            let other = floor(&room);
            let on_the_ground = own == 0 && other == 0;
            let same_floor = [
                ("train", "data"),
                ("explain", "data"),
                ("heal", "data"),
                ("heal", "train"),
                ("heal", "surgery"),
            ];
            let may_ask = same_floor.contains(&(file.room(), room.as_str()));
            assert!(
                room == file.room() || other < own || on_the_ground || may_ask,
                "{} (floor {own}) imports from {room} (floor {other})",
                file.path
            );
        }
    }
}

#[test]
fn the_reader_finds_imports() {
    let file = |path: &str, text: &str| File {
        path: path.to_string(),
        text: text.to_string(),
        code: without_comments_and_strings(text),
    };
    let of = |path: &str, text: &str| imports(&file(path, text));
    assert_eq!(of("graph/a.rs", "use crate::model::Model;"), ["model"]);
    assert_eq!(
        of("graph/a.rs", "use crate::{error::{A, B}, shape::Shape};"),
        ["error", "shape"]
    );
    assert_eq!(of("graph/a.rs", "fn f() { crate::ops::g(); }"), ["ops"]);
    assert_eq!(of("graph/a.rs", "use super::super::vgg::X;"), ["vgg"]);
    assert_eq!(of("graph/mod.rs", "use super::vgg::X;"), ["vgg"]);
    assert!(of("graph/a.rs", "// use crate::model;\nuse super::vgg;").is_empty());
    assert!(of("graph/a.rs", "const A: &str = \"crate::model\";").is_empty());
    let inline = "mod tests { use super::super::node; use super::super::super::ops; }";
    assert_eq!(of("graph/a.rs", inline), ["ops"]);
}

#[test]
fn files_are_at_most_400_lines_long() {
    let folders = ["src", "examples", "tests", "benches"];
    let long: Vec<_> = folders
        .into_iter()
        .flat_map(files_in)
        .map(|file| (file.path.clone(), file.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "too long: {long:?}");
}

#[test]
fn functions_are_under_60_lines_long() {
    let mut long = BTreeMap::new();
    for file in sources() {
        for (name, lines) in functions(&file.code) {
            if lines > LONGEST_FUNCTION {
                long.insert(format!("{}: {name}", file.path), lines);
            }
        }
    }
    assert!(long.is_empty(), "too long: {long:?}");
    let code = "fn a(x: [u8; 2]) -> u8 {\n  x[0]\n}\ntrait T { fn b(); }\n";
    assert_eq!(functions(code), [("a".to_string(), 3)]);
}

#[test]
fn unsafe_code_is_confined_and_gives_its_reason() {
    for file in sources() {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, _) in words(&file.code).iter().filter(|(_, w)| *w == "unsafe") {
            // What an unsafe function asks for stands at the trait or is
            // clippy's to demand.
            if file.code[*at..].starts_with("unsafe fn") && file.room() == "kernels" {
                continue;
            }
            let line = file.code[..*at].lines().count().max(1) - 1;
            let place = format!("{}:{}", file.path, line + 1);
            assert!(
                file.room() == "kernels" || file.path == MEMORY_MAP,
                "unsafe at {place}"
            );
            let reason = lines[line.saturating_sub(8)..=line]
                .iter()
                .any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            assert!(reason, "no SAFETY: line above {place}");
        }
    }
}

/// The code without the items that only tests have.
fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut left = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        left.push_str(&rest[..at]);
        rest = &rest[at + TEST.len()..];
        let open = end_of_signature(rest).unwrap_or(rest.len());
        let length = if rest[open..].starts_with('{') {
            open + block(&rest[open..])
        } else {
            open + 1
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    left.push_str(rest);
    left
}

#[test]
fn nothing_panics_on_purpose() {
    let forbidden = [
        ".unwrap()",
        "panic!",
        "todo!",
        "unimplemented!",
        "unreachable!",
        "dbg!",
        "println!",
    ];
    for file in sources().iter().filter(|file| !file.is_test()) {
        let code = without_tests(&file.code);
        for word in forbidden {
            assert!(!code.contains(word), "{word} in {}", file.path);
        }
    }
}
