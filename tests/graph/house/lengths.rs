//! Files, functions: how long they may be.

use std::collections::BTreeMap;

use super::rust_text::functions;
use super::sources::{files_in, sources};

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 59;

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
