//! The second wall around what peers can name: Landlock, where the kernel has it.
//!
//! The first wall is [`storage`](crate::storage): a peer's name is opened beneath a directory that is held open. Should
//! that ever be wrong, the kernel still refuses every file that the command has no business with. A thread that is
//! confined stays so, with all threads that it starts: a server confines itself before its first thread, a transfer
//! confines the thread that all its work is done below. What draws, and what cleans temporary files up, stays outside.
//!
//! A rule holds for a directory as an object, with all that is or will be mounted below it. Names, sizes and modes are
//! not protected, only content and changes. A home that is moved away and made anew while a server runs is another
//! object: that server cannot use it before its next start.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, make_bitflags, path_beneath_rules,
};

/// All that is refused where no rule allows it: everything that this version of Landlock (of Linux 6.10) knows of files.
/// Older kernels refuse less.
const REFUSED: ABI = ABI::V5;
/// To look around and read.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// To receive: files, directories and links are made, written, renamed and removed; no device, socket or FIFO.
const CHANGE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | MakeReg | MakeDir | MakeSym});
/// To replace one file by its name.
const REPLACE_FILES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | Truncate | RemoveFile | MakeReg});
/// The kernel's files about this process and this machine, its memory and its processors, which the standard library,
/// the C library's allocator and this program read.
const OWN_STATE: [&str; 5] = [
    "/proc/self",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/random/boot_id",
];
/// Where the system's resolver finds its settings, its modules and its caches; and nobody's data.
const RESOLVER: [&str; 8] = ["/etc", "/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/var/lib/sss"];
/// Its settings, which may be links to anywhere.
const RESOLVER_FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];
/// More files named one by one than this are not worth a rule each.
const SOURCES_MAX: usize = 1024;

/// The file access of a thread, and of all that it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sandbox {
    rules: Vec<(PathBuf, BitFlags<AccessFs>)>,
}

impl Sandbox {
    /// Nothing but what every process needs to know of itself.
    pub(crate) fn new() -> Self {
        let own = OWN_STATE.iter().map(PathBuf::from).chain(std::env::current_exe());
        Self { rules: own.map(|path| (path, READ)).collect() }
    }

    fn with(mut self, path: &Path, access: BitFlags<AccessFs>) -> Self {
        self.rules.push((path.to_owned(), access));
        self
    }

    /// All below this directory may be read.
    pub(crate) fn reads(self, dir: &Path) -> Self {
        self.with(dir, READ)
    }

    /// All below this directory may be read, made and replaced.
    pub(crate) fn changes(self, dir: &Path) -> Self {
        self.with(dir, CHANGE)
    }

    /// Likewise, with the sockets of servers.
    pub(crate) fn uses_home(self, home: &Path) -> Self {
        self.with(home, CHANGE | AccessFs::MakeSock)
    }

    /// A file may be read, also when it has been replaced by its name, or by a link on the way to it (which is how
    /// Kubernetes replaces secrets).
    pub(crate) fn reads_file(self, file: &Path) -> Self {
        let real = file.canonicalize().ok();
        [Some(file), real.as_deref()].into_iter().flatten().fold(self, |all, path| all.with(parent(path), READ))
    }

    /// A file may be written and replaced.
    pub(crate) fn replaces_file(self, file: &Path) -> Self {
        self.with(parent(file), REPLACE_FILES)
    }

    /// Names of hosts may be resolved.
    pub(crate) fn resolves(self) -> Self {
        let all = RESOLVER.iter().fold(self, |all, dir| all.reads(Path::new(dir)));
        RESOLVER_FILES.iter().fold(all, |all, file| all.reads_file(Path::new(file)))
    }

    /// What is to be sent: directories with all below them, files with those beside them, for they may be replaced while
    /// they are read. That other names exist may be seen.
    pub(crate) fn sends(self, paths: &[PathBuf]) -> Self {
        let sources: HashSet<PathBuf> = paths.iter().filter_map(|path| source(path)).collect();
        let all = self.with(Path::new("/"), AccessFs::ReadDir.into());
        match sources.len() {
            0..=SOURCES_MAX => sources.iter().fold(all, |all, path| all.reads(path)),
            _ => all.reads(Path::new("/")),
        }
    }

    /// Confines the calling thread and all that it will start. What is missing of it is said, in one line; nothing depends
    /// on it.
    pub(crate) fn enforce(self) -> Option<String> {
        let enforced = self.restrict();
        match enforced {
            Ok(RulesetStatus::FullyEnforced) => None,
            Ok(RulesetStatus::PartiallyEnforced) => {
                Some("this kernel's Landlock is older than Linux 6.10 and confines qft only partly".to_owned())
            }
            Ok(RulesetStatus::NotEnforced) => Some("this kernel has no Landlock to confine qft with".to_owned()),
            Err(error) => Some(format!("Landlock does not confine qft here: {error}")),
        }
    }

