//! A file for standard output: it is received as a file first, so that only verified bytes get there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::private_dir::{CopyError, copy, private_dir};
use super::signals::Signals;
use crate::cli::exit::Exit;

/// What failed where standard output cannot be written to.
pub(crate) const STANDARD_OUTPUT: &str = "writing to standard output";
/// What failed where the received file is not as it should be.
const RECEIVED: &str = "reading what was received";

/// Where the file is kept until all of it has come, and where it goes then. Nothing is left of it when this is dropped.
pub(crate) struct SpooledOutput {
    spool: TempDir,
    /// Nothing in a dry run, which gets no content.
    output: Option<File>,
}

impl SpooledOutput {
    /// With a directory of its own.
    ///
    /// # Errors
    /// When that cannot be made.
    pub(crate) fn new(output: Option<File>) -> anyhow::Result<Self> {
        Ok(Self { spool: private_dir()?, output })
    }

    /// Where the file is to be received.
    pub(crate) fn dir(&self) -> &Path {
        self.spool.path()
    }

    /// Copies what was received to standard output. A reader that does not read must not make Ctrl-C useless. An exit that
    /// is not [`Exit::Done`] needs no message: the reader has closed the pipe and seen enough, or the user has stopped it.
    ///
    /// # Errors
    /// When not all of it could be read or written.
    pub(crate) async fn deliver(self, signals: &mut Signals) -> anyhow::Result<Exit> {
        let Some(mut output) = self.output else { return Ok(Exit::Done) };
        let dir = self.spool.path().to_owned();
        let poured = tokio::task::spawn_blocking(move || {
            pour(&dir, &mut output)?;
            // A file there may tell only now that there was no room for it.
            crate::storage::close(output).context(STANDARD_OUTPUT)
        });
        let poured = tokio::select! {
            poured = poured => poured.context(STANDARD_OUTPUT)?,
            stop = signals.next() => return Ok(stop.exit()),
        };
        match poured {
            Ok(()) => Ok(Exit::Done),
            Err(error) if is_broken_pipe(&error) => Ok(Exit::Failed),
            Err(error) => Err(error),
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Copies the only file that `dir` holds, at any depth, to `output`.
fn pour(dir: &Path, output: &mut impl Write) -> anyhow::Result<u64> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    let [path] = files.as_slice() else {
        bail!("{} files came; standard output takes one", files.len());
    };
    let mut file = File::open(path).context(RECEIVED)?;
    match copy(&mut file, output) {
        Ok(bytes) => Ok(bytes),
        Err(CopyError::Read(error)) => Err(error).context(RECEIVED),
        Err(CopyError::Write(error)) => Err(error).context(STANDARD_OUTPUT),
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).context(RECEIVED)? {
        let entry = entry.context(RECEIVED)?;
        let kind = entry.file_type().context(RECEIVED)?;
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

    #[test]
    fn one_file_goes_out_however_deep_it_is() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join("a/b")).expect("made");
        fs::write(dir.path().join("a/b/c"), b"content").expect("written");
        let mut out = Vec::new();
        assert_eq!(pour(dir.path(), &mut out).expect("one file"), 7);
        assert_eq!(out, b"content");
    }

    #[test]
    fn none_or_two_files_are_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut out = Vec::new();
        assert!(pour(dir.path(), &mut out).expect_err("none").to_string().starts_with("0 files"));
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), b"x").expect("written");
        }
        assert!(pour(dir.path(), &mut out).expect_err("two").to_string().starts_with("2 files"));
        assert_eq!(out, b"");
    }
}
