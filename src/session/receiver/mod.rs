//! The receiving role: offers in, answers out; content to disk; each file judged, committed, reported.
//!
//! Whoever learns something — the control loop, a data stream, a disk thread, the committer — calls the
//! matching `on_` method. It takes the lock, feeds the rules, and acts on what they say.

mod file;
mod plan;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quinn::Connection;
use tokio::sync::Notify;
use tracing::debug;

use self::file::FileIo;
use super::SessionError;
use super::control::Control;
use super::memory::Buffers;
use crate::digest::{CHUNK_BYTES, Digest, Hasher};
use crate::progress::{FileProgress, Observer, Phase};
use crate::protocol::codec::RangeHeader;
use crate::protocol::message::{
    Done, End, Failure, FileId, Have, Header, IfExists, Kind, Message, Mtime, Pos, SkipReason, Status, Tail, Target,
    Verdict,
};
use crate::protocol::path::WirePath;
use crate::protocol::{HAVE_DIGESTS_MAX, HEADERS_AHEAD_MAX};
use crate::storage::Disk;
use crate::storage::Root;
use crate::storage::StorageError;
use crate::storage::{Commit, Committer, Replace};
use crate::transfer::receive::{Receive, Verdict as Judgement};
use crate::transfer::resume::{Basis, Policy, Start};

/// Most files whose new offer is awaited. A sender offers them anew at once, so few are ever waiting.
const CHANGED_MAX: usize = 1024;

/// Whether a name may be written; else why not.
type Allows = dyn Fn(&WirePath) -> Result<(), Failure> + Send + Sync;

/// How a receiver treats what it is offered.
pub(crate) struct ReceiveOptions {
    /// Where files go; nothing outside it is touched.
    pub(crate) root: Root,
    /// Below the root; `None` is the root itself.
    pub(crate) to: Option<WirePath>,
    /// How `to` is to be read.
    pub(crate) target: Target,
    /// What happens to what exists.
    pub(crate) policy: Policy,
    /// Answer, but change nothing.
    pub(crate) dry_run: bool,
    /// The committer will sync what is written.
    pub(crate) durable: bool,
    /// Which names may be written at all; else why not.
    pub(crate) allows: Box<Allows>,
    /// Who alone may continue the partial files of this job; `None` is anyone. A sender that the policy keeps blind
    /// must not learn what others left unfinished.
    pub(crate) owner: Option<String>,
}

/// What a receiver works with.
pub(crate) struct Tools {
    pub(crate) connection: Connection,
    pub(crate) control: Control,
    pub(crate) disk: Disk,
    pub(crate) committer: Committer,
    pub(crate) hasher: Hasher,
    pub(crate) buffers: Buffers,
    pub(crate) observer: Observer,
    /// Where waits happen.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The receiving role of one job. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Shared>);

struct Shared {
    tools: Tools,
    options: ReceiveOptions,
    backlog: stream::Backlog,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    next_id: u64,
    files: HashMap<FileId, File>,
    /// Offers that wait for the disk's word on what is there.
    unplanned: Vec<Header>,
    planning: bool,
    /// Files that the sender gave up because they changed. It offers them anew; what is left here at the end
    /// was not, and has failed.
    changed: HashMap<WirePath, Failure>,
    /// Directories whose time and mode are set last: writing into them changes their time. By name, so that
    /// one that is offered over and over takes no more room.
    directories: BTreeMap<WirePath, (Mtime, u32)>,
    end: Option<End>,
    /// Nothing is left but the directories.
    settling: bool,
    finished: bool,
    /// This end is about to stop: what has not begun is refused.
    ending: bool,
}

/// One offered file that is not settled.
enum File {
    Planning(WirePath),
    Open(Open),
    Committing(Arc<FileProgress>),
}

struct Open {
    /// As it was offered.
    path: WirePath,
    rules: Receive,
    io: Arc<FileIo>,
    progress: Arc<FileProgress>,
}

/// Where the content of one file goes.
struct Place {
    io: Arc<FileIo>,
    progress: Arc<FileProgress>,
}

impl Receiver {
    pub(crate) fn new(tools: Tools, options: ReceiveOptions) -> Self {
        let backlog = stream::Backlog::new(tools.connection.clone());
        Self(Arc::new(Shared { tools, options, backlog, state: Mutex::default(), settled: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder panics")
    }

    /// Feeds a message of the sender's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Header(header) => self.on_header(header),
            Message::Tail(tail) => self.on_tail(tail),
            Message::Problem(problem) => {
                let name = crate::protocol::path::escape(&problem.name).to_string();
                self.0.tools.observer.failed(name, problem.failure);
                Ok(())
            }
            Message::Cancel(cancel) => self.on_cancel(cancel),
            Message::End(end) => self.on_end(end),
            _ => Err(SessionError::Order("a message that only a receiver sends")),
        }
    }

    /// Resolves when the sender has ended and every file is settled.
    pub(crate) async fn finished(&self) {
        loop {
            let notified = self.0.settled.notified();
            if self.state().finished {
                return;
            }
            notified.await;
        }
    }

    /// Begins no more files. For an end that is about to close.
    pub(crate) fn refuse_new(&self) {
        self.state().ending = true;
    }

    /// Whether the sender has ended and every file is settled.
    pub(crate) fn is_finished(&self) -> bool {
        self.state().finished
    }

    /// Whether the connection has ended: nobody waits for what the disk could still find out.
    fn is_over(&self) -> bool {
        self.0.tools.connection.close_reason().is_some()
    }

    /// Whether this side owes the next step: it is planning, hashing, writing or committing.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state();
        state.planning
            || self.0.backlog.is_busy()
            || state.files.values().any(|file| match file {
                File::Planning(_) | File::Committing(_) => true,
                File::Open(open) => open.rules.is_hashing(),
            })
    }

