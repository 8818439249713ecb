//! What the user typed, as clap sees it. Nothing here knows what the words mean; [`plan`](crate::cli::target::plan) does.
//!
//! | file | holds |
//! |---|---|
//! | `transfer` | what `qft send` and `qft get` can be told |
//! | `serve`, `service` | a server; one that systemd runs |
//! | `show` | the commands that only show something |
//! | `peers`, `remote`, `cert` | who may come, which servers are known, certificates |
//! | `trust`, `ssh`, `limit` | options that several commands have: whom to trust, the way through ssh, `--bwlimit` |
//! | `environment` | the variables and files that qft reads |
//! | `texts`, `topics` | help that is longer than a line; `qft help TOPIC` |
//! | `hints` | the words of other tools, and what they are called here |

mod cert;
pub(super) mod environment;
pub(super) mod hints;
mod limit;
mod peers;
mod remote;
mod serve;
mod service;
mod show;
mod ssh;
mod texts;
pub(super) mod topics;
mod transfer;
mod trust;

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand};

use crate::calendar;
use crate::keys::trust::parse_expiry;

pub(crate) use self::cert::{CertArgs, CertCommand};
pub(crate) use self::limit::BandwidthLimit;
pub(crate) use self::peers::{AllowArgs, InviteArgs, PeersAction, PeersArgs, RevokeArgs};
pub(crate) use self::remote::{AddArgs, NamedArgs, RemoteAction, RemoteArgs, RenameArgs};
pub(crate) use self::serve::{LogFormat, ServeArgs};
pub(crate) use self::service::{ServiceAction, ServiceArgs, UnitArgs};
pub(crate) use self::show::{
    CompleteArgs, CompletionsArgs, ConfigArgs, DoctorArgs, HistoryArgs, IdArgs, LsArgs, ManArgs, PartsArgs, PingArgs,
    QueryArgs, Shell, StatusArgs,
};
pub(crate) use self::ssh::SshArgs;
use self::texts::{
    CERT_EXAMPLES, COMPLETIONS, DOCTOR_EXAMPLES, EXAMPLES, GET_EXAMPLES, HISTORY, MAN_EXAMPLES, PARTS, PEERS_EXAMPLES,
    REMOTE_EXAMPLES, SEND_EXAMPLES, SERVE_EXAMPLES, SERVICE, SETTINGS, STATUS, TEMPLATE, headed,
};
pub(crate) use self::texts::{EXIT_CODES, REMOTES};
pub(crate) use self::transfer::{GetArgs, HabitArgs, IfExistsArg, JobArgs, OutputArgs, ProgressArg, SendArgs};
pub(crate) use self::trust::{HostKeyArg, TrustArgs};

