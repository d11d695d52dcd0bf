//! Temporary files that nobody will finish. A writer locks its temporary file, and
//! the system ends the lock with the process, on any machine that shares the
//! folder: a temporary file that can be locked has lost its writer.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const PREFIX: &str = ".vgg-surgery-";
const ENDING: &str = ".tmp";

/// Folders that are remembered as swept.
const MOST_FOLDERS: usize = 1024;

/// An unused path in the folder of `path`, recognized by [`sweep`].
pub(super) fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos());
    let process = process::id();
    path.with_file_name(format!("{PREFIX}{process}-{time}-{count}{ENDING}"))
}

/// Removes the temporary files of writers that were killed, once for each folder
/// in a process: folders of many files take long to list.
pub(super) fn sweep(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if swept.len() >= MOST_FOLDERS {
        swept.clear();
    }
    if !swept.insert(folder.to_path_buf()) {
        return;
    }
    drop(swept);
    sweep_now(folder);
}

fn sweep_now(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(ENDING));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove_if_abandoned(&entry.path());
        }
    }
}

/// A file that can't be opened, locked or removed stays; it does no harm.
fn remove_if_abandoned(path: &Path) {
    let Ok(file) = File::options().write(true).open(path) else {
        return;
    };
    if file.try_lock().is_ok() {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let left = temporary_beside(&path("model"));
        fs::write(&left, "half").unwrap();
        let written = temporary_beside(&path("model"));
        let writer = File::create_new(&written).unwrap();
        writer.lock().unwrap();
        let others = [".vgg-surgery-notes.txt", ".1-2-3.tmp", "model"];
        for other in others {
            fs::write(path(other), "kept").unwrap();
        }
        fs::create_dir(path(".vgg-surgery-1-2-3.tmp")).unwrap();
        sweep_now(folder.path());
        assert!(!left.exists());
        assert!(written.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }
}
