//! The presence file of a running server, by which other commands find the server and can ask for its status.
//!
//! One small file a server, `serving-PID-PORT`, says where it listens and what for. It is locked for as long as the
//! server lives: a file that can be locked was left by a server that died, whoever has its number now. Beside it is a
//! socket, `serving-PID-PORT.sock`, that answers each connection with what the server does at that moment. A server
//! that cannot make one is found all the same.
//!
//! | file | noun |
//! |---|---|
//! | `socket` | the socket's place |
//! | `answering`, `asking` | its two ends |

mod answering;
mod asking;
mod socket;

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use self::answering::{Answer, Answering};
pub(crate) use self::asking::{AskError, ask};
use crate::atomic_file::Draft;
use crate::keys::Fingerprint;
use crate::keys::home::{self, HomeError};
use crate::keys::trust::AccessMode;

/// How the files' names begin.
const PREFIX: &str = "serving-";
/// Only the owner reads it, like everything in the home.
const MODE: u32 = 0o600;
/// Largest such file that is read: two paths of the longest kind fit.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// Where a server runs and what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    /// The number of the process.
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
    /// The most that any client may do there.
    pub mode: AccessMode,
}

/// The same as it stands in the file.
#[derive(Serialize, Deserialize)]
struct PresenceFile {
    pid: u32,
    listen: SocketAddr,
    advertised: Option<(String, Option<u16>)>,
    fingerprint: String,
    root: String,
    is_open: bool,
    /// A server of an older version does not say it.
    #[serde(default)]
    mode: AccessMode,
}

impl Serving {
    /// The name of the sign.
    fn name(&self) -> String {
        // Two servers of one process (which only tests have) have different ports.
        format!("{PREFIX}{}-{}", self.pid, self.listen.port())
    }

    fn socket_name(&self) -> String {
        format!("{}{}", self.name(), socket::SUFFIX)
    }
}

/// A server's sign that it runs; dropping it takes the sign away.
#[derive(Debug)]
pub(crate) struct Presence {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
    answering: Option<Answering>,
}

impl Presence {
    /// Leaves the sign in `home`, and answers with `answer` whoever asks. The answer is made on a thread of its own, once
    /// for each that asks.
    ///
    /// # Errors
    /// [`HomeError`] when the sign cannot be written. A server that cannot be asked only says so in the log.
    pub(crate) fn announce(
        home: &Path,
        serving: &Serving,
        answer: impl Fn() -> Vec<u8> + Send + 'static,
    ) -> Result<Self, HomeError> {
        home::prepare(home)?;
        let name = serving.name();
        let path = home.join(&name);
        let _lock = home::lock(home)?;
        let failed = |op| {
            let path = path.clone();
            move |source| HomeError::Io { op, path, source }
        };
        let mut draft = Draft::beside(&path, home::DRAFT, MODE).map_err(failed("make"))?;
        let text = serde_json::to_vec(&PresenceFile::of(serving)).expect("numbers and texts");
        draft.file().write_all(&text).map_err(failed("write"))?;
        // Locked before it has its name: whoever finds it finds it locked.
        draft.file().try_lock().map_err(|error| failed("lock")(error.into()))?;
        let answering = answering(home, &serving.socket_name(), Box::new(answer));
        let file = draft.replace().map_err(failed("rename"))?;
        Ok(Self { path, _file: file, answering })
    }
}

/// `None` when there can be no socket: what is served is worth more than what is said about it.
fn answering(home: &Path, name: &str, answer: Answer) -> Option<Answering> {
    let bound = socket::bind(home, name).and_then(|bound| Answering::start(bound, answer));
    bound.inspect_err(|error| warn!(%error, "this server cannot be asked what it does")).ok()
}

impl Drop for Presence {
    fn drop(&mut self) {
        drop(self.answering.take());
        // A sign that stays is found to be stale.
        remove(&self.path);
    }
}

/// Removes a sign and the socket that belongs to it.
fn remove(sign: &Path) {
    drop(fs::remove_file(socket_of(sign)));
    drop(fs::remove_file(sign));
}

fn socket_of(sign: &Path) -> PathBuf {
    let mut path = sign.as_os_str().to_owned();
    path.push(socket::SUFFIX);
    path.into()
}

impl PresenceFile {
    fn of(serving: &Serving) -> Self {
        let Serving { pid, listen, advertised, fingerprint, root, is_open, mode } = serving.clone();
        Self { pid, listen, advertised, fingerprint: fingerprint.to_string(), root, is_open, mode }
    }

    fn read(self) -> Option<Serving> {
        let Self { pid, listen, advertised, fingerprint, root, is_open, mode } = self;
        Some(Serving { pid, listen, advertised, fingerprint: fingerprint.parse().ok()?, root, is_open, mode })
    }
}

