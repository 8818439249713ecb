//! What each fuzz target does with one input.
//!
//! A target's body is one function, which panics when something is wrong. `fuzz_targets/` hands it what libFuzzer makes
//! up, under AddressSanitizer; `tests/library/corpus.rs` hands it what is committed in `corpus/`, as an ordinary test:
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz frames /tmp/new tests/fuzz/corpus/frames
//! cargo +nightly fuzz cmin --fuzz-dir tests/fuzz frames /tmp/new
//! ```
//!
//! New inputs go to the first directory. What is worth keeping is small: those that cover what no other does.

mod cursor;
pub(crate) mod lanes;
pub(crate) mod lists;
pub(crate) mod patterns;
pub(crate) mod receiving;
pub(crate) mod rules;
pub(crate) mod sending;
mod session;
pub(crate) mod wire;

/// The body of a target.
pub(crate) type Body = fn(&[u8]);

/// All targets, by their names.
pub(crate) const TARGETS: [(&str, Body); 14] = [
    ("clients", lists::clients),
    ("frames", wire::frames),
    ("invites", lists::invites),
    ("lanes", lanes::lanes),
    ("messages", wire::messages),
    ("paths", wire::paths),
    ("patterns", patterns::patterns),
    ("ranges", wire::ranges),
    ("receiving", receiving::receiving),
    ("remotes", lists::remotes),
    ("rules", rules::rules),
    ("sending", sending::sending),
    ("settings", lists::settings),
    ("tickets", lists::tickets),
];
