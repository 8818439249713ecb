//! What can be told about the way through ssh.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts, where brackets mean optional")]

use clap::Args;

use super::super::ssh::Ports;

/// How the far end is started.
#[derive(Debug, Args)]
#[command(next_help_heading = "Through ssh (USER@HOST:)")]
pub(crate) struct SshArgs {
    /// Go through ssh to a plain HOST: too
    #[arg(long)]
    pub(crate) ssh: bool,
    /// The ssh to run, with its options [default: ssh]
    #[arg(short = 'e', long, alias = "ssh-command", value_name = "COMMAND", env = "QFT_RSH", hide_env = true)]
    pub(crate) rsh: Option<String>,
    /// Where qft is there, if ssh does not find it
    #[arg(long, value_name = "PATH")]
    pub(crate) remote_qft: Option<String>,
    /// UDP ports to choose from there [default: 60000-61000]
    #[arg(long, value_name = "A-B")]
    pub(crate) ssh_ports: Option<Ports>,
}
