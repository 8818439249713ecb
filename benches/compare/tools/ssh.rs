//! What goes through ssh: a server of our own with keys for this run alone, `scp`, and `rsync`.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::super::network::FAR;
use super::super::process::Program;
use super::{Bed, Tool, installed, version_of};

/// Nobody else is on that host.
pub(super) const PORT: u16 = 22;
/// Only the administrator gets this far.
pub(super) const USER: &str = "root";
/// Where sshd insists on an empty directory of its own.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// Keys and settings for one run of the comparison.
pub(crate) struct Ssh {
    dir: PathBuf,
    /// Why there is no ssh, where there is none.
    missing: Option<String>,
}

impl Ssh {
    /// Makes the keys. Where ssh is not installed, those who need it will say so.
    pub(crate) fn prepare(scratch: &Path) -> anyhow::Result<Self> {
        let dir = scratch.join("ssh");
        fs::create_dir(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        let mut ssh = Self { dir, missing: None };
        for tool in ["sshd", "ssh", "ssh-keygen"] {
            if let Err(error) = installed(tool, "package openssh-server") {
                ssh.missing = Some(error.to_string());
                return Ok(ssh);
            }
        }
        make_key(&ssh.host_key())?;
        make_key(&ssh.key())?;
        fs::copy(ssh.key().with_extension("pub"), ssh.dir.join("authorized"))?;
        Ok(ssh)
    }

    /// Fails where ssh is not installed.
    pub(crate) fn require(&self) -> anyhow::Result<()> {
        self.missing.as_ref().map_or(Ok(()), |missing| Err(anyhow::anyhow!("{missing}")))
    }

    /// The key of the user.
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    fn host_key(&self) -> PathBuf {
        self.dir.join("host-key")
    }

    /// What every client is told.
    pub(super) fn options(&self) -> Vec<String> {
        let settings = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"];
        let mut options = vec!["-F".to_owned(), "none".to_owned(), "-i".to_owned(), self.key().display().to_string()];
        options.extend(settings.iter().flat_map(|setting| ["-o".to_owned(), (*setting).to_owned()]));
        options
    }

    /// Starts the server on the far host and waits until it answers.
    pub(super) fn serve(&self, bed: &Bed<'_>) -> anyhow::Result<Program> {
        self.require()?;
        fs::create_dir_all(PRIVILEGE_SEPARATION)?;
        let config = self.dir.join("config");
        fs::write(&config, self.config())?;
        // It starts itself anew for each connection and wants its whole path for that.
        let mut sshd = Command::new(installed("sshd", "package openssh-server")?);
        sshd.args(["-D", "-e", "-f"]).arg(&config);
        let mut server = Program::start(sshd, &bed.network.far, &bed.scratch.join("sshd.log"))?;
        let answers = || bed.network.far.enter(|| TcpStream::connect((FAR, PORT)).ok()).ok().flatten();
        server.wait_for(answers).context("sshd")?;
        Ok(server)
    }

    fn config(&self) -> String {
        let (host_key, authorized) = (self.host_key(), self.dir.join("authorized"));
        let (host_key, authorized) = (host_key.display(), authorized.display());
        format!(
            "Port {PORT}\nListenAddress {FAR}\nHostKey \"{host_key}\"\nAuthorizedKeysFile \"{authorized}\"\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nUseDNS no\nPrintMotd no\n\
             Subsystem sftp internal-sftp\n"
        )
    }
}

fn make_key(path: &Path) -> anyhow::Result<()> {
    let mut keygen = Command::new("ssh-keygen");
    let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).stdin(Stdio::null()).status()?;
    ensure!(made.success(), "ssh-keygen: {made}");
    Ok(())
}

/// Over TCP with the system's usual congestion control, or what a careful administrator sets.
pub(crate) struct Rsync {
    pub(crate) congestion_control: &'static str,
}

impl Tool for Rsync {
    fn name(&self) -> &'static str {
        if self.congestion_control == "bbr" { "rsync (bbr)" } else { "rsync (cubic)" }
    }

    fn version(&self) -> anyhow::Result<String> {
        version_of(&installed("rsync", "package rsync")?, "--version")
    }

    fn congestion_control(&self) -> Option<&'static str> {
        Some(self.congestion_control)
    }

    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)> {
        let server = bed.sshd()?;
        let mut rsync = bed.command(&installed("rsync", "package rsync")?);
        let words = std::iter::once("ssh".to_owned()).chain(bed.ssh.options());
        let shell = words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        rsync.args(["-a", "-e", &shell]).arg(bed.source).arg(format!("{USER}@{FAR}:{}/", bed.target.display()));
        Ok((server, rsync))
    }
}

pub(crate) struct Scp;

impl Tool for Scp {
    fn name(&self) -> &'static str {
        "scp"
    }

    fn version(&self) -> anyhow::Result<String> {
        installed("scp", "package openssh-client")?;
        version_of(&installed("ssh", "package openssh-client")?, "-V")
    }

    fn congestion_control(&self) -> Option<&'static str> {
        Some("cubic")
    }

    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)> {
        let server = bed.sshd()?;
        let mut scp = bed.command(&installed("scp", "package openssh-client")?);
        scp.args(["-q", "-r"])
            .args(bed.ssh.options())
            .arg(bed.source)
            .arg(format!("{USER}@{FAR}:{}/", bed.target.display()));
        Ok((server, scp))
    }
}
