//! What a peer's patterns mean in a tree.

pub(crate) mod glob;
mod search;

use crate::protocol::message::{Failure, Kind, Status};
use crate::protocol::path::WirePath;

use self::search::{Match, Search};
use super::request::{Request, bad_name, no_such_file};
use super::root::Root;

/// Characters that make a component a pattern.
const SPECIAL: &[u8] = b"*?[{";

/// Finds what patterns mean in `root`, in their order; a pattern may stand for many names or, as an error
/// with the pattern itself, for none.
///
/// A pattern that is the name of something is that, whatever characters it has, and need not be text.
/// Otherwise `*`, `?`, `[…]` and `{…,…}` match within a component and never a leading dot, and a component
/// `**` stands for any directories. A `/` at the end asks for the contents. What is found goes by its last
/// component; nothing inside a directory that was found is found again.
pub fn expand(root: &Root, patterns: &[Vec<u8>]) -> Vec<Result<Request, (Vec<u8>, Failure)>> {
    let mut requests = Vec::new();
    for pattern in patterns {
        match expand_one(root, pattern) {
            Ok(found) => requests.extend(found.into_iter().map(Ok)),
            Err(failure) => requests.push(Err((pattern.clone(), failure))),
        }
    }
    requests
}

fn expand_one(root: &Root, pattern: &[u8]) -> Result<Vec<Request>, Failure> {
    let (wanted, part) = split_end(pattern);
    if wanted.is_empty() {
        return Ok(vec![Request { root: root.clone(), at: None, name: None }]);
    }
    let parsed = WirePath::parse(wanted);
    if let Ok(path) = &parsed
        && let Some(meta) = root.stat(path)?
    {
        return literal(root, path, &meta.kind, part).map(|request| vec![request]);
    }
    if !wanted.iter().any(|b| SPECIAL.contains(b)) {
        return Err(parsed.map_or_else(|error| bad_name(&error), |_| no_such_file(wanted)));
    }
    let mut search = Search::new(root, wanted)?;
    search.run().map_err(Failure::from)?;
    if search.overflowed {
        let detail = "the pattern stands for too many names; ask for the directory".to_owned();
        return Err(Failure { status: Status::Unsupported, detail });
    }
    let found: Vec<Request> = search.found.iter().filter_map(|found| found.request(root, part)).collect();
    if found.is_empty() { Err(no_such_file(wanted)) } else { Ok(found) }
}

/// What is asked of something found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Itself,
    Contents,
}

/// Takes `/`, `/.` and a leading `./` off: `.`, `./`, `/` and nothing at all are the whole root.
fn split_end(pattern: &[u8]) -> (&[u8], Part) {
    let mut wanted = pattern;
    let mut part = Part::Itself;
    loop {
        if let Some(rest) = wanted.strip_suffix(b"/") {
            (wanted, part) = (rest, Part::Contents);
        } else if wanted == b"." {
            (wanted, part) = (b"", Part::Contents);
        } else if wanted.ends_with(b"/.") {
            (wanted, part) = (&wanted[..wanted.len() - 1], Part::Contents);
        } else if let Some(rest) = wanted.strip_prefix(b"./") {
            wanted = rest;
        } else {
            return (wanted, part);
        }
    }
}

fn literal(root: &Root, path: &WirePath, kind: &Kind, part: Part) -> Result<Request, Failure> {
    let name = match part {
        Part::Itself => Some(last(path)),
        Part::Contents => {
            // As anywhere else, `link/` is the directory behind the link, if that lies in the root.
            if *kind != Kind::Dir {
                root.open_dir(Some(path))?;
            }
            None
        }
    };
    Ok(Request { root: root.clone(), at: Some(path.clone()), name })
}

fn last(path: &WirePath) -> WirePath {
    WirePath::parse(path.name()).expect("a component of a good path is a good path")
}

impl Match {
    fn request(&self, root: &Root, part: Part) -> Option<Request> {
        let name = match part {
            Part::Itself => Some(last(&self.at)),
            Part::Contents if self.is_dir => None,
            Part::Contents => return None,
        };
        Some(Request { root: root.clone(), at: Some(self.at.clone()), name })
    }
}

#[cfg(test)]
mod tests;
