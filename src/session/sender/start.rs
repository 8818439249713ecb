//! The start of a file: its first chunk, or the whole of a small file: one trip to the disk, one write.

use super::Sender;
use super::outlet::Stop;
use super::stream::Place;
use crate::digest::{Digest, Hasher};
use crate::protocol::codec::{RANGE_HEADER_BYTES, RangeHeader, Turn};
use crate::protocol::message::FileId;
use crate::session::SessionError;
use crate::session::memory::{Buffer, in_flight};
use crate::storage::{Source, StorageError};
use crate::transfer::send::Send;

impl Sender {
    /// Sends a file of at most one chunk, and closes it.
    pub(super) async fn send_small(&self, id: FileId) -> Result<(), Stop> {
        let Some(place) = self.place(id) else { return Ok(()) };
        let size = place.header.size;
        let digest = match self.take_ahead(id) {
            Some((digest, _)) => Some(digest),
            None => self.send_whole(place).await?,
        };
        let content: Vec<_> = digest.iter().map(|_| 0..size).collect();
        let mut rules = Send::new(id, size, 0, content).map_err(SessionError::from)?;
        if let Some(digest) = digest {
            rules.on_start(digest);
        }
        let tail = rules.tail(&self.0.tools.hasher).expect("the one range is sent and nothing was to be compared");
        self.send_tail(id, tail);
        Ok(())
    }

    /// Sends the content of a file of at most one chunk, and returns its digest; an empty file has neither.
    async fn send_whole(&self, place: Place) -> Result<Option<Digest>, Stop> {
        let (id, size) = (place.header.id, place.header.size);
        let permit = self.0.budget.reserve(RANGE_HEADER_BYTES + size as usize).await;
        let buffer = self.0.tools.buffers.take_behind(RANGE_HEADER_BYTES, size as usize);
        let hasher = self.0.tools.hasher.clone();
        let read = self.0.tools.disk.run(move || read_start(&place, Turn::Asked, buffer, &hasher));
        let Start { buffer, digest, .. } = read.await??.ok_or(Stop::Changed)?;
        if digest.is_some() {
            self.count_sent(id, size);
            let mut outlet = self.open_stream(id).await?;
            outlet.stream.write_chunk(in_flight(buffer, permit)).await?;
            outlet.finish();
        }
        Ok(digest)
    }
}

/// The start of a file as it was read.
pub(super) struct Start {
    /// Behind the header of its stream.
    pub(super) buffer: Buffer,
    /// An empty file has none.
    pub(super) digest: Option<Digest>,
    pub(super) source: Source,
}

/// On a disk thread: fills `buffer` with a stream's header and as much of the file as there is room. `None` when it is
/// not what was offered.
pub(super) fn read_start(
    place: &Place,
    turn: Turn,
    mut buffer: Buffer,
    hasher: &Hasher,
) -> Result<Option<Start>, StorageError> {
    let source = place.root.open_source(&place.at)?;
    if !place.is(&source) {
        return Ok(None);
    }
    let (header, content) = buffer.split_at_mut(RANGE_HEADER_BYTES);
    let range = RangeHeader { id: place.header.id, offset: 0, len: content.len() as u64, turn };
    header.copy_from_slice(&range.to_bytes());
    let whole = source.read_at(content, 0)? == content.len() && source.unchanged()?;
    let digest = (!content.is_empty()).then(|| hasher.chunk(content));
    Ok(whole.then_some(Start { buffer, digest, source }))
}
