//! Runs the real program: machines with a home and a working directory, commands, and servers that end
//! with the test.
#![allow(dead_code, reason = "every test program uses another part of it")]

#[path = "bin/outcome.rs"]
mod outcome;
#[path = "bin/serve.rs"]
mod serve;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) use self::outcome::Outcome;
pub(crate) use self::serve::Serve;

/// Longest wait for anything at all: far above what a loaded machine needs, so only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(240);
/// Time between two looks at something that another process does.
const LOOK: Duration = Duration::from_millis(5);
/// The user that a machine's administrator becomes, so that permissions hold for it.
const NOBODY: u32 = 65534;

/// Bytes of a file that is under way for four seconds with [`SLOWLY`]: long enough to be met in the middle by a busy machine,
/// short enough to be finished by it.
pub(crate) const SLOW_BYTES: u64 = 24 << 20;
/// The rate limit for it, on either side.
pub(crate) const SLOWLY: &str = "--bwlimit 6M";

/// Looks until `found` has something.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(LOOK);
    }
}

/// Writes so many bytes, none of them zero. (What is not optimised takes ten times as long with `std::io::repeat`.)
pub(crate) fn write_letters(file: &mut File, bytes: u64) {
    let block = vec![b'x'; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len() as u64);
        file.write_all(&block[..now as usize]).expect("written");
        left -= now;
    }
}

/// A machine as far as qft can tell: its own key and lists, and a directory to work in.
pub(crate) struct Machine {
    dir: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Another user must be able to get to its own files in here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { dir }
    }

    /// A file or directory in its working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is below the working directory")).expect("made");
        fs::write(&path, content).expect("written");
        path
    }

    /// The same, for its owner alone.
    pub(crate) fn write_private(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        path
    }

    /// A file of this size. It holds no zeros, for those are not sent.
    pub(crate) fn write_large(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.write(name, "");
        let mut file = File::create(&path).expect("made");
        write_letters(&mut file, bytes);
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Everything below a directory, sorted.
    pub(crate) fn tree(&self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        collect(&self.path(name), "", &mut all);
        all.sort();
        all
    }

    /// Gives a file or directory, and all in it, to nobody, where this is the administrator.
    pub(crate) fn give_to_nobody(&self, name: &str) {
        if rustix::process::geteuid().is_root() {
            give(&self.path(name));
        }
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}")).permissions().mode()
            & 0o7777
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("ours");
    }

    pub(crate) fn qft<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Qft {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut command = self.command(env!("CARGO_BIN_EXE_qft"));
        command.args(&args);
        Qft { command, shown: format!("qft {}", args.join(OsStr::new(" ")).display()), stdin: Vec::new() }
    }

    /// Words of a program that is to run another one, and those of qft, separated by blanks.
    pub(crate) fn under(&self, wrapper: &str, line: &str) -> Qft {
        let mut words = wrapper.split_whitespace();
        let mut command = self.command(words.next().expect("a program"));
        command.args(words).arg(env!("CARGO_BIN_EXE_qft")).args(line.split_whitespace());
        Qft { command, shown: format!("{wrapper} qft {line}"), stdin: Vec::new() }
    }

    /// A line as a shell reads it, globs and quotes included; `qft` in it is the program under test.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        let own = Path::new(env!("CARGO_BIN_EXE_qft")).parent().expect("a program is in a directory");
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(own.to_owned()).chain(std::env::split_paths(&others));
        command.args(["-c", &format!("exec {line}")]);
        command.env("PATH", std::env::join_paths(all).expect("none of them has a colon"));
        command
    }

    /// Runs here, with this machine's home and nothing else that qft would look at.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"QFT_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.dir.path());
        command.env("QFT_HOME", self.path("home")).env("HOME", self.dir.path());
        command
    }

    pub(crate) fn fingerprint(&self) -> String {
        let id = String::from_utf8(self.run("id").exits(0).stdout.clone()).expect("plain text");
        id.split_whitespace().last().expect("name and fingerprint").to_owned()
    }

    /// Runs words that are separated by blanks.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        self.qft(line.split_whitespace()).run()
    }

    /// Starts words that are separated by blanks.
    pub(crate) fn run_on(&self, line: &str) -> Running {
        self.qft(line.split_whitespace()).start()
    }

    /// Serves `dir`, which is made, with more words for the command.
    pub(crate) fn serve(&self, dir: &str, options: &str) -> Serve {
        self.serve_at("127.0.0.1:0", dir, options)
    }

    pub(crate) fn serve_at(&self, address: &str, dir: &str, options: &str) -> Serve {
        fs::create_dir_all(self.path(dir)).expect("made");
        Serve::start(self, address, dir, options, |_| {})
    }

    /// Serves `dir`, which is made, on a socket that this process holds, as systemd does.
    pub(crate) fn serve_on(&self, socket: &UdpSocket, dir: &str, options: &str) -> Serve {
        fs::create_dir_all(self.path(dir)).expect("made");
        let address = socket.local_addr().expect("it is bound").to_string();
        let handed_over = OwnedFd::from(socket.try_clone().expect("a descriptor"));
        Serve::start(self, &address, dir, options, |command| {
            command.stdin(handed_over).env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
        })
    }

    /// Serves `dir`, which is made, with more variables.
    pub(crate) fn serve_told(&self, variables: &[(&str, &OsStr)], dir: &str, options: &str) -> Serve {
        fs::create_dir_all(self.path(dir)).expect("made");
        Serve::start(self, "127.0.0.1:0", dir, options, |command| {
            command.envs(variables.iter().copied());
        })
    }

    /// The same as a user whom permissions bind. The administrator becomes nobody, others stay who they are.
    pub(crate) fn serve_unprivileged(&self, dir: &str, options: &str) -> Serve {
        fs::create_dir_all(self.path(dir)).expect("made");
        if !rustix::process::geteuid().is_root() {
            return self.serve(dir, options);
        }
        fs::create_dir_all(self.path("home")).expect("made");
        for path in ["", dir, "home"] {
            std::os::unix::fs::chown(self.path(path), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        fs::set_permissions(self.path("home"), fs::Permissions::from_mode(0o700)).expect("root may");
        Serve::start(self, "127.0.0.1:0", dir, options, |command| {
            command.uid(NOBODY).gid(NOBODY);
        })
    }
}

fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    for entry in fs::read_dir(path).into_iter().flatten() {
        give(&entry.expect("readable").path());
    }
}

