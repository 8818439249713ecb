//! The bytes that have come over a connection and are not read.
//!
//! QUIC keeps it as it came: each byte with the packets that it came in, and each piece with a place in a heap that stays as
//! large as it once was, and perhaps with a note of a gap. The window bounds the bytes of the content alone. So while
//! anything is left unread — streams of which nobody knows yet what they are for, content that waits for its answer or for
//! the disk, the words of a client for whose offers there is no room — what comes is counted. What the window stands for
//! is there for it anyway; whatever goes beyond is taken from the connection's [`Account`].

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quinn::{Connection, ConnectionStats};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::SessionError;
use super::budget::{Account, Hold};
use crate::transport::{self, RECEIVE_WINDOW_BEFORE_HELLO, STREAMS_BEFORE_HELLO};

/// Time between two looks at what comes meanwhile: of a gigabit a second some megabytes.
const LOOK: Duration = Duration::from_millis(20);
/// Packets of a stranger may take so many times its window: what is lost is sent again, perhaps without need.
pub const UNREAD_TIMES: u64 = 2;
/// Probes for the size of packets count beside them: three within one machine and a handful on a network, if none of them is
/// lost.
const SIZE_PROBES: u64 = 16;
/// One piece of a stream for so many bytes that came: a full packet has twice as many at least, and few have two pieces.
pub const UNREAD_PIECE_BYTES: u64 = 512;
/// Pieces of a stream that may be smaller: a small file may come in two packets.
const PIECES_OF_A_STREAM: i64 = 2;
/// The memory that QUIC needs for a piece and for the gap before it.
pub const NOTE_BYTES: usize = 96;

/// What came: the bytes of packets, and the pieces of streams in them. Less what was read it may be negative, as not every
/// stream has as many pieces as it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Arrived {
    bytes: i64,
    pieces: i64,
}

impl Arrived {
    fn of(stats: &ConnectionStats) -> Self {
        Self { bytes: stats.udp_rx.bytes as i64, pieces: stats.frame_rx.stream as i64 }
    }

    /// The least of both.
    fn least(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), pieces: self.pieces.min(other.pieces) }
    }

    fn less(self, other: Self) -> Self {
        Self { bytes: self.bytes - other.bytes, pieces: self.pieces - other.pieces }
    }

    /// The memory of the packets beyond those that are `free`.
    fn packets(self, free: usize) -> usize {
        usize::try_from(self.bytes).unwrap_or(0).saturating_sub(free)
    }

    /// The memory for notes of pieces that are smaller than those of honest ends.
    fn notes(self) -> usize {
        let crumbs = self.pieces - self.bytes / UNREAD_PIECE_BYTES as i64;
        NOTE_BYTES * usize::try_from(crumbs).unwrap_or(0)
    }
}

/// Resolves when a stranger, of whom nothing is read but its first words, has sent more than any honest one.
pub(crate) async fn is_too_much(connection: &Connection, window: u32) {
    let probes = size_probes(connection);
    let mut looks = interval_at(Instant::now(), LOOK);
    while !is_beyond(&connection.stats(), window.into(), probes) {
        looks.tick().await;
    }
}

fn is_beyond(stats: &ConnectionStats, window: u64, probes: u64) -> bool {
    let (bytes, pieces) = (stats.udp_rx.bytes, stats.frame_rx.stream);
    bytes > UNREAD_TIMES * window + probes || pieces > stranger_pieces(window)
}

/// Pieces that a stranger may send.
const fn stranger_pieces(window: u64) -> u64 {
    UNREAD_TIMES * (window / UNREAD_PIECE_BYTES + STREAMS_BEFORE_HELLO as u64)
}

/// The memory that a stranger with this window may fill.
#[cfg(test)]
pub(crate) const fn stranger_bytes(window: u32) -> usize {
    let packets = UNREAD_TIMES * window as u64 + SIZE_PROBES * transport::limits::MTU_NETWORK as u64;
    packets as usize + stranger_pieces(window as u64) as usize * NOTE_BYTES
}

/// Bytes that the peer may send to find the size of packets that the path carries.
fn size_probes(connection: &Connection) -> u64 {
    SIZE_PROBES * u64::from(transport::mtu_bound(connection.remote_address(), None))
}

/// The watch on a client that was let in, of which something is left unread now and then.
#[derive(Debug)]
pub(crate) struct Unread {
    connection: Connection,
    read_bytes: AtomicI64,
    read_pieces: AtomicI64,
    /// The room that is charged already for the bytes that the peer may send.
    window: AtomicUsize,
    state: Mutex<UnreadState>,
}

