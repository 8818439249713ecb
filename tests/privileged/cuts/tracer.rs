//! Holds a program after each of its system calls that change a disk.
//!
//! The calls of all its threads are counted together, and one is made at a time: while one thread is held after its call,
//! another that comes to such a call waits before it. Whatever does not change the disk goes on meanwhile, so all that
//! the program says about that state of the disk can be heard before the disk is looked at.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// So often in a row nothing may have moved before it is quiet.
const LOOKS: u32 = 2;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// Whatever moves for longer than this by itself is no word about the disk.
const QUIET_MAX: Duration = Duration::from_millis(500);
/// So many seconds are far beyond what anything here takes: only a hang reaches them.
const HANGS_SECS: u32 = 600;
const SECOND: Duration = Duration::from_secs(1);
/// `FICLONE` of linux/fs.h.
const FICLONE: u64 = 0x4004_9409;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The traced program has made a call of this name, and is held.
    Changed(&'static str),
    /// A process has ended, with this code as a shell shows it.
    Ended(Pid, i32),
}

/// Where the arguments of a call say what it is about.
#[derive(Clone, Copy)]
enum About {
    /// This one is an open file.
    File(usize),
    /// The first is a directory, the second a name in it.
    Name(usize, usize),
    /// The same if these flags make or empty a file.
    Open,
    /// As `File(0)`, where it is that request.
    Request(u64),
    /// An open file where there is no name, which is the second.
    FileOrName,
    Everything,
}

/// The calls that change a disk, or are what makes a change durable.
const CALLS: &[(libc::c_long, &str, About)] = &[
    (libc::SYS_openat, "openat", About::Open),
    (libc::SYS_pwrite64, "pwrite64", About::File(0)),
    (libc::SYS_write, "write", About::File(0)),
    (libc::SYS_writev, "writev", About::File(0)),
    (libc::SYS_pwritev, "pwritev", About::File(0)),
    (libc::SYS_copy_file_range, "copy_file_range", About::File(2)),
    (libc::SYS_ioctl, "ioctl", About::Request(FICLONE)),
    (libc::SYS_ftruncate, "ftruncate", About::File(0)),
    (libc::SYS_fallocate, "fallocate", About::File(0)),
    (libc::SYS_fchmod, "fchmod", About::File(0)),
    (libc::SYS_fchmodat, "fchmodat", About::Name(0, 1)),
    (libc::SYS_utimensat, "utimensat", About::FileOrName),
    (libc::SYS_mkdirat, "mkdirat", About::Name(0, 1)),
    (libc::SYS_unlinkat, "unlinkat", About::Name(0, 1)),
    (libc::SYS_symlinkat, "symlinkat", About::Name(1, 2)),
    (libc::SYS_linkat, "linkat", About::Name(2, 3)),
    (libc::SYS_renameat, "renameat", About::Name(2, 3)),
    (libc::SYS_renameat2, "renameat2", About::Name(2, 3)),
    (libc::SYS_fsync, "fsync", About::File(0)),
    (libc::SYS_fdatasync, "fdatasync", About::File(0)),
    (libc::SYS_syncfs, "syncfs", About::File(0)),
    (libc::SYS_sync, "sync", About::Everything),
];

/// The processes of a test, one of which may be traced. All calls are made by the thread that made this.
pub(crate) struct Processes {
    disk: PathBuf,
    running: HashSet<Pid>,
    watchdog: Watchdog,
    ended: VecDeque<(Pid, i32)>,
    /// Threads that are traced, each with the changing call that it is in or waits to make.
    threads: HashMap<Pid, Option<&'static str>>,
    /// The thread that makes a changing call, or is held after it.
    timing: Option<Pid>,
    held: Option<&'static str>,
    waiting: VecDeque<Pid>,
}

impl Processes {
    /// Calls count that change what lies below `disk`.
    pub(crate) fn new(disk: &Path) -> Self {
        Self {
            disk: disk.to_owned(),
            running: HashSet::new(),
            watchdog: Watchdog::start(),
            ended: VecDeque::new(),
            threads: HashMap::new(),
            timing: None,
            held: None,
            waiting: VecDeque::new(),
        }
    }

    #[expect(clippy::zombie_processes, reason = "they are waited for all together")]
    pub(crate) fn start(&mut self, command: &mut Command) -> Pid {
        let child = command.spawn().expect("the program starts");
        let pid = Pid::from_raw(child.id().cast_signed());
        self.running.insert(pid);
        self.watchdog.see(&self.running);
        pid
    }

