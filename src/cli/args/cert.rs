//! What `qft cert` can be told.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::cli::config::tilde::TildePath;

/// How long a CA is good for, unless `--days` says otherwise: whoever trusts it has its file, and must be given a new one.
const CA_DAYS: &str = "3650";
/// How long any other certificate is good for: it is quickly issued again, and a lost key is of use no longer than this.
const DAYS: &str = "365";

#[derive(Debug, Args)]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    pub(crate) command: CertCommand,
    /// One JSON event a line on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands about certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make a certificate authority: DIR/ca.crt to give away, DIR/ca.key to keep
    Ca {
        /// Directory for its files, made if it is missing
        #[arg(value_parser = TildePath, value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// What it is called [default: 'qft CA of' this machine]
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        term: CaTerm,
    },
    /// Make a certificate from the CA in DIR: DIR/NAME.crt and DIR/NAME.key
    Issue {
        /// Directory with ca.crt and ca.key
        #[arg(value_parser = TildePath, value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The host name or address that clients call the server by; a client's name
        name: String,
        /// More host names and addresses of the server
        #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "client")]
        san: Vec<String>,
        /// For a client; else for a server
        #[arg(long)]
        client: bool,
        /// For how many days it is good
        #[arg(long, value_name = "N", default_value = DAYS, value_parser = clap::value_parser!(u32).range(1..))]
        days: u32,
        /// Replace files that exist; the old key is lost
        #[arg(long)]
        force: bool,
    },
    /// Show what a certificate says
    Show {
        /// PEM file with certificates
        #[arg(value_parser = TildePath, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// For how long a CA is made, and over what.
#[derive(Debug, Args)]
pub(crate) struct CaTerm {
    /// For how many days it is good
    #[arg(long, value_name = "N", default_value = CA_DAYS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) days: u32,
    /// Replace files that exist; all certificates of the old CA are worthless then
    #[arg(long)]
    pub(crate) force: bool,
}
