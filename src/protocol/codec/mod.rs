//! Bytes to messages and back: frames of the control stream.
//!
//! Sans-IO: whoever has a stream pushes what it read and takes messages out. The only place that names bincode.

use bincode::config::{Configuration, Limit, standard};
use bincode::serde::{decode_from_slice, encode_into_std_write};

use super::FRAME_BYTES_MAX;
pub use super::check::CodecError;
use super::check::check;
use super::message::Message;

/// Bytes of the length before each message.
const LENGTH_BYTES: usize = 4;

/// What bincode may claim to read for one message. It charges a number by its type, not by what it takes on
/// the wire: eight for a `u64` that was sent as one byte. The frame itself is what bounds a message; this only
/// stops a text that says it is longer than any frame before room is made for it.
const CLAIM_BYTES_MAX: usize = 8 * FRAME_BYTES_MAX;

type Wire = Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<CLAIM_BYTES_MAX>>;

const WIRE: Wire = standard().with_limit::<CLAIM_BYTES_MAX>();

/// Appends one message as a whole frame.
///
/// What this accepts, [`Decoder`] accepts.
///
/// # Errors
/// [`CodecError::TooLong`] or [`CodecError::Limit`]; `into` is then as it was.
pub fn encode(message: &Message, into: &mut Vec<u8>) -> Result<(), CodecError> {
    check(message)?;
    let start = into.len();
    let written = append(message, into);
    if written.is_err() {
        into.truncate(start);
    }
    written
}

fn append(message: &Message, into: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = into.len();
    into.extend_from_slice(&[0; LENGTH_BYTES]);
    let len = encode_into_std_write(message, into, WIRE).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if len > FRAME_BYTES_MAX {
        return Err(CodecError::TooLong { len });
    }
    let prefix = u32::try_from(len).expect("FRAME_BYTES_MAX is below 4 GiB").to_le_bytes();
    into[start..start + LENGTH_BYTES].copy_from_slice(&prefix);
    Ok(())
}

/// The bytes of the first frames of several, as many as take no more than `bytes_max` but for one that is longer, and how many
/// they are.
pub(crate) fn whole_frames(frames: &[u8], bytes_max: usize) -> (usize, usize) {
    let (mut bytes, mut count) = (0, 0);
    while let Some((prefix, _)) = frames[bytes..].split_first_chunk::<LENGTH_BYTES>() {
        let next = LENGTH_BYTES + payload_len(*prefix);
        if count > 0 && bytes + next > bytes_max {
            break;
        }
        (bytes, count) = (bytes + next, count + 1);
    }
    (bytes, count)
}

fn payload_len(prefix: [u8; LENGTH_BYTES]) -> usize {
    usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX)
}

/// Takes messages out of a stream of bytes that arrives in pieces.
///
/// Holds at most one unfinished frame besides what was pushed since the last `None`.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where the first frame that was not taken yet begins.
    start: usize,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what arrived. Take all messages out before the next push, or it piles up.
    pub fn push(&mut self, bytes: &[u8]) {
        // Once a push, not once a message: taking a message moves no bytes.
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more has arrived.
    ///
    /// # Errors
    /// Any of [`CodecError`] but `Truncated`. The stream has no next message then: every later call fails alike.
    #[allow(clippy::should_implement_trait)] // an iterator that ends and then goes on would mislead
    pub fn next(&mut self) -> Result<Option<Message>, CodecError> {
        let Some((prefix, rest)) = self.bytes[self.start..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let len = payload_len(*prefix);
        if len > FRAME_BYTES_MAX {
            return Err(CodecError::TooLong { len });
        }
        let Some(payload) = rest.get(..len) else {
            return Ok(None);
        };
        let message = decode(payload)?;
        self.start += LENGTH_BYTES + len;
        Ok(Some(message))
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] when it ended within a frame.
    pub fn finish(&self) -> Result<(), CodecError> {
        match self.bytes.len() - self.start {
            0 => Ok(()),
            have => Err(CodecError::Truncated { have }),
        }
    }
}

fn decode(payload: &[u8]) -> Result<Message, CodecError> {
    let (message, used) = decode_from_slice(payload, WIRE).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if used < payload.len() {
        return Err(CodecError::Trailing { extra: payload.len() - used });
    }
    check(&message)?;
    Ok(message)
}

#[cfg(test)]
mod tests;
