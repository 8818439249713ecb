//! The receiving end: what `session/receiver` carries out, one step at a time.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::content::{Content, Disk, hasher};
use super::network::{Reading, Stream, Streams};
use super::random::Random;
use super::sending::Told;
use super::{Fault, Hazard};
use crate::digest::CHUNK_BYTES;
use crate::protocol::message::{Failure, FileId, Header, IfExists, Kind, Message, Mtime, Status};
use crate::protocol::range::RangeTiming;
use crate::transfer::file::ReceiveFile;
use crate::transfer::file::receive::FileVerdict;
use crate::transfer::file::resume::{self, Basis, Existing, Local, Plan, Policy, Start};
use crate::transfer::job::JobError;
use crate::transfer::job::answers::{
    Answers, AnswersAction, AnswersAttached, AnswersOptions, AnswersReport, Complete, EarlyRange, PrefixProgress,
};
use crate::transfer::job::settled::Settled;

/// What the ledger keeps with each file.
pub(super) struct Side;

impl AnswersAttached for Side {
    type Room = ();
    type Wait = Rc<()>;
    type Io = Rc<Io>;
    type Progress = String;
}

/// Where the content of one file goes.
pub(super) struct Io {
    name: String,
    header: Header,
    start: Start,
    is_given_up: Cell<bool>,
}

/// Work for the disk.
enum Work {
    Hash { id: FileId, io: Rc<Io>, next: u64 },
    Write { id: FileId, io: Rc<Io>, stream: usize, index: u64, byte: u8 },
    Judge(Box<Complete<Side>>),
    Commit { id: FileId, io: Rc<Io> },
    WindUp,
}

pub(super) struct Receiving {
    pub(super) ledger: Answers<Side>,
    pub(super) says: VecDeque<Message>,
    pub(super) told: Vec<Told>,
    pub(super) is_over: bool,
    policy: Policy,
    plans: bool,
    work: Vec<Work>,
    /// Where the ranges go that are being read, and how many of their chunks are stored.
    ranges: HashMap<usize, (Rc<Io>, u64, u64)>,
    /// Streams that wait for an answer.
    waits: HashMap<usize, std::rc::Weak<()>>,
}

impl Receiving {
    pub(super) fn new(is_checked: bool, features: u64) -> Self {
        let mut ledger = Answers::new(AnswersOptions::default());
        ledger.use_features(features);
        let if_exists = IfExists::Replace;
        let policy = Policy { if_exists, checksum: is_checked, resume: true, blind: false, links: true };
        let (says, told, work, ranges, waits) = Default::default();
        Self { ledger, says, told, is_over: false, policy, plans: false, work, ranges, waits }
    }

    /// Carries out what the ledger says.
    pub(super) fn carry_out(&mut self) {
        while let Some(action) = self.ledger.next_action() {
            match action {
                AnswersAction::Say(message) => self.says.push_back(message),
                AnswersAction::Report(AnswersReport::Finished { path, .. }) => {
                    self.told.push(Told::Done(path.to_string()))
                }
                AnswersAction::Report(AnswersReport::Skipped { path, .. }) => {
                    self.told.push(Told::Skipped(path.to_string()))
                }
                AnswersAction::Report(AnswersReport::Failed { name, failure }) => {
                    self.told.push(Told::Failed(String::from_utf8_lossy(&name).into_owned(), failure.status));
                }
                AnswersAction::Report(_) => {}
                AnswersAction::Plan => self.plans = true,
                AnswersAction::HashPrefix(id, io) => self.work.push(Work::Hash { id, io, next: 0 }),
                AnswersAction::GiveUp(io) => io.is_given_up.set(true),
                AnswersAction::WindUp => self.work.push(Work::WindUp),
                AnswersAction::Finish => self.is_over = true,
            }
        }
    }

    pub(super) fn hear(&mut self, message: Message) -> Result<(), JobError> {
        let result = match message {
            Message::Header(header) => self.ledger.on_header(header, || Some(())),
            Message::Tail(tail) => self.ledger.on_tail(tail).map(|complete| self.judge_later(complete)),
            Message::Problem(problem) => {
                self.ledger.on_problem(problem);
                Ok(())
            }
            Message::Cancel(cancel) => self.ledger.on_cancel(cancel),
            Message::Offered => self.ledger.on_offered(),
            Message::End(_) => self.ledger.on_end(),
            Message::GoAway => Ok(()),
            other => unreachable!("no sender says {other:?}"),
        };
        self.carry_out();
        result
    }

