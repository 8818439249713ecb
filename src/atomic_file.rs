//! Small files that a reader finds whole or not at all, with the right mode from the first byte.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that has not got its name yet. Without [`Draft::replace`] or [`Draft::take_free_name`] it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    file: Option<File>,
    hidden: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// An empty file for `path`, hidden beside it, with the permission bits `mode`. No other process that is alive may have a
    /// draft of the same file with the same `suffix`: one that is there was left by a process that died.
    pub(crate) fn beside(path: &Path, suffix: &str, mode: u32) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{suffix}"));
        let hidden = path.with_file_name(hidden);
        drop(fs::remove_file(&hidden));
        // The mode is set before there is content, so that a key is never readable by others, not even for a moment.
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&hidden)?;
        Ok(Self { file: Some(file), hidden, path: path.to_owned() })
    }

    /// The same for a file that other processes may be writing, too.
    pub(crate) fn of_this_process(path: &Path, mode: u32) -> io::Result<Self> {
        Self::beside(path, &std::process::id().to_string(), mode)
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_mut().expect("it is taken with the name")
    }

    /// Gives the file its name, in the place of the one that has it, in one step.
    pub(crate) fn replace(mut self) -> io::Result<File> {
        fs::rename(&self.hidden, &self.path)?;
        Ok(self.take())
    }

    /// Gives the file its name, if no file has it.
    pub(crate) fn take_free_name(mut self) -> io::Result<File> {
        let Self { hidden, path, .. } = &self;
        // Unlike a rename, a link takes no name that is taken.
        match fs::hard_link(hidden, path) {
            Ok(()) => fs::remove_file(hidden)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // There are none on FAT and its like; there an empty file takes the name first.
            Err(_) => {
                OpenOptions::new().write(true).create_new(true).open(path)?;
                fs::rename(hidden, path).inspect_err(|_| drop(fs::remove_file(path)))?;
            }
        }
        Ok(self.take())
    }

    fn take(&mut self) -> File {
        self.file.take().expect("it is taken once")
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.is_some() {
            drop(fs::remove_file(&self.hidden));
        }
    }
}

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
    let mut draft = Draft::of_this_process(path, mode)?;
    draft.file().write_all(text.as_bytes())?;
    draft.file().sync_all()?;
    match existing {
        OnExisting::Replaced => draft.replace(),
        OnExisting::Kept => draft.take_free_name(),
    }
    .map(drop)
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
