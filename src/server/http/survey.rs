//! Figures that need the disk: looked at every now and then, on a thread of its own, so that a disk that hangs keeps
//! no request waiting.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;

use super::super::ServerInner;
use super::super::history::{self, HistoryEntry, Sums};
use crate::storage::{Disk, OpenQueue, PartSearch, Root};

/// How often the disk is asked for its room.
const FREE_EVERY: Duration = Duration::from_secs(10);
/// How often the history is read, while somebody looks at the page.
const DAYS_EVERY: Duration = Duration::from_secs(60);
/// How often unfinished files are looked for, while somebody looks at the page.
const PARTS_EVERY: Duration = Duration::from_secs(5 * 60);
/// A search that takes long is made the less often: no more than this part of the time.
const PARTS_SHARE: u32 = 20;
/// The value for a disk that has not answered yet.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Survey {
    home: Option<PathBuf>,
    free: AtomicU64,
    slow: Mutex<SurveyResult>,
    /// Somebody has begun to look at the page.
    pub(super) wanted: Notify,
    is_over: Arc<AtomicBool>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct UnfinishedCount {
    files: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct SurveyResult {
    parts: Option<UnfinishedCount>,
    parts_at: Option<Instant>,
    parts_pause: Duration,
    days: Arc<Vec<Sums>>,
    days_at: Option<Instant>,
    /// Grows when the days become others.
    version: u64,
}

impl Survey {
    pub(super) fn new(home: Option<PathBuf>) -> Self {
        let (free, slow) = (AtomicU64::new(UNKNOWN), Mutex::default());
        Self { home, free, slow, wanted: Notify::new(), is_over: Arc::default() }
    }

    /// Free bytes where the directory lies, if the disk has told.
    pub(super) fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Relaxed)).filter(|free| *free != UNKNOWN)
    }

    /// Unfinished files, if they have been looked for.
    pub(super) fn parts(&self) -> Option<UnfinishedCount> {
        self.slow().parts
    }

    /// The sums of each day, and a number that grows when they change.
    pub(super) fn days(&self) -> (Arc<Vec<Sums>>, u64) {
        let slow = self.slow();
        (slow.days.clone(), slow.version)
    }

    fn slow(&self) -> MutexGuard<'_, SurveyResult> {
        self.slow.lock().expect("no holder panics")
    }

    /// Looks until it is dropped; at more than the room on the disk only while `is_watched` says so.
    pub(super) async fn keep_looking(&self, shared: &ServerInner, disk: &Disk, is_watched: impl Fn() -> bool) {
        let _over = OnDrop(self.is_over.clone());
        let queue = disk.open_queue();
        loop {
            let root = shared.root.clone();
            let free = disk.run(move || root.free_bytes()).await;
            self.free.store(free.ok().and_then(Result::ok).unwrap_or(UNKNOWN), Ordering::Relaxed);
            if is_watched() {
                self.look_at_days(disk).await;
                self.look_for_parts(&shared.tree, &queue).await;
            }
            // A page that has just been opened gets its first event soon.
            let _ = tokio::time::timeout(FREE_EVERY, self.wanted.notified()).await;
        }
    }

    async fn look_at_days(&self, disk: &Disk) {
        let Some(home) = self.home.clone().filter(|_| is_due(self.slow().days_at, DAYS_EVERY)) else { return };
        let read = move || history::read(&home).map(|entries| Sums::by(&entries, HistoryEntry::day));
        let days = disk.run(read).await;
        let mut slow = self.slow();
        slow.days_at = Some(Instant::now());
        if let Ok(Ok(days)) = days
            && *slow.days != days
        {
            slow.days = Arc::new(days);
            slow.version += 1;
        }
    }

    async fn look_for_parts(&self, tree: &Root, queue: &OpenQueue) {
        let pause = self.slow().parts_pause.max(PARTS_EVERY);
        if !is_due(self.slow().parts_at, pause) {
            return;
        }
        let (tree, is_over, begun) = (tree.clone(), self.is_over.clone(), Instant::now());
        // It walks the whole tree, which may be large: only when nobody else needs the processor.
        let found = queue.queue().run_long(move || search(&tree, &is_over)).await;
        let mut slow = self.slow();
        (slow.parts_at, slow.parts_pause) = (Some(Instant::now()), begun.elapsed().saturating_mul(PARTS_SHARE));
        slow.parts = found.ok().flatten().or(slow.parts);
    }
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

/// All unfinished files; `None` when nobody wants to know any more.
fn search(tree: &Root, is_over: &AtomicBool) -> Option<UnfinishedCount> {
    let (mut search, mut parts) = (PartSearch::new(tree.tree(), None), UnfinishedCount::default());
    while let ControlFlow::Continue(found) = search.step() {
        if is_over.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(Ok(found)) = found {
            parts = UnfinishedCount { files: parts.files + 1, bytes: parts.bytes.saturating_add(found.size) };
        }
    }
    Some(parts)
}

/// Ends a search with whoever wanted it.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_counted_and_a_search_ends_when_nobody_wants_it() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("d")).unwrap();
        for (name, bytes) in [(".a.qft-part", 5), ("d/.b.qft-part", 7), ("d/whole", 100)] {
            std::fs::write(place.path().join(name), vec![b'x'; bytes]).unwrap();
        }
        let root = Root::open(place.path()).unwrap();
        assert_eq!(search(&root, &AtomicBool::new(false)), Some(UnfinishedCount { files: 2, bytes: 12 }));
        assert_eq!(search(&root, &AtomicBool::new(true)), None);
    }
}