/// The command line of `qft`.
#[derive(Debug, Parser)]
#[command(
    name = "qft",
    version,
    about = "Move files over bad networks: QUIC, resumable, verified",
    help_template = headed(TEMPLATE),
    after_help = headed(EXAMPLES),
    arg_required_else_help = true,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Commands,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Send files and directories to a remote
    #[command(aliases = ["put", "push", "upload"], after_long_help = long_help(&[SEND_EXAMPLES, REMOTES, EXIT_CODES]))]
    Send(SendArgs),
    /// Fetch files and directories from a remote
    #[command(
        aliases = ["recv", "receive", "fetch", "pull", "download"],
        after_long_help = long_help(&[GET_EXAMPLES, REMOTES, EXIT_CODES])
    )]
    Get(GetArgs),
    /// List files on a remote
    #[command(after_long_help = long_help(&[REMOTES, EXIT_CODES]))]
    Ls(LsArgs),
    /// Show or remove unfinished files, here or on a remote
    #[command(after_long_help = long_help(&[PARTS, REMOTES, EXIT_CODES]))]
    Parts(PartsArgs),
    /// Let other machines send to, and get from, a directory here
    #[command(after_long_help = long_help(&[SERVE_EXAMPLES]))]
    Serve(ServeArgs),
    /// Let systemd run a server: print its units, install, remove
    #[command(after_long_help = long_help(&[SERVICE]))]
    Service(ServiceArgs),
    /// Show the servers that run here: clients, transfers, rates
    #[command(after_long_help = long_help(&[STATUS]))]
    Status(StatusArgs),
    /// Show what servers here have done: jobs, and sums by client
    #[command(after_long_help = long_help(&[HISTORY]))]
    History(HistoryArgs),
    /// Who may connect here: list, invite, allow, revoke, token
    #[command(after_long_help = long_help(&[PEERS_EXAMPLES]))]
    Peers(PeersArgs),
    /// Servers known here: list, add, rename, default, forget
    #[command(after_long_help = long_help(&[REMOTE_EXAMPLES]))]
    Remote(RemoteArgs),
    /// Measure the round trip to a remote with a few echoes
    #[command(after_long_help = long_help(&[EXIT_CODES]))]
    Ping(PingArgs),
    /// Test this machine's network settings, and the link to a remote
    #[command(aliases = ["probe"], after_long_help = long_help(&[DOCTOR_EXAMPLES, EXIT_CODES]))]
    Doctor(DoctorArgs),
    /// Show this machine's name and fingerprint
    Id(IdArgs),
    /// Make a private CA and certificates (optional)
    #[command(after_long_help = long_help(&[CERT_EXAMPLES]))]
    Cert(CertArgs),
    /// Show each setting, its value, and where it comes from
    #[command(after_long_help = long_help(&[SETTINGS]))]
    Config(ConfigArgs),
    /// Print a completion script for your shell
    #[command(after_long_help = long_help(&[COMPLETIONS]))]
    Completions(CompletionsArgs),
    /// Open a manual page, or install them all
    #[command(after_long_help = long_help(&[MAN_EXAMPLES]))]
    Man(ManArgs),
    /// The far end of a run through ssh
    #[command(name = "__bootstrap", hide = true)]
    Bootstrap,
    /// What a completion script asks
    #[command(name = "__complete", hide = true)]
    Complete(CompleteArgs),
}

impl Commands {
    /// Whether events go to standard output as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Send(args) => args.job.output.json,
            Self::Get(args) => args.job.output.json,
            Self::Ls(args) => args.query.json,
            Self::Parts(args) => args.query.json,
            Self::Serve(args) => args.json,
            Self::Status(args) => args.json,
            Self::History(args) => args.json,
            Self::Peers(args) => args.json(),
            Self::Remote(args) => args.json(),
            Self::Ping(args) => args.query.json,
            Self::Doctor(args) => args.json,
            Self::Id(args) => args.json,
            Self::Cert(args) => args.json,
            Self::Config(args) => args.json,
            Self::Service(_) | Self::Completions(_) | Self::Man(_) | Self::Bootstrap | Self::Complete(_) => false,
        }
    }

    /// The command's name, as in the `start` event.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Get(_) => "get",
            Self::Ls(_) => "ls",
            Self::Parts(_) => "parts",
            Self::Serve(_) => "serve",
            Self::Service(_) => "service",
            Self::Status(_) => "status",
            Self::History(_) => "history",
            Self::Peers(_) => "peers",
            Self::Remote(_) => "remote",
            Self::Ping(_) => "ping",
            Self::Doctor(_) => "doctor",
            Self::Id(_) => "id",
            Self::Cert(_) => "cert",
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Bootstrap => "__bootstrap",
            Self::Complete(_) => "__complete",
        }
    }
}

fn long_help(parts: &[&str]) -> String {
    headed(&parts.join("\n\n"))
}

/// How a time is written.
const TIME_SHAPE: &str = "a time looks like 30s, 5m, 2h or 7d";

/// Reads a time with a unit (`30s`, `5m`, `2h`, `7d`); a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(TIME_SHAPE.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| TIME_SHAPE.to_owned())?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

/// Reads a number of things of which there is at least one.
fn parse_count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number is needed, 1 or more".to_owned())
}

/// Reads since when: a day, a moment, or a time before now.
fn parse_since(text: &str) -> Result<SystemTime, String> {
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let time = parse_time(text).ok().filter(|_| has_unit);
    let ago = time.and_then(|time| SystemTime::now().checked_sub(time));
    let since = ago.or_else(|| calendar::parse_start(text));
    since.ok_or_else(|| "it looks like 12h, 30d, 2026-03-02 or 2026-03-02T18:00 (UTC)".to_owned())
}

