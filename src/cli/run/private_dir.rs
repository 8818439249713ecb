//! Private directories for content that has no file of its own: standard input before it is sent, a file
//! that will go to standard output.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::protocol::path::escape_path;

/// Makes a directory below `$TMPDIR`, else `/tmp`, that only its owner can enter. It is removed with all it holds when it is
/// dropped.
pub(crate) fn private_dir() -> anyhow::Result<TempDir> {
    let parent = std::env::temp_dir();
    private_dir_below(&parent)
        .with_context(|| format!("making a directory in {} ($TMPDIR chooses another place)", escape_path(&parent)))
}

fn private_dir_below(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("qft-").permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

/// Copies all of `input` into a new file called `name` in `dir`, and returns its path.
pub(crate) fn fill(dir: &Path, name: &OsStr, input: &mut impl Read) -> io::Result<PathBuf> {
    let path = dir.join(name);
    // Its mode travels with it, so it is the user's usual one; the directory is what keeps others out.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    io::copy(input, &mut file)?;
    // Where the disk is full or a quota is used up may be said only now.
    crate::storage::close(file)?;
    Ok(path)
}

/// Copies the only file that `dir` holds, at any depth, to `output`.
pub(crate) fn pour(dir: &Path, output: &mut impl Write) -> anyhow::Result<u64> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    let [path] = files.as_slice() else {
        bail!("{} files came; standard output takes one", files.len());
    };
    let mut file = File::open(path).context("reading what was received")?;
    let bytes = io::copy(&mut file, output).context("writing to standard output")?;
    output.flush().context("writing to standard output")?;
    Ok(bytes)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).context("reading what was received")? {
        let entry = entry.context("reading what was received")?;
        let kind = entry.file_type().context("reading what was received")?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> (TempDir, TempDir) {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let dir = private_dir_below(parent.path()).expect("a directory in it");
        (parent, dir)
    }

    #[test]
    fn only_the_owner_can_reach_what_was_spooled_whatever_its_mode() {
        let (_parent, dir) = private();
        let file = fill(dir.path(), "name".as_ref(), &mut &b"content"[..]).expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        let usual = dir.path().join("usual");
        fs::write(&usual, b"").expect("written");
        assert_eq!(mode(&file), mode(&usual), "it will have this mode at the remote");
        assert_eq!(fs::read(&file).expect("readable"), b"content");
    }

    #[test]
    fn everything_is_gone_when_it_is_dropped() {
        let (parent, dir) = private();
        fill(dir.path(), "name".as_ref(), &mut &b"content"[..]).expect("written");
        fs::create_dir(dir.path().join("sub")).expect("made");
        drop(dir);
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_failing_input_leaves_nothing_behind() {
        struct BrokenReader;
        impl Read for BrokenReader {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let (parent, dir) = private();
        assert!(fill(dir.path(), "name".as_ref(), &mut BrokenReader).is_err());
        drop(dir);
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0);
    }

    #[test]
    fn one_file_goes_out_however_deep_it_is() {
        let (_parent, dir) = private();
        fs::create_dir_all(dir.path().join("a/b")).expect("made");
        fs::write(dir.path().join("a/b/c"), b"content").expect("written");
        let mut out = Vec::new();
        assert_eq!(pour(dir.path(), &mut out).expect("one file"), 7);
        assert_eq!(out, b"content");
    }

    #[test]
    fn none_or_two_files_are_refused_before_anything_is_written() {
        let (_parent, dir) = private();
        let mut out = Vec::new();
        assert!(pour(dir.path(), &mut out).expect_err("none").to_string().starts_with("0 files"));
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), b"x").expect("written");
        }
        assert!(pour(dir.path(), &mut out).expect_err("two").to_string().starts_with("2 files"));
        assert_eq!(out, b"");
    }
}
