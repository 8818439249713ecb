//! A server that runs, and ends with the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::{Guard, Machine, shell_code, wait_for};

/// A server that runs, and ends with the test.
pub(crate) struct Serve {
    child: Guard,
    ticket: String,
    log: PathBuf,
    json: PathBuf,
}

impl Serve {
    pub(super) fn start(
        machine: &Machine,
        address: &str,
        dir: &str,
        options: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let number = machine.tree("").len();
        let path = |name: &str| machine.path(&format!("{name}.{number}"));
        let (ticket_file, log, json) = (path("ticket"), path("log"), path("json"));
        let mut line = machine.qft(["serve", dir, "-l", address, "--ticket-file"]);
        line.command.arg(&ticket_file).args(options.split_whitespace());
        if !options.contains("-w") {
            line.command.args(["-w", "1"]);
        }
        let create = |path: &Path| File::create(path).expect("a file in a temporary directory");
        line.command.stdin(Stdio::null()).stdout(create(&json)).stderr(create(&log));
        prepare(&mut line.command);
        let child = Guard(line.command.spawn().expect("the program starts"));
        let mut serve = Self { child, ticket: String::new(), log, json };
        serve.ticket = wait_for("the ticket", || {
            let ended = serve.child.0.try_wait().expect("it is ours");
            assert!(ended.is_none(), "the server ended: {}", serve.log());
            fs::read_to_string(&ticket_file).ok()
        });
        serve.ticket.truncate(serve.ticket.trim_end().len());
        serve
    }

    pub(crate) fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Where those who watch find it.
    pub(crate) fn http(&self) -> String {
        self.wait_to_say("http://");
        let log = self.log();
        let (_, rest) = log.split_once("http://").expect("it says where it can be watched");
        rest.split('/').next().expect("an address").to_owned()
    }

    /// The ticket without its secret.
    pub(crate) fn pinned(&self) -> String {
        let (who, place) = self.ticket.split_once('@').expect("a ticket has a place");
        format!("{}@{place}", who.rsplit_once(':').map_or(who, |(pin, _)| pin))
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.ticket.split_once('@').expect("a ticket has a place").1
    }

    pub(crate) fn fingerprint(&self) -> &str {
        self.ticket["qft://".len()..].split([':', '@']).next().expect("it starts with the fingerprint")
    }

    /// What it has said so far. It never waits for its log, so a line may come after what it tells of: a test waits
    /// for what is to be there ([`Self::wait_to_say`]) and looks here for what is not, and for how often.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it is ours")
    }

    pub(crate) fn wait_to_say(&self, part: &str) {
        wait_for(part, || self.log().contains(part).then_some(()));
    }

    /// What it has printed so far, as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.json).expect("it is ours");
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it was since the start.
    pub(crate) fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.0.try_wait().expect("it is ours").is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Option<i32> {
        shell_code(self.child.wait("the server's end"))
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) {
        drop(self.child);
    }
}
