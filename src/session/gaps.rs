//! The gaps in content that comes in another order than that of its file, and the memory that QUIC needs to note them.

use super::SessionError;
use super::budget::{Account, Hold};
use super::unread::NOTE_BYTES;

/// Content of which each piece, on average, may begin somewhere else: a quarter of a packet.
pub const PIECE_BYTES: usize = 256;
/// Pieces of a chunk that may begin anywhere however small it is.
pub const PIECES_FREE: usize = 64;
/// Bytes of content for each gap that nobody counts: ten times what a loss of ten percent makes.
const UNCOUNTED_BYTES: usize = 8192;
/// Gaps that are counted at a time.
const STEP: usize = 64;

/// How often the pieces of a chunk do not follow each other.
///
/// QUIC notes each gap in what it hands over unordered, and each piece that is not read, in a heap that stays as large as it
/// once was until the connection ends. A lost packet makes a gap or two; a peer that sends every other byte makes as many
/// as it likes, for which nothing was reserved.
#[derive(Default)]
pub(super) struct Gaps {
    seen: usize,
    room: Vec<Hold>,
}

impl Gaps {
    /// One more, in a chunk of `len` bytes.
    ///
    /// # Errors
    /// There are absurdly many, or many and no room for them beside all others.
    pub(super) fn count(&mut self, len: usize, account: &Account) -> Result<(), SessionError> {
        self.seen += 1;
        if self.seen > PIECES_FREE + len / PIECE_BYTES {
            return Err(SessionError::Order("content in tiny pieces with gaps between them"));
        }
        let counted = self.seen.saturating_sub(2 + len / UNCOUNTED_BYTES);
        if counted > self.room.len() * STEP {
            self.room.push(account.take_for_offer(STEP * NOTE_BYTES).ok_or(SessionError::Overloaded)?);
        }
        Ok(())
    }
}

/// The memory that the chunk of a range took which had the most gaps: what there was room for once stays with the stream.
#[derive(Default)]
pub(super) struct MostGaps(Vec<Hold>);

impl MostGaps {
    /// A chunk is complete.
    pub(super) fn keep(&mut self, gaps: Gaps) {
        if gaps.room.len() > self.0.len() {
            self.0 = gaps.room;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::CHUNK_BYTES;
    use crate::keys::Identity;
    use crate::session::budget::{Budget, CLIENT_MEMORY_BYTES, WORDS_FLOOR_BYTES};

    const CHUNK: usize = CHUNK_BYTES as usize;

    /// Gaps that a chunk may have.
    fn most(len: usize, account: &Account) -> usize {
        let mut gaps = Gaps::default();
        (0..).take_while(|_| gaps.count(len, account).is_ok()).count()
    }

    #[test]
    fn every_packet_may_come_in_any_order_and_every_byte_may_not() {
        let account = Account::of_one(CLIENT_MEMORY_BYTES);
        // The smallest packet of QUIC carries more than a thousand bytes of content.
        assert!(most(CHUNK, &account) > 2 * CHUNK / 1000, "each of them lost, or overtaken");
        assert!(most(CHUNK, &account) < CHUNK / 100);
        assert!(most(100, &account) < 100);
    }

    #[test]
    fn gaps_take_from_the_budget_and_give_it_back() {
        const ALL: usize = 4 << 20;
        let budget = Budget::new(ALL, 1);
        let account = budget.account(Identity::ephemeral().expect("a key").fingerprint());
        let mut chunks: Vec<Gaps> = Vec::new();
        let refused = loop {
            let mut gaps = Gaps::default();
            let result = (0..3000).try_for_each(|_| gaps.count(CHUNK, &account));
            chunks.push(gaps);
            if let Err(error) = result {
                break error;
            }
            assert!(chunks.len() < 1000, "they are bounded");
        };
        assert!(matches!(refused, SessionError::Overloaded));
        // Of those of one range the most stay as long as its stream does.
        let (most, mut kept) = (chunks[0].room.len(), MostGaps::default());
        chunks.into_iter().for_each(|gaps| kept.keep(gaps));
        assert_eq!(budget.held(), most * STEP * NOTE_BYTES - WORDS_FLOOR_BYTES);
        drop(kept);
        assert_eq!(budget.free(), ALL);
    }
}
