//! Contributors find what `docs/architecture.md` names.

use std::path::Path;

#[test]
fn every_path_it_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let folders = ["src/", "tests/", "docs/", "examples/", "benches/"];
    let paths: Vec<&str> = quoted
        .filter(|word| folders.iter().any(|folder| word.starts_with(folder)))
        .collect();
    assert!(paths.len() > 100, "{}", paths.len());
    let missing = paths.iter().filter(|path| !root.join(path).exists());
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
