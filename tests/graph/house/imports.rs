//! Which file imports from which, read off `use` lines and paths inside code.

use std::collections::{BTreeSet, HashMap};

use super::rust_text::{inline_depth, words};
use super::sources::File;

/// Re-exports of re-exports that are followed.
const MOST_HOPS: usize = 8;

/// A path as the code has it: `super::node::Node`.
#[derive(Clone, Debug)]
struct Named {
    segments: Vec<String>,
    /// Inline modules that are open around it.
    inline: usize,
}

#[derive(Debug)]
struct Use {
    named: Named,
    /// What the file calls it.
    name: String,
    public: bool,
}

impl Use {
    fn is_glob(&self) -> bool {
        self.name == "*"
    }
}

#[derive(Debug, Default)]
struct Reading {
    uses: Vec<Use>,
    paths: Vec<Named>,
    /// All words outside of `use` lines.
    words: BTreeSet<String>,
}

impl Reading {
    fn of(code: &str) -> Self {
        let mut reading = Self::default();
        let mut body = String::new();
        let mut rest = 0;
        for (at, _) in words(code).into_iter().filter(|(_, word)| *word == "use") {
            let tree = code[at + "use".len()..].trim_start();
            // `impl Trait + use<'a>`
            if tree.starts_with('<') {
                continue;
            }
            let before = code[..at].trim_end();
            let public = before.ends_with("pub") || before.ends_with(')');
            let inline = inline_depth(code, at);
            let tree = &tree[..tree.find(';').unwrap_or(tree.len())];
            for path in expanded(tree) {
                reading.uses.push(used(&path, inline, public));
            }
            let end = code[at..].find(';').map_or(code.len(), |end| at + end);
            body.push_str(&code[rest..at]);
            body.push_str(&" ".repeat(end - at));
            rest = end;
        }
        body.push_str(&code[rest..]);
        let mut previous = "";
        for (at, word) in words(&body) {
            if previous != "mod" {
                reading.words.insert(word.to_string());
            }
            previous = word;
            if let Some(segments) = path_at(&body, at) {
                let inline = inline_depth(&body, at);
                reading.paths.push(Named { segments, inline });
            }
        }
        reading
    }
}

fn used(path: &str, inline: usize, public: bool) -> Use {
    let (path, alias) = match path.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim().to_string())),
        None => (path, None),
    };
    let mut segments: Vec<String> = path.split("::").map(|s| s.trim().to_string()).collect();
    if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
        segments.pop();
    }
    let name = alias.unwrap_or_else(|| segments.last().unwrap().clone());
    Use {
        named: Named { segments, inline },
        name,
        public,
    }
}

/// The paths of a `use`'s tree, braces taken out.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return vec![tree.to_string()];
    };
    let (prefix, braced) = tree.split_at(open);
    let inside = &braced[1..braced.rfind('}').unwrap_or(braced.len())];
    let (mut depth, mut branches, mut branch) = (0, Vec::new(), String::new());
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            branches.push(std::mem::take(&mut branch));
        } else {
            branch.push(c);
        }
    }
    branches.push(branch);
    let branches = branches.iter().map(|branch| branch.trim());
    branches
        .filter(|branch| !branch.is_empty())
        .flat_map(|branch| expanded(&format!("{prefix}{branch}")))
        .collect()
}

/// The segments of a path of two or more that begins here, unless it says who
/// sees an item: `pub(in crate::graph)`.
fn path_at(code: &str, at: usize) -> Option<Vec<String>> {
    let before = code[..at].trim_end();
    if before.ends_with("::") || before.ends_with("(in") {
        return None;
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let path = &code[at..];
    let end = path.find(|c| !is_word(c) && c != ':');
    let segments = path[..end.unwrap_or(path.len())].split("::");
    let segments = segments.filter(|segment| !segment.is_empty());
    let segments: Vec<_> = segments.map(str::to_string).collect();
    (segments.len() > 1).then_some(segments)
}

/// One file's use of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The top module that the path names.
    pub room: String,
    /// The file that defines what is imported; re-exports are followed.
    pub file: String,
}

