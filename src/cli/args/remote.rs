//! What `qft remote` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::time::Duration;

use clap::{Args, Subcommand};

use super::parse_time;
use super::peers::JsonArg;
use super::trust::TrustArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RemoteArgs {
    /// What to do; nothing: list.
    #[command(subcommand)]
    pub(crate) action: Option<RemoteAction>,
    #[command(flatten)]
    pub(crate) list: JsonArg,
}

impl RemoteArgs {
    /// Whether events go to standard output as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.action {
            None => self.list.json,
            Some(RemoteAction::List(list)) => list.json,
            Some(RemoteAction::Add(add)) => add.out.json,
            Some(RemoteAction::Rename(rename)) => rename.out.json,
            Some(RemoteAction::Default(named) | RemoteAction::Forget(named)) => named.out.json,
        }
    }
}

/// What to do with the list of servers.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteAction {
    /// Show the servers known here; * marks the default
    #[command(alias = "ls")]
    List(JsonArg),
    /// Remember a server under a name; a ticket with an invite is used to pair with it
    Add(AddArgs),
    /// Call a server by another name
    Rename(RenameArgs),
    /// Choose the server that is meant when none is named
    Default(NamedArgs),
    /// Forget a server
    #[command(aliases = ["rm", "remove", "delete"])]
    Forget(NamedArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What it will be called here
    pub(crate) name: String,
    /// Its ticket, qft://...; without it, it is asked for: what is typed as an argument, other users can see. Or its
    /// address, HOST or HOST:PORT: then its key is shown and asked about, or vouched for by --fingerprint or --ca
    #[arg(value_name = "TICKET|HOST[:PORT]")]
    pub(crate) place: Option<String>,
    /// Give up when the server has not answered for TIME
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) out: JsonArg,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// A name that 'qft remote' shows
    pub(crate) name: String,
    /// What it will be called
    pub(crate) new: String,
    #[command(flatten)]
    pub(crate) out: JsonArg,
}

/// `qft remote default`, `qft remote forget`.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// A name that 'qft remote' shows
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) out: JsonArg,
}
