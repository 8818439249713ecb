//! What must hold, whatever has happened.

use std::collections::{BTreeMap, BTreeSet};

use super::setup::{Setup, is_part, path};
use super::told::Told;
use super::versions::Versions;
use crate::progress::{Counters, Event};
use crate::protocol::message::{IfExists, SkipReason};
use crate::storage::kept_mode;
use crate::storage::testing::memory::{Object, Seen, Volume};

/// Watches one world.
#[derive(Default)]
pub(super) struct Judge {
    versions: Versions,
    /// Names that were there all the time.
    steady: BTreeSet<String>,
    /// What stood at the target when the job began.
    before: BTreeMap<String, Seen>,
    /// Of those, what need not be there after a power cut: somebody wrote it and did not sync it.
    unsynced: BTreeSet<String>,
    /// What others have taken away there; after a power cut it may be back.
    taken: BTreeSet<String>,
    /// What others have put at the target during the job. Where the disk folds, by names in lower case: others may have found
    /// the file under another spelling.
    others: BTreeMap<String, Vec<Option<Object>>>,
    /// What each name was said to be, to the client.
    pub(super) told: BTreeMap<String, Told>,
    /// Under which names at the target is what was said to be there, for good.
    kept: BTreeMap<String, Object>,
    /// Names there that differ in case alone are one.
    folds: bool,
    /// Files that were called the same by size and time alone, and were not.
    pub(super) mistaken_by_stamp: usize,
}

impl Judge {
    /// A job begins.
    pub(super) fn begin_job(&mut self, setup: &Setup, source: &Volume, target: &Volume) {
        self.folds = target.folds();
        if !setup.durable {
            self.kept.clear();
        }
        if target.is_synced() {
            self.taken.clear();
        }
        if !target.is_synced() || !setup.durable {
            let all = target.look().into_keys().chain(self.taken.iter().cloned());
            self.unsynced = all.filter(|name| !self.kept.contains_key(name)).collect();
        }
        self.versions.begin_job(source);
        let is_there = |(_, seen): &(String, Seen)| !matches!(seen.object, Object::Dir(_));
        self.steady = source.look().into_iter().filter(is_there).map(|(name, _)| name).collect();
        self.before = target.look();
        (self.others, self.told) = Default::default();
    }

    pub(super) fn source_changed(&mut self, name: &str, seen: Option<Seen>) {
        if seen.is_none() {
            self.steady.remove(name);
        }
        self.versions.add(name, seen);
    }

    pub(super) fn target_changed(&mut self, name: &str, seen: Option<Seen>) {
        self.forget_kept(name);
        self.unsynced.insert(name.to_owned());
        if seen.is_none() {
            self.taken.insert(name.to_owned());
        }
        self.others.entry(self.spelt(name)).or_default().push(seen.map(|seen| seen.object));
    }

    /// What is promised of a name, in any spelling that is the same to the disk, counts no more.
    fn forget_kept(&mut self, name: &str) {
        if self.folds {
            self.kept.retain(|kept, _| kept.to_lowercase() != name.to_lowercase());
        } else {
            self.kept.remove(name);
        }
    }

    /// A name as the disk compares it.
    fn spelt(&self, name: &str) -> String {
        if self.folds { name.to_lowercase() } else { name.to_owned() }
    }

    /// What others have made of a name; empty where nobody has.
    fn of_others(&self, name: &str) -> &[Option<Object>] {
        self.others.get(&self.spelt(name)).map_or(&[], Vec::as_slice)
    }

    fn is_of_others(&self, name: &str, object: &Object) -> bool {
        self.of_others(name).iter().any(|other| other.as_ref() == Some(object))
    }

    /// Something is said to the client, or to whoever watches the server: it must be true at that moment.
    pub(super) fn hear(
        &mut self,
        event: &Event,
        is_client: bool,
        setup: &Setup,
        target: &Volume,
    ) -> Result<(), String> {
        let Some((name, told)) = Told::of(event) else { return Ok(()) };
        if !setup.dry_run && matches!(told, Told::Done | Told::Skipped(_)) {
            let named = if let Event::Finished { file } = event { file.name() } else { None };
            self.check_told(name, named, told, setup, target)?;
        }
        if (told == Told::Planned) != setup.dry_run && !matches!(told, Told::Skipped(_) | Told::Failed) {
            return Err(format!("{name} is {told:?}, in a job of another kind"));
        }
        if is_client {
            self.told.insert(name.to_owned(), told);
        }
        Ok(())
    }