/// The files of a crate, by their modules.
pub struct Sources {
    files: Vec<File>,
    readings: Vec<Reading>,
    modules: HashMap<Vec<String>, usize>,
}

impl Sources {
    /// Files that only tests have are left out.
    pub fn of(files: Vec<File>) -> Self {
        let files: Vec<_> = files.into_iter().filter(|file| !file.is_test()).collect();
        let modules = files.iter().enumerate();
        let modules = modules.map(|(index, file)| (file.module(), index));
        Self {
            readings: files
                .iter()
                .map(|file| Reading::of(&file.code_without_tests()))
                .collect(),
            modules: modules.collect(),
            files,
        }
    }

    /// Each file with what it imports from others. A room's re-exports are no
    /// imports, unless the room's own code uses them; the crate's root has none.
    pub fn imports(&self) -> impl Iterator<Item = (&File, BTreeSet<Import>)> {
        let files = self.files.iter().enumerate();
        let files = files.filter(|(_, file)| file.path != "lib.rs");
        files.map(|(index, file)| {
            let reading = &self.readings[index];
            let uses = reading.uses.iter().filter(|import| {
                !(import.public && file.is_room() && !reading.words.contains(&import.name))
            });
            let named = uses.map(|import| &import.named).chain(&reading.paths);
            let absolute = named.filter_map(|named| self.absolute(index, named));
            let imports = absolute.filter_map(|path| self.import(&path));
            (file, imports.filter(|i| i.file != file.path).collect())
        })
    }

    /// Files that import all of another module of this crate.
    pub fn globs(&self) -> Vec<&str> {
        let readings = self.readings.iter().enumerate();
        let globs = readings.filter(|(index, reading)| {
            let globs = reading.uses.iter().filter(|import| import.is_glob());
            let mut paths = globs.filter_map(|glob| self.absolute(*index, &glob.named));
            paths.any(|path| self.definition(&path, MOST_HOPS) != Some(*index))
        });
        globs
            .map(|(index, _)| self.files[index].path.as_str())
            .collect()
    }

    fn import(&self, path: &[String]) -> Option<Import> {
        let file = &self.files[self.definition(path, MOST_HOPS)?];
        let names_room = path.len() > 1 && self.modules.contains_key(&path[..1]);
        let room = if names_room { &path[0] } else { file.room() };
        Some(Import {
            room: room.to_string(),
            file: file.path.clone(),
        })
    }

    /// The path from the crate's root on, if it leads into this crate.
    fn absolute(&self, file: usize, named: &Named) -> Option<Vec<String>> {
        let own = self.files[file].module();
        let supers = named.segments.iter().take_while(|s| *s == "super").count();
        let (mut path, skipped) = match named.segments[0].as_str() {
            "crate" => (Vec::new(), 1),
            "self" if named.inline == 0 => (own, 1),
            "self" => return None,
            "super" => match supers.checked_sub(named.inline) {
                Some(up) => (own[..own.len().checked_sub(up)?].to_vec(), supers),
                None => return None,
            },
            first => {
                let mut child = own.clone();
                child.push(first.to_string());
                let is_module = named.inline == 0 && self.modules.contains_key(&child);
                return is_module.then(|| [own, named.segments.clone()].concat());
            }
        };
        path.extend_from_slice(&named.segments[skipped..]);
        Some(path)
    }

    /// The file that defines what a path from the root on names.
    fn definition(&self, path: &[String], hops: usize) -> Option<usize> {
        let steps = 1..=path.len();
        let steps = steps.take_while(|&steps| self.modules.contains_key(&path[..steps]));
        let known = steps.last().unwrap_or(0);
        let file = *self.modules.get(&path[..known])?;
        let Some(name) = path.get(known) else {
            return Some(file);
        };
        let mut uses = self.readings[file].uses.iter();
        let Some(import) = uses.find(|import| import.name == *name) else {
            return Some(file);
        };
        let mut target = self.absolute(file, &import.named)?;
        target.extend_from_slice(&path[known + 1..]);
        match hops.checked_sub(1) {
            Some(hops) if target != path => self.definition(&target, hops),
            _ => Some(file),
        }
    }
}
