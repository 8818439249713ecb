//! Names without content, as many in a message as the wire allows.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Message, Mtime};
use crate::protocol::path::WirePath;
use crate::protocol::{ENTRIES_MAX, FRAME_BYTES_MAX};

/// A request for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Directory, file or glob below the served root; empty is the root itself.
    pub pattern: Vec<u8>,
    /// Also what is inside directories, all the way down.
    pub recursive: bool,
}

/// One name in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingEntry {
    /// Path below the served root.
    pub path: WirePath,
    /// Its kind: a file, a directory or a link.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    /// When its content was last modified.
    pub mtime: Mtime,
    /// The nine permission bits.
    pub mode: u32,
}

/// A request for unfinished files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// A directory below the served root, or the file that is not finished; `None` is the root itself.
    pub below: Option<WirePath>,
    /// Only those that were not written to for so many seconds.
    pub older_secs: u64,
    /// They are to be removed.
    pub remove: bool,
}

/// An unfinished file on the server, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPart {
    /// The file that it is to become, below the served root. A long name may be cut.
    pub path: WirePath,
    /// Bytes that are there.
    pub size: u64,
    /// How many seconds ago it was last written to.
    pub age_secs: u64,
    /// Whether it is kept, is removed, or could not be.
    pub fate: PartFate,
}

/// The fate of an unfinished file that a client asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartFate {
    /// It was only listed.
    Kept,
    /// It was removed, as asked.
    Removed,
    /// It was to be removed, and is there still.
    Left(Failure),
}

impl Message {
    /// The answer to [`Message::List`]: `entries` in as few messages as the wire allows, then the empty one
    /// that ends them. Lazy: entries are taken as messages are.
    pub fn entries(entries: impl IntoIterator<Item = ListingEntry>) -> impl Iterator<Item = Self> {
        let mut entries = entries.into_iter().peekable();
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let (mut batch, mut room) = (Vec::new(), FRAME_BYTES_MAX - ENTRY_BYTES_MAX);
            // An entry that no frame can hold goes alone, for the codec to refuse: it must not end the list.
            while let Some(entry) = entries.next_if(|next: &ListingEntry| {
                batch.is_empty() || (batch.len() < ENTRIES_MAX && next.wire_bytes() <= room)
            }) {
                room = room.saturating_sub(entry.wire_bytes());
                batch.push(entry);
            }
            ended = batch.is_empty();
            Some(Self::Entries(batch))
        })
    }
}

/// Most bytes that an [`ListingEntry`] takes besides its path and link target: four varints of at most 9 bytes for
/// lengths, size and seconds, three of at most 5 for kind, nanoseconds and mode; rounded up. Also more than
/// the frame needs around its entries.
const ENTRY_BYTES_MAX: usize = 64;

impl ListingEntry {
    /// At least as many bytes as it takes on the wire.
    fn wire_bytes(&self) -> usize {
        let target = if let Kind::Link(target) = &self.kind { target.len() } else { 0 };
        self.path.as_bytes().len() + target + ENTRY_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::path::PATH_BYTES_MAX;

    fn entry(path: &[u8], kind: Kind) -> ListingEntry {
        let path = WirePath::parse(path).expect("a plain path");
        let mtime = Mtime { secs: i64::MIN, nanos: 999_999_999 };
        ListingEntry { path, kind, size: u64::MAX >> 1, mtime, mode: u32::MAX }
    }

    fn lists(entries: Vec<ListingEntry>) -> Vec<Vec<ListingEntry>> {
        Message::entries(entries)
            .map(|message| {
                let mut frame = Vec::new();
                crate::protocol::codec::encode(&message, &mut frame).expect("each list fits a frame");
                let Message::Entries(list) = message else { panic!("not a list: {message:?}") };
                list
            })
            .collect()
    }

    #[test]
    fn a_listing_of_nothing_is_one_empty_list() {
        assert_eq!(lists(Vec::new()), [Vec::new()]);
    }

    #[test]
    fn short_names_fill_a_list_to_its_count_and_an_empty_list_ends_them() {
        let all = vec![entry(b"a", Kind::File); ENTRIES_MAX + 1];
        let by_frame = (FRAME_BYTES_MAX - ENTRY_BYTES_MAX) / (1 + ENTRY_BYTES_MAX);
        let counts: Vec<usize> = lists(all).iter().map(Vec::len).collect();
        assert_eq!(counts, [by_frame, ENTRIES_MAX + 1 - by_frame, 0]);
    }

    #[test]
    fn the_longest_names_fill_a_list_to_its_bytes_and_none_is_lost() {
        let long = [vec![b'x'; 255], vec![b'y'; 255]].join(&b'/');
        let all: Vec<ListingEntry> = (0..100)
            .map(|i| {
                let path = [format!("{i}").as_bytes(), &long].join(&b'/');
                ListingEntry { size: 0, ..entry(&path, Kind::Link(vec![b'z'; PATH_BYTES_MAX])) }
            })
            .collect();
        let lists = lists(all.clone());
        assert!(lists.len() > 2 && lists.last().is_some_and(Vec::is_empty));
        assert_eq!(lists.concat(), all);
    }

    #[test]
    fn an_entry_that_no_frame_holds_is_refused_by_the_codec_and_does_not_end_the_list() {
        let huge = entry(b"a", Kind::Link(vec![b'z'; FRAME_BYTES_MAX]));
        let messages: Vec<Message> = Message::entries([huge, entry(b"b", Kind::File)]).collect();
        assert_eq!(messages.len(), 3);
        assert!(crate::protocol::codec::encode(&messages[0], &mut Vec::new()).is_err());
    }
}
