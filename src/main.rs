//! The `qft` command; everything it does is in the library's [`qft::cli`].

use std::process::ExitCode;

/// The one of musl, which static packages are linked with, lets its threads wait for each other.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    qft::cli::main(std::env::args_os())
}
