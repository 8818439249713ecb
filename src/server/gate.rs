//! The gate: how many connections may be pending, how many clients are let in, and which addresses failed too often.
//!
//! A connection is pending until its client is let in: in the middle of a handshake, or silent behind one. It costs
//! memory and a signature, so their number is bounded, in all and for each address. At the bound the *oldest* one goes, once
//! it has had its place for [`PLACE_MIN`]: an honest handshake takes a round trip or two, so it gets through while those who
//! only hold places lose them.
//! When many wait, an address must first prove that it receives what is sent to it (QUIC's Retry, which keeps no state
//! here), so that forged addresses push nobody out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::places::{PlaceGuard, Places};
use super::source_prefix::SourcePrefix;
use crate::keys::Fingerprint;
use crate::keys::trust::INVITE_LIFETIME;
use crate::protocol::close::CloseCode;

/// Pending connections at the same time: some 40 KiB of handshake each, so ten megabytes.
pub const PENDING_MAX: usize = 256;
/// Of these from one address: a building full of machines that start at once is not held up. Half of them, so that strangers
/// who only hold places let [`PENDING_PER_ADDRESS_MAX`] / [`PLACE_MIN`] others behind their address go on in a second.
pub const PENDING_PER_ADDRESS_MAX: usize = PENDING_MAX / 2;
/// The time that a pending connection has its place for certain, whoever else comes: a handshake and the first words take two
/// round trips, so a client that is 80 ms away is let in.
pub const PLACE_MIN: Duration = Duration::from_millis(160);
/// Pending connections from which on addresses have to be proven. Below, nobody pays the additional round trip.
pub const PROOF_FROM: usize = 32;
/// Pending connections from which on the next get little room to send before they are let in: what each may send ahead
/// is more than a mebibyte, for these few.
pub const CROWD_FROM: usize = 8;
/// Wrong invites from one address that cost it nothing: a ticket that was mistyped or had expired.
const FREE_TRIES: u32 = 3;
/// The first wait after those; each further wrong invite doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest such wait, after which everything is forgotten too: the lifetime of an invite.
const LAST_WAIT: Duration = INVITE_LIFETIME;
/// Addresses with wrong invites that are remembered; of more, those that were quiet longest are forgotten.
const FAILED_PAIRINGS_MAX: usize = 4096;

/// How to answer an incoming connection.
#[derive(Debug)]
pub(super) enum GateDecision {
    Accept(PendingConnection),
    /// Let the address prove itself first.
    Retry,
    /// There is no room.
    Refuse,
}

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) places: Arc<Places>,
    state: Mutex<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    /// Oldest first.
    pending: VecDeque<PendingEntry>,
    next: u64,
    failed: HashMap<SourcePrefix, FailedPairings>,
}

#[derive(Debug)]
struct PendingEntry {
    number: u64,
    prefix: SourcePrefix,
    since: Instant,
    /// Dropped to displace the connection.
    _place: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy)]
struct FailedPairings {
    count: u32,
    last: Instant,
}

impl FailedPairings {
    fn wait(self) -> Duration {
        match self.count.checked_sub(FREE_TRIES) {
            None | Some(0) => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(1 << (more - 1).min(16)).min(LAST_WAIT),
        }
    }
}

