//! Invites: one-time rights to be enrolled, in a file that all processes of this home share.
//!
//! `invites` is written by the program alone. One a line: `open HASH END [options] [NAME]`, `spent HASH`, and
//! `wrong-tries NUMBER`. Only hashes are kept: who reads the file gets no way in.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::entry::Guest;
use crate::calendar;
use crate::transport::base32;
use crate::transport::home::{self, HomeError, Privacy};
use crate::transport::ticket::Invite;

/// The book's name in the home directory.
const FILE: &str = "invites";
/// How long an invite can be used unless it says otherwise: long enough to walk to another machine, short enough to be
/// forgotten in a shell history.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Wrong tries that end all open invites. Nobody mistypes a copied ticket five times; a search would need 2¹²⁷ tries.
pub const WRONG_TRIES_MAX: u32 = 5;
/// Ended invites that are remembered, so that their bearers are told that they came too late.
const SPENT_KEPT: usize = 256;

const HEADING: &str = "# Invites that were given out, by their hashes. qft writes this file; do not edit it.\n";
const OPEN: &str = "open";
const SPENT: &str = "spent";
const WRONG_TRIES: &str = "wrong-tries";

/// Why an invite is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It was never given out by this installation.
    #[error("the invite is not known here; ask for a new ticket (qft peers invite)")]
    Unknown,
    /// It was used, has expired, or was ended by wrong tries.
    #[error("the invite was used or has expired; ask for a new ticket (qft peers invite)")]
    Spent,
}

/// Why nobody was let in by an invite.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// The invite is not honoured.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The book cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// An invite that waits for its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInvite {
    /// What it gives.
    pub guest: Guest,
    /// When it ends.
    pub until: SystemTime,
}

/// The invites of one home. Every call reads the file anew, and changes it under the home's lock: an invite works once
/// over all processes, and survives their restarts.
#[derive(Debug, Clone)]
pub struct Invites {
    home: PathBuf,
}

type Hash = [u8; 32];

#[derive(Debug, Default)]
struct Book {
    open: Vec<(Hash, OpenInvite)>,
    /// Ended ones, oldest first.
    spent: Vec<Hash>,
    /// Unknown invites brought since the last one was given out.
    wrong_tries: u32,
}

impl Invites {
    /// Opens the book in `home`, which is made if it is missing.
    ///
    /// # Errors
    /// [`HomeError`], also when others could write to the directory.
    pub fn open(home: &Path) -> Result<Self, HomeError> {
        home::prepare(home)?;
        Ok(Self { home: home.to_owned() })
    }

    /// Gives out an invite that works once, until `now` + `lifetime`, and enrols its bearer as `guest`.
    ///
    /// # Errors
    /// [`HomeError`]; nothing was given out then.
    pub fn mint(&self, guest: Guest, lifetime: Duration, now: SystemTime) -> Result<Invite, HomeError> {
        let invite = Invite::random();
        self.change(|book| {
            book.end_where(|open| open.until <= now);
            book.open.push((hash(&invite.0), OpenInvite { guest, until: now + lifetime }));
            book.wrong_tries = 0;
            (true, invite)
        })
    }

    /// Uses an invite up and says what it gives.
    ///
    /// # Errors
    /// [`RedeemError`]; the last of [`WRONG_TRIES_MAX`] unknown ones ends all that are open.
    pub fn redeem(&self, invite: &[u8; 16], now: SystemTime) -> Result<Guest, RedeemError> {
        let hash = hash(invite);
        let outcome = self.change(|book| {
            if let Some(at) = book.open.iter().position(|(open, _)| *open == hash) {
                let (_, open) = book.open.remove(at);
                book.remember(hash);
                return (true, if now < open.until { Ok(open.guest) } else { Err(InviteError::Spent) });
            }
            match book.spent.contains(&hash) {
                true => (false, Err(InviteError::Spent)),
                false => (book.count_wrong_try(), Err(InviteError::Unknown)),
            }
        });
        Ok(outcome??)
    }

