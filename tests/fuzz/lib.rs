//! The bodies of the targets, with what the tests of whole servers share.

#[path = "../support/mod.rs"]
mod support;
mod targets;

/// Hands an input to a target.
///
/// # Panics
/// When the input shows that something is wrong.
pub fn run(target: &str, input: &[u8]) {
    let (_, body) = targets::TARGETS.iter().find(|(name, _)| *name == target).expect("a target has a body");
    body(input);
}
