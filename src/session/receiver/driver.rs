//! The driver of a receiver: the connection, its disk threads, the time; and work that waits for a file that cannot be opened
//! now.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use quinn::Connection;
use tokio::sync::{Notify, oneshot};

use super::{ReceiveOptions, Receiver, ReceiverCommon};
use crate::protocol::message::{Message, Status};
use crate::session::JobTools;
use crate::session::backlog::Backlog;
use crate::session::control::Control;
use crate::session::memory::Buffers;
use crate::session::unwritten::Gathering;
use crate::session::window::ReceiveWindow;
use crate::storage::{Committer, CopiedBy, Destination, DiskQueue, FILES_WAIT, FILES_WAITS_MAX, StorageError, Store};
use crate::transport::send_urgently;

/// How often, and how many times, a partial file that another transfer holds is tried again. Three seconds
/// outlast the ghost of this client's own lost connection; a living transfer of the same file does not end
/// that soon.
const BUSY_WAIT: Duration = Duration::from_millis(200);
const BUSY_WAITS_MAX: u32 = 15;

/// The interface that a receiver needs beside its store. A simulator is another implementation: it has no threads, and
/// no clock.
pub(crate) trait Driver: Send + Sync + Sized + 'static {
    /// Where the files go.
    type Store: Store;
    /// Kept with a file while a stream waits for its answer: dropped when the file is answered, which ends the wait.
    type Wait: Send;

    /// Held while more is said soon.
    type Gathering;

    /// Says something to the sender.
    fn say(&self, message: Message);

    /// What is said may wait a little for more of it as long as what is returned is held.
    fn gather(&self) -> Self::Gathering;

    /// Runs work that may block, some time. It may be dropped instead once the connection is over.
    fn spawn(&self, work: impl FnOnce() + Send + 'static);

    /// The same for work that takes processor time and no disk, behind all other.
    fn spawn_long(&self, work: impl FnOnce() + Send + 'static);

    /// The same as [`Driver::spawn`] after a while.
    fn spawn_later(&self, after: Duration, work: impl FnOnce() + Send + 'static);

    /// Whether the connection has ended: nobody waits for what the disk could still find out.
    fn is_over(&self) -> bool;

    /// Content that waited for the disk is written, or will not be.
    fn on_written(&self, bytes: usize);

    /// Every file is settled; what is said next is the last.
    fn on_last_word(&self);

    /// The job is over.
    fn on_finished(&self);

    /// The time that passes here, from any moment on.
    fn elapsed(&self) -> Duration;

    /// The time of day, by which files are stamped.
    fn now(&self) -> SystemTime;
}

/// The driver of a real connection.
pub(crate) struct Online {
    pub(super) connection: Connection,
    pub(super) control: Control,
    pub(super) disk: DiskQueue,
    pub(super) buffers: Buffers,
    pub(super) backlog: Backlog,
    pub(super) settled: Notify,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) begun: Instant,
}

impl Driver for Online {
    type Store = Destination;
    type Wait = oneshot::Sender<Infallible>;
    type Gathering = Gathering;

    fn say(&self, message: Message) {
        self.control.send(message);
    }

    fn gather(&self) -> Gathering {
        self.control.gather()
    }

    fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.disk.spawn(work);
    }

    fn spawn_long(&self, work: impl FnOnce() + Send + 'static) {
        self.disk.spawn_long(work);
    }

    fn spawn_later(&self, after: Duration, work: impl FnOnce() + Send + 'static) {
        let disk = self.disk.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(after).await;
            disk.spawn(work);
        });
    }

    fn is_over(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    fn on_written(&self, bytes: usize) {
        self.backlog.remove(bytes);
    }

    fn on_last_word(&self) {
        // Nothing is left for the sender to do but to hear the end; a lost packet would cost it a round trip and more.
        send_urgently(&self.connection);
    }

    fn on_finished(&self) {
        self.settled.notify_waiters();
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl Receiver {
    /// A receiver on a real connection, whose peer may have as much in flight as `window` says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(
        tools: JobTools,
        committer: Committer,
        window: Arc<ReceiveWindow>,
        options: ReceiveOptions,
    ) -> Self {
        let JobTools { connection, control, disk, hasher, buffers, account, observer, record } = tools;
        let (backlog, settled, begun) = (Backlog::new(window), Notify::new(), Instant::now());
        let runtime = tokio::runtime::Handle::current();
        let driver = Online { connection, control, disk, buffers, backlog, settled, runtime, begun };
        Self::driven_by(driver, ReceiverCommon { committer, hasher, account, observer, record }, options)
    }

    /// Resolves when the sender has ended and every file is settled.
    pub(crate) async fn finished(&self) {
        loop {
            let notified = self.0.driver.settled.notified();
            if self.is_finished() {
                return;
            }
            notified.await;
        }
    }

    /// Whether the peer has begun chunks and left them so for too long. To be asked every few seconds.
    pub(crate) fn is_left_begun(&self, now: Instant) -> bool {
        self.0.driver.backlog.is_left_begun(now)
    }

    /// A stream of the sender's has ended: it may open another.
    pub(crate) fn on_stream_ended(&self) {
        self.0.driver.backlog.on_stream_ended();
    }

    /// Whether this side owes the next step: it is planning, hashing, writing or committing.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.driver.backlog.is_busy() || self.ledger().is_busy()
    }
}

impl<D: Driver> Receiver<D> {
    /// On a disk thread: does `work`, and does it again when what was in its way may be out of it. `done` is told what came of
    /// it in the end.
    pub(super) fn keep_trying<T>(
        &self,
        work: impl FnMut(&Self) -> Result<T, StorageError> + Send + 'static,
        done: impl FnOnce(&Self, Result<T, StorageError>) + Send + 'static,
    ) {
        self.try_after(0, work, done);
    }

    fn try_after<T>(
        &self,
        waits: u32,
        mut work: impl FnMut(&Self) -> Result<T, StorageError> + Send + 'static,
        done: impl FnOnce(&Self, Result<T, StorageError>) + Send + 'static,
    ) {
        match work(self) {
            Err(error) if may_wait(&error, waits) => {
                let receiver = self.clone();
                self.try_again(&error, move || receiver.try_after(waits + 1, work, done));
            }
            result => {
                // What it holds is given back before anybody hears that it is done.
                drop(work);
                done(self, result);
            }
        }
    }

    /// Does `work` again on a disk thread when what was in its way may be out of it.
    pub(super) fn try_again(&self, error: &StorageError, work: impl FnOnce() + Send + 'static) {
        if error.copying() == Some(CopiedBy::Here) {
            self.0.driver.spawn(work);
        } else {
            let wait = if error.is_passing() { FILES_WAIT } else { BUSY_WAIT };
            // No disk thread sits that out.
            self.0.driver.spawn_later(wait, work);
        }
    }
}

/// Whether what was in the way may be out of it after so many waits.
pub(super) fn may_wait(error: &StorageError, waits: u32) -> bool {
    let limit = match error.status() {
        // It ends with the copy, or with the connection.
        _ if error.copying().is_some() => u32::MAX,
        Status::Busy => BUSY_WAITS_MAX,
        _ if error.is_passing() => FILES_WAITS_MAX,
        _ => 0,
    };
    waits < limit
}
