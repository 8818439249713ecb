//! What needs root or a tool: network namespaces, power cuts, odd disks. Each says so where it skips.
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod cuts;
mod lan;
mod outage;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod wild;
