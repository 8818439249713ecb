//! What `qft peers` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueHint};

use super::{parse_end, parse_time};
use crate::cli::config::tilde::TildePath;
use crate::keys::trust::{AccessMode, Rights, parse_root};
use crate::protocol::path::WirePath;

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
    /// Show who may connect here, and what each may do; and the invites that were not used yet
    #[command(aliases = ["ls", "invites"])]
    List(JsonArg),
    /// Print a ticket that lets one more client in, once
    Invite(InviteArgs),
    /// Let a client in by its fingerprint, or change its name or what it may do; what is not named stays
    #[command(alias = "add")]
    Allow(AllowArgs),
    /// Shut a client out, its connections end within a second; or end an invite
    #[command(aliases = ["rm", "remove", "delete"])]
    Revoke(RevokeArgs),
    /// Make a token, which lets in whoever has it too (--token-file)
    Token(TokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Where to keep it, readable by its owner alone; a file that exists stays [default: standard output]
    #[arg(value_name = "FILE", value_parser = TildePath, value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

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

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The client's name here, its fingerprint, or the first 8 characters of that; the whole fingerprint also of one
    /// that a token or a certificate lets in. Or an open invite, as 'qft peers' shows it
    #[arg(value_name = "FP|NAME|INVITE")]
    pub(crate) who: Option<String>,
    /// End all tickets that were not used yet
    #[arg(long)]
    pub(crate) invites: bool,
    #[command(flatten)]
    pub(crate) out: JsonArg,
}

/// What a client may do. A new one, without any of these: send and get everything, for ever.
#[derive(Debug, Args)]
#[command(next_help_heading = "What the client may do")]
pub(crate) struct RightsArgs {
    /// Get, not send
    #[arg(long, alias = "read-only", conflicts_with_all = ["wo", "rw"])]
    pub(crate) ro: bool,
    /// Send, not list or get
    #[arg(long, alias = "write-only", conflicts_with = "rw")]
    pub(crate) wo: bool,
    /// Send and get
    #[arg(long, alias = "read-write")]
    pub(crate) rw: bool,
    /// Never replace an existing file
    #[arg(long)]
    pub(crate) no_clobber: bool,
    /// Replace existing files
    #[arg(long, conflicts_with = "no_clobber")]
    pub(crate) clobber: bool,
    /// See only DIR, below the served directory; made when a client that may send first comes. '/' is all of it
    #[arg(long, value_name = "DIR", value_parser = parse_whole_or_root)]
    pub(crate) root: Option<RootArg>,
    /// Until 2026-12-31, 2026-12-31T18:00 (UTC), or for 12h, 30d from now; or 'never'
    #[arg(long, value_name = "WHEN", value_parser = parse_expires)]
    pub(crate) expires: Option<ExpiresArg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootArg {
    /// All that is served.
    Whole,
    Below(WirePath),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpiresArg {
    /// The rights have no end.
    Never,
    At(SystemTime),
}

impl RightsArgs {
    /// Rights with what was named changed, and nothing else.
    pub(crate) fn change(&self, old: &Rights) -> Rights {
        let mode = match (self.ro, self.wo, self.rw) {
            (true, _, _) => AccessMode::ReadOnly,
            (_, true, _) => AccessMode::WriteOnly,
            (_, _, true) => AccessMode::ReadWrite,
            _ => old.mode,
        };
        let root = match &self.root {
            Some(RootArg::Whole) => None,
            Some(RootArg::Below(dir)) => Some(dir.clone()),
            None => old.root.clone(),
        };
        let expires = match self.expires {
            Some(ExpiresArg::Never) => None,
            Some(ExpiresArg::At(end)) => Some(end),
            None => old.expires,
        };
        Rights { mode, no_clobber: self.no_clobber || (old.no_clobber && !self.clobber), root, expires }
    }
}

fn parse_whole_or_root(text: &str) -> Result<RootArg, String> {
    match text {
        "/" | "." => Ok(RootArg::Whole),
        dir => parse_root(dir).map(RootArg::Below),
    }
}

fn parse_expires(text: &str) -> Result<ExpiresArg, String> {
    if text == "never" {
        return Ok(ExpiresArg::Never);
    }
    let end = parse_end(text)?;
    match end > SystemTime::now() {
        true => Ok(ExpiresArg::At(end)),
        false => Err("that is over already; 'qft peers revoke' shuts a client out".to_owned()),
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
    crate::keys::trust::check_client_name(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Commands};
    use super::*;

    fn changed(old: &str, words: &str) -> String {
        let line = ["qft", "peers", "allow", "x"].into_iter().chain(words.split_whitespace());
        let Commands::Peers(args) = Cli::try_parse_from(line).expect(words).command else { panic!("peers") };
        let Some(PeersAction::Allow(args)) = args.action else { panic!("allow") };
        let old = if old.is_empty() { Rights::default() } else { Rights::parse(old).expect(old) };
        args.rights.change(&old).to_string()
    }

    #[test]
    fn only_what_is_named_changes_and_what_widens_has_its_own_word() {
        for (old, words, new) in [
            ("ro,root=a", "", "ro,root=a"),
            ("ro,root=a", "--wo", "wo,root=a"),
            ("ro,root=a", "--rw", "root=a"),
            ("ro,root=a", "--root /", "ro"),
            ("ro,root=a", "--root b/", "ro,root=b"),
            ("no-clobber", "--ro", "ro,no-clobber"),
            ("no-clobber", "--clobber", ""),
            ("", "--no-clobber", "no-clobber"),
            ("expires=2099-12-31", "--expires never", ""),
            ("expires=2099-12-31", "--ro", "ro,expires=2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(changed(old, words), new, "{old} {words}");
        }
    }
}
