//! What `qft send` and `qft get` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

use super::{BandwidthLimit, SshArgs, TrustArgs, parse_count, parse_time};
use crate::cli::config::tilde::TildePath;
use crate::client::TransferOptions;
use crate::protocol::message::{IfExists, Target};
use crate::storage::Links;

/// Files in flight unless `--jobs` says otherwise: enough to hide a disk's latency, few enough for a calm screen.
const JOBS_DEFAULT: &str = "16";
/// How long a job keeps trying while nothing moves, unless `--timeout` says otherwise.
const TIMEOUT_DEFAULT: &str = "5m";

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Files or directories; 'dir/' sends its contents; '-' is stdin. The last may be the
    /// destination, REMOTE:[PATH]; else --to, $QFT_REMOTE, or the default remote
    #[arg(required_unless_present = "files_from", value_name = "PATH|REMOTE:[PATH]", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<OsString>,
    /// Where to: NAME:path, HOST:port:path, USER@HOST:path (ssh), local:DIR, or qft://...
    #[arg(short = 't', long, value_name = "REMOTE", help_heading = "Destination")]
    pub(crate) to: Option<OsString>,
    #[command(flatten)]
    pub(crate) job: JobArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Remote paths or quoted globs, [REMOTE:]PATH; no REMOTE: --from, $QFT_REMOTE, or the default
    /// one. The last, if it has no REMOTE and is not the only one, is where to [default: .]; '-' is stdout, which gets one
    /// file when it is whole and verified
    #[arg(required_unless_present = "files_from", value_name = "[REMOTE:]PATH|DIR|FILE|-")]
    pub(crate) paths: Vec<OsString>,
    /// Where from, for paths without a REMOTE
    #[arg(short = 'f', long, alias = "to", short_alias = 't', value_name = "REMOTE", help_heading = "Source")]
    pub(crate) from: Option<OsString>,
    /// Where to; all other arguments are remote paths then
    #[arg(short = 'o', long = "output", value_name = "PATH", help_heading = "Destination", value_hint = ValueHint::AnyPath)]
    pub(crate) output_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) job: JobArgs,
}

/// What every transfer can be told, whichever way it goes.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    #[command(flatten)]
    pub(crate) conflict: ConflictArgs,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) ssh: SshArgs,
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
    /// Names from FILE ('-': stdin), one a line, below the one PATH [default: .]; they keep their directories
    #[arg(long, value_name = "FILE", value_parser = TildePath, value_hint = ValueHint::FilePath)]
    pub(crate) files_from: Option<PathBuf>,
    /// The names of --files-from end with NUL, as 'find -print0' writes them
    #[arg(short = '0', long, visible_alias = "null", requires = "files_from")]
    pub(crate) from0: bool,
    /// Do not leave the file system of each PATH; what is mounted in it arrives as an empty directory
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,
    /// Copy symbolic links as links, not leave them out
    #[arg(long, short_alias = 'l')]
    pub(crate) links: bool,
    /// Send what symbolic links lead to in their place, from wherever that is ('send' only)
    #[arg(short = 'L', long, conflicts_with = "links")]
    pub(crate) copy_links: bool,
}

impl ChoiceArgs {
    /// What becomes of the links in what is sent.
    pub(crate) fn links(&self) -> Links {
        match (self.copy_links, self.links) {
            (true, _) => Links::Follow,
            (false, true) => Links::Copy,
            (false, false) => Links::Skip,
        }
    }
}

impl JobArgs {
    /// What happens to a file that exists and differs.
    pub(crate) fn if_exists(&self) -> IfExistsArg {
        if self.habits.ignore_existing { IfExistsArg::Skip } else { self.conflict.if_exists }
    }

    /// What a job of either direction is asked for. The names of a list are read later.
    pub(crate) fn transfer(&self, target: Target) -> TransferOptions {
        let Self { conflict, choice, .. } = self;
        TransferOptions {
            target,
            if_exists: self.if_exists().into(),
            checksum: conflict.checksum,
            dry_run: conflict.dry_run,
            resume: !conflict.no_resume,
            excludes: choice.exclude.clone(),
            includes: choice.include.clone(),
            one_file_system: choice.one_file_system,
            names: None,
        }
    }
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
    /// Do not wait until files are safe on disk ('get', ssh and 'local:' only; a server decides for itself)
    #[arg(long)]
    pub(crate) no_sync: bool,
}

/// How the link is used.
#[derive(Debug, Args)]
#[command(next_help_heading = "Link")]
pub(crate) struct LinkArgs {
    /// Files in flight ('send' only; a server decides for itself)
    #[arg(short = 'j', long, value_name = "N", default_value = JOBS_DEFAULT, value_parser = parse_count)]
    pub(crate) jobs: NonZeroUsize,
    /// At most RATE each way, unit required: 500K, 10M (bytes/s), 80mbit; 0 = no limit
    #[arg(long, value_name = "RATE")]
    pub(crate) bwlimit: Option<BandwidthLimit>,
    /// Give up when nothing moved for TIME (30s, 5m, 2h), 0 = never
    #[arg(long, value_name = "TIME", default_value = TIMEOUT_DEFAULT, value_parser = parse_time)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// A line for each file; -vv: what the protocol does
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// At the end, what was measured of the link, this machine and the other end
    #[arg(long)]
    pub(crate) stats: bool,
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
    #[arg(short = 'r', long, hide = true)]
    pub(crate) recursive: bool,
    /// Partial files are always kept, and progress is always shown.
    #[arg(short = 'P', long, hide = true)]
    pub(crate) partial: bool,
    /// Times and permission bits are always kept.
    #[arg(short = 'a', long, hide = true)]
    pub(crate) archive: bool,
    /// There is no compression; see [`plan`](super::plan) for what is said about it.
    #[arg(short = 'z', long, hide = true)]
    pub(crate) compress: bool,
    /// Nothing is ever deleted; likewise.
    #[arg(long, hide = true)]
    pub(crate) delete: bool,
    /// As `--if-exists skip`.
    #[arg(long, alias = "no-clobber", hide = true)]
    pub(crate) ignore_existing: bool,
}

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
