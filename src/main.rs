//! The `qft` command; everything it does is in the library's [`qft::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    qft::cli::main(std::env::args_os())
}