/// Reads when something ends: a day, a moment, or a time from now.
fn parse_end(text: &str) -> Result<SystemTime, String> {
    if let Ok(end) = parse_expiry(text) {
        return Ok(end);
    }
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let time = parse_time(text).ok().filter(|_| has_unit);
    let end = time.and_then(|time| SystemTime::now().checked_add(time));
    end.ok_or_else(|| "it looks like 2026-12-31, 2026-12-31T18:00 (UTC), 12h or 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Result<Commands, clap::Error> {
        Cli::try_parse_from([&["qft"], args].concat()).map(|cli| cli.command)
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_grouped_help_names_every_command_with_its_own_words() {
        let mut command = Cli::command();
        let help = command.render_long_help().to_string();
        // One pass: the order is the same.
        let mut lines = help.lines();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let about = sub.get_about().expect("every command has a text").to_string();
            let line = lines.find(|line| line.split_whitespace().next() == Some(sub.get_name()));
            assert!(line.is_some_and(|line| line.ends_with(&about)), "{} is missing, or out of order", sub.get_name());
        }
        assert!(help.contains("qft get 'box:logs/*.gz' ."));
    }

    #[test]
    fn the_long_help_of_a_transfer_has_examples_remotes_and_exit_codes() {
        let mut command = Cli::command();
        for name in ["send", "get"] {
            let sub = command.find_subcommand_mut(name).expect("it exists");
            let long = sub.render_long_help().to_string();
            for part in ["Examples:", "Remotes:", "Exit codes:", "130"] {
                assert!(long.contains(part), "{name} --help lacks {part}");
            }
            assert!(!sub.render_help().to_string().contains("Exit codes:"), "-h stays short");
        }
    }

    #[test]
    fn habits_from_rsync_are_accepted() {
        let Ok(Commands::Send(args)) = parse(&["send", "-arP", "d", "box:"]) else { panic!("accepted") };
        assert!(
            args.job.habits.archive
                && args.job.habits.recursive
                && args.job.habits.partial
                && !args.job.habits.compress
        );
    }

    #[test]
    fn contradictions_are_refused() {
        for args in [
            &["serve", "--read-only", "--write-only"][..],
            &["serve", "--no-auth", "--invite"],
            &["send", "-q", "-v", "f"],
            &["send"],
            &["get"],
            &["send", "-j", "0", "f"],
            &["serve", "-w", "many"],
            &["send", "--timeout", "5 days", "f"],
            &["send", "--bwlimit", "1000", "f"],
            &["peers", "allow", "x", "--ro", "--wo"],
            &["peers", "allow", "x", "--root", "../up"],
            &["peers", "allow", "x", "--expires", "soon"],
            &["peers", "allow", "x", "--name", "ro"],
            &["peers", "invite", "--valid", "0s"],
            &["remote", "default"],
        ] {
            assert_eq!(parse(args).map(|_| ()).map_err(|e| e.exit_code()), Err(2), "{args:?}");
        }
    }

    #[test]
    fn a_count_that_is_none_is_told_what_it_could_be() {
        for text in ["0", "lots", "-1", ""] {
            assert_eq!(parse_count(text), Err("a whole number is needed, 1 or more".to_owned()));
        }
        assert_eq!(parse_count("16").map(NonZeroUsize::get), Ok(16));
    }

    #[test]
    fn a_port_is_said_to_a_server_as_to_a_client() {
        for args in [&["serve", "-p", "4434"], &["serve", "--port", "4434"]] {
            let Ok(Commands::Serve(args)) = parse(args) else { panic!("accepted") };
            assert_eq!(args.listen.as_deref(), Some("4434"));
        }
    }

    #[test]
    fn a_time_is_seconds_unless_it_says_otherwise() {
        let table = [("0", 0), ("45", 45), ("30s", 30), ("5m", 300), ("2h", 7200), ("5d", 432_000)];
        for (text, seconds) in table {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "m", "5w", "-1", "1.5m", "99999999999999999999", "18446744073709551615h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
