//! What a list of names asks for: each keeps its path, and the directories in it are sent before it.

use crate::protocol::message::{Kind, ListedName};
use crate::protocol::path::WirePath;

use super::filter::Filters;
use super::pattern::Expanded;
use super::request::{WalkRequest, bad_name};
use super::root::Tree;

/// A directory, and the list of names below it that is read now.
#[derive(Debug)]
pub(crate) struct NameList {
    root: Tree,
    /// Where in the root the names are; `None` is the top.
    base: Option<WirePath>,
    filters: Filters,
    /// The name before, whose directories need not be sent again.
    last: Option<WirePath>,
}

impl NameList {
    /// Names are looked for below `base` in `root`. Those that the filters leave out stand for nothing, and so does what
    /// is in a directory that they leave out.
    pub(crate) fn new(root: Tree, base: Option<WirePath>, filters: Filters) -> Self {
        Self { root, base, filters, last: None }
    }

    /// What is to be walked for one name: the directories on the way to it, each alone, and what it names. A name that is
    /// no place in the tree stands for the failure of that.
    pub(crate) fn expand(&mut self, name: &ListedName) -> Vec<Expanded> {
        let mut found = Vec::new();
        for parent in parents(&name.path) {
            if self.filters.leaves_out(&parent, true) {
                return Vec::new();
            }
            if self.last.as_ref().is_some_and(|last| last.strip_prefix(&parent).is_some()) {
                continue;
            }
            match self.request(&parent, false) {
                // What is in the way, or missing, is told once: of what was named.
                Ok(request) if self.is_dir(&request) => found.push(Ok(request)),
                Ok(_) | Err(_) => {}
            }
        }
        found.push(self.request(&name.path, name.whole));
        self.last = Some(name.path.clone());
        found
    }

    fn request(&self, name: &WirePath, whole: bool) -> Expanded {
        let at = match &self.base {
            None => name.clone(),
            Some(base) => WirePath::parse(&[base.as_bytes(), b"/", name.as_bytes()].concat())
                .map_err(|error| (name.as_bytes().to_vec(), bad_name(&error)))?,
        };
        Ok(WalkRequest { root: self.root.clone(), at: Some(at), name: Some(name.clone()), whole, named: true })
    }

    fn is_dir(&self, request: &WalkRequest) -> bool {
        let found = request.at.as_ref().map(|at| self.root.stat(at));
        matches!(found, Some(Ok(Some(meta))) if meta.kind == Kind::Dir)
    }
}

/// The directories that a name passes through, the outermost first.
fn parents(name: &WirePath) -> Vec<WirePath> {
    let mut parents: Vec<_> = std::iter::successors(name.parent(), WirePath::parent).collect();
    parents.reverse();
    parents
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::storage::testing::{TestRoot, wire};
    use crate::storage::{Links, WalkEntry, walk};

    fn found(listing: &mut NameList, names: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        for name in names {
            let whole = name.ends_with('/');
            let name = ListedName { path: wire(name.trim_end_matches('/')), whole };
            for expanded in listing.expand(&name) {
                let request = match expanded {
                    Ok(request) => request,
                    Err((name, failure)) => {
                        lines.push(format!("!{} {failure}", String::from_utf8_lossy(&name)));
                        continue;
                    }
                };
                let mut walk = walk(vec![request], listing.filters.clone(), Links::Skip);
                while let ControlFlow::Continue(found) = walk.step() {
                    lines.extend(found.map(|found| match found {
                        WalkEntry::File { at, name, .. } => format!("{at}={name}"),
                        WalkEntry::Problem { name, failure } => {
                            format!("!{} {:?}", String::from_utf8_lossy(&name), failure.status)
                        }
                        WalkEntry::Note(text) => format!("#{text}"),
                    }));
                }
            }
        }
        lines
    }

    fn place() -> TestRoot {
        let place = TestRoot::new();
        for file in ["top/a", "top/d/b", "top/d/e/c", "top/k.log", "outside"] {
            place.write(file, b"x");
        }
        place
    }

    #[test]
    fn names_keep_their_directories_and_a_directory_is_itself_alone() {
        let place = place();
        let mut listing = NameList::new(place.tree(), Some(wire("top")), Filters::none());
        assert_eq!(found(&mut listing, &["a", "d/b"]), ["top/a=a", "top/d=d", "top/d/b=d/b"]);
        assert_eq!(found(&mut listing, &["d/e/c"]), ["top/d/e=d/e", "top/d/e/c=d/e/c"], "d was sent already");
        assert_eq!(found(&mut listing, &["d"]), ["top/d=d"]);
        let whole = ["top/d=d", "top/d/b=d/b", "top/d/e=d/e", "top/d/e/c=d/e/c"];
        assert_eq!(found(&mut listing, &["d/"]), whole);
    }

    #[test]
    fn what_is_missing_or_in_the_way_is_one_problem_and_the_rest_goes_on() {
        let place = place();
        std::os::unix::fs::symlink("d", place.path("top/link")).unwrap();
        let mut listing = NameList::new(place.tree(), Some(wire("top")), Filters::none());
        let lines = found(&mut listing, &["gone/x", "a/x", "link/b", "*", "a"]);
        let expected = ["!gone/x NotFound", "!a/x NotFound", "!link/b BadName", "!* NotFound", "top/a=a"];
        let kinds = |lines: &[String]| lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let (lines, expected): (Vec<_>, Vec<_>) = (kinds(&lines), kinds(&expected.map(str::to_owned)));
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_the_filters_leave_out_is_left_out_with_all_that_is_below_it() {
        let place = place();
        let filters = Filters::new(&["*.log", "/d/e"], &[]).unwrap();
        let mut listing = NameList::new(place.tree(), Some(wire("top")), filters);
        assert_eq!(found(&mut listing, &["k.log", "d/e/c", "d/b"]), ["top/d=d", "top/d/b=d/b"]);
    }

    #[test]
    fn a_name_that_is_too_long_below_its_directory_is_a_problem() {
        let place = place();
        let deep = vec!["d"; 127].join("/");
        let mut listing = NameList::new(place.tree(), Some(wire("top/d")), Filters::none());
        let [.., Err((name, _))] = &listing.expand(&ListedName { path: wire(&deep), whole: false })[..] else {
            panic!("it is no place");
        };
        assert_eq!(*name, deep.as_bytes());
    }
}
