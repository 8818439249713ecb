//! Offers: what the walk finds becomes headers, thousands ahead of the content.

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::stream::Place;
use super::{ATTEMPTS_MAX, Outgoing, Sender, changed};
use crate::progress::Event;
use crate::protocol::message::{Done, FileId, Header, Kind, Message};
use crate::protocol::path::WirePath;
use crate::storage::Found;
use crate::storage::{Meta, Root};

impl Sender {
    pub(super) async fn offer_all(&self, mut found: mpsc::Receiver<Found>) {
        loop {
            let next = tokio::select! {
                next = found.recv() => next,
                () = self.0.stop.cancelled() => None,
            };
            let Some(next) = next else { break };
            match next {
                Found::File { root, at, name, meta } => self.offer_new(root, at, name, meta).await,
                Found::Problem { name, failure } => {
                    self.0.tools.control.room().await;
                    self.problem(name, failure);
                }
                Found::Note(text) => self.0.tools.observer.event(Event::Note(text)),
            }
        }
        self.state().walk_ended = true;
        self.0.tools.observer.scan_ended();
        self.maybe_end();
    }

    async fn offer_new(&self, root: Root, at: WirePath, name: WirePath, meta: Meta) {
        let shown = name.to_string();
        if self.0.tools.observer.is_settled(&shown) {
            return;
        }
        if meta.kind != Kind::Dir {
            self.0.tools.observer.found(&shown, meta.size);
        }
        let permit = self.0.offers.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.offer(root, at, name, meta, 1, permit);
    }

    fn offer(&self, root: Root, at: WirePath, path: WirePath, meta: Meta, attempt: u8, offer: OwnedSemaphorePermit) {
        let mut state = self.state();
        let id = FileId(state.next_id);
        state.next_id += 1;
        state.total.files += 1;
        state.total.bytes += meta.size;
        let header = Header { id, path, kind: meta.kind, size: meta.size, mtime: meta.mtime, mode: meta.mode };
        // Sent under the lock, so that ids count up on the wire.
        self.0.tools.control.send(Message::Header(header.clone()));
        let place = self.goes_ahead(&mut state, &header, attempt).then(|| Place {
            root: root.clone(),
            at: at.clone(),
            header: header.clone(),
            from: 0,
        });
        let file = Outgoing {
            header,
            root,
            at,
            attempt,
            ahead: None,
            moving: None,
            early: Vec::new(),
            tail_sent: false,
            _offer: offer,
        };
        state.files.insert(id, file);
        drop(state);
        if let Some(place) = place {
            tokio::spawn(self.clone().send_ahead(place));
        }
    }

    /// The source changed while it was sent: what the receiver has is dropped, and the file is offered
    /// again as it is now, a bounded number of times.
    pub(super) fn offer_again(&self, id: FileId) {
        let Ok(file) = self.take(id) else { return };
        self.0.tools.control.send(Message::Cancel(Done { id, failure: Some(changed()) }));
        let now = if file.attempt < ATTEMPTS_MAX { file.root.stat(&file.at).ok().flatten() } else { None };
        let path = file.header.path;
        match now {
            Some(meta) => self.offer(file.root, file.at, path, meta, file.attempt + 1, file._offer),
            None => {
                self.problem(path.as_bytes().to_vec(), changed());
                self.maybe_end();
            }
        }
    }
}
