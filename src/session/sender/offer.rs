//! Offers: what the walk finds becomes headers, thousands ahead of the content.

use std::os::unix::ffi::OsStrExt;
use std::pin::pin;

use super::Sender;
use super::source::{Located, OfferPermit, stat};
use crate::protocol::message::{Failure, FileId, Kind, Status};
use crate::protocol::path::WirePath;
use crate::session::budget::OFFER_BYTES;
use crate::session::record::SERVED;
use crate::session::walk::Walked;
use crate::session::{JobTools, SessionError};
use crate::storage::{ByteFiles, Lost, Meta, WalkEntry};
use crate::transfer::job::offers::Offer;
use crate::transfer::job::offers::names::{NameClaim, OfferedNames};
use crate::transfer::job::twins::with_other_accents;

impl<F: ByteFiles> Sender<F> {
    /// Offers what the walk finds.
    ///
    /// # Errors
    /// When the walk broke off: then nobody must be told that this was all.
    pub(super) async fn offer_all(&self, mut found: Walked<WalkEntry<F>>) -> Result<(), SessionError> {
        let (mut names, mut room) = (OfferedNames::default(), self.0.tools.account.to_remember());
        // A peer that gets names as many as it likes; see `Turn::First` for what there is no room to remember.
        let mut room = |bytes| room.grow(bytes);
        let mut stopped = pin!(self.0.stop.cancelled());
        let is_cut_short = loop {
            let at_hand = if self.0.stop.is_cancelled() { None } else { found.at_hand() };
            let next = match at_hand {
                Some(next) => next,
                None => tokio::select! {
                    biased;
                    () = &mut stopped => break true,
                    next = found.next() => match next? {
                        Some(next) => next,
                        None => break false,
                    }
                },
            };
            match next {
                WalkEntry::File { root, at, name, meta } => {
                    match names.note(&name, &meta.kind, inode(&meta), &mut room) {
                        NameClaim::First => self.offer_new(root, at, name, meta).await,
                        NameClaim::Again => {}
                        NameClaim::Taken => {
                            self.0.tools.control.room().await;
                            self.problem(self.source_name(&root, &at), taken(&name));
                        }
                    }
                }
                WalkEntry::Problem { name, failure } => {
                    self.0.tools.control.room().await;
                    self.problem(name, failure);
                }
                WalkEntry::Note(text) => self.feed(|ledger| ledger.remark(text)),
            }
        };
        self.feed(|ledger| ledger.on_walk_ended(is_cut_short));
        Ok(())
    }

    /// Where something lies, for people.
    fn source_name(&self, root: &F, at: &WirePath) -> Vec<u8> {
        if !self.0.options.own_tree {
            return [SERVED, at.as_bytes()].concat();
        }
        let top = root.path().as_os_str().as_bytes();
        let top = top.strip_suffix(b"/").unwrap_or(top);
        [top, b"/", at.as_bytes()].concat()
    }

    async fn offer_new(&self, root: F, at: WirePath, name: WirePath, meta: Meta) {
        let JobTools { observer, record, .. } = &self.0.tools;
        let is_settled = match meta.kind {
            Kind::Dir => record.is_settled(&name),
            Kind::File | Kind::Link(_) => record.found(observer, &name, meta.size),
        };
        if is_settled {
            return;
        }
        if meta.kind != Kind::Dir
            && let Some(first) = with_other_accents(&name).find(|other| record.was_done_before(other))
        {
            self.0.tools.control.room().await;
            return self.problem(self.source_name(&root, &at), spelled_otherwise(&first));
        }
        let timing = self.0.offers.clone().acquire_owned().await.expect("the semaphore is never closed");
        let room = self.0.tools.account.for_offer(OFFER_BYTES + 2 * name.as_bytes().len()).await;
        let permit = OfferPermit { _turn: timing, room };
        let (stat, source) = (stat(&meta), Located { root, at, identity: meta.identity });
        self.feed(|ledger| ledger.offer(Offer { source, path: name, stat, permit }));
    }

    fn problem(&self, name: Vec<u8>, failure: Failure) {
        self.feed(|ledger| ledger.problem(name, failure));
    }

    /// The source of a file changed while it was sent: the file is offered again as it is now, a bounded number of times.
    pub(super) async fn offer_again(&self, id: FileId) -> Result<(), Lost> {
        let before = self.ledger().to_look_again(id);
        let now = match before {
            None => Ok(None),
            Some(Located { root, at, .. }) => {
                let look = move || {
                    let found = root.stat(&at)?;
                    let located = |meta: Meta| Located { root: root.clone(), at: at.clone(), identity: meta.identity };
                    Ok(found.map(|meta| (stat(&meta), located(meta))))
                };
                self.0.tools.disk.look(look).await?
            }
        };
        let now = now.map(|found| found.map(|(stat, located)| (located, stat))).map_err(Failure::from);
        self.feed(|ledger| ledger.offer_again(id, now));
        Ok(())
    }
}

fn inode(meta: &Meta) -> (u64, u64) {
    (meta.identity.dev, meta.identity.ino)
}

/// The failure of a name that differs from one which an earlier connection has brought in how its accents are written. The
/// receiver remembers nothing of that one, and its disk may take both for one.
fn spelled_otherwise(first: &WirePath) -> Failure {
    let text = format!(
        "{first}, with its accents written in another way, was sent before the connection was lost, and some disks take both \
        names for one; run the same command again for this one"
    );
    Failure::new(Status::Exists, text)
}

/// The failure of a second source of one name.
fn taken(name: &WirePath) -> Failure {
    Failure::new(Status::Exists, format!("will not overwrite {name}, which this job has from elsewhere already"))
}
