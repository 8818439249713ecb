//! The keys that a server knows: `authorized_clients` in its home directory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::entry::{ClientEntry, NAMELESS, client_name, cut_comment};
use super::revoked::{self, Revoked};
use super::rights::Rights;
use super::stamp::{FileStamp, Stamps};
use super::with_line;
use crate::calendar;
use crate::keys::Fingerprint;
use crate::keys::home::{self, HomeError, HomeLock, Privacy};
use crate::protocol::path::escape;

/// The list's name in the home directory.
const FILE: &str = "authorized_clients";
/// First lines of a list made here.
const HEADING: &str = "# Clients that this server knows: one a line, FINGERPRINT [options] NAME. Options, in one word with\n\
                       # commas: ro, wo, no-clobber, root=DIR, expires=2026-12-31. Removing a line shuts that client out.\n";

/// One client in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedClient {
    /// The key by which the client is known.
    pub fingerprint: Fingerprint,
    /// Its name in the list; plain ASCII unless a person wrote it.
    pub name: String,
    /// The rights that it has.
    pub rights: Rights,
    /// The comment behind `#` in its line, for people.
    pub comment: String,
}

impl ListedClient {
    fn line(&self) -> String {
        let entry = ClientEntry { name: Some(self.name.clone()), rights: self.rights.clone() };
        let comment = if self.comment.is_empty() { String::new() } else { format!("  # {}", self.comment) };
        format!("{} {}{comment}", self.fingerprint, entry.text())
    }
}

/// All that the list says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientListing {
    /// The clients, in the order of the file.
    pub clients: Vec<ListedClient>,
    /// Lines that let nobody in: their number, from 1, and what is wrong with each. Safe to print.
    pub broken: Vec<(usize, String)>,
}

/// The state of a key in the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStatus {
    /// It is on the list of clients.
    Listed(ListedClient),
    /// It was shut out: nothing but being listed again lets it in.
    Revoked,
    /// The list does not name the key.
    Unknown,
}

/// The result of [`Clients::allow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// The key is new in the list.
    Added(ListedClient),
    /// It was there, with other rights or another name.
    Changed {
        /// The entry before the change.
        old: ListedClient,
        /// The entry after the change.
        new: ListedClient,
    },
    /// It was there just so.
    Same(ListedClient),
    /// The name is another key's; nothing was changed.
    NameTaken(ListedClient),
}

/// The list of enrolled clients: `FINGERPRINT [options] NAME  # comment`, one a line.
///
/// A line that says anything else is reported and skipped, so what this version does not understand lets no one in. Of
/// two lines with the same key the first counts. The list is read again whenever the file changed: whoever is removed
/// is shut out at the next look.
#[derive(Debug)]
pub struct Clients {
    home: PathBuf,
    known: Mutex<LoadedClients>,
}

#[derive(Debug, Default)]
struct LoadedClients {
    /// Of the files that this came from.
    stamps: Stamps,
    clients: HashMap<Fingerprint, ListedClient>,
    revoked: Revoked,
}

impl Clients {
    /// Opens the list in `home`, which is made if it is missing. No list means no clients.
    ///
    /// # Errors
    /// [`HomeError`], also when others could write to the directory or the list.
    pub fn open(home: &Path) -> Result<Self, HomeError> {
        home::prepare(home).and_then(|()| Self::open_as_it_is(home))
    }

    /// The same of a home that nobody could make: there are no clients before there is a list.
    pub(crate) fn open_as_it_is(home: &Path) -> Result<Self, HomeError> {
        let clients = Self { home: home.to_owned(), known: Mutex::default() };
        clients.with_known(|_| ())?;
        Ok(clients)
    }

    /// The entry of a key, as the file stands now; `None` when it is not there. Blocks on the disk for a moment.
    ///
    /// # Errors
    /// [`HomeError`] when the list cannot be read or is not safe; let no one in then.
    pub fn find(&self, fingerprint: &Fingerprint) -> Result<Option<ListedClient>, HomeError> {
        self.with_known(|known| known.clients.get(fingerprint).cloned())
    }

    /// The status of a key in both lists, as the files stand now. Blocks on the disk for a moment.
    ///
    /// # Errors
    /// As [`Clients::find`].
    pub fn status(&self, fingerprint: &Fingerprint) -> Result<KeyStatus, HomeError> {
        self.with_known(|known| match known.clients.get(fingerprint) {
            Some(client) => KeyStatus::Listed(client.clone()),
            None if known.revoked.contains_key(fingerprint) => KeyStatus::Revoked,
            None => KeyStatus::Unknown,
        })
    }

