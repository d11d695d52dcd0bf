use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::super::{HubOptions, Progress, ReadOptions};
use super::content::{Content, Sparse};
use super::local_hub::{Behavior, COMMIT, LocalHub, Request};
use super::{flat, load_plain, safetensors_of, values_of};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

pub(super) const REPOSITORY: &str = "timm/vgg16.tv_in1k";
pub(super) const FILE: &str = "model.safetensors";

/// A hub with one small file, and an empty home.
pub(super) struct Rig {
    pub(super) hub: LocalHub,
    pub(super) home: TempDir,
    pub(super) file: Vec<u8>,
}

/// Two small tensors between large ones. They take two ranges.
pub(super) const P: (&str, usize) = ("p", 1_000);
pub(super) const T: (&str, usize) = ("t", 500);

/// So much of the file that it is fetched whole.
pub(super) const MOST: [(&str, usize); 2] = [("m", 20_000), ("q", 30_000)];

impl Rig {
    pub(super) fn start() -> Self {
        Self::serving(safetensors_of(&[
            ("a", vec![4]),
            ("m", vec![20_000]),
            ("p", vec![1_000]),
            ("q", vec![30_000]),
            ("t", vec![500]),
        ]))
    }

    pub(super) fn behaving(behavior: Behavior) -> Self {
        let rig = Self::start();
        rig.hub.behave(behavior);
        rig
    }

    pub(super) fn serving(file: Vec<u8>) -> Self {
        let content: Arc<dyn Content> = Arc::new(file.clone());
        let hub = LocalHub::start(REPOSITORY, vec![(FILE, content, sha256(&file))]);
        Self {
            hub,
            home: tempfile::tempdir().unwrap(),
            file,
        }
    }

    pub(super) fn options(&self) -> HubOptions {
        HubOptions::from_env()
            .endpoint(self.hub.endpoint())
            .home(self.home.path())
            .offline(false)
            .timeout(Duration::from_secs(20))
            .retries(2)
            .retry_delay(Duration::from_millis(1))
    }

    /// Loads flat tensors of these lengths, and compares their values.
    pub(super) fn load_with(
        &self,
        set: &WeightSet,
        options: HubOptions,
        wanted: &[(&str, usize)],
    ) -> Result<()> {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|&(name, len)| (name, vec![len]))
            .collect();
        let loaded = load_plain(set, &wanted, &ReadOptions::new().hub(options))?;
        for (tensor, (name, shape)) in loaded.iter().zip(&wanted) {
            assert_eq!(flat(tensor), values_of(name, shape), "{name}");
        }
        Ok(())
    }

    pub(super) fn load(&self, wanted: &[(&str, usize)]) -> Result<()> {
        self.load_with(&WeightSet::hub(REPOSITORY), self.options(), wanted)
    }

    pub(super) fn load_offline(&self, wanted: &[(&str, usize)]) -> Result<()> {
        let offline = self.options().offline(true);
        self.load_with(&WeightSet::hub(REPOSITORY), offline, wanted)
    }

    /// Where the shared cache puts the file.
    pub(super) fn snapshot(&self) -> std::path::PathBuf {
        let folder = self.repository_folder();
        folder.join("snapshots").join(COMMIT).join(FILE)
    }

    pub(super) fn repository_folder(&self) -> std::path::PathBuf {
        let hub = self.home.path().join("hub");
        hub.join("models--timm--vgg16.tv_in1k")
    }

    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        let requests = self.hub.take_requests();
        requests
            .iter()
            .filter_map(|request| request.range)
            .collect()
    }
}

/// Asserts that loading failed because `file` has another hash than expected.
#[track_caller]
pub(super) fn assert_mismatch(result: Result<()>, hash: &str, file: &[u8]) {
    match result {
        Err(Error::HashMismatch {
            expected, actual, ..
        }) => assert_eq!((expected.as_str(), actual), (hash, sha256(file))),
        other => panic!("{other:?}"),
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All files below a folder, by their names.
pub(super) fn files_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return names;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files_below(&path));
        } else {
            names.push(path.file_name().unwrap().to_str().unwrap().to_string());
        }
    }
    names.sort();
    names
}

/// Files that nobody would look at again.
pub(super) fn left_behind(rig: &Rig) -> usize {
    let files = files_below(rig.home.path());
    let partial = |name: &&String| name.ends_with(".tmp") || name.ends_with(".incomplete");
    files.iter().filter(partial).count()
}

