//! The content that has arrived and is not on disk yet, and the brake on the peer when it grows.
//!
//! QUIC's window counts bytes until they are *read*, and bodies are read at once. So the window is made
//! smaller by what waits for the disk: what the peer may send, what has come, and what waits are together
//! never more than one window, whichever of network and disk is slower.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::SessionError;
use super::unread::{Unread, UnreadGuard};
use super::window::ReceiveWindow;
use crate::protocol::BEGUN_BYTES_MAX;

/// How long a connection waits for room before one of its streams takes another packet all the same: the window that is
/// left must not fill up with content, or no message would come through.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// Most bytes that are taken in that way. Then nothing is read until the disk has caught up, however long it takes.
pub const BEYOND_MAX: usize = 256 << 10;

/// The overhead of a piece of a chunk that waits to be written by itself. A packet may hold hundreds of pieces.
const PIECE_OVERHEAD: usize = 256;

/// Longest that chunks may be begun while nothing of any content comes. What a lost packet leaves open is sent again within
/// seconds; who says something else meanwhile keeps its connection, not our memory.
pub const BEGUN_STILL_MAX: Duration = Duration::from_secs(120);

/// Content of one connection between QUIC and the disk.
pub(super) struct Backlog {
    window: Arc<ReceiveWindow>,
    /// Room taken by chunks that are being put together.
    begun: Arc<AtomicUsize>,
    /// Pieces of content that have come.
    pieces: AtomicU64,
    still: Mutex<Still>,
    brake: ReadGate,
    /// As long as the disk is behind, not everything is read.
    behind: Mutex<Option<UnreadGuard>>,
}

impl Backlog {
    pub(super) fn new(window: Arc<ReceiveWindow>) -> Self {
        let (begun, pieces, brake, behind) = Default::default();
        Self { window, begun, pieces, still: Mutex::new(Still::new(Instant::now())), brake, behind }
    }

    /// Counts a chunk of which the first bytes have come.
    pub(super) fn begin(&self, len: usize) -> Result<Begun, SessionError> {
        let before = self.begun.fetch_add(len, Ordering::Relaxed);
        let begun = Begun { all: self.begun.clone(), len };
        if before + len > BEGUN_BYTES_MAX {
            return Err(SessionError::Order("too many chunks begun at once"));
        }
        Ok(begun)
    }

    /// A stream has ended.
    pub(super) fn on_stream_ended(&self) {
        self.window.on_stream_ended();
    }

    /// A piece of content has come.
    pub(super) fn count_piece(&self, bytes: usize) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.window.unread().on_read(bytes);
    }

    /// The account of what has come and is not read.
    pub(super) fn unread(&self) -> &Arc<Unread> {
        self.window.unread()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.window.waiting() > 0
    }

    /// Whether the peer has begun chunks and left them so for too long. To be asked every few seconds.
    pub(super) fn is_left_begun(&self, now: Instant) -> bool {
        let waits = self.begun.load(Ordering::Relaxed) > 0 && !self.is_busy();
        let pieces = self.pieces.load(Ordering::Relaxed);
        self.still.lock().expect("no holder panics").look(waits, pieces, now) >= BEGUN_STILL_MAX
    }

    /// Whether the disk is behind: half of what may wait is waiting.
    pub(super) fn is_behind(&self) -> bool {
        self.window.waiting() >= self.window.bound() / 2
    }

    /// A chunk of so many bytes waits for the disk.
    pub(super) fn add(&self, bytes: usize) {
        self.window.add(bytes, 0);
    }

    /// It waits no longer.
    pub(super) fn remove(&self, bytes: usize) {
        self.remove_all(bytes);
    }

    /// A piece of so many bytes waits for the disk by itself.
    pub(super) fn add_piece(&self, bytes: usize) {
        self.window.add(bytes, PIECE_OVERHEAD);
    }

    /// It waits no longer.
    pub(super) fn remove_piece(&self, bytes: usize) {
        self.remove_all(bytes + PIECE_OVERHEAD);
    }

    fn remove_all(&self, bytes: usize) {
        let before = self.window.remove(bytes);
        let bound = self.window.bound();
        if before >= bound && before - bytes < bound {
            self.brake.fewer.notify_waiters();
        }
    }

    /// Returns when the disk has caught up, or after a short wait.
    ///
    /// Streams are otherwise read at once: unread gaps would make QUIC give the connection up. By the time
    /// that this waits, the window has room for few.
    ///
    /// # Errors
    /// The peer sends more meanwhile than there is room for.
    pub(super) async fn room(&self) -> Result<(), SessionError> {
        let beyond = || self.window.waiting().checked_sub(self.window.bound());
        self.brake.pass(beyond, |is_behind| self.note_behind(is_behind)).await
    }

    /// Notes whether everything is read, and looks at what has come, if not.
    fn note_behind(&self, is_behind: bool) -> Result<(), SessionError> {
        let mut behind = self.behind.lock().expect("no holder panics");
        if !is_behind {
            *behind = None;
            return Ok(());
        }
        behind.get_or_insert_with(|| self.window.unread().begin()).look()
    }
}

