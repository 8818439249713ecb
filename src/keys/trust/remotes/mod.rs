//! The servers that a client knows: `remotes` in its home directory.

mod text;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::text::{parse, rewrite};
use super::{check_name, free_name, short_name, with_line};
use crate::calendar::day;
use crate::keys::Ticket;
use crate::keys::home::{self, HomeError, Privacy};

/// The list's name in the home directory.
const FILE: &str = "remotes";
/// The name of a server that gave none.
const NAMELESS: &str = "server";
/// Marks the server that is meant when none is named.
const DEFAULT_MARK: &str = "default";
/// Before the day, in a comment.
const SINCE: &str = "since";
/// Words that mean something else where a remote's name can stand (`local:DIR`).
const RESERVED: [&str; 1] = ["local"];
/// First lines of a list made here.
const HEADING: &str =
    "# Servers that this client knows: one a line, NAME qft://FINGERPRINT@HOST:PORT, 'default' behind one of them.\n";

/// Why a server cannot have a name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// It is no name, or means something else.
    #[error("{0}")]
    Unfit(String),
    /// Another server has it.
    #[error("{name} is the name of {address}; choose another, or first: qft remote forget {name}")]
    Taken {
        /// As it is in the list.
        name: String,
        /// Where the other server is.
        address: String,
    },
    /// The list cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// Whether a person may give a server this name; else why not.
///
/// # Errors
/// [`NameError::Unfit`].
pub fn check_remote_name(name: &str) -> Result<(), NameError> {
    if is_reserved(name) {
        return Err(NameError::Unfit(format!("'{name}' means something else ({name}:DIR); choose another name")));
    }
    check_name(name).map_err(NameError::Unfit)
}

/// One server that this client knows, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name here; unique, whatever the case.
    pub name: String,
    /// Where it is and what its key is; never with an invite.
    pub ticket: Ticket,
    /// Whether it is meant when no server is named.
    pub is_default: bool,
    /// Its line in the list, from 1.
    pub line: usize,
    /// The day since which it has this key, as `2026-03-01`, if the list says so.
    pub since: Option<String>,
}

impl Remote {
    /// Whether this is the server at that address, whatever the case of its name.
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        self.ticket.port == port && self.ticket.host.eq_ignore_ascii_case(host)
    }

    /// The line of the list. `comment` is what stood at its end.
    fn text(&self, comment: Option<&str>) -> String {
        let mark = if self.is_default { format!(" {DEFAULT_MARK}") } else { String::new() };
        let comment = comment.map(|comment| format!(" #{comment}")).unwrap_or_default();
        format!("{} {}{mark}{comment}", self.name, self.ticket.without_invite())
    }

    /// The comment that says since when it is known.
    fn known_since(&self) -> Option<String> {
        self.since.as_ref().map(|since| format!(" {SINCE} {since}"))
    }
}

/// The list of known servers: `NAME qft://FINGERPRINT@HOST:PORT [default] [# since DAY]`, one a line.
///
/// Every call reads the file again; a line that says anything else is reported and skipped, and stays.
#[derive(Debug, Clone)]
pub struct Remotes {
    home: PathBuf,
}

impl Remotes {
    /// Opens the list in `home`, which is made if it is missing. No list means no servers.
    ///
    /// # Errors
    /// [`HomeError`], also when others could write to the directory.
    pub fn open(home: &Path) -> Result<Self, HomeError> {
        home::prepare(home)?;
        Ok(Self { home: home.to_owned() })
    }

    /// All known servers, in the order of the file.
    ///
    /// # Errors
    /// [`HomeError`] when the list cannot be read or others can write to it; the same for all that follow.
    pub fn list(&self) -> Result<Vec<Remote>, HomeError> {
        let path = self.home.join(FILE);
        let mut remotes = Vec::new();
        for (number, line) in (1..).zip(self.text()?.lines()) {
            match parse(line) {
                Ok(remote) => remotes.extend(remote.map(|remote| Remote { line: number, ..remote })),
                Err(reason) => tracing::warn!("{}, line {number}: {reason}; the line is skipped", path.display()),
            }
        }
        Ok(remotes)
    }