    fn on_header(&self, header: Header) -> Result<(), SessionError> {
        if header.kind != Kind::Dir {
            self.0.tools.observer.found(&header.path.to_string(), header.size);
        }
        let mut state = self.state();
        if header.id.0 != state.next_id {
            return Err(SessionError::Order("file ids do not count up"));
        }
        if state.files.len() >= HEADERS_AHEAD_MAX {
            return Err(SessionError::Order("too many files offered at once"));
        }
        if state.end.is_some() {
            return Err(SessionError::Order("a file offered after the end"));
        }
        state.next_id += 1;
        state.changed.remove(&header.path);
        state.files.insert(header.id, File::Planning(header.path.clone()));
        state.unplanned.push(header);
        if !std::mem::replace(&mut state.planning, true) {
            let receiver = self.clone();
            self.0.tools.disk.spawn(move || receiver.plan_all());
        }
        Ok(())
    }

    fn on_tail(&self, tail: Tail) -> Result<(), SessionError> {
        let id = tail.id;
        let mut guard = self.state();
        let state = &mut *guard;
        match state.files.get_mut(&id) {
            Some(File::Open(open)) => open.rules.on_tail(tail)?,
            // It failed here while the tail was on its way.
            None if id.0 < state.next_id => return Ok(()),
            _ => return Err(SessionError::Order("a tail for a file that is not open")),
        }
        drop(guard);
        self.judge(id);
        Ok(())
    }

    fn on_cancel(&self, cancel: Done) -> Result<(), SessionError> {
        let mut state = self.state();
        if cancel.id.0 >= state.next_id {
            return Err(SessionError::Order("a cancel for a file that was never offered"));
        }
        let path = match state.files.remove(&cancel.id) {
            Some(File::Open(open)) => {
                open.io.give_up();
                open.path
            }
            Some(File::Planning(path)) => path,
            // It is complete and right: its `Done` is as good as said.
            Some(committing @ File::Committing(_)) => {
                state.files.insert(cancel.id, committing);
                return Ok(());
            }
            None => return Ok(()),
        };
        let failure = cancel.failure.unwrap_or_else(|| Failure::new(Status::Cancelled, "its sender gave it up"));
        if failure.status == Status::Changed && state.changed.len() < CHANGED_MAX {
            state.changed.insert(path, failure);
            drop(state);
        } else {
            drop(state);
            self.0.tools.observer.failed(path.to_string(), failure);
        }
        self.settle();
        Ok(())
    }

