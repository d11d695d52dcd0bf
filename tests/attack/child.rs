//! A test that runs itself again in a process with limits, and may be killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The folder that a child works in. A test that finds it is the child.
const FOLDER: &str = "VGG_SURGERY_ATTACK_FOLDER";
const JOB: &str = "VGG_SURGERY_ATTACK_JOB";

/// How many cases a suite runs: `VGG_SURGERY_CASES`, by default a few.
pub fn cases(few: usize) -> usize {
    let wanted = std::env::var("VGG_SURGERY_CASES").ok();
    wanted.map_or(few, |count| count.parse().expect("a number of cases"))
}

/// The random numbers of a case: `VGG_SURGERY_SEED` gives others.
pub fn random(suite: &str, case: usize) -> ChaCha8Rng {
    let seed = std::env::var("VGG_SURGERY_SEED").ok();
    let seed: u64 = seed.map_or(0, |seed| seed.parse().expect("a seed"));
    let words = suite.bytes().fold(seed, |mixed, byte| {
        mixed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
    });
    ChaCha8Rng::seed_from_u64(words.wrapping_add(case as u64))
}

/// The job and the folder, in a child.
pub fn job() -> Option<(String, PathBuf)> {
    let folder = std::env::var_os(FOLDER)?;
    let job = std::env::var(JOB).expect("a child has a job");
    Some((job, folder.into()))
}

/// A test of this binary in a process of its own.
pub struct Process<'a> {
    test: &'a str,
    job: &'a str,
    folder: &'a Path,
    /// Commands of the shell that starts it.
    limits: String,
    variables: Vec<(&'a str, String)>,
}

impl<'a> Process<'a> {
    pub fn new(test: &'a str, job: &'a str, folder: &'a Path) -> Self {
        Self {
            test,
            job,
            folder,
            limits: String::new(),
            variables: Vec::new(),
        }
    }

    /// Seconds of computing, after which it is taken to hang.
    pub fn seconds(mut self, seconds: usize) -> Self {
        self.limits += &format!("ulimit -t {seconds}; ");
        self
    }

    /// Megabytes of addresses.
    pub fn megabytes(mut self, megabytes: usize) -> Self {
        self.limits += &format!("ulimit -v {}; ", megabytes * 1024);
        self
    }

    /// Blocks of 512 bytes that a file may have. The signal is ignored, so that
    /// writing more is an error.
    pub fn file_blocks(mut self, blocks: usize) -> Self {
        self.limits += &format!("trap '' XFSZ; ulimit -f {blocks}; ");
        self
    }

    #[cfg(feature = "hub")]
    pub fn variable(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub fn start(self) -> Child {
        Command::new("sh")
            .arg("-c")
            .arg(format!("{}exec \"$@\"", self.limits))
            .arg("sh")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", self.test, "--nocapture"])
            .env(FOLDER, self.folder)
            .env(JOB, self.job)
            // Threads take addresses, and a child is small.
            .env("RAYON_NUM_THREADS", "2")
            .env("RUST_BACKTRACE", "0")
            .envs(self.variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits for a child that must succeed.
    pub fn run(self) {
        let (job, folder) = (self.job.to_string(), self.folder.to_path_buf());
        let output = self.start().wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{job} in {}: {}\n{}",
            folder.display(),
            output.status,
            text(&output)
        );
    }
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let both = [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat();
    let lines: Vec<&str> = both.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Tells the parent that what comes before is done.
pub fn announce(what: &str) {
    println!("{MARK}{what}");
}

const MARK: &str = "attack: ";

/// Waits until a child announces something for the `count`th time. False if it ends
/// before.
pub fn wait_for(child: &mut Child, what: &str, count: usize) -> bool {
    let mut stdout = child.stdout.take().unwrap();
    let wanted = format!("{MARK}{what}\n");
    let (mut seen, mut byte) = (Vec::new(), [0]);
    let mut left = count;
    while left > 0 {
        match stdout.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => break,
        }
        left -= usize::from(seen.ends_with(wanted.as_bytes()));
    }
    child.stdout = Some(stdout);
    left == 0
}
