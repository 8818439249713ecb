//! The file, and the thread that writes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use tracing::warn;

use super::entry::HistoryEntry;
use crate::keys::HomeError;
use crate::keys::home::{lock, prepare};

/// Bytes of a file before the next begins: some fifteen thousand jobs.
pub const HISTORY_BYTES_MAX: u64 = 4 << 20;
/// Jobs that wait to be written while the disk hangs; what comes above is lost.
pub const LINES_AHEAD_MAX: usize = 1024;

/// The newest file, and the one before it.
const NAMES: [&str; 2] = ["history.ndjson", "history.1.ndjson"];
/// Only the owner reads it: it says who sent what.
const MODE: u32 = 0o600;
/// Longest that an ending server waits for its lines to be written.
const KEEP_WAIT: Duration = Duration::from_secs(1);

/// Where a server's jobs are written down.
#[derive(Debug, Default)]
pub(in crate::server) struct HistoryLog {
    home: Option<PathBuf>,
    writing: Mutex<Writing>,
    lost: AtomicU64,
}

/// Whether there is a thread that writes.
#[derive(Debug, Default)]
enum Writing {
    /// The first job starts it: until then it would be one more among those that share the allocator's arenas, of which
    /// glibc gives out no more than eight for each core.
    #[default]
    NotYet,
    Now(Writer),
    Over,
}

#[derive(Debug)]
struct Writer {
    lines: SyncSender<HistoryEntry>,
    /// Ends with the thread.
    written: Receiver<()>,
}

impl HistoryLog {
    /// A book in the home; without one nothing is written down.
    pub(in crate::server) fn of(home: Option<PathBuf>) -> Self {
        Self { home, ..Self::default() }
    }

