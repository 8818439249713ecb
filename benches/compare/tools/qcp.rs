//! `qcp`: QUIC as well, with ssh to start the far end. It is told the link's rate and round trip, as its manual asks.

use std::process::Command;

use super::super::network::FAR;
use super::super::process::Program;
use super::{Bed, Tool, installed, ssh, version_of};

/// Where to get it.
const REMEDY: &str = "cargo install qcp";
/// It takes no less than a millisecond.
const RTT_MIN_MS: f64 = 1.0;

pub(crate) struct Qcp {
    /// `cubic` is its default.
    pub(crate) congestion_control: &'static str,
}

impl Tool for Qcp {
    fn name(&self) -> &'static str {
        if self.congestion_control == "bbr" { "qcp (bbr)" } else { "qcp (cubic)" }
    }

    fn version(&self) -> anyhow::Result<String> {
        version_of(&installed("qcp", REMEDY)?, "--version")
    }

    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)> {
        let server = bed.sshd()?;
        let program = installed("qcp", REMEDY)?;
        let mut qcp = bed.command(&program);
        let bytes_per_second = format!("{:.0}", bed.link.mbit * 1e6 / 8.0);
        let rtt = format!("{:.0}", bed.link.rtt_ms.max(RTT_MIN_MS));
        qcp.args(["-q", "-r", "--tx", &bytes_per_second, "--rx", &bytes_per_second, "--rtt", &rtt]);
        qcp.args(["--congestion", self.congestion_control, "--ssh-config", "/dev/null", "--remote-qcp-binary"]);
        qcp.arg(&program);
        for option in bed.ssh.options() {
            qcp.args(["-S", &option]);
        }
        qcp.arg(bed.source).arg(format!("{}@{FAR}:{}/", ssh::USER, bed.target.display()));
        Ok((server, qcp))
    }
}