    /// Starts a program that is traced from its first call on.
    pub(crate) fn start_traced(&mut self, command: &Command, output: impl FnOnce(&mut Command)) -> Pid {
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        output(&mut shell);
        let pid = self.start(&mut shell);
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it is our child");
        assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
        ptrace::seize(pid, options()).expect("we may trace our child");
        self.threads.insert(pid, None);
        kill(pid, Signal::SIGCONT).expect("it is ours");
        pid
    }

    /// Traces a program that runs.
    pub(crate) fn trace(&mut self, pid: Pid) {
        loop {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
            let ids =
                tasks.map(|task| task.expect("readable").file_name().to_string_lossy().parse().expect("a number"));
            let new: Vec<Pid> = ids.map(Pid::from_raw).filter(|id| !self.threads.contains_key(id)).collect();
            if new.is_empty() {
                return;
            }
            for id in new {
                // It may have ended, or be traced already: by whoever made it, whom we trace.
                if ptrace::seize(id, options()).is_ok() {
                    ptrace::interrupt(id).expect("it is traced");
                }
                self.threads.insert(id, None);
            }
        }
    }

    /// Waits for what happens next.
    pub(crate) fn step(&mut self) -> Step {
        assert_eq!(self.held, None, "it is held");
        loop {
            if let Some((pid, code)) = self.ended.pop_front() {
                return Step::Ended(pid, code);
            }
            if let Some(call) = self.held {
                return Step::Changed(call);
            }
            self.take(wait(WaitPidFlag::empty()));
        }
    }

    /// Lets the thread go on that is held.
    pub(crate) fn go_on(&mut self) {
        self.held = None;
        if let Some(held) = self.timing.take() {
            resume(held, None);
        }
        self.next_turn();
    }

    fn next_turn(&mut self) {
        self.timing = self.waiting.pop_front();
        if let Some(next) = self.timing {
            resume(next, None);
        }
    }

    /// Waits until nobody does anything any more, but for the thread that is held and those that wait for their turn.
    pub(crate) fn until_quiet(&mut self) {
        let end = Instant::now() + QUIET_MAX;
        let mut quiet = 0;
        while quiet < LOOKS && Instant::now() < end {
            match wait(WaitPidFlag::WNOHANG) {
                WaitStatus::StillAlive if self.running.iter().all(|pid| sleeps(*pid)) => quiet += 1,
                WaitStatus::StillAlive => quiet = 0,
                status => {
                    quiet = 0;
                    self.take(status);
                    continue;
                }
            }
            thread::sleep(LOOK);
        }
    }

    /// Ends a process as if the power had failed.
    pub(crate) fn kill(&mut self, pid: Pid) {
        if !self.running.contains(&pid) {
            return;
        }
        kill(pid, Signal::SIGKILL).expect("it is ours");
        while self.running.contains(&pid) {
            self.take(wait(WaitPidFlag::empty()));
        }
        self.ended.retain(|(ended, _)| *ended != pid);
    }

    /// Waits for the end of one, which is not held up any more.
    pub(crate) fn end(&mut self, pid: Pid) -> i32 {
        loop {
            match self.step() {
                Step::Changed(_) => self.go_on(),
                Step::Ended(ended, code) if ended == pid => return code,
                Step::Ended(other, code) => panic!("{other} ended before {pid}, with {code}"),
            }
        }
    }

    pub(crate) fn has_ended(&self, pid: Pid) -> bool {
        !self.running.contains(&pid)
    }

    fn take(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.gone(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.gone(pid, 128 + signal as i32),
            WaitStatus::PtraceSyscall(pid) => self.on_call(pid),
            WaitStatus::PtraceEvent(pid, ..) => {
                self.threads.entry(pid).or_default();
                resume(pid, None);
            }
            WaitStatus::Stopped(pid, signal) if self.threads.contains_key(&pid) => resume(pid, Some(signal)),
            WaitStatus::Stopped(..) | WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }

    fn gone(&mut self, pid: Pid, code: i32) {
        self.threads.remove(&pid);
        self.waiting.retain(|waiting| *waiting != pid);
        if self.timing == Some(pid) {
            self.held = None;
            self.next_turn();
        }
        if self.running.remove(&pid) {
            self.watchdog.see(&self.running);
            self.ended.push_back((pid, code));
        }
    }

    fn on_call(&mut self, pid: Pid) {
        let known = self.threads.entry(pid).or_default();
        if let Some(call) = known.take() {
            // It returns from it.
            self.held = Some(call);
            return;
        }
        let is_entered = ptrace::syscall_info(pid).is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_ENTRY);
        let Some(call) = is_entered.then(|| changing(pid, &self.disk)).flatten() else { return resume(pid, None) };
        self.threads.insert(pid, Some(call));
        if self.timing.is_some() {
            return self.waiting.push_back(pid);
        }
        self.timing = Some(pid);
        resume(pid, None);
    }
}

