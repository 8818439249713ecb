//! The queue of files that the receiver asked for, in its order: large files one by one, small ones some at a time.

use tokio::sync::mpsc;

use crate::protocol::message::FileId;

/// Most small files that are taken together. To wake a disk thread and be woken by it takes longer than to read a small
/// file; shared by 16 it hardly counts any more.
const TOGETHER_MAX: usize = 16;

/// Most bytes of files that are taken together: what is larger is worth a trip to the disk of its own.
const TOGETHER_BYTES_MAX: u64 = 256 << 10;

/// Files to be pumped at one go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// It fits one chunk, as do those after it.
    Small(Vec<FileId>),
    /// It takes more than one step.
    Large(FileId),
}

/// The queue of wanted files.
pub(super) struct SendQueue {
    ids: mpsc::UnboundedReceiver<FileId>,
    /// Taken from the queue, and did not go with those before it.
    held: Option<FileId>,
}

impl SendQueue {
    pub(super) fn new(ids: mpsc::UnboundedReceiver<FileId>) -> Self {
        Self { ids, held: None }
    }

    /// The next files; `None` when nothing can be wanted any more. `small` tells the size of a file that fits one chunk,
    /// `slots` how many may be under way at once: no more are taken together than leave work for all of them. Safe to
    /// cancel.
    pub(super) async fn next(&mut self, slots: usize, small: impl Fn(FileId) -> Option<u64>) -> Option<Batch> {
        let first = match self.held.take() {
            Some(held) => held,
            None => self.ids.recv().await?,
        };
        let Some(mut bytes) = small(first) else { return Some(Batch::Large(first)) };
        let most = ((1 + self.ids.len()) / slots).clamp(1, TOGETHER_MAX);
        let mut together = vec![first];
        while together.len() < most
            && let Ok(next) = self.ids.try_recv()
        {
            bytes += small(next).unwrap_or(u64::MAX - bytes);
            if bytes > TOGETHER_BYTES_MAX {
                self.held = Some(next);
                break;
            }
            together.push(next);
        }
        Some(Batch::Small(together))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The batches that are taken when files of these sizes wait; `None` is a large one.
    async fn batches(sizes: &[Option<u64>], at_once: usize) -> Vec<Batch> {
        let (sender, ids) = mpsc::unbounded_channel();
        for id in 0..sizes.len() {
            sender.send(FileId(id as u64)).unwrap();
        }
        drop(sender);
        let mut queue = SendQueue::new(ids);
        let mut batches = Vec::new();
        while let Some(batch) = queue.next(at_once, |id| sizes[id.0 as usize]).await {
            batches.push(batch);
        }
        batches
    }

    fn small(ids: std::ops::Range<u64>) -> Batch {
        Batch::Small(ids.map(FileId).collect())
    }

    #[tokio::test]
    async fn few_files_go_one_by_one_and_many_together() {
        assert_eq!(batches(&[Some(10); 3], 4).await, [small(0..1), small(1..2), small(2..3)]);
        let many = batches(&[Some(10); 1000], 4).await;
        assert_eq!(many[0], small(0..TOGETHER_MAX as u64));
        assert!(many.len() < 100, "{}", many.len());
    }

    #[tokio::test]
    async fn a_large_file_goes_alone_and_keeps_its_place() {
        let sizes = [Some(1), Some(1), None, Some(1), Some(1), Some(1), Some(1)];
        let taken = batches(&sizes, 1).await;
        assert_eq!(taken, [small(0..2), Batch::Large(FileId(2)), small(3..7)]);
    }

    #[tokio::test]
    async fn files_go_together_up_to_a_number_of_bytes() {
        let half = Some(TOGETHER_BYTES_MAX / 2);
        assert_eq!(batches(&[half, half, half, Some(0)], 1).await, [small(0..2), small(2..4)]);
        let whole = Some(TOGETHER_BYTES_MAX + 1);
        assert_eq!(batches(&[whole, whole], 1).await, [small(0..1), small(1..2)]);
    }
}
