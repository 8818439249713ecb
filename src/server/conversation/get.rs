//! A get: the job of a client to which files are sent.

use std::num::NonZeroUsize;

use tokio::sync::mpsc::error::TrySendError;

use super::ServerEnd;
use super::served_place::ServedPlace;
use crate::protocol::message::{ListedName, Names};
use crate::server::find::{GetSelection, walk_selection};
use crate::server::job::JobRole;
use crate::server::status::Direction;
use crate::session::SessionError;
use crate::session::location;
use crate::session::roles::Roles;
use crate::session::sender::{Sender, SenderOptions};
use crate::session::walk::{FOUND_AHEAD, walk_on_a_thread};
use crate::storage::{LeftOut, WalkEntry};

/// Files that a server sends to one client at the same time.
const SEND_JOBS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

impl ServerEnd {
    pub(super) fn on_get(&mut self, roles: &mut Roles, wanted: GetSelection) -> Result<(), SessionError> {
        if roles.sender().is_some() {
            return Err(SessionError::Order("a second get while the first is running"));
        }
        // Compiled filters take memory, up to megabytes, so they are charged to the client that sent them.
        let filter_room = self.client.account.take_for_search(wanted.filter_bytes()).ok_or(SessionError::Overloaded)?;
        // The streams of an earlier push may still have somebody who would take what came ahead for something of theirs.
        let early = wanted.early() && self.live.is_fresh();
        let place = ServedPlace { root: self.client.root().cloned(), to: None, is_rehearsal: false };
        let (observer, moving) = self.observe(Direction::Out, place);
        let sending = SenderOptions { jobs: SEND_JOBS, dry_run: false, own_tree: false, early };
        let sender = Sender::new(self.tools(&observer), self.live.path_state(), sending);
        sender.use_features(self.client.features());
        // A client that only wants to know what it would get says so when it leaves.
        self.begin(JobRole::Sender(sender.clone()), &observer, moving, false);
        let (grant, destination) = (self.client.grant.clone(), self.shared.config.destination.clone());
        let name = wanted.first_pattern();
        let no_thread = |failure| WalkEntry::Problem { name, failure };
        let (teller, recognise) = location::awaited(&self.client.connection).filter(|_| self.hears_locations()).unzip();
        self.location = teller;
        let left_out = LeftOut::at(destination).or(recognise);
        let name_room = self.client.account.name_room();
        let look = move |found: &_| {
            walk_selection(&grant, wanted, left_out, name_room, found);
            drop(filter_room);
        };
        roles.send(sender, walk_on_a_thread(FOUND_AHEAD, no_thread, look));
        self.watch_for_stale();
        Ok(())
    }

    pub(super) fn on_names(&mut self, names: Names) -> Result<(), SessionError> {
        let Some(to) = self.names.take() else { return Err(SessionError::Order("names for no list")) };
        let is_last = names.is_last;
        let bytes: usize = names.names.iter().map(|name| size_of::<ListedName>() + name.path.as_bytes().len()).sum();
        let room = self.client.account.take_for_message(bytes).ok_or(SessionError::Overloaded)?;
        match to.try_send((names, room)) {
            // Nothing is looked for any more; what is under way of the list is dropped.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => return Err(SessionError::Order("more names than may be ahead")),
        }
        self.names = Some(to).filter(|_| !is_last);
        Ok(())
    }
}
