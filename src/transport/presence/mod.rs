//! What a running server leaves in the home directory, so that other commands find it: where it listens and what for.
//!
//! One small file a server, `serving-PID`, locked for as long as the server lives. A file that can be locked was left
//! by a server that died, whoever has its number now.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::home::{self, HomeError};

/// How the files' names begin.
const PREFIX: &str = "serving-";
/// Only the owner reads it, like everything in the home.
const MODE: u32 = 0o600;
/// Largest such file that is read: two paths of the longest kind fit.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Where a server runs and what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The process.
    pub pid: u32,
    /// The address that the socket is bound to.
    pub listen: SocketAddr,
    /// How clients reach it, if it was told: host, and port when it differs.
    pub advertised: Option<(String, Option<u16>)>,
    /// The key that it shows.
    pub fingerprint: Fingerprint,
    /// The directory, escaped for display.
    pub root: String,
    /// Whether it lets anyone in.
    pub is_open: bool,
}

/// The same as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Note {
    pid: u32,
    listen: SocketAddr,
    advertised: Option<(String, Option<u16>)>,
    fingerprint: String,
    root: String,
    is_open: bool,
}

/// A server's sign that it runs; dropping it takes the sign away.
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Presence {
    /// Leaves the sign in `home`.
    ///
    /// # Errors
    /// [`HomeError`] when it cannot be written.
    pub fn announce(home: &Path, serving: &Serving) -> Result<Self, HomeError> {
        home::prepare(home)?;
        // Two servers of one process (which only tests have) have different sockets.
        let name = format!("{PREFIX}{}-{}", serving.pid, serving.listen.port());
        let (path, fresh) = (home.join(&name), home.join(format!(".{name}.new")));
        let _lock = home::lock(home)?;
        drop(fs::remove_file(&fresh));
        let failed = |op, path: &Path| {
            let path = path.to_owned();
            move |source| HomeError::Io { op, path, source }
        };
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(MODE);
        let mut file = options.open(&fresh).map_err(failed("make", &fresh))?;
        let text = serde_json::to_vec(&Note::of(serving)).expect("numbers and texts");
        file.write_all(&text).map_err(failed("write", &fresh))?;
        // Locked before it has its name: whoever finds it finds it locked.
        file.try_lock().map_err(|error| failed("lock", &fresh)(error.into()))?;
        fs::rename(&fresh, &path).map_err(failed("rename", &fresh))?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // A sign that stays is found to be stale.
        drop(fs::remove_file(&self.path));
    }
}

impl Note {
    fn of(serving: &Serving) -> Self {
        let Serving { pid, listen, advertised, fingerprint, root, is_open } = serving.clone();
        Self { pid, listen, advertised, fingerprint: fingerprint.to_string(), root, is_open }
    }

    fn read(self) -> Option<Serving> {
        let Self { pid, listen, advertised, fingerprint, root, is_open } = self;
        Some(Serving { pid, listen, advertised, fingerprint: fingerprint.parse().ok()?, root, is_open })
    }
}

/// The servers that run with this home, in the order of their process numbers. Signs of dead ones are removed.
///
/// # Errors
/// [`HomeError`] when the directory cannot be read.
pub fn running(home: &Path) -> Result<Vec<Serving>, HomeError> {
    home::prepare(home)?;
    // No server puts its sign up while others are taken down.
    let _lock = home::lock(home)?;
    let failed = |source| HomeError::Io { op: "list", path: home.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(home).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            found.extend(look(&entry.path()));
        }
    }
    found.sort_by_key(|serving| (serving.pid, serving.listen.port()));
    Ok(found)
}

/// The server of one sign; a stale sign is removed.
fn look(path: &Path) -> Option<Serving> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) => {
            drop(fs::remove_file(path));
            return None;
        }
        Err(TryLockError::Error(_)) => return None,
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<Note>(&text).ok()?.read()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(port: u16) -> Serving {
        Serving {
            pid: std::process::id(),
            listen: ([0, 0, 0, 0], port).into(),
            advertised: Some(("box.example".into(), None)),
            fingerprint: Fingerprint([7; 32]),
            root: "/srv/in".into(),
            is_open: false,
        }
    }

    #[test]
    fn a_server_is_found_while_it_runs() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(running(home.path()).unwrap(), []);
        let one = Presence::announce(home.path(), &serving(1)).unwrap();
        let two = Presence::announce(home.path(), &serving(2)).unwrap();
        assert_eq!(running(home.path()).unwrap(), [serving(1), serving(2)]);
        drop(one);
        assert_eq!(running(home.path()).unwrap(), [serving(2)]);
        drop(two);
        assert_eq!(running(home.path()).unwrap(), []);
    }

    #[test]
    fn the_sign_of_a_dead_server_is_found_to_be_stale() {
        let home = tempfile::tempdir().unwrap();
        let presence = Presence::announce(home.path(), &serving(1)).unwrap();
        let (path, kept) = (presence.path.clone(), fs::read(&presence.path).unwrap());
        drop(presence);
        fs::write(&path, kept).unwrap();
        assert_eq!(running(home.path()).unwrap(), []);
        assert!(!path.exists());
    }

    #[test]
    fn a_sign_that_cannot_be_read_is_no_server() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(format!("{PREFIX}1"));
        fs::write(&path, "junk").unwrap();
        let file = File::open(&path).unwrap();
        file.lock().unwrap();
        assert_eq!(running(home.path()).unwrap(), []);
    }
}
