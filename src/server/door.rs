//! The door: how many may stand in it, how many are inside, and who knocks too often.
//!
//! A stranger is whoever has not been let in: in the middle of a handshake, or silent behind one. Strangers cost memory
//! and a signature, so their number is bounded, in all and for each address. At the bound the *oldest* stranger goes:
//! an honest handshake takes a round trip or two, so it gets through while those who only hold places lose them.
//! When many wait, an address must first prove that it receives what is sent to it (QUIC's Retry, which keeps no state
//! here), so that forged addresses push nobody out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::places::{Inside, Places};
use super::source_prefix::SourcePrefix;
use crate::keys::Fingerprint;
use crate::keys::trust::INVITE_LIFETIME;
use crate::protocol::close::CloseCode;

/// Strangers at the same time: some 40 KiB of handshake each, so ten megabytes.
pub const STRANGERS_MAX: usize = 256;
/// Of these from one address: a building full of machines that start at once is not held up.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 64;
/// Strangers from which on addresses have to be proven. Below, nobody pays the additional round trip.
pub const PROOF_FROM: usize = 32;
/// Strangers from which on the next get little room to send before they are let in: what each may send ahead is more
/// than a mebibyte, for these few.
pub const CROWD_FROM: usize = 16;
/// Wrong invites from one address that cost it nothing: a ticket that was mistyped or had expired.
const FREE_TRIES: u32 = 3;
/// The first wait after those; each further wrong invite doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest such wait, after which everything is forgotten too: the lifetime of an invite.
const LAST_WAIT: Duration = INVITE_LIFETIME;
/// Addresses with wrong invites that are remembered; of more, those that were quiet longest are forgotten.
const SINNERS_MAX: usize = 4096;

/// How to answer an incoming connection.
#[derive(Debug)]
pub(super) enum Answer {
    /// Do the handshake.
    Enter(Stranger),
    /// Let the address prove itself first.
    ProveAddress,
    /// There is no room.
    TurnAway,
}

/// Keeps the counts.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) places: Arc<Places>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    strangers: VecDeque<Waiting>,
    next: u64,
    sinners: HashMap<SourcePrefix, Sins>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    prefix: SourcePrefix,
    /// Dropped to send the stranger away.
    _place: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy)]
struct Sins {
    count: u32,
    last: Instant,
}

impl Sins {
    fn wait(self) -> Duration {
        match self.count.checked_sub(FREE_TRIES) {
            None | Some(0) => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(1 << (more - 1).min(16)).min(LAST_WAIT),
        }
    }
}

