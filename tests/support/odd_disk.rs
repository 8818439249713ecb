//! Mounts a file system with oddities, where FUSE, Python and fusepy are there.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::bin::wait_for;

/// A mounted `odd_disk.py`, which ends with the test.
pub(crate) struct OddDisk {
    child: Child,
    mount: std::path::PathBuf,
}

impl OddDisk {
    /// Mounts `back` at `mount`, both of which are made. `None`, with a word, where that cannot be done.
    pub(crate) fn mount(back: &Path, mount: &Path, options: &str) -> Option<Self> {
        // Debian gives the module of fusepy its own name.
        let has_fusepy = ["import fuse", "import fusepy"].iter().any(|line| {
            let tried = Command::new("python3").args(["-c", line]).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        });
        if !has_fusepy || !Path::new("/dev/fuse").exists() || !is_root() {
            println!("skipped: this needs root, FUSE, Python and fusepy");
            return None;
        }
        for dir in [back, mount] {
            std::fs::create_dir_all(dir).expect("made");
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/odd_disk.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(back).arg(mount).args(options.split_whitespace());
        let child = command.stdin(Stdio::null()).spawn().expect("Python starts");
        let mut disk = Self { child, mount: mount.to_owned() };
        wait_for("the odd disk", || {
            let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
            assert!(disk.child.try_wait().expect("it is ours").is_none(), "the odd disk ended by itself");
            mounts.lines().any(|line| line.contains(&*mount.to_string_lossy())).then_some(())
        });
        Some(disk)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Drop for OddDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