impl Gate {
    pub(super) fn new(clients_max: usize) -> Arc<Self> {
        Arc::new(Self { places: Places::new(clients_max), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().expect("no holder panics")
    }

    /// Whether an address that is not proven has to be.
    pub(super) fn wants_proof(&self, addr: SocketAddr) -> bool {
        let state = self.state();
        state.pending.len() >= PROOF_FROM || state.pending_of(SourcePrefix::of(addr)) >= PENDING_PER_ADDRESS_MAX
    }

    /// Whether a connection from there would have a place that nobody else has for certain.
    pub(super) fn has_place(&self, prefix: SourcePrefix, now: Instant) -> bool {
        let state = self.state();
        let may_go = |oldest: &PendingEntry| now.saturating_duration_since(oldest.since) >= PLACE_MIN;
        if state.pending_of(prefix) >= PENDING_PER_ADDRESS_MAX {
            return state.pending.iter().find(|waiting| waiting.prefix == prefix).is_some_and(may_go);
        }
        state.pending.len() < PENDING_MAX || state.pending.front().is_some_and(may_go)
    }

    /// A connection comes in; `is_proven` says whether its address is known to be its own.
    pub(super) fn on_incoming(self: &Arc<Self>, addr: SocketAddr, is_proven: bool) -> GateDecision {
        let prefix = SourcePrefix::of(addr);
        if !self.places.may_have_room(prefix, Instant::now()) {
            return GateDecision::Refuse;
        }
        if !is_proven && self.wants_proof(addr) {
            return GateDecision::Retry;
        }
        let mut state = self.state();
        let at_limit = state.pending_of(prefix) >= PENDING_PER_ADDRESS_MAX;
        if at_limit {
            state.displace_oldest(|waiting| waiting.prefix == prefix);
        } else if state.pending.len() >= PENDING_MAX {
            state.displace_oldest(|_| true);
        }
        let (place, lost) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        let is_crowded = state.pending.len() >= CROWD_FROM;
        state.pending.push_back(PendingEntry { number, prefix, since: Instant::now(), _place: place });
        drop(state);
        GateDecision::Accept(PendingConnection { gate: self.clone(), number, prefix, lost, is_crowded })
    }

    /// Whether somebody who brings a wrong invite from that address hears what is wrong with it; else only that it has to
    /// wait.
    pub(super) fn may_pair(&self, addr: SocketAddr, now: Instant) -> bool {
        let state = self.state();
        let failures = state.failed.get(&SourcePrefix::of(addr));
        failures.is_none_or(|failures| now.saturating_duration_since(failures.last) >= failures.wait())
    }

    /// An invite from that address was wrong.
    pub(super) fn failed_pairing(&self, addr: SocketAddr, now: Instant) {
        let mut state = self.state();
        state.failed.retain(|_, failures| now.saturating_duration_since(failures.last) < LAST_WAIT);
        if state.failed.len() >= FAILED_PAIRINGS_MAX {
            let quietest = state.failed.iter().min_by_key(|(_, failures)| failures.last).map(|(prefix, _)| *prefix);
            quietest.map(|prefix| state.failed.remove(&prefix));
        }
        let failures = state.failed.entry(SourcePrefix::of(addr)).or_insert(FailedPairings { count: 0, last: now });
        *failures = FailedPairings { count: failures.count.saturating_add(1), last: now };
    }
}

impl GateState {
    fn pending_of(&self, prefix: SourcePrefix) -> usize {
        self.pending.iter().filter(|waiting| waiting.prefix == prefix).count()
    }

    fn displace_oldest(&mut self, is_meant: impl Fn(&PendingEntry) -> bool) {
        if let Some(at) = self.pending.iter().position(is_meant) {
            self.pending.remove(at);
        }
    }
}

/// A place among the pending; given back when it is dropped.
#[derive(Debug)]
pub(super) struct PendingConnection {
    gate: Arc<Gate>,
    number: u64,
    prefix: SourcePrefix,
    lost: oneshot::Receiver<()>,
    is_crowded: bool,
}

impl PendingConnection {
    /// Whether it came in a crowd, of whom each gets little room.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Resolves when the place is given to somebody else.
    pub(super) async fn displaced(&mut self) {
        // The other half says nothing; it is dropped.
        let _ = (&mut self.lost).await;
    }

    /// The client with this key was let in; `put_out` ends its connection when its place is to go to
    /// another.
    ///
    /// # Errors
    /// [`CloseCode::Busy`] when the last place was taken meanwhile, or the key has its share.
    pub(super) fn admit(self, key: Fingerprint, put_out: impl Fn() + Send + 'static) -> Result<PlaceGuard, CloseCode> {
        self.gate.places.enter(self.prefix, key, Instant::now(), put_out)
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.gate.state().pending.retain(|waiting| waiting.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::CLIENTS_MAX;
    use super::*;

    fn addr(host: u8, port: u16) -> SocketAddr {
        ([10, 0, 0, host], port).into()
    }

    fn enter(gate: &Arc<Gate>, addr: SocketAddr) -> PendingConnection {
        match gate.on_incoming(addr, true) {
            GateDecision::Accept(stranger) => stranger,
            other => panic!("{other:?}"),
        }
    }

    fn is_gone(stranger: &mut PendingConnection) -> bool {
        !matches!(stranger.lost.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn those_who_come_to_a_crowd_of_strangers_get_little_room_and_the_first_ones_do_not() {
        let gate = Gate::new(CLIENTS_MAX);
        let first: Vec<_> = (0..CROWD_FROM as u16).map(|port| enter(&gate, addr(1, port))).collect();
        assert!(first.iter().all(|stranger| !stranger.is_crowded()));
        assert!(enter(&gate, addr(2, 1)).is_crowded());
        drop(first);
        assert!(!enter(&gate, addr(2, 2)).is_crowded(), "the crowd has gone");
    }

    #[test]
    fn the_oldest_stranger_of_an_address_makes_room_for_the_next() {
        let gate = Gate::new(CLIENTS_MAX);
        let mut other = enter(&gate, addr(2, 1));
        let mut strangers: Vec<_> =
            (0..PENDING_PER_ADDRESS_MAX as u16).map(|port| enter(&gate, addr(1, port))).collect();
        assert!(strangers.iter_mut().all(|stranger| !is_gone(stranger)));
        let mut late = enter(&gate, addr(1, 99));
        assert!(
            is_gone(&mut strangers[0]) && !is_gone(&mut strangers[1]) && !is_gone(&mut late) && !is_gone(&mut other)
        );
        drop(late);
    }

    #[test]
    fn a_place_that_was_just_taken_is_nobody_elses() {
        let gate = Gate::new(CLIENTS_MAX);
        let prefix = |host| SourcePrefix::of(addr(host, 1));
        let start = Instant::now();
        let mut strangers: Vec<_> =
            (0..PENDING_PER_ADDRESS_MAX as u16).map(|port| enter(&gate, addr(1, port))).collect();
        let entered = Instant::now();
        assert!(!gate.has_place(prefix(1), start) && gate.has_place(prefix(2), start));
        assert!(gate.has_place(prefix(1), entered + PLACE_MIN));
        strangers.extend((PENDING_PER_ADDRESS_MAX..PENDING_MAX).map(|n| enter(&gate, addr(2, n as u16))));
        assert!(!gate.has_place(prefix(3), start), "all places are taken");
        assert!(gate.has_place(prefix(3), Instant::now() + PLACE_MIN));
        strangers.pop();
        assert!(gate.has_place(prefix(3), start));
    }

    #[test]
    fn the_oldest_of_all_makes_room_when_there_are_too_many() {
        let gate = Gate::new(CLIENTS_MAX);
        let place = |n: usize| addr((n / PENDING_PER_ADDRESS_MAX) as u8, n as u16);
        let mut strangers: Vec<_> = (0..PENDING_MAX).map(|n| enter(&gate, place(n))).collect();
        let _late = enter(&gate, addr(200, 1));
        assert!(is_gone(&mut strangers[0]) && !is_gone(&mut strangers[1]));
        assert_eq!(gate.state().pending.len(), PENDING_MAX);
    }

    #[test]
    fn forged_addresses_push_nobody_out() {
        let gate = Gate::new(CLIENTS_MAX);
        let mut honest = enter(&gate, addr(1, 1));
        let mut entered = Vec::new();
        for n in 0..1000_u16 {
            // Of all hosts, the honest one's included.
            if let GateDecision::Accept(stranger) = gate.on_incoming(addr((n % 50) as u8, n), false) {
                entered.push(stranger);
            }
        }
        assert!(!is_gone(&mut honest) && entered.len() < PROOF_FROM);
        let one_host = Gate::new(CLIENTS_MAX);
        let answers: Vec<_> = (0..100).map(|port| one_host.on_incoming(addr(1, port), false)).collect();
        let let_in = answers.iter().filter(|answer| matches!(answer, GateDecision::Accept(_))).count();
        assert_eq!(let_in, PENDING_PER_ADDRESS_MAX.min(PROOF_FROM));
    }

    #[test]
    fn the_last_place_goes_to_who_is_let_in_first() {
        let gate = Gate::new(1);
        let (slow, fast) = (enter(&gate, addr(1, 1)), enter(&gate, addr(2, 1)));
        let key = || crate::keys::Identity::ephemeral().expect("a key").fingerprint();
        let _inside = fast.admit(key(), || ()).expect("there is room");
        assert_eq!(slow.admit(key(), || ()).err(), Some(CloseCode::Busy));
    }

    #[test]
    fn wrong_invites_make_their_address_wait_longer_and_longer() {
        let (gate, start) = (Gate::new(1), Instant::now());
        let (sinner, other) = (addr(1, 1), addr(2, 1));
        for _ in 0..FREE_TRIES {
            assert!(gate.may_pair(sinner, start));
            gate.failed_pairing(sinner, start);
        }
        assert!(gate.may_pair(sinner, start), "the first ones are free");
        gate.failed_pairing(sinner, start);
        assert!(!gate.may_pair(sinner, start) && gate.may_pair(other, start));
        assert!(!gate.may_pair(addr(1, 2), start), "another port is no other address");
        assert!(gate.may_pair(sinner, start + FIRST_WAIT));
        gate.failed_pairing(sinner, start + FIRST_WAIT);
        assert!(!gate.may_pair(sinner, start + 2 * FIRST_WAIT) && gate.may_pair(sinner, start + 3 * FIRST_WAIT));
        for _ in 0..100 {
            gate.failed_pairing(sinner, start);
        }
        assert!(gate.may_pair(sinner, start + LAST_WAIT), "there is a longest wait");
    }
}
