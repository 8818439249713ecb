//! What part files are called.

use sha2::{Digest, Sha256};

use crate::protocol::path::{COMPONENT_BYTES_MAX, PART_SUFFIX};

/// The name of the part of a file of that name.
///
/// Names too long for the suffix are cut and get a hash; those results, and only those, have the greatest
/// length that a name can have, so no two files ever share a part.
pub(super) fn part_name(name: &[u8]) -> Box<[u8]> {
    let mut part = vec![b'.'];
    if 1 + name.len() + PART_SUFFIX.len() < COMPONENT_BYTES_MAX {
        part.extend_from_slice(name);
    } else {
        let hash = format!("~{}", data_encoding::HEXLOWER.encode(&Sha256::digest(name)));
        let room = COMPONENT_BYTES_MAX - 1 - hash.len() - PART_SUFFIX.len();
        part.extend_from_slice(cut(name, room));
        part.resize(1 + room, b'~');
        part.extend_from_slice(hash.as_bytes());
    }
    part.extend_from_slice(PART_SUFFIX);
    part.into_boxed_slice()
}

/// At most `room` bytes from the start, without half a character: some file systems refuse those.
fn cut(name: &[u8], room: usize) -> &[u8] {
    let is_continuation = |b: u8| b & 0b1100_0000 == 0b1000_0000;
    let mut end = room.min(name.len());
    while end > 0 && end < name.len() && is_continuation(name[end]) {
        end -= 1;
    }
    &name[..end]
}

/// The name of the part of a file of that name that only `owner` may continue.
///
/// It is the part of a name that ends like a part itself, which no file can have, so it is the part of no other file.
pub(super) fn owned_part_name(name: &[u8], owner: &[u8]) -> Box<[u8]> {
    part_name(&[name, b"~", owner, PART_SUFFIX].concat())
}

/// Whether a name is one of ours.
pub(crate) fn is_part_name(name: &[u8]) -> bool {
    let start = name.len().saturating_sub(PART_SUFFIX.len());
    name[start..].eq_ignore_ascii_case(PART_SUFFIX)
}
