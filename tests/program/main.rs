//! The real program, as its user meets it: command line, terminals, ssh, certificates; and the parts of the comparison that
//! need no network.
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod certs;
mod cli;
mod compare;
mod kill;
mod limits;
mod mitm;
mod page;
mod picture;
mod ssh;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
