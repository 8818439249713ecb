//! What `qft service` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::ffi::OsString;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::cli::config::tilde::TildePath;
use crate::keys::DEFAULT_PORT;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ServiceAction>,
    #[command(flatten)]
    pub(crate) unit: UnitArgs,
}

/// What is to happen to the units; without a word they are printed.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAction {
    /// Write the units, and start the server now and at each boot
    Install(UnitArgs),
    /// Stop the server and remove its units; what it received and its keys stay
    Remove(WhichArgs),
}

/// Which service is meant.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Your own service instead of the machine's; needs no root
    #[arg(long)]
    pub(crate) user: bool,
    /// Name of the units, for more than one server on a machine
    #[arg(long, value_name = "NAME", default_value = "qft", value_parser = parse_unit_name)]
    pub(crate) name: String,
}

/// What the units are made of.
#[derive(Debug, Args)]
pub(crate) struct UnitArgs {
    /// Directory to serve [default: /var/lib/NAME/files; with --user ~/incoming]
    #[arg(value_parser = TildePath, value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Account that the server runs as [default: the owner of DIR, unless that is root; else NAME]
    #[arg(long, value_name = "USER", conflicts_with = "user", value_parser = parse_account)]
    pub(crate) run_as: Option<String>,
    /// UDP address that systemd holds for the server
    #[arg(short = 'l', long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)).to_string())]
    pub(crate) listen: String,
    /// Options for 'qft serve', after --
    #[arg(last = true, value_name = "OPTIONS")]
    pub(crate) options: Vec<OsString>,
}

/// Longest name of a unit: what systemd takes, less the longest suffix.
const UNIT_NAME_MAX: usize = 200;

/// Reads a name of which systemd makes a unit and a state directory without changing it.
fn parse_unit_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let fits = (1..=UNIT_NAME_MAX).contains(&text.len()) && !text.starts_with('-') && text.chars().all(is_plain);
    fits.then(|| text.to_owned()).ok_or_else(|| "letters, digits, - and _ make a name".to_owned())
}

/// Reads the name of an account, as `useradd` takes it.
fn parse_account(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match text {
        "root" => Err("a server that others reach does not run as root; name another account".to_owned()),
        text if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) => Ok(text.to_owned()),
        _ => Err("that is no name of an account".to_owned()),
    }
}