    /// Where it lies; `None` where nothing is written down.
    pub(in crate::server) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Writes a job down, some time. Never waits.
    pub(in crate::server) fn add(&self, entry: HistoryEntry) {
        let Some(home) = &self.home else { return };
        let mut writing = self.writing.lock().expect("no holder panics");
        if matches!(*writing, Writing::NotYet) {
            *writing = Writer::start(home.clone()).map_or(Writing::NotYet, Writing::Now);
        }
        let is_lost = match &*writing {
            Writing::Now(writer) => writer.lines.try_send(entry).is_err(),
            // There is no thread to be had.
            Writing::NotYet => true,
            Writing::Over => false,
        };
        if is_lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Jobs that could not even wait to be written.
    pub(in crate::server) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what has not been written; after that, nothing more is.
    pub(in crate::server) fn close(&self) {
        let writing = std::mem::replace(&mut *self.writing.lock().expect("no holder panics"), Writing::Over);
        let Writing::Now(Writer { lines, written }) = writing else { return };
        drop(lines);
        // Nothing is ever sent on it.
        let _ = written.recv_timeout(KEEP_WAIT);
    }
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    fn start(home: PathBuf) -> io::Result<Self> {
        let ((lines, fresh), (done, written)) = (mpsc::sync_channel(LINES_AHEAD_MAX), mpsc::channel());
        std::thread::Builder::new().name("qft-history".to_owned()).spawn(move || {
            let _ends_with_the_thread: mpsc::Sender<()> = done;
            write_all(&home, &fresh);
        })?;
        Ok(Self { lines, written })
    }
}

/// Writes until there will be no more.
fn write_all(home: &Path, fresh: &Receiver<HistoryEntry>) {
    let (mut is_torn, mut has_failed) = (false, false);
    while let Ok(entry) = fresh.recv() {
        // No more than may wait: others go on adding while these are taken.
        let more = fresh.try_iter().take(LINES_AHEAD_MAX - 1);
        let entries: Vec<HistoryEntry> = std::iter::once(entry).chain(more).collect();
        let written = append(home, &entries, is_torn, HISTORY_BYTES_MAX);
        if let Err(error) = &written
            && !has_failed
        {
            // Said once: a disk that is full is full for every job.
            warn!(%error, "the history of jobs is not written");
        }
        (is_torn, has_failed) = (written.is_err(), written.is_err());
    }
}

/// Adds lines to the file in one piece, so that servers of one home do not mix theirs. `is_torn`: the last line may not
/// be whole.
fn append(home: &Path, entries: &[HistoryEntry], is_torn: bool, bytes_max: u64) -> Result<(), HomeError> {
    let mut text = if is_torn { b"\n".to_vec() } else { Vec::new() };
    for entry in entries {
        serde_json::to_writer(&mut text, entry).expect("numbers and texts");
        text.push(b'\n');
    }
    prepare(home)?;
    let path = home.join(NAMES[0]);
    // Others may be about to put it aside.
    let _lock = lock(home)?;
    let failed = |op| {
        let path = path.clone();
        move |source| HomeError::Io { op, path, source }
    };
    if fs::metadata(&path).is_ok_and(|file| file.len() >= bytes_max) {
        fs::rename(&path, home.join(NAMES[1])).map_err(failed("rename"))?;
    }
    let options = OpenOptions::new().append(true).create(true).mode(MODE).open(&path);
    options.map_err(failed("open"))?.write_all(&text).map_err(failed("write"))
}

/// All jobs that are written down in a home, in the order in which they ended. A line that is not whole, or of a later
/// version that is not understood, is left out.
///
/// # Errors
/// A file is there and cannot be read.
pub fn read(home: &Path) -> Result<Vec<HistoryEntry>, HomeError> {
    let mut entries = Vec::new();
    for name in NAMES.iter().rev() {
        let path = home.join(name);
        let failed = |op, source| HomeError::Io { op, path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("open", error)),
        };
        let mut text = Vec::new();
        // The last line of a file may reach beyond the bound, as may those that one batch adds.
        file.take(2 * HISTORY_BYTES_MAX).read_to_end(&mut text).map_err(|error| failed("read", error))?;
        entries.extend(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
    }
    Ok(entries)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::status::Direction;
    use super::super::entry::JobOutcome;
    use super::*;

    /// A job of which only these matter.
    pub(in super::super) fn entry(time: &str, peer: &str, direction: Direction, outcome: JobOutcome) -> HistoryEntry {
        HistoryEntry {
            time: time.to_owned(),
            peer: peer.to_owned(),
            fingerprint: format!("key of {peer}"),
            address: [192, 0, 2, 1].into(),
            direction,
            file: Some("dir/file".to_owned()),
            files: 2,
            skipped: 1,
            failed: 0,
            bytes: 1000,
            seconds: 1.5,
            outcome,
            loss: Some(0.25),
        }
    }

    fn numbered(number: usize) -> HistoryEntry {
        entry("2026-03-02T14:05:09Z", &format!("peer {number}"), Direction::In, JobOutcome::Done)
    }

    fn names(home: &Path) -> Vec<String> {
        read(home).unwrap().into_iter().map(|entry| entry.peer).collect()
    }

    #[test]
    fn what_was_written_is_read_in_its_order_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()).unwrap(), []);
        let book = HistoryLog::of(Some(home.path().to_owned()));
        (0..3).for_each(|number| book.add(numbered(number)));
        book.close();
        book.add(numbered(3));
        assert_eq!(read(home.path()).unwrap(), [numbered(0), numbered(1), numbered(2)]);
        assert_eq!(fs::metadata(home.path().join(NAMES[0])).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn the_history_takes_no_more_of_the_disk_than_it_may_and_the_newest_stay() {
        let home = tempfile::tempdir().unwrap();
        let line = serde_json::to_vec(&numbered(0)).unwrap().len() as u64 + 1;
        for number in 0..100 {
            append(home.path(), &[numbered(number)], false, 10 * line).unwrap();
            let bytes: u64 =
                NAMES.iter().filter_map(|name| fs::metadata(home.path().join(name)).ok()).map(|f| f.len()).sum();
            assert!(bytes <= 22 * line, "{bytes} of {line}");
        }
        let kept = names(home.path());
        assert!(kept.len() >= 10 && kept.last().is_some_and(|last| last == "peer 99"), "{kept:?}");
        assert!(kept.is_sorted());
    }

    #[test]
    fn a_line_that_is_not_whole_costs_no_other() {
        let home = tempfile::tempdir().unwrap();
        append(home.path(), &[numbered(1)], false, HISTORY_BYTES_MAX).unwrap();
        let path = home.path().join(NAMES[0]);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(&text.clone()[..40]);
        fs::write(&path, text).unwrap();
        append(home.path(), &[numbered(2)], true, HISTORY_BYTES_MAX).unwrap();
        assert_eq!(names(home.path()), ["peer 1", "peer 2"]);
    }

    #[test]
    fn a_disk_that_is_full_stops_nothing() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", home.path().join(NAMES[0])).unwrap();
        let book = HistoryLog::of(Some(home.path().to_owned()));
        (0..10).for_each(|number| book.add(numbered(number)));
        book.close();
        fs::remove_file(home.path().join(NAMES[0])).unwrap();
        // One that starts when there is room again.
        let book = HistoryLog::of(Some(home.path().to_owned()));
        book.add(numbered(10));
        book.close();
        assert_eq!(names(home.path()), ["peer 10"]);
    }

    #[test]
    fn jobs_that_come_while_the_disk_hangs_are_bounded_and_counted() {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path()).unwrap();
        // While this lock is held the writer waits.
        let held = lock(home.path()).unwrap();
        let book = HistoryLog::of(Some(home.path().to_owned()));
        (0..3 * LINES_AHEAD_MAX).for_each(|number| book.add(numbered(number)));
        assert!(book.lost() >= LINES_AHEAD_MAX as u64 - 1);
        drop(held);
        book.close();
        let lost = usize::try_from(book.lost()).unwrap();
        assert_eq!(names(home.path()).len(), 3 * LINES_AHEAD_MAX - lost);
    }
}
