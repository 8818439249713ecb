//! What `qft serve` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

use super::{BandwidthLimit, parse_count, parse_time};
use crate::cli::config::tilde::TildePath;
use crate::server::CLIENTS_MAX;

/// How long a stopping server lets files finish, unless `--drain` says otherwise.
const DRAIN_DEFAULT: &str = "30s";

/// How long an unfinished file may lie there, unless `--keep-parts` says otherwise: whoever is away for a holiday continues
/// what he began.
const KEEP_PARTS_DEFAULT: &str = "30d";

/// How the log of a server looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people, with a time where they go to a file
    Text,
    /// The events of --json
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Directory to serve, made if only its last name is missing; nothing outside it can be reached
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// UDP address [default: [::]:4433]
    #[arg(short = 'l', long, short_alias = 'p', alias = "port", value_name = "ADDR:PORT", env = "QFT_LISTEN")]
    pub(crate) listen: Option<String>,
    /// Address to put in tickets (NAT, containers): HOST or HOST:PORT
    #[arg(long, value_name = "HOST")]
    pub(crate) advertise: Option<String>,
    /// Worker threads [default: one per core]
    #[arg(short = 'w', long, value_name = "N", value_parser = parse_count)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Clients at the same time; one address, or key, gets half; others wait
    #[arg(long, value_name = "N", value_parser = parse_count, default_value_t = NonZeroUsize::new(CLIENTS_MAX).expect("there is room for some"))]
    pub(crate) max_clients: NonZeroUsize,
    /// Exit when a client has sent or got files, all of them well; a look with ls is none
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
    /// Take no symbolic links from clients (a drop box never does)
    #[arg(long, help_heading = "What clients may do")]
    pub(crate) no_links: bool,
    /// Let your own symlinks to directories inside DIR stand for those when files arrive; implies --no-links
    #[arg(long, short_alias = 'K', help_heading = "What clients may do")]
    pub(crate) keep_dirlinks: bool,
    /// Also serve dotfiles at the top of DIR
    #[arg(long, help_heading = "What clients may do")]
    pub(crate) hidden: bool,
    /// At most RATE each way, for all clients together: 500K, 10M (bytes/s), 80mbit; 0 = no limit
    #[arg(long, value_name = "RATE", help_heading = "What clients may do")]
    pub(crate) bwlimit: Option<BandwidthLimit>,
    /// Print a one-time ticket (automatic on a terminal while no client is enrolled)
    #[arg(long, help_heading = "Who may connect", conflicts_with = "no_auth")]
    pub(crate) invite: bool,
    /// Also as a QR code
    #[arg(long, help_heading = "Who may connect", conflicts_with = "json")]
    pub(crate) qr: bool,
    /// Write a ticket to PATH (mode 0600) once the socket is bound
    #[arg(long, value_name = "PATH", value_parser = TildePath, help_heading = "Who may connect", value_hint = ValueHint::FilePath)]
    pub(crate) ticket_file: Option<PathBuf>,
    /// Also accept whoever has this shared secret (see 'qft peers token')
    #[arg(long, value_name = "FILE", value_parser = TildePath, env = "QFT_TOKEN_FILE", help_heading = "Who may connect", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// Also accept client certificates from this CA
    #[arg(long, value_name = "PEM", value_parser = TildePath, help_heading = "Who may connect", value_hint = ValueHint::FilePath)]
    pub(crate) client_ca: Option<PathBuf>,
    /// Show this certificate, not the generated one
    #[arg(long, value_name = "PEM", value_parser = TildePath, requires = "key", help_heading = "Who may connect", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "PEM", value_parser = TildePath, requires = "cert", help_heading = "Who may connect", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// Accept anyone; listens on localhost unless --listen is given
    #[arg(long, help_heading = "Who may connect")]
    pub(crate) no_auth: bool,
    /// Do not wait until files are safe on disk
    #[arg(long, help_heading = "Running it")]
    pub(crate) no_sync: bool,
    /// When stopped, let files finish for TIME (30s, 5m)
    #[arg(long, value_name = "TIME", default_value = DRAIN_DEFAULT, value_parser = parse_time, help_heading = "Running it")]
    pub(crate) drain: Duration,
    /// Show a live page and figures for Prometheus (/metrics) at a TCP address; PORT alone is on this machine only
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Running it")]
    pub(crate) http: Option<String>,
    /// The token that whoever watches must show, needed where others can reach --http
    #[arg(long, value_name = "FILE", value_parser = TildePath, requires = "http", help_heading = "Running it", value_hint = ValueHint::FilePath)]
    pub(crate) http_token_file: Option<PathBuf>,
    /// Remove unfinished files that were not written to for TIME, at the start and daily; 0 = never
    #[arg(long, value_name = "TIME", default_value = KEEP_PARTS_DEFAULT, value_parser = parse_time, help_heading = "Running it")]
    pub(crate) keep_parts: Duration,
    /// One JSON event a line on stdout
    #[arg(long, help_heading = "Running it")]
    pub(crate) json: bool,
    /// How the log on stderr looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, conflicts_with = "json", help_heading = "Running it")]
    pub(crate) log_format: LogFormat,
    /// A line for each finished file; -vv: what the protocol does
    #[arg(short = 'v', long, action = ArgAction::Count, help_heading = "Running it")]
    pub(crate) verbose: u8,
    /// Errors only
    #[arg(short = 'q', long, conflicts_with = "verbose", help_heading = "Running it")]
    pub(crate) quiet: bool,
}
