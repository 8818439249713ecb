//! Listings: the names that a client asks for, in batches.

use std::sync::Arc;

use super::connection::{problem, walk_on_a_thread};
use super::{Mode, Shared};
use crate::protocol::ENTRIES_MAX;
use crate::protocol::message::{Entry, Failure, Kind, List, Message, Status};
use crate::protocol::path::WirePath;
use crate::session::control::Control;
use crate::storage::Meta;
use crate::storage::StorageError;
use crate::storage::{self, Filters, Found, Links, Request};

/// Names in one message; a listing of any size is a row of such messages.
const ENTRIES_A_MESSAGE: usize = if ENTRIES_MAX < 64 { ENTRIES_MAX } else { 64 };

/// Bytes of names in one message, so that even the longest fit the frame.
const NAME_BYTES_A_MESSAGE: usize = 16 * 1024;

/// Answers on a thread of its own; the client sees the names as they are found.
pub(super) fn answer(shared: &Arc<Shared>, control: &Control, wanted: List) {
    let (shared, control) = (shared.clone(), control.clone());
    walk_on_a_thread(move || {
        let mut batch = Batch { control: &control, entries: Vec::new(), bytes: 0 };
        if shared.mode == Mode::WriteOnly {
            let failure = Failure::new(Status::NotAllowed, "this server only takes files (--write-only)");
            control.send(problem(wanted.pattern.clone(), failure));
        } else {
            list(&shared, &wanted, &mut batch);
        }
        batch.flush();
        control.send(Message::Entries(Vec::new()));
    });
}

struct Batch<'a> {
    control: &'a Control,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Batch<'_> {
    fn add(&mut self, path: WirePath, meta: Meta) {
        let link_bytes = if let Kind::Link(target) = &meta.kind { target.len() } else { 0 };
        self.bytes += path.as_bytes().len() + link_bytes;
        self.entries.push(Entry { path, kind: meta.kind, size: meta.size, mtime: meta.mtime, mode: meta.mode });
        if self.entries.len() >= ENTRIES_A_MESSAGE || self.bytes >= NAME_BYTES_A_MESSAGE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.bytes = 0;
        if !self.entries.is_empty() {
            self.control.send(Message::Entries(std::mem::take(&mut self.entries)));
        }
    }
}

fn list(shared: &Shared, wanted: &List, batch: &mut Batch<'_>) {
    if wanted.pattern.is_empty() || wanted.pattern == b"." {
        return list_inside(shared, None, wanted.recursive, batch);
    }
    for expanded in storage::expand(&shared.root, std::slice::from_ref(&wanted.pattern)) {
        match expanded {
            Err((name, failure)) => batch.control.send(problem(name, failure)),
            Ok(Request { at: None, .. }) => list_inside(shared, None, wanted.recursive, batch),
            Ok(Request { at: Some(at), .. }) => match shared.root.stat(&at) {
                Ok(Some(meta)) if meta.kind == Kind::Dir => list_inside(shared, Some(&at), wanted.recursive, batch),
                Ok(Some(meta)) => batch.add(at, meta),
                Ok(None) => {}
                Err(error) => report(batch, &at, &error),
            },
        }
    }
}

fn report(batch: &Batch<'_>, at: &WirePath, error: &StorageError) {
    batch.control.send(problem(at.as_bytes().to_vec(), error.into()));
}

fn list_inside(shared: &Shared, at: Option<&WirePath>, recursive: bool, batch: &mut Batch<'_>) {
    let request = Request { root: shared.root.clone(), at: at.cloned(), name: at.cloned() };
    let walk = storage::walk(vec![request], Filters::none(), Links::Copy);
    let walk = if recursive { walk } else { walk.shallow() };
    for item in walk {
        match item {
            Found::File { at: found, .. } if Some(&found) == at => {}
            Found::File { at: found, meta, .. } => batch.add(found, meta),
            Found::Problem { name, failure } => batch.control.send(problem(name, failure)),
            Found::Note(_) => {}
        }
    }
}