    fn on_end(&self, end: End) -> Result<(), SessionError> {
        if self.state().end.replace(end).is_some() {
            return Err(SessionError::Order("a second end"));
        }
        self.0.tools.observer.scan_ended();
        self.settle();
        Ok(())
    }
}

/// Outcomes of planning.
impl Receiver {
    fn on_skip(&self, header: &Header, reason: SkipReason) {
        if header.kind != Kind::Dir {
            self.0.tools.observer.skipped(header.path.to_string(), header.size, reason);
        }
        self.close(header.id, answer(header.id, Verdict::Skip(reason)), |_| ());
    }

    fn on_refuse(&self, header: &Header, failure: Failure) {
        if failure.status != Status::Cancelled {
            self.0.tools.observer.failed(header.path.to_string(), failure.clone());
        }
        self.close(header.id, answer(header.id, Verdict::Refuse(failure)), |_| ());
    }

    fn on_made(&self, header: &Header, path: &WirePath, directory: bool) {
        if directory {
            self.state().directories.insert(path.clone(), (header.mtime, header.mode));
        }
        self.on_skip(header, SkipReason::Made);
    }

    fn on_start(&self, header: &Header, path: WirePath, start: Start) {
        let progress = Arc::new(FileProgress::new(header.path.to_string(), header.size, start.from, start.why));
        if self.0.options.dry_run {
            self.0.tools.observer.event(crate::progress::Event::Planned {
                path: progress.path.clone(),
                size: header.size,
                from: start.from,
                why: start.why,
            });
            let verdict = Verdict::From { offset: start.from, why: start.why };
            return self.close(header.id, answer(header.id, verdict), |_| ());
        }
        let io = Arc::new(FileIo::new(&self.0.options, path, header, start));
        let rules = Receive::new(header.size, start.from);
        let hash_prefix = rules.prefix_chunks() > 0;
        if hash_prefix {
            progress.set_phase(Phase::Checking);
        }
        let mut state = self.state();
        // It may have been cancelled while the disk was asked.
        let Some(file) = state.files.get_mut(&header.id) else { return };
        *file = File::Open(Open { path: header.path.clone(), rules, io: io.clone(), progress: progress.clone() });
        drop(state);
        self.0.tools.observer.started(&progress);
        let verdict = Verdict::From { offset: start.from, why: start.why };
        self.0.tools.control.send(answer(header.id, verdict));
        if hash_prefix {
            let (receiver, id) = (self.clone(), header.id);
            self.0.tools.disk.spawn(move || receiver.hash_prefix(id, &io, 0, 0));
        }
    }
}

fn answer(id: FileId, verdict: Verdict) -> Message {
    Message::Pos(Pos { id, verdict })
}

/// Chunks hashed before a [`Have`] is sent and the disk thread takes other work: 32 MiB, so that the
/// first answers and the first repairs do not wait for the whole prefix.
const PREFIX_CHUNKS_A_TURN: u64 = 32;
const _: () = assert!(PREFIX_CHUNKS_A_TURN <= HAVE_DIGESTS_MAX as u64);

/// Chunks read and hashed in one call: 32 leaves fill the widest SIMD schedule.
const CHUNKS_AT_ONCE: u64 = 2;

/// Checking what is there.
impl Receiver {
    /// On a disk thread: hashes some chunks before the start, offers them, and queues the next turn.
    fn hash_prefix(&self, id: FileId, io: &Arc<FileIo>, first: u64, waits: u32) {
        if self.is_over() {
            return;
        }
        let last = io.prefix_chunks().min(first + PREFIX_CHUNKS_A_TURN);
        match self.hash_chunks(io, first..last) {
            Ok(digests) => self.on_prefix(id, io, first, digests),
            Err(error) if self.may_wait(&error, waits) => {
                let (receiver, io) = (self.clone(), io.clone());
                self.later(move || receiver.hash_prefix(id, &io, first, waits + 1));
            }
            Err(error) => self.fail(id, (&error).into()),
        }
    }