    fn check_told(
        &mut self,
        name: &str,
        named: Option<&str>,
        told: Told,
        setup: &Setup,
        target: &Volume,
    ) -> Result<(), String> {
        let own = path(name);
        let dir = own.parent().map_or_else(String::new, |dir| format!("{dir}/"));
        let names: Vec<String> = match (named, setup.policy.if_exists) {
            (Some(named), _) => vec![format!("{dir}{named}")],
            (None, IfExists::Rename) => {
                let asides = crate::transfer::commit::asides(&own).take(9).map(|aside| aside.to_string());
                [name.to_owned()].into_iter().chain(asides).collect()
            }
            (None, _) => vec![name.to_owned()],
        };
        // What an earlier connection has found in the way is not asked for over a later one.
        let was_in_the_way = self.told.get(name) == Some(&Told::Skipped(SkipReason::Exists));
        let there: Vec<_> = names.iter().filter_map(|name| Some((name, target.seen(&path(name))?))).collect();
        let right: Vec<_> = there.iter().filter(|(_, seen)| self.versions.have(name, &seen.object)).cloned().collect();
        if let Some((at, seen)) = right.first() {
            // Of what was in the way nothing is promised, also where a later connection calls it settled; nobody knows which of
            // several equal ones is meant; and what another program has put there, equal as it may be, it has to sync itself.
            let is_in_the_way = told == Told::Skipped(SkipReason::Exists) || was_in_the_way;
            let is_promise = !is_in_the_way && right.len() == 1 && !self.is_of_others(at, &seen.object);
            if setup.durable && is_promise {
                self.forget_kept(at);
                self.kept.insert((*at).clone(), seen.object.clone());
                self.unsynced.remove(*at);
            }
            return Ok(());
        }
        let step = target.time_step();
        let compares = setup.policy.checksum && setup.policy.if_exists == IfExists::Replace;
        for (at, seen) in &there {
            let is_by_stamp = told == Told::Skipped(SkipReason::Same) || told == Told::Skipped(SkipReason::Mode);
            if is_by_stamp && !compares && self.versions.have_stamp(name, seen, step) {
                self.mistaken_by_stamp += 1;
                return Ok(());
            }
            // What was in the way of a lost connection may have been found late, when the name had failed over the next one:
            // then nobody was told.
            let is_left = setup.policy.if_exists == IfExists::Skip
                && self.told.get(name) == Some(&Told::Failed)
                && self.before.get(*at).is_some_and(|before| before.object == seen.object);
            let is_in_the_way = told == Told::Skipped(SkipReason::Exists) || was_in_the_way || is_left;
            if is_in_the_way || self.is_of_others(at, &seen.object) {
                return Ok(());
            }
        }
        // Somebody has taken it away since.
        if names.iter().any(|name| self.of_others(name).last() == Some(&None)) {
            return Ok(());
        }
        Err(format!("{name} is {told:?}, and {there:?} is there"))
    }

    /// A power cut, or the end of the job: every final name is what it was, or whole.
    pub(super) fn check_names(&mut self, setup: &Setup, target: &Volume, is_power_cut: bool) -> Result<(), String> {
        let now = target.look();
        for (name, object) in &self.kept {
            let there = target.seen(&path(name)).map(|seen| seen.object);
            let is_newer = there.as_ref().is_some_and(|there| self.versions.have_in_any_spelling(name, there));
            if there.as_ref() != Some(object) && !is_newer {
                return Err(format!("{name} was said to be {object:?}, and is {there:?}"));
            }
        }
        // A later version has taken the place of what was promised, also where it was called failed: then its name may not be
        // synced.
        self.kept.retain(|name, object| target.seen(&path(name)).is_some_and(|there| there.object == *object));
        for (name, seen) in &now {
            let is_old = self.before.get(name).is_some_and(|before| before.object == seen.object);
            let is_torn_by_others = is_power_cut && self.unsynced.contains(name);
            if is_part(name)
                || matches!(seen.object, Object::Dir(_))
                || is_old
                || is_torn_by_others
                || self.is_of_others(name, &seen.object)
                || self.versions.have_in_any_spelling(name, &seen.object)
            {
                continue;
            }
            // What nobody wanted to be durable may be anything.
            if is_power_cut && !setup.durable {
                continue;
            }
            return Err(format!("{name} is {:?}, which nothing ever was", seen.object));
        }
        if is_power_cut {
            // What it has left is what there is from now on.
            let torn = self.unsynced.iter().chain(self.before.keys());
            let lost: Vec<_> = torn.filter(|name| !setup.durable || self.unsynced.contains(*name)).cloned().collect();
            for name in lost {
                match now.get(&name) {
                    Some(seen) => drop(self.before.insert(name, seen.clone())),
                    None => drop(self.before.remove(&name)),
                }
            }
            // A dry run makes nothing: a part of before may be back.
            if !setup.durable || setup.dry_run {
                self.before.extend(now);
            }
            self.unsynced.clear();
            self.taken.clear();
        }
        Ok(())
    }

