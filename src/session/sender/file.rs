//! One offered file, from its header to its last word.

use std::sync::Arc;

use super::ahead::Gone;
use super::offer::OfferPermit;
use crate::progress::FileProgress;
use crate::protocol::message::{Have, Header, Kind};
use crate::protocol::path::WirePath;
use crate::session::budget::Hold;
use crate::storage::{FileIdentity, Source, Tree};
use crate::transfer::file::SendFile;

/// One offered file that is not settled.
pub(super) struct Outgoing {
    pub(super) header: Header,
    pub(super) root: Tree,
    pub(super) at: WirePath,
    pub(super) offered: Offered,
    /// Its start, on its way although nobody has asked for it yet.
    pub(super) ahead: Option<Gone>,
    /// From the answer on.
    pub(super) moving: Option<Moving>,
    /// Digests that came before the file was opened.
    pub(super) early: Vec<Have>,
    pub(super) tail_sent: bool,
    /// We read our own copy, and have nothing to say of it meanwhile.
    pub(super) is_read: bool,
    /// The name that it gets there instead of its own, escaped for display.
    pub(super) named: Option<String>,
    /// Its room among the offers, given back when it is settled.
    pub(super) permit: OfferPermit,
}

impl Outgoing {
    /// Whether nothing that happens to it makes it be offered again.
    pub(super) fn is_last(&self) -> bool {
        self.tail_sent || self.header.kind != Kind::File
    }

    /// Whether it is wanted and its source is still to be opened.
    pub(super) fn is_unopened(&self) -> bool {
        !self.tail_sent && self.moving.as_ref().is_some_and(|moving| moving.open.is_none())
    }

    /// Whether the receiver waits for us to read our copy: its digests wait for ours, or it waits for the tail.
    pub(super) fn is_behind(&self) -> bool {
        let Some(moving) = &self.moving else { return false };
        self.is_read || moving.closing || moving.open.as_ref().is_some_and(|open| open.rules.is_behind())
    }
}

/// How often a file was offered, and as what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered {
    /// From one.
    pub(super) attempt: u8,
    /// What it was when it was offered.
    pub(super) identity: FileIdentity,
    /// How often it was given time to come to rest.
    pub(super) waits: u8,
}

/// A file that the receiver wants.
pub(super) struct Moving {
    pub(super) from: u64,
    pub(super) progress: Arc<FileProgress>,
    pub(super) open: Option<OpenSource>,
    /// Chunks whose digests the receiver has sent.
    pub(super) digests: u64,
    /// What those take that wait for ours.
    pub(super) room: Hold,
    /// Content bytes that the receiver has reported as written.
    pub(super) reported: u64,
    pub(super) sent: u64,
    pub(super) pumping: bool,
    /// Everything is sent, and its digest is being summed up.
    pub(super) closing: bool,
}

pub(super) struct OpenSource {
    pub(super) source: Arc<Source>,
    pub(super) rules: SendFile,
}
