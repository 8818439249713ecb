//! The names in a tree that match a pattern with `*`, `?`, `[…]`, `{…,…}` or `**` in it.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::dir::Dir;
use super::super::error::{Op, StorageError};
use super::super::request::bad_name;
use super::super::root::Root;
use super::SPECIAL;
use super::glob::Glob;
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::WirePath;

/// Most names that one pattern may stand for; who wants more asks for the directory.
const MATCHES_MAX: usize = 100_000;
/// Most directory entries that are looked at for one pattern.
const VISITS_MAX: usize = 2_000_000;

/// One component of a pattern.
enum Step {
    Name(Vec<u8>),
    Glob { glob: Glob, dots: bool },
    AnyDepth,
}

impl Step {
    fn parse(component: &[u8]) -> Result<Self, Failure> {
        if component == b"**" {
            return Ok(Self::AnyDepth);
        }
        if !component.iter().any(|b| SPECIAL.contains(b)) {
            WirePath::parse(component).map_err(|error| bad_name(&error))?;
            return Ok(Self::Name(component.to_vec()));
        }
        let glob = Glob::parse(component).map_err(|error| Failure::new(Status::BadName, error.to_string()))?;
        Ok(Self::Glob { glob, dots: component[0] == b'.' })
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob { glob, dots } => (*dots || name[0] != b'.') && glob.matches(name),
            Self::AnyDepth => name[0] != b'.',
        }
    }
}

/// Something that the pattern stands for.
pub(super) struct Match {
    pub(super) at: WirePath,
    pub(super) is_dir: bool,
}

/// One walk through a tree with one pattern.
pub(super) struct Search<'a> {
    root: &'a Root,
    /// The plain components that the pattern starts with: there the search begins.
    start: Option<WirePath>,
    steps: Vec<Step>,
    pub(super) found: Vec<Match>,
    visits: usize,
    /// Whether there are more, which were not looked for.
    pub(super) overflowed: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(root: &'a Root, pattern: &[u8]) -> Result<Self, Failure> {
        let mut steps: Vec<Step> = Vec::new();
        let mut start: Vec<&[u8]> = Vec::new();
        for component in pattern.split(|b| *b == b'/') {
            let step = Step::parse(component)?;
            if steps.is_empty() && matches!(step, Step::Name(_)) {
                start.push(component);
                continue;
            }
            // `**/**` is `**`; told apart, the two would multiply the work.
            if !matches!((steps.last(), &step), (Some(Step::AnyDepth), Step::AnyDepth)) {
                steps.push(step);
            }
        }
        // Only patterns with a special character get here, so at least one step is left.
        let start = WirePath::parse(&start.join(&b'/')).ok();
        Ok(Self { root, start, steps, found: Vec::new(), visits: 0, overflowed: false })
    }

    pub(super) fn run(&mut self) -> Result<(), StorageError> {
        let start = self.start.clone();
        let top = self.root.open_dir(start.as_ref())?;
        let shown = start.as_ref().map_or_else(|| Path::new("."), WirePath::as_path);
        self.descend(&top, start.as_ref(), &[0]).map_err(|errno| StorageError::new(Op::List, shown, errno))
    }

    /// Looks for what the pattern means in one directory; `states` are the steps that may come next there.
    /// Every name is looked at once, however many `**` there are.
    fn descend(&mut self, dir: &Arc<Dir>, at: Option<&WirePath>, states: &[usize]) -> Result<(), Errno> {
        for name in dir.names()?.into_iter().filter(|name| self.root.shows(dir, name)) {
            self.visits += 1;
            if self.found.len() >= MATCHES_MAX || self.visits >= VISITS_MAX {
                self.overflowed = true;
                return Ok(());
            }
            let (next, is_match) = self.next_states(states, &name);
            if !is_match && next.is_empty() {
                continue;
            }
            let full = match at {
                Some(at) => [at.as_bytes(), b"/", &name].concat(),
                None => name.to_vec(),
            };
            // Vanished, or too deep for the wire: it is not there.
            let (Ok(full), Ok(is_dir)) = (WirePath::parse(&full), dir.is_dir(&name)) else { continue };
            if is_match {
                self.found.push(Match { at: full, is_dir });
            } else if is_dir && let Ok(child) = dir.child(&name).map(Arc::new) {
                // A directory that cannot be read holds no match; one that was asked for by name says why.
                let _ = self.descend(&child, Some(&full), &next);
            }
        }
        Ok(())
    }

    /// The steps that may follow below `name`, and whether `name` itself is what the pattern means.
    fn next_states(&self, states: &[usize], name: &[u8]) -> (Vec<usize>, bool) {
        let mut next = Vec::new();
        let mut is_match = false;
        let mut todo = states.to_vec();
        while let Some(state) = todo.pop() {
            let Some(step) = self.steps.get(state) else { continue };
            let is_last = state + 1 == self.steps.len();
            if matches!(step, Step::AnyDepth) {
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
