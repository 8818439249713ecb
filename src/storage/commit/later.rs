//! Jobs that failed for want of what this machine is short of now, such as descriptors. They are tried again after a while, so
//! that nobody who waits for them has to.

use std::collections::VecDeque;
use std::time::Instant;

use super::CommitJob;
use crate::storage::error::FILES_WAIT;

/// The jobs that wait, each until its moment.
#[derive(Default)]
pub(super) struct Later(VecDeque<(Instant, CommitJob)>);

impl Later {
    /// Jobs have just failed.
    pub(super) fn add(&mut self, now: Instant, jobs: Vec<CommitJob>) {
        self.0.extend(jobs.into_iter().map(|job| (now + FILES_WAIT, job)));
    }

    /// When the next one is to be tried.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.front().map(|(due, _)| *due)
    }

    /// The next one, if its moment has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<CommitJob> {
        self.0.pop_front_if(|(due, _)| *due <= now).map(|(_, job)| job)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use rustix::io::Errno;

    use super::super::group::CommitGroup;
    use super::super::{CommitWork, Committed, Durability, Told, Touch};
    use super::*;
    use crate::storage::StorageError;
    use crate::storage::error::FILES_WAITS_MAX;
    use crate::storage::testing::{SOME_TIME, TestRoot, fail_sync_with, heal, wire};

    /// A job of which the sync fails with that, and where its outcome is told.
    fn failing(place: &TestRoot, errno: Errno) -> (CommitJob, mpsc::Receiver<Result<Committed, StorageError>>) {
        place.write("a", b"content");
        fail_sync_with(&place.path("a"), errno);
        let source = Arc::new(place.root.open_source(&wire("a")).unwrap());
        let touch = Touch { root: place.root.clone(), source, path: wire("a"), mtime: SOME_TIME, mode: 0o640 };
        let (sender, told) = mpsc::channel();
        let answer = Box::new(move |outcome| drop(sender.send(outcome)));
        (CommitJob { work: CommitWork::Touch(touch), told: Told::new(wire("a"), answer) }, told)
    }

    fn commit(job: CommitJob) -> Option<CommitJob> {
        let mut group = CommitGroup::new(Durability::Synced);
        group.add(job);
        group.commit().pop()
    }

    #[test]
    fn what_fails_for_want_of_something_is_tried_again_and_nobody_hears_of_it() {
        let place = TestRoot::new();
        let (job, told) = failing(&place, Errno::NOMEM);
        let job = commit(job).expect("it is tried again");
        assert!(told.try_recv().is_err(), "nothing is known of it yet");
        heal();
        assert!(commit(job).is_none());
        assert_eq!(told.recv().unwrap().unwrap().path, wire("a"));
    }

    #[test]
    fn what_never_works_is_told_in_the_end_and_what_a_disk_fails_at_is_told_at_once() {
        for (errno, expected) in [(Errno::MFILE, FILES_WAITS_MAX + 1), (Errno::IO, 1)] {
            let place = TestRoot::new();
            let (job, told) = failing(&place, errno);
            let (mut job, mut tries) = (Some(job), 0);
            while let Some(next) = job.take() {
                assert!(told.try_recv().is_err(), "{errno}: {tries}");
                job = commit(next);
                tries += 1;
            }
            heal();
            let error = told.recv().unwrap().unwrap_err();
            assert_eq!((tries, error.cause.raw_os_error()), (expected, Some(errno.raw_os_error())));
        }
    }

    #[test]
    fn a_job_is_due_after_its_wait_and_in_its_turn() {
        let place = TestRoot::new();
        let (mut later, now, tick) = (Later::default(), Instant::now(), Duration::from_millis(1));
        assert!(later.next_due().is_none());
        later.add(now, vec![failing(&place, Errno::MFILE).0]);
        later.add(now + tick, vec![failing(&place, Errno::MFILE).0]);
        heal();
        assert!(later.take_due(now).is_none());
        assert_eq!(later.next_due(), Some(now + FILES_WAIT));
        assert!(later.take_due(now + FILES_WAIT).is_some() && later.take_due(now + FILES_WAIT).is_none());
        assert!(later.take_due(now + FILES_WAIT + tick).is_some() && later.next_due().is_none());
    }
}
