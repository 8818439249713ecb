//! The rights of one client on this server: its own, within the server's.

use std::time::SystemTime;

use super::ServerInner;
use crate::keys::Fingerprint;
use crate::keys::trust::{AccessMode, Rights};
use crate::protocol::message::{Failure, IfExists, Status};
use crate::protocol::path::WirePath;
use crate::storage::{Destination, Root, StorageError, Tree};

/// Characters of a key's text that name its partial files in a drop box: 80 bits, which nobody finds another key for.
const PART_OWNER_CHARS: usize = 16;

/// The rights of one client, and the part of the served directory that they hold for.
#[derive(Debug)]
pub(super) struct Grant {
    /// All that the client can reach.
    root: Root,
    /// Symbolic links are taken from it.
    links: bool,
    keep_dirlinks: bool,
    server: AccessMode,
    client: AccessMode,
    no_clobber: bool,
    hidden: bool,
    peer: Fingerprint,
}

impl Grant {
    /// The stricter of what the server allows and what the list allows this client. Blocks on the disk.
    ///
    /// # Errors
    /// When the directory that is the client's root cannot be opened. It is made for a client that may write.
    pub(super) fn new(shared: &ServerInner, peer: Fingerprint, rights: &Rights) -> Result<Self, StorageError> {
        let may_write = shared.config.mode.writes() && rights.mode.writes();
        let root = match &rights.root {
            None => shared.tree.clone(),
            Some(path) => {
                // The operator named it, so it may be one that is hidden from the others.
                let below = shared.root.client_root(path, may_write)?;
                if shared.config.hidden { below } else { below.hiding_dots() }
            }
        };
        Ok(Self {
            root,
            client: rights.mode,
            no_clobber: shared.config.no_clobber || rights.no_clobber,
            ..full(shared, peer)
        })
    }

    /// The tree that the client may read, if it may read at all.
    pub(super) fn tree(&self) -> Tree {
        self.root.tree()
    }

    /// Where the files of a job arrive that begins now.
    pub(super) fn destination(&self) -> Destination {
        let strict = self.root.destination();
        if self.keep_dirlinks { strict.keeping_dirlinks(SystemTime::now()) } else { strict }
    }

    /// Whether the client may make symbolic links.
    pub(super) fn takes_links(&self) -> bool {
        self.links && !self.is_blind()
    }

    /// Whether files may be got and listed; else why not.
    pub(super) fn may_read(&self) -> Result<(), Failure> {
        match (self.server.reads(), self.client.reads()) {
            (true, true) => Ok(()),
            (false, _) => Err(not_allowed("this server only takes files (--write-only)")),
            (true, false) => Err(not_allowed("this client may only send there (its rights: wo)")),
        }
    }

    /// Whether a name may be written; else why not.
    pub(super) fn may_write(&self, path: &WirePath) -> Result<(), Failure> {
        self.may_send()?;
        match self.hidden || !path.as_bytes().starts_with(b".") {
            true => Ok(()),
            false => Err(not_allowed(
                "names that begin with a dot are not served at the top (the server's --hidden serves them)",
            )),
        }
    }

    /// Whether anything may be written at all; else why not.
    pub(super) fn may_send(&self) -> Result<(), Failure> {
        match (self.server.writes(), self.client.writes()) {
            (true, true) => Ok(()),
            (false, _) => Err(not_allowed("this server gives files and takes none (--read-only)")),
            (true, false) => Err(not_allowed("this client may only get there (its rights: ro)")),
        }
    }

    /// The policy for files that exist already: the client's wish, within its rights.
    pub(super) fn if_exists(&self, asked: IfExists) -> IfExists {
        match asked {
            IfExists::Replace if self.no_clobber => IfExists::Fail,
            asked => asked,
        }
    }

    /// Whether the answers to offers may tell nothing of what is there.
    pub(super) fn is_blind(&self) -> bool {
        self.may_read().is_err()
    }

    /// The owner of this client's partial files, whom alone they are continued for. A client that may not read must not
    /// learn, by digests of a prefix, what others are uploading.
    pub(super) fn part_owner(&self) -> Option<String> {
        self.is_blind().then(|| self.peer.to_string()[..PART_OWNER_CHARS].to_owned())
    }
}

/// A grant for everything that the server allows.
pub(super) fn full(shared: &ServerInner, peer: Fingerprint) -> Grant {
    Grant {
        root: shared.tree.clone(),
        links: shared.config.links,
        keep_dirlinks: shared.config.keep_dirlinks,
        server: shared.config.mode,
        client: AccessMode::ReadWrite,
        no_clobber: shared.config.no_clobber,
        hidden: shared.config.hidden,
        peer,
    }
}

fn not_allowed(why: &str) -> Failure {
    Failure::new(Status::NotAllowed, why)
}