/// The servers that run with this home, in the order of their process numbers. What dead ones left is removed.
///
/// # Errors
/// [`HomeError`] when the directory cannot be read.
pub(crate) fn running(home: &Path) -> Result<Vec<Serving>, HomeError> {
    if !home.exists() {
        return Ok(Vec::new());
    }
    home::prepare(home)?;
    // No server puts its sign up while others are taken down.
    let _lock = home::lock(home)?;
    let failed = |source| HomeError::Io { op: "list", path: home.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(home).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        let Some(name) = name.to_str() else { continue };
        if is_unfinished(name) || is_orphan(name, home) {
            drop(fs::remove_file(path));
        } else if name.starts_with(PREFIX) && !name.ends_with(socket::SUFFIX) {
            found.extend(look(&path));
        }
    }
    found.sort_by_key(|serving| (serving.pid, serving.listen.port()));
    Ok(found)
}

/// Whether a server died in the middle of making this: whoever makes one holds the lock.
fn is_unfinished(name: &str) -> bool {
    name.strip_prefix('.').is_some_and(|name| name.starts_with(PREFIX))
}

/// Whether this is a socket whose sign was removed by hand.
fn is_orphan(name: &str, home: &Path) -> bool {
    let sign = name.strip_suffix(socket::SUFFIX).filter(|name| name.starts_with(PREFIX));
    sign.is_some_and(|sign| matches!(home.join(sign).try_exists(), Ok(false)))
}

/// The server of one sign; a stale sign is removed.
fn look(path: &Path) -> Option<Serving> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) => {
            remove(path);
            return None;
        }
        Err(TryLockError::Error(_)) => return None,
    }
    let mut text = Vec::new();
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<PresenceFile>(&text).ok()?.read()
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
            mode: AccessMode::ReadOnly,
        }
    }

    fn announce(home: &Path, port: u16) -> Presence {
        Presence::announce(home, &serving(port), move || port.to_string().into_bytes()).unwrap()
    }

    fn asked(home: &Path, port: u16) -> Result<Vec<u8>, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(home, &serving(port)))
    }

    /// All files but the lock.
    fn left(home: &Path) -> Vec<String> {
        let names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    }

    #[test]
    fn a_server_is_found_while_it_runs() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(running(home.path()).unwrap(), []);
        let (one, two) = (announce(home.path(), 1), announce(home.path(), 2));
        assert_eq!(running(home.path()).unwrap(), [serving(1), serving(2)]);
        drop(one);
        assert_eq!(running(home.path()).unwrap(), [serving(2)]);
        drop(two);
        assert_eq!(running(home.path()).unwrap(), []);
        assert_eq!(left(home.path()), [""; 0]);
    }

    #[test]
    fn each_server_answers_for_itself_as_often_as_it_is_asked() {
        let home = tempfile::tempdir().unwrap();
        let (one, _two) = (announce(home.path(), 1), announce(home.path(), 2));
        for port in [1, 2, 1] {
            assert_eq!(asked(home.path(), port).unwrap(), port.to_string().into_bytes());
        }
        drop(one);
        assert!(matches!(asked(home.path(), 1), Err(AskError::NoSocket)));
    }

    #[test]
    fn an_asker_that_takes_nothing_keeps_no_other_waiting() {
        let home = tempfile::tempdir().unwrap();
        // More than the system keeps for a socket.
        let long = vec![b'x'; 8 << 20];
        let answer = long.clone();
        let presence = Presence::announce(home.path(), &serving(1), move || answer.clone()).unwrap();
        let address = home.path().join(serving(1).socket_name());
        let _silent: Vec<_> = (0..3).map(|_| std::os::unix::net::UnixStream::connect(&address).unwrap()).collect();
        assert!(asked(home.path(), 1).unwrap() == long);
        drop(presence);
    }

    #[test]
    fn an_answer_without_an_end_is_not_read_to_it() {
        let home = tempfile::tempdir().unwrap();
        let _presence = Presence::announce(home.path(), &serving(1), || vec![b'x'; (16 << 20) + 1]).unwrap();
        assert!(matches!(asked(home.path(), 1), Err(AskError::TooLong)));
    }

    #[test]
    fn a_server_without_a_socket_is_found_and_cannot_be_asked() {
        let home = tempfile::tempdir().unwrap();
        let in_the_way = home.path().join(serving(1).socket_name());
        fs::create_dir(&in_the_way).unwrap();
        let _presence = announce(home.path(), 1);
        assert_eq!(running(home.path()).unwrap(), [serving(1)]);
        fs::remove_dir(&in_the_way).unwrap();
        assert!(matches!(asked(home.path(), 1), Err(AskError::NoSocket)));
    }

    #[test]
    fn what_a_dead_server_left_is_found_to_be_stale() {
        let home = tempfile::tempdir().unwrap();
        let presence = announce(home.path(), 1);
        let (path, kept) = (presence.path.clone(), fs::read(&presence.path).unwrap());
        drop(presence);
        fs::write(&path, kept).unwrap();
        drop(socket::bind(home.path(), &serving(1).socket_name()).unwrap());
        // These died before they had a sign, or while they made it.
        drop(socket::bind(home.path(), &serving(2).socket_name()).unwrap());
        fs::write(home.path().join(".serving-3-3.new"), "").unwrap();
        assert_eq!(running(home.path()).unwrap(), []);
        assert_eq!(left(home.path()), [""; 0]);
    }

    #[test]
    fn a_home_that_is_missing_has_no_servers_and_stays_missing() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("home");
        assert_eq!(running(&home).unwrap(), []);
        assert!(!home.exists());
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