    fn hash_chunks(&self, io: &FileIo, chunks: std::ops::Range<u64>) -> Result<Vec<Digest>, StorageError> {
        let mut digests = Vec::with_capacity((chunks.end - chunks.start) as usize);
        let mut buffer = vec![0; (CHUNKS_AT_ONCE * CHUNK_BYTES) as usize];
        for first in chunks.clone().step_by(CHUNKS_AT_ONCE as usize) {
            let start = first * CHUNK_BYTES;
            let end = (chunks.end * CHUNK_BYTES).min(start + buffer.len() as u64).min(io.from());
            let wanted = &mut buffer[..(end - start) as usize];
            io.read_prefix(wanted, start)?;
            digests.extend(self.0.tools.hasher.chunks(wanted));
        }
        Ok(digests)
    }

    fn on_prefix(&self, id: FileId, io: &Arc<FileIo>, first: u64, digests: Vec<Digest>) {
        let next = first + digests.len() as u64;
        let mut state = self.state();
        let Some(File::Open(open)) = state.files.get_mut(&id) else { return };
        open.rules.on_prefix(&digests);
        // Sent under the lock: a repair may only be accepted once its digest is on its way.
        self.0.tools.control.send(Message::Have(Have { id, first, digests }));
        if next < io.prefix_chunks() {
            let (receiver, io) = (self.clone(), io.clone());
            self.0.tools.disk.spawn(move || receiver.hash_prefix(id, &io, next, 0));
            return;
        }
        open.progress.set_phase(Phase::Moving);
        drop(state);
        self.judge(id);
    }
}

/// How often, and how many times, a partial file that another transfer holds is tried again. Three seconds
/// outlast the ghost of this client's own lost connection; a living transfer of the same file does not end
/// that soon.
const BUSY_WAIT: Duration = Duration::from_millis(200);
const BUSY_WAITS_MAX: u32 = 15;

/// The same when this process has too many files open: the committer closes hundreds a second.
const FILES_WAITS_MAX: u32 = 150;

/// Waiting for a partial file.
impl Receiver {
    fn may_wait(&self, error: &StorageError, waits: u32) -> bool {
        let limit = match error.status() {
            Status::Busy => BUSY_WAITS_MAX,
            _ if error.is_out_of_files() => FILES_WAITS_MAX,
            _ => 0,
        };
        waits < limit
    }

    /// Runs `work` on a disk thread after [`BUSY_WAIT`], which no disk thread sits out.
    fn later(&self, work: impl FnOnce() + Send + 'static) {
        let disk = self.0.tools.disk.clone();
        self.0.tools.runtime.spawn(async move {
            tokio::time::sleep(BUSY_WAIT).await;
            disk.spawn(work);
        });
    }
}

/// Content and its end.
impl Receiver {
    /// A data stream announces its range. `None`: the file is settled already, nobody wants the bytes.
    fn open_range(&self, header: RangeHeader) -> Result<Option<Place>, SessionError> {
        let mut guard = self.state();
        let state = &mut *guard;
        match state.files.get_mut(&header.id) {
            Some(File::Open(open)) => {
                open.rules.on_range(header.offset, header.len)?;
                Ok(Some(Place { io: open.io.clone(), progress: open.progress.clone() }))
            }
            None if header.id.0 < state.next_id => Ok(None),
            _ => Err(SessionError::Order("content for a file that is not open")),
        }
    }

    fn on_chunk(&self, id: FileId, index: u64, digest: Digest) {
        if let Some(File::Open(open)) = self.state().files.get_mut(&id) {
            open.rules.on_chunk(index, digest);
        }
    }

    fn on_range_stored(&self, id: FileId) {
        if let Some(File::Open(open)) = self.state().files.get_mut(&id) {
            open.rules.on_range_stored();
        }
        self.judge(id);
    }

    /// Commits a file that is complete and right; drops one that is complete and wrong.
    fn judge(&self, id: FileId) {
        let mut state = self.state();
        let Some(File::Open(open)) = state.files.get(&id) else { return };
        if !open.rules.is_complete() {
            return;
        }
        let progress = open.progress.clone();
        progress.set_phase(Phase::Committing);
        let Some(File::Open(open)) = state.files.insert(id, File::Committing(progress)) else {
            unreachable!("the lock was held since the file was seen open")
        };
        drop(state);
        let receiver = self.clone();
        // The root of a file that claims to be huge takes long, and touching the old version is disk work.
        self.0.tools.disk.spawn(move || receiver.commit(id, open));
    }

