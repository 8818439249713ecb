//! Names with a leading dot at the top of a root, for roots that hide them: `.ssh` in a home directory.

/// The rule of a root for names at its top that begin with a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dots {
    /// They are names like any others.
    Shown,
    /// They are not there to be read, and cannot be made or written to. No name leads through a link, so the text of a
    /// name tells whether it is one of them.
    Hidden,
}

/// Whether a path as it is written leads to such a name.
pub(super) fn is_dotted(path: &[u8]) -> bool {
    path.first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use crate::protocol::message::Status;
    use crate::protocol::path::WirePath;
    use crate::storage::dir::Resolver;
    use crate::storage::part::Part;
    use crate::storage::testing::{TestRoot, wire};
    use crate::storage::{Filters, Fresh, Links, Owner, Replace, Root, Tree, WalkEntry, walk};

    const HIDDEN: [&str; 5] = [".ssh/keys", "up/.ssh/keys", "door/keys", "d/deep/keys", ".profile"];

    /// A tree with hidden names and every kind of link to them.
    fn tree() -> TestRoot {
        let place = TestRoot::new();
        for file in [".ssh/keys", ".profile", "a", "d/.git/config", "d/b"] {
            place.write(file, b"x");
        }
        for (target, link) in [("..", "d/up"), ("d/up", "up"), (".ssh", "door"), ("../.ssh", "d/deep"), ("d", "in")] {
            symlink(target, place.path(link)).unwrap();
        }
        place
    }

    fn roots(place: &TestRoot) -> Vec<Root> {
        let open = |resolver| Root::open_with(&place.path(""), resolver).unwrap().hiding_dots();
        let mut roots = vec![open(Resolver::Walk)];
        if Root::open(&place.path("")).unwrap().resolver() == Resolver::Kernel {
            roots.push(open(Resolver::Kernel));
        }
        roots
    }

    fn names(root: &Tree, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        let requests = crate::storage::pattern::requests(root, &patterns);
        let found = walk(requests, Filters::none(), Links::Skip);
        found
            .filter_map(|found| if let WalkEntry::File { at, .. } = found { Some(at.to_string()) } else { None })
            .collect()
    }

    #[test]
    fn hidden_names_are_neither_found_nor_read() {
        let place = tree();
        for root in roots(&place).into_iter().map(|root| root.tree()) {
            for name in HIDDEN {
                assert!(!matches!(root.stat(&wire(name)), Ok(Some(_))), "{name}");
                assert!(root.open_source(&wire(name)).is_err(), "{name}");
            }
            let all = ["", ".*", ".ssh/", ".ssh/*", "up/.ssh/*", "door/", "door/*", "d/deep/", "**/keys", "up/"];
            let found = names(&root, &all);
            assert!(found.iter().all(|name| !name.contains("keys") && !name.contains(".profile")), "{found:?}");
            for shown in ["a", "d/b", "d/.git/config"] {
                assert!(found.iter().any(|name| name == shown), "{shown} is missing in {found:?}");
            }
        }
    }

    #[test]
    fn hidden_names_cannot_be_written_or_made() {
        let place = tree();
        for root in roots(&place).into_iter().map(|root| root.destination()) {
            for name in HIDDEN.into_iter().chain([".new", ".new/x", "up/.new", "up/.new/x", "d/up/.ssh/new"]) {
                let part = Part::open(&root, &wire(name), Owner::Anyone, Fresh::No);
                assert!(part.is_err(), "{name}");
                if !place.path(name).exists() {
                    assert!(root.make_dir(&wire(name)).is_err(), "{name}");
                }
                assert!(root.make_link(&wire(name), b"a", Replace::Yes).is_err(), "{name}");
            }
            let error = Part::open(&root, &wire(".profile"), Owner::Anyone, Fresh::No).unwrap_err();
            assert_eq!(error.status(), Status::NotAllowed);
        }
        assert_eq!(fs::read(place.path(".ssh/keys")).unwrap(), b"x");
        assert_eq!(fs::read_dir(place.path(".ssh")).unwrap().count(), 1);
        assert!(!Path::new(&place.path(".new")).exists());
    }

    #[test]
    fn a_root_further_down_hides_its_own() {
        let place = tree();
        let root = Root::open(&place.path("")).unwrap().hiding_dots();
        assert!(root.client_root(&wire(".ssh"), true).is_err(), "it is not the whole tree");
        let below = root.client_root(&wire("d"), false).unwrap().hiding_dots().tree();
        assert_eq!(below.stat(&WirePath::parse(b".git").unwrap()).unwrap(), None);
        assert!(below.stat(&wire("b")).unwrap().is_some());
    }
}
