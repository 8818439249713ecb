//! The names in a tree that match a pattern with `*`, `?`, `[…]`, `{…,…}` or `**` in it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::cause::ThereOrNot as _;
use super::super::dir::Dir;
use super::super::error::{Op, StorageError, failed, patiently};
use super::super::names::{DirNames, NamesRead};
use super::super::request::bad_name;
use super::super::root::{Tree, shown};
use super::Finds;
use super::component::PatternComponent;
use crate::protocol::message::Failure;
use crate::protocol::path::WirePath;

/// Most names that the patterns of one request may stand for, all together; who wants more asks for the directory.
pub const MATCHES_MAX: usize = 100_000;
/// Most directory entries that are looked at for the patterns of one request, all together: some seconds of a disk that
/// has them in memory.
pub const VISITS_MAX: usize = 2_000_000;

/// The rest of the effort that the patterns of one request may cost. Each pattern takes from what those before it left.
#[derive(Debug)]
pub(super) struct Effort {
    matches: usize,
    visits: usize,
}

impl Effort {
    /// The effort that one request may cost.
    pub(super) fn for_one_request() -> Self {
        Self { matches: MATCHES_MAX, visits: VISITS_MAX }
    }

    fn visit(&mut self) -> Result<(), SearchEnd> {
        self.visits = self.visits.checked_sub(1).ok_or(SearchEnd::Effort)?;
        Ok(())
    }

    fn count_match(&mut self) -> Result<(), SearchEnd> {
        self.matches = self.matches.checked_sub(1).ok_or(SearchEnd::Effort)?;
        Ok(())
    }
}

/// Why a search ends before everything was looked at.
#[derive(Debug)]
pub(super) enum SearchEnd {
    /// The request has cost as much as one may.
    Effort,
    /// Nobody takes what is found any more.
    Gone,
    /// The disk failed where the search began.
    Disk(StorageError),
}

/// Something that the pattern stands for.
pub(super) struct Match {
    /// Where; or why it cannot be said, which is not left out in silence.
    pub(super) at: Result<WirePath, (Vec<u8>, Failure)>,
    pub(super) is_dir: bool,
}

/// One walk through a tree with one pattern.
pub(super) struct PatternSearch<'a> {
    root: &'a Tree,
    /// The plain components that the pattern starts with: there the search begins.
    start: Option<WirePath>,
    steps: Vec<PatternComponent>,
}

/// The context that a search takes along on its way down.
struct SearchContext<'a> {
    effort: &'a mut Effort,
    finds: &'a mut dyn Finds,
    /// Makes of a match what is handed on.
    hand_on: &'a mut dyn FnMut(Match, &mut dyn Finds) -> ControlFlow<()>,
}

impl<'a> PatternSearch<'a> {
    pub(super) fn new(root: &'a Tree, pattern: &[u8]) -> Result<Self, Failure> {
        let mut steps: Vec<PatternComponent> = Vec::new();
        let mut start: Vec<&[u8]> = Vec::new();
        for component in pattern.split(|b| *b == b'/') {
            let step = PatternComponent::parse(component)?;
            if steps.is_empty() && matches!(step, PatternComponent::Name(_)) {
                start.push(component);
                continue;
            }
            // `**/**` is `**`; told apart, the two would multiply the work.
            if !matches!((steps.last(), &step), (Some(PatternComponent::AnyDepth), PatternComponent::AnyDepth)) {
                steps.push(step);
            }
        }
        // Only patterns with a special character get here, so at least one step is left.
        let start = WirePath::parse(&start.join(&b'/')).ok();
        Ok(Self { root, start, steps })
    }

    /// Hands on each match as it is found.
    pub(super) fn run(
        &self,
        effort: &mut Effort,
        finds: &mut dyn Finds,
        hand_on: &mut dyn FnMut(Match, &mut dyn Finds) -> ControlFlow<()>,
    ) -> Result<(), SearchEnd> {
        let start = self.start.as_ref();
        let top = patiently(|| self.root.open_dir(start), || finds.is_over()).map_err(SearchEnd::Disk)?;
        let shown = start.map_or_else(|| Path::new("."), WirePath::as_path);
        let names = DirNames::of(&top, NamesRead::Others, &finds.name_room())
            .map_err(|errno| SearchEnd::Disk(StorageError::new(Op::List, shown, errno)))?;
        self.descend(&top, names, start, &[0], &mut SearchContext { effort, finds, hand_on })
    }

