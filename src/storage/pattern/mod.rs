//! A peer's patterns, and the names in a tree that they stand for.
//!
//! | file | holds |
//! |---|---|
//! | `component`, `glob` | one component of a pattern, and its glob |
//! | `search` | the names in a tree that match a pattern |

mod component;
mod glob;
mod search;

use std::ops::ControlFlow;

use crate::protocol::message::{Failure, Kind, Status};
use crate::protocol::path::WirePath;

pub(crate) use self::component::PatternComponent;
pub(super) use self::glob::line_within_bounds;
pub use self::glob::{GLOB_BYTES_MAX, GROUPS_MAX};
use self::search::{Effort, Match, PatternSearch, SearchEnd};
pub use self::search::{MATCHES_MAX, VISITS_MAX};
use super::error::patiently;
use super::names::NameRoom;
use super::request::{WalkRequest, bad_name, no_such_file};
use super::root::Tree;

/// Characters that make a component a pattern.
const SPECIAL: &[u8] = b"*?[{";

/// A name that a pattern stands for; an error comes with the pattern that it is about.
pub(crate) type Expanded = Result<WalkRequest, (Vec<u8>, Failure)>;

/// A sink for the matches of patterns.
pub(crate) trait Finds {
    /// Takes the next one, and may wait before it does. `Break` when nobody wants any more.
    fn take(&mut self, found: Expanded) -> ControlFlow<()>;

    /// Whether nobody wants any more. It is asked at every name that is looked at, so that a search which finds nothing
    /// ends too.
    fn is_over(&self) -> bool;

    /// Memory for the names that are looked at.
    fn name_room(&self) -> NameRoom {
        NameRoom::unbounded()
    }

    /// Whether `**` stands for directories of one file system only.
    fn stays_on_one_file_system(&self) -> bool {
        false
    }
}

/// Finds what patterns mean in `root`, in their order, and hands each on before it looks for the next; a pattern may
/// stand for many names or, as an error with the pattern itself, for none. All patterns together may stand for
/// [`MATCHES_MAX`] names and cost [`VISITS_MAX`] looks at a name; the one at which that ends gets an error, and those
/// after it are not looked at.
///
/// A pattern that is the name of something is that, whatever characters it has, and need not be text; but for one that stands
/// for more than that name, as `*` does where a file is called so.
/// Otherwise `*`, `?`, `[…]` and `{…,…}` match within a component and never a leading dot, and a component
/// `**` stands for any directories. A `/` at the end asks for the contents. What is found goes by its last
/// component; nothing inside a directory that was found is found again.
pub(crate) fn expand(root: &Tree, patterns: &[Vec<u8>], finds: &mut dyn Finds) {
    let mut effort = Effort::for_one_request();
    for pattern in patterns {
        let failure = match expand_one(root, pattern, &mut effort, finds) {
            Ok(ControlFlow::Continue(())) => continue,
            Ok(ControlFlow::Break(())) => return,
            Err(failure) => failure,
        };
        // What follows would cost more than one request may.
        let is_last = failure.status == Status::Unsupported;
        if finds.take(Err((pattern.clone(), failure))).is_break() || is_last {
            return;
        }
    }
}

fn expand_one(
    root: &Tree,
    pattern: &[u8],
    effort: &mut Effort,
    finds: &mut dyn Finds,
) -> Result<ControlFlow<()>, Failure> {
    let (wanted, part) = split_end(pattern);
    if wanted.is_empty() {
        return Ok(finds.take(Ok(WalkRequest { root: root.clone(), at: None, name: None, whole: true, named: true })));
    }
    let parsed = WirePath::parse(wanted);
    if let Ok(path) = &parsed
        && !stands_for_itself(wanted)
        && let Some(meta) = patiently(|| root.stat(path), || finds.is_over())?
    {
        return literal(root, path, &meta.kind, part).map(|request| finds.take(Ok(request)));
    }
    if !wanted.iter().any(|b| SPECIAL.contains(b)) {
        return Err(parsed.map_or_else(|error| bad_name(&error), |_| no_such_file(wanted)));
    }
    let search = PatternSearch::new(root, wanted)?;
    let mut count = 0;
    let ended = search.run(effort, finds, &mut |found, finds| match found.expanded(root, part) {
        Some(expanded) => {
            count += 1;
            finds.take(expanded)
        }
        None => ControlFlow::Continue(()),
    });
    match ended {
        Ok(()) if count == 0 => Err(no_such_file(wanted)),
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(SearchEnd::Gone) => Ok(ControlFlow::Break(())),
        Err(SearchEnd::Disk(error)) => Err(error.into()),
        Err(SearchEnd::Effort) => Err(too_many()),
    }
}