    /// The keys that were shut out, with what each was called; in no order.
    ///
    /// # Errors
    /// As [`Clients::find`].
    pub fn revoked(&self) -> Result<Vec<(Fingerprint, String)>, HomeError> {
        Ok(revoked::read(&self.home)?.into_iter().collect())
    }

    /// All that the list says.
    ///
    /// # Errors
    /// As [`Clients::find`].
    pub fn list(&self) -> Result<ClientListing, HomeError> {
        Ok(read_all(&self.text()?))
    }

    /// Adds a key with what its invite gives it, under a name of the client's choosing (made plain and unique) unless
    /// the invite names it; `None` when it is there already.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn enrol(
        &self,
        fingerprint: &Fingerprint,
        calls_itself: &str,
        entry: &ClientEntry,
    ) -> Result<Option<ListedClient>, HomeError> {
        let lock = home::lock(&self.home)?;
        let text = self.text()?;
        if is_listed(&text, fingerprint) {
            return Ok(None);
        }
        let wanted = entry.name.as_deref().unwrap_or(calls_itself);
        self.add(&lock, text, fingerprint, wanted, &entry.rights).map(Some)
    }

    /// Gives a key exactly these rights, whether it is new or known. A known one keeps its name unless another is given.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn allow(&self, fingerprint: &Fingerprint, name: Option<&str>, rights: &Rights) -> Result<Allowed, HomeError> {
        self.change(fingerprint, name, |_| rights.clone())
    }

    /// Gives a key the rights that `change` makes of those it has; a new one begins with the default. A known one keeps
    /// its name unless another is given.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn change(
        &self,
        fingerprint: &Fingerprint,
        name: Option<&str>,
        change: impl FnOnce(&Rights) -> Rights,
    ) -> Result<Allowed, HomeError> {
        let lock = home::lock(&self.home)?;
        let text = self.text()?;
        let all = read_all(&text).clients;
        let is_others = |client: &&ListedClient| client.fingerprint != *fingerprint;
        let owner = |name: &str| all.iter().filter(is_others).find(|client| client.name.eq_ignore_ascii_case(name));
        if let Some(owner) = name.and_then(owner) {
            return Ok(Allowed::NameTaken(owner.clone()));
        }
        let Some(old) = all.iter().find(|client| client.fingerprint == *fingerprint) else {
            let rights = change(&Rights::default());
            return self.add(&lock, text, fingerprint, name.unwrap_or(NAMELESS), &rights).map(Allowed::Added);
        };
        let name = name.map_or_else(|| old.name.clone(), str::to_owned);
        let new = ListedClient { name, rights: change(&old.rights), ..old.clone() };
        if new == *old {
            return Ok(Allowed::Same(new));
        }
        let edit = |line: &str| if is_listed(line, fingerprint) { new.line() } else { line.to_owned() };
        lock.replace(FILE, &text.lines().fold(String::new(), |text, line| with_line(text, &edit(line))))?;
        Ok(Allowed::Changed { old: old.clone(), new })
    }

    fn add(
        &self,
        lock: &HomeLock,
        text: String,
        fingerprint: &Fingerprint,
        wanted: &str,
        rights: &Rights,
    ) -> Result<ListedClient, HomeError> {
        revoked::remove(&self.home, lock, fingerprint)?;
        let all = read_all(&text).clients;
        let name = client_name(wanted, |name| all.iter().any(|client| client.name.eq_ignore_ascii_case(name)));
        let comment = format!("added {}", calendar::day(SystemTime::now()));
        let new = ListedClient { fingerprint: *fingerprint, name, rights: rights.clone(), comment };
        let text = if text.is_empty() { HEADING.to_owned() } else { text };
        lock.replace(FILE, &with_line(text, &new.line()))?;
        Ok(new)
    }

    /// Removes a key from the list and shuts it out, so that no token and no certificate lets it in. Says whether it was on
    /// the list.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn remove(&self, fingerprint: &Fingerprint) -> Result<bool, HomeError> {
        let lock = home::lock(&self.home)?;
        let text = self.text()?;
        let listed = read_all(&text).clients.into_iter().find(|client| client.fingerprint == *fingerprint);
        let name = listed.map(|client| client.name).unwrap_or_default();
        // First: were it only off the list, a token would let it in again.
        revoked::add(&self.home, &lock, fingerprint, &name)?;
        if !text.lines().any(|line| names_key(line, fingerprint)) {
            return Ok(false);
        }
        // A broken line of the key goes too: mended later, it would let the client in again.
        let kept = text.lines().filter(|line| !names_key(line, fingerprint));
        lock.replace(FILE, &kept.fold(String::new(), with_line))?;
        Ok(true)
    }

    /// The mark that tells this state of the lists from every other.
    ///
    /// # Errors
    /// [`HomeError`] when it cannot be told.
    pub(crate) fn stamps(&self) -> Result<Stamps, HomeError> {
        Ok(Stamps { clients: FileStamp::of(self.path())?, revoked: FileStamp::of(self.home.join(revoked::FILE))? })
    }

    fn path(&self) -> PathBuf {
        self.home.join(FILE)
    }

    fn text(&self) -> Result<String, HomeError> {
        Ok(home::read(&self.path(), Privacy::List)?.map(|(text, _)| text).unwrap_or_default())
    }

    fn with_known<T>(&self, look: impl FnOnce(&LoadedClients) -> T) -> Result<T, HomeError> {
        // The disk is asked without the lock: where it hangs, whoever asks hangs alone.
        let stamps = self.stamps()?;
        let known = self.known();
        if stamps == known.stamps {
            return Ok(look(&known));
        }
        drop(known);
        let read = self.read(stamps)?;
        let found = look(&read);
        *self.known() = read;
        Ok(found)
    }

    fn known(&self) -> MutexGuard<'_, LoadedClients> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads both lists. `stamps` was taken before: what changes from then on is read again at the next look.
    fn read(&self, stamps: Stamps) -> Result<LoadedClients, HomeError> {
        let path = self.path();
        let (text, revoked) = (self.text()?, revoked::read(&self.home)?);
        let ClientListing { clients, broken } = read_all(&text);
        for (number, reason) in broken {
            tracing::warn!("{}, line {number}: {reason}; the line lets nobody in", path.display());
        }
        let clients = clients.into_iter().map(|client| (client.fingerprint, client)).collect();
        Ok(LoadedClients { stamps, clients, revoked })
    }
}

