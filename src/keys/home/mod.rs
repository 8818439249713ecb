//! The one directory that holds this installation's key and lists, and how files in it are read and replaced.
//!
//! Several processes use it at once. Whoever changes a file holds the directory's lock, writes a new file beside it
//! and renames it over: a reader sees the old file or the new one, and a crash leaves one of the two.

mod strict;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::atomic_file::Draft;

/// Held while a file of the directory is replaced; never removed, never read.
const LOCK_FILE: &str = ".lock";
/// Longest wait for the lock. Its holder needs milliseconds, so a longer wait means a stopped process.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Time between two tries at the lock.
const LOCK_POLL: Duration = Duration::from_millis(5);
/// Largest file read from the directory: 15,000 enrolled clients. Anything more was put there by mistake.
const LIST_BYTES_MAX: u64 = 1024 * 1024;
/// Where containers and service managers mount secrets, for a process that they start and for nobody else: Docker,
/// Podman and (by convention) Kubernetes; systemd's credentials.
const SECRET_MOUNTS: [&str; 2] = ["/run/secrets", "/run/credentials"];
/// Mode of every file in the directory.
const FILE_MODE: u32 = 0o600;
/// Mode of the directory, when it is made here.
const DIRECTORY_MODE: u32 = 0o700;

/// Why the directory or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// No variable and no account entry says where it is.
    #[error("no home directory is known; set QFT_HOME to a directory for the key and the lists")]
    Unknown,
    /// The system refused; `source` says why.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// The operation, as a verb: `open`, `replace`.
        op: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why the system refused it.
        source: io::Error,
    },
    /// The home directory is missing and cannot be made; `source` says why.
    #[error("cannot make {} (QFT_HOME=DIR has keys and lists elsewhere)", path.display())]
    Unmade {
        /// The directory that was to be the home.
        path: PathBuf,
        /// Why the system refused it.
        source: io::Error,
    },
    /// A secret that others can read is no secret any more.
    #[error("others can read {path} (mode {mode:04o}); run: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file that is not trusted.
        path: PathBuf,
        /// Its permission bits, of which one is too many.
        mode: u32,
    },
    /// A user who can write to it could let anyone in.
    #[error("others can write to {path} (mode {mode:04o}); run: chmod go-w {path}", path = path.display())]
    Writable {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits, of which one is too many.
        mode: u32,
    },
    /// Root uses nothing of which another user decides what it is.
    #[error("{} belongs to another user (uid {uid}), who could change what root relies on; give it to root, or use \
        another home: QFT_HOME=DIR (with sudo, -H is root's own)", path.display())]
    Foreign {
        /// The file, directory or link.
        path: PathBuf,
        /// The number of the user who owns it.
        uid: u32,
    },
    /// Not a regular file, or far larger than such a file can be.
    #[error("{} is not one of qft's files; move it away", path.display())]
    Alien {
        /// The file that is not trusted.
        path: PathBuf,
    },
    /// Another process holds the lock and does not let go.
    #[error("another qft has kept {} locked for {} s; is it stopped?", path.display(), LOCK_WAIT.as_secs())]
    Locked {
        /// The lock file, which another process holds.
        path: PathBuf,
    },
}

impl HomeError {
    /// Whether it could be used if others could not get at it.
    pub fn is_distrust(&self) -> bool {
        matches!(self, Self::Exposed { .. } | Self::Writable { .. } | Self::Foreign { .. })
    }

    fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source }
    }
}

/// Where this installation keeps its key and lists: `$QFT_HOME`, else `$XDG_CONFIG_HOME/qft`, else `~/.config/qft`.
///
/// The directory need not exist.
///
/// # Errors
/// [`HomeError::Unknown`] when none of the three is known.
pub fn home() -> Result<PathBuf, HomeError> {
    let variable = |name| std::env::var_os(name);
    locate(variable("QFT_HOME"), variable("XDG_CONFIG_HOME"), std::env::home_dir()).ok_or(HomeError::Unknown)
}

fn locate(qft_home: Option<OsString>, xdg: Option<OsString>, user_home: Option<PathBuf>) -> Option<PathBuf> {
    if let Some(dir) = qft_home.filter(|dir| !dir.is_empty()) {
        return Some(dir.into());
    }
    // The XDG specification: a relative path there is to be ignored.
    if let Some(dir) = xdg.map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Some(dir.join("qft"));
    }
    user_home.filter(|dir| dir.is_absolute()).map(|dir| dir.join(".config").join("qft"))
}

/// Makes the directory if it is missing, and refuses one that others can write to. As root, one that is another user's,
/// or lies below what is, is neither used nor made.
pub(crate) fn prepare(home: &Path) -> Result<(), HomeError> {
    strict::check_way(home)?;
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(home)
        .map_err(|source| HomeError::Unmade { path: home.to_owned(), source })?;
    let metadata = fs::metadata(home).map_err(HomeError::io("examine", home))?;
    check_not_writable(home, &metadata)
}

