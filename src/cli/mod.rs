//! The command line: what was typed becomes a plan, the plan becomes a library call, and what happens is shown.
//!
//! The only room that prints, and the only one with clap, indicatif and anyhow.
//!
//! | file | noun |
//! |---|---|
//! | `args` | what the user typed |
//! | `remote`, `address` | remote-shaped arguments; addresses |
//! | `plan`, `reach` | which remote, which options; a client that can talk to it |
//! | `send`, `get`, `ls`, `serve`, `peers`, `remotes`, `id` | the commands |
//! | `run` | one transfer: network thread, signals, drawing |
//! | `ui` | bars, plain lines, JSON |
//! | `exit`, `size`, `spool`, `log` | exit codes; numbers for people; private directories; the log |
//! | `table`, `qr` | columns that line up; QR codes |

mod address;
mod args;
mod exit;
mod get;
mod id;
mod log;
mod ls;
mod peers;
mod plan;
mod qr;
mod reach;
mod remote;
mod remotes;
mod run;
mod send;
mod serve;
mod size;
mod spool;
mod table;
mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser as _;

use self::args::{Cli, Command};
use self::exit::{Complaint, Exit};

/// Runs the command that `args` spell, the program's name first, and prints what happens.
///
/// The exit codes are listed in `qft send --help`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let command = match Cli::try_parse_from(&args) {
        Ok(cli) => cli.command,
        Err(error) => return refuse(&error, &args).into(),
    };
    let (name, json) = (command.name(), command.json());
    // Every file that waits for its commit is an open one; with fewer allowed, commits only take longer.
    crate::storage::allow_many_open_files();
    dispatch(&command).unwrap_or_else(|error| ui::report(&error, name, json)).into()
}

fn dispatch(command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Send(args) => send::run(args),
        Command::Get(args) => get::run(args),
        Command::Ls(args) => ls::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Peers(args) => peers::run(args),
        Command::Remote(args) => remotes::run(args),
        Command::Id(args) => id::run(args),
    }
}

/// Clap's complaint without its decoration and without the usage that follows it.
fn in_one_line(text: &str) -> String {
    let words = text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim);
    words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

/// Prints clap's help or complaint. Who asked for JSON gets the complaint as JSON too.
fn refuse(error: &clap::Error, args: &[OsString]) -> Exit {
    let is_complaint = error.use_stderr();
    if is_complaint && args.iter().any(|arg| arg == "--json") {
        return ui::report(&anyhow!(Complaint::Usage(in_one_line(&error.to_string()))), "", true);
    }
    // Standard output that is closed is no reason to complain about the help that nobody reads.
    drop(error.print());
    if is_complaint { Exit::Usage } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_in_json_names_what_is_missing() {
        let error = Cli::try_parse_from(["qft", "send", "--json"]).expect_err("nothing to send");
        let line = in_one_line(&error.to_string());
        assert!(line.starts_with("the following required arguments were not provided: <PATH"), "{line}");
        assert!(!line.contains("Usage"), "{line}");
    }
}
