//! The names that a server may send: only those that were asked for.
//!
//! A malicious server could otherwise answer `get notes.txt` with a `.bashrc` (scp's CVE-2019-6111, rsync's
//! CVE-2024-12086), or send what the user has left out (rsync's CVE-2022-29154).

use std::collections::{HashMap, HashSet};

use crate::protocol::message::{Failure, Header, Kind, ListedName, Status};
use crate::protocol::path::WirePath;
use crate::storage::Filters;
use crate::storage::link_stays_inside;
use crate::storage::pattern::PatternComponent;

/// All names that one request can stand for.
#[derive(Debug)]
pub(super) struct Requested {
    names: RequestedNames,
    filters: Filters,
}

/// The names that may come.
#[derive(Debug)]
enum RequestedNames {
    /// Those that patterns stand for.
    Patterns(Vec<Name>),
    /// Those of a list, with whether all that is below them may come, and the directories on the way to them.
    Listed { names: HashMap<WirePath, bool>, parents: HashSet<WirePath> },
}

/// The first component of a name that a pattern allows.
#[derive(Debug)]
enum Name {
    /// Any name: the contents of a directory were asked for, all of them, as a server reads `dir/`.
    Any,
    /// The last component of the pattern, which may look like a glob and yet be meant literally.
    Like { literal: Vec<u8>, pattern: Option<PatternComponent> },
}

impl Requested {
    /// The names that match `patterns` and that `filters` do not leave out.
    pub(super) fn new(patterns: &[Vec<u8>], filters: Filters) -> Self {
        Self { names: RequestedNames::Patterns(patterns.iter().map(|pattern| Name::of(pattern)).collect()), filters }
    }

    /// The names of a list, and those below them, that `filters` do not leave out.
    pub(super) fn listed(list: &[ListedName], filters: Filters) -> Self {
        let (mut names, mut parents) = (HashMap::new(), HashSet::new());
        for ListedName { path, whole } in list {
            *names.entry(path.clone()).or_default() |= whole;
            let mut parent = path.parent();
            while let Some(dir) = parent {
                parent = dir.parent();
                if !parents.insert(dir) {
                    break;
                }
            }
        }
        Self { names: RequestedNames::Listed { names, parents }, filters }
    }

    /// Whether an offer may get the name `path`, which is, or lies below, the destination `to`; else why not.
    pub(super) fn check(&self, offer: &Header, path: &WirePath, to: Option<&WirePath>) -> Result<(), Failure> {
        if to != Some(path) && !self.allows(path, to, &offer.kind) {
            return Err(Failure::new(Status::NotAllowed, "nobody asked for this name"));
        }
        if self.leaves_out(offer) {
            return Err(Failure::new(Status::NotAllowed, "this name was to be left out"));
        }
        match &offer.kind {
            Kind::Link(target) if !link_stays_inside(self.depth(&offer.path), target) => {
                Err(Failure::new(Status::NotAllowed, "nobody asked for what this link leads to"))
            }
            _ => Ok(()),
        }
    }

    /// Directories between a name and the top of the tree that was asked for, where a walk lets links lead.
    fn depth(&self, name: &WirePath) -> usize {
        let above = match &self.names {
            RequestedNames::Patterns(names) => {
                let first = name.components().next().unwrap_or_default();
                let of_contents = names.iter().any(|asked| matches!(asked, Name::Any) && asked.matches(first));
                if of_contents { 1 } else { 2 }
            }
            RequestedNames::Listed { names, .. } => {
                whole_above(names, name).map_or_else(|| name.components().count(), |top| 1 + top.components().count())
            }
        };
        name.components().count().saturating_sub(above)
    }

    fn allows(&self, path: &WirePath, to: Option<&WirePath>, kind: &Kind) -> bool {
        let below = match to {
            Some(to) => path.strip_prefix(to),
            None => Some(path.clone()),
        };
        let Some(below) = below else { return false };
        match &self.names {
            RequestedNames::Patterns(names) => {
                below.components().next().is_some_and(|first| names.iter().any(|name| name.matches(first)))
            }
            RequestedNames::Listed { names, parents } => {
                let is_on_the_way = *kind == Kind::Dir && parents.contains(&below);
                is_on_the_way || names.contains_key(&below) || whole_above(names, &below).is_some()
            }
        }
    }