/// Whether a pattern is among the names that it stands for, as `*` is: then all of them are meant, and not the one alone that
/// happens to be called so.
fn stands_for_itself(pattern: &[u8]) -> bool {
    let is_own = |name: &[u8]| PatternComponent::parse(name).is_ok_and(|component| component.matches(name));
    pattern.iter().any(|b| SPECIAL.contains(b)) && pattern.split(|b| *b == b'/').all(is_own)
}

/// The directory that a path names, which is no pattern; `None` is the top.
///
/// # Errors
/// It is no path.
pub(crate) fn directory(path: &[u8]) -> Result<Option<WirePath>, Failure> {
    match split_end(path) {
        (b"", _) => Ok(None),
        (path, _) => WirePath::parse(path).map(Some).map_err(|error| bad_name(&error)),
    }
}

fn too_many() -> Failure {
    let detail = "what is asked for stands for too many names, and not all were looked for; ask for the directory";
    Failure::new(Status::Unsupported, detail)
}

/// The request for something that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MatchPart {
    Itself,
    Contents,
}

/// Takes `/`, `/.` and a leading `./` off: `.`, `./`, `/` and nothing at all are the whole root.
fn split_end(pattern: &[u8]) -> (&[u8], MatchPart) {
    let mut wanted = pattern;
    let mut part = MatchPart::Itself;
    loop {
        if let Some(rest) = wanted.strip_suffix(b"/") {
            (wanted, part) = (rest, MatchPart::Contents);
        } else if wanted == b"." {
            (wanted, part) = (b"", MatchPart::Contents);
        } else if wanted.ends_with(b"/.") {
            (wanted, part) = (&wanted[..wanted.len() - 1], MatchPart::Contents);
        } else if let Some(rest) = wanted.strip_prefix(b"./") {
            wanted = rest;
        } else {
            return (wanted, part);
        }
    }
}

fn literal(root: &Tree, path: &WirePath, kind: &Kind, part: MatchPart) -> Result<WalkRequest, Failure> {
    let name = match part {
        MatchPart::Itself => Some(last(path)),
        MatchPart::Contents => {
            // Of a link the contents are not read either; opening it says what is in the way.
            if *kind != Kind::Dir {
                root.open_dir(Some(path))?;
            }
            None
        }
    };
    Ok(WalkRequest { root: root.clone(), at: Some(path.clone()), name, whole: true, named: true })
}

fn last(path: &WirePath) -> WirePath {
    WirePath::parse(path.name()).expect("a component of a good path is a good path")
}

impl Match {
    fn expanded(self, root: &Tree, part: MatchPart) -> Option<Expanded> {
        if part == MatchPart::Contents && !self.is_dir {
            return None;
        }
        let request = self.at.map(|at| {
            let name = (part == MatchPart::Itself).then(|| last(&at));
            WalkRequest { root: root.clone(), at: Some(at), name, whole: true, named: false }
        });
        Some(request)
    }
}

/// All that patterns stand for.
#[cfg(test)]
pub(super) fn requests(root: &Tree, patterns: &[Vec<u8>]) -> Vec<WalkRequest> {
    #[derive(Default)]
    struct Good(Vec<WalkRequest>);
    impl Finds for Good {
        fn take(&mut self, found: Expanded) -> ControlFlow<()> {
            self.0.extend(found);
            ControlFlow::Continue(())
        }
        fn is_over(&self) -> bool {
            false
        }
    }
    let mut good = Good::default();
    expand(root, patterns, &mut good);
    good.0
}

#[cfg(test)]
mod tests;
