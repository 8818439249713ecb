use super::*;
use crate::storage::testing::TestRoot;
use std::fs;
use std::os::unix::fs::symlink;

fn tree() -> TestRoot {
    let place = TestRoot::new();
    for file in ["a.txt", "b.txt", ".hidden.txt", "d/c.txt", "d/e/f.txt", "d/e/g.log", ".dot/h.txt", "w[1].txt"] {
        place.write(file, b"x");
    }
    place.write(".a.txt.qft-part", b"x");
    place
}

/// Takes everything, up to a number.
struct Collected {
    found: Vec<Expanded>,
    most: usize,
}

impl Finds for Collected {
    fn take(&mut self, found: Expanded) -> ControlFlow<()> {
        self.found.push(found);
        if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_over(&self) -> bool {
        self.found.len() >= self.most
    }
}

/// What patterns give to whoever takes no more than `most`.
fn first(root: &Tree, patterns: &[Vec<u8>], most: usize) -> Vec<Expanded> {
    let mut all = Collected { found: Vec::new(), most };
    expand(root, patterns, &mut all);
    all.found
}

/// What one pattern gives: `place=name` for each request.
fn found(place: &TestRoot, pattern: &str) -> Vec<String> {
    let show = |path: Option<WirePath>| path.map_or_else(|| "-".to_owned(), |path| path.to_string());
    let request = |request: WalkRequest| format!("{}={}", show(request.at), show(request.name));
    let requests = first(&place.tree(), &[pattern.as_bytes().to_vec()], usize::MAX);
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
        (".*.qft-part", &["NotFound"]),
    ] {
        assert_eq!(found(&place, pattern), expected, "{pattern:?}");
    }
}

#[test]
fn what_a_pattern_means_and_cannot_be_said_is_not_left_out_in_silence() {
    let place = tree();
    place.write("d/c.qft-part", b"x");
    for (pattern, expected) in [
        ("d/*", &["BadName", "d/c.txt=c.txt", "d/e=e"][..]),
        ("**/*.qft-part", &["BadName"]),
        ("d/*/", &["d/e=-"]),
        ("d/*.txt", &["d/c.txt=c.txt"]),
    ] {
        assert_eq!(found(&place, pattern), expected, "{pattern:?}");
    }
}

#[test]
fn ways_out_are_refused() {
    let place = tree();
    symlink("../outside", place.path("out")).unwrap();
    symlink("d", place.path("in")).unwrap();
    symlink("..", place.path("d/up")).unwrap();
    for pattern in ["..", "../outside", "d/../../outside/*", "/etc/passwd", "/etc/*", "a\0b", "a.txt.qft-part"] {
        assert_eq!(found(&place, pattern), ["BadName"], "{pattern:?}");
    }
    for pattern in ["out/", "in/", "in/c.txt", "in/*", "in/**", "d/up/", "d/up/a.txt", "*/up/*"] {
        assert!(
            matches!(&*found(&place, pattern), [status] if status == "BadName" || status == "NotFound"),
            "{pattern}"
        );
    }
    assert_eq!(found(&place, "out/secret"), ["BadName"]);
    assert_eq!(found(&place, "out/*"), ["BadName"]);
    assert_eq!(found(&place, "a["), ["BadName"]);
    // The link itself is something that can be named.
    assert_eq!(found(&place, "in"), ["in=in"]);
}

#[test]
fn a_name_that_is_no_text_is_found_literally() {
    let place = tree();
    let raw = b"d/\xff\n*".to_vec();
    fs::write(place.path(super::super::root::shown(&raw)), b"x").unwrap();
    let requests = first(&place.tree(), &[raw.clone(), b"\xfe*".to_vec(), b"d/*".to_vec()], usize::MAX);
    assert_eq!(requests[0].as_ref().unwrap().at.as_ref().unwrap().as_bytes(), raw);
    assert_eq!(requests[1].as_ref().unwrap_err().1.status, Status::BadName);
    assert_eq!(requests.len(), 5, "a glob finds it as well");
}

#[test]
fn what_is_found_is_handed_on_before_the_next_is_looked_for() {
    let place = tree();
    let patterns = vec![b"*.txt".to_vec(), b"d/*".to_vec()];
    for most in 1..=4 {
        assert_eq!(first(&place.tree(), &patterns, most).len(), most, "nothing is found for nobody");
    }
}

#[test]
fn the_patterns_of_one_request_share_what_it_may_cost() {
    const NAMES: usize = 500;
    let place = TestRoot::new();
    for n in 0..NAMES {
        place.write(&n.to_string(), b"");
    }
    let found = first(&place.tree(), &vec![b"*".to_vec(); 1024], usize::MAX);
    assert_eq!(found.len(), MATCHES_MAX + 1, "as many as one pattern may stand for, and why there are no more");
    let (_, failure) = found.last().unwrap().as_ref().unwrap_err();
    assert_eq!(failure.status, Status::Unsupported);
    // Names that match nothing cost as well.
    let found = first(&place.tree(), &vec![b"*.none".to_vec(); VISITS_MAX / NAMES + 1], usize::MAX);
    assert_eq!(found.len(), VISITS_MAX / NAMES + 1);
    let last = found.last().unwrap().as_ref().unwrap_err();
    assert_eq!(last.1.status, Status::Unsupported);
    assert!(found[..found.len() - 1].iter().all(|found| found.as_ref().unwrap_err().1.status == Status::NotFound));
}

#[test]
fn a_pattern_that_is_among_the_names_that_it_stands_for_stands_for_all_of_them() {
    let place = TestRoot::new();
    for file in ["d/*", "d/a", "d/b?", "d/bc", "w[1]", "w1"] {
        place.write(file, b"x");
    }
    assert_eq!(found(&place, "d/*"), ["d/*=*", "d/a=a", "d/b?=b?", "d/bc=bc"]);
    assert_eq!(found(&place, "d/b?"), ["d/b?=b?", "d/bc=bc"]);
    assert_eq!(found(&place, "d/[*]"), ["d/*=*"]);
    assert_eq!(found(&place, "w[1]"), ["w[1]=w[1]"], "that does not stand for itself");
}