/// The room that is charged for it.
#[derive(Debug)]
struct UnreadState {
    /// How many leave something unread now.
    holders: usize,
    /// What had come, less what had been read, when the first of them began, or whenever it has been least since: what was
    /// there before and is read meanwhile is nothing that came.
    since: Arrived,
    packets: Hold,
    /// Of notes. Whatever held one keeps its place until the connection ends.
    notes: Hold,
    /// The part of it that was there at that time.
    notes_before: usize,
}

/// As long as it is there, something is left unread.
pub(crate) struct UnreadGuard(Arc<Unread>);

impl Unread {
    pub(crate) fn new(connection: Connection, account: &Account) -> Arc<Self> {
        let (read_bytes, read_pieces) = Default::default();
        let (window, state) = (AtomicUsize::new(RECEIVE_WINDOW_BEFORE_HELLO as usize), UnreadState::new(account));
        Arc::new(Self { connection, read_bytes, read_pieces, window, state: Mutex::new(state) })
    }

    /// The peer may send so much, and it is charged.
    pub(super) fn set_window(&self, bytes: usize) {
        self.window.store(bytes.max(RECEIVE_WINDOW_BEFORE_HELLO as usize), Ordering::Relaxed);
    }

    /// A piece of so many bytes was read.
    pub(crate) fn on_read(&self, bytes: usize) {
        self.read_pieces.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// A stream was opened, whose first pieces may be small.
    pub(super) fn on_stream(&self) {
        self.read_pieces.fetch_add(PIECES_OF_A_STREAM, Ordering::Relaxed);
    }

    /// From now on something is not read.
    pub(crate) fn begin(self: &Arc<Self>) -> UnreadGuard {
        let mut state = self.state();
        if state.holders == 0 {
            state.begin(self.unread());
        }
        state.holders += 1;
        drop(state);
        UnreadGuard(self.clone())
    }

    /// Waits for what lets the caller read on, and looks meanwhile at what comes.
    ///
    /// # Errors
    /// More has come than there is room for.
    pub(super) async fn during<T>(self: &Arc<Self>, wait: impl Future<Output = T>) -> Result<T, SessionError> {
        let guard = self.begin();
        let mut wait = std::pin::pin!(wait);
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut wait => return Ok(done),
                _ = looks.tick() => guard.look()?,
            }
        }
    }

    fn unread(&self) -> Arrived {
        let (bytes, pieces) = (self.read_bytes.load(Ordering::Relaxed), self.read_pieces.load(Ordering::Relaxed));
        Arrived::of(&self.connection.stats()).less(Arrived { bytes, pieces })
    }

    fn state(&self) -> MutexGuard<'_, UnreadState> {
        self.state.lock().expect("no holder panics")
    }
}

impl UnreadGuard {
    /// Looks at what has come. To be called every [`LOOK`] or so.
    ///
    /// # Errors
    /// It is more than there is room for.
    pub(crate) fn look(&self) -> Result<(), SessionError> {
        let free = self.0.window.load(Ordering::Relaxed) + size_probes(&self.0.connection) as usize;
        self.0.state().charge(self.0.unread(), free)
    }
}

impl Drop for UnreadGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holders -= 1;
        if state.holders == 0 {
            state.packets.shrink_to(0);
        }
    }
}

impl UnreadState {
    fn new(account: &Account) -> Self {
        let nothing = "nothing is always there";
        let packets = account.take_memory(0).expect(nothing);
        let notes = account.take_for_streams(0).expect(nothing);
        Self { holders: 0, since: Arrived::default(), packets, notes, notes_before: 0 }
    }

    fn begin(&mut self, now: Arrived) {
        (self.since, self.notes_before) = (now, self.notes.amount());
    }

