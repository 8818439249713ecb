//! How often the pieces of a chunk do not follow each other.
//!
//! QUIC notes each gap in what it hands over unordered, some forty bytes that stay until the gap is filled. A lost packet
//! makes a gap or two; a peer that sends every other byte makes as many as it likes, for which nothing was reserved.

use crate::session::SessionError;
use crate::session::budget::{Account, Hold};

/// Content of which each piece, on average, may begin somewhere else: a quarter of a packet.
pub const PIECE_BYTES: usize = 256;
/// Pieces of a chunk that may begin anywhere however small it is.
pub const PIECES_FREE: usize = 64;
/// Bytes of content for each gap that nobody counts: ten times what a loss of ten percent makes.
const UNCOUNTED_BYTES: usize = 8192;
/// Gaps that are counted at a time.
const STEP: usize = 64;
/// The memory that QUIC needs for a gap.
const GAP_BYTES: usize = 48;

/// The gaps of one chunk.
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
            self.room.push(account.take_for_offer(STEP * GAP_BYTES).ok_or(SessionError::Overloaded)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::CHUNK_BYTES;
    use crate::keys::Identity;
    use crate::session::budget::Budget;

    const CHUNK: usize = CHUNK_BYTES as usize;

    /// Gaps that a chunk may have.
    fn most(len: usize, account: &Account) -> usize {
        let mut gaps = Gaps::default();
        (0..).take_while(|_| gaps.count(len, account).is_ok()).count()
    }

    #[test]
    fn every_packet_may_come_in_any_order_and_every_byte_may_not() {
        let account = Account::of_one();
        // The smallest packet of QUIC carries more than a thousand bytes of content.
        assert!(most(CHUNK, &account) > 2 * CHUNK / 1000, "each of them lost, or overtaken");
        assert!(most(CHUNK, &account) < CHUNK / 100);
        assert!(most(100, &account) < 100);
    }

    #[test]
    fn gaps_take_from_the_budget_and_give_it_back() {
        const ALL: usize = 1 << 20;
        let budget = Budget::new(ALL, 1);
        let account = budget.account(Identity::ephemeral().expect("a key").fingerprint());
        let mut chunks: Vec<Gaps> = Vec::new();
        let refused = loop {
            let mut gaps = Gaps::default();
            let result = (0..1000).try_for_each(|_| gaps.count(CHUNK, &account));
            chunks.push(gaps);
            if let Err(error) = result {
                break error;
            }
            assert!(chunks.len() < 1000, "they are bounded");
        };
        assert!(matches!(refused, SessionError::Overloaded));
        drop(chunks);
        assert_eq!(budget.free(), ALL);
    }
}
