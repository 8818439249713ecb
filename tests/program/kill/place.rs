//! Two machines in one directory, and processes that do not outlive the test.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for any step.
const DEADLINE: Duration = Duration::from_secs(120);

/// A process that does not outlive the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        // A group of its own: killing strace alone would leave what it traces running.
        Self(command.stdin(Stdio::null()).process_group(0).spawn().expect("the program starts"))
    }

    /// SIGKILL: no farewell, no flush.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it is ours to kill");
        self.0.wait().expect("it ends");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_some()
    }

    /// Ctrl-C, and how it ends, also when nobody is at the other end any more.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.0);
        if !self.has_ended() {
            rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is ours to interrupt");
        }
        wait_for("it to stop", || self.has_ended());
        self.0.wait().expect("it has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        drop(self.0.wait());
    }
}

pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Which way a job goes, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Send,
    Get,
}

/// Two machines in one directory: a home for each, what one has and what the other serves.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["served", "src", "got"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `qft` with the home of one of the two.
    pub(crate) fn qft(&self, home: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qft"));
        command.env("QFT_HOME", self.path(home)).env_remove("QFT_REMOTE");
        command
    }

    /// A server that can be used, and its ticket.
    pub(crate) fn serve(&self, listen: &str) -> (Process, String) {
        let ticket = self.path("ticket");
        drop(fs::remove_file(&ticket));
        let mut command = self.qft("server home");
        command.arg("serve").arg(self.path("served")).args(["-q", "-l", listen, "--ticket-file"]).arg(&ticket);
        let mut server = Process::start(&mut command);
        wait_for("the ticket", || {
            assert!(!server.has_ended(), "the server does not start");
            ticket.exists()
        });
        let text = fs::read_to_string(&ticket).expect("a ticket");
        (server, text.trim().to_owned())
    }

    /// The command of one round.
    pub(crate) fn command(&self, way: Way, ticket: &str, round: u64) -> Command {
        let mut command = self.qft("client home");
        match way {
            Way::Send => command.arg("send").arg(self.path("src/")).args(["--to", &format!("{ticket}/r{round}")]),
            Way::Get => command.args(["get", &format!("{ticket}/job/")]).arg(self.path(&format!("got/r{round}"))),
        };
        command.arg("--json");
        command
    }

    /// What is sent or fetched.
    pub(crate) fn source(&self, way: Way) -> PathBuf {
        self.path(match way {
            Way::Send => "src",
            Way::Get => "served/job",
        })
    }

    /// Where a round's files arrive.
    pub(crate) fn destination(&self, way: Way, round: u64) -> PathBuf {
        self.path(&match way {
            Way::Send => format!("served/r{round}"),
            Way::Get => format!("got/r{round}"),
        })
    }
}
