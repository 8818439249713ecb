//! The `qft` command.

fn main() {}
