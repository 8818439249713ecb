//! Where a path parts into the directory that is served and the pattern below it.

use super::super::remote;

/// The characters that make a pattern of a name.
const GLOB_SIGNS: &[u8] = b"*?[{\\";

/// A path behind ssh as directory and pattern. A directory whose contents are meant is followed even if it is a link.
pub(super) fn split_far(path: &[u8]) -> (&[u8], &[u8]) {
    match path == b"~" || (path.ends_with(b"/") && !is_glob(path)) {
        true => (path, b""),
        false => split_root(path),
    }
}

/// A local path as root and pattern: the root is all before the last component, or before the first glob.
pub(super) fn split_root(path: &[u8]) -> (&[u8], &[u8]) {
    let plain = path.strip_suffix(b"/").unwrap_or(path);
    let last = plain.rsplit(|b| *b == b'/').next().unwrap_or_default();
    if last.is_empty() || last == b"." || last == b".." {
        return (path, b"");
    }
    let glob = plain.iter().position(|b| GLOB_SIGNS.contains(b)).unwrap_or(plain.len());
    match plain[..glob].iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..=slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The names of patterns below the root that a far end has chosen; `names` are those of their directories.
pub(crate) fn below_far_root(patterns: Vec<Vec<u8>>, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let joined = patterns.into_iter().zip(names).map(|(pattern, name)| match (name.is_empty(), pattern.is_empty()) {
        (true, _) => pattern,
        // The directory's contents.
        (false, true) => [name, b"/".as_slice()].concat(),
        (false, false) => remote::below(name, &pattern),
    });
    joined.collect()
}

pub(super) fn is_glob(pattern: &[u8]) -> bool {
    pattern.iter().any(|b| GLOB_SIGNS.contains(b))
}
