//! The keys that a server knows: `authorized_clients` in its home directory.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use super::{content, date, short_name, with_line};
use crate::transport::fingerprint::Fingerprint;
use crate::transport::home::{self, HomeError, Privacy};

/// The list's name in the home directory.
const FILE: &str = "authorized_clients";
/// The name of a client that gave none.
const NAMELESS: &str = "client";
/// First lines of a list made here.
const HEADING: &str =
    "# Clients that this server knows: one a line, FINGERPRINT NAME. Removing a line shuts that client out.\n";

/// One enrolled client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its key.
    pub fingerprint: Fingerprint,
    /// What it is called in the list; plain ASCII unless a person wrote it.
    pub name: String,
}

/// The list of enrolled clients: `FINGERPRINT NAME  # comment`, one a line.
///
/// A line that says anything else is reported and skipped, so what this version does not understand lets no one in.
/// The list is read again whenever the file changed: whoever is removed is shut out at the next connection.
#[derive(Debug)]
pub struct Clients {
    home: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Of the file that the names came from; `None` when there was none.
    stamp: Option<Stamp>,
    names: HashMap<Fingerprint, String>,
}

/// Tells one state of a file from another. A replaced file has another inode, an edited one another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Clients {
    /// Opens the list in `home`, which is made if it is missing. No list means no clients.
    ///
    /// # Errors
    /// [`HomeError`], also when others could write to the directory or the list.
    pub fn open(home: &Path) -> Result<Self, HomeError> {
        home::prepare(home)?;
        let clients = Self { home: home.to_owned(), known: Mutex::default() };
        clients.with_known(|_| ())?;
        Ok(clients)
    }

    /// Whether a key is in the list, as the file stands now. Blocks on the disk for a moment.
    ///
    /// # Errors
    /// [`HomeError`] when the list cannot be read or is not safe; let no one in then.
    pub fn is_enrolled(&self, fingerprint: &Fingerprint) -> Result<bool, HomeError> {
        self.with_known(|known| known.names.contains_key(fingerprint))
    }

    /// What a key is called in the list; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Clients::is_enrolled`].
    pub fn name_of(&self, fingerprint: &Fingerprint) -> Result<Option<String>, HomeError> {
        self.with_known(|known| known.names.get(fingerprint).cloned())
    }

    /// All enrolled clients, in the order of the file.
    ///
    /// # Errors
    /// As [`Clients::is_enrolled`].
    pub fn list(&self) -> Result<Vec<Client>, HomeError> {
        let text = self.text()?;
        Ok(text.lines().filter_map(|line| parse(line).ok().flatten()).collect())
    }

    /// Adds a key under a name of the client's choosing (made plain first); `false` when it is there already.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn enrol(&self, fingerprint: &Fingerprint, name: &str) -> Result<bool, HomeError> {
        let lock = home::lock(&self.home)?;
        let text = self.text()?;
        if is_listed(&text, fingerprint) {
            return Ok(false);
        }
        let text = if text.is_empty() { HEADING.to_owned() } else { text };
        let line = format!("{fingerprint} {}  # added {}", short_name(name, NAMELESS), date(SystemTime::now()));
        lock.replace(FILE, &with_line(text, &line))?;
        Ok(true)
    }

    /// Removes a key; `false` when it was not there.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn remove(&self, fingerprint: &Fingerprint) -> Result<bool, HomeError> {
        let lock = home::lock(&self.home)?;
        let text = self.text()?;
        if !is_listed(&text, fingerprint) {
            return Ok(false);
        }
        let kept = text.lines().filter(|line| !is_listed(line, fingerprint));
        lock.replace(FILE, &kept.fold(String::new(), with_line))?;
        Ok(true)
    }

    fn path(&self) -> PathBuf {
        self.home.join(FILE)
    }

    fn text(&self) -> Result<String, HomeError> {
        Ok(home::read(&self.path(), Privacy::List)?.map(|(text, _)| text).unwrap_or_default())
    }

    fn with_known<T>(&self, look: impl FnOnce(&Known) -> T) -> Result<T, HomeError> {
        let mut known = self.known.lock().expect("nothing panics while it holds the list");
        if self.stamp_now()? != known.stamp {
            *known = self.read()?;
        }
        Ok(look(&known))
    }

    fn stamp_now(&self) -> Result<Option<Stamp>, HomeError> {
        match fs::metadata(self.path()) {
            Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { op: "examine", path: self.path(), source }),
        }
    }

    fn read(&self) -> Result<Known, HomeError> {
        let path = self.path();
        let Some((text, metadata)) = home::read(&path, Privacy::List)? else {
            return Ok(Known::default());
        };
        let mut names = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            match parse(line) {
                Ok(Some(client)) => drop(names.insert(client.fingerprint, client.name)),
                Ok(None) => {}
                Err(reason) => tracing::warn!("{}, line {number}: {reason}; the line is skipped", path.display()),
            }
        }
        Ok(Known { stamp: Some(Stamp::of(&metadata)), names })
    }
}

