//! Patterns and filters of a peer's, in a tree with all that can stand there.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::sync::LazyLock;

use qft::protocol::message::{FileId, Header, Kind, Mtime};
use qft::protocol::path::WirePath;
use qft::protocol::{FILTERS_MAX, PATTERNS_MAX};
use qft::testing;
use qft::testing::storage::Filters;
use tempfile::TempDir;

/// Files of the tree; beside them links, one of which leads out.
const FILES: [&str; 9] =
    [".hidden", ".dir/x", "a", "b.txt", "[odd]", "sub/.hidden", "sub/c.txt", "sub/deep/er/d", "{x,y}"];

static TREE: LazyLock<TempDir> = LazyLock::new(|| {
    let place = tempfile::tempdir().expect("a temporary directory");
    let root = place.path().join("root");
    for file in FILES {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("a directory");
        fs::write(path, file).expect("a file");
    }
    fs::write(place.path().join("outside"), "secret").expect("a file");
    symlink("sub", root.join("link")).expect("a link");
    symlink("..", root.join("out")).expect("a link");
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not\xfftext")), "").expect("a file");
    place
});

/// Patterns that are separated by zeros. Behind two of these, lines of a filter.
pub(crate) fn patterns(input: &[u8]) {
    let split = input.windows(2).position(|two| two == [0, 0]).unwrap_or(input.len());
    let (patterns, lines) = input.split_at(split);
    let patterns: Vec<Vec<u8>> = patterns.split(|byte| *byte == 0).take(PATTERNS_MAX).map(<[u8]>::to_vec).collect();
    let lines = std::str::from_utf8(lines.get(2..).unwrap_or_default()).unwrap_or_default();
    let lines: Vec<&str> = lines.lines().take(FILTERS_MAX).collect();
    let Ok(filters) = Filters::new(&lines, &[]) else { return };
    let offers = testing::offers(&TREE.path().join("root"), &patterns, &filters);
    for offer in &offers {
        assert!(testing::takes(&patterns, &filters, offer), "{offer:?} is sent for {patterns:?}, and not taken");
        let is_hidden = offer.path.as_bytes()[0] == b'.';
        let is_asked = patterns.iter().any(|pattern| asks_for_a_dot(pattern));
        assert!(!is_hidden || is_asked, "{offer:?} is sent for {patterns:?}");
    }
    let hostile = offer("never-asked-for/.bashrc");
    let is_plain = patterns.iter().all(|pattern| !pattern.is_empty() && pattern.iter().all(u8::is_ascii_lowercase));
    assert!(!is_plain || !testing::takes(&patterns, &filters, &hostile), "{hostile:?} is taken for {patterns:?}");
    let nothing = Filters::none();
    if lines.iter().all(|line| line.trim().is_empty()) {
        let all = testing::offers(&TREE.path().join("root"), &patterns, &nothing);
        assert_eq!(all.len(), offers.len(), "something is left out for nothing");
    }
}

/// Whether hidden names may come: a directory's contents are asked for, or a component that begins with a dot.
fn asks_for_a_dot(pattern: &[u8]) -> bool {
    let last = pattern.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    last.is_empty() || last[0] == b'.'
}

fn offer(name: &str) -> Header {
    let (path, mtime) = (WirePath::parse(name.as_bytes()).expect("a good path"), Mtime { secs: 0, nanos: 0 });
    Header { id: FileId(0), path, kind: Kind::File, size: 0, mtime, mode: 0 }
}
