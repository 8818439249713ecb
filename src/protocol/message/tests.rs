use super::*;

fn entry(path: &[u8], kind: Kind) -> Entry {
    let path = WirePath::parse(path).expect("a plain path");
    let mtime = Mtime { secs: i64::MIN, nanos: 999_999_999 };
    Entry { path, kind, size: u64::MAX >> 1, mtime, mode: u32::MAX }
}

fn lists(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    Message::entries(entries)
        .map(|message| {
            let mut frame = Vec::new();
            crate::protocol::codec::encode(&message, &mut frame).expect("each list fits a frame");
            let Message::Entries(list) = message else { panic!("not a list: {message:?}") };
            list
        })
        .collect()
}

/// All of them.
pub(in crate::protocol) const STATUSES: [Status; 14] = [
    Status::NotFound,
    Status::ReadFailed,
    Status::Changed,
    Status::WriteFailed,
    Status::NoSpace,
    Status::Exists,
    Status::BadName,
    Status::NotAllowed,
    Status::Busy,
    Status::VerifyFailed,
    Status::Timeout,
    Status::Cancelled,
    Status::Unsupported,
    Status::Internal,
];

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
    let all: Vec<Entry> = (0..100)
        .map(|i| {
            let path = [format!("{i}").as_bytes(), &long].join(&b'/');
            Entry { size: 0, ..entry(&path, Kind::Link(vec![b'z'; path::PATH_BYTES_MAX])) }
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

#[test]
fn text_is_cut_between_characters() {
    let text = format!("{}é", "x".repeat(DETAIL_BYTES_MAX - 1));
    assert_eq!(Failure::new(Status::Busy, text).detail, "x".repeat(DETAIL_BYTES_MAX - 1));
    assert_eq!(Hello::new(0, "ü".repeat(NAME_BYTES_MAX), None).name, "ü".repeat(NAME_BYTES_MAX / 2));
    assert_eq!(Welcome::new(0, "box", true).name, "box");
    let name = Problem::new(vec![0xff; path::PATH_BYTES_MAX + 1], Failure::new(Status::BadName, "")).name;
    assert_eq!(name.len(), path::PATH_BYTES_MAX);
}

#[test]
fn debug_output_hides_what_lets_a_client_in() {
    let hello = Hello::new(0, "me", Some([0xab; 16])).with_token_proof(Some([0xcd; 32]));
    let shown = format!("{:?}", Message::Hello(hello));
    assert!(shown.contains("invite: Some(..), token_proof: Some(..)"), "{shown}");
    assert!(!shown.contains("171") && !shown.contains("205"), "{shown}");
}

#[test]
fn a_failure_shows_its_kind_and_its_escaped_cause() {
    let shown = |detail: &str| Failure::new(Status::NoSpace, detail).to_string();
    assert_eq!(shown("disk quota exceeded"), "no space left: disk quota exceeded");
    assert_eq!(shown("a\x1b[2Jb\nqft: done"), "no space left: a\\u{1b}[2Jb\\nqft: done");
    assert_eq!(shown(""), "no space left");
}

#[test]
fn status_texts_are_short_distinct_and_in_house_style() {
    let mut texts: Vec<String> = STATUSES.iter().map(Status::to_string).collect();
    assert!(texts.iter().all(|text| text.len() <= 30 && !text.ends_with('.') && text.is_ascii()));
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), STATUSES.len());
}
