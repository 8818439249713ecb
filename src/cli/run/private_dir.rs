//! Private directories for content that has no file of its own: standard input before it is sent, a file
//! that will go to standard output; and the copy from or to a stream.

use std::ffi::OsStr;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::protocol::path::escape_path;

/// Bytes that are copied at once: a pipe holds so many (pipe(7)).
const PIECE: usize = 64 << 10;

/// Which side of a copy failed: the remedy is another.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// Where it comes from.
    #[error(transparent)]
    Read(io::Error),
    /// Where it goes to.
    #[error(transparent)]
    Write(io::Error),
}

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
pub(crate) fn fill(dir: &Path, name: &OsStr, input: &mut impl Read) -> Result<PathBuf, CopyError> {
    let path = dir.join(name);
    // Its mode travels with it, so it is the user's usual one; the directory is what keeps others out.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(CopyError::Write)?;
    copy(input, &mut file)?;
    // Where the disk is full or a quota is used up may be said only now.
    crate::storage::close(file).map_err(CopyError::Write)?;
    Ok(path)
}

/// Copies everything, in pieces as large as a pipe holds.
pub(crate) fn copy(input: &mut impl Read, output: &mut impl Write) -> Result<u64, CopyError> {
    let (mut piece, mut copied) = (vec![0; PIECE], 0);
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        output.write_all(&piece[..read]).map_err(CopyError::Write)?;
        copied += read as u64;
    }
    output.flush().map_err(CopyError::Write)?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let failed = fill(dir.path(), "name".as_ref(), &mut BrokenReader);
        assert!(matches!(failed, Err(CopyError::Read(_))), "{failed:?}");
        drop(dir);
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0);
    }
}