    /// The server that is meant when none is named.
    ///
    /// # Errors
    /// As [`Remotes::list`].
    pub fn default(&self) -> Result<Option<Remote>, HomeError> {
        Ok(self.list()?.into_iter().find(|remote| remote.is_default))
    }

    /// The server of that name; case does not matter.
    ///
    /// # Errors
    /// As [`Remotes::list`].
    pub fn find(&self, name: &str) -> Result<Option<Remote>, HomeError> {
        Ok(self.list()?.into_iter().find(|remote| remote.name.eq_ignore_ascii_case(name)))
    }

    /// The server at that address, written as it is in the list.
    ///
    /// # Errors
    /// As [`Remotes::list`].
    pub fn find_address(&self, host: &str, port: u16) -> Result<Option<Remote>, HomeError> {
        Ok(self.list()?.into_iter().find(|remote| remote.is_at(host, port)))
    }

    /// Keeps a server and says under which name: `name` made plain, with a number behind it when it is taken.
    ///
    /// The first server kept is the default. A server that is at the same address already keeps its name and gets the
    /// ticket's key: a ticket in the user's hand is newer than the list. So does the one server that is
    /// [known](Self::renewed_by) by the ticket's key at another address: it has moved there.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn save(&self, name: &str, ticket: &Ticket) -> Result<Remote, HomeError> {
        self.keep(name, ticket, true)
    }

    /// The same for a server whose key comes from the network, which overrules no list: a server that is at the same
    /// address already is given back as it is.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn introduce(&self, name: &str, ticket: &Ticket) -> Result<Remote, HomeError> {
        self.keep(name, ticket, false)
    }

    fn keep(&self, name: &str, ticket: &Ticket, overrules: bool) -> Result<Remote, HomeError> {
        let lock = home::lock(&self.home)?;
        let remotes = self.list()?;
        let text = self.text()?;
        let ticket = ticket.without_invite();
        let today = Some(day(SystemTime::now()));
        if let Some(old) = remotes.iter().find(|remote| remote.is_at(&ticket.host, ticket.port)) {
            if !overrules || old.ticket.fingerprint == ticket.fingerprint {
                return Ok(old.clone());
            }
            let new = Remote { ticket, since: today, ..old.clone() };
            tracing::warn!(name = new.name, "the ticket names another key than the list had for this server");
            lock.replace(FILE, &rewrite(&text, |remote| Some(if remote == *old { new.clone() } else { remote })))?;
            return Ok(new);
        }
        if overrules && let Some(old) = one_of_key(&remotes, &ticket) {
            let new = Remote { ticket, ..old.clone() };
            lock.replace(FILE, &rewrite(&text, |remote| Some(if remote == *old { new.clone() } else { remote })))?;
            return Ok(new);
        }
        let is_default = !remotes.iter().any(|remote| remote.is_default);
        let name = free_name(&short_name(name, NAMELESS), |name| is_taken(name, &remotes));
        let new = Remote { name, ticket, is_default, line: 0, since: today };
        append(&lock, text, new)
    }

    /// The entry that a ticket would move to its own address: the only one with its key, at another address. Of several
    /// servers with one key (one installation can run them) none is meant more than the others.
    ///
    /// # Errors
    /// As [`Remotes::list`].
    pub fn renewed_by(&self, ticket: &Ticket) -> Result<Option<Remote>, HomeError> {
        let remotes = self.list()?;
        let is_known = remotes.iter().any(|remote| remote.is_at(&ticket.host, ticket.port));
        Ok(one_of_key(&remotes, ticket).filter(|_| !is_known).cloned())
    }

    /// Keeps a server under exactly this name. One that has the name is replaced only when it is at the same address or
    /// has the same key: a ticket in the user's hand is newer than the list.
    ///
    /// # Errors
    /// [`NameError`]; the list is as it was then.
    pub fn add(&self, name: &str, ticket: &Ticket) -> Result<Remote, NameError> {
        check_remote_name(name)?;
        let lock = home::lock(&self.home)?;
        let remotes = self.list()?;
        let text = self.text()?;
        let (ticket, today) = (ticket.without_invite(), Some(day(SystemTime::now())));
        if let Some(old) = remotes.iter().find(|remote| remote.name.eq_ignore_ascii_case(name)) {
            let has_moved = old.ticket.fingerprint == ticket.fingerprint;
            if !has_moved && !old.is_at(&ticket.host, ticket.port) {
                return Err(NameError::Taken { name: old.name.clone(), address: old.ticket.address() });
            }
            let since = if has_moved { old.since.clone() } else { today };
            let new = Remote { ticket, since, ..old.clone() };
            lock.replace(FILE, &rewrite(&text, |remote| Some(if remote == *old { new.clone() } else { remote })))?;
            return Ok(new);
        }
        let is_default = !remotes.iter().any(|remote| remote.is_default);
        let new = Remote { name: name.to_owned(), ticket, is_default, line: 0, since: today };
        Ok(append(&lock, text, new)?)
    }

    /// Where the list is, for messages.
    pub fn path(&self) -> PathBuf {
        self.home.join(FILE)
    }

    /// Makes a server the default; `false` when there is none of that name.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn set_default(&self, name: &str) -> Result<bool, HomeError> {
        self.change(name, |remote| {
            let is_default = remote.name.eq_ignore_ascii_case(name);
            Some(Remote { is_default, ..remote })
        })
    }

    /// Calls a server by another name; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`NameError`]; the list is as it was then.
    pub fn rename(&self, name: &str, new: &str) -> Result<Option<Remote>, NameError> {
        check_remote_name(new)?;
        let lock = home::lock(&self.home)?;
        let remotes = self.list()?;
        let Some(old) = remotes.iter().find(|remote| remote.name.eq_ignore_ascii_case(name)) else { return Ok(None) };
        if let Some(other) = remotes.iter().find(|remote| *remote != old && remote.name.eq_ignore_ascii_case(new)) {
            return Err(NameError::Taken { name: other.name.clone(), address: other.ticket.address() });
        }
        let renamed = Remote { name: new.to_owned(), ..old.clone() };
        lock.replace(
            FILE,
            &rewrite(&self.text()?, |remote| Some(if remote == *old { renamed.clone() } else { remote })),
        )?;
        Ok(Some(renamed))
    }

    /// Forgets a server; `false` when there is none of that name. There is no default after the default was removed.
    ///
    /// # Errors
    /// [`HomeError`]; the list is as it was then.
    pub fn remove(&self, name: &str) -> Result<bool, HomeError> {
        self.change(name, |remote| if remote.name.eq_ignore_ascii_case(name) { None } else { Some(remote) })
    }

    fn change(&self, name: &str, edit: impl Fn(Remote) -> Option<Remote>) -> Result<bool, HomeError> {
        let lock = home::lock(&self.home)?;
        if self.find(name)?.is_none() {
            return Ok(false);
        }
        lock.replace(FILE, &rewrite(&self.text()?, edit))?;
        Ok(true)
    }

    fn text(&self) -> Result<String, HomeError> {
        Ok(home::read(&self.home.join(FILE), Privacy::List)?.map(|(text, _)| text).unwrap_or_default())
    }
}

/// The list with a new server in its last line.
fn append(lock: &home::HomeLock, text: String, new: Remote) -> Result<Remote, HomeError> {
    let text = if text.is_empty() { HEADING.to_owned() } else { text };
    let new = Remote { line: text.lines().count() + 1, ..new };
    lock.replace(FILE, &with_line(text, &new.text(new.known_since().as_deref())))?;
    Ok(new)
}

/// The only server of the list that has a ticket's key.
fn one_of_key<'a>(remotes: &'a [Remote], ticket: &Ticket) -> Option<&'a Remote> {
    let mut same = remotes.iter().filter(|remote| remote.ticket.fingerprint == ticket.fingerprint);
    same.next().filter(|_| same.next().is_none())
}

/// Whether a name can be given to a new server.
fn is_taken(name: &str, remotes: &[Remote]) -> bool {
    is_reserved(name) || remotes.iter().any(|remote| remote.name.eq_ignore_ascii_case(name))
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
