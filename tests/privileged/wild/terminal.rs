//! A terminal that breaks its lines again when it is resized.

use std::process::{Command, Output, Stdio};

use crate::support::bin::{Machine, wait_for};

/// A terminal of tmux's, with a server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// One that runs that command line in a machine's directory. `None`, with a word, where tmux is missing.
    fn start(machine: &Machine, columns: u32, rows: u32, line: &str) -> Option<Self> {
        let terminal = Self { socket: machine.path("tmux").to_string_lossy().into_owned() };
        if Command::new("tmux").arg("-V").output().is_err() {
            println!("skipped: tmux is not here");
            return None;
        }
        let size = format!("-x {columns} -y {rows}");
        let line = format!("tmux -S {} -f /dev/null new-session -d {size} '{line}'", terminal.socket);
        let mut command = machine.shell(&line);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").stdin(Stdio::null());
        let status = command.status().expect("it starts");
        assert!(status.success(), "tmux: {status}");
        Some(terminal)
    }

    fn tell(&self, words: &[&str]) -> Output {
        Command::new("tmux").args(["-S", &self.socket]).args(words).output().expect("tmux is here")
    }

    fn resize(&self, columns: u32, rows: u32) {
        self.tell(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.tell(&["capture-pane", "-p"]).stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tell(&["kill-server"]);
    }
}

#[test]
fn of_bars_on_a_terminal_that_was_narrowed_nothing_old_stays() {
    const FILES: usize = 6;
    let machine = Machine::new();
    for n in 0..FILES {
        machine.write_large(&format!("d/file{n}"), 20 << 20);
    }
    let line = "exec qft send --bwlimit 1M d --to local:out";
    let Some(terminal) = Terminal::start(&machine, 100, 24, line) else { return };
    let rows = |shown: &str| (0..FILES).map(|n| shown.matches(&format!("file{n}")).count()).collect::<Vec<_>>();
    let has_all = || Some(terminal.shown()).filter(|shown| rows(shown).iter().all(|count| *count == 1));
    wait_for("the bars", has_all);
    for columns in [50, 90, 45] {
        terminal.resize(columns, 24);
        // Bars of that width, each once. One whose file has to wait says neither rate nor time, and is shorter.
        let is_drawn = |shown: &String| {
            let bars = || shown.lines().filter(|line| line.contains("d/file"));
            let widest = bars().map(|line| line.trim_end().chars().count()).max();
            bars().count() == FILES && widest.is_some_and(|width| width.abs_diff(columns as usize) <= 2)
        };
        let shown = wait_for("the new bars", || has_all().filter(is_drawn));
        let percents = shown.lines().filter(|line| line.contains('%')).count();
        assert_eq!(percents, FILES + 2, "a row for each file, all, and the loss: {shown}");
    }
}
