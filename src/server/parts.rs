//! Unfinished files: what clients may know of them, and what becomes of those that nobody continues.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::Duration;
use std::{io, thread};

use tracing::warn;

use super::find::problem;
use super::grant::Grant;
use super::{Notice, ServerInner};
use crate::protocol::message::{Failure, ListedPart, Message, PartFate, Parts};
use crate::session::SessionError;
use crate::session::control::Control;
use crate::session::walk::{Finder, FinderClosed, walk_on_a_thread};
use crate::storage::{Fate, NameRoom, PartSearch, Removal, Unfinished, give_way_to_others};

/// Parts in one message: with the longest paths and failures they fill half a frame.
const PARTS_A_MESSAGE: usize = 6;

/// Messages that the search may be ahead of the client.
const MESSAGES_AHEAD: usize = 16;

/// Memory for the names of the directories that a server looks into by itself.
const SWEEP_BYTES: usize = 1 << 20;

/// How often a server looks for what nobody continues.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers from a thread of its own. When this is dropped, the thread ends with the next name.
///
/// # Errors
/// When the search broke off: an answer that is not whole has no end.
pub(super) async fn answer(
    grant: Arc<Grant>,
    control: Control,
    room: NameRoom,
    asked: Parts,
) -> Result<(), SessionError> {
    let no_thread = |failure| problem(Vec::new(), failure);
    let mut messages = walk_on_a_thread(MESSAGES_AHEAD, no_thread, move |queue| {
        // It fails only when nobody listens any more.
        let _ = match allowed(&grant, &asked) {
            Ok(()) => find(&grant, asked, room, queue),
            Err(failure) => queue.blocking_send(problem(b".".to_vec(), failure)),
        };
    });
    while let Some(message) = messages.next().await? {
        control.room().await;
        control.send(message);
    }
    control.send(Message::PartsFound(Vec::new()));
    Ok(())
}

/// Whether what is asked for may be done at all.
fn allowed(grant: &Grant, asked: &Parts) -> Result<(), Failure> {
    match asked.remove {
        true => grant.may_send(),
        false => grant.may_read().or_else(|_| grant.may_send()),
    }
}

fn find(grant: &Grant, asked: Parts, room: NameRoom, queue: &Finder<Message>) -> Result<(), FinderClosed> {
    let removal = if asked.remove { Removal::ByClient } else { Removal::None };
    let search = PartSearch::new(grant.tree(), asked.below).of(grant.part_owner()).in_room(room);
    let mut search = search.older(Duration::from_secs(asked.older_secs)).removing(removal);
    let mut batch = Vec::new();
    while let ControlFlow::Continue(found) = search.step() {
        match found {
            Some(Ok(found)) => batch.push(on_the_wire(found)),
            Some(Err((name, failure))) => queue.blocking_send(problem(name, failure))?,
            None if queue.is_over() => return Err(FinderClosed),
            None => {}
        }
        if batch.len() >= PARTS_A_MESSAGE {
            queue.blocking_send(Message::PartsFound(std::mem::take(&mut batch)))?;
        }
    }
    if batch.is_empty() { Ok(()) } else { queue.blocking_send(Message::PartsFound(batch)) }
}

fn on_the_wire(found: Unfinished) -> ListedPart {
    let Unfinished { path, size, age, fate } = found;
    let fate = match fate {
        Fate::Kept => PartFate::Kept,
        Fate::Removed => PartFate::Removed,
        Fate::Left(failure) => PartFate::Left(failure),
    };
    ListedPart { path, size, age_secs: age.as_secs(), fate }
}

/// Removes what nobody has continued for long, now and every day. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Sweeper {
    /// Never sent on.
    _ends: mpsc::Sender<()>,
}

impl Sweeper {
    /// Starts the thread, which gives way to all others.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(shared: Arc<ServerInner>, keep: Duration) -> io::Result<Self> {
        let (ends, ended) = mpsc::channel();
        thread::Builder::new().name("qft-parts".to_owned()).spawn(move || {
            give_way_to_others();
            loop {
                sweep(&shared, keep, &ended);
                if ended.recv_timeout(SWEEP_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { _ends: ends })
    }
}

fn sweep(shared: &ServerInner, keep: Duration, ended: &mpsc::Receiver<()>) {
    let mut search = PartSearch::new(shared.tree.tree(), None).older(keep).removing(Removal::ByServer);
    search = search.in_room(NameRoom::at_most(SWEEP_BYTES));
    while let ControlFlow::Continue(found) = search.step() {
        match found {
            Some(Ok(Unfinished { path, size, age, fate: Fate::Removed })) => {
                shared.notices.send(Notice::PartRemoved { path: path.to_string(), size, age });
            }
            Some(Ok(Unfinished { path, fate: Fate::Left(failure), .. })) => {
                warn!(%path, %failure, "an old unfinished file stays");
            }
            // A directory that cannot be searched has none of ours.
            Some(Ok(Unfinished { fate: Fate::Kept, .. }) | Err(_)) => {}
            None if ended.try_recv() == Err(TryRecvError::Disconnected) => return,
            None => {}
        }
    }
}
