//! Where the files of a job are, and what the operator hears of them.

use std::sync::Arc;

use tracing::{debug, warn};

use crate::progress::Event;
use crate::protocol::path::WirePath;
use crate::server::status::Direction;
use crate::server::{Notice, Peer};

/// Where the files of a job are, for the operator, who knows the served directory and nothing of a client's view of it.
pub(super) struct ServedPlace {
    /// All that the client can reach.
    pub(super) root: Option<WirePath>,
    /// Where in that its files go.
    pub(super) to: Option<WirePath>,
    /// Nothing is done, so nothing is to be told.
    pub(super) is_rehearsal: bool,
}

impl ServedPlace {
    pub(super) fn path(&self, name: &str) -> String {
        let above = self.root.iter().chain(&self.to).map(|path| format!("{path}/"));
        above.chain([name.to_owned()]).collect()
    }

    /// The notice for the operator of something that happened to a file, if there is one.
    pub(super) fn notice(&self, event: Event, direction: Direction, peer: &Arc<Peer>) -> Option<Notice> {
        let peer = peer.clone();
        match event {
            _ if self.is_rehearsal => None,
            Event::Finished { file } => {
                debug!(path = file.path, size = file.size, "file done");
                let path = self.path(file.source.as_deref().unwrap_or(&file.path));
                let (size, written, elapsed) = (file.size, file.written(), file.since.elapsed());
                let from_peer = direction == Direction::In;
                Some(Notice::Finished { peer, path, size, written, elapsed, from_peer })
            }
            Event::Failed { path, failure, .. } => {
                warn!(path, %failure, "file failed");
                Some(Notice::Failed { peer, path: self.path(&path), why: failure.to_string() })
            }
            _ => None,
        }
    }
}