    /// Charges what has come since the beginning, but for bytes that are `free`.
    fn charge(&mut self, now: Arrived, free: usize) -> Result<(), SessionError> {
        self.since = self.since.least(now);
        let came = now.less(self.since);
        let notes = self.notes_before + came.notes();
        let is_there = self.packets.grow_to(came.packets(free)) && self.notes.grow_to(notes);
        if is_there { Ok(()) } else { Err(SessionError::Overloaded) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Identity;
    use crate::protocol::EARLY_FILES_MAX;
    use crate::session::budget::{Budget, FLOOR_BYTES, WORDS_FLOOR_BYTES};
    use crate::transport::limits::{MTU_NETWORK, MTU_START, RECEIVE_WINDOW_IN_A_CROWD};

    const PROBES: u64 = SIZE_PROBES * MTU_NETWORK as u64;

    #[test]
    fn whoever_fills_its_window_is_waited_for_and_whoever_sends_crumbs_is_not() {
        for window in [RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD].map(u64::from) {
            let mut stats = ConnectionStats::default();
            // All of it twice, and the probes.
            stats.udp_rx.bytes = 2 * window + PROBES;
            stats.frame_rx.stream = 2 * (window / u64::from(MTU_START) + EARLY_FILES_MAX as u64);
            assert!(!is_beyond(&stats, window, PROBES), "{window}");
            let (mut crumbs, mut padded) = (stats, stats);
            crumbs.frame_rx.stream = window / 2;
            padded.udp_rx.bytes = 4 * window;
            assert!(is_beyond(&crumbs, window, PROBES) && is_beyond(&padded, window, PROBES), "{window}");
        }
    }

    fn state(memory: usize) -> (Budget, UnreadState) {
        let budget = Budget::new(memory, 1);
        let state = UnreadState::new(&budget.account(Identity::ephemeral().expect("a key").fingerprint()));
        (budget, state)
    }

    #[test]
    fn what_fills_a_window_costs_nothing_more_and_what_goes_beyond_is_charged_until_it_is_read() {
        const MIB: i64 = 1 << 20;
        const WINDOW: usize = 16 << 20;
        let (budget, mut state) = state(64 << 20);
        state.begin(Arrived { bytes: 7 * MIB, pieces: 7000 });
        let full = Arrived { bytes: 23 * MIB, pieces: 7000 + 16 * MIB / i64::from(MTU_START) };
        state.charge(full, WINDOW).expect("it is what the window stands for");
        assert_eq!((state.packets.amount(), state.notes.amount()), (0, 0));
        let padded = Arrived { bytes: 31 * MIB, ..full };
        state.charge(padded, WINDOW).expect("there is room");
        assert_eq!((state.packets.amount(), state.notes.amount()), (8 << 20, 0));
        state.charge(Arrived { bytes: 231 * MIB, ..full }, WINDOW).expect_err("there is not so much room");
        drop(state);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn the_notes_of_crumbs_are_charged_for_good_and_bounded() {
        let (budget, mut state) = state(4 << 20);
        for time in 1..=3 {
            // A thousand crumbs in a few packets, which are read before there are more.
            state.begin(Arrived::default());
            let crumbs = Arrived { bytes: 24 * UNREAD_PIECE_BYTES as i64, pieces: 1024 };
            state.charge(crumbs, usize::MAX).expect("there is room");
            assert_eq!(state.notes.amount(), time * 1000 * NOTE_BYTES);
        }
        state.begin(Arrived::default());
        state.charge(Arrived { bytes: 0, pieces: 1 << 20 }, usize::MAX).expect_err("there is not so much room");
        drop(state);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn packets_that_had_come_before_and_are_read_meanwhile_are_no_crumbs() {
        const WINDOW: usize = 16 << 20;
        // Nobody has room for a single note beyond what is there for certain, as where all is taken by others.
        let (_budget, mut state) = state(0);
        let of_words = WORDS_FLOOR_BYTES / NOTE_BYTES * NOTE_BYTES;
        assert!(state.notes.grow_to(of_words));
        let window = WINDOW as i64;
        let full = Arrived { bytes: window, pieces: window / 32_700 };
        state.begin(full);
        for now in [full, Arrived { bytes: window / 2, pieces: full.pieces / 2 }, Arrived::default(), full] {
            state.charge(now, WINDOW).unwrap_or_else(|_| panic!("nothing but full packets has come: {now:?}"));
        }
        // What comes in crumbs is still charged, however much was read before.
        state.charge(Arrived::default(), WINDOW).expect("all is read");
        let crumbs = Arrived { bytes: 0, pieces: (of_words / NOTE_BYTES) as i64 };
        state.charge(crumbs, WINDOW).expect_err("there is no room for their notes");
    }

    #[test]
    fn whatever_others_hold_a_window_full_of_content_has_its_place() {
        let (_budget, mut state) = state(0);
        let window = i64::from(RECEIVE_WINDOW_BEFORE_HELLO);
        // With the headers of its packets, and a tenth of it twice.
        let full = Arrived { bytes: window * 5 / 4, pieces: window / 1000 };
        state.charge(full, window as usize).expect("the floor is there");
        assert!(state.packets.amount() < FLOOR_BYTES / 2 && state.notes.amount() < WORDS_FLOOR_BYTES / 2);
    }
}
