//! The command line: what was typed becomes a plan, the plan becomes a library call, and what happens is shown.
//!
//! The only room that prints, and the only one with clap, indicatif and anyhow.
//!
//! | room | holds |
//! |---|---|
//! | `args` | what the user typed, as clap's types; what was meant by it elsewhere; help of no one command; variables |
//! | `config` | settings, and the command that shows them; `~` where no shell has expanded it |
//! | `commands` | a file or folder for each command |
//! | `target` | which remote is meant: remote-shaped words, plans, known and unknown servers, a client that can talk to one |
//! | `ssh` | far ends that are started through ssh |
//! | `run` | one transfer: network thread, signals, sandbox, output that nobody waits for |
//! | `ui` | bars, plain lines, JSON |
//! | `text` | numbers, tables, QR codes, command lines to paste |
//! | `exit` | exit codes |

mod args;
mod commands;
mod config;
mod exit;
mod run;
mod ssh;
mod target;
#[cfg(feature = "testing")]
pub(crate) mod testing;
mod text;
mod ui;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue};

use self::args::hints;
use self::args::topics::Topic;
use self::args::{Cli, Commands};
use self::commands::{
    cert, completions, doctor, get, history, id, ls, man, parts, peers, ping, remotes, send, serve, service, status,
};
use self::config::ConfigRefusal;
use self::exit::{Complaint, Exit};
use self::run::standard;

/// Runs the command that `args` spell, the program's name first, and prints what happens.
///
/// The exit codes are listed in `qft send --help`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(topic) = topic(&args) {
        // As with the help that clap prints.
        drop(writeln!(standard::output(), "{}", topic.text()));
        return Exit::Done.into();
    }
    let args = hints::without_human(help_as_option(args));
    let command = match config::parse(&args) {
        Ok(cli) => cli.command,
        Err(ConfigRefusal::Clap(mut error)) => {
            name_variable(&mut error, &args);
            return match hints::improve(error, &args) {
                hints::RejectedLine::Complaint(error) => refuse(&error, &args).into(),
                hints::RejectedLine::Version => {
                    drop(writeln!(standard::output(), "qft {}", env!("CARGO_PKG_VERSION")));
                    Exit::Done.into()
                }
            };
        }
        Err(ConfigRefusal::Settings(error, name)) => return ui::report(&error, name, asks_for_json(&args)).into(),
    };
    let (name, json) = (command.name(), command.json());
    // Every file that waits for its commit is an open one; with fewer allowed, commits only take longer.
    crate::storage::allow_many_open_files();
    run::signals::outlive_file_size_limit();
    let exit = dispatch(&command).unwrap_or_else(|error| ui::report(&error, name, json));
    // A server's log may have had a hole for a while, of which it has told.
    let exit = if matches!(command, Commands::Serve(_)) { exit } else { printed(exit, json) };
    run::signals::end_by(exit);
    exit.into()
}

/// The command is done when its output could be printed, too.
fn printed(exit: Exit, json: bool) -> Exit {
    // A command that failed for that reason has said so, unless it was to say it there.
    let Some(error) = standard::refused().filter(|_| json || exit != Exit::Failed) else { return exit };
    let failed = ui::report(&anyhow!(error).context("writing to standard output"), "", false);
    if exit == Exit::Done { failed } else { exit }
}

fn dispatch(command: &Commands) -> anyhow::Result<Exit> {
    match command {
        Commands::Send(args) => send::run(args),
        Commands::Get(args) => get::run(args),
        Commands::Ls(args) => ls::run(args),
        Commands::Parts(args) => parts::run(args),
        Commands::Serve(args) => serve::run(args),
        Commands::Service(args) => service::run(args),
        Commands::Status(args) => status::run(args),
        Commands::History(args) => history::run(args),
        Commands::Peers(args) => peers::run(args),
        Commands::Remote(args) => remotes::run(args),
        Commands::Ping(args) => ping::run(args),
        Commands::Doctor(args) => doctor::run(args),
        Commands::Id(args) => id::run(args),
        Commands::Cert(args) => cert::run(args),
        Commands::Config(args) => config::run(args),
        Commands::Completions(args) => completions::run(args),
        Commands::Man(args) => man::run(args),
        Commands::Bootstrap => ssh::bootstrap(),
        Commands::Complete(args) => Ok(completions::complete(args)),
    }
}

/// The topic of `qft help TOPIC`.
fn topic(args: &[OsString]) -> Option<&'static Topic> {
    let [_, help, words @ ..] = args else { return None };
    let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    if help == "help" { Topic::find(&words.join("-")) } else { None }
}

/// `qft help COMMAND` as `qft COMMAND --help`. Clap's own command would stand in every list of commands.
fn help_as_option(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_some_and(|first| first == "help") {
        args.remove(1);
        args.push("--help".into());
    }
    args
}

/// Clap names an option whose value is wrong. A value that nobody typed stands in the option's variable.
fn name_variable(error: &mut clap::Error, args: &[OsString]) {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue).cloned() else { return };
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg).cloned() else { return };
    let is_typed = args.iter().any(|arg| arg.to_str().is_some_and(|arg| arg.ends_with(&value)));
    let long = option.split([' ', '=']).next().and_then(|option| option.strip_prefix("--"));
    let variable = long.filter(|_| !is_typed).and_then(|long| variable_of(&Cli::command(), long));
    if let Some(variable) = variable.filter(|name| std::env::var(name).is_ok_and(|set| set == value)) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(format!("${variable}")));
    }
}

/// The variable of the option, in whatever command has one.
fn variable_of(command: &clap::Command, long: &str) -> Option<String> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long)).and_then(clap::Arg::get_env);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.or_else(|| command.get_subcommands().find_map(|inner| variable_of(inner, long)))
}

/// Clap's complaint without its decoration and without the usage that follows it.
fn in_one_line(text: &str) -> String {
    let words = text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim);
    let words = words.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let text = words.collect::<Vec<_>>().join(" ");
    text.trim_start_matches("error: ").replace(" tip: ", "; ")
}

/// Prints clap's help or complaint. Who asked for JSON gets the complaint as JSON too.
fn refuse(error: &clap::Error, args: &[OsString]) -> Exit {
    let is_complaint = error.use_stderr();
    if is_complaint && asks_for_json(args) {
        return ui::report(&anyhow!(Complaint::Usage(in_one_line(&error.to_string()))), "", true);
    }
    // Standard output that is closed is no reason to complain about the help that nobody reads.
    drop(error.print());
    if is_complaint { Exit::Usage } else { Exit::Done }
}

fn asks_for_json(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == "--json")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn help_is_a_command_too() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(OsString::from).collect() };
        for (typed, meant) in [
            ("qft help", "qft --help"),
            ("qft help peers invite", "qft peers invite --help"),
            ("qft send help box:", "qft send help box:"),
        ] {
            assert_eq!(help_as_option(words(typed)), words(meant));
        }
    }

    #[test]
    fn a_complaint_in_json_names_what_is_missing() {
        let error = Cli::try_parse_from(["qft", "send", "--json"]).expect_err("nothing to send");
        let line = in_one_line(&error.to_string());
        assert!(line.starts_with("the following required arguments were not provided: <PATH"), "{line}");
        assert!(!line.contains("Usage"), "{line}");
    }
}
