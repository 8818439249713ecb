//! Network namespaces: the two hosts. Nothing of theirs outlives the comparison.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// Ours begin with this, then the process that made them.
const PREFIX: &str = "qft-compare-";
/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(5);
/// How long one that is ending may take to be waited for.
const REAPED: Duration = Duration::from_millis(50);
/// Time between two looks at what another process does.
const LOOK: Duration = Duration::from_millis(2);

/// A host on the link. It is removed, with every process in it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    handle: File,
    /// What tells it from others.
    inode: u64,
}

impl Namespace {
    /// Makes one for this process, whose loopback works.
    pub(crate) fn create(which: &str) -> anyhow::Result<Self> {
        let name = format!("{PREFIX}{}-{which}", std::process::id());
        ip(&["netns", "add", &name])?;
        let path = Path::new(NAMESPACES).join(&name);
        let handle = File::open(&path).with_context(|| path.display().to_string())?;
        let inode = handle.metadata()?.ino();
        let namespace = Self { name, handle, inode };
        namespace.enter(|| ip(&["link", "set", "lo", "up"]))??;
        Ok(namespace)
    }

    /// Its name, for `ip`.
    #[allow(dead_code, reason = "the comparison lays its cables through an emulator, a test lays one directly")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Does something inside. What it starts is inside too.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok::<_, Errno>(work())
            });
            let done = inside.join().map_err(|_| anyhow::anyhow!("panicked in namespace {}", self.name))?;
            done.with_context(|| format!("cannot enter namespace {}", self.name))
        })
    }

    /// Writes a kernel setting below `/proc/sys/net`.
    pub(crate) fn set(&self, setting: &str, value: &str) -> anyhow::Result<()> {
        let path = Path::new("/proc/sys/net").join(setting);
        self.enter(|| fs::write(&path, value))?.with_context(|| format!("{setting} = {value}"))
    }

    /// Kills every process inside, waits until they are gone, and takes over their accounts.
    pub(crate) fn kill_all(&self) {
        let end = Instant::now() + GONE;
        loop {
            let pids = self.processes();
            if pids.is_empty() {
                return reap();
            }
            pids.iter().for_each(|pid| {
                let _ = kill_process(*pid, Signal::KILL);
            });
            reap();
            if Instant::now() > end {
                return eprintln!("{}: some processes cannot be killed", self.name);
            }
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let inside = format!("net:[{}]", self.inode);
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let there = pids.filter(|pid: &i32| {
            fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| link.as_os_str() == OsStr::new(&inside))
        });
        there.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.kill_all();
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}

/// Waits for children that have ended, those of others among them (we are their subreaper). One that is just ending
/// is no longer in its namespace and not yet to be waited for, so this looks for a while.
fn reap() {
    let end = Instant::now() + REAPED;
    while Instant::now() < end {
        match waitpid(None, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(LOOK),
            Err(_) => return,
        }
    }
}

/// Runs `ip` where the calling thread is.
pub(crate) fn ip(args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    let output = command.args(args).stdin(Stdio::null()).output().context("ip (package iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), said.trim());
    Ok(())
}

/// Removes what a comparison that was killed left behind: namespaces of ours whose maker is gone.
pub(crate) fn sweep() {
    let Ok(entries) = fs::read_dir(NAMESPACES) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_none_or(|pid| PathBuf::from("/proc").join(pid).exists()) {
            continue;
        }
        let path = Path::new(NAMESPACES).join(&name);
        let Ok(handle) = File::open(&path) else { continue };
        let Ok(inode) = handle.metadata().map(|meta| meta.ino()) else { continue };
        drop(Namespace { name, handle, inode });
    }
}
