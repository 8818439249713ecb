//! In the wild: the real program with odd files and odd disks. What needs strace, FUSE or root says so when it skips.

mod calls;
mod choice;
mod descriptors;
mod directories;
mod disks;
mod fat;
mod names;
mod parts;
mod refused;
mod same;
mod sources;
mod streams;
mod surroundings;
mod terminal;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::bin::Machine;
use crate::support::odd_disk::OddDisk;

/// Where the mounted disk is, and what is behind it.
const DISK: &str = "disk";
const BEHIND: &str = "behind";

/// A machine with an odd disk; nothing where there can be none.
fn with_disk(options: &str) -> Option<(OddDisk, Machine)> {
    let machine = Machine::new();
    let disk = OddDisk::mount(&machine.path(BEHIND), &machine.path(DISK), options)?;
    Some((disk, machine))
}

/// Whether strace is there and may trace. Each command traced needs a home that is complete.
fn has_strace(machine: &Machine) -> bool {
    machine.run("id").exits(0);
    let status = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).stderr(Stdio::null()).status();
    let is_there = status.is_ok_and(|status| status.success());
    if !is_there {
        println!("skipped: strace is not here or may not trace");
    }
    is_there
}

/// A program that makes system calls fail, for those of these names (`open,close`) and only on these paths, if any.
fn failing(calls: &str, error: &str, paths: &[&Path]) -> String {
    let paths: String = paths.iter().map(|path| format!(" -P {}", path.display())).collect();
    format!("strace -f -qq -o /dev/null{paths} -e trace={calls} -e inject={calls}:error={error}")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|found| found.modified()).expect("it is there")
}

fn set_modified(path: &Path, secs: u64, nanos: u32) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
    File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("ours");
    time
}