    /// Looks for what the pattern means in one directory; `states` are the steps that may come next there.
    /// Every name is looked at once, however many `**` there are.
    fn descend(
        &self,
        dir: &Arc<Dir>,
        names: DirNames,
        at: Option<&WirePath>,
        states: &[usize],
        errand: &mut SearchContext<'_>,
    ) -> Result<(), SearchEnd> {
        for name in names {
            let name = match name {
                Ok(name) => name,
                Err(errno) => return self.leave_out(dir_failure(at, errno), errand),
            };
            errand.effort.visit()?;
            if errand.finds.is_over() {
                return Err(SearchEnd::Gone);
            }
            if !self.root.shows(dir, &name) {
                continue;
            }
            let (next, is_match) = self.next_states(states, &name);
            if !is_match && next.is_empty() {
                continue;
            }
            let path = below(at, &name);
            let is_dir = match dir.is_dir(&name).if_had() {
                Ok(Some(is_dir)) => is_dir,
                // Vanished: it is not there.
                Ok(None) => continue,
                Err(errno) => {
                    self.leave_out((joined(at, &name), StorageError::new(Op::Stat, shown(&name), errno)), errand)?;
                    continue;
                }
            };
            if is_match {
                errand.effort.count_match()?;
                if (errand.hand_on)(Match { at: path, is_dir }, errand.finds).is_break() {
                    return Err(SearchEnd::Gone);
                }
            } else if is_dir && let Ok(path) = path {
                self.descend_into(dir, &name, &path, next, errand)?;
            }
        }
        Ok(())
    }

    /// The same in a directory below that one, which is called `name`.
    fn descend_into(
        &self,
        dir: &Arc<Dir>,
        name: &[u8],
        path: &WirePath,
        mut states: Vec<usize>,
        errand: &mut SearchContext<'_>,
    ) -> Result<(), SearchEnd> {
        let room = errand.finds.name_room();
        let listed = patiently(
            || {
                let child = Arc::new(dir.child(name).map_err(failed(Op::List, path.as_path()))?);
                let names = DirNames::of(&child, NamesRead::Others, &room).map_err(failed(Op::List, path.as_path()))?;
                Ok((child, names))
            },
            || errand.finds.is_over(),
        );
        let (child, names) = match listed.if_had() {
            Ok(Some(listed)) => listed,
            // A directory that may not be read holds no match; one that was asked for by name says why.
            Ok(None) => return Ok(()),
            Err(error) => return self.leave_out((path.as_bytes().to_vec(), error), errand),
        };
        if child.id().dev != dir.id().dev && errand.finds.stays_on_one_file_system() {
            // A pattern `*/` names the mount point that it matches; `**` only searches.
            states.retain(|state| !matches!(self.steps[*state], PatternComponent::AnyDepth));
        }
        self.descend(&child, names, Some(path), &states, errand)
    }

    /// Says of what could not be looked at that it was not: there may be matches in it.
    fn leave_out(
        &self,
        (name, error): (Vec<u8>, StorageError),
        errand: &mut SearchContext<'_>,
    ) -> Result<(), SearchEnd> {
        match (errand.hand_on)(Match { at: Err((name, error.into())), is_dir: true }, errand.finds) {
            ControlFlow::Break(()) => Err(SearchEnd::Gone),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// The steps that may follow below `name`, and whether `name` itself is what the pattern means.
    fn next_states(&self, states: &[usize], name: &[u8]) -> (Vec<usize>, bool) {
        let mut next = Vec::new();
        let mut is_match = false;
        let mut todo = states.to_vec();
        while let Some(state) = todo.pop() {
            let Some(step) = self.steps.get(state) else { continue };
            let is_last = state + 1 == self.steps.len();
            if matches!(step, PatternComponent::AnyDepth) {
                if !is_last {
                    todo.push(state + 1);
                }
                if step.matches(name) {
                    is_match |= is_last;
                    next.push(state);
                }
            } else if step.matches(name) {
                is_match |= is_last;
                if !is_last {
                    next.push(state + 1);
                }
            }
        }
        next.sort_unstable();
        next.dedup();
        (next, is_match)
    }
}

/// Why the rest of a directory is not looked at.
fn dir_failure(at: Option<&WirePath>, errno: Errno) -> (Vec<u8>, StorageError) {
    let name = at.map_or_else(|| b".".to_vec(), |at| at.as_bytes().to_vec());
    let error = StorageError::new(Op::List, shown(&name), errno);
    (name, error)
}

fn joined(at: Option<&WirePath>, name: &[u8]) -> Vec<u8> {
    at.map_or_else(|| name.to_vec(), |at| [at.as_bytes(), b"/", name].concat())
}

/// The path of a name below `at`, or what it would be and why it is none.
fn below(at: Option<&WirePath>, name: &[u8]) -> Result<WirePath, (Vec<u8>, Failure)> {
    let full = joined(at, name);
    WirePath::parse(&full).map_err(|error| (full, bad_name(&error)))
}