fn collect(dir: &Path, prefix: &str, all: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let entry = entry.expect("readable");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().expect("known").is_dir() {
            true => {
                all.push(format!("{name}/"));
                collect(&entry.path(), &format!("{name}/"), all);
            }
            false => all.push(name),
        }
    }
}

/// A command that has not started.
pub(crate) struct Qft {
    command: Command,
    shown: String,
    stdin: Vec<u8>,
}

impl Qft {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, content: &[u8]) -> Self {
        self.stdin = content.to_owned();
        self
    }

    /// As a user whom permissions bind: the administrator becomes nobody, others stay who they are.
    pub(crate) fn unprivileged(mut self) -> Self {
        if rustix::process::geteuid().is_root() {
            self.command.uid(NOBODY).gid(NOBODY);
        }
        self
    }

    /// Runs to the end.
    pub(crate) fn run(self) -> Outcome {
        self.start().end()
    }

    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let mut input = child.stdin.take().expect("piped");
        let content = self.stdin;
        std::thread::spawn(move || {
            // A program that does not read its input is no failure of the test.
            let _ = input.write_all(&content);
        });
        let stdout = gather(child.stdout.take().expect("piped"));
        let stderr = gather(child.stderr.take().expect("piped"));
        Running { child: Guard(child), stdout, stderr, shown: self.shown }
    }
}

/// What a stream has said so far.
struct Gathered {
    all: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

fn gather(mut stream: impl Read + Send + 'static) -> Gathered {
    let all: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = all.clone();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer).expect("a pipe can be read") {
                0 => return,
                count => kept.lock().expect("no holder panics").extend_from_slice(&buffer[..count]),
            }
        }
    });
    Gathered { all, reader }
}

impl Gathered {
    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.all.lock().expect("no holder panics")).into_owned()
    }

    fn whole(self) -> Vec<u8> {
        self.reader.join().expect("the reader does not panic");
        std::mem::take(&mut *self.all.lock().expect("no holder panics"))
    }
}

/// The exit code as a shell shows it: 128 and the number of the signal that ended the process.
pub(crate) fn shell_code(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| Some(128 + status.signal()?))
}

/// A process that does not outlive the test.
struct Guard(Child);

impl Guard {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs, or waits for its end to be taken");
        // The sender of the signal goes on at once, and on a busy machine the threads do so for a while, too.
        if signal == Signal::STOP {
            wait_for("all its threads to stop", || self.is_stopped().then_some(()));
        }
    }

    fn is_stopped(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.0.id())) else { return true };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, state)| !state.starts_with(['R', 'S', 'D']))
        })
    }

    fn wait(&mut self, what: &str) -> ExitStatus {
        wait_for(what, || self.0.try_wait().expect("it is ours"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that runs.
pub(crate) struct Running {
    child: Guard,
    stdout: Gathered,
    stderr: Gathered,
    shown: String,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has said so far, on standard error.
    pub(crate) fn said(&self) -> String {
        self.stderr.so_far()
    }

    pub(crate) fn wait_to_say(&self, part: &str) {
        wait_for(part, || self.stderr.so_far().contains(part).then_some(()));
    }

    pub(crate) fn end(mut self) -> Outcome {
        let status = self.child.wait(&self.shown);
        let stderr = String::from_utf8(self.stderr.whole()).expect("only text is written to standard error");
        Outcome {
            shown: self.shown,
            code: shell_code(status),
            signal: status.signal(),
            stdout: self.stdout.whole(),
            stderr,
        }
    }
}
