//! Invites: one-time rights to be enrolled, in the server's memory only.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::transport::ticket::Invite;

/// How long an invite can be used: long enough to walk to another machine, short enough to be forgotten in a shell
/// history.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Wrong tries that end all open invites. Nobody mistypes a copied ticket five times; a search would need 2¹²⁷ tries.
pub const WRONG_TRIES_MAX: u32 = 5;
/// Ended invites that are remembered, so that their bearers are told that they came too late.
const SPENT_KEPT: usize = 1024;

/// Why an invite is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It was never given out by this run of the server.
    #[error("the invite is not known here; ask for a new ticket (qft serve --invite)")]
    Unknown,
    /// It was used, has expired, or was ended by wrong tries.
    #[error("the invite was used or has expired; ask for a new ticket (qft serve --invite)")]
    Spent,
}

/// The invites of one server. Only their hashes are kept: a memory dump gives no one a way in.
#[derive(Debug, Default)]
pub struct Invites(Mutex<Book>);

type Hash = [u8; 32];

#[derive(Debug, Default)]
struct Book {
    /// When each open invite ends.
    open: HashMap<Hash, Instant>,
    /// Ended ones, oldest first.
    spent: VecDeque<Hash>,
    /// Unknown invites brought since the last one was given out.
    wrong_tries: u32,
}

impl Invites {
    /// Gives out an invite that works once, until `now` + [`INVITE_LIFETIME`].
    pub fn mint(&self, now: Instant) -> Invite {
        let invite = Invite::random();
        self.with_book(|book| {
            book.end_where(|expiry| expiry <= now);
            book.open.insert(hash(&invite.0), now + INVITE_LIFETIME);
            book.wrong_tries = 0;
        });
        invite
    }

    /// Uses an invite up.
    ///
    /// # Errors
    /// [`InviteError`]; the last of [`WRONG_TRIES_MAX`] unknown ones ends all that are open.
    pub fn redeem(&self, invite: &[u8; 16], now: Instant) -> Result<(), InviteError> {
        let hash = hash(invite);
        self.with_book(|book| {
            if let Some(expiry) = book.open.remove(&hash) {
                book.remember(hash);
                return if now < expiry { Ok(()) } else { Err(InviteError::Spent) };
            }
            if book.spent.contains(&hash) {
                return Err(InviteError::Spent);
            }
            book.count_wrong_try();
            Err(InviteError::Unknown)
        })
    }

    fn with_book<T>(&self, action: impl FnOnce(&mut Book) -> T) -> T {
        action(&mut self.0.lock().expect("nothing panics while it holds the book"))
    }
}

impl Book {
    fn count_wrong_try(&mut self) {
        self.wrong_tries = self.wrong_tries.saturating_add(1);
        if self.wrong_tries >= WRONG_TRIES_MAX && !self.open.is_empty() {
            tracing::warn!(open = self.open.len(), "too many wrong invites were tried; all open invites end");
            self.end_where(|_| true);
        }
    }

    fn end_where(&mut self, ends: impl Fn(Instant) -> bool) {
        let ended: Vec<Hash> = self.open.extract_if(|_, expiry| ends(*expiry)).map(|(hash, _)| hash).collect();
        ended.into_iter().for_each(|hash| self.remember(hash));
    }

    fn remember(&mut self, hash: Hash) {
        if self.spent.len() == SPENT_KEPT {
            self.spent.pop_front();
        }
        self.spent.push_back(hash);
    }
}

fn hash(invite: &[u8; 16]) -> Hash {
    Sha256::digest(invite).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn an_invite_works_once() {
        let (invites, now) = (Invites::default(), Instant::now());
        let invite = invites.mint(now);
        assert_eq!(invites.redeem(&invite.0, now), Ok(()));
        assert_eq!(invites.redeem(&invite.0, now), Err(InviteError::Spent));
    }

    #[test]
    fn an_invite_works_until_its_lifetime_ends() {
        let (invites, now) = (Invites::default(), Instant::now());
        let (early, late) = (invites.mint(now), invites.mint(now));
        assert_eq!(invites.redeem(&early.0, now + INVITE_LIFETIME - MOMENT), Ok(()));
        assert_eq!(invites.redeem(&late.0, now + INVITE_LIFETIME), Err(InviteError::Spent));
        assert_eq!(invites.redeem(&late.0, now), Err(InviteError::Spent), "an expired one stays expired");
    }

    #[test]
    fn an_expired_invite_is_still_known_as_such_after_the_next_was_minted() {
        let (invites, now) = (Invites::default(), Instant::now());
        let old = invites.mint(now);
        let later = now + INVITE_LIFETIME;
        let new = invites.mint(later);
        assert_eq!(invites.redeem(&old.0, later), Err(InviteError::Spent));
        assert_eq!(invites.redeem(&new.0, later), Ok(()));
    }

    #[test]
    fn wrong_tries_end_all_open_invites() {
        let (invites, now) = (Invites::default(), Instant::now());
        let open = [invites.mint(now), invites.mint(now)];
        for _ in 0..WRONG_TRIES_MAX {
            assert_eq!(invites.redeem(&Invite::random().0, now), Err(InviteError::Unknown));
        }
        for invite in open {
            assert_eq!(invites.redeem(&invite.0, now), Err(InviteError::Spent));
        }
        assert_eq!(invites.redeem(&invites.mint(now).0, now), Ok(()), "a new invite starts afresh");
    }

    #[test]
    fn one_wrong_try_less_ends_nothing_and_a_late_guest_is_no_wrong_try() {
        let (invites, now) = (Invites::default(), Instant::now());
        let (used, open) = (invites.mint(now), invites.mint(now));
        invites.redeem(&used.0, now).unwrap();
        for _ in 1..WRONG_TRIES_MAX {
            assert_eq!(invites.redeem(&Invite::random().0, now), Err(InviteError::Unknown));
            assert_eq!(invites.redeem(&used.0, now), Err(InviteError::Spent));
        }
        assert_eq!(invites.redeem(&open.0, now), Ok(()));
    }

    #[test]
    fn of_many_bearers_at_once_one_gets_in() {
        let (invites, now) = (Invites::default(), Instant::now());
        let invite = invites.mint(now);
        let let_in = std::thread::scope(|scope| {
            let bearers: Vec<_> = (0..8).map(|_| scope.spawn(|| invites.redeem(&invite.0, now).is_ok())).collect();
            bearers.into_iter().map(|bearer| bearer.join().unwrap()).filter(|ok| *ok).count()
        });
        assert_eq!(let_in, 1);
    }

    #[test]
    fn the_memory_of_ended_invites_is_bounded() {
        let (invites, now) = (Invites::default(), Instant::now());
        for _ in 0..SPENT_KEPT + 10 {
            let invite = invites.mint(now);
            invites.redeem(&invite.0, now).unwrap();
        }
        assert_eq!(invites.with_book(|book| (book.open.len(), book.spent.len())), (0, SPENT_KEPT));
    }
}