/// The convolutions up to a pool, as timm names and shapes them.
fn convolutions(list: &[(usize, usize, usize)]) -> Vec<(String, Vec<usize>)> {
    let mut wanted = Vec::new();
    for &(index, out, input) in list {
        wanted.push((format!("features.{index}.weight"), vec![out, input, 3, 3]));
        wanted.push((format!("features.{index}.bias"), vec![out]));
    }
    wanted
}

pub(super) fn is_file(request: &&Request) -> bool {
    request.method == "GET" && request.path.contains("/resolve/")
}

#[test]
fn a_cut_of_a_553_mb_file_moves_a_megabyte_and_a_larger_cut_the_difference() {
    let file = Arc::new(Sparse::vgg16());
    assert_eq!(file.bytes() / 1_000_000, 553);
    let hub = LocalHub::start(REPOSITORY, vec![(FILE, file.clone(), "ab".repeat(32))]);
    let home = tempfile::tempdir().unwrap();
    let hub_options = HubOptions::from_env()
        .endpoint(hub.endpoint())
        .home(home.path())
        .offline(false);
    let options = ReadOptions::new().hub(hub_options);
    let set = WeightSet::hub(REPOSITORY);
    let load = |list: &[(usize, usize, usize)]| {
        let named = convolutions(list);
        let wanted: Vec<(&str, Vec<usize>)> = named
            .iter()
            .map(|(name, shape)| (name.as_str(), shape.clone()))
            .collect();
        let loaded = load_plain(&set, &wanted, &options).unwrap();
        for (tensor, (name, shape)) in loaded.iter().zip(&named) {
            assert_eq!(tensor.dims(), shape);
            assert!(flat(tensor) == file.values(name), "{name}");
        }
        (hub.take_requests(), hub.take_sent())
    };

    let block2_pool = [(0, 64, 3), (2, 64, 64), (5, 128, 64), (7, 128, 128)];
    let (requests, sent) = load(&block2_pool);
    // Commit with size and hash, start with features.0, features.2, features.5
    // with features.7.
    assert_eq!(requests.len(), 4, "{requests:?}");
    assert!((1_040_640..1_200_000).contains(&sent), "{sent}");

    let mut block3_pool = block2_pool.to_vec();
    let block3 = [(10, 256, 128), (12, 256, 256), (14, 256, 256)];
    block3_pool.extend(block3);
    let (requests, sent) = load(&block3_pool);
    let fetched: Vec<_> = requests.iter().filter(is_file).collect();
    assert_eq!(fetched.len(), 1, "{requests:?}");
    let (first, last) = fetched[0].range.unwrap();
    let difference = convolutions(&block3)
        .iter()
        .map(|(_, shape)| 4 * shape.iter().product::<usize>() as u64)
        .sum::<u64>();
    assert_eq!(last + 1 - first, difference);
    assert_eq!(sent, difference);

    let (requests, _) = load(&block2_pool);
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[test]
fn a_pinned_commit_is_loaded_again_without_a_request() {
    let rig = Rig::start();
    let pinned = WeightSet::hub(REPOSITORY).revision(COMMIT);
    rig.load_with(&pinned, rig.options(), &[P]).unwrap();
    assert_eq!(rig.hub.take_requests().len(), 3);
    rig.load_with(&pinned, rig.options(), &[P]).unwrap();
    assert_eq!(rig.hub.take_requests(), []);
    let offline = rig.options().offline(true);
    rig.load_with(&WeightSet::hub(REPOSITORY).revision(COMMIT), offline, &[P])
        .unwrap();
    assert_eq!(rig.hub.take_requests(), []);
}

#[test]
fn most_of_a_file_is_fetched_whole_into_the_shared_cache() {
    let rig = Rig::start();
    rig.load(&MOST).unwrap();
    let ranges: Vec<_> = rig.hub.take_requests();
    assert_eq!(ranges.iter().filter(is_file).count(), 2, "start and whole");
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    let folder = rig.repository_folder();
    let main = std::fs::read_to_string(folder.join("refs/main")).unwrap();
    assert_eq!(main, COMMIT);
    let blob = folder.join("blobs").join(sha256(&rig.file));
    assert!(blob.is_file());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = rig.home.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&blob), mode(&plain));
        let target = std::fs::read_link(rig.snapshot()).unwrap();
        assert_eq!(target, Path::new("../../blobs").join(sha256(&rig.file)));
    }

    rig.load(&[("m", 20_000), P]).unwrap();
    let requests = rig.hub.take_requests();
    assert_eq!(requests.len(), 1, "the commit: {requests:?}");
    let pinned = WeightSet::hub(REPOSITORY).revision(COMMIT);
    rig.load_with(&pinned, rig.options(), &[T]).unwrap();
    rig.load_offline(&[T, P]).unwrap();
    assert_eq!(rig.hub.take_requests(), []);
}