    fn judge_later(&mut self, complete: Option<Complete<Side>>) {
        self.work.extend(complete.map(|complete| Work::Judge(Box::new(complete))));
    }

    /// Streams that have something for this end.
    pub(super) fn readable(&self, streams: &Streams) -> Vec<usize> {
        let can_go_on = |stream: &&Stream| match stream.reading {
            Reading::Unseen => true,
            Reading::Waits => self.waits[&stream.number].strong_count() == 0,
            Reading::ToDisk => !stream.under_way.is_empty(),
        };
        streams.open.iter().filter(can_go_on).map(|stream| stream.number).collect()
    }

    /// Reads on in a stream.
    pub(super) fn read(&mut self, number: usize, random: &mut Random, streams: &mut Streams) -> Result<(), JobError> {
        let Some(stream) = streams.open.iter_mut().find(|stream| stream.number == number) else { return Ok(()) };
        let header = stream.header;
        let place = match stream.reading {
            Reading::ToDisk => {
                let (io, ..) = &self.ranges[&number];
                if io.is_given_up.get() {
                    streams.reset(number);
                    return Ok(());
                }
                let (index, byte) = random.take(&mut stream.under_way);
                self.work.push(Work::Write { id: header.id, io: io.clone(), stream: number, index, byte });
                stream.come += 1;
                if stream.come == stream.chunks() {
                    streams.reset(number);
                }
                return Ok(());
            }
            Reading::Unseen if header.timing == RangeTiming::Early => {
                let wait = Rc::new(());
                self.waits.insert(number, Rc::downgrade(&wait));
                if self.ledger.on_early_range(header, wait)? == EarlyRange::Waits {
                    stream.reading = Reading::Waits;
                    return Ok(());
                }
                self.ledger.on_answered(header)?
            }
            Reading::Unseen => self.ledger.on_range(header)?,
            Reading::Waits => self.ledger.on_answered(header)?,
        };
        match place {
            None => streams.reset(number),
            Some(place) => {
                stream.reading = Reading::ToDisk;
                self.ranges.insert(number, (place.io, stream.chunks(), 0));
            }
        }
        Ok(())
    }

    /// How many steps it could take now.
    pub(super) fn steps(&self) -> usize {
        usize::from(self.plans) + self.work.len()
    }

    /// Takes any of them.
    pub(super) fn step(&mut self, random: &mut Random, disk: &mut Disk, settled: Option<&mut Settled>, hazard: Hazard) {
        if self.plans && random.below(self.steps()) == 0 {
            self.plan(disk, settled);
        } else if !self.work.is_empty() {
            let work = random.take(&mut self.work);
            self.do_work(work, random, disk, hazard);
        }
        self.carry_out();
    }

    fn plan(&mut self, disk: &mut Disk, settled: Option<&mut Settled>) {
        let Some(header) = self.ledger.next_to_plan() else {
            self.plans = false;
            return;
        };
        let name = header.path.to_string();
        let was_done = settled.is_some_and(|settled| settled.was_done_before(name.as_bytes()));
        if !self.ledger.is_to_be_planned(header.id, was_done) {
            return;
        }
        let target = disk.files.get(&name).map(|(content, secs)| Existing {
            kind: Kind::File,
            size: content.size,
            mtime: Mtime { secs: *secs, nanos: 1 },
            mode: 0,
        });
        let local = Local { target, part: disk.parts.get(&name).map(|part| part.size), ..Local::default() };
        match resume::decide(&header, &local, &self.policy) {
            Plan::Skip(reason) => self.ledger.skip(header.id, reason),
            Plan::Refuse(failure) => self.ledger.refuse(header.id, failure),
            Plan::Receive(start) => self.open(header, name, start, disk),
            other => unreachable!("there are only files: {other:?}"),
        }
    }

