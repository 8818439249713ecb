//! Invites: one-time rights to be enrolled, in a file that all processes of this home share.
//!
//! `invites` is written by the program alone. One a line: `open HASH END [options] [NAME]` and `spent HASH`. Only hashes
//! are kept: who reads the file gets no way in. Wrong invites are not counted here: 128 random bits cannot be guessed, and
//! a limit that strangers reach would let them end what they cannot use.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::entry::ClientEntry;
use crate::calendar;
use crate::keys::Invite;
use crate::keys::base32;
use crate::keys::home::{self, HomeError, Privacy};

/// The list's name in the home directory.
const FILE: &str = "invites";
/// How long an invite can be used unless it says otherwise: long enough to walk to another machine, short enough to be
/// forgotten in a shell history.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Ended invites that are remembered, so that their bearers are told that they came too late.
const SPENT_KEPT: usize = 256;

const HEADING: &str = "# Invites that were given out, by their hashes. qft writes this file; do not edit it.\n";
const OPEN: &str = "open";
const SPENT: &str = "spent";
/// Written by versions that counted wrong invites; read past.
const WRONG_TRIES: &str = "wrong-tries";

/// Why an invite is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It was never given out by this installation.
    #[error("the invite is not known here; ask for a new ticket (qft peers invite)")]
    Unknown,
    /// It was used, has expired, or was ended.
    #[error("the invite was used or has expired; ask for a new ticket (qft peers invite)")]
    Spent,
}

/// Why nobody was let in by an invite.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// The invite is not honoured.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The list cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// Characters of an invite's hash by which people tell it from others.
const ID_CHARS: usize = 8;

/// An invite that waits for its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInvite {
    /// The start of its hash, which is no secret: by this it is ended.
    pub id: String,
    /// The rights of the client that redeems it.
    pub entry: ClientEntry,
    /// When it can be redeemed no more.
    pub until: SystemTime,
}

/// The invites of one home. Every call reads the file again, and changes it under the home's lock: an invite works once
/// over all processes, and survives their restarts.
#[derive(Debug, Clone)]
pub struct Invites {
    home: PathBuf,
}

type InviteHash = [u8; 32];

#[derive(Debug, Default)]
struct InviteList {
    open: Vec<(InviteHash, OpenInvite)>,
    /// Ended ones, oldest first.
    spent: Vec<InviteHash>,
}

impl Invites {
    /// Opens the list in `home`, which is made if it is missing.
    ///
    /// # Errors
    /// [`HomeError`], also when others could write to the directory.
    pub fn open(home: &Path) -> Result<Self, HomeError> {
        home::prepare(home)?;
        Ok(Self::open_as_it_is(home))
    }

