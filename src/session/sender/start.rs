//! The start of a file: its first chunk, or the whole of a small file. Small files share their trip to the disk, and take
//! one write each.

use super::Sender;
use super::outlet::PumpStop;
use super::source::{Place, open_offered};
use crate::broken::BreakableRule;
use crate::digest::{ChunkHasher, Digest};
use crate::protocol::message::{FileId, Tail};
use crate::protocol::range::{RANGE_HEADER_BYTES, RangeHeader, RangeTiming};
use crate::session::SessionError;
use crate::session::memory::{Buffer, SendPermit, in_flight};
use crate::storage::{ByteFiles, ReadFile, Since};
use crate::transfer::file::SendFile;

impl<F: ByteFiles> Sender<F> {
    /// Sends files of at most one chunk each, and closes them. They are read in one trip to the disk.
    ///
    /// # Errors
    /// Only what ends the connection.
    pub(super) async fn send_small(&self, ids: Vec<FileId>) -> Result<(), SessionError> {
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(place) = self.ledger().place(id) else { continue };
            match self.feed(|ledger| ledger.take_start(id)) {
                Some(start) => self.close_small(id, place.header.size, Some(start.claim().0)),
                None => places.push(place),
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let unread = self.unread(places).await;
        let hasher = self.0.tools.hasher.clone();
        let read = move || unread.into_iter().map(|file| file.read(&hasher)).collect::<Vec<_>>();
        let reading = self.0.tools.disk.run(read);
        let files = self.timed(|waits| &waits.read, reading).await?;
        for Small { id, size, permit, start } in files {
            let sent = self.send_whole(id, size, permit, start).await;
            self.settle(id, sent).await?;
        }
        Ok(())
    }

    /// Takes room for some files.
    async fn unread(&self, places: Vec<Place<F>>) -> Vec<UnreadStart<F>> {
        let sizes: Vec<_> = places.iter().map(|place| place.header.size as usize).collect();
        let rooms: Vec<_> = sizes.iter().map(|size| RANGE_HEADER_BYTES + size).collect();
        let reserving = self.0.budget.reserve_each(&rooms);
        let permits = self.timed(|waits| &waits.write, reserving).await;
        let buffers = sizes.into_iter().map(|size| self.0.tools.buffers.take_behind(RANGE_HEADER_BYTES, size));
        let files = places.into_iter().zip(buffers).zip(permits);
        files.map(|((place, buffer), permit)| UnreadStart { place, buffer, permit }).collect()
    }

    async fn send_whole(
        &self,
        id: FileId,
        size: u64,
        permit: SendPermit,
        start: Result<ReadStart<()>, PumpStop>,
    ) -> Result<(), PumpStop> {
        let ReadStart { buffer, digest, grew, .. } = start?;
        if grew {
            self.remark_growth(id);
        }
        // An empty file needs no stream.
        if digest.is_some() {
            self.ledger().count_sent(id, size);
            let mut outlet = self.open_stream(id).await?;
            let writing = outlet.write(in_flight(buffer, permit));
            self.timed(|waits| &waits.write, writing).await?;
            outlet.finish();
        }
        self.close_small(id, size, digest);
        Ok(())
    }

    /// Says that all of a file of at most one chunk has been sent; an empty file has no digest.
    fn close_small(&self, id: FileId, size: u64, digest: Option<Digest>) {
        let tail = small_tail(id, size, digest, &self.0.tools.hasher);
        self.feed(|ledger| ledger.on_closed(tail));
    }
}

/// The tail of a file of at most one chunk that is sent whole; an empty file has no digest.
pub(crate) fn small_tail(id: FileId, size: u64, digest: Option<Digest>, hasher: &ChunkHasher) -> Tail {
    let content = digest.iter().map(|_| 0..size).collect();
    let mut rules = SendFile::new(id, size, 0, content, hasher).expect("any file may be sent from its start");
    if let Some(digest) = digest {
        rules.on_start(digest);
    }
    let mut closing = rules.close().expect("the one range is sent and nothing was to be compared");
    closing.step(hasher, 1).expect("it has one chunk at most")
}

/// A small file that is to be read.
struct UnreadStart<F: ByteFiles> {
    place: Place<F>,
    buffer: Buffer,
    permit: SendPermit,
}

/// A small file that was read.
struct Small {
    id: FileId,
    size: u64,
    permit: SendPermit,
    /// Its source is closed: of many files that wait for the network, each would take a descriptor.
    start: Result<ReadStart<()>, PumpStop>,
}

impl<F: ByteFiles> UnreadStart<F> {
    /// On a disk thread.
    fn read(self, hasher: &ChunkHasher) -> Small {
        let Self { place, buffer, permit } = self;
        let start = read_start(&place, RangeTiming::Asked, buffer, hasher).map(ReadStart::closed);
        Small { id: place.header.id, size: place.header.size, permit, start }
    }
}

/// The start of a file as it was read.
pub(super) struct ReadStart<S> {
    /// Behind the header of its stream.
    pub(super) buffer: Buffer,
    /// An empty file has none.
    pub(super) digest: Option<Digest>,
    pub(super) source: S,
    /// More was written behind what was offered.
    pub(super) grew: bool,
}

impl<S> ReadStart<S> {
    /// The same of a file of which no more is needed.
    fn closed(self) -> ReadStart<()> {
        let Self { buffer, digest, source: _, grew } = self;
        ReadStart { buffer, digest, source: (), grew }
    }
}

/// On a disk thread: fills `buffer` with a stream's header and as much of the file as there is room.
pub(super) fn read_start<F: ByteFiles>(
    place: &Place<F>,
    timing: RangeTiming,
    mut buffer: Buffer,
    hasher: &ChunkHasher,
) -> Result<ReadStart<F::Source>, PumpStop> {
    let source = open_offered(place)?;
    let (header, content) = buffer.split_at_mut(RANGE_HEADER_BYTES);
    let range = RangeHeader { id: place.header.id, offset: 0, len: content.len() as u64, timing };
    header.copy_from_slice(&range.to_bytes());
    let len = content.len() as u64;
    let (digest, grew) = read_start_of(&source, content, len, place.header.size, hasher)?;
    Ok(ReadStart { buffer, digest, source, grew })
}

/// On a disk thread: reads the first `len` of the `size` bytes of an open file. Their digest, which an empty file has none
/// of, and whether more was written behind a file that was read whole.
pub(crate) fn read_start_of<R: ReadFile>(
    source: &R,
    content: &mut R::Content,
    len: u64,
    size: u64,
    hasher: &ChunkHasher,
) -> Result<(Option<Digest>, bool), PumpStop> {
    let is_whole = len == size;
    let read = if is_whole { source.read_to_end(content)? } else { source.read_at(content, 0)? } as u64;
    // Where it ends elsewhere than was said, who said so is asked once more: it may just have changed.
    if read != len && !source.has_honest_size()? {
        return Err(PumpStop::UnknownSize);
    }
    let since = if BreakableRule::SourceIsLookedAtAgain.is_broken() { Since::Same } else { source.since_opened()? };
    if read < len || since == Since::Shorter {
        return Err(PumpStop::Changed);
    }
    let digest = (len > 0).then(|| R::digest(content, hasher));
    // Its inode changed, which need not be a change of its content.
    if since == Since::ReadAgain && len > 0 && source.hash(hasher, 0, len)?.first() != digest.as_ref() {
        return Err(PumpStop::Changed);
    }
    let grew = is_whole && since == Since::ReadAgain && source.is_longer_than(size)?;
    Ok((digest, grew))
}
