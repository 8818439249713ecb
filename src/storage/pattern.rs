//! What a peer's patterns mean in a tree.

use std::path::Path;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use rustix::io::Errno;

use crate::protocol::message::{Failure, Kind, Status};
use crate::protocol::path::WirePath;

use super::dir::Dir;
use super::error::{Op, StorageError};
use super::request::{Request, bad_name, no_such_file};
use super::root::Root;

/// Most names that one pattern may stand for; who wants more asks for the directory.
const MATCHES_MAX: usize = 100_000;
/// Most directory entries that are looked at for one pattern.
const VISITS_MAX: usize = 2_000_000;
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

/// One component of a pattern.
enum Step {
    Name(Vec<u8>),
    Glob { matcher: GlobMatcher, dots: bool },
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
        let bad = |detail: String| Failure { status: Status::BadName, detail };
        let text = std::str::from_utf8(component).map_err(|_| bad("a pattern that is not UTF-8".to_owned()))?;
        let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| bad(error.to_string()))?;
        Ok(Self::Glob { matcher: glob.compile_matcher(), dots: component[0] == b'.' })
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob { matcher, dots } => {
                let candidate = globset::Candidate::from_bytes(name);
                (*dots || name[0] != b'.') && matcher.is_match_candidate(&candidate)
            }
            Self::AnyDepth => name[0] != b'.',
        }
    }
}

struct Match {
    at: WirePath,
    is_dir: bool,
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

struct Search<'a> {
    root: &'a Root,
    /// The plain components that the pattern starts with: there the search begins.
    start: Option<WirePath>,
    steps: Vec<Step>,
    found: Vec<Match>,
    visits: usize,
    overflowed: bool,
}

impl<'a> Search<'a> {
    fn new(root: &'a Root, pattern: &[u8]) -> Result<Self, Failure> {
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

    fn run(&mut self) -> Result<(), StorageError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::Place;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree() -> Place {
        let place = Place::new();
        for file in ["a.txt", "b.txt", ".hidden.txt", "d/c.txt", "d/e/f.txt", "d/e/g.log", ".dot/h.txt", "w[1].txt"] {
            place.write(file, b"x");
        }
        place.write("a.txt.qft-part", b"x");
        place
    }

    /// What one pattern gives: `place=name` for each request.
    fn found(place: &Place, pattern: &str) -> Vec<String> {
        let show = |path: Option<WirePath>| path.map_or_else(|| "-".to_owned(), |path| path.to_string());
        let request = |request: Request| format!("{}={}", show(request.at), show(request.name));
        let requests = expand(&place.root, &[pattern.as_bytes().to_vec()]);
        requests.into_iter().map(|found| found.map_or_else(|(_, f)| format!("{:?}", f.status), request)).collect()
    }

    #[test]
    fn names_globs_and_slashes() {
        let place = tree();
        for (pattern, expected) in [
            ("", &["-=-"][..]),
            (".", &["-=-"]),
            ("./", &["-=-"]),
            ("/", &["-=-"]),
            ("a.txt", &["a.txt=a.txt"]),
            ("./a.txt", &["a.txt=a.txt"]),
            ("d", &["d=d"]),
            ("d/", &["d=-"]),
            ("d/.", &["d=-"]),
            ("d/e", &["d/e=e"]),
            ("a.txt/", &["BadName"]),
            ("*.txt", &["a.txt=a.txt", "b.txt=b.txt", "w[1].txt=w[1].txt"]),
            ("w[1].txt", &["w[1].txt=w[1].txt"]),
            ("[ab].txt", &["a.txt=a.txt", "b.txt=b.txt"]),
            ("{a,b}.txt", &["a.txt=a.txt", "b.txt=b.txt"]),
            ("?.txt", &["a.txt=a.txt", "b.txt=b.txt"]),
            (".*.txt", &[".hidden.txt=.hidden.txt"]),
            ("*", &["a.txt=a.txt", "b.txt=b.txt", "d=d", "w[1].txt=w[1].txt"]),
            ("*/", &["d=-"]),
            ("*/*.txt", &["d/c.txt=c.txt"]),
            ("d/*", &["d/c.txt=c.txt", "d/e=e"]),
            ("**/*.txt", &["a.txt=a.txt", "b.txt=b.txt", "d/c.txt=c.txt", "d/e/f.txt=f.txt", "w[1].txt=w[1].txt"]),
            ("**/**/f.txt", &["d/e/f.txt=f.txt"]),
            ("d/**", &["d/c.txt=c.txt", "d/e=e"]),
            ("**/e/**/*.log", &["d/e/g.log=g.log"]),
            (".dot/*", &[".dot/h.txt=h.txt"]),
            ("*.none", &["NotFound"]),
            ("missing", &["NotFound"]),
            ("missing/*.txt", &["NotFound"]),
            ("*.qft-part", &["NotFound"]),
        ] {
            assert_eq!(found(&place, pattern), expected, "{pattern:?}");
        }
    }

    #[test]
    fn ways_out_are_refused() {
        let place = tree();
        symlink("../outside", place.path("out")).unwrap();
        symlink("d", place.path("in")).unwrap();
        for pattern in ["..", "../outside", "d/../../outside/*", "/etc/passwd", "/etc/*", "a\0b", "a.txt.qft-part"] {
            assert_eq!(found(&place, pattern), ["BadName"], "{pattern:?}");
        }
        assert_eq!(found(&place, "out/"), ["BadName"]);
        assert_eq!(found(&place, "out/secret"), ["BadName"]);
        assert_eq!(found(&place, "out/*"), ["BadName"]);
        assert_eq!(found(&place, "a["), ["BadName"]);
        if place.follows_links() {
            assert_eq!(found(&place, "in/"), ["in=-"]);
            assert_eq!(found(&place, "in/*.txt"), ["in/c.txt=c.txt"]);
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_found_literally() {
        let place = tree();
        let raw = b"d/\xff\n*".to_vec();
        fs::write(place.path(super::super::root::shown(&raw)), b"x").unwrap();
        let requests = expand(&place.root, &[raw.clone(), b"\xfe*".to_vec(), b"d/*".to_vec()]);
        assert_eq!(requests[0].as_ref().unwrap().at.as_ref().unwrap().as_bytes(), raw);
        assert_eq!(requests[1].as_ref().unwrap_err().1.status, Status::BadName);
        assert_eq!(requests.len(), 5, "a glob finds it as well");
    }
}
