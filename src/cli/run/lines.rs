//! Lines for standard error and standard output that nobody waits for.
//!
//! The reader of our output may stop reading: a pipe may be full, or a disk, or a terminal be held with Ctrl-S. A
//! thread of its own does the writing, so that this costs lines and never a transfer or a signal. Lines that do not fit
//! into the queue are counted, and the count is written when there is room again.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::standard;

/// Bytes that wait for a reader: the log of a busy server for some minutes.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// The same for events that a program reads, which should miss none while it is only slow.
const EVENT_BYTES_MAX: usize = 64 << 20;
/// Bytes that are written at one go.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// Time between two tries at a stream that another process has made non-blocking (ssh does that to terminals).
const WOULD_BLOCK_WAIT: Duration = Duration::from_millis(10);
/// Longest that a command waits at its end for a reader that takes nothing.
pub(crate) const END_WAIT: Duration = Duration::from_secs(2);

/// How lines that were lost are told of.
type Missing = fn(u64) -> Vec<u8>;

/// A queue of lines before a stream. Clones share it.
#[derive(Clone)]
pub(crate) struct LineSink(Arc<LineQueue>);

struct LineQueue {
    state: Mutex<LineQueueState>,
    /// Something is to be written.
    filled: Condvar,
    moved: Condvar,
    bytes_max: usize,
    missing: Missing,
}

#[derive(Default)]
struct LineQueueState {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that found no room since the last one that did, or that the stream refused.
    lost: u64,
    is_writing: bool,
    /// Grows whenever the stream takes something.
    writes: u64,
}

/// The line in place of so many that were lost.
pub(super) fn lost_line(lost: u64) -> String {
    format!("… and {lost} more lines, which nobody read")
}

impl LineSink {
    /// Lines on standard error.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn stderr() -> io::Result<Self> {
        Self::start(io::stderr(), QUEUE_BYTES_MAX, |lost| format!("{}\n", lost_line(lost)).into())
    }

    /// JSON events on standard output; `missing` is the event that tells how many are missing.
    ///
    /// # Errors
    /// As [`LineSink::stderr`].
    pub(crate) fn stdout(missing: Missing) -> io::Result<Self> {
        Self::start(standard::output(), EVENT_BYTES_MAX, missing)
    }

    fn start(out: impl Write + Send + 'static, bytes_max: usize, missing: Missing) -> io::Result<Self> {
        let (filled, moved) = (Condvar::new(), Condvar::new());
        let lines = Self(Arc::new(LineQueue { state: Mutex::default(), filled, moved, bytes_max, missing }));
        let shared = lines.0.clone();
        // It ends with the process: nothing can wake it while it waits for a reader.
        std::thread::Builder::new().name("qft-output".to_owned()).spawn(move || shared.write_to(out))?;
        Ok(lines)
    }

    /// Puts a whole line, with its end, into the queue. Never waits.
    pub(crate) fn push(&self, line: Vec<u8>) {
        let mut state = self.0.state();
        if state.lost > 0 && state.bytes <= self.0.bytes_max / 2 {
            state.tell_lost(self.0.missing);
        }
        match state.lost == 0 && state.bytes + line.len() <= self.0.bytes_max {
            true => state.add(line),
            false => state.lost += 1,
        }
        drop(state);
        self.0.filled.notify_one();
    }

    /// Waits until all is written; gives up when the stream takes nothing for `patience`, unless that is `None`. Says
    /// whether all was.
    pub(crate) fn flush(&self, patience: Option<Duration>) -> bool {
        let mut state = self.0.state();
        while state.has_more() || state.is_writing {
            let before = state.writes;
            state = match patience {
                None => self.0.moved.wait(state).expect("no holder panics"),
                Some(patience) => {
                    let (state, waited) = self.0.moved.wait_timeout(state, patience).expect("no holder panics");
                    if waited.timed_out() && state.writes == before {
                        return false;
                    }
                    state
                }
            };
        }
        true
    }

    /// For who writes bytes; each line goes into the queue when it is whole.
    pub(crate) fn writer(&self) -> LineSplitter {
        LineSplitter { lines: self.clone(), begun: Vec::new() }
    }
}

impl LineQueueState {
    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.queue.push_back(line);
    }

    fn tell_lost(&mut self, missing: Missing) {
        let lost = std::mem::take(&mut self.lost);
        self.add(missing(lost));
    }

    fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes the next lines and says how many they are.
    fn take(&mut self) -> (Vec<u8>, u64) {
        let (mut text, mut count) = (Vec::new(), 0);
        while let Some(line) = self.queue.front()
            && (text.is_empty() || text.len() + line.len() <= WRITE_BYTES_MAX)
        {
            text.extend_from_slice(line);
            count += 1;
            self.queue.pop_front();
        }
        self.bytes -= text.len();
        (text, count)
    }
}

