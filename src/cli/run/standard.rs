//! Standard input and output as they are. The standard library takes one that cannot be used for an empty file, or for one
//! that takes everything: a descriptor that is open the other way round (`nohup` leaves such a one to be read from), and one
//! that was closed, in whose place it opens `/dev/null` before anything of ours runs.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, stat};
use rustix::io::Errno;

/// The first error of standard output, unless its reader was gone.
static REFUSED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Standard input, where there is one to take content from.
///
/// # Errors
/// It was closed, or is `/dev/null` in the way that the standard library, and what starts containers, put it there; a
/// shell's `</dev/null` is an empty file. Or it cannot be read from, or the system gives no descriptor.
pub(crate) fn input() -> io::Result<File> {
    let input = io::stdin();
    if fcntl_getfl(&input)? & OFlags::RWMODE == OFlags::WRONLY {
        return Err(unusable("it can only be written to, as nohup leaves it"));
    }
    match is_stand_in(input.as_fd())? {
        true => Err(unusable("it is closed, or a container has none (docker run -i); </dev/null is an empty one")),
        // Its own reads say what the standard library's are silent about.
        false => Ok(input.as_fd().try_clone_to_owned()?.into()),
    }
}

/// Standard output, where there is one to give content to. The copy can be closed, and its answer heard.
///
/// # Errors
/// As [`input`]; or it cannot be written to.
pub(crate) fn content_output() -> io::Result<File> {
    let output = io::stdout();
    check_writable(output.as_fd())?;
    match is_stand_in(output.as_fd())? {
        true => Err(unusable("it is closed, so that nothing would get the content; >/dev/null drops it")),
        false => Ok(output.as_fd().try_clone_to_owned()?.into()),
    }
}

/// Standard output for texts and events. What it refuses is told at the end of the program, whether or not the writer looks.
pub(crate) fn output() -> Output {
    Output
}

/// Writes what is left. Says what standard output refused, if anything: whoever asked for it lacks it. A reader that is gone
/// wanted no more.
pub(crate) fn refused() -> Option<io::Error> {
    drop(Output.flush());
    held().take()
}

/// The writer of [`output`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output;

impl Write for Output {
    fn write(&mut self, raw: &[u8]) -> io::Result<usize> {
        let mut output = io::stdout();
        noted(check_writable(output.as_fd()).and_then(|()| output.write(raw)))
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(io::stdout().flush())
    }
}

fn noted<T>(outcome: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &outcome
        && !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted | ErrorKind::WouldBlock)
    {
        let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        held().get_or_insert(same);
    }
    outcome
}

fn held() -> MutexGuard<'static, Option<io::Error>> {
    REFUSED.lock().expect("no holder panics")
}

fn check_writable(output: BorrowedFd<'_>) -> io::Result<()> {
    match fcntl_getfl(output)? & OFlags::RWMODE {
        OFlags::RDONLY => Err(Errno::BADF.into()),
        _ => Ok(()),
    }
}

/// Whether a stream is `/dev/null` for reading and writing at once, which no shell opens.
fn is_stand_in(stream: BorrowedFd<'_>) -> io::Result<bool> {
    let found = fstat(stream)?;
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
    let is_null = is_device && stat("/dev/null").is_ok_and(|null| null.st_rdev == found.st_rdev);
    Ok(is_null && fcntl_getfl(stream)? & OFlags::RWMODE == OFlags::RDWR)
}

fn unusable(why: &str) -> io::Error {
    let error = io::Error::from(Errno::BADF);
    io::Error::new(error.kind(), format!("{}: {why}", crate::storage::plain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_opens_is_told_from_what_stands_in_for_a_closed_stream() {
        let null =
            |read, write| File::options().read(read).write(write).open("/dev/null").expect("every machine has it");
        for (read, write, stands_in) in [(true, false, false), (false, true, false), (true, true, true)] {
            assert_eq!(is_stand_in(null(read, write).as_fd()).expect("it is open"), stands_in, "{read} {write}");
        }
        let file = tempfile::tempfile().expect("a temporary file");
        assert!(!is_stand_in(file.as_fd()).expect("it is open"));
    }

    #[test]
    fn what_is_open_for_reading_alone_cannot_be_written_to() {
        let null =
            |read, write| File::options().read(read).write(write).open("/dev/null").expect("every machine has it");
        assert!(check_writable(null(true, false).as_fd()).is_err());
        assert!(check_writable(null(false, true).as_fd()).is_ok());
    }
}
