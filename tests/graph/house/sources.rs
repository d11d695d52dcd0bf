//! The source files of this crate.

use std::path::{Path, PathBuf};

use super::rust_text::{without_comments_and_strings, without_tests};

pub struct File {
    /// Below its folder, with slashes.
    pub path: String,
    pub text: String,
    /// The text without comments and what strings hold, line by line as it was.
    pub code: String,
}

impl File {
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_string(),
            text: text.to_string(),
            code: without_comments_and_strings(text),
        }
    }

    /// The top module that this file is in, or is.
    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The modules from the crate's root down to this file's.
    pub fn module(&self) -> Vec<String> {
        let mut steps: Vec<_> = self.path.split('/').map(str::to_string).collect();
        let file = steps.pop().unwrap();
        match file.as_str() {
            "mod.rs" | "lib.rs" => {}
            file => steps.push(file.strip_suffix(".rs").unwrap().to_string()),
        }
        steps
    }

    pub fn is_room(&self) -> bool {
        self.path.ends_with("/mod.rs") || self.path == "lib.rs"
    }

    pub fn is_test(&self) -> bool {
        let mut steps = self.path.split('/');
        steps.any(|step| step == "tests" || step == "tests.rs")
    }

    pub fn code_without_tests(&self) -> String {
        without_tests(&self.code)
    }
}

pub fn sources() -> Vec<File> {
    files_in("src")
}

pub fn files_in(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let files = paths.iter().map(|path| {
        let below = path.strip_prefix(&root).unwrap();
        let steps: Vec<_> = below.iter().map(|step| step.to_str().unwrap()).collect();
        File::new(&steps.join("/"), &std::fs::read_to_string(path).unwrap())
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