    fn restrict(self) -> Result<RulesetStatus, RulesetError> {
        let mut rules = Ruleset::default().handle_access(AccessFs::from_all(REFUSED))?.create()?;
        for (path, access) in self.rules {
            // A path that does not exist needs no rule.
            rules = rules.add_rules(path_beneath_rules([path], access))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    }
}

/// The directory that a file lies in.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The directory to read for one path of a command line; `None` when nothing is there.
fn source(path: &Path) -> Option<PathBuf> {
    let found = fs::symlink_metadata(path).ok()?;
    if found.is_dir() {
        return Some(path.to_owned());
    }
    if !found.is_symlink() {
        return Some(parent(path).to_owned());
    }
    let real = path.canonicalize().ok()?;
    Some(if real.is_dir() { real } else { parent(&real).to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::protocol::message::Status;
    use crate::storage::{Replace, Root};

    /// Runs `f` on a thread that is confined; `false` where the kernel cannot.
    fn confined(sandbox: Sandbox, f: impl FnOnce() + Send) -> bool {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Some(missing) = sandbox.enforce() {
                    println!("skipped: {missing}");
                    return false;
                }
                f();
                true
            });
            thread.join().expect("it does not panic")
        })
    }

    fn is_refused<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a temporary directory");
        for dir in ["in", "out", "home"] {
            fs::create_dir(place.path().join(dir)).expect("made");
            fs::write(place.path().join(dir).join("f"), dir).expect("written");
        }
        place
    }

    #[test]
    fn nothing_outside_can_be_read_or_changed_whatever_the_code_does() {
        let place = place();
        let path = |name: &str| place.path().join(name);
        symlink("../out", path("in/link")).expect("made");
        let sandbox = Sandbox::new().changes(&path("in")).uses_home(&path("home"));
        confined(sandbox, || {
            for outside in ["out/f", "in/link/f", "in/../out/f"] {
                assert!(is_refused(fs::read(path(outside))), "{outside}");
                assert!(is_refused(fs::write(path(outside), "changed")), "{outside}");
            }
            assert!(is_refused(fs::write(path("out/new"), "")));
            assert!(is_refused(fs::remove_file(path("out/f"))));
            assert!(is_refused(fs::create_dir(path("out/dir"))));
            assert!(is_refused(fs::read("/etc/passwd")));
            // A directory may be held, to pass through it; what is in it is as shut by our own way as by any.
            let f = crate::protocol::path::WirePath::parse(b"f").expect("a name");
            let read = Root::open(&path("out")).and_then(|root| root.tree().open_source(&f));
            assert!(read.is_err(), "our own way there is shut, too");
            // On a thread of a thread as well.
            std::thread::scope(|scope| {
                scope.spawn(|| assert!(is_refused(fs::read(path("out/f")))));
            });
        });
        assert_eq!(fs::read(path("out/f")).expect("this thread may"), b"out");
    }

    #[test]
    fn what_a_receiver_does_it_can_do() {
        let place = place();
        let path = |name: &str| place.path().join(name);
        let sandbox = Sandbox::new().changes(&path("in")).uses_home(&path("home"));
        confined(sandbox, || {
            let root = Root::open(&path("in")).expect("opened").destination();
            let wire = |name: &str| crate::protocol::path::WirePath::parse(name.as_bytes()).expect("a name");
            assert!(root.make_dir(&wire("d/e")).expect("made"));
            fs::write(path("in/d/part"), "x").expect("written");
            fs::rename(path("in/d/part"), path("in/d/f")).expect("renamed");
            fs::hard_link(path("in/d/f"), path("in/d/g")).expect("a second name in the same directory");
            fs::remove_file(path("in/d/g")).expect("removed");
            symlink("f", path("in/d/link")).expect("made");
            root.sync_dir(Some(&wire("d"))).expect("synced");
            let in_the_way = root.make_link(&wire("d/e"), b"f", Replace::Yes).expect_err("a directory has the name");
            assert_eq!(in_the_way.status(), Status::BadName, "and not that it is forbidden to remove it");
            std::os::unix::net::UnixListener::bind(path("home/s.sock")).expect("a server's socket");
            assert!(is_refused(std::os::unix::net::UnixListener::bind(path("in/s.sock"))));
            assert!(std::thread::available_parallelism().is_ok());
            assert!(fs::read("/proc/self/status").is_ok() && fs::read_dir("/proc/self/fd").is_ok());
        });
    }

    #[test]
    fn a_sender_reads_what_was_named() {
        let place = place();
        let path = |name: &str| place.path().join(name);
        symlink("out/f", path("named")).expect("made");
        let sources = |paths: &[&str]| Sandbox::new().sends(&paths.iter().map(|name| path(name)).collect::<Vec<_>>());
        confined(sources(&["in", "missing"]), || {
            assert!(fs::read(path("in/f")).is_ok());
            assert!(is_refused(fs::read(path("out/f"))));
            assert!(is_refused(fs::write(path("in/f"), "")), "nothing is written");
        });
        confined(sources(&["in/f", "named"]), || {
            assert!(fs::read(path("in/f")).is_ok() && fs::read(path("named")).is_ok());
            assert!(is_refused(fs::read(path("home/f"))));
        });
    }

    #[test]
    fn a_file_that_was_replaced_is_read_again() {
        let place = place();
        let path = |name: &str| place.path().join(name);
        symlink("in", path("..data")).expect("made");
        symlink("../..data/f", path("home/token")).expect("made");
        confined(Sandbox::new().reads_file(&path("home/token")).reads_file(&path("in/f")), || {
            assert_eq!(fs::read(path("home/token")).expect("readable"), b"in");
        });
        let replaced = path("home/f");
        let sandbox = Sandbox::new().reads_file(&replaced);
        fs::write(path("home/new"), "new").expect("written");
        fs::rename(path("home/new"), &replaced).expect("replaced");
        confined(sandbox, || assert_eq!(fs::read(&replaced).expect("readable"), b"new"));
    }

    #[test]
    fn where_the_resolver_looks_nobody_keeps_files() {
        for dir in RESOLVER.map(Path::new) {
            for private in ["/home", "/root", "/srv", "/mnt", "/media", "/tmp", "/var/tmp", "/"] {
                assert!(!Path::new(private).starts_with(dir), "{private} lies in {}", dir.display());
            }
        }
    }
}