    /// The same of a home that nobody could make: there are no invites before there is a list.
    pub(crate) fn open_as_it_is(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// Gives out an invite that works once, until `now` + `lifetime`, and enrols its bearer as `guest`.
    ///
    /// # Errors
    /// [`HomeError`]; nothing was given out then.
    pub fn mint(&self, entry: ClientEntry, lifetime: Duration, now: SystemTime) -> Result<Invite, HomeError> {
        let invite = Invite::random();
        self.change(|invites| {
            invites.end_where(|open| open.until <= now);
            let hash = hash(&invite.0);
            invites.open.push((hash, OpenInvite { id: id(&hash), entry, until: now + lifetime }));
            (true, invite)
        })
    }

    /// Uses an invite up and says what it gives.
    ///
    /// # Errors
    /// [`RedeemError`]. An invite that is not open changes nothing.
    pub fn redeem(&self, invite: &[u8; 16], now: SystemTime) -> Result<ClientEntry, RedeemError> {
        let hash = hash(invite);
        // Strangers can bring any number of wrong invites, so those cost one look: no lock, and nothing is written.
        self.read()?.position(&hash)?;
        let outcome = self.change(|invites| {
            let at = match invites.position(&hash) {
                Ok(at) => at,
                Err(error) => return (false, Err(error)),
            };
            let (_, open) = invites.open.remove(at);
            invites.remember(hash);
            (true, if now < open.until { Ok(open.entry) } else { Err(InviteError::Spent) })
        });
        Ok(outcome??)
    }

    /// The invites that wait for their bearers.
    ///
    /// # Errors
    /// [`HomeError`] when the list cannot be read or others can write to it.
    pub fn list(&self, now: SystemTime) -> Result<Vec<OpenInvite>, HomeError> {
        let open = self.read()?.open.into_iter().map(|(_, open)| open);
        Ok(open.filter(|open| now < open.until).collect())
    }

    /// Ends an open invite before its time; `false` when it is not open any more.
    ///
    /// # Errors
    /// [`HomeError`]; it was not ended then.
    pub fn end(&self, invite: &Invite) -> Result<bool, HomeError> {
        let hash = hash(&invite.0);
        self.end_one(|(open, _)| *open == hash)
    }

    /// The same for the one that is listed with this id.
    ///
    /// # Errors
    /// As [`Invites::end`].
    pub fn end_id(&self, id: &str) -> Result<bool, HomeError> {
        self.end_one(|(_, open)| open.id == id)
    }

    fn end_one(&self, is_meant: impl Fn(&(InviteHash, OpenInvite)) -> bool) -> Result<bool, HomeError> {
        self.change(|invites| {
            let Some(at) = invites.open.iter().position(is_meant) else { return (false, false) };
            let (hash, _) = invites.open.remove(at);
            invites.remember(hash);
            (true, true)
        })
    }

    /// Ends all open invites and says how many there were.
    ///
    /// # Errors
    /// [`HomeError`]; none was ended then.
    pub fn end_all(&self, now: SystemTime) -> Result<usize, HomeError> {
        self.change(|invites| {
            invites.end_where(|open| open.until <= now);
            let ended = invites.open.len();
            invites.end_where(|_| true);
            (true, ended)
        })
    }

    /// Runs `edit` on the list under the lock, and writes the list if `edit` says that it changed it.
    fn change<T>(&self, edit: impl FnOnce(&mut InviteList) -> (bool, T)) -> Result<T, HomeError> {
        let lock = home::lock(&self.home)?;
        let mut invites = self.read()?;
        let (is_changed, result) = edit(&mut invites);
        if is_changed {
            lock.replace(FILE, &invites.text())?;
        }
        Ok(result)
    }

    fn read(&self) -> Result<InviteList, HomeError> {
        let path = self.home.join(FILE);
        let Some((text, _)) = home::read(&path, Privacy::List)? else { return Ok(InviteList::default()) };
        let mut invites = InviteList::default();
        for (number, line) in (1..).zip(text.lines()) {
            if invites.add(line).is_none() {
                tracing::warn!("{}, line {number} cannot be read; the line is skipped", path.display());
            }
        }
        Ok(invites)
    }
}

impl InviteList {
    /// Reads one line of the file; `None` when it is no such line.
    fn add(&mut self, line: &str) -> Option<()> {
        let line = line.trim();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            OPEN => {
                let (hash, rest) = rest.split_once(' ')?;
                let (until, entry) = rest.split_once(' ').unwrap_or((rest, ""));
                let (until, entry) = (calendar::parse_end(until)?, ClientEntry::parse(entry).ok()?);
                let hash = base32::decode(hash).ok()?;
                self.open.push((hash, OpenInvite { id: id(&hash), entry, until }));
            }
            SPENT => self.spent.push(base32::decode(rest).ok()?),
            WRONG_TRIES => {}
            word if word.is_empty() || word.starts_with('#') => {}
            _ => return None,
        }
        Some(())
    }

    fn text(&self) -> String {
        let mut text = HEADING.to_owned();
        for (hash, OpenInvite { entry, until, .. }) in &self.open {
            let line = format!("{OPEN} {} {} {}", base32::encode(hash), calendar::moment(*until), entry.text());
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for hash in &self.spent {
            text.push_str(&format!("{SPENT} {}\n", base32::encode(hash)));
        }
        text
    }

    /// Where an open invite stands.
    fn position(&self, hash: &InviteHash) -> Result<usize, InviteError> {
        match self.open.iter().position(|(open, _)| open == hash) {
            Some(at) => Ok(at),
            None if self.spent.contains(hash) => Err(InviteError::Spent),
            None => Err(InviteError::Unknown),
        }
    }

    fn end_where(&mut self, ends: impl Fn(&OpenInvite) -> bool) {
        let ended: Vec<InviteHash> = self.open.extract_if(.., |(_, open)| ends(open)).map(|(hash, _)| hash).collect();
        ended.into_iter().for_each(|hash| self.remember(hash));
    }

    fn remember(&mut self, hash: InviteHash) {
        if self.spent.len() == SPENT_KEPT {
            self.spent.remove(0);
        }
        self.spent.push(hash);
    }
}

fn id(hash: &InviteHash) -> String {
    base32::encode(hash)[..ID_CHARS].to_owned()
}

fn hash(invite: &[u8; 16]) -> InviteHash {
    Sha256::digest(invite).into()
}

#[cfg(test)]
mod tests;
