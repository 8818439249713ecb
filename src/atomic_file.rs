//! Small files that a reader finds whole or not at all, with the right mode from the first byte.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The rule for a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnExisting {
    /// It is replaced, in one step.
    Replaced,
    /// It stays, and writing fails.
    Kept,
}

/// Writes `text` to `path` with the permission bits `mode`. What is no file, such as `/dev/stdout` or a pipe, is never replaced
/// by one: it is written to.
pub(crate) fn write_atomically(path: &Path, text: &str, mode: u32, existing: OnExisting) -> io::Result<()> {
    if existing == OnExisting::Replaced && fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let name = path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let hidden = path.with_file_name(hidden);
    // A file of this name was left by a process that died here: its number is this process's now.
    drop(fs::remove_file(&hidden));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&hidden)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match existing {
            OnExisting::Replaced => fs::rename(&hidden, path),
            // Unlike a rename, a link takes no name that is taken.
            OnExisting::Kept => match fs::hard_link(&hidden, path) {
                Ok(()) => fs::remove_file(&hidden),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                // There are none on FAT and its like; there an empty file takes the name first.
                Err(_) => OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(path)
                    .and_then(|_| fs::rename(&hidden, path).inspect_err(|_| drop(fs::remove_file(path)))),
            },
        }
    };
    write().inspect_err(|_| drop(fs::remove_file(&hidden)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_no_file_is_written_to_and_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [link, file] = ["link", "file"].map(|name| dir.path().join(name));
        fs::write(&file, b"").expect("written");
        std::os::unix::fs::symlink("file", &link).expect("made");
        write_atomically(&link, "text", 0o600, OnExisting::Replaced).expect("written");
        assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("readable"), "text");
        let null = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).expect("made");
        write_atomically(&null, "text", 0o600, OnExisting::Replaced).expect("written");
        assert_eq!(fs::read_link(&null).expect("still a link"), Path::new("/dev/null"));
    }

    #[test]
    fn a_file_is_whole_private_and_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("ticket");
        fs::write(&path, b"old and longer than the new one").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(write_atomically(&path, "new", 0o600, OnExisting::Kept).is_err());
        write_atomically(&path, "qft://new\n", 0o600, OnExisting::Replaced).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "qft://new\n");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        write_atomically(&dir.path().join("other"), "x", 0o600, OnExisting::Kept).expect("written");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 2, "nothing is left over");
        assert!(write_atomically(&dir.path().join("missing/ticket"), "x", 0o600, OnExisting::Replaced).is_err());
    }
}
