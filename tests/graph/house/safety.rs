//! No `unsafe` but where it has to be, no panic, and no chance without a seed.

use super::rust_text::words;
use super::sources::sources;

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
            assert!(file.room() == "kernels", "unsafe at {place}");
            let reason = lines[line.saturating_sub(8)..=line]
                .iter()
                .any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            assert!(reason, "no SAFETY: line above {place}");
        }
    }
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
        let code = file.code_without_tests();
        for word in forbidden {
            assert!(!code.contains(word), "{word} in {}", file.path);
        }
    }
}

#[test]
fn random_numbers_are_drawn_from_streams_of_ours() {
    let forbidden = [
        "SeedableRng",
        "rand_chacha",
        "ThreadRng",
        "rand::rng",
        "from_os_rng",
    ];
    for file in sources()
        .iter()
        .filter(|file| !file.is_test() && file.path != "random.rs")
    {
        let code = file.code_without_tests();
        for word in forbidden {
            assert!(!code.contains(word), "{word} in {}", file.path);
        }
    }
}

/// A graph's nodes are shared, so that who writes one has to ask for its own.
#[test]
fn nodes_are_written_by_edits_alone() {
    for file in sources().iter().filter(|file| file.room() == "graph") {
        let is_writer = file.path.starts_with("graph/context/");
        let writes = file.code.contains("make_mut");
        assert!(is_writer || !writes, "{} writes nodes", file.path);
    }
}
