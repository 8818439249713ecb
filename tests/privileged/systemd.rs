//! A real systemd, first process of a namespace of its own, installs, restarts, reloads, watches and removes a server.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::bin::{Machine, wait_for};

/// Makes the namespace and becomes its first process.
const OUTER: &str = include_str!("systemd/outer.sh");
/// What the one service of that system does.
const INNER: &str = include_str!("systemd/inner.sh");
/// Its last line, if nothing failed before.
const ALL: &str = "all of it";

/// The system ends with the test.
struct System(std::process::Child);

impl Drop for System {
    fn drop(&mut self) {
        // It takes the first process along, that all others, and then removes their control groups.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_systemd_runs_a_server_that_restarts_without_losing_a_transfer() {
    let systemd = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"].iter().find(|path| fs::metadata(path).is_ok());
    let Some(systemd) = systemd.filter(|_| rustix::process::geteuid().is_root()) else {
        return println!("skipped: this needs root and systemd");
    };
    let machine = Machine::new();
    let place = machine.path("");
    for (name, text) in [("outer.sh", OUTER), ("inner.sh", INNER)] {
        machine.write(name, text);
    }
    machine.write("said", "");
    let outer = machine.path("outer.sh");
    let mut command = Command::new("bash");
    command.arg(outer).arg(&place).arg(env!("CARGO_BIN_EXE_qft")).arg(systemd);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(machine.path("errors")).expect("made"));
    let mut system = System(command.spawn().expect("there is a shell"));
    let said = || String::from_utf8_lossy(&machine.read("said")).into_owned();
    let is_refused = wait_for("the system to have done it all", || {
        let said = said();
        let last = said.lines().last().unwrap_or_default();
        let is_refused = system.0.try_wait().expect("ours").is_some() && !machine.has("begun");
        (is_refused || last == ALL || last.starts_with("failed")).then_some(is_refused)
    });
    if is_refused {
        let errors = String::from_utf8_lossy(&machine.read("errors")).into_owned();
        return println!("skipped: no namespace for a systemd can be made: {}", errors.trim());
    }
    let said = said();
    println!("{said}");
    assert_eq!(said.lines().last(), Some(ALL), "{said}");
}
