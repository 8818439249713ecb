//! How a receiver treats what it is offered: what it may write, and under which names.

use std::sync::Arc;

use crate::protocol::message::{Failure, Header, IfExists, Target};
use crate::protocol::path::WirePath;
use crate::storage::{Delivered, Destination, Meta, Owner, Replace, Store};
use crate::transfer::file::resume::Policy;

/// Whether what is on offer may be written, and under that name; else why not.
type Allows = dyn Fn(&Header, &WirePath) -> Result<(), Failure> + Send + Sync;

/// How a receiver treats what it is offered.
pub(crate) struct ReceiveOptions<S: Store = Destination> {
    /// Where files go; nothing outside it is touched.
    pub(crate) root: S,
    /// Below the root; `None` is the root itself.
    pub(crate) to: Option<WirePath>,
    /// How `to` is to be read.
    pub(crate) target: Target,
    /// The policy for files that exist already.
    pub(crate) policy: Policy,
    /// Directories that are there keep their times and modes, whatever the sender wants: the operator lets nobody replace
    /// anything.
    pub(crate) leaves_directories: bool,
    /// Answer, but change nothing.
    pub(crate) dry_run: bool,
    /// The sender knows of a dry run and hears what would be. One that does not know would send what it is asked for.
    pub(crate) tells_plans: bool,
    /// The committer will sync what is written.
    pub(crate) durable: bool,
    /// Which names may be written at all; else why not.
    pub(crate) allows: Box<Allows>,
    /// The owner of the partial files of this job, whom alone they are continued for; `None` is anyone. A sender that
    /// the policy keeps blind must not learn what others left unfinished.
    pub(crate) owner: Option<String>,
    /// The files that such senders have delivered; each of them is told of its own only.
    pub(crate) delivered: Option<Arc<Delivered>>,
}

impl<S: Store> ReceiveOptions<S> {
    /// Whether that is a file which this sender has delivered before.
    pub(super) fn was_delivered(&self, there: &Meta) -> bool {
        let known = self.delivered.as_ref().zip(self.owner.as_ref());
        known.is_some_and(|(delivered, owner)| delivered.is_by(owner, there))
    }

    /// Remembers what this sender has delivered.
    pub(super) fn note_delivered(&self, path: &WirePath) {
        let Some((delivered, owner)) = self.delivered.as_ref().zip(self.owner.as_ref()) else { return };
        // One that is gone already is not there.
        if let Ok(Some(file)) = self.root.stat(path) {
            delivered.note(owner, &file);
        }
    }

    /// The owner of the partial files.
    pub(super) fn part_owner(&self) -> Owner<'_> {
        Owner::of(self.owner.as_deref())
    }

    /// The rule for a name that was taken between the plan and the commit of content or a link.
    pub(super) fn replace(&self) -> Replace {
        match self.policy.if_exists {
            IfExists::Replace => Replace::Yes,
            IfExists::Rename => Replace::RenameFree,
            IfExists::Skip | IfExists::Fail => Replace::No,
        }
    }
}