/// A client, `None` for a blank line or a comment, or what is wrong with the line.
fn parse(line: &str) -> Result<Option<Client>, String> {
    let mut words = content(line).split_whitespace();
    let Some(fingerprint) = words.next() else { return Ok(None) };
    let fingerprint = fingerprint.parse().map_err(|error| format!("the fingerprint {error}"))?;
    let name = words.next().unwrap_or(NAMELESS).to_owned();
    match words.next() {
        Some(_) => Err("more than a fingerprint and a name".to_owned()),
        None => Ok(Some(Client { fingerprint, name })),
    }
}

fn is_listed(text: &str, fingerprint: &Fingerprint) -> bool {
    text.lines().any(|line| matches!(parse(line), Ok(Some(client)) if client.fingerprint == *fingerprint))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(number: u8) -> Fingerprint {
        Fingerprint([number; 32])
    }

    fn write(home: &Path, text: &str) {
        fs::write(home.join(FILE), text).unwrap();
        fs::set_permissions(home.join(FILE), fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn nobody_is_enrolled_where_there_is_no_list() {
        let home = tempfile::tempdir().unwrap();
        assert!(!Clients::open(home.path()).unwrap().is_enrolled(&key(1)).unwrap());
    }

    #[test]
    fn an_enrolled_client_is_known_to_every_process_and_only_once() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (Clients::open(home.path()).unwrap(), Clients::open(home.path()).unwrap());
        assert!(one.enrol(&key(1), "Anna's laptop\n#").unwrap());
        assert!(!other.enrol(&key(1), "again").unwrap());
        assert!(other.is_enrolled(&key(1)).unwrap());
        assert!(!other.is_enrolled(&key(2)).unwrap());
        assert_eq!(one.list().unwrap(), [Client { fingerprint: key(1), name: "Anna-s-laptop".into() }]);
        assert_eq!(fs::metadata(home.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_line_is_skipped_and_all_others_count_and_stay() {
        let home = tempfile::tempdir().unwrap();
        let text = format!("# mine\n{} a\nnonsense\n{} b read-only root=x\n\n{}", key(1), key(2), key(3));
        write(home.path(), &text);
        let clients = Clients::open(home.path()).unwrap();
        assert!(clients.is_enrolled(&key(1)).unwrap());
        assert!(!clients.is_enrolled(&key(2)).unwrap(), "options that are not understood let no one in");
        assert!(clients.is_enrolled(&key(3)).unwrap());
        clients.enrol(&key(4), "d").unwrap();
        assert!(clients.is_enrolled(&key(4)).unwrap());
        assert!(
            fs::read_to_string(home.path().join(FILE)).unwrap().starts_with(&format!("{text}\n{} d  # added ", key(4)))
        );
    }

    #[test]
    fn a_change_of_the_file_is_seen_at_once() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), &format!("{} a\n", key(1)));
        let clients = Clients::open(home.path()).unwrap();
        assert!(clients.is_enrolled(&key(1)).unwrap());
        write(home.path(), &format!("{} a\n# {} a\n", key(2), key(1)));
        assert!(!clients.is_enrolled(&key(1)).unwrap());
        fs::remove_file(home.path().join(FILE)).unwrap();
        assert!(!clients.is_enrolled(&key(2)).unwrap());
    }

    #[test]
    fn a_removed_client_is_shut_out_and_comments_stay() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), &format!("# mine\n{} a\n{} b # old\n", key(1), key(2)));
        let clients = Clients::open(home.path()).unwrap();
        assert!(clients.remove(&key(1)).unwrap());
        assert!(!clients.remove(&key(1)).unwrap());
        assert!(!clients.is_enrolled(&key(1)).unwrap());
        assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap(), format!("# mine\n{} b # old\n", key(2)));
    }

    #[test]
    fn a_list_that_others_can_write_to_lets_no_one_in() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), &format!("{} a\n", key(1)));
        let clients = Clients::open(home.path()).unwrap();
        fs::set_permissions(home.path().join(FILE), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(clients.is_enrolled(&key(1)), Err(HomeError::Writable { .. })));
    }

    #[test]
    fn enrolments_at_once_all_survive() {
        const PROCESSES: u8 = 4;
        const EACH: u8 = 8;
        let home = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for process in 0..PROCESSES {
                // The lock belongs to an open file, so instances exclude each other as processes do.
                let clients = Clients::open(home.path()).unwrap();
                scope.spawn(move || {
                    for n in 0..EACH {
                        assert!(clients.enrol(&key(process * EACH + n), "c").unwrap());
                    }
                });
            }
        });
        assert_eq!(Clients::open(home.path()).unwrap().list().unwrap().len(), usize::from(PROCESSES * EACH));
    }
}