    fn open(&mut self, header: Header, name: String, start: Start, disk: &mut Disk) {
        let part = match start.basis {
            Basis::None => Content::default(),
            Basis::Part => disk.parts[&name].cut(start.from),
            Basis::Target => disk.files[&name].0.cut(start.from),
        };
        disk.parts.insert(name.clone(), part);
        let rules = ReceiveFile::new(header.size, start.from, hasher());
        let io = Rc::new(Io { name: name.clone(), header, start, is_given_up: Cell::new(false) });
        let complete = self.ledger.open(io.header.id, &start, rules, io.clone(), name);
        self.judge_later(complete);
    }

    fn do_work(&mut self, work: Work, random: &mut Random, disk: &mut Disk, hazard: Hazard) {
        let (fault, fails) = (hazard.broken, random.percent(hazard.failing));
        match work {
            Work::Hash { id, .. } if fails => self.ledger.fail(id, Failure::new(Status::ReadFailed, "")),
            Work::Hash { id, io, next } => {
                let held = Content { size: io.header.size, ..disk.parts.get(&io.name).cloned().unwrap_or_default() };
                match self.ledger.on_prefix(id, next, vec![held.digest(next)]) {
                    Some(PrefixProgress::GoesOn) => self.work.push(Work::Hash { id, io, next: next + 1 }),
                    Some(PrefixProgress::Hashed(complete)) => self.judge_later(complete),
                    None => {}
                }
            }
            Work::Write { id, io, stream, index, byte } => {
                if io.is_given_up.get() {
                    return;
                }
                if fails {
                    io.is_given_up.set(true);
                    return self.ledger.fail(id, Failure::new(Status::NoSpace, ""));
                }
                if fault != Some(Fault::ChunkNotWritten) {
                    write(disk, &io, index, byte);
                }
                let mut come = Content { size: io.header.size, chunks: Vec::new() };
                come.write(io.header.size, index, byte);
                let digest = come.digest(index);
                let (_, chunks, stored) = self.ranges.get_mut(&stream).expect("it was placed");
                *stored += 1;
                let ends_range = stored == chunks;
                let complete = self.ledger.on_chunk(id, index, digest, ends_range);
                self.judge_later(complete);
            }
            Work::Judge(mut complete) => {
                let verdict = complete.rules.judge().and_then(|mut judging| judging.step(hasher(), u64::MAX));
                let Complete { id, io, .. } = *complete;
                if verdict == Some(FileVerdict::Right) || fault == Some(Fault::DigestNotCompared) {
                    return self.work.push(Work::Commit { id, io });
                }
                disk.parts.remove(&io.name);
                self.ledger.fail(id, Failure::new(Status::VerifyFailed, ""));
            }
            Work::Commit { id, io } if fails => {
                drop(io);
                self.ledger.fail(id, Failure::new(Status::WriteFailed, ""));
            }
            Work::Commit { id, io } => {
                if fault != Some(Fault::DoneBeforeCommit) {
                    commit(disk, &io);
                }
                self.ledger.on_committed(id);
            }
            Work::WindUp => self.ledger.on_wound_up(),
        }
    }

    /// The connection is lost: of what the disk was told to do, some is done still.
    pub(super) fn lose(&mut self, random: &mut Random, disk: &mut Disk) {
        while !self.work.is_empty() {
            match random.take(&mut self.work) {
                _ if random.percent(50) => {}
                Work::Write { io, index, byte, .. } if !io.is_given_up.get() => write(disk, &io, index, byte),
                Work::Commit { id, io } => {
                    commit(disk, &io);
                    self.ledger.on_committed(id);
                }
                _ => {}
            }
        }
        self.carry_out();
    }
}

fn write(disk: &mut Disk, io: &Io, index: u64, byte: u8) {
    let part = disk.parts.entry(io.name.clone()).or_default();
    part.write(io.header.size, index, byte);
    debug_assert!(index * CHUNK_BYTES < io.header.size && io.start.from <= io.header.size);
}

fn commit(disk: &mut Disk, io: &Io) {
    let mut part = disk.parts.remove(&io.name).unwrap_or_default();
    part.grow(io.header.size);
    disk.files.insert(io.name.clone(), (part, io.header.mtime.secs));
}
