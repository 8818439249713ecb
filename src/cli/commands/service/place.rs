//! Where units are, and what has to be done around them: the account, the directories, systemd itself.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};

use super::unit::{MARK, ServiceOwner, Units};
use crate::atomic_file::{OnExisting, write_atomically};
use crate::cli::exit::Complaint;
use crate::cli::text::paste;
use crate::protocol::path::{escape, escape_path};

/// Where an administrator's units are.
const MACHINE_UNITS: &str = "/etc/systemd/system";
/// Where a user's are, below the configuration directory.
const USER_UNITS: &str = "systemd/user";
/// The mode of a unit: anybody may read it.
const UNIT_MODE: u32 = 0o644;
/// The mode of a directory that is made to be served.
const SERVED_MODE: u32 = 0o755;
/// Directories that a system service does not see, so that it cannot start programs in them.
const UNSEEN: [&str; 4] = ["/home", "/root", "/tmp", "/var/tmp"];

/// The place of one service's units.
pub(super) struct UnitPlace {
    is_user: bool,
    name: String,
    dir: PathBuf,
}

/// Whether a unit's file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Same,
    Changed,
}

impl UnitPlace {
    /// The place of the service `name`.
    pub(super) fn of(is_user: bool, name: &str) -> anyhow::Result<Self> {
        let dir = match is_user {
            false => MACHINE_UNITS.into(),
            true => {
                // The XDG specification: a relative path there is to be ignored.
                let configured = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
                let below_home = || Some(std::env::home_dir()?.join(".config"));
                configured.or_else(below_home).context("no home directory is known")?.join(USER_UNITS)
            }
        };
        Ok(Self { is_user, name: name.to_owned(), dir })
    }

    /// Where the files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether this process can do it at all.
    pub(super) fn may_be_changed(&self) -> Result<(), Complaint> {
        match self.is_user || rustix::process::geteuid().is_root() {
            true => Ok(()),
            false => {
                Err(Complaint::usage("the machine's services are root's: use sudo, or --user for one of your own"))
            }
        }
    }

    /// Writes the units and starts the server.
    pub(super) fn install(&self, units: &Units) -> anyhow::Result<()> {
        self.program_is_seen(units)?;
        let [socket, service] = units.files();
        // Nothing is done unless both can be.
        [&socket, &service].into_iter().try_for_each(|(name, _)| self.is_ours(name))?;
        match &units.owner {
            ServiceOwner::Account(account) => prepare(account, units)?,
            ServiceOwner::User => make(&units.dir, None)?,
        }
        fs::create_dir_all(&self.dir).with_context(|| format!("making {}", escape_path(&self.dir)))?;
        let socket_is = self.write(&socket.0, &socket.1)?;
        self.write(&service.0, &service.1)?;
        println!("wrote {} and {} in {}", socket.0, service.0, escape_path(&self.dir));
        if self.systemd_runs() {
            self.start(&socket.0, &service.0, socket_is)?;
            println!("{} serves {} on UDP {}", self.name, escape_path(&units.dir), units.listen);
        } else {
            println!("systemd does not run here; it starts the server at the next boot");
        }
        self.tell(units);
        Ok(())
    }

