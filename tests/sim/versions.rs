//! All that each source ever was.

use std::collections::BTreeMap;

use crate::protocol::message::Mtime;
use crate::storage::testing::memory::{FileData, Object, Seen, Volume};

#[derive(Default)]
pub(super) struct Versions {
    /// By name, the present one last; `None` when it was not there.
    all: BTreeMap<String, Vec<Option<Seen>>>,
    /// The first of them that counts for the present job.
    since: BTreeMap<String, usize>,
}

impl Versions {
    /// Only those count from now on that are there.
    pub(super) fn begin_job(&mut self, source: &Volume) {
        for (name, seen) in source.look() {
            let versions = self.all.entry(name).or_default();
            if versions.last().and_then(Option::as_ref) != Some(&seen) {
                versions.push(Some(seen));
            }
        }
        self.since = self.all.iter().map(|(name, versions)| (name.clone(), versions.len() - 1)).collect();
    }

    pub(super) fn add(&mut self, name: &str, seen: Option<Seen>) {
        self.all.entry(name.to_owned()).or_default().push(seen);
        self.since.entry(name.to_owned()).or_insert(0);
    }

    /// Versions of a source that it had since the job began.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = &Seen> {
        let since = self.since.get(name).copied().unwrap_or(0);
        self.all.get(name).into_iter().flat_map(move |versions| &versions[since..]).flatten()
    }

    /// Whether something is a version of that source, or the start of one, cut where it once ended.
    pub(super) fn have(&self, name: &str, object: &Object) -> bool {
        let is_start = |data: &FileData| {
            let files = || self.of(name).filter_map(Seen::data);
            files().any(|version| version.size() == data.size())
                && files().any(|version| version.size() >= data.size() && version.cut(data.size()) == *data)
        };
        match object {
            Object::File(data) => is_start(data),
            other => self.of(name).any(|version| version.object == *other),
        }
    }

    /// Whether size and time of what is there are those of a version.
    pub(super) fn have_stamp(&self, name: &str, there: &Seen, step: u64) -> bool {
        let Some(data) = there.data() else { return false };
        let apart = |version: &Seen| (nanos(version.mtime) - nanos(there.mtime)).unsigned_abs();
        let mut files = self.of(name).filter(|version| version.data().is_some());
        files.any(|version| {
            version.data().is_some_and(|version| version.size() == data.size()) && apart(version) < u128::from(step)
        })
    }

    /// Whether something is a version of the source whose name, perhaps in another spelling or stepped aside from, that is.
    pub(super) fn have_in_any_spelling(&self, name: &str, object: &Object) -> bool {
        let plain = |name: &str| {
            let (stem, number) = name.rsplit_once('~').unwrap_or((name, "1"));
            if number.bytes().all(|byte| byte.is_ascii_digit()) { stem.to_lowercase() } else { name.to_lowercase() }
        };
        let names = self.all.keys().filter(|source| plain(source) == plain(name));
        names.into_iter().any(|source| self.have(source, object))
    }
}

fn nanos(time: Mtime) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos)
}
