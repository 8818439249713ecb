//! FAT and exFAT themselves, where they can be mounted, and what makes them odd where they cannot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{BEHIND, DISK, modified, set_modified, with_disk};
use crate::support::bin::Machine;

/// An image of such a file system, mounted; it ends with the test.
struct Mounted {
    at: PathBuf,
    device: Option<String>,
}

impl Mounted {
    /// `None`, with a word, where that cannot be done.
    fn new(machine: &Machine, maker: &str, kind: &str, helper: Option<&str>) -> Option<Self> {
        let (image, at) = (machine.write("image", ""), machine.path(DISK));
        File::options().write(true).open(&image).and_then(|file| file.set_len(64 << 20)).expect("ours");
        fs::create_dir_all(&at).expect("made");
        let mut disk = Self { at: at.clone(), device: None };
        let is_made = quiet(Command::new(maker).arg(&image));
        if is_made && quiet(Command::new("mount").args(["-t", kind, "-o", "loop"]).arg(&image).arg(&at)) {
            return Some(disk);
        }
        let helper = helper.filter(|_| is_made && Path::new("/dev/fuse").exists());
        let device = helper.and_then(|_| loop_device(&image));
        if let (Some(helper), Some(device)) = (helper, device) {
            disk.device = Some(device.clone());
            if quiet(Command::new(helper).arg(device).arg(&at)) {
                return Some(disk);
            }
        }
        println!("skipped: this needs root, {maker}, and {kind} in the kernel or by FUSE");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = quiet(Command::new("umount").arg("-l").arg(&self.at));
        if let Some(device) = &self.device {
            let _ = quiet(Command::new("losetup").args(["-d", device]));
        }
    }
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn loop_device(image: &Path) -> Option<String> {
    let said = Command::new("losetup").args(["-f", "--show"]).arg(image).output().ok()?;
    Some(String::from_utf8(said.stdout).ok()?.trim().to_owned())
        .filter(|device| said.status.success() && !device.is_empty())
}

/// What holds on all of them: times and names that are one.
fn try_disk(machine: &Machine) {
    for n in 0..5 {
        let file = machine.write(&format!("tree/d/{n}"), format!("{n}"));
        // Odd seconds and a fraction: neither is kept.
        set_modified(&file, 1_704_067_201 + n, 123_456_789);
    }
    machine.run("send tree --to local:disk").exits(0).says(&["sent 5 files"]);
    machine.run("send tree --to local:disk").exits(0).says(&["5 unchanged"]);
    fs::write(machine.path("tree/d/3"), "x").expect("ours");
    set_modified(&machine.path("tree/d/3"), 1_704_067_208, 0);
    machine.run("send tree --to local:disk").exits(0).says(&["sent 1 file", "4 unchanged"]);
    assert_eq!(machine.read("disk/tree/d/3"), b"x");
    machine.run("get local:disk/tree back/").exits(0);
    machine.run("get local:disk/tree back/").exits(0).says(&["5 unchanged"]);
    machine.write("f", "first");
    for policy in ["skip", "fail", "rename"] {
        machine.write("f", "first");
        machine.run(&format!("send --if-exists {policy} f --to local:disk/{policy}")).exits(0);
        machine.write("f", "second, longer");
        let again = machine.run(&format!("send --if-exists {policy} f --to local:disk/{policy}"));
        again.exits(if policy == "fail" { 7 } else { 0 });
        assert_eq!(machine.read(&format!("disk/{policy}/f")), b"first", "{policy}");
        let names = machine.tree(&format!("disk/{policy}"));
        assert_eq!(names, if policy == "rename" { &["f", "f~1"][..] } else { &["f"] });
    }
    for (name, content) in [("B", "1"), ("b", "2")] {
        machine.write(&format!("pair/{name}"), content);
    }
    machine.run("send pair/ --to local:disk/pair").exits(3).says(&["failed: b:", "B has this name"]);
    assert_eq!((machine.tree("disk/pair"), machine.read("disk/pair/B")), (vec!["B".to_owned()], b"1".to_vec()));
}

#[test]
fn exfat_keeps_what_is_sent_and_the_next_run_finds_it_unchanged() {
    let machine = Machine::new();
    let Some(_disk) = Mounted::new(&machine, "mkfs.exfat", "exfat", Some("mount.exfat-fuse")) else { return };
    try_disk(&machine);
}

#[test]
fn fat_keeps_what_is_sent_and_the_next_run_finds_it_unchanged() {
    let machine = Machine::new();
    let Some(_disk) = Mounted::new(&machine, "mkfs.vfat", "vfat", None) else { return };
    try_disk(&machine);
}

/// FAT in small: every other second, one name whatever its case, and no file beyond a length.
#[test]
fn a_file_that_is_longer_than_the_disk_has_any_fails_alone_and_says_so() {
    const MOST: u64 = 2 << 20;
    let Some((_disk, machine)) = with_disk(&format!("gran_ns=2000000000 ci=1 filemax={MOST}")) else { return };
    machine.write_large("tree/fits", MOST);
    machine.write_large("tree/large", MOST + 1);
    File::create(machine.path("tree/sparse")).and_then(|file| file.set_len(MOST + 1)).expect("ours");
    let time = set_modified(&machine.write("tree/small", "content"), 1_704_067_201, 5);
    let sent = machine.run("send tree --to local:disk");
    sent.exits(3).says(&["sent 2 of 4 files"]).says(&["failed: tree/large:", "larger than files can be"]);
    sent.says(&["failed: tree/sparse:", "larger than files can be"]);
    for name in ["fits", "small"] {
        assert!(machine.read(&format!("{BEHIND}/tree/{name}")) == machine.read(&format!("tree/{name}")), "{name}");
    }
    let kept = modified(&machine.path("disk/tree/small"));
    assert!(time.duration_since(kept).is_ok_and(|less| less.as_secs() < 2), "{kept:?}");
    machine.run("send tree --to local:disk").exits(3).says(&["2 unchanged"]);
    assert!(!machine.has("disk/tree/large") && !machine.has("disk/tree/sparse"));
}