#[test]
fn a_file_that_another_tool_has_cached_is_used_where_it_lies() {
    let rig = Rig::start();
    let blob = rig
        .repository_folder()
        .join("blobs")
        .join(sha256(&rig.file));
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(&blob, &rig.file).unwrap();
    std::fs::create_dir_all(rig.snapshot().parent().unwrap()).unwrap();
    std::fs::hard_link(&blob, rig.snapshot()).unwrap();
    let refs = rig.repository_folder().join("refs");
    std::fs::create_dir_all(&refs).unwrap();
    std::fs::write(refs.join("main"), COMMIT).unwrap();
    let set = WeightSet::hub(REPOSITORY).sha256(sha256(&rig.file));
    rig.load_with(&set, rig.options().offline(true), &[P, ("m", 20_000)])
        .unwrap();
    assert_eq!(rig.hub.take_requests(), []);
    rig.load_with(&set, rig.options(), &[P]).unwrap();
    assert_eq!(rig.hub.take_requests().len(), 1);
}

#[test]
fn servers_without_ranges_give_the_whole_file() {
    for behavior in [
        Behavior {
            ignore_ranges: true,
            ..Behavior::default()
        },
        Behavior {
            refuse_ranges: true,
            ..Behavior::default()
        },
    ] {
        let rig = Rig::behaving(behavior);
        rig.load(&[P]).unwrap();
        assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
        let requests = rig.hub.take_requests();
        assert_eq!(requests.iter().filter(is_file).count(), 2);
    }
}

#[test]
fn redirects_are_followed_and_the_token_stays_with_the_hub() {
    let rig = Rig::behaving(Behavior {
        cdn: true,
        token: Some("hf_secret"),
        ..Behavior::default()
    });
    let options = rig.options().token("hf_secret");
    rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P, T])
        .unwrap();
    let requests = rig.hub.take_requests();
    let (away, home): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.cdn);
    assert_eq!((home.len(), away.len()), (4, 3));
    assert!(away.iter().all(|request| request.authorization.is_none()));
    assert!(away.iter().all(|request| request.range.is_some()));
    let token = Some("Bearer hf_secret".to_string());
    assert!(home.iter().all(|request| request.authorization == token));
}

#[test]
fn a_branch_that_moves_is_followed() {
    let rig = Rig::start();
    rig.load(&[P]).unwrap();
    rig.hub.take_requests();
    rig.hub.set_commit(&"c".repeat(40));
    rig.load(&[P]).unwrap();
    assert_eq!(rig.hub.take_requests().len(), 3);
}

#[test]
fn two_at_once_fetch_once() {
    for (wanted, fetches) in [([P, T], 3), (MOST, 2)] {
        let rig = Rig::start();
        std::thread::scope(|scope| {
            let both = [0, 1].map(|_| scope.spawn(|| rig.load(&wanted)));
            for one in both {
                one.join().unwrap().unwrap();
            }
        });
        let requests = rig.hub.take_requests();
        let fetched = requests.iter().filter(is_file).count();
        assert_eq!(fetched, fetches, "{requests:?}");
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<(String, u64, u64)>>);

impl Progress for Log {
    fn start(&self, what: &str, total_bytes: u64) {
        let mut log = self.0.lock().unwrap();
        log.push((what.to_string(), total_bytes, 0));
    }

    fn advance(&self, bytes: u64) {
        self.0.lock().unwrap().last_mut().unwrap().2 += bytes;
    }

    fn finish(&self) {
        let mut log = self.0.lock().unwrap();
        log.last_mut().unwrap().0 += " done";
    }
}

#[test]
fn progress_is_reported() {
    let rig = Rig::start();
    let log = Arc::new(Log::default());
    let options = ReadOptions::new().hub(rig.options()).progress(log.clone());
    let set = WeightSet::hub(REPOSITORY);
    load_plain(&set, &[("p", vec![1_000]), ("t", vec![500])], &options).unwrap();
    load_plain(&set, &[("m", vec![20_000]), ("q", vec![30_000])], &options).unwrap();
    let place = format!("{REPOSITORY}@{}/{FILE}", &COMMIT[..12]);
    let whole = rig.file.len() as u64;
    assert_eq!(
        *log.0.lock().unwrap(),
        [
            (format!("header of {place} done"), 32_768, 32_768),
            (format!("{place} done"), 6_000, 6_000),
            (format!("{place} done"), whole, whole),
        ]
    );
}
