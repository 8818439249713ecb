//! A small file system in a file, usually ext4: mounted, cut off, and copied as it would be found after a power cut.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// What an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    /// It cannot be cut off by a call before Linux 6.19, and its journal is for each file: only what the program syncs is
    /// looked at.
    Btrfs,
}

impl FileSystem {
    /// The program that makes it.
    pub(crate) fn maker(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
            Self::Btrfs => "mkfs.btrfs",
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Ext4 => 32 << 20,
            // It makes none that is smaller.
            Self::Xfs => 300 << 20,
            Self::Btrfs => 128 << 20,
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-F", "-m", "0"],
            Self::Xfs => &["-q", "-f"],
            Self::Btrfs => &["-q", "-f", "--mixed", "-m", "single", "-d", "single"],
        }
    }

    /// Without the kernel's own commits of its journal while a test runs.
    fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Btrfs => "loop,commit=3000,noatime",
            // It writes its journal every 30 seconds, which no run lasts. Images of one origin have one name.
            Self::Xfs => "loop,noatime,nouuid",
        }
    }
}

/// `EXT4_IOC_SHUTDOWN`, which XFS and others have by the same number.
const SHUTDOWN: &str = "open(my $d, '<', $ARGV[0]) or die $!; ioctl($d, 0x8004587D, pack('L', $ARGV[1])) or die $!;";

/// So often a disk is tried to be unmounted that is in use.
const UNMOUNTS: u32 = 1000;

/// How a disk is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All is written before.
    AfterSync = 0,
    /// What the journal has is written before, and no content.
    AfterJournal = 1,
    /// Nothing more is written.
    AtOnce = 2,
}

/// A mounted image. It is unmounted when it is dropped.
pub(crate) struct Mounted {
    image: PathBuf,
    at: PathBuf,
    /// What the kernel says of the device that the image is.
    device: PathBuf,
}

impl Mounted {
    /// Makes an image.
    pub(crate) fn format(image: &Path, kind: FileSystem) {
        File::create(image).and_then(|file| file.set_len(kind.bytes())).expect("an image");
        run(Command::new(kind.maker()).args(kind.words()).arg(image)).expect("a file system is made");
    }

    pub(crate) fn mount(image: &Path, at: &Path, kind: FileSystem) -> Result<Self, String> {
        fs::create_dir_all(at).expect("a directory");
        run(Command::new("mount").args(["-o", kind.options()]).arg(image).arg(at))?;
        let device = device_of(image)?;
        Ok(Self { image: image.to_owned(), at: at.to_owned(), device })
    }

    /// What the program under test uses.
    pub(crate) fn tree(&self) -> PathBuf {
        self.at.join("tree")
    }

    /// Lets the journal have all that happened to names, times and modes, and no content but what belongs to that.
    pub(crate) fn commit_journal(&self) {
        let marker = File::options().append(true).create(true).open(self.at.join("marker"));
        marker.and_then(|mut file| file.write_all(b".").and_then(|()| file.sync_all())).expect("the disk is there");
    }

    pub(crate) fn cut(&self, cut: Cut) {
        let how = (cut as u32).to_string();
        run(Command::new("perl").args(["-e", SHUTDOWN]).arg(&self.at).arg(how))
            .expect("the file system can be cut off");
    }

    /// Copies the image as it is at this moment, as if nothing that is on its way would arrive. `None` when that is what it
    /// was at the last copy of this number of writes.
    pub(crate) fn copy(&self, to: &Path, last: &mut Option<String>) -> bool {
        let state = || {
            let read = |name: &str| fs::read_to_string(self.device.join(name)).expect("a block device");
            let stat: Vec<_> = read("stat").split_whitespace().map(str::to_owned).collect();
            (read("inflight").split_whitespace().all(|count| count == "0"), format!("{} {}", stat[4], stat[6]))
        };
        loop {
            let before = state();
            if before.0 && last.as_ref() == Some(&before.1) {
                return false;
            }
            if before.0 {
                copy_data(&self.image, to);
            }
            let after = state();
            if before.0 && after == before {
                *last = Some(after.1);
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Another test of this process may be starting something, which has our open files until it is another program.
        for _ in 0..UNMOUNTS {
            if run(Command::new("umount").arg(&self.at)).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = run(Command::new("umount").arg("-l").arg(&self.at));
    }
}

/// Copies a file without its holes.
pub(crate) fn copy_data(from: &Path, to: &Path) {
    let from = File::open(from).expect("an image");
    drop(fs::remove_file(to));
    let to = File::create(to).expect("a copy");
    let len = from.metadata().expect("an image").len();
    to.set_len(len).expect("room");
    let mut at = 0;
    loop {
        let start = match seek(&from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return,
            start => start.expect("the file system knows its holes"),
        };
        at = seek(&from, SeekFrom::Hole(start)).expect("the file system knows its holes");
        let mut bytes = vec![0; (at - start) as usize];
        from.read_exact_at(&mut bytes, start).expect("an image");
        to.write_all_at(&bytes, start).expect("room");
    }
}

/// What the kernel says of the loop device that an image is. Not by the mount: of images that are copies of one, a file
/// system that looks for its devices by itself, as btrfs does, may name another.
fn device_of(image: &Path) -> Result<PathBuf, String> {
    let image = image.canonicalize().map_err(|error| format!("{}: {error}", image.display()))?;
    let blocks = fs::read_dir("/sys/block").map_err(|error| format!("/sys/block: {error}"))?;
    let is_ours = |device: &PathBuf| {
        let file = fs::read_to_string(device.join("loop/backing_file")).unwrap_or_default();
        Path::new(file.trim_end()) == image
    };
    let devices = blocks.filter_map(|entry| Some(entry.ok()?.path()));
    devices.into_iter().find(is_ours).ok_or_else(|| format!("no loop device has {}", image.display()))
}

/// Runs a command; what it says is the error.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", text.trim())) }
}

/// Why nothing can be mounted here, if so.
pub(crate) fn missing(kind: FileSystem) -> Option<String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let image = dir.path().join("image");
    if !rustix::process::geteuid().is_root() {
        return Some("only root mounts".to_owned());
    }
    for (tool, word) in [(kind.maker(), "-V"), ("perl", "-v"), ("mount", "-V")] {
        if let Err(error) = Command::new(tool).arg(word).output() {
            return Some(format!("{tool}: {error}"));
        }
    }
    Mounted::format(&image, kind);
    Mounted::mount(&image, &dir.path().join("at"), kind).err()
}