    /// The job has come to its end: everything that was there all the time has been told of.
    pub(super) fn check_end(&mut self, setup: &Setup, target: &Volume, counters: &Counters) -> Result<(), String> {
        self.check_names(setup, target, false)?;
        for name in &self.steady {
            if !self.told.contains_key(name) {
                return Err(format!("{name} is forgotten: {:?}", self.told));
            }
        }
        let counted: u64 = [&counters.files_done, &counters.files_skipped, &counters.files_failed]
            .map(Counters::read)
            .into_iter()
            .sum();
        let settled = self.told.values().filter(|told| **told != Told::Planned).count();
        if counted != settled as u64 {
            return Err(format!("{counted} are counted, and {settled} were told of: {:?}", self.told));
        }
        self.check_kept(setup, target)
    }

    /// What may not be replaced is what it was.
    pub(super) fn check_kept(&self, setup: &Setup, target: &Volume) -> Result<(), String> {
        if setup.policy.if_exists == IfExists::Replace && !setup.dry_run {
            return Ok(());
        }
        for (name, before) in &self.before {
            let is_dir = matches!(before.object, Object::Dir(_));
            if is_part(name) || is_dir || !self.of_others(name).is_empty() {
                continue;
            }
            let there = target.seen(&path(name)).map(|seen| seen.object);
            if there.as_ref() != Some(&before.object) {
                return Err(format!("{name} was {:?} and is {there:?}: it may not be replaced", before.object));
            }
        }
        if setup.dry_run {
            let new = target
                .look()
                .into_keys()
                .find(|name| !self.before.contains_key(name) && self.of_others(name).is_empty());
            return new.map_or(Ok(()), |name| Err(format!("a dry run has made {name}")));
        }
        Ok(())
    }

    /// Nothing has gone wrong in the job: nothing has failed either, and what was sent has the time and mode of its source.
    pub(super) fn check_undisturbed(
        &self,
        setup: &Setup,
        target: &Volume,
        other_end: &BTreeMap<String, Told>,
    ) -> Result<(), String> {
        let kinds = |told: &BTreeMap<String, Told>| -> Vec<_> {
            told.iter().map(|(name, told)| (name.clone(), std::mem::discriminant(told))).collect()
        };
        if kinds(other_end) != kinds(&self.told) {
            return Err(format!("one end tells of {:?}, the other of {other_end:?}", self.told));
        }
        for (name, told) in &self.told {
            if *told == Told::Failed && !self.may_fail(name, setup, target) {
                return Err(format!("{name} failed, and nothing was wrong"));
            }
            let is_same = *told == Told::Done && setup.policy.if_exists == IfExists::Replace && !target.folds();
            let (Some(there), Some(version)) = (target.seen(&path(name)), self.versions.of(name).last()) else {
                continue;
            };
            if is_same
                && (there.mode & 0o777 != kept_mode(version.mode) || there.mtime != target.kept_time(version.mtime))
            {
                return Err(format!("{name} is {there:?}, and was sent as {version:?}"));
            }
        }
        Ok(())
    }

    fn may_fail(&self, name: &str, setup: &Setup, target: &Volume) -> bool {
        let is_link = self.versions.of(name).any(|version| matches!(version.object, Object::Link(_)));
        let may_not_link = is_link && (!setup.policy.links || setup.policy.blind);
        let has_twin = target.folds();
        may_not_link
            || has_twin
            || !target.keeps_all()
            || setup.policy.if_exists == IfExists::Fail
            || self.is_in_the_way(name)
    }

    /// Whether something of another kind stands where it, or a directory above it, goes.
    fn is_in_the_way(&self, name: &str) -> bool {
        let mut above = path(name).parent();
        while let Some(dir) = above {
            if self.before.get(&dir.to_string()).is_some_and(|there| !matches!(there.object, Object::Dir(_))) {
                return true;
            }
            above = dir.parent();
        }
        self.before.get(name).is_some_and(|there| matches!(there.object, Object::Dir(_)))
    }
}
