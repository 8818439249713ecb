//! The programs that are compared. Each says whether it is here, starts its far end, and gives the command to time.

mod qcp;
mod qft;
mod rclone;
mod sendme;
mod ssh;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::links::LinkSpec;
use super::network::Network;
use super::process::{self, Program};

pub(crate) use qft::Qft;
pub(crate) use ssh::Ssh;

/// Where one copy is made.
pub(crate) struct Bed<'a> {
    pub(crate) network: &'a Network,
    pub(crate) link: &'a LinkSpec,
    /// Keys and settings of ssh, for those that need it.
    pub(crate) ssh: &'a Ssh,
    /// For logs and the like; nobody used it before.
    pub(crate) scratch: &'a Path,
    /// The directory to copy.
    pub(crate) source: &'a Path,
    /// The empty directory to copy it into: as `target/NAME`, when the source is called `NAME`.
    pub(crate) target: &'a Path,
}

impl Bed<'_> {
    /// A program that finds nobody's settings, with the same words for everyone's environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.scratch).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.scratch);
        command
    }

    /// The far end of those that go through ssh.
    fn sshd(&self) -> anyhow::Result<Program> {
        self.ssh.serve(self)
    }

    /// The name that the copy gets.
    fn name(&self) -> &Path {
        self.source.file_name().map(Path::new).expect("the source is a directory that was made here")
    }
}

/// A program that copies.
pub(crate) trait Tool {
    /// For readers; the same words without blanks and brackets select it.
    fn name(&self) -> &'static str;

    /// What it says about its version. An error says why it is left out.
    fn version(&self) -> anyhow::Result<String>;

    /// What TCP shall do against congestion while it runs, where that matters.
    fn congestion_control(&self) -> Option<&'static str> {
        None
    }

    /// Whether the far end runs the command, and the near one waits for it; else the other way round.
    fn is_fetched(&self) -> bool {
        false
    }

    /// Starts the end that waits; gives the command that copies `bed.source` into `bed.target`.
    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)>;
}

/// All of them, in the order of the table.
pub(crate) fn all() -> Vec<Box<dyn Tool>> {
    vec![
        Box::new(Qft::built()),
        Box::new(ssh::Rsync { congestion_control: "bbr" }),
        Box::new(ssh::Rsync { congestion_control: "cubic" }),
        Box::new(ssh::Scp),
        Box::new(rclone::Rclone),
        Box::new(qcp::Qcp { congestion_control: "cubic" }),
        Box::new(qcp::Qcp { congestion_control: "bbr" }),
        Box::new(sendme::Sendme),
    ]
}

/// The word for a tool on the command line: `rsync (bbr)` is `rsync-bbr`.
pub(crate) fn word(name: &str) -> String {
    name.replace([' ', '('], "-").replace("--", "-").replace(')', "")
}

/// A program that is installed, and where.
fn installed(name: &str, remedy: &str) -> anyhow::Result<PathBuf> {
    process::find(name).with_context(|| format!("{name} is not installed ({remedy})"))
}

/// The first line that a program says when asked for its version.
fn version_of(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg(flag).output().with_context(|| program.display().to_string())?;
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
}
