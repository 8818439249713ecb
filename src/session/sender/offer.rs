//! Offers: what the walk finds becomes headers, thousands ahead of the content.

use std::os::unix::ffi::OsStrExt;

use tokio::sync::OwnedSemaphorePermit;

use super::file::{Offered, Outgoing};
use super::names::{Names, Turn, taken};
use super::settle::changed;
use super::stream::Place;
use super::{Sender, State};
use crate::protocol::OFFERS_MAX;
use crate::protocol::message::{Done, FileId, Header, Kind, Message};
use crate::protocol::path::WirePath;
use crate::session::SessionError;
use crate::session::budget::{Hold, OFFER_BYTES};
use crate::session::local::Walked;
use crate::storage::{Found, Lost, Meta, Tree};

impl Sender {
    /// Offers what the walk finds.
    ///
    /// # Errors
    /// When the walk broke off: then nobody must be told that this was all.
    pub(super) async fn offer_all(&self, mut found: Walked<Found>) -> Result<(), SessionError> {
        let mut names = Names::default();
        loop {
            let next = tokio::select! {
                next = found.next() => next?,
                () = self.0.stop.cancelled() => {
                    self.state().left_out = true;
                    None
                }
            };
            let Some(next) = next else { break };
            match next {
                Found::File { root, at, name, meta } => match names.note(&name.to_string(), &meta) {
                    Turn::First => self.offer_new(root, at, name, meta).await,
                    Turn::Again => {}
                    Turn::Taken => {
                        self.0.tools.control.room().await;
                        self.problem(self.source_name(&root, &at), taken(&name.to_string()));
                    }
                },
                Found::Problem { name, failure } => {
                    self.0.tools.control.room().await;
                    self.problem(name, failure);
                }
                Found::Note(text) => self.remark(text),
            }
        }
        self.state().walk_ended = true;
        self.0.tools.observer.scan_ended();
        self.maybe_end();
        Ok(())
    }

    /// Where something lies, for people. No wire path begins like this, so it never stands for the name that
    /// another source of the job has.
    fn source_name(&self, root: &Tree, at: &WirePath) -> Vec<u8> {
        let top = if self.0.tools.own_tree { root.path().as_os_str().as_bytes() } else { b"." };
        let top = top.strip_suffix(b"/").unwrap_or(top);
        [top, b"/", at.as_bytes()].concat()
    }

    async fn offer_new(&self, root: Tree, at: WirePath, name: WirePath, meta: Meta) {
        let shown = name.to_string();
        if self.0.tools.observer.is_settled(&shown) {
            return;
        }
        if meta.kind != Kind::Dir {
            self.0.tools.observer.found(&shown, meta.size);
        }
        let turn = self.0.offers.clone().acquire_owned().await.expect("the semaphore is never closed");
        let room = self.0.tools.account.for_offer(OFFER_BYTES + 2 * name.as_bytes().len()).await;
        let permit = OfferPermit { _turn: turn, room };
        self.offer(&mut self.state(), Offer { root, at, path: name, meta, attempt: 1, permit });
    }

    /// Puts a file on offer and says so: under the lock, so that ids count up on the wire.
    fn offer(&self, state: &mut State, offer: Offer) -> FileId {
        let Offer { root, at, path, meta, attempt, permit } = offer;
        let offered = Offered { attempt, identity: meta.identity, waits: 0 };
        let id = FileId(state.next_id);
        state.next_id += 1;
        state.total.files += 1;
        state.total.bytes += meta.size;
        let header = Header { id, path, kind: meta.kind, size: meta.size, mtime: meta.mtime, mode: meta.mode };
        self.0.tools.control.send(Message::Header(header.clone()));
        if self.goes_ahead(state, &header, attempt) {
            let place = Place { root: root.clone(), at: at.clone(), header: header.clone(), from: 0, offered };
            tokio::spawn(self.clone().send_ahead(place));
        }
        let file = Outgoing {
            named: None,
            header,
            root,
            at,
            offered,
            ahead: None,
            moving: None,
            early: Vec::new(),
            tail_sent: false,
            is_read: false,
            permit,
        };
        state.files.insert(id, file);
        id
    }

    /// The source changed while it was sent: what the receiver has is dropped, and the file is offered
    /// again as it is now, a bounded number of times.
    pub(super) async fn offer_again(&self, id: FileId) -> Result<(), Lost> {
        let now = self.look_again(id).await?;
        // One step: while the file is not on offer, another thread might say `End`.
        let mut state = self.state();
        let Some(file) = state.files.remove(&id) else { return Ok(()) };
        let Outgoing { header: Header { path, .. }, root, at, offered: Offered { attempt, .. }, permit, .. } = file;
        self.0.tools.control.send(Message::Cancel(Done { id, failure: Some(changed()) }));
        match now {
            Some(meta) => {
                let anew = self.offer(&mut state, Offer { root, at, path, meta, attempt: attempt + 1, permit });
                if state.end_sent {
                    state.anew.insert(id, anew);
                }
            }
            None => self.problem(path.as_bytes().to_vec(), changed()),
        }
        drop(state);
        self.maybe_end();
        Ok(())
    }

    /// What the source of a file is by now; `None` when it is gone, or has changed too often.
    async fn look_again(&self, id: FileId) -> Result<Option<Meta>, Lost> {
        let (root, at) = match self.state().files.get(&id) {
            Some(file) if file.offered.attempt < OFFERS_MAX => (file.root.clone(), file.at.clone()),
            _ => return Ok(None),
        };
        Ok(self.0.tools.disk.run(move || root.stat(&at)).await?.ok().flatten())
    }
}

/// That a file may be on offer.
pub(super) struct OfferPermit {
    _turn: OwnedSemaphorePermit,
    room: Hold,
}

impl OfferPermit {
    /// Makes room for more that is kept of the offer; `false`: there is none.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.room.grow(bytes)
    }
}

/// A file as it is to be offered.
struct Offer {
    root: Tree,
    at: WirePath,
    /// What it is called there.
    path: WirePath,
    meta: Meta,
    /// From one.
    attempt: u8,
    permit: OfferPermit,
}