fn read_all(text: &str) -> ClientListing {
    let mut listing = ClientListing::default();
    let mut seen: HashMap<Fingerprint, usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        match parse(line) {
            Ok(None) => {}
            Ok(Some(client)) => match seen.entry(client.fingerprint) {
                Entry::Vacant(first) => {
                    first.insert(number);
                    listing.clients.push(client);
                }
                Entry::Occupied(first) => {
                    listing.broken.push((number, format!("its key stands in line {} already", first.get())));
                }
            },
            Err(reason) => listing.broken.push((number, escape(reason.as_bytes()).to_string())),
        }
    }
    listing
}

/// A client, `None` for a blank line or a comment, or what is wrong with the line.
fn parse(line: &str) -> Result<Option<ListedClient>, String> {
    let Some((fingerprint, rest, comment)) = cut(line) else { return Ok(None) };
    let fingerprint = fingerprint.parse().map_err(|error| format!("the fingerprint {error}"))?;
    let ClientEntry { name, rights } = ClientEntry::parse(rest)?;
    let name = name.unwrap_or_else(|| NAMELESS.to_owned());
    Ok(Some(ListedClient { fingerprint, name, rights, comment: comment.unwrap_or_default().to_owned() }))
}

fn is_listed(text: &str, fingerprint: &Fingerprint) -> bool {
    text.lines().any(|line| matches!(parse(line), Ok(Some(client)) if client.fingerprint == *fingerprint))
}

/// Whether a line begins with the key, whatever follows. Cut as the line that lets in is cut: a key that a comment
/// touches would else be let in and could not be taken off.
fn names_key(line: &str, fingerprint: &Fingerprint) -> bool {
    cut(line).and_then(|(word, _, _)| word.parse().ok()) == Some(*fingerprint)
}

/// The word that stands for the key, what follows it, and the comment; `None` where nothing is said.
fn cut(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let (said, comment) = cut_comment(line);
    let (fingerprint, rest) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
    (!said.is_empty()).then_some((fingerprint, rest, comment))
}

#[cfg(test)]
mod tests;
