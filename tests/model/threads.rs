use std::process::Command;

use vgg_surgery::Error;

use crate::{assert_passes_in, built, images, two_blocks};

/// Set in a process in which no thread can be started, as its stack would not fit
/// into the address space.
const STACK: (&str, u64) = ("RUST_MIN_STACK", 1 << 47);

/// The pool of threads ended the process with a panic.
#[test]
#[cfg(target_os = "linux")]
fn threads_that_the_system_refuses_are_an_error() {
    if std::env::var_os(STACK.0).is_some() {
        let error = built(two_blocks()).forward(&images((1, 3, 8, 8)));
        match error.unwrap_err() {
            Error::Unsupported { what, .. } => assert_eq!(what, "start its threads"),
            other => panic!("{other}"),
        }
        return;
    }
    let name = "threads::threads_that_the_system_refuses_are_an_error";
    let mut limited = Command::new(std::env::current_exe().unwrap());
    limited
        .args(["--exact", name, "--test-threads", "1"])
        .env(STACK.0, STACK.1.to_string());
    assert_passes_in(&mut limited);
}
