//! Lets namespaces choose among the kernel's TCP congestion controls, and takes that back at the end.
//!
//! A namespace may only choose what is not restricted, which is a setting of the whole system.

use std::fs;

use anyhow::Context as _;

const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/// All that the kernel has are allowed until this is dropped.
pub(crate) struct Allowed {
    before: String,
}

impl Allowed {
    /// Allows them all.
    pub(crate) fn all() -> anyhow::Result<Self> {
        let before = fs::read_to_string(ALLOWED).context(ALLOWED)?;
        fs::write(ALLOWED, fs::read_to_string(AVAILABLE)?).context(ALLOWED)?;
        Ok(Self { before })
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(ALLOWED, &self.before) {
            eprintln!("{ALLOWED} cannot be set back to {}: {error}", self.before.trim());
        }
    }
}
