//! `qft` of this source tree, as anybody would use it: durable, with a ticket that pairs the two on the way.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::super::network::FAR;
use super::super::process::Program;
use super::{Bed, Tool, version_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_qft");

/// One that is called as this tree's is.
pub(crate) struct Qft {
    pub(crate) program: PathBuf,
}

impl Qft {
    /// This tree's.
    pub(crate) fn built() -> Self {
        Self { program: PROGRAM.into() }
    }
}

impl Tool for Qft {
    fn name(&self) -> &'static str {
        "qft"
    }

    fn version(&self) -> anyhow::Result<String> {
        let version = version_of(&self.program, "--version")?;
        let here = ["-C", env!("CARGO_MANIFEST_DIR")];
        let commit = Command::new("git").args(here).args(["describe", "--always", "--dirty", "--exclude=*"]).output();
        let commit = commit.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default();
        Ok(if commit.is_empty() { version } else { format!("{version} ({commit})") })
    }

    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)> {
        let ticket = bed.scratch.join("ticket");
        let mut serve = bed.command(&self.program);
        serve.env("QFT_HOME", bed.scratch.join("far")).arg("serve").arg(bed.target);
        serve.args(["-l", &format!("{FAR}:0"), "-q", "--ticket-file"]).arg(&ticket);
        let mut server = Program::start(serve, &bed.network.far, &bed.scratch.join("far.log"))?;
        let ticket = server.wait_for(|| fs::read_to_string(&ticket).ok())?;
        let mut send = bed.command(&self.program);
        send.env("QFT_HOME", bed.scratch.join("near")).arg("send").arg(bed.source);
        send.args(["--to", ticket.trim(), "-q"]);
        Ok((server, send))
    }
}
