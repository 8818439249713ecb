//! A real sshd on a free port of this machine, with keys and configuration of its own, and an ssh that knows it as `box`.
#![allow(dead_code, reason = "every test program uses another part of it")]

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::bin::{Machine, Qft, wait_for};

/// Ports tried before giving up: another process may take one between its choice and its use.
const ATTEMPTS: u32 = 5;
/// Where sshd is although a plain user's PATH has not got it.
const SBIN: &str = "/usr/sbin";
/// The passphrase of the key that has one.
pub(crate) const PASSPHRASE: &str = "correct horse";

/// What differs from a plain sshd and a plain user.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Runs instead of what was asked for, which is in `$SSH_ORIGINAL_COMMAND`.
    pub(crate) forced: Option<&'a str>,
    /// Whether sshd's PATH has no qft.
    pub(crate) without_qft: bool,
    /// Whether the user's key has a passphrase.
    pub(crate) passphrase: bool,
    /// Whether the user knows the host by another key.
    pub(crate) wrong_host_key: bool,
    /// Whether the account does not know the user's key.
    pub(crate) wrong_user_key: bool,
}

/// An sshd whose account has the home directory of one machine, and a user on another.
pub(crate) struct Sshd {
    child: Child,
    user: String,
    home: PathBuf,
    path: std::ffi::OsString,
}

/// A program of this name, or `None` after saying that the test is skipped.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from(SBIN)]);
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: no {name} here (packages openssh-server and openssh-client)");
    }
    found
}

impl Sshd {
    /// Starts it; `None`, after saying so, where OpenSSH is not installed.
    pub(crate) fn start(remote: &Machine, local: &Machine, setup: &Setup<'_>) -> Option<Self> {
        let (sshd, ssh, keygen) = (program("sshd")?, program("ssh")?, program("ssh-keygen")?);
        if rustix::process::geteuid().is_root() {
            // Its package makes this at every start of the system, if the system has such a thing as a start.
            fs::create_dir_all("/run/sshd").expect("root may");
        }
        let user = Command::new("id").arg("-un").output().expect("coreutils are installed").stdout;
        let user = String::from_utf8(user).expect("plain text").trim().to_owned();
        let dir = remote.path("sshd");
        fs::create_dir_all(&dir).expect("made");
        fs::create_dir_all(local.path("ssh")).expect("made");
        fs::create_dir_all(remote.path("me")).expect("made");
        key(&keygen, &dir.join("host"), "");
        key(&keygen, &dir.join("other"), "");
        key(&keygen, &local.path("ssh/id"), if setup.passphrase { PASSPHRASE } else { "" });
        let known = if setup.wrong_user_key { dir.join("other.pub") } else { local.path("ssh/id.pub") };
        fs::copy(known, dir.join("authorized_keys")).expect("copied");
        let (child, port) = (0..ATTEMPTS).find_map(|_| spawn(&sshd, remote, setup)).expect("sshd runs on a free port");
        let host_key = dir.join(if setup.wrong_host_key { "other.pub" } else { "host.pub" });
        configure_user(local, &ssh, &user, port, &host_key);
        let others = std::env::var_os("PATH").unwrap_or_default();
        let dirs = [local.path("bin"), own_dir().to_owned()].into_iter().chain(std::env::split_paths(&others));
        let path = std::env::join_paths(dirs).expect("none of them has a colon");
        Some(Self { child, user, home: remote.path("me"), path })
    }

    /// The account's name.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// A path behind ssh: `USER@box:PATH`.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}@box:{path}", self.user)
    }

    /// Lets a command find this ssh.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command.env("PATH", &self.path).env_remove("SSH_AUTH_SOCK");
    }

    /// A command of `local` that finds this ssh.
    pub(crate) fn qft<'a>(&self, local: &Machine, args: impl IntoIterator<Item = &'a str>) -> Qft {
        local.qft(args).env("PATH", &self.path)
    }

    /// The far ends that run in the account.
    pub(crate) fn far_ends(&self) -> Vec<Pid> {
        let home = format!("HOME={}\0", self.home.display());
        let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
        let is_far_end = |dir: &Path| {
            let read = |name: &str| fs::read(dir.join(name)).unwrap_or_default();
            let words = read("cmdline");
            words.ends_with(b"\0__bootstrap\0") && String::from_utf8_lossy(&read("environ")).contains(&home)
        };
        let found = processes.filter(|process| is_far_end(&process.path()));
        found.filter_map(|process| Pid::from_raw(process.file_name().to_string_lossy().parse().ok()?)).collect()
    }

    /// Waits until nothing of qft runs in the account any more, and looks that it has kept nothing there.
    pub(crate) fn assert_nothing_left(&self, remote: &Machine, kept: &[&str]) {
        wait_for("the far end's end", || self.far_ends().is_empty().then_some(()));
        assert_eq!(remote.tree("me"), kept);
        assert!(!remote.has("home"), "a key or a list was made");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // A test that failed may have left one asleep, which hears of no end.
        for far_end in self.far_ends() {
            let _ = kill_process(far_end, Signal::KILL);
        }
        // Its sessions end with the ssh at their other end.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn own_dir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_qft")).parent().expect("a program is in a directory")
}

fn key(keygen: &Path, file: &Path, passphrase: &str) {
    let mut command = Command::new(keygen);
    command.args(["-q", "-t", "ed25519", "-C", "", "-N", passphrase, "-f"]).arg(file);
    assert!(command.status().expect("ssh-keygen starts").success());
}

/// Starts sshd on a port that was free just now; `None` when it is not any more.
fn spawn(sshd: &Path, remote: &Machine, setup: &Setup<'_>) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let dir = remote.path("sshd");
    let own = if setup.without_qft { String::new() } else { format!("{}:", own_dir().display()) };
    let (at, home, keys) = (dir.display(), remote.path("me"), remote.path("home"));
    let mut config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         AuthorizedKeysFile {at}/authorized_keys\nSetEnv HOME={} QFT_HOME={} PATH={own}/usr/bin:/bin\n",
        home.display(),
        keys.display(),
    );
    if let Some(forced) = setup.forced {
        config += &format!("ForceCommand {forced}\n");
    }
    fs::write(dir.join("config"), config).expect("written");
    let log = File::create(dir.join("log")).expect("made");
    let mut command = Command::new(sshd);
    command.args(["-D", "-e", "-f"]).arg(dir.join("config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().expect("sshd starts");
    let runs = wait_for("sshd", || match child.try_wait().expect("it is ours") {
        Some(_) => Some(false),
        None => TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true),
    });
    if !runs {
        println!("sshd ended: {}", fs::read_to_string(dir.join("log")).unwrap_or_default());
    }
    runs.then_some((child, port))
}

/// What a user has in `~/.ssh`, and an `ssh` that reads it from here.
fn configure_user(local: &Machine, ssh: &Path, user: &str, port: u16, host_key: &Path) {
    let dir = local.path("ssh");
    let host_key = fs::read_to_string(host_key).expect("it was made");
    local.write("ssh/known_hosts", format!("[127.0.0.1]:{port} {host_key}"));
    let at = dir.display();
    local.write(
        "ssh/config",
        format!(
            "Host box\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {at}/id\n\
             IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {at}/known_hosts\n\
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        ),
    );
    let wrapper = local.write("bin/ssh", format!("#!/bin/sh\nexec {} -F {at}/config \"$@\"\n", ssh.display()));
    fs::set_permissions(wrapper, fs::Permissions::from_mode(0o755)).expect("ours");
}
