//! The `qft` command; everything it does is in the library's [`qft::cli`].

use std::process::ExitCode;

/// Threads hand messages and content to each other all the time. With the system's allocators they wait for each other at that:
/// musl's takes one lock for all of them, and with glibc's forty thousand small files take 18 % more processor time.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    qft::cli::main(std::env::args_os())
}