    /// Stops the server and removes what [`install`](Self::install) wrote.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let names = Units::file_names(&self.name);
        let there: Vec<_> = names.iter().filter(|name| fs::symlink_metadata(self.dir.join(name)).is_ok()).collect();
        if there.is_empty() {
            bail!("no service {} in {}", self.name, escape_path(&self.dir));
        }
        there.iter().try_for_each(|name| self.is_ours(name))?;
        if self.systemd_runs() {
            let [socket, service] = &names;
            self.systemctl(&["disable", "--now", service, socket])?;
        }
        for name in there {
            let path = self.dir.join(name);
            fs::remove_file(&path).with_context(|| format!("removing {}", escape_path(&path)))?;
        }
        if self.systemd_runs() {
            self.systemctl(&["daemon-reload"])?;
        }
        println!("removed {} and {}", names[0], names[1]);
        let state = Units::state_dir(&self.name);
        if !self.is_user && state.exists() {
            println!("keys, clients and what was received stay in {}", escape_path(&state));
        }
        Ok(())
    }

    /// A program that the service cannot see would fail at the first start, and at each after it.
    fn program_is_seen(&self, units: &Units) -> Result<(), Complaint> {
        if self.is_user || !UNSEEN.iter().any(|dir| units.program.starts_with(dir)) {
            return Ok(());
        }
        let program = paste::word(&units.program.to_string_lossy()).into_owned();
        Err(Complaint::Usage(format!(
            "a service of the machine does not reach {program}: sudo install {program} /usr/local/bin/, and run that"
        )))
    }

    /// Files that somebody else wrote stay as they are.
    fn is_ours(&self, name: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Ok(text) if text.starts_with(MARK.as_bytes()) => Ok(()),
            Ok(_) => bail!("{} was not written by 'qft service': another --name, or remove it", escape_path(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("reading {}", escape_path(&path))),
        }
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<Written> {
        let path = self.dir.join(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(Written::Same);
        }
        write_atomically(&path, text, UNIT_MODE, OnExisting::Replaced)
            .with_context(|| format!("writing {}", escape_path(&path)))?;
        Ok(Written::Changed)
    }

    /// Clients of a server that runs already lose nothing while its socket stays.
    fn start(&self, socket: &str, service: &str, socket_is: Written) -> anyhow::Result<()> {
        self.systemctl(&["daemon-reload"])?;
        self.systemctl(&["enable", socket, service])?;
        if socket_is == Written::Changed {
            // A socket cannot be opened again while its service has it. A service that does not run yet is no trouble.
            drop(self.systemctl(&["stop", service]));
            self.systemctl(&["restart", socket])?;
        }
        let log = if self.is_user { "journalctl --user -u" } else { "journalctl -u" };
        self.systemctl(&["restart", service]).with_context(|| format!("it does not start; see {log} {service}"))
    }

    fn systemctl(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("systemctl");
        command.args(self.is_user.then_some("--user")).args(words);
        let output = command.output().context("starting systemctl")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("it failed");
        Err(anyhow!("systemctl {}: {}", words.join(" "), escape(said.as_bytes())))
    }

    /// A user's own systemd may run where the machine's does not answer, so it is asked.
    fn systemd_runs(&self) -> bool {
        match self.is_user {
            true => self.systemctl(&["show-environment"]).is_ok(),
            false => sd_notify::booted().unwrap_or(false),
        }
    }

    /// Tells the user the next steps.
    fn tell(&self, units: &Units) {
        let (of, account) = match &units.owner {
            ServiceOwner::Account(account) => ("", Some(account)),
            ServiceOwner::User => (" --user", None),
        };
        let name = &self.name;
        let program = paste::word(&units.program.to_string_lossy()).into_owned();
        let way_in = match (units.home(), account) {
            (Some(home), Some(account)) => {
                let home = home.to_string_lossy().into_owned();
                format!("sudo -u {account} QFT_HOME={} {program} peers invite", paste::word(&home))
            }
            _ => "qft peers invite".to_owned(),
        };
        println!("let a client in:  {way_in}");
        println!("the log:          journalctl{of} -u {name}");
        println!("remove it:        {}qft service remove{of}", if of.is_empty() { "sudo " } else { "" });
        if self.is_user {
            println!("while you are logged out it runs only with: loginctl enable-linger");
        }
    }
}

/// The account and the directory of the machine's service.
fn prepare(account: &str, units: &Units) -> anyhow::Result<()> {
    if ids_of(account).is_none() {
        let home = Units::state_dir(&units.name);
        let mut command = Command::new("useradd");
        command.args(["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "--home-dir"]);
        let output = command.arg(home).arg(account).output().context("starting useradd")?;
        if !output.status.success() {
            bail!("making the account {account}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        println!("made the account {account}");
    }
    let ids = ids_of(account).with_context(|| format!("there is no account {account}"))?;
    // Systemd makes the state directory for the account, too, and leaves one that is there.
    let state = Units::state_dir(&units.name);
    if units.dir.starts_with(&state) {
        make(&state, Some(ids))?;
    }
    make(&units.dir, Some(ids))?;
    let owner = fs::metadata(&units.dir).with_context(|| format!("looking at {}", escape_path(&units.dir)))?.uid();
    if owner != ids.0 {
        let dir = escape_path(&units.dir);
        println!("note: {dir} is not {account}'s; it can write there only as far as others may: chown {account} {dir}");
    }
    Ok(())
}

/// Makes a directory for these user and group, unless it is there.
fn make(dir: &Path, ids: Option<(u32, u32)>) -> anyhow::Result<()> {
    match DirBuilder::new().mode(SERVED_MODE).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("making {}", escape_path(dir))),
    }
    println!("made {}", escape_path(dir));
    let Some((uid, gid)) = ids else { return Ok(()) };
    chown(dir, Some(uid), Some(gid)).with_context(|| format!("giving {} to its account", escape_path(dir)))
}

/// User and group of an account. The system's own tool asks whatever the machine asks (files, LDAP).
fn ids_of(account: &str) -> Option<(u32, u32)> {
    Some((id(&["-u", account])?.parse().ok()?, id(&["-g", account])?.parse().ok()?))
}

/// The name of a user.
pub(super) fn account_of(uid: u32) -> Option<String> {
    id(&["-nu", &uid.to_string()])
}

fn id(words: &[&str]) -> Option<String> {
    let output = Command::new("id").args(words).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