fn check_not_writable(path: &Path, metadata: &Metadata) -> Result<(), HomeError> {
    match metadata.mode() & 0o7777 {
        mode if mode & 0o022 != 0 => Err(HomeError::Writable { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// The users who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Its owner alone: it holds a key.
    Secret,
    /// Anyone, as long as only its owner can write: it is a list.
    List,
}

/// Reads a whole file of the home and what `fstat` said of the very file that was read; `None` when there is none.
pub(crate) fn read(path: &Path, privacy: Privacy) -> Result<Option<(String, Metadata)>, HomeError> {
    let Some((file, metadata)) = open(path)? else { return Ok(None) };
    if !metadata.is_file() {
        return Err(HomeError::Alien { path: path.to_owned() });
    }
    strict::check_way(path)?;
    strict::check_owner(path, &metadata)?;
    check_mode(path, &metadata, privacy)?;
    Ok(Some((text_of(path, file)?, metadata)))
}

/// Reads a whole file that the user has named, wherever it lies and whosever it is; `None` when there is none. It may be
/// a pipe, which a shell makes of `<(command)`. What lies where nobody can change it, neither those who can read it nor
/// this user, is taken as it is: see [`is_sealed`].
pub(super) fn read_named(path: &Path, privacy: Privacy) -> Result<Option<String>, HomeError> {
    let Some((file, metadata)) = open(path)? else { return Ok(None) };
    if !metadata.is_file() && !metadata.file_type().is_fifo() {
        return Err(HomeError::Alien { path: path.to_owned() });
    }
    if !is_sealed(path, &metadata) {
        check_mode(path, &metadata, privacy)?;
    }
    text_of(path, file).map(Some)
}

/// Whether a file lies where its permission bits are for neither this user nor those who can read it to change: on a
/// read-only mount, among the secrets that a container's host has mounted, or in root's hands. Whoever put it there
/// decided who reads it.
pub(super) fn is_sealed(path: &Path, metadata: &Metadata) -> bool {
    let is_read_only =
        || rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    let is_writable = metadata.mode() & 0o022 != 0;
    let is_roots = metadata.uid() == 0 && !rustix::process::geteuid().is_root();
    let is_mounted = || path.canonicalize().is_ok_and(|real| SECRET_MOUNTS.iter().any(|dir| real.starts_with(dir)));
    metadata.is_file() && (!is_writable && (is_roots || is_mounted()) || is_read_only())
}

fn open(path: &Path) -> Result<Option<(File, Metadata)>, HomeError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HomeError::io("open", path)(error)),
    };
    let metadata = file.metadata().map_err(HomeError::io("examine", path))?;
    Ok(Some((file, metadata)))
}

fn check_mode(path: &Path, metadata: &Metadata, privacy: Privacy) -> Result<(), HomeError> {
    let mode = metadata.mode() & 0o7777;
    if privacy == Privacy::Secret && mode & 0o077 != 0 {
        return Err(HomeError::Exposed { path: path.to_owned(), mode });
    }
    check_not_writable(path, metadata)
}

fn text_of(path: &Path, file: File) -> Result<String, HomeError> {
    let mut text = String::new();
    file.take(LIST_BYTES_MAX + 1).read_to_string(&mut text).map_err(HomeError::io("read", path))?;
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(HomeError::Alien { path: path.to_owned() });
    }
    Ok(text)
}

/// The right to replace files in the directory. Given up when dropped, or by the system when the process ends.
#[derive(Debug)]
pub(crate) struct HomeLock {
    home: PathBuf,
    _file: File,
}

/// How the name of a file ends that is being written under the lock.
pub(crate) const DRAFT: &str = "new";

/// Waits (without a runtime) for the right to replace files in `home`.
pub(crate) fn lock(home: &Path) -> Result<HomeLock, HomeError> {
    let path = home.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(FILE_MODE);
    let file = options.open(&path).map_err(HomeError::io("open", &path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(HomeLock { home: home.to_owned(), _file: file }),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(HomeError::Locked { path }),
            Err(TryLockError::Error(error)) => return Err(HomeError::io("lock", &path)(error)),
        }
    }
}

impl HomeLock {
    /// Puts `text` in the place of the file `name`, durably.
    pub(crate) fn replace(&self, name: &str, text: &str) -> Result<(), HomeError> {
        let path = self.home.join(name);
        // Under the lock only a crash can have left a draft behind.
        let mut draft = Draft::beside(&path, DRAFT, FILE_MODE).map_err(HomeError::io("make", &path))?;
        let file = draft.file();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(HomeError::io("write", &path))?;
        draft.replace().map_err(HomeError::io("replace", &path))?;
        let directory = File::open(&self.home).map_err(HomeError::io("open", &self.home))?;
        directory.sync_all().map_err(HomeError::io("sync", &self.home))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn qft_home_wins_over_xdg_and_xdg_over_the_account() {
        let os = |text: &str| Some(OsString::from(text));
        let account = || Some(PathBuf::from("/home/u"));
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(locate(os("/q"), os("/x"), account()), path("/q"));
        assert_eq!(locate(os("rel"), os("/x"), account()), path("rel"));
        assert_eq!(locate(os(""), os("/x"), account()), path("/x/qft"));
        assert_eq!(locate(None, os("rel"), account()), path("/home/u/.config/qft"));
        assert_eq!(locate(None, os(""), account()), path("/home/u/.config/qft"));
        assert_eq!(locate(None, None, None), None);
    }

    #[test]
    fn the_directory_is_made_for_its_owner_alone() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("a/b");
        prepare(&home).unwrap();
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let refusal = prepare(home.path()).unwrap_err();
        assert!(matches!(refusal, HomeError::Writable { mode: 0o770, .. }));
        assert!(refusal.to_string().contains(&format!("chmod go-w {}", home.path().display())));
    }

    #[test]
    fn a_replaced_file_is_whole_and_private_even_after_a_crash_left_its_draft() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".list.new"), "half a dra").unwrap();
        let lock = lock(home.path()).unwrap();
        lock.replace("list", "one\n").unwrap();
        lock.replace("list", "two\n").unwrap();
        let (text, metadata) = read(&home.path().join("list"), Privacy::Secret).unwrap().unwrap();
        assert_eq!(text, "two\n");
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(!home.path().join(".list.new").exists());
    }

    #[test]
    fn a_directory_in_the_place_of_a_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("list")).unwrap();
        assert!(matches!(read(&home.path().join("list"), Privacy::List), Err(HomeError::Alien { .. })));
    }
}
