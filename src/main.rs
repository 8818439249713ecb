//! The `qft` command; everything it does is in the library's [`qft::cli`].

use std::process::ExitCode;

/// Threads hand messages and content to each other all the time. With the system's allocators they wait for each other at that:
/// musl's takes one lock for all of them, and glibc's takes a third more processor time for ten thousand small files.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    qft::cli::main(std::env::args_os())
}
