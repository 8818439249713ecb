//! The committed corpus of the fuzz targets, run as ordinary tests: what an input has shown once it does not show again.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::alone::is_alone;

#[path = "../fuzz/targets/mod.rs"]
mod targets;

/// Panics on any thread, those that a runtime catches included.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Runs all inputs of one target, in a process of its own, whose panics are counted.
fn run(target: &str) {
    if !is_alone(&format!("corpus::{target}")) {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let (_, body) = targets::TARGETS.iter().find(|(name, _)| *name == target).expect("a target has a body");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(&corpus).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has no input");
    for input in inputs {
        let bytes = fs::read(&input).expect("an input");
        body(&bytes);
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "another thread panicked at {}", input.display());
    }
}

/// One test a target; a target without a test would not compile.
macro_rules! corpus {
    ($($target:ident),* $(,)?) => {
        $(
            #[test]
            fn $target() {
                run(stringify!($target));
            }
        )*

        #[test]
        fn every_target_has_its_corpus_run() {
            let tested: Vec<&str> = vec![$(stringify!($target)),*];
            assert_eq!(targets::TARGETS.map(|(name, _)| name).to_vec(), tested);
        }
    };
}

corpus! {
    clients, frames, invites, lanes, messages, paths, patterns, ranges, receiving, remotes, rules, sending, settings,
    tickets,
}