    /// The invites that wait for their bearers.
    ///
    /// # Errors
    /// [`HomeError`] when the book cannot be read or others can write to it.
    pub fn list(&self, now: SystemTime) -> Result<Vec<OpenInvite>, HomeError> {
        let open = self.read()?.open.into_iter().map(|(_, open)| open);
        Ok(open.filter(|open| now < open.until).collect())
    }

    /// Ends all open invites and says how many there were.
    ///
    /// # Errors
    /// [`HomeError`]; none was ended then.
    pub fn end_all(&self, now: SystemTime) -> Result<usize, HomeError> {
        self.change(|book| {
            book.end_where(|open| open.until <= now);
            let ended = book.open.len();
            book.end_where(|_| true);
            (true, ended)
        })
    }

    /// Runs `edit` on the book under the lock, and writes the book if `edit` says that it changed it.
    fn change<T>(&self, edit: impl FnOnce(&mut Book) -> (bool, T)) -> Result<T, HomeError> {
        let lock = home::lock(&self.home)?;
        let mut book = self.read()?;
        let (is_changed, result) = edit(&mut book);
        if is_changed {
            lock.replace(FILE, &book.text())?;
        }
        Ok(result)
    }

    fn read(&self) -> Result<Book, HomeError> {
        let path = self.home.join(FILE);
        let Some((text, _)) = home::read(&path, Privacy::List)? else { return Ok(Book::default()) };
        let mut book = Book::default();
        for (number, line) in (1..).zip(text.lines()) {
            if book.add(line).is_none() {
                tracing::warn!("{}, line {number} cannot be read; the line is skipped", path.display());
            }
        }
        Ok(book)
    }
}

impl Book {
    /// Reads one line of the file; `None` when it is no such line.
    fn add(&mut self, line: &str) -> Option<()> {
        let line = line.trim();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            OPEN => {
                let (hash, rest) = rest.split_once(' ')?;
                let (until, guest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (until, guest) = (calendar::parse_end(until)?, Guest::parse(guest).ok()?);
                self.open.push((base32::decode(hash).ok()?, OpenInvite { guest, until }));
            }
            SPENT => self.spent.push(base32::decode(rest).ok()?),
            WRONG_TRIES => self.wrong_tries = rest.parse().ok()?,
            word if word.is_empty() || word.starts_with('#') => {}
            _ => return None,
        }
        Some(())
    }

    fn text(&self) -> String {
        let mut text = HEADING.to_owned();
        for (hash, OpenInvite { guest, until }) in &self.open {
            let line = format!("{OPEN} {} {} {}", base32::encode(hash), calendar::moment(*until), guest.text());
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for hash in &self.spent {
            text.push_str(&format!("{SPENT} {}\n", base32::encode(hash)));
        }
        text.push_str(&format!("{WRONG_TRIES} {}\n", self.wrong_tries));
        text
    }

    /// Counts a wrong try and says whether that changed anything: with no invite open there is nothing to find.
    fn count_wrong_try(&mut self) -> bool {
        if self.open.is_empty() {
            return false;
        }
        self.wrong_tries = self.wrong_tries.saturating_add(1);
        if self.wrong_tries >= WRONG_TRIES_MAX {
            tracing::warn!(open = self.open.len(), "too many wrong invites were tried; all open invites end");
            self.end_where(|_| true);
        }
        true
    }

    fn end_where(&mut self, ends: impl Fn(&OpenInvite) -> bool) {
        let ended: Vec<Hash> = self.open.extract_if(.., |(_, open)| ends(open)).map(|(hash, _)| hash).collect();
        ended.into_iter().for_each(|hash| self.remember(hash));
    }

    fn remember(&mut self, hash: Hash) {
        if self.spent.len() == SPENT_KEPT {
            self.spent.remove(0);
        }
        self.spent.push(hash);
    }
}

fn hash(invite: &[u8; 16]) -> Hash {
    Sha256::digest(invite).into()
}

#[cfg(test)]
mod tests;
