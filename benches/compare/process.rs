//! Programs that run on a host of the link: started, waited for with a limit, ended, and their time accounted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::interrupt;
use super::namespace::Namespace;

/// Time between two looks at a process; no time is measured more exactly.
const LOOK: Duration = Duration::from_millis(2);
/// How long a server that was asked to end may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// The unit of times in `/proc`, everywhere that Linux runs today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program. It is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program inside; what it says goes to a file.
    pub(crate) fn start(mut command: Command, host: &Namespace, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = host.enter(|| command.spawn())?.context(name)?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Waits for its end, no longer than until `end`: `None` when it still runs then.
    pub(crate) fn wait_until(&mut self, end: Instant) -> anyhow::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            interrupt::check()?;
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Looks until `found` has something, the program ends, or it takes too long.
    pub(crate) fn wait_for<T>(&mut self, mut found: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + FAREWELL;
        loop {
            if let Some(found) = found() {
                return Ok(found);
            }
            interrupt::check()?;
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("it ended at once ({status}): {}", self.last_words());
            }
            anyhow::ensure!(Instant::now() < end, "it does not get ready: {}", self.last_words());
            std::thread::sleep(LOOK);
        }
    }

    /// Asks it to end and waits, so that its time is accounted.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        if self.child.try_wait()?.is_none() {
            let _ = kill_process(pid, Signal::TERM);
        }
        self.wait_until(Instant::now() + FAREWELL)?;
        Ok(())
    }

    /// The last lines that it wrote.
    pub(crate) fn last_words(&self) -> String {
        last_words(&self.log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a log, on one line.
pub(crate) fn last_words(log: &Path) -> String {
    const LINES: usize = 3;
    let said = fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("; ");
    last.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Where a program is: on the path, or where administrators and cargo keep theirs.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo = std::env::home_dir().unwrap_or_default().join(".cargo/bin");
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let places = std::env::split_paths(&path).chain(more).chain([cargo]);
    places.map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Seconds of CPU time, user and system, of all children and their children that have ended and been waited for.
pub(crate) fn children_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // After the name, which ends with the last parenthesis: state is field 3, cutime and cstime are 16 and 17.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}
