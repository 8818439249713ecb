//! What the user typed, as clap sees it. Nothing here knows what the words mean; [`plan`](super::plan) does.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::protocol::message::IfExists;

/// Files in flight unless `--jobs` says otherwise: enough to hide a disk's latency, few enough for a calm screen.
const JOBS_DEFAULT: &str = "16";
/// How long a job keeps trying while nothing moves, unless `--timeout` says otherwise.
const TIMEOUT_DEFAULT: &str = "5m";
/// How long a stopping server lets files finish, unless `--drain` says otherwise.
const DRAIN_DEFAULT: &str = "30";

const TEMPLATE: &str = "\
{about}

{usage-heading} qft <COMMAND>

Transfer:
  send   Send files and directories to a remote
  get    Fetch files and directories from a remote
  ls     List files on a remote

Serve:
  serve  Let other machines send to, and get from, a directory here

Set up:
  id     Show this machine's name and fingerprint

Options:
{options}{after-help}
";

const EXAMPLES: &str = "\
Examples:
  remote$ qft serve ~/incoming               prints a command to paste
  local$  qft send photos/* --to qft://...   first time: paste it
  local$  qft send photos/*                  from then on
  local$  qft get 'box:logs/*.gz' .          quote remote globs

'qft COMMAND --help' has examples and exit codes.";

const EXIT_CODES: &str = "\
Exit codes:
  0    all done
  1    failed
  2    wrong usage
  3    some files failed, the others are done
  4    the remote cannot be reached
  5    not trusted: another key answers, or this machine is not enrolled there
  6    the content did not verify
  7    the remote refused all of it (not allowed, disk full, exists)
  130  interrupted; the same command continues";

const REMOTES: &str = "\
Remotes:
  NAME:[PATH]              a remote known here, by its name or address
  HOST:PORT:[PATH]         the same, with a port ('host:4433' alone is a path)
  [V6]:[PORT:]PATH         an IPv6 address
  qft://FP[:INVITE]@HOST[:PORT][/PATH]   a ticket, as 'qft serve' prints it
  local:DIR                a directory here, through a server in this process
Not given: --to (--from), $QFT_REMOTE, the default remote, the only known one.
A local name with a colon is written ./a:b.";

const SEND_EXAMPLES: &str = "\
Examples:
  qft send photos/* --to qft://...       pair with a server and send
  qft send dir box:backup/               makes backup/dir there
  qft send dir/ box:backup               sends what is inside dir
  qft send -n dir box:                   says what would be done, and why
  tar c d | qft send - box:d.tar         sends standard input";

const GET_EXAMPLES: &str = "\
Examples:
  qft get box:report.pdf                 into this directory
  qft get 'box:logs/*.gz' logs/          quote globs: the remote expands them
  qft get box:dir/ copy                  what is inside dir, into copy
  qft get box:d.tar - | tar x            to standard output";

const SERVE_EXAMPLES: &str = "\
Examples:
  qft serve ~/incoming                   prints the command for the other machine
  qft serve --write-only --no-clobber .  a drop box
  qft serve --invite .                   a ticket for one more client
  qft serve -l 127.0.0.1:0 --ticket-file t .   for scripts";

/// The command line of `qft`.
#[derive(Debug, Parser)]
#[command(
    name = "qft",
    version,
    about = "Move files over bad networks: QUIC, resumable, verified",
    help_template = TEMPLATE,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send files and directories to a remote
    #[command(aliases = ["put", "push"], after_long_help = long_help(&[SEND_EXAMPLES, REMOTES, EXIT_CODES]))]
    Send(SendArgs),
    /// Fetch files and directories from a remote
    #[command(
        aliases = ["recv", "receive", "fetch", "pull"],
        after_long_help = long_help(&[GET_EXAMPLES, REMOTES, EXIT_CODES])
    )]
    Get(GetArgs),
    /// List files on a remote
    #[command(after_long_help = long_help(&[REMOTES, EXIT_CODES]))]
    Ls(LsArgs),
    /// Let other machines send to, and get from, a directory here
    #[command(after_long_help = long_help(&[SERVE_EXAMPLES]))]
    Serve(ServeArgs),
    /// Show this machine's name and fingerprint
    Id(IdArgs),
}

impl Command {
    /// Whether events go to standard output as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Send(args) => args.output.json,
            Self::Get(args) => args.output.json,
            Self::Ls(args) => args.json,
            Self::Serve(args) => args.json,
            Self::Id(args) => args.json,
        }
    }

    /// The command's name, as in the `start` event.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Get(_) => "get",
            Self::Ls(_) => "ls",
            Self::Serve(_) => "serve",
            Self::Id(_) => "id",
        }
    }
}

fn long_help(parts: &[&str]) -> String {
    parts.join("\n\n")
}

/// `qft send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Files or directories; 'dir/' sends its contents; '-' is stdin. The last may be the
    /// destination, REMOTE:[PATH]; else --to, $QFT_REMOTE, or the default remote
    #[arg(required = true, value_name = "PATH|REMOTE:[PATH]", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<OsString>,
    /// Where to: NAME:path, HOST:port:path, local:DIR, or qft://...
    #[arg(short = 't', long, value_name = "REMOTE", help_heading = "Destination")]
    pub(crate) to: Option<OsString>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    #[command(flatten)]
    pub(crate) conflict: ConflictArgs,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) habits: HabitArgs,
}

/// `qft get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Remote paths or quoted globs, [REMOTE:]PATH; no REMOTE: --from, $QFT_REMOTE, or the default
    /// one. The last, if it has no REMOTE and is not the only one, is where to [default: .]; '-' is stdout
    #[arg(required = true, value_name = "[REMOTE:]PATH|DIR|FILE|-")]
    pub(crate) paths: Vec<OsString>,
    /// Where from, for paths without a REMOTE
    #[arg(short = 'f', long, alias = "to", short_alias = 't', value_name = "REMOTE", help_heading = "Source")]
    pub(crate) from: Option<OsString>,
    /// Where to; all other arguments are remote paths then
    #[arg(short = 'o', long = "output", value_name = "PATH", help_heading = "Destination", value_hint = ValueHint::AnyPath)]
    pub(crate) output_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    #[command(flatten)]
    pub(crate) conflict: ConflictArgs,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) habits: HabitArgs,
}

/// Which of the files named are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "What")]
pub(crate) struct ChoiceArgs {
    /// Leave out matches, by .gitignore's rules (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Keep matches that --exclude would leave out (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Copy symbolic links as links, not leave them out
    #[arg(long)]
    pub(crate) links: bool,
}

/// What happens where something is already.
#[derive(Debug, Args)]
#[command(next_help_heading = "When it exists already")]
pub(crate) struct ConflictArgs {
    /// Show what would be done, and why; change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Compare by content, not by size and time
    #[arg(short = 'c', long)]
    pub(crate) checksum: bool,
    /// What to do with a file that exists and differs
    #[arg(long, value_name = "MODE", value_enum, default_value = "replace")]
    pub(crate) if_exists: IfExistsArg,
    /// Start partial files again
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// Do not wait until files are safe on disk ('get' and 'local:' only; a server decides for itself)
    #[arg(long)]
    pub(crate) no_sync: bool,
}

/// How the link is used.
#[derive(Debug, Args)]
#[command(next_help_heading = "Link")]
pub(crate) struct LinkArgs {
    /// Files in flight ('send' only; a server decides for itself)
    #[arg(short = 'j', long, value_name = "N", default_value = JOBS_DEFAULT)]
    pub(crate) jobs: NonZeroUsize,
    /// Give up when nothing moved for TIME (30s, 5m, 2h), 0 = never
    #[arg(long, value_name = "TIME", default_value = TIMEOUT_DEFAULT, value_parser = parse_time)]
    pub(crate) timeout: Duration,
}

/// What is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// A line for each file; -vv: what the protocol does
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Errors only
    #[arg(short = 'q', long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "MODE", value_enum, default_value = "auto", env = "QFT_PROGRESS")]
    pub(crate) progress: ProgressArg,
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options that other tools' users type without thinking.
#[derive(Debug, Args)]
pub(crate) struct HabitArgs {
    /// Directories are always followed.
    #[arg(short = 'r', hide = true)]
    pub(crate) recursive: bool,
    /// Partial files are always kept, and progress is always shown.
    #[arg(short = 'P', hide = true)]
    pub(crate) partial: bool,
    /// Times and permission bits are always kept.
    #[arg(short = 'a', hide = true)]
    pub(crate) archive: bool,
    /// There is no compression; see [`plan`](super::plan) for what is said about it.
    #[arg(short = 'z', hide = true)]
    pub(crate) compress: bool,
}

/// `qft ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Directory, file or quoted glob, [REMOTE:]PATH; nothing: the root of the default remote
    #[arg(value_name = "[REMOTE:]PATH")]
    pub(crate) path: Option<OsString>,
    /// Where, for a path without a REMOTE
    #[arg(short = 'f', long, alias = "to", short_alias = 't', value_name = "REMOTE")]
    pub(crate) from: Option<OsString>,
    /// Also what is inside directories
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// With permission bits, size and time (UTC)
    #[arg(short = 'l', long)]
    pub(crate) long: bool,
    /// Give up when the remote has not answered for TIME (30s, 5m, 2h), 0 = never
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub(crate) timeout: Duration,
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Errors only (and the names)
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}

/// `qft id`.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `qft serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Directory to serve, made if only its last name is missing; nothing outside it can be reached
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// UDP address [default: [::]:4433]
    #[arg(short = 'l', long, value_name = "ADDR:PORT", env = "QFT_LISTEN")]
    pub(crate) listen: Option<String>,
    /// Address to put in tickets (NAT, containers): HOST or HOST:PORT
    #[arg(long, value_name = "HOST")]
    pub(crate) advertise: Option<String>,
    /// Worker threads [default: one per core]
    #[arg(short = 'w', long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Exit when the first client is done
    #[arg(long)]
    pub(crate) once: bool,
    /// Get, not send
    #[arg(long, conflicts_with = "write_only", help_heading = "What clients may do")]
    pub(crate) read_only: bool,
    /// Send, not list or get (drop box)
    #[arg(long, help_heading = "What clients may do")]
    pub(crate) write_only: bool,
    /// Never replace an existing file
    #[arg(long, help_heading = "What clients may do")]
    pub(crate) no_clobber: bool,
    /// Print a one-time ticket (automatic on a terminal while no client is enrolled)
    #[arg(long, help_heading = "Who may connect", conflicts_with = "no_auth")]
    pub(crate) invite: bool,
    /// Write a ticket to PATH (mode 0600) once the socket is bound
    #[arg(long, value_name = "PATH", help_heading = "Who may connect", value_hint = ValueHint::FilePath)]
    pub(crate) ticket_file: Option<PathBuf>,
    /// Accept anyone; listens on localhost unless --listen is given
    #[arg(long, help_heading = "Who may connect")]
    pub(crate) no_auth: bool,
    /// Do not wait until files are safe on disk
    #[arg(long, help_heading = "Running it")]
    pub(crate) no_sync: bool,
    /// When stopped, let files finish for SECS
    #[arg(long, value_name = "SECS", default_value = DRAIN_DEFAULT, value_parser = parse_time, help_heading = "Running it")]
    pub(crate) drain: Duration,
    /// One JSON event a line on stdout
    #[arg(long, help_heading = "Running it")]
    pub(crate) json: bool,
    /// A line for each finished file; -vv: what the protocol does
    #[arg(short = 'v', long, action = ArgAction::Count, help_heading = "Running it")]
    pub(crate) verbose: u8,
    /// Errors only
    #[arg(short = 'q', long, conflicts_with = "verbose", help_heading = "Running it")]
    pub(crate) quiet: bool,
}

/// `--if-exists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfExistsArg {
    /// Replace it, in one step
    Replace,
    /// Leave it
    Skip,
    /// Leave it, and give the new file another name
    Rename,
    /// Leave it, and report an error
    Fail,
}

impl From<IfExistsArg> for IfExists {
    fn from(arg: IfExistsArg) -> Self {
        match arg {
            IfExistsArg::Replace => Self::Replace,
            IfExistsArg::Skip => Self::Skip,
            IfExistsArg::Rename => Self::Rename,
            IfExistsArg::Fail => Self::Fail,
        }
    }
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// Bars on a terminal, else plain
    Auto,
    /// Bars
    Bar,
    /// A line every ten seconds
    Plain,
    /// Errors and the final lines
    None,
}

/// Reads a time with a unit (`30s`, `5m`, `2h`); a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err("a time looks like 30s, 5m or 2h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time looks like 30s, 5m or 2h".to_owned())?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Result<Command, clap::Error> {
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
        for sub in command.get_subcommands() {
            let about = sub.get_about().expect("every command has a text").to_string();
            let line = help.lines().find(|line| line.trim_start().starts_with(sub.get_name()));
            assert!(line.is_some_and(|line| line.ends_with(&about)), "{} is missing", sub.get_name());
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
        let Ok(Command::Send(args)) = parse(&["send", "-arP", "d", "box:"]) else { panic!("accepted") };
        assert!(args.habits.archive && args.habits.recursive && args.habits.partial && !args.habits.compress);
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
            &["send", "--timeout", "5 days", "f"],
        ] {
            assert_eq!(parse(args).map(|_| ()).map_err(|e| e.exit_code()), Err(2), "{args:?}");
        }
    }

    #[test]
    fn a_time_is_seconds_unless_it_says_otherwise() {
        let table = [("0", 0), ("45", 45), ("30s", 30), ("5m", 300), ("2h", 7200)];
        for (text, seconds) in table {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "m", "5d", "-1", "1.5m", "99999999999999999999", "18446744073709551615h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
