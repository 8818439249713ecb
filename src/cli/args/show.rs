//! What the commands that only show something can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum, ValueHint};

use super::{SshArgs, TrustArgs, parse_count, parse_since, parse_time};
use crate::cli::config::tilde::TildePath;
use crate::protocol::PROBE_MILLIS_MAX;

/// What every command can be told that asks a remote and moves no file.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Give up when the remote has not answered for TIME (30s, 5m, 2h), 0 = never
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub(crate) timeout: Duration,
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) ssh: SshArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Directory, file or quoted glob, [REMOTE:]PATH; nothing: the root of the default remote
    #[arg(value_name = "[REMOTE:]PATH")]
    pub(crate) path: Option<OsString>,
    /// Where, for a path without a REMOTE
    #[arg(short = 'f', long, alias = "to", value_name = "REMOTE")]
    pub(crate) from: Option<OsString>,
    /// Also what is inside directories
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// With permission bits, size and time (UTC)
    #[arg(short = 'l', long)]
    pub(crate) long: bool,
    /// All names are listed, one a line, whatever other tools need for that.
    #[arg(short = 'a', long = "all", hide = true)]
    pub(crate) all: bool,
    /// Likewise.
    #[arg(short = '1', hide = true)]
    pub(crate) one_a_line: bool,
    /// Errors only (and the names)
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) query: QueryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PartsArgs {
    /// Where to look: a directory here [default: .], or REMOTE:[PATH]; also the name of one file
    #[arg(value_name = "DIR|REMOTE:[PATH]", value_hint = ValueHint::AnyPath)]
    pub(crate) place: Option<OsString>,
    /// Remove them; what is being written stays
    #[arg(long)]
    pub(crate) remove: bool,
    /// Only those that were not written to for TIME (12h, 7d)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) older: Option<Duration>,
    /// Errors only (and the names)
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) query: QueryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// Whom, as for 'qft send'; nothing: the default remote
    #[arg(value_name = "REMOTE")]
    pub(crate) remote: Option<OsString>,
    /// Round trips to measure (at most 20)
    #[arg(short = 'c', long, value_name = "N", default_value = "5", value_parser = parse_count)]
    pub(crate) count: NonZeroUsize,
    #[command(flatten)]
    pub(crate) query: QueryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// What to test the way to, as for 'qft send'; without it only this machine is looked at
    #[arg(value_name = "REMOTE")]
    pub(crate) remote: Option<OsString>,
    /// How long to send, and then to get (1s to 30s)
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_probe_time)]
    pub(crate) time: Duration,
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) ssh: SshArgs,
}

/// A time that a server will grant.
fn parse_probe_time(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_millis(PROBE_MILLIS_MAX.into());
    let time = parse_time(text)?;
    match (Duration::from_secs(1)..=longest).contains(&time) {
        true => Ok(time),
        false => Err(format!("a test takes from 1s to {}s", longest.as_secs())),
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the settings of COMMAND, as these options would make them
    #[arg(value_name = "COMMAND [OPTION]", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) line: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Shells that are completed for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// Which shell
    pub(crate) shell: Shell,
    /// The command line, as this shell gives it
    #[arg(last = true)]
    pub(crate) words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Whose page: a command such as 'send' or 'peers invite', or a topic of 'qft help'; nothing: qft's own
    #[arg(value_name = "COMMAND|TOPIC", conflicts_with = "out")]
    pub(crate) command: Vec<String>,
    /// Write all pages into DIR, which is made; those of topics into man7 beside it, if it is called man1
    #[arg(long, alias = "dir", value_name = "DIR", value_parser = TildePath, value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only jobs that ended since then: 12h, 30d, 2026-03-02, 2026-03-02T18:00 (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub(crate) since: Option<SystemTime>,
    /// Only those of this client: its name, or the start of its key
    #[arg(long, value_name = "NAME")]
    pub(crate) peer: Option<String>,
    /// List the last N jobs, 0 = all; the sums are of all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: usize,
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}