impl Door {
    pub(super) fn new(clients_max: usize) -> Arc<Self> {
        Arc::new(Self { places: Places::new(clients_max), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Whether an address that is not proven has to be.
    pub(super) fn wants_proof(&self, addr: SocketAddr) -> bool {
        let state = self.state();
        state.strangers.len() >= PROOF_FROM || state.strangers_of(SourcePrefix::of(addr)) >= STRANGERS_PER_ADDRESS_MAX
    }

    /// Somebody knocks; `is_proven` says whether its address is known to be its own.
    pub(super) fn knock(self: &Arc<Self>, addr: SocketAddr, is_proven: bool) -> Answer {
        let prefix = SourcePrefix::of(addr);
        if !self.places.may_have_room(prefix, Instant::now()) {
            return Answer::TurnAway;
        }
        if !is_proven && self.wants_proof(addr) {
            return Answer::ProveAddress;
        }
        let mut state = self.state();
        let at_limit = state.strangers_of(prefix) >= STRANGERS_PER_ADDRESS_MAX;
        if at_limit {
            state.send_oldest_away(|waiting| waiting.prefix == prefix);
        } else if state.strangers.len() >= STRANGERS_MAX {
            state.send_oldest_away(|_| true);
        }
        let (place, lost) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        let is_crowded = state.strangers.len() >= CROWD_FROM;
        state.strangers.push_back(Waiting { number, prefix, _place: place });
        drop(state);
        Answer::Enter(Stranger { door: self.clone(), number, prefix, lost, is_crowded })
    }

    /// Whether somebody who brings a wrong invite from that address hears what is wrong with it; else only that it has to
    /// wait.
    pub(super) fn may_pair(&self, addr: SocketAddr, now: Instant) -> bool {
        let state = self.state();
        let sins = state.sinners.get(&SourcePrefix::of(addr));
        sins.is_none_or(|sins| now.saturating_duration_since(sins.last) >= sins.wait())
    }

    /// An invite from that address was wrong.
    pub(super) fn failed_pairing(&self, addr: SocketAddr, now: Instant) {
        let mut state = self.state();
        state.sinners.retain(|_, sins| now.saturating_duration_since(sins.last) < LAST_WAIT);
        if state.sinners.len() >= SINNERS_MAX {
            let quietest = state.sinners.iter().min_by_key(|(_, sins)| sins.last).map(|(prefix, _)| *prefix);
            quietest.map(|prefix| state.sinners.remove(&prefix));
        }
        let sins = state.sinners.entry(SourcePrefix::of(addr)).or_insert(Sins { count: 0, last: now });
        *sins = Sins { count: sins.count.saturating_add(1), last: now };
    }
}

impl State {
    fn strangers_of(&self, prefix: SourcePrefix) -> usize {
        self.strangers.iter().filter(|waiting| waiting.prefix == prefix).count()
    }

    fn send_oldest_away(&mut self, is_meant: impl Fn(&Waiting) -> bool) {
        if let Some(at) = self.strangers.iter().position(is_meant) {
            self.strangers.remove(at);
        }
    }
}

/// A place in the door; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    door: Arc<Door>,
    number: u64,
    prefix: SourcePrefix,
    lost: oneshot::Receiver<()>,
    is_crowded: bool,
}

impl Stranger {
    /// Whether it came in a crowd, of whom each gets little room.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Resolves when the place is given to somebody else.
    pub(super) async fn sent_away(&mut self) {
        // The other half says nothing; it is dropped.
        let _ = (&mut self.lost).await;
    }

    /// The stranger with this key was let in and is a client now; `put_out` ends its connection when its place is to go to
    /// another.
    ///
    /// # Errors
    /// [`CloseCode::Busy`] when the last place was taken meanwhile, or the key has its share.
    pub(super) fn come_in(self, key: Fingerprint, put_out: impl Fn() + Send + 'static) -> Result<Inside, CloseCode> {
        self.door.places.enter(self.prefix, key, Instant::now(), put_out)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.door.state().strangers.retain(|waiting| waiting.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::CLIENTS_MAX;
    use super::*;

    fn addr(host: u8, port: u16) -> SocketAddr {
        ([10, 0, 0, host], port).into()
    }

    fn enter(door: &Arc<Door>, addr: SocketAddr) -> Stranger {
        match door.knock(addr, true) {
            Answer::Enter(stranger) => stranger,
            other => panic!("{other:?}"),
        }
    }

    fn is_gone(stranger: &mut Stranger) -> bool {
        !matches!(stranger.lost.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn those_who_come_to_a_crowd_of_strangers_get_little_room_and_the_first_ones_do_not() {
        let door = Door::new(CLIENTS_MAX);
        let first: Vec<_> = (0..CROWD_FROM as u16).map(|port| enter(&door, addr(1, port))).collect();
        assert!(first.iter().all(|stranger| !stranger.is_crowded()));
        assert!(enter(&door, addr(2, 1)).is_crowded());
        drop(first);
        assert!(!enter(&door, addr(2, 2)).is_crowded(), "the crowd has gone");
    }

    #[test]
    fn the_oldest_stranger_of_an_address_makes_room_for_the_next() {
        let door = Door::new(CLIENTS_MAX);
        let mut other = enter(&door, addr(2, 1));
        let mut strangers: Vec<_> =
            (0..STRANGERS_PER_ADDRESS_MAX as u16).map(|port| enter(&door, addr(1, port))).collect();
        assert!(strangers.iter_mut().all(|stranger| !is_gone(stranger)));
        let mut late = enter(&door, addr(1, 99));
        assert!(
            is_gone(&mut strangers[0]) && !is_gone(&mut strangers[1]) && !is_gone(&mut late) && !is_gone(&mut other)
        );
        drop(late);
    }

    #[test]
    fn the_oldest_of_all_makes_room_when_there_are_too_many() {
        let door = Door::new(CLIENTS_MAX);
        let place = |n: usize| addr((n / STRANGERS_PER_ADDRESS_MAX) as u8, n as u16);
        let mut strangers: Vec<_> = (0..STRANGERS_MAX).map(|n| enter(&door, place(n))).collect();
        let _late = enter(&door, addr(200, 1));
        assert!(is_gone(&mut strangers[0]) && !is_gone(&mut strangers[1]));
        assert_eq!(door.state().strangers.len(), STRANGERS_MAX);
    }

    #[test]
    fn forged_addresses_push_nobody_out() {
        let door = Door::new(CLIENTS_MAX);
        let mut honest = enter(&door, addr(1, 1));
        let mut entered = Vec::new();
        for n in 0..1000_u16 {
            // Of all hosts, the honest one's included.
            if let Answer::Enter(stranger) = door.knock(addr((n % 50) as u8, n), false) {
                entered.push(stranger);
            }
        }
        assert!(!is_gone(&mut honest) && entered.len() < PROOF_FROM);
        let one_host = Door::new(CLIENTS_MAX);
        let answers: Vec<_> = (0..100).map(|port| one_host.knock(addr(1, port), false)).collect();
        let let_in = answers.iter().filter(|answer| matches!(answer, Answer::Enter(_))).count();
        assert_eq!(let_in, STRANGERS_PER_ADDRESS_MAX.min(PROOF_FROM));
    }

    #[test]
    fn the_last_place_goes_to_who_is_let_in_first() {
        let door = Door::new(1);
        let (slow, fast) = (enter(&door, addr(1, 1)), enter(&door, addr(2, 1)));
        let key = || crate::keys::Identity::ephemeral().expect("a key").fingerprint();
        let _inside = fast.come_in(key(), || ()).expect("there is room");
        assert_eq!(slow.come_in(key(), || ()).err(), Some(CloseCode::Busy));
    }

    #[test]
    fn wrong_invites_make_their_address_wait_longer_and_longer() {
        let (door, start) = (Door::new(1), Instant::now());
        let (sinner, other) = (addr(1, 1), addr(2, 1));
        for _ in 0..FREE_TRIES {
            assert!(door.may_pair(sinner, start));
            door.failed_pairing(sinner, start);
        }
        assert!(door.may_pair(sinner, start), "the first ones are free");
        door.failed_pairing(sinner, start);
        assert!(!door.may_pair(sinner, start) && door.may_pair(other, start));
        assert!(!door.may_pair(addr(1, 2), start), "another port is no other address");
        assert!(door.may_pair(sinner, start + FIRST_WAIT));
        door.failed_pairing(sinner, start + FIRST_WAIT);
        assert!(!door.may_pair(sinner, start + 2 * FIRST_WAIT) && door.may_pair(sinner, start + 3 * FIRST_WAIT));
        for _ in 0..100 {
            door.failed_pairing(sinner, start);
        }
        assert!(door.may_pair(sinner, start + LAST_WAIT), "there is a longest wait");
    }
}
