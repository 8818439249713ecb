//! The directory to serve: found, or made.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::exit::Complaint;
use crate::protocol::path::escape_path;
use crate::storage::plain;

/// Letters in which a name may differ from one beside it that was perhaps meant.
const SLIP_LETTERS: usize = 2;

/// The directory to serve.
#[derive(Debug)]
pub(super) struct ServedDir {
    /// Its path without links.
    pub(super) root: PathBuf,
    /// The note about it if it was made.
    pub(super) made: Option<String>,
}

impl ServedDir {
    /// Finds it, or makes it where only its last name is missing: a path that is wrong higher up is a mistake, and so is one
    /// that has nothing to read. The whole machine is not served by its administrator. Called before the process confines
    /// itself: what lies beside it cannot be listed any more then.
    pub(super) fn find(dir: &Path, is_read_only: bool, is_superuser: bool) -> anyhow::Result<Self> {
        let is_made = !is_read_only && fs::create_dir(dir).is_ok();
        let shown = escape_path(dir);
        let root =
            dir.canonicalize().map_err(|error| Complaint::Usage(format!("cannot serve {shown}: {}", plain(&error))))?;
        if !root.is_dir() {
            return Err(Complaint::Usage(format!("cannot serve {shown}: not a directory")).into());
        }
        if is_superuser && root == Path::new("/") {
            let text = "root does not serve /: name a directory below it, or run as another user";
            return Err(Complaint::usage(text).into());
        }
        let made = is_made.then(|| {
            let beside = beside(&root).map(|name| format!("; there is also {name}")).unwrap_or_default();
            format!("made {}{beside}", escape_path(&root))
        });
        Ok(Self { root, made })
    }
}

/// A directory beside `root` of nearly the same name, which was perhaps meant.
fn beside(root: &Path) -> Option<String> {
    let own = root.file_name()?.to_string_lossy().into_owned();
    let entries = fs::read_dir(root.parent()?).ok()?.flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| *name != own);
    let near = names.map(|name| (strsim::osa_distance(&own, &name), name)).min()?;
    (near.0 <= SLIP_LETTERS && near.0 * 2 < own.chars().count()).then(|| escape_path(Path::new(&near.1)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn the_superuser_does_not_serve_the_whole_machine() {
        let find = |dir: &str, is_superuser| ServedDir::find(Path::new(dir), false, is_superuser);
        let error = find("/", true).expect_err("refused");
        assert_eq!(Exit::of_error(&error), Exit::Usage);
        assert!(find("/usr/..", true).is_err(), "by whatever name");
        assert!(find("/", false).is_ok());
        assert!(find("/tmp", true).is_ok());
    }

    #[test]
    fn only_a_directory_is_served_and_one_to_read_from_has_to_be_there() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("file"), b"x").expect("written");
        for (name, is_read_only) in [("file", false), ("missing", true), ("missing/below", false)] {
            assert!(ServedDir::find(&dir.path().join(name), is_read_only, false).is_err(), "{name}");
        }
        assert!(!dir.path().join("missing").exists());
    }

    #[test]
    fn a_directory_that_was_made_is_told_of_with_the_one_that_was_perhaps_meant() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["incoming", "other", "in"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        let find = |name: &str| ServedDir::find(&dir.path().join(name), false, false).expect("found or made");
        let said = find("incomming").made.expect("it was made");
        assert!(said.ends_with("/incomming; there is also incoming"), "{said}");
        assert_eq!(find("incomming").made, None, "it is there now");
        assert!(find("quite another").made.is_some_and(|said| said.ends_with("/quite another")));
    }
}