/// Kills everything when nothing is started and nothing ends for too long: nobody waits for ever then. Seconds are counted
/// that it has seen itself, for a job of hours may be stopped meanwhile, and what is traced by it stands still as well.
struct Watchdog(mpsc::Sender<Vec<Pid>>);

impl Watchdog {
    fn start() -> Self {
        let (sender, seen) = mpsc::channel::<Vec<Pid>>();
        thread::spawn(move || {
            let (mut running, mut quiet) = (Vec::new(), 0);
            loop {
                match seen.recv_timeout(SECOND) {
                    Ok(now) => (running, quiet) = (now, 0),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(mpsc::RecvTimeoutError::Timeout) => quiet += 1,
                }
                if quiet == HANGS_SECS && !running.is_empty() {
                    println!("nothing was started and nothing has ended for {HANGS_SECS} s, so that all is killed");
                    for pid in running.drain(..) {
                        let _ = kill(pid, Signal::SIGKILL);
                    }
                }
            }
        });
        Self(sender)
    }

    fn see(&self, running: &HashSet<Pid>) {
        self.0.send(running.iter().copied().collect()).expect("it ends after us");
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for pid in self.running.clone() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        while !self.running.is_empty() {
            self.take(wait(WaitPidFlag::empty()));
        }
    }
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEEXEC
}

/// A process that was killed meanwhile cannot go on, which its end will tell.
fn resume(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}

/// Only for what this thread has started or traces: others run other tests.
fn wait(how: WaitPidFlag) -> WaitStatus {
    loop {
        match waitpid(None, Some(how | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Ok(status) => return status,
            Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(Errno::ECHILD) => return WaitStatus::StillAlive,
            Err(error) => panic!("waiting for what was started: {error}"),
        }
    }
}

/// Whether all threads of a process wait for something that is not the disk.
fn sleeps(pid: Pid) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    tasks.flatten().all(|task| {
        // The state stands behind the name, which has at most fifteen bytes.
        let mut start = [0; 64];
        let read = fs::File::open(task.path().join("stat")).and_then(|file| file.read_at(&mut start, 0)).unwrap_or(0);
        let state = start[..read].windows(3).rev().find_map(|word| word.strip_prefix(b") "));
        !matches!(state, Some(b"R" | b"D"))
    })
}

/// The name of the call that a thread is about to make, if that changes what lies below `disk`.
fn changing(pid: Pid, disk: &Path) -> Option<&'static str> {
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let number: libc::c_long = words.next()?.parse().ok()?;
    let (_, name, about) = CALLS.iter().find(|(call, ..)| *call == number)?;
    let args: Vec<u64> = words.filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()).collect();
    let making = (libc::O_CREAT | libc::O_TRUNC) as u64;
    let path = match *about {
        About::File(at) => file(pid, *args.get(at)?)?,
        About::Name(dir, at) => named(pid, *args.get(dir)?, *args.get(at)?)?,
        About::Open if args.get(2)? & making != 0 => named(pid, *args.first()?, *args.get(1)?)?,
        About::Request(request) if args.get(1)? & 0xffff_ffff == request => file(pid, *args.first()?)?,
        About::FileOrName if *args.get(1)? == 0 => file(pid, *args.first()?)?,
        About::FileOrName => named(pid, *args.first()?, *args.get(1)?)?,
        About::Open | About::Request(_) => return None,
        About::Everything => disk.to_owned(),
    };
    path.starts_with(disk).then_some(*name)
}

fn file(pid: Pid, descriptor: u64) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{}", descriptor as i32)).ok()
}

/// The path of a name in a directory, which are arguments of a call.
fn named(pid: Pid, dir: u64, name: u64) -> Option<PathBuf> {
    let mut bytes = vec![0; libc::PATH_MAX as usize];
    let read = fs::File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, name)).ok()?;
    let name = bytes[..read].split(|byte| *byte == 0).next()?;
    let name = Path::new(std::ffi::OsStr::from_bytes(name));
    if let Ok(own) = name.strip_prefix("/proc/self/fd") {
        return fs::read_link(Path::new("/proc").join(pid.to_string()).join("fd").join(own)).ok();
    }
    let dir = match dir as i32 {
        libc::AT_FDCWD => fs::read_link(format!("/proc/{pid}/cwd")).ok()?,
        _ => file(pid, dir)?,
    };
    Some(dir.join(name))
}