    /// As a walk asks: a directory first, and then what is in it.
    fn leaves_out(&self, offer: &Header) -> bool {
        let mut parent = offer.path.parent();
        while let Some(dir) = parent {
            if self.filters.leaves_out(&dir, true) {
                return true;
            }
            parent = dir.parent();
        }
        self.filters.leaves_out(&offer.path, offer.kind == Kind::Dir)
    }
}

/// The outermost of the names that are wanted with all that is below them, and that `path` is below.
fn whole_above(names: &HashMap<WirePath, bool>, path: &WirePath) -> Option<WirePath> {
    let above = std::iter::successors(path.parent(), WirePath::parent);
    above.filter(|dir| names.get(dir) == Some(&true)).last()
}

impl Name {
    /// The server names a thing by its last component, so only the pattern's last component counts.
    fn of(pattern: &[u8]) -> Self {
        let last = pattern.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if last.is_empty() || last == b"." {
            return Self::Any;
        }
        // A pattern that cannot be parsed is a plain name; a server that has a file of this name sends it.
        Self::Like { literal: last.to_vec(), pattern: PatternComponent::parse(last).ok() }
    }

    fn matches(&self, first: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Like { literal, pattern } => {
                literal == first || pattern.as_ref().is_some_and(|pattern| pattern.matches(first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{FileId, Mtime};

    fn allows(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        let requested = Requested::new(&patterns, Filters::none());
        requested.allows(&WirePath::parse(path.as_bytes()).expect("a plain path"), None, &Kind::File)
    }

    #[test]
    fn only_what_was_asked_for_may_come() {
        for (patterns, path, expected) in [
            (&["notes.txt"][..], "notes.txt", true),
            (&["notes.txt"], ".bashrc", false),
            (&["notes.txt"], "notes.txt.sh", false),
            (&["docs"], "docs/deep/down", true),
            (&["docs"], "docs2/x", false),
            (&["logs/*.gz"], "a.gz", true),
            (&["logs/*.gz"], "a.txt", false),
            (&["logs/*.gz"], "logs/a.gz", false),
            (&["a", "b"], "b/c", true),
            (&["docs/"], "anything", true),
            (&["**/*.rs"], "main.rs", true),
            (&["**/*.rs"], "main.sh", false),
            (&["[odd]"], "[odd]", true),
            (&["*"], "notes.txt", true),
            (&["*"], ".bashrc", false),
            (&["**"], "notes.txt", true),
            (&["**"], ".bashrc", false),
            (&["**/*"], ".ssh/authorized_keys", false),
            (&["?bashrc"], ".bashrc", false),
            (&["[.]bashrc"], ".bashrc", false),
            (&["{.bashrc,x}"], ".bashrc", false),
            (&["[!a]*"], ".bashrc", false),
            (&[".*"], ".bashrc", true),
            (&[".[bx]*"], ".bashrc", true),
            (&[".bashrc"], ".bashrc", true),
            (&["*"], "docs/.git/config", true),
            (&["docs/"], ".config", true),
            (&[""], ".config", true),
            (&["docs/.."], "anything", false),
        ] {
            assert_eq!(allows(patterns, path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn only_the_names_of_a_list_and_the_directories_on_their_way_may_come() {
        let path = |raw: &str| WirePath::parse(raw.as_bytes()).expect("a plain path");
        let list: Vec<_> = [("a/b/c", false), ("d", true), ("e", false)]
            .map(|(name, whole)| ListedName { path: path(name), whole })
            .into();
        let requested = Requested::listed(&list, Filters::none());
        for (name, kind, allowed) in [
            ("a", Kind::Dir, true),
            ("a", Kind::File, false),
            ("a/b", Kind::Dir, true),
            ("a/b", Kind::Link(b"x".to_vec()), false),
            ("a/b/c", Kind::File, true),
            ("a/b/d", Kind::File, false),
            ("a/b/c/d", Kind::File, false),
            ("d/deep/down", Kind::File, true),
            ("e", Kind::Dir, true),
            ("e/x", Kind::File, false),
            (".bashrc", Kind::File, false),
        ] {
            assert_eq!(requested.allows(&path(name), None, &kind), allowed, "{name} {kind:?}");
        }
        let link = |name: &str, target: &str| {
            let (kind, mtime) = (Kind::Link(target.into()), Mtime { secs: 0, nanos: 0 });
            let offer = Header { id: FileId(0), path: path(name), kind, size: 0, mtime, mode: 0o777 };
            requested.check(&offer, &offer.path, None).is_ok()
        };
        assert!(link("e", "x") && link("d/l", "x") && link("d/s/l", "../x"));
        assert!(!link("e", "../x") && !link("d/l", "../x") && !link("d/s/l", "../../x"));
        assert!(link("a/b/c", "x") && !link("a/b/c", "../x"));
    }

    #[test]
    fn names_outside_the_destination_are_never_asked_for() {
        let requested = Requested::new(&[b"a".to_vec()], Filters::none());
        let to = WirePath::parse(b"here").expect("a plain path");
        let path = |raw: &[u8]| WirePath::parse(raw).expect("a plain path");
        assert!(requested.allows(&path(b"here/a"), Some(&to), &Kind::File));
        assert!(!requested.allows(&path(b"a"), Some(&to), &Kind::File));
        assert!(!requested.allows(&path(b"hereafter/a"), Some(&to), &Kind::File));
    }

    #[test]
    fn what_was_left_out_may_not_come_either() {
        let filters = Filters::new(&["*.key", "/docs/private/"], &[]).expect("good patterns");
        let requested = Requested::new(&[b"docs".to_vec()], filters);
        let offer = |name: &str, kind| {
            let path = WirePath::parse(name.as_bytes()).expect("a plain path");
            let mtime = Mtime { secs: 0, nanos: 0 };
            Header { id: FileId(0), path, kind, size: 0, mtime, mode: 0o644 }
        };
        let new_name = WirePath::parse(b"new").expect("a plain path");
        for (name, kind, allowed) in [
            ("docs/a", Kind::File, true),
            ("docs/a.key", Kind::File, false),
            ("docs/private", Kind::Dir, false),
            ("docs/private", Kind::File, true),
            ("docs/private/a", Kind::File, false),
            ("docs/a.key/b", Kind::File, false),
        ] {
            let offer = offer(name, kind);
            assert_eq!(requested.check(&offer, &offer.path, None).is_ok(), allowed, "{name}");
            assert_eq!(requested.check(&offer, &new_name, Some(&new_name)).is_ok(), allowed, "{name} under a new name");
        }
    }

    #[test]
    fn a_link_leads_nowhere_but_into_what_was_asked_for() {
        for (pattern, name, target, allowed) in [
            ("d", "d/l", "file", true),
            ("d", "d/sub/l", "../file", true),
            ("d", "d/l", "../.bashrc", false),
            ("d", "d/sub/l", "../../other", false),
            ("d", "d/sub/l", "/etc/passwd", false),
            ("d", "d", "other", true),
            ("d", "d", "../other", false),
            ("d/", "l", "file", true),
            ("d/", "sub/l", "../file", true),
            ("d/", "l", "../file", false),
            ("", "a/b/l", "../../c", true),
        ] {
            let requested = Requested::new(&[pattern.into()], Filters::none());
            let path = WirePath::parse(name.as_bytes()).expect("a plain path");
            let (kind, mtime) = (Kind::Link(target.into()), Mtime { secs: 0, nanos: 0 });
            let offer = Header { id: FileId(0), path, kind, size: 0, mtime, mode: 0o777 };
            assert_eq!(requested.check(&offer, &offer.path, None).is_ok(), allowed, "{pattern} {name} {target}");
        }
    }
}
