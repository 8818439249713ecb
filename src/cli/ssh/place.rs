//! The meaning of paths on the far side: relative to the home directory, served from the nearest directory that exists.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::absent::unless_absent;
use crate::protocol::path::escape;

/// Why a path cannot be served; the text has the path.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// The system refuses to look at it.
    #[error("{}: {source}", escape(path))]
    Io {
        /// As typed.
        path: Vec<u8>,
        source: io::Error,
    },
    /// `..` behind something that does not exist.
    #[error("{}: no such directory", escape(.0))]
    Missing(Vec<u8>),
    /// `~somebody`.
    #[error("{}: only your own ~ is understood; write the whole path", escape(.0))]
    OtherHome(Vec<u8>),
}

/// A directory to serve, and what each of the paths is called below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FarPlaces {
    pub(super) root: PathBuf,
    /// Empty for the root itself.
    pub(super) names: Vec<Vec<u8>>,
}

/// Finds the smallest directory that holds all `paths`. No path is the home directory itself.
///
/// Links are followed down to the last directory that exists, as the account's own tools would follow them; what does
/// not exist yet is below the root, where the server's rules hold.
pub(super) fn places(home: &Path, paths: &[Vec<u8>]) -> Result<FarPlaces, PlaceError> {
    let found = paths.iter().map(|path| locate(home, path)).collect::<Result<Vec<_>, _>>()?;
    let Some((first, _)) = found.first() else {
        let (root, _) = locate(home, b"")?;
        return Ok(FarPlaces { root, names: Vec::new() });
    };
    let root = found.iter().fold(first.clone(), |root, (dir, _)| common(&root, dir));
    let name = |(dir, rest): &(PathBuf, Vec<u8>)| {
        let below = dir.strip_prefix(&root).expect("the root is above each of them").as_os_str().as_bytes();
        let parts = [below, rest].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(&b'/')
    };
    Ok(FarPlaces { names: found.iter().map(name).collect(), root })
}

/// The deepest directory of `path` that exists, without links, and what follows it.
fn locate(home: &Path, path: &[u8]) -> Result<(PathBuf, Vec<u8>), PlaceError> {
    let typed = || path.to_vec();
    let below_home = match path {
        b"~" => b"",
        [b'~', b'/', rest @ ..] => rest,
        [b'~', ..] => return Err(PlaceError::OtherHome(typed())),
        path => path,
    };
    let whole = match below_home {
        // What follows `~/` is below the home directory even if it begins with another slash.
        rest if path.first() == Some(&b'~') => join(home, rest),
        rest if rest.starts_with(b"/") => PathBuf::from(OsStr::from_bytes(rest)),
        rest => join(home, rest),
    };
    let whole = whole.as_os_str().as_bytes();
    let ends = whole.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.chain([whole.len()]).collect();
    for end in ends.into_iter().rev() {
        match directory(&whole[..end]) {
            Ok(Some(dir)) => return Ok((dir, rest(&whole[end..]).ok_or_else(|| PlaceError::Missing(typed()))?)),
            Ok(None) => {}
            Err(source) => return Err(PlaceError::Io { path: typed(), source }),
        }
    }
    Err(PlaceError::Missing(typed()))
}

fn join(home: &Path, rest: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&[home.as_os_str().as_bytes(), b"/", rest].concat()))
}

/// The directory without links; `None` when there is none, or something else.
fn directory(path: &[u8]) -> io::Result<Option<PathBuf>> {
    let found = unless_absent(Path::new(OsStr::from_bytes(path)).canonicalize())?;
    Ok(found.filter(|found| found.is_dir()))
}

/// The part of a path that does not exist, tidied; `None` when it climbs.
fn rest(raw: &[u8]) -> Option<Vec<u8>> {
    let plain: Vec<&[u8]> = raw.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    (!plain.contains(&b"..".as_slice())).then(|| plain.join(&b'/'))
}

fn common(one: &Path, other: &Path) -> PathBuf {
    one.components().zip(other.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// `home/{logs/a.gz, data -> ../disk}`, `disk/photos`.
    fn machine() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let top = dir.path().canonicalize().expect("it is there");
        for made in ["home/logs", "disk/photos"] {
            fs::create_dir_all(top.join(made)).expect("made");
        }
        fs::write(top.join("home/logs/a.gz"), b"x").expect("written");
        symlink("../disk", top.join("home/data")).expect("linked");
        symlink("nowhere", top.join("home/dangling")).expect("linked");
        (dir, top)
    }

    fn served(top: &Path, paths: &[&str]) -> Result<(String, Vec<String>), String> {
        let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.replace("TOP", &top.to_string_lossy()).into()).collect();
        let FarPlaces { root, names } = places(&top.join("home"), &paths).map_err(|error| error.to_string())?;
        let root = root.strip_prefix(top).map(|below| below.display().to_string()).unwrap_or_else(|_| "/".to_owned());
        Ok((root, names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()))
    }

    #[test]
    fn a_path_is_served_from_its_deepest_directory() {
        let (_dir, top) = machine();
        for (path, root, name) in [
            ("", "home", ""),
            (".", "home", ""),
            ("~", "home", ""),
            ("~/", "home", ""),
            ("~/logs", "home/logs", ""),
            ("~//logs", "home/logs", ""),
            ("logs/", "home/logs", ""),
            ("logs/a.gz", "home/logs", "a.gz"),
            ("logs/a.gz/x", "home/logs", "a.gz/x"),
            ("new", "home", "new"),
            ("new/deep/", "home", "new/deep"),
            ("./new//deep/.", "home", "new/deep"),
            ("data", "disk", ""),
            ("data/photos/x", "disk/photos", "x"),
            ("dangling/x", "home", "dangling/x"),
            ("..", "", ""),
            ("../disk/new", "disk", "new"),
            ("TOP/disk/", "disk", ""),
            ("TOP/disk/new", "disk", "new"),
            ("TOP/new/x", "", "new/x"),
        ] {
            assert_eq!(served(&top, &[path]), Ok((root.to_owned(), vec![name.to_owned()])), "{path}");
        }
        assert_eq!(served(&top, &["/"]), Ok(("/".to_owned(), vec![String::new()])));
    }

    #[test]
    fn many_paths_are_served_from_what_holds_them_all() {
        let (_dir, top) = machine();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(served(&top, &["logs/", "logs/"]), Ok(("home/logs".into(), names(&["", ""]))));
        assert_eq!(served(&top, &["logs", "new"]), Ok(("home".into(), names(&["logs", "new"]))));
        assert_eq!(served(&top, &["logs", "data/photos"]), Ok((String::new(), names(&["home/logs", "disk/photos"]))));
        assert_eq!(served(&top, &[]), Ok(("home".into(), Vec::new())));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let (_dir, top) = machine();
        assert_eq!(served(&top, &["new/../../x"]), Err("new/../../x: no such directory".into()));
        assert!(served(&top, &["~root/x"]).expect_err("another's").starts_with("~root/x: only your own ~"));
        symlink("loop", top.join("home/loop")).expect("linked");
        assert!(served(&top, &["loop/x"]).expect_err("a loop").starts_with("loop/x: "));
    }
}
