//! The owner of a path, and the users who could make it lead elsewhere: what sshd calls `StrictModes`.
//!
//! An ordinary user cannot be made to do much with another's files. Root can: who owns a list decides whom it lets in,
//! and who owns a directory decides which list it is. So root uses neither, nor a link that is another's, wherever on the
//! way it lies.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, absolute};

use super::HomeError;
use crate::absent::unless_absent;

/// With this bit anyone can change what is in a directory.
const OTHERS_WRITE: u32 = 0o002;
/// With this bit its group can. Root's own group is as good as root, and many images of containers give it this bit.
const GROUP_WRITES: u32 = 0o020;
/// With this bit they can only change what is theirs in it, as in `/tmp`.
const STICKY: u32 = 0o1000;

/// Refuses a path, which need not exist, if another user could decide what it leads to. Only root is that strict.
pub(super) fn check_way(path: &Path) -> Result<(), HomeError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let path = absolute(path).map_err(HomeError::io("examine", path))?;
    for place in path.ancestors() {
        let Some(found) = if_there(place, fs::symlink_metadata(place))? else { continue };
        if found.is_symlink() {
            check_owner(place, &found)?;
        }
    }
    check_above(&path)?;
    // What the links on the way lead through.
    if_there(&path, path.canonicalize())?.map_or(Ok(()), |real| check_above(&real))
}

/// `None` for what is not there.
fn if_there<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>, HomeError> {
    unless_absent(found).map_err(HomeError::io("examine", path))
}

/// Refuses what another user owns. Only root is that strict.
pub(super) fn check_owner(path: &Path, found: &Metadata) -> Result<(), HomeError> {
    let uid = found.uid();
    if !rustix::process::geteuid().is_root() || uid == 0 || !is_mapped(uid) {
        return Ok(());
    }
    Err(HomeError::Foreign { path: path.to_owned(), uid })
}

fn check_above(path: &Path) -> Result<(), HomeError> {
    for place in path.ancestors() {
        let Some(found) = if_there(place, fs::metadata(place))? else { continue };
        if !found.is_dir() {
            continue;
        }
        check_owner(place, &found)?;
        let mode = found.mode() & 0o7777;
        let is_open = mode & OTHERS_WRITE != 0 || mode & GROUP_WRITES != 0 && found.gid() != 0;
        if is_open && mode & STICKY == 0 {
            return Err(HomeError::Writable { path: place.to_owned(), mode });
        }
    }
    Ok(())
}

/// Whether the number is a user's of this user namespace. In one that knows few users (`unshare -r`, a build in a
/// sandbox) everything else, the machine's own directories among it, shows a number that is nobody's.
fn is_mapped(uid: u32) -> bool {
    fs::read_to_string("/proc/self/uid_map").map_or(true, |map| is_mapped_by(&map, uid))
}

/// `map`: lines of first number inside, first number outside, count.
fn is_mapped_by(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), _, Some(Ok(count))) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        (first..first + count).contains(&u64::from(uid))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    const STRANGER: u32 = 65534;

    /// Whether tests can give files away; says so otherwise.
    fn is_root() -> bool {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            println!("skipped: only root is strict");
        }
        is_root
    }

    #[test]
    fn root_follows_no_path_that_another_user_could_lead_elsewhere() {
        if !is_root() {
            return;
        }
        let outer = tempfile::tempdir().unwrap();
        let path = |name: &str| outer.path().join(name);
        for dir in ["own/qft", "theirs/qft", "shared/qft", "sticky/qft", "group/qft", "roots/qft"] {
            fs::create_dir_all(path(dir)).unwrap();
        }
        chown(path("theirs"), Some(STRANGER), Some(STRANGER)).unwrap();
        fs::set_permissions(path("shared"), fs::Permissions::from_mode(0o777)).unwrap();
        for dir in ["group", "roots"] {
            fs::set_permissions(path(dir), fs::Permissions::from_mode(0o775)).unwrap();
        }
        chown(path("group"), None, Some(STRANGER)).unwrap();
        fs::set_permissions(path("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
        for (link, target) in [("own/link", "../own"), ("own/out", "../theirs"), ("sticky/planted", "../own")] {
            symlink(target, path(link)).unwrap();
        }
        rustix::fs::chownat(
            rustix::fs::CWD,
            path("sticky/planted"),
            Some(rustix::fs::Uid::from_raw(STRANGER)),
            None,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
        for (way, is_good) in [
            ("own/qft", true),
            ("own/missing/deeper", true),
            ("own/link/qft", true),
            ("sticky/qft", true),
            ("theirs/qft", false),
            ("theirs/missing", false),
            ("shared/qft", false),
            ("group/qft", false),
            ("roots/qft", true),
            ("own/out/qft", false),
            ("sticky/planted/qft", false),
        ] {
            assert_eq!(check_way(&path(way)).is_ok(), is_good, "{way}");
        }
    }

    #[test]
    fn a_number_that_is_nobodys_in_a_namespace_is_no_other_user() {
        for (map, uid, expected) in [
            ("         0          0 4294967295\n", STRANGER, true),
            ("         0       1000          1\n", STRANGER, false),
            ("0 100000 65536\n", STRANGER, true),
            ("0 1000 1\n1 100000 10\n", 5, true),
            ("", 0, false),
        ] {
            assert_eq!(is_mapped_by(map, uid), expected, "{map:?} {uid}");
        }
    }
}
