//! What `qft peers` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueHint};

use super::{parse_end, parse_time};
use crate::protocol::path::WirePath;
use crate::transport::trust::{Mode, Rights, parse_root};

/// `qft peers`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PeersArgs {
    /// What to do; nothing: list.
    #[command(subcommand)]
    pub(crate) action: Option<PeersAction>,
    #[command(flatten)]
    pub(crate) list: JsonArg,
}

impl PeersArgs {
    /// Whether events go to standard output as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.action {
            None => self.list.json,
            Some(PeersAction::List(list)) => list.json,
            Some(PeersAction::Invite(invite)) => invite.out.json,
            Some(PeersAction::Allow(allow)) => allow.out.json,
            Some(PeersAction::Revoke(revoke)) => revoke.out.json,
            Some(PeersAction::Token(_)) => false,
        }
    }
}

/// The one option of commands that only answer.
#[derive(Debug, Args)]
pub(crate) struct JsonArg {
    /// One JSON event a line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with the list of clients.
#[derive(Debug, Subcommand)]
pub(crate) enum PeersAction {
    /// Show who may connect here, and what each may do
    List(JsonArg),
    /// Print a ticket that lets one more client in, once
    Invite(InviteArgs),
    /// Let a client in by its fingerprint, or change what it may do
    Allow(AllowArgs),
    /// Shut a client out; its connections end within a second
    Revoke(RevokeArgs),
    /// Make a token, which lets in whoever has it too (--token-file)
    Token(TokenArgs),
}

/// `qft peers token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Where to keep it, readable by its owner alone; a file that exists stays [default: standard output]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

/// `qft peers invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// What the client will be called here [default: its own name]
    #[arg(long, alias = "for", value_name = "NAME", value_parser = parse_name)]
    pub(crate) name: Option<String>,
    /// How long the ticket can be used: 15m, 2h, 7d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_valid)]
    pub(crate) valid: Duration,
    /// Address to put in the ticket: HOST or HOST:PORT [default: the running server's]
    #[arg(long, value_name = "HOST")]
    pub(crate) advertise: Option<String>,
    #[command(flatten)]
    pub(crate) out: JsonArg,
    #[command(flatten)]
    pub(crate) rights: RightsArgs,
}

/// `qft peers allow`.
#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// The client's fingerprint, as 'qft id' prints it there; or the name of one that is listed
    #[arg(value_name = "FP|NAME")]
    pub(crate) who: String,
    /// What it is called here
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) out: JsonArg,
    #[command(flatten)]
    pub(crate) rights: RightsArgs,
}

/// `qft peers revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The client's name here, its fingerprint, or the first 8 characters of that; the whole fingerprint also of one
    /// that a token or a certificate lets in
    #[arg(value_name = "FP|NAME")]
    pub(crate) who: Option<String>,
    /// End all tickets that were not used yet
    #[arg(long)]
    pub(crate) invites: bool,
    #[command(flatten)]
    pub(crate) out: JsonArg,
}

/// What a client may do. Without any of these: send and get everything, for ever.
#[derive(Debug, Args)]
#[command(next_help_heading = "What the client may do")]
pub(crate) struct RightsArgs {
    /// Get, not send
    #[arg(long, alias = "read-only", conflicts_with = "wo")]
    pub(crate) ro: bool,
    /// Send, not list or get
    #[arg(long, alias = "write-only")]
    pub(crate) wo: bool,
    /// Never replace an existing file
    #[arg(long)]
    pub(crate) no_clobber: bool,
    /// See only DIR, below the served directory; made when a client that may send first comes
    #[arg(long, value_name = "DIR", value_parser = parse_root)]
    pub(crate) root: Option<WirePath>,
    /// Until 2026-12-31, 2026-12-31T18:00 (UTC), or for 12h, 30d from now
    #[arg(long, value_name = "WHEN", value_parser = parse_end)]
    pub(crate) expires: Option<SystemTime>,
}

impl RightsArgs {
    /// As the list has them.
    pub(crate) fn rights(&self) -> Rights {
        let mode = match (self.ro, self.wo) {
            (true, _) => Mode::ReadOnly,
            (_, true) => Mode::WriteOnly,
            _ => Mode::ReadWrite,
        };
        Rights { mode, no_clobber: self.no_clobber, root: self.root.clone(), expires: self.expires }
    }
}

/// Longest life of a ticket: who needs more allows the client by its fingerprint.
const VALID_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn parse_valid(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    match time.is_zero() || time > VALID_MAX {
        true => Err("a ticket can be valid for 1s to 30d".to_owned()),
        false => Ok(time),
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    crate::transport::trust::check_client_name(text).map(|()| text.to_owned())
}
