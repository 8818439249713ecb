//! Which names a server may send: only those that were asked for.
//!
//! A malicious server could otherwise answer `get notes.txt` with a `.bashrc` (scp's CVE-2019-6111,
//! rsync's CVE-2024-12086).

use crate::protocol::path::WirePath;
use crate::storage::Glob;

/// What the patterns of one request can stand for here.
#[derive(Debug)]
pub(super) struct Requested {
    names: Vec<Name>,
}

#[derive(Debug)]
enum Name {
    /// Any name: the contents of a directory were asked for.
    Any,
    /// This first component.
    Exactly(Vec<u8>),
    /// A first component that the glob matches, or the very one that looks like a glob and is meant literally.
    Like(Glob, Vec<u8>),
}

impl Requested {
    pub(super) fn new(patterns: &[Vec<u8>]) -> Self {
        Self { names: patterns.iter().map(|pattern| Name::of(pattern)).collect() }
    }

    /// Whether `path`, below the destination `to`, was asked for.
    pub(super) fn allows(&self, path: &WirePath, to: Option<&WirePath>) -> bool {
        let below = match to {
            Some(to) => path.strip_prefix(to),
            None => Some(path.clone()),
        };
        let Some(below) = below else { return false };
        below.components().next().is_some_and(|first| self.names.iter().any(|name| name.matches(first)))
    }
}

impl Name {
    /// The server names a thing by its last component, so only the pattern's last component counts.
    fn of(pattern: &[u8]) -> Self {
        let last = pattern.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if last.is_empty() || last == b"." || last == b".." {
            return Self::Any;
        }
        let has_meta = last.iter().any(|byte| b"*?[{\\".contains(byte));
        match last {
            // `**` alone stands for things at any depth, under their own last names.
            b"**" => Self::Any,
            // What is no glob to the server can only be a name to it.
            last if has_meta => {
                Glob::parse(last).map_or_else(|_| Self::Exactly(last.to_vec()), |glob| Self::Like(glob, last.to_vec()))
            }
            last => Self::Exactly(last.to_vec()),
        }
    }

    fn matches(&self, first: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(name) => name == first,
            Self::Like(glob, literal) => glob.matches(first) || literal == first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        Requested::new(&patterns).allows(&WirePath::parse(path.as_bytes()).expect("a plain path"), None)
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
        ] {
            assert_eq!(allows(patterns, path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn names_outside_the_destination_are_never_asked_for() {
        let requested = Requested::new(&[b"a".to_vec()]);
        let to = WirePath::parse(b"here").expect("a plain path");
        let path = |raw: &[u8]| WirePath::parse(raw).expect("a plain path");
        assert!(requested.allows(&path(b"here/a"), Some(&to)));
        assert!(!requested.allows(&path(b"a"), Some(&to)));
        assert!(!requested.allows(&path(b"hereafter/a"), Some(&to)));
    }
}