/// Lets streams read on, or wait for the disk.
#[derive(Default)]
struct ReadGate {
    /// A stream that waits has it. However many there are, together they take what one would.
    timing: tokio::sync::Mutex<()>,
    /// Whether the last one had to wait.
    is_shut: AtomicBool,
    fewer: Notify,
}

impl ReadGate {
    /// `beyond`: by how many bytes the disk is behind; `None` when it is not.
    /// `note` is told whether there is a wait, and again and again while it lasts.
    async fn pass<E>(&self, beyond: impl Fn() -> Option<usize>, note: impl Fn(bool) -> Result<(), E>) -> Result<(), E> {
        if beyond().is_none() {
            return if self.is_shut.swap(false, Ordering::Relaxed) { note(false) } else { Ok(()) };
        }
        let _turn = self.timing.lock().await;
        if beyond().is_none() {
            return Ok(());
        }
        self.is_shut.store(true, Ordering::Relaxed);
        note(true)?;
        let _ = timeout(ROOM_WAIT, self.fewer.notified()).await;
        // The bound moves, too, of which nobody is told.
        while beyond().is_some_and(|bytes| bytes >= BEYOND_MAX) {
            note(true)?;
            let _ = timeout(ROOM_WAIT, self.fewer.notified()).await;
        }
        Ok(())
    }
}

/// Since when nothing has come that was waited for.
#[derive(Debug)]
struct Still {
    pieces: u64,
    since: Instant,
}

impl Still {
    fn new(now: Instant) -> Self {
        Self { pieces: 0, since: now }
    }

    fn look(&mut self, waits: bool, pieces: u64, now: Instant) -> Duration {
        if !waits || pieces != self.pieces {
            (self.pieces, self.since) = (pieces, now);
        }
        now.saturating_duration_since(self.since)
    }
}

/// A chunk that is being put together; counted no more when dropped.
pub(super) struct Begun {
    all: Arc<AtomicUsize>,
    len: usize,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_is_begun_and_not_gone_on_with_is_waited_for_and_then_not() {
        let start = Instant::now();
        let mut still = Still::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(still.look(false, 0, at(500)), Duration::ZERO, "nothing is begun");
        assert_eq!(still.look(true, 0, at(560)), Duration::from_secs(60));
        assert_eq!(still.look(true, 1, at(600)), Duration::ZERO, "a piece has come");
        assert_eq!(still.look(true, 1, at(700)), Duration::from_secs(100));
        assert_eq!(still.look(false, 1, at(710)), Duration::ZERO, "it was completed, or the disk is what waits");
        assert!(still.look(true, 1, at(830)) >= BEGUN_STILL_MAX);
    }

    #[tokio::test]
    async fn who_sends_crumbs_while_the_disk_is_behind_is_not_waited_for() {
        const LOOKS: usize = 3;
        let (brake, looks) = (ReadGate::default(), AtomicUsize::new(0));
        let note = |is_behind: bool| {
            assert!(is_behind);
            if looks.fetch_add(1, Ordering::Relaxed) < LOOKS { Ok(()) } else { Err(SessionError::Overloaded) }
        };
        // It never catches up.
        let passed = timeout(Duration::from_secs(60), brake.pass(|| Some(BEYOND_MAX), note)).await;
        assert!(matches!(passed, Ok(Err(SessionError::Overloaded))));
        // It has, of which whoever looks is told once.
        let told = AtomicUsize::new(0);
        let note = |is_behind: bool| {
            assert!(!is_behind);
            told.fetch_add(1, Ordering::Relaxed);
            Ok::<_, SessionError>(())
        };
        brake.pass(|| None, note).await.unwrap();
        brake.pass(|| None, note).await.unwrap();
        assert_eq!(told.into_inner(), 1);
    }

    #[tokio::test]
    async fn however_many_streams_there_are_a_disk_that_is_behind_is_not_overrun() {
        const STREAMS: usize = 2000;
        const PIECE: usize = BEYOND_MAX / 16;
        // A disk that does nothing: each stream that may read on adds to what waits for it.
        let (brake, waiting) = (Arc::new(ReadGate::default()), Arc::new(AtomicUsize::new(0)));
        let is_open = Arc::new(AtomicBool::new(false));
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            let (brake, waiting, is_open) = (brake.clone(), waiting.clone(), is_open.clone());
            streams.spawn(async move {
                let beyond = || (!is_open.load(Ordering::Relaxed)).then(|| waiting.load(Ordering::Relaxed));
                brake.pass(beyond, |_| Ok::<_, Infallible>(())).await.expect("nobody looks");
                waiting.fetch_add(PIECE, Ordering::Relaxed);
            });
        }
        while waiting.load(Ordering::Relaxed) < BEYOND_MAX {
            tokio::time::sleep(ROOM_WAIT).await;
        }
        tokio::time::sleep(20 * ROOM_WAIT).await;
        assert_eq!(waiting.load(Ordering::Relaxed), BEYOND_MAX);
        // It has caught up.
        is_open.store(true, Ordering::Relaxed);
        brake.fewer.notify_waiters();
        let all = timeout(Duration::from_secs(60), streams.join_all()).await;
        assert_eq!(all.map(|all| all.len()).unwrap_or(0), STREAMS);
        assert_eq!(waiting.load(Ordering::Relaxed), PIECE * STREAMS);
    }
}
