//! Finds the files that a `Get` asks for, on a thread of its own.

use std::ops::ControlFlow;

use tokio::sync::mpsc;

use super::grant::Grant;
use crate::protocol::NAMES_AHEAD_MAX;
use crate::protocol::message::{Failure, Get, Message, Names, Problem, Select, Status};
use crate::session::budget::Hold;
use crate::session::control::Control;
use crate::session::walk::{Finder, FinderClosed};
use crate::storage::{self, Expanded, Filters, Finds, LeftOut, Links, NameList, NameRoom, Tree, Walk, WalkEntry};

/// The files that a client asks for.
pub(super) struct GetSelection {
    get: Get,
    one_file_system: bool,
    names: Option<NamesToCome>,
}

/// Where the names of a list go as they come, with the room that they take.
pub(super) type NamesSender = mpsc::Sender<(Names, Hold)>;

/// The names of a list, as they come.
pub(super) struct NamesToCome {
    names: mpsc::Receiver<(Names, Hold)>,
    control: Control,
}

impl From<Get> for GetSelection {
    fn from(get: Get) -> Self {
        Self { get, one_file_system: false, names: None }
    }
}

impl GetSelection {
    /// The selection; and, if it is a list of names, the channel that takes the names as they come.
    pub(super) fn of(select: Select, control: &Control) -> (Self, Option<NamesSender>) {
        let Select { get, one_file_system, listed } = select;
        let (to, names) = mpsc::channel(NAMES_AHEAD_MAX);
        let names = listed.then(|| NamesToCome { names, control: control.clone() });
        (Self { get, one_file_system, names }, listed.then_some(to))
    }

    /// Whether content may go ahead of its answer.
    pub(super) fn early(&self) -> bool {
        self.get.early
    }

    /// Memory that its filters take until everything is found.
    pub(super) fn filter_bytes(&self) -> usize {
        Filters::memory_bytes(&self.get.filters)
    }

    /// The name that an error is reported under when the search cannot even begin.
    pub(super) fn first_pattern(&self) -> Vec<u8> {
        self.get.patterns.first().cloned().unwrap_or_default()
    }
}

/// Passes on what is wanted, until everything is found or nobody takes it any more.
///
/// `left_out` is the directory that they go to; `room` is for names that are looked at.
pub(super) fn walk_selection(
    grant: &Grant,
    wanted: GetSelection,
    left_out: LeftOut,
    room: NameRoom,
    found: &Finder<WalkEntry>,
) {
    let GetSelection { get, one_file_system, names } = wanted;
    if let Err(failure) = grant.may_read() {
        let name = get.patterns.first().cloned().unwrap_or_default();
        let _ = found.blocking_send(WalkEntry::Problem { name, failure });
        return;
    }
    let filters = match Filters::new(&get.filters, &[]) {
        Ok(filters) => filters,
        Err(error) => {
            let failure = Failure::new(Status::BadName, error.to_string());
            let _ = found.blocking_send(WalkEntry::Problem { name: Vec::new(), failure });
            return;
        }
    };
    let links = if get.links { Links::Copy } else { Links::Skip };
    let walk = storage::walk(Vec::new(), filters.clone(), links).of_files_to_read().leaving_out(left_out);
    let walk = walk.in_room(room.clone()).on_one_file_system(one_file_system).until(found.over());
    let mut asked = PatternWalk { walk, one_file_system, room, found };
    match names {
        None => storage::expand(&grant.tree(), &get.patterns, &mut asked),
        Some(names) => {
            let base = get.patterns.first().map_or(&b""[..], Vec::as_slice);
            names.walk_each(&grant.tree(), base, filters, &mut asked);
        }
    }
    if let Some(note) = asked.walk.conclusion() {
        let _ = found.blocking_send(note);
    }
}

impl NamesToCome {
    /// Walks what each name leads to, as it comes. A list that breaks off ends with its connection.
    fn walk_each(mut self, tree: &Tree, base: &[u8], filters: Filters, asked: &mut PatternWalk<'_>) {
        let mut listing = match storage::directory(base) {
            Ok(base) => NameList::new(tree.clone(), base, filters),
            Err(failure) => {
                let _ = asked.pass_on(Err((base.to_vec(), failure)));
                return;
            }
        };
        while let Some((Names { names, is_last }, _room)) = self.names.blocking_recv() {
            for expanded in names.iter().flat_map(|name| listing.expand(name)) {
                if asked.pass_on(expanded).is_err() {
                    return;
                }
            }
            if is_last {
                return;
            }
            self.control.send(Message::MoreNames);
        }
    }
}

/// Walks each match of a pattern as it is found, so that no more waits for the client than the queue holds.
struct PatternWalk<'a> {
    walk: Walk,
    one_file_system: bool,
    room: NameRoom,
    found: &'a Finder<WalkEntry>,
}

impl PatternWalk<'_> {
    fn pass_on(&mut self, expanded: Expanded) -> Result<(), FinderClosed> {
        self.found.walk(&mut self.walk, expanded)
    }
}

impl Finds for PatternWalk<'_> {
    fn take(&mut self, expanded: Expanded) -> ControlFlow<()> {
        match self.pass_on(expanded) {
            Ok(()) => ControlFlow::Continue(()),
            Err(FinderClosed) => ControlFlow::Break(()),
        }
    }

    fn is_over(&self) -> bool {
        self.found.is_over()
    }

    fn name_room(&self) -> NameRoom {
        self.room.clone()
    }

    fn stays_on_one_file_system(&self) -> bool {
        self.one_file_system
    }
}

/// A problem that has no file, as the message for the peer.
pub(super) fn problem(name: Vec<u8>, failure: Failure) -> Message {
    Message::Problem(Problem { name, failure })
}
