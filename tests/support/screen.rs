//! A terminal of 80 × 24 with a person before it: runs the real program, reads the screen, types.
#![allow(dead_code, reason = "every test program uses another part of it")]

use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use pty_process::Size;
use pty_process::blocking::Pty;
use rustix::process::{Pid, Signal, kill_process};
use vt100::Parser;

use super::bin::{Machine, shell_code, wait_for};

pub(crate) const ROWS: u16 = 24;
pub(crate) const COLUMNS: u16 = 80;
/// What Ctrl-C sends, for [`Terminal::press`].
pub(crate) const CTRL_C: &str = "\x03";
/// Lines that are kept after they have left the screen: more than any flow prints.
const SCROLLBACK: usize = 1000;

/// A screen on which one command runs after the other.
pub(crate) struct Terminal {
    screen: Arc<Mutex<Parser>>,
    running: Option<Running>,
}

/// The command that runs, and its end of the line.
struct Running {
    child: Child,
    line: Arc<Pty>,
    reader: JoinHandle<()>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        Self { screen: Arc::new(Mutex::new(Parser::new(ROWS, COLUMNS, SCROLLBACK))), running: None }
    }

    /// Starts a line as a shell would: `qft send 'a b'/*`.
    pub(crate) fn start(&mut self, machine: &Machine, line: &str) {
        self.start_with(machine, line, |_| {});
    }

    /// The same with more for the command's environment, which the screen does not show.
    pub(crate) fn start_with(&mut self, machine: &Machine, line: &str, prepare: impl FnOnce(&mut Command)) {
        assert!(self.running.is_none(), "a command runs here already:\n{}", self.seen());
        self.screen().process(format!("$ {line}\r\n").as_bytes());
        // Whoever sits at a terminal has a Ctrl-C that works, also where this program was started without (`nohup`, `&`).
        let mut command = machine.shell(&format!("env --default-signal=INT {line}"));
        command.envs([("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")]);
        for name in ["NO_COLOR", "COLUMNS", "LINES"] {
            command.env_remove(name);
        }
        prepare(&mut command);
        let (line, end) = pty_process::blocking::open().expect("the system has terminals");
        line.resize(Size::new(ROWS, COLUMNS)).expect("its size can be set");
        let child = pty_process::blocking::Command::from(command).spawn(end).expect("the program starts");
        let line = Arc::new(line);
        let reader = read_on_a_thread(line.clone(), self.screen.clone());
        self.running = Some(Running { child, line, reader });
    }

    /// Runs a line to its end, and returns its exit code.
    pub(crate) fn run(&mut self, machine: &Machine, line: &str) -> Option<i32> {
        self.start(machine, line);
        self.end()
    }

    /// Waits until the screen shows this.
    #[track_caller]
    pub(crate) fn wait_to_show(&self, part: &str) {
        wait_for(part, || {
            let screen = self.screen().screen().contents();
            let is_over = self.running.as_ref().is_none_or(|running| running.reader.is_finished());
            // What has ended says no more; what it said last is on the screen by now.
            assert!(screen.contains(part) || !is_over || self.shows(part), "{part:?} never came:\n{}", self.seen());
            screen.contains(part).then_some(())
        });
    }

    /// Whether the screen shows this now.
    pub(crate) fn shows(&self, part: &str) -> bool {
        self.screen().screen().contents().contains(part)
    }

    /// What is on the screen now, without what has left it.
    pub(crate) fn on_screen(&self) -> String {
        let screen = self.screen().screen().contents();
        screen.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// The colours that this text has wherever it is on the screen.
    pub(crate) fn colours(&self, part: &str) -> Vec<vt100::Color> {
        let parser = self.screen();
        let screen = parser.screen();
        let places = screen.rows(0, COLUMNS).enumerate().filter_map(|(row, text)| {
            let column = text.split_once(part)?.0.chars().count();
            Some((row as u16, column as u16))
        });
        places.filter_map(|(row, column)| Some(screen.cell(row, column)?.fgcolor())).collect()
    }

    /// Types a line and presses Enter.
    pub(crate) fn type_line(&self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Presses keys.
    pub(crate) fn press(&self, keys: &str) {
        let mut line = self.running().line.as_ref();
        line.write_all(keys.as_bytes()).expect("a terminal takes what is typed");
    }

    /// Makes the window so many columns wide, as somebody who draws at its edge.
    pub(crate) fn resize(&self, columns: u16) {
        self.screen().screen_mut().set_size(ROWS, columns);
        self.running().line.resize(Size::new(ROWS, columns)).expect("its size can be set");
    }

    /// The process that a shell would show as the job.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.running().child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs, or waits for its end to be taken");
    }

    /// Waits for the command's end and for all that it wrote. The code is the one that a shell shows.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let mut running = self.running.take().expect("a command runs here");
        let status = wait_for("the command's end", || running.child.try_wait().expect("it is ours"));
        wait_for("the end of what it writes", || running.reader.is_finished().then_some(()));
        shell_code(status)
    }

    /// All that was on the screen, a logical line a line: what was wrapped is joined again.
    pub(crate) fn seen(&self) -> String {
        let mut parser = self.screen();
        let screen = parser.screen_mut();
        screen.set_scrollback(SCROLLBACK);
        let mut text = String::new();
        // Each look through the window takes its first row, until the window is back at its place.
        for offset in (1..=screen.scrollback()).rev() {
            screen.set_scrollback(offset);
            push_row(&mut text, screen, 0);
        }
        screen.set_scrollback(0);
        (0..ROWS).for_each(|row| push_row(&mut text, screen, row));
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    /// What each row of the screen shows now, without the blanks at its end.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.screen().screen().rows(0, COLUMNS).map(|row| row.trim_end().to_owned()).collect()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a command runs here")
    }

    fn screen(&self) -> MutexGuard<'_, Parser> {
        // A reader that failed has said so; the screen is still worth showing.
        self.screen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn push_row(text: &mut String, screen: &vt100::Screen, row: u16) {
    let shown = screen.rows(0, COLUMNS).nth(row.into()).unwrap_or_default();
    // What is said above bars, which a slow transfer has, is filled up with blanks to the edge, and the next line follows.
    let is_filled = shown.ends_with("  ");
    text.push_str(&shown);
    if is_filled || !screen.row_wrapped(row) {
        text.push('\n');
    }
}

/// Draws what comes until the last process has closed its end, which a terminal reports as an error.
fn read_on_a_thread(line: Arc<Pty>, screen: Arc<Mutex<Parser>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = line.as_ref().read(&mut buffer) {
            screen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).process(&buffer[..count]);
        }
    })
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the screen when the test failed\n{}---", self.seen());
        }
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