    /// On a disk thread: compares the whole file's digest and hands the file to the committer.
    fn commit(&self, id: FileId, open: Open) {
        if open.rules.verdict(&self.0.tools.hasher) != Judgement::Right {
            open.io.discard_on_drop();
            drop(open);
            let text = "the content that arrived is not what was sent; send it again";
            return self.fail(id, Failure::new(Status::VerifyFailed, text));
        }
        match open.io.finish(!open.rules.has_ranges()) {
            Ok(Some(part)) => self.submit(id, part, &open.io),
            Ok(None) => self.on_committed(id, Ok(())),
            Err(error) => self.on_committed(id, Err(error)),
        }
    }

    fn submit(&self, id: FileId, part: crate::storage::Part, io: &FileIo) {
        let receiver = self.clone();
        let commit = Commit {
            part,
            size: io.size(),
            mtime: io.mtime(),
            mode: io.mode(),
            replace: match self.0.options.policy.if_exists {
                IfExists::Replace => Replace::Yes,
                IfExists::Rename => Replace::RenameFree,
                _ => Replace::No,
            },
        };
        let done = Box::new(move |result: Result<WirePath, StorageError>| {
            receiver.on_committed(id, result.map(|_| ()));
        });
        self.0.tools.committer.submit(commit, done);
    }

    fn on_committed(&self, id: FileId, result: Result<(), StorageError>) {
        if let Err(error) = result {
            return self.fail(id, (&error).into());
        }
        self.close(id, Message::Done(Done { id, failure: None }), |file| {
            if let File::Committing(progress) = file {
                self.0.tools.observer.finished(progress);
            }
        });
    }

    /// Gives one file up and tells the sender why; its partial file stays for a later resume.
    fn fail(&self, id: FileId, failure: Failure) {
        let last_word = Message::Done(Done { id, failure: Some(failure.clone()) });
        self.close(id, last_word, |file| {
            let name = match file {
                File::Open(open) => {
                    open.io.give_up();
                    open.progress.path.clone()
                }
                File::Committing(progress) => progress.path.clone(),
                File::Planning(path) => path.to_string(),
            };
            debug!(%name, %failure, "file failed");
            self.0.tools.observer.failed(name, failure);
        });
    }

    /// Forgets a file, says how it ended, and reports it, in one step: a sender that hears of the end offers the
    /// next file at once, which must find room; and nobody may see the last file gone before its end is said and
    /// counted. Nothing happens when it was settled before, by a cancel or on another thread.
    fn close(&self, id: FileId, last_word: Message, report: impl FnOnce(&File)) {
        let mut state = self.state();
        let Some(file) = state.files.remove(&id) else { return };
        self.0.tools.control.send(last_word);
        report(&file);
        drop(state);
        // A part may go with it, which takes a system call.
        drop(file);
        self.settle();
    }

    /// Ends the job, once, when nothing is left: directories get their times, then the sender hears of it.
    fn settle(&self) {
        let mut state = self.state();
        if state.end.is_none() || !state.files.is_empty() || std::mem::replace(&mut state.settling, true) {
            return;
        }
        let directories = std::mem::take(&mut state.directories);
        drop(state);
        if directories.is_empty() {
            return self.finish_job();
        }
        let receiver = self.clone();
        self.0.tools.disk.spawn(move || {
            receiver.finish_directories(directories);
            receiver.finish_job();
        });
    }

    fn finish_job(&self) {
        let changed = std::mem::take(&mut self.state().changed);
        for (path, failure) in changed {
            self.0.tools.observer.failed(path.to_string(), failure);
        }
        self.state().finished = true;
        self.0.tools.control.send(Message::Settled);
        self.0.settled.notify_waiters();
    }

    fn finish_directories(&self, directories: BTreeMap<WirePath, (Mtime, u32)>) {
        // Innermost first: setting a child's metadata must not touch a parent that is done.
        for (path, (mtime, mode)) in directories.into_iter().rev() {
            if let Err(error) = self.0.options.root.set_dir_meta(&path, mtime, mode) {
                self.0.tools.observer.event(crate::progress::Event::Note(error.to_string()));
            }
        }
    }
}

impl Start {
    /// Whether the partial file starts again from nothing.
    fn is_fresh(&self) -> bool {
        self.basis != Basis::Part
    }
}
