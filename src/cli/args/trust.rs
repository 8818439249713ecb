//! What every command that talks to a remote can be told about whom to trust.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::cli::config::tilde::TildePath;
use crate::keys::{AddressError, Fingerprint, Host};

/// Which server is the right one, and what shows it that this client may come in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustArgs {
    /// UDP port of the remote [default: 4433]
    #[arg(short = 'p', long, value_name = "PORT", value_parser = parse_port)]
    pub(crate) port: Option<NonZeroU16>,
    /// Connect from this address of this machine [default: what the routes say]
    #[arg(long, value_name = "ADDR", value_parser = parse_local, help_heading = "Link")]
    pub(crate) bind: Option<SocketAddr>,
    /// Accept only the server with this identity, as 'qft status' prints it there
    #[arg(long, value_name = "FP")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// What to do with a server that is not known here
    #[arg(long, value_name = "MODE", value_enum, default_value = "ask")]
    pub(crate) host_key: HostKeyArg,
    /// Secret that is shared with the server (see 'qft peers token')
    #[arg(long, value_name = "FILE", value_parser = TildePath, env = "QFT_TOKEN_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// Accept the server that has a certificate for its name from this CA
    #[arg(long, value_name = "PEM", value_parser = TildePath, conflicts_with = "fingerprint", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,
    /// Show this client certificate, not the generated one
    #[arg(long, value_name = "PEM", value_parser = TildePath, requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "PEM", value_parser = TildePath, requires = "cert", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
}

fn parse_port(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| "ports go from 1 to 65535".to_owned())
}

impl TrustArgs {
    /// The certificate to show and its key.
    pub(crate) fn certificate(&self) -> Option<(PathBuf, PathBuf)> {
        self.cert.clone().zip(self.key.clone())
    }
}

/// An address of this machine, at any port.
fn parse_local(text: &str) -> Result<SocketAddr, String> {
    let host: Host = text.parse().map_err(|error: AddressError| error.to_string())?;
    match host.to_local(0) {
        None => Err("an address of this machine is needed, such as 192.0.2.7 or fe80::1%eth0".to_owned()),
        Some(found) => found.map_err(|error| format!("it is no address here: {error}")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HostKeyArg {
    /// Show its identity and ask; refuse it where nobody can answer
    Ask,
    /// Accept it, and from then on no other
    AcceptNew,
    /// Refuse it
    Strict,
}
