//! What is there already: it must be as safe as what is sent, and have all that is carried over.

use std::sync::Arc;

use super::Receiver;
use crate::protocol::message::{Header, Mtime, SkipReason};
use crate::protocol::path::WirePath;
use crate::storage::{Committed, StorageError, Touch};
use crate::transfer::resume::{self, COARSEST_STEP, Existing, Keeps};

impl Receiver {
    /// What is there already is as good as sent, and so it has to be as safe: whoever made it may have been killed
    /// before its name was durable.
    pub(super) fn skip_same(&self, header: &Header, path: WirePath) -> Result<(), StorageError> {
        if self.is_in_doubt(&path)? {
            self.after_names(header, path, |receiver, header| receiver.on_skip(header, SkipReason::Same));
        } else {
            self.on_skip(header, SkipReason::Same);
        }
        Ok(())
    }

    /// Whether the name of what is there, or of a directory above it, is to be made durable before anybody relies on it.
    /// True for the first of a directory in each job.
    pub(super) fn is_in_doubt(&self, path: &WirePath) -> Result<bool, StorageError> {
        let options = &self.0.options;
        if !options.durable || options.dry_run {
            return Ok(false);
        }
        self.doubt(path)?;
        options.root.is_in_doubt(path)
    }

    /// Doubts them where that matters.
    pub(super) fn in_doubt(&self, path: &WirePath) -> Result<(), StorageError> {
        if self.0.options.durable { self.doubt(path) } else { Ok(()) }
    }

    /// Doubts the names that lead to `path`, each directory of them once.
    fn doubt(&self, path: &WirePath) -> Result<(), StorageError> {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            let parent = path.parent();
            if !self.state().doubted.insert(parent.clone()) {
                return Ok(());
            }
            self.0.options.root.doubt_names(&path)?;
            at = parent;
        }
        Ok(())
    }

    /// Gives what is there the permission bits of what is on offer.
    pub(super) fn set_mode(&self, header: &Header, path: WirePath) -> Result<(), StorageError> {
        let options = &self.0.options;
        if options.dry_run {
            self.on_skip(header, SkipReason::Mode);
            return Ok(());
        }
        let source = match options.root.open_source(&path) {
            Ok(source) => Arc::new(source),
            // A file that we may not even open is not ours to change; its content is the right one.
            Err(error) => {
                self.remark_unset(&error);
                return self.skip_same(header, path);
            }
        };
        self.in_doubt(&path)?;
        let (receiver, header, mode) = (self.clone(), header.clone(), header.mode);
        let touch = Touch { root: options.root.clone(), source, path, mtime: header.mtime, mode };
        let touched = touch.source.clone();
        let done = Box::new(move |result: Result<Committed, StorageError>| match result {
            Ok(Committed { unset, .. }) => {
                unset.iter().for_each(|error| receiver.remark_unset(error));
                // Some file systems have one mode for all files, and say that they have set another.
                let is_set = unset.is_none() && touched.has_mode(mode);
                receiver.on_skip(&header, if is_set { SkipReason::Mode } else { SkipReason::Same });
            }
            Err(error) => receiver.on_refuse(&header, (&error).into()),
        });
        self.0.tools.committer.submit_touch(touch, done);
        Ok(())
    }

    /// What the disk keeps of an offer, to be held against what is there.
    pub(super) fn keeps(&self, header: &Header, path: &WirePath, there: Option<&Existing>) -> Keeps {
        let asked = there.filter(|there| resume::may_be_rounded(header, there));
        let time_step = asked.map_or(1, |there| self.time_step(path, there));
        Keeps { mode: crate::storage::kept_mode(header.mode), time_step }
    }

    /// The step of time stamps of the disk there: asked once a job.
    fn time_step(&self, path: &WirePath, there: &Existing) -> u64 {
        if self.0.options.dry_run {
            // Nothing may be made to ask. At worst a file is called the same that differs by less than two seconds.
            return guessed_step(there.mtime);
        }
        let known = self.state().time_step;
        known.unwrap_or_else(|| {
            let step = self.0.options.root.time_step(path).unwrap_or_else(|error| {
                tracing::debug!(%error, "nobody says how fine times are; they are compared as they are");
                1
            });
            self.state().time_step = Some(step);
            step
        })
    }
}

/// The coarsest step, a power of ten or that of FAT, that a time is a multiple of.
fn guessed_step(time: Mtime) -> u64 {
    if time.nanos == 0 {
        return if time.secs % 2 == 0 { COARSEST_STEP } else { COARSEST_STEP / 2 };
    }
    let mut steps = (0..9).rev().map(|power| 10_u64.pow(power));
    steps.find(|step| u64::from(time.nanos).is_multiple_of(*step)).unwrap_or(1)
}
