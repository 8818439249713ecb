//! Files of at most one chunk: one trip to the disk, one write, no second thought.

use super::Sender;
use super::outlet::Stop;
use super::stream::Place;
use crate::digest::{Digest, Hasher};
use crate::protocol::codec::{RANGE_HEADER_BYTES, RangeHeader};
use crate::protocol::message::FileId;
use crate::session::SessionError;
use crate::session::memory::{Buffer, in_flight};
use crate::storage::StorageError;
use crate::transfer::send::Send;

impl Sender {
    pub(super) async fn send_small(&self, id: FileId) -> Result<(), Stop> {
        let Some(place) = self.place(id) else { return Ok(()) };
        let size = place.header.size;
        let permit = self.0.budget.reserve(RANGE_HEADER_BYTES + size as usize).await;
        let buffer = self.0.tools.buffers.take_behind(RANGE_HEADER_BYTES, size as usize);
        let hasher = self.0.tools.hasher.clone();
        let read = self.0.tools.disk.run(move || read_whole(&place, buffer, &hasher));
        let (buffer, digest) = read.await??.ok_or(Stop::Changed)?;
        let content: Vec<_> = digest.iter().map(|_| 0..size).collect();
        let mut rules = Send::new(id, size, 0, content).map_err(SessionError::from)?;
        if let (Some(digest), Some(_)) = (digest, rules.next_range()) {
            self.count_sent(id, size);
            let mut outlet = self.open_stream(id).await?;
            outlet.stream.write_chunk(in_flight(buffer, permit)).await?;
            outlet.finish();
            rules.on_own(0, &[digest]);
            rules.on_sent();
        }
        let tail = rules.tail(&self.0.tools.hasher).expect("the one range is sent and nothing was to be compared");
        self.send_tail(id, tail);
        Ok(())
    }
}

/// On a disk thread: a whole small file behind the header of its stream, and its digest (an empty file has
/// neither). `None` when it is not what was offered.
fn read_whole(
    place: &Place,
    mut buffer: Buffer,
    hasher: &Hasher,
) -> Result<Option<(Buffer, Option<Digest>)>, StorageError> {
    let source = place.root.open_source(&place.at)?;
    if !place.is(&source) {
        return Ok(None);
    }
    let range = RangeHeader { id: place.header.id, offset: 0, len: place.header.size };
    let (header, content) = buffer.split_at_mut(RANGE_HEADER_BYTES);
    header.copy_from_slice(&range.to_bytes());
    let whole = source.read_at(content, 0)? == content.len() && source.unchanged()?;
    let digest = (!content.is_empty()).then(|| hasher.chunk(content));
    Ok(whole.then_some((buffer, digest)))
}
