//! Listings: the names that a client asks for, in batches.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::find::problem;
use super::grant::Grant;
use crate::protocol::ENTRIES_MAX;
use crate::protocol::message::{Kind, List, ListingEntry, Message};
use crate::protocol::path::WirePath;
use crate::session::SessionError;
use crate::session::control::Control;
use crate::session::walk::{Finder, FinderClosed, walk_on_a_thread};
use crate::storage::Meta;
use crate::storage::{self, Expanded, Filters, Finds, Links, NameRoom, Tree, WalkEntry, WalkRequest};

/// Names in one message; a listing of any size is a row of such messages.
const ENTRIES_A_MESSAGE: usize = if ENTRIES_MAX < 64 { ENTRIES_MAX } else { 64 };

/// Bytes of names in one message, so that even the longest fit the frame.
const NAME_BYTES_A_MESSAGE: usize = 16 * 1024;

/// Messages that the walk may be ahead of the client.
const MESSAGES_AHEAD: usize = 16;

/// Answers from a thread of its own; the client sees the names as they are found. When this is dropped, the
/// thread ends with its next message.
///
/// # Errors
/// When the walk broke off: a listing that is not whole has no end.
pub(super) async fn answer(
    grant: Arc<Grant>,
    control: Control,
    room: NameRoom,
    wanted: List,
) -> Result<(), SessionError> {
    let pattern = wanted.pattern.clone();
    let no_thread = |failure| problem(pattern, failure);
    let mut messages = walk_on_a_thread(MESSAGES_AHEAD, no_thread, move |queue| {
        let mut batch = ListingBatch { queue, room, entries: Vec::new(), bytes: 0 };
        // It fails only when nobody listens any more.
        let _ = list(&grant, &wanted, &mut batch).and_then(|()| batch.flush());
    });
    while let Some(message) = messages.next().await? {
        // A tree has more names than memory should hold; the walk waits for a client that reads slowly.
        control.room().await;
        control.send(message);
    }
    control.send(Message::Entries(Vec::new()));
    Ok(())
}

struct ListingBatch<'a> {
    queue: &'a Finder<Message>,
    room: NameRoom,
    entries: Vec<ListingEntry>,
    bytes: usize,
}

impl ListingBatch<'_> {
    fn send(&self, message: Message) -> Result<(), FinderClosed> {
        self.queue.blocking_send(message)
    }

    fn add(&mut self, path: WirePath, meta: Meta) -> Result<(), FinderClosed> {
        let link_bytes = if let Kind::Link(target) = &meta.kind { target.len() } else { 0 };
        self.bytes += path.as_bytes().len() + link_bytes;
        self.entries.push(ListingEntry { path, kind: meta.kind, size: meta.size, mtime: meta.mtime, mode: meta.mode });
        if self.entries.len() >= ENTRIES_A_MESSAGE || self.bytes >= NAME_BYTES_A_MESSAGE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FinderClosed> {
        self.bytes = 0;
        if self.entries.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.entries);
        self.send(Message::Entries(entries))
    }
}

fn list(grant: &Grant, wanted: &List, batch: &mut ListingBatch<'_>) -> Result<(), FinderClosed> {
    if let Err(failure) = grant.may_read() {
        let name = if wanted.pattern.is_empty() { b".".to_vec() } else { wanted.pattern.clone() };
        return batch.send(problem(name, failure));
    }
    let tree = &grant.tree();
    if wanted.pattern.is_empty() || wanted.pattern == b"." {
        return list_inside(tree, None, wanted.recursive, batch);
    }
    let mut listed = ListingWalk { tree, recursive: wanted.recursive, batch, gone: false };
    storage::expand(tree, std::slice::from_ref(&wanted.pattern), &mut listed);
    if listed.gone { Err(FinderClosed) } else { Ok(()) }
}

/// Lists each match of a pattern as it is found.
struct ListingWalk<'a, 'b> {
    tree: &'a Tree,
    recursive: bool,
    batch: &'a mut ListingBatch<'b>,
    gone: bool,
}

impl ListingWalk<'_, '_> {
    fn list(&mut self, expanded: Expanded) -> Result<(), FinderClosed> {
        let Self { tree, recursive, batch, .. } = self;
        let at = match expanded {
            Err((name, failure)) => return batch.send(problem(name, failure)),
            Ok(WalkRequest { at: None, .. }) => return list_inside(tree, None, *recursive, batch),
            Ok(WalkRequest { at: Some(at), .. }) => at,
        };
        match tree.stat(&at) {
            Ok(Some(meta)) if meta.kind == Kind::Dir => list_inside(tree, Some(&at), *recursive, batch),
            Ok(Some(meta)) => batch.add(at, meta),
            Ok(None) => Ok(()),
            Err(error) => batch.send(problem(at.as_bytes().to_vec(), (&error).into())),
        }
    }
}

impl Finds for ListingWalk<'_, '_> {
    fn take(&mut self, expanded: Expanded) -> ControlFlow<()> {
        self.gone = self.list(expanded).is_err();
        if self.gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_over(&self) -> bool {
        self.batch.queue.is_over()
    }

    fn name_room(&self) -> NameRoom {
        self.batch.room.clone()
    }
}

fn list_inside(
    tree: &Tree,
    at: Option<&WirePath>,
    recursive: bool,
    batch: &mut ListingBatch<'_>,
) -> Result<(), FinderClosed> {
    let request = WalkRequest { root: tree.clone(), at: at.cloned(), name: at.cloned(), whole: true, named: true };
    let walk = storage::walk(vec![request], Filters::none(), Links::List)
        .in_room(batch.room.clone())
        .until(batch.queue.over());
    let walk = if recursive { walk } else { walk.shallow() };
    for item in walk {
        match item {
            WalkEntry::File { at: found, .. } if Some(&found) == at => {}
            WalkEntry::File { at: found, meta, .. } => batch.add(found, meta)?,
            WalkEntry::Problem { name, failure } => batch.send(problem(name, failure))?,
            WalkEntry::Note(_) => {}
        }
    }
    Ok(())
}
