//! Bytes from a peer: frames, messages, headers of data streams, names.

use qft::protocol::codec::{CodecError, Decoder, encode};
use qft::protocol::message::{FileId, Message};
use qft::protocol::path::{COMPONENT_BYTES_MAX, DEPTH_MAX, PATH_BYTES_MAX, WirePath, escape};
use qft::protocol::range::{RANGE_HEADER_BYTES, RangeHeader};

use super::cursor::Cursor;

/// A control stream in pieces of any size says what it says in one piece.
pub(crate) fn frames(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let piece = usize::from(cursor.byte()) + 1;
    let stream = cursor.rest();
    let whole = decode([stream]);
    assert_eq!(decode(stream.chunks(piece)), whole, "in pieces of {piece}");
    for message in &whole.0 {
        comes_back(message);
    }
}

/// The messages of a stream, and how it ends.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Result<(), CodecError>) {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next().as_ref(), Err(&error), "a stream that cannot be read stays so");
                    return (messages, Err(error));
                }
            }
        }
    }
    let end = decoder.finish();
    (messages, end)
}

/// What can be read can be written, and then says the same.
fn comes_back(message: &Message) {
    let mut frame = Vec::new();
    encode(message, &mut frame).expect("what was read is within its limits");
    assert_eq!(decode([&frame[..]]), (vec![message.clone()], Ok(())));
}

/// One message: the input without the length before it.
pub(crate) fn messages(input: &[u8]) {
    let Ok(len) = u32::try_from(input.len()) else { return };
    let frame = [&len.to_le_bytes(), input].concat();
    let (messages, end) = decode([&frame[..]]);
    assert!(messages.len() + usize::from(end.is_err()) == 1, "one frame is one message or one error");
    messages.iter().for_each(comes_back);
}

/// The header of a data stream.
pub(crate) fn ranges(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let bytes: [u8; RANGE_HEADER_BYTES] = std::array::from_fn(|_| cursor.byte());
    let header = RangeHeader::from_bytes(bytes);
    assert_eq!(header.to_bytes(), bytes);
    let (offset, len, chunk) = (u128::from(header.offset), u128::from(header.len), 1 << 20);
    for size in [cursor.u64(), header.offset.saturating_add(header.len), header.len] {
        let ends_well = (offset + len) % chunk == 0 || offset + len == size.into();
        let fits = len > 0 && offset % chunk == 0 && offset + len <= size.into() && ends_well;
        assert_eq!(header.fits(size), fits, "{header:?} in {size}");
    }
    assert_eq!(header.id, FileId(u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))));
}

/// Names, and what is shown of them.
pub(crate) fn paths(input: &[u8]) {
    let shown = escape(input).to_string();
    assert!(!shown.chars().any(is_unsafe), "{shown:?} reaches a terminal");
    let (left, right) = input.split_at(input.len() / 2);
    let parsed = WirePath::parse(input);
    let is_good = is_good_path(input);
    assert_eq!(parsed.is_ok(), is_good, "{shown}");
    let Ok(path) = parsed else { return };
    assert_eq!(path.as_bytes(), input);
    assert!(path.as_path().components().all(|part| matches!(part, std::path::Component::Normal(_))));
    assert_eq!(path.components().collect::<Vec<_>>().join(&b'/'), input);
    let last = WirePath::parse(path.name()).expect("a component is a path");
    match path.parent() {
        Some(parent) => {
            assert_eq!(parent.join(&last).as_ref(), Ok(&path));
            assert_eq!(path.strip_prefix(&parent), Some(last));
        }
        None => assert_eq!(last, path),
    }
    if let (Ok(left), Ok(right)) = (WirePath::parse(left), WirePath::parse(right))
        && let Ok(joined) = left.join(&right)
    {
        assert_eq!(joined.strip_prefix(&left), Some(right));
    }
}

/// The rules for names, said once more and in another way.
fn is_good_path(raw: &[u8]) -> bool {
    let components: Vec<&[u8]> = raw.split(|byte| *byte == b'/').collect();
    let is_good = |component: &&[u8]| {
        let folded = component.to_ascii_lowercase();
        !matches!(&folded[..], b"" | b"." | b"..")
            && !folded.contains(&0)
            && !folded.ends_with(b".qft-part")
            && folded.len() <= COMPONENT_BYTES_MAX
    };
    raw.len() <= PATH_BYTES_MAX && components.len() <= DEPTH_MAX && components.iter().all(is_good)
}

/// Moves the cursor, changes the direction of text, or cannot be seen.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
