//! `rclone copy` to an sftp server, as it comes: four files at a time.

use std::process::Command;

use super::super::network::FAR;
use super::super::process::Program;
use super::{Bed, Tool, installed, ssh, version_of};

pub(crate) struct Rclone;

impl Tool for Rclone {
    fn name(&self) -> &'static str {
        "rclone"
    }

    fn version(&self) -> anyhow::Result<String> {
        version_of(&installed("rclone", "package rclone")?, "version")
    }

    fn congestion_control(&self) -> Option<&'static str> {
        Some("cubic")
    }

    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)> {
        let server = bed.sshd()?;
        let mut rclone = bed.command(&installed("rclone", "package rclone")?);
        rclone.arg("copy").arg(bed.source).arg(format!(":sftp:{}", bed.target.join(bed.name()).display()));
        rclone.args(["--config", "/dev/null", "--sftp-host", &FAR.to_string(), "--sftp-port", &ssh::PORT.to_string()]);
        rclone.args(["--sftp-user", ssh::USER, "--sftp-key-file"]).arg(bed.ssh.key());
        Ok((server, rclone))
    }
}