impl LineQueue {
    fn state(&self) -> MutexGuard<'_, LineQueueState> {
        self.state.lock().expect("no holder panics")
    }

    fn write_to(&self, mut out: impl Write) {
        let mut state = self.state();
        loop {
            while !state.has_more() {
                state = self.filled.wait(state).expect("no holder panics");
            }
            let (text, count) = state.take();
            state.is_writing = true;
            drop(state);
            let is_taken = self.write(&mut out, &text);
            state = self.state();
            state.is_writing = false;
            match is_taken {
                Ok(()) if state.lost > 0 && !state.has_more() => state.tell_lost(self.missing),
                Ok(()) => {}
                Err(_) => {
                    // A disk that was full may have room again, and then the log tells of its hole.
                    state.lost += count;
                }
            }
            self.moved.notify_all();
        }
    }

    /// Writes all of it.
    fn write(&self, out: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match out.write(text) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    text = &text[count..];
                    self.state().writes += 1;
                    self.moved.notify_all();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(WOULD_BLOCK_WAIT),
                Err(error) => return Err(error),
            }
        }
        out.flush()
    }
}

/// Cuts bytes into lines for a queue. It takes everything, so whoever writes sees no error.
pub(crate) struct LineSplitter {
    lines: LineSink,
    begun: Vec<u8>,
}

impl Write for LineSplitter {
    fn write(&mut self, raw: &[u8]) -> io::Result<usize> {
        for piece in raw.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.lines.push(std::mem::take(&mut self.begun));
            }
        }
        Ok(raw.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A stream whose reader takes what it wants, or is gone.
    struct SlowStream(SyncSender<Vec<u8>>);

    impl Write for SlowStream {
        fn write(&mut self, raw: &[u8]) -> io::Result<usize> {
            self.0.send(raw.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
            Ok(raw.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn missing(lost: u64) -> Vec<u8> {
        format!("{lost} lost\n").into_bytes()
    }

    fn start(bytes_max: usize) -> (LineSink, Receiver<Vec<u8>>) {
        // Without room in the channel a write lasts until the test reads.
        let (sender, receiver) = sync_channel(0);
        (LineSink::start(SlowStream(sender), bytes_max, missing).expect("a thread"), receiver)
    }

    fn read(reader: &Receiver<Vec<u8>>, until: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(until) {
            text.push_str(&String::from_utf8(reader.recv().expect("more is written")).expect("text"));
        }
        text
    }

    #[test]
    fn a_reader_that_stopped_costs_lines_and_their_number_is_told() {
        let (lines, reader) = start(100);
        let push = |number: u32| lines.push(format!("{number:04}\n").into_bytes());
        push(0);
        // From now on the thread waits for the reader, and what it has taken is known.
        while !lines.0.state().is_writing {
            std::thread::yield_now();
        }
        (1..1000).for_each(push);
        assert!(!lines.flush(Some(Duration::from_millis(1))), "nobody reads");
        let text = read(&reader, "lost\n");
        let kept = text.lines().count() as u64 - 1;
        assert!(text.starts_with("0000\n0001\n") && (20..=40).contains(&kept), "{text}");
        assert!(text.ends_with(&format!("{} lost\n", 1000 - kept)), "{text}");
        lines.push(b"later\n".to_vec());
        assert_eq!(read(&reader, "later\n"), "later\n");
        assert!(lines.flush(None));
    }

    #[test]
    fn a_reader_that_is_gone_is_no_reason_to_stop() {
        let (lines, reader) = start(100);
        drop(reader);
        (0..1000).for_each(|_| lines.push(b"line\n".to_vec()));
        assert!(lines.flush(None));
    }

    #[test]
    fn what_a_full_disk_refused_is_told_when_it_has_room_again() {
        struct FillingDisk(Arc<Mutex<(bool, Vec<u8>)>>);
        impl Write for FillingDisk {
            fn write(&mut self, raw: &[u8]) -> io::Result<usize> {
                let mut disk = self.0.lock().expect("no holder panics");
                if disk.0 {
                    return Err(ErrorKind::StorageFull.into());
                }
                disk.1.extend_from_slice(raw);
                Ok(raw.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let disk = Arc::new(Mutex::new((true, Vec::new())));
        let lines = LineSink::start(FillingDisk(disk.clone()), 100, missing).expect("a thread");
        for line in ["one\n", "two\n"] {
            lines.push(line.into());
            lines.flush(None);
        }
        disk.lock().expect("no holder panics").0 = false;
        lines.push(b"three\n".to_vec());
        lines.flush(None);
        assert_eq!(disk.lock().expect("no holder panics").1, b"2 lost\nthree\n");
    }

    #[test]
    fn bytes_become_lines_when_they_are_whole() {
        let (lines, reader) = start(100);
        let mut writer = lines.writer();
        write!(writer, "a{}", 1).expect("it takes everything");
        assert!(lines.flush(None), "nothing is whole");
        writer.write_all(b"b\nc").expect("it takes everything");
        assert_eq!(read(&reader, "\n"), "a1b\n");
    }
}
