use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn path(raw: &str) -> WirePath {
    WirePath::parse(raw.as_bytes()).expect(raw)
}

#[test]
fn names_that_break_a_rule_are_refused_by_that_rule() {
    let long = "x".repeat(COMPONENT_BYTES_MAX + 1);
    let deep = vec!["d"; DEPTH_MAX + 1].join("/");
    let whole = vec!["x".repeat(COMPONENT_BYTES_MAX); 17].join("/");
    let table: &[(&str, PathError)] = &[
        ("", PathError::Empty),
        ("/", PathError::Absolute),
        ("/etc/passwd", PathError::Absolute),
        ("//a", PathError::Absolute),
        (".", PathError::Dots),
        ("..", PathError::Dots),
        ("../a", PathError::Dots),
        ("a/..", PathError::Dots),
        ("a/../b", PathError::Dots),
        ("a/./b", PathError::Dots),
        ("./a", PathError::Dots),
        ("a//b", PathError::Dots),
        ("a/", PathError::Dots),
        ("\0", PathError::Nul),
        ("a/b\0c", PathError::Nul),
        ("..\0", PathError::Nul),
        (&long, PathError::TooLong),
        (&deep, PathError::TooLong),
        (&whole, PathError::TooLong),
        (".qft-part", PathError::Reserved),
        (".a.qft-part", PathError::Reserved),
        (".a.QFT-Part", PathError::Reserved),
        ("a.qft-part/b", PathError::Reserved),
    ];
    for (raw, error) in table {
        assert_eq!(WirePath::parse(raw.as_bytes()).as_ref(), Err(error), "{raw:?}");
    }
}

#[test]
fn a_name_in_a_directory_is_what_the_whole_path_would_be() {
    let (long, deep) = ("x".repeat(COMPONENT_BYTES_MAX), vec!["d"; DEPTH_MAX - 1].join("/"));
    let whole = vec![long.as_str(); 16].join("/");
    for dir in ["d", "d/e", &deep, &format!("{deep}/d"), &whole] {
        for name in ["a", "", ".", "..", "a/..", "../a", "/a", "a/b", "a\0", ".a.qft-part", &long, &format!("{long}x")]
        {
            let parsed = WirePath::parse(format!("{dir}/{name}").as_bytes());
            assert_eq!(path(dir).child(name.as_bytes()), parsed, "{dir} {name}");
        }
    }
}

#[test]
fn names_that_only_look_dangerous_are_accepted_as_they_are() {
    let longest = "x".repeat(COMPONENT_BYTES_MAX);
    let deepest = vec!["d"; DEPTH_MAX].join("/");
    // 15 components of 255 and their slashes, then 256 bytes in two.
    let whole = format!("{}/{}/{}", vec![longest.as_str(); 15].join("/"), "y".repeat(127), "z".repeat(128));
    assert_eq!(whole.len(), PATH_BYTES_MAX);
    let names = ["...", ".a", "a.", "..a", "a..", "~", "-rf", "C:\\x", "a b", "\n", "qft-part", ".qft-part.x", "$HOME"];
    for raw in names.into_iter().chain([longest.as_str(), &deepest, &whole]) {
        assert_eq!(path(raw).as_bytes(), raw.as_bytes());
    }
}

#[test]
fn every_byte_but_slash_and_nul_is_a_name() {
    for byte in 0..=u8::MAX {
        let expected = match byte {
            0 => Err(PathError::Nul),
            b'/' => Err(PathError::Absolute),
            b'.' => Err(PathError::Dots),
            _ => Ok(()),
        };
        assert_eq!(WirePath::parse(&[byte]).map(|_| ()), expected, "{byte:#04x}");
    }
}

#[test]
fn a_path_comes_apart_where_its_slashes_are() {
    let whole = path("a/b/c");
    assert_eq!(whole.components().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    assert_eq!((whole.name(), whole.parent()), (&b"c"[..], Some(path("a/b"))));
    assert_eq!((path("a").name(), path("a").parent()), (&b"a"[..], None));
    assert_eq!(whole.strip_prefix(&path("a")), Some(path("b/c")));
}

#[test]
fn a_prefix_is_whole_components() {
    assert_eq!(path("foobar/x").strip_prefix(&path("foo")), None);
    assert_eq!(path("foo").strip_prefix(&path("foo")), None);
    assert_eq!(path("foo").strip_prefix(&path("foo/x")), None);
}

#[test]
fn a_join_over_a_limit_is_refused() {
    let deep = path(&vec!["d"; DEPTH_MAX].join("/"));
    assert_eq!(deep.join(&path("e")), Err(PathError::TooLong));
}

#[test]
fn a_local_path_is_parsed_by_the_same_rules() {
    assert_eq!(WirePath::from_path(Path::new("a/b")), Ok(path("a/b")));
    assert_eq!(WirePath::from_path(Path::new("../b")), Err(PathError::Dots));
    assert_eq!(PathBuf::from(&path("a/b")), Path::new("a/b"));
}

#[test]
fn serde_refuses_what_parse_refuses() {
    let read = |raw: &[u8]| serde_json::from_value::<WirePath>(serde_json::json!(raw));
    assert_eq!(read(b"a/b").expect("a plain path"), path("a/b"));
    for raw in [&b""[..], b"/a", b"..", b"a/../b", b"a\0", b".x.qft-part", &[b'a'; PATH_BYTES_MAX + 1]] {
        let refused = read(raw).expect_err("a bad path").to_string();
        assert_eq!(refused, WirePath::parse(raw).expect_err("a bad path").to_string());
    }
}

#[test]
fn serde_writes_what_it_reads() {
    let whole = path("a/\u{1f980}/\n");
    let written = serde_json::to_string(&whole).expect("bytes");
    assert_eq!(serde_json::from_str::<WirePath>(&written).expect("the same bytes"), whole);
}

#[test]
fn hostile_names_are_shown_escaped() {
    let table: &[(&[u8], &str)] = &[
        (b"plain name.txt", "plain name.txt"),
        ("größe 🦀".as_bytes(), "größe 🦀"),
        (b"\x1b[2J", "\\033[2J"),
        (b"a\nqft: done\r\t", "a\\nqft: done\\r\\t"),
        (b"\x9b31m", "\\23331m"),
        ("\u{9b}31m".as_bytes(), "\\302\\23331m"),
        ("a\u{202e}gpj.exe".as_bytes(), "a\\342\\200\\256gpj.exe"),
        ("pass\u{200b}word".as_bytes(), "pass\\342\\200\\213word"),
        ("a\u{fe0f}\u{3164}".as_bytes(), "a\\357\\270\\217\\343\\205\\244"),
        ("a\u{2028}b".as_bytes(), "a\\342\\200\\250b"),
        (b"\\n", "\\\\n"),
        (b"\xff\xc3", "\\377\\303"),
        (b"\x7f", "\\177"),
    ];
    for (raw, shown) in table {
        assert_eq!(escape(raw).to_string(), *shown);
    }
    assert_eq!(format!("{:>6}|{:<4}|", escape(b"\n"), path("a")), "    \\n|a   |");
    assert_eq!(format!("{:?}", path("a/\u{7}")), "\"a/\\007\"");
}

#[test]
fn no_byte_and_no_character_that_moves_a_cursor_is_shown_raw() {
    for byte in 0..=u8::MAX {
        let shown = escape(&[byte]).to_string();
        assert!(shown.bytes().all(|b| (0x20..0x7f).contains(&b)), "{byte:#04x}: {shown:?}");
    }
    for c in '\0'..=char::MAX {
        let shown = escape(c.encode_utf8(&mut [0; 4]).as_bytes()).to_string();
        assert!(shown.chars().all(is_harmless), "{c:?}");
    }
}

/// An independent and shorter statement of what must never be shown.
fn is_harmless(c: char) -> bool {
    let bidi = ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c);
    let zero_width = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'].contains(&c);
    let line = ['\u{2028}', '\u{2029}', '\u{85}'].contains(&c);
    !(bidi || zero_width || line || c < ' ' || ('\u{7f}'..'\u{a0}').contains(&c))
}

/// Bytes that come close to being paths: mostly dots, slashes and a few letters.
fn nearly_a_path() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b'/'), 4 => Just(b'.'), 4 => Just(b'a'), 1 => Just(0), 2 => any::<u8>()];
    prop_oneof![vec(byte, 0..24), vec(any::<u8>(), 0..300), Just(b"x.qft-part/".to_vec())]
}

/// Paths that are accepted.
pub(in crate::protocol) fn wire_path() -> impl Strategy<Value = WirePath> {
    let byte = prop_oneof![8 => b'a'..=b'z', 1 => 1..=b'.', 1 => 0x80..=u8::MAX];
    let component = vec(byte, 1..12).prop_filter("plain", |c| check_component(c).is_ok());
    vec(component, 1..6).prop_map(|parts| WirePath::parse(&parts.join(&b'/')).expect("plain components"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_accepted_stays_below_its_root(raw in nearly_a_path()) {
        let Ok(parsed) = WirePath::parse(&raw) else { return Ok(()) };
        prop_assert_eq!(parsed.as_bytes(), &raw[..]);
        prop_assert!(parsed.as_path().is_relative());
        let plain = |c: std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
        prop_assert!(parsed.as_path().components().all(plain));
        prop_assert_eq!(parsed.as_path().components().count(), parsed.components().count());
        for component in parsed.components() {
            prop_assert!(!component.is_empty() && component.len() <= COMPONENT_BYTES_MAX);
            prop_assert!(component != b"." && component != b".." && !component.contains(&0));
        }
    }

    #[test]
    fn serde_and_parse_agree(raw in nearly_a_path()) {
        let read = serde_json::from_value::<WirePath>(serde_json::json!(raw)).ok();
        prop_assert_eq!(read, WirePath::parse(&raw).ok());
    }

    #[test]
    fn join_and_strip_prefix_undo_each_other(base in wire_path(), below in wire_path()) {
        let whole = base.join(&below).expect("short enough");
        prop_assert_eq!(whole.strip_prefix(&base), Some(below.clone()));
        prop_assert_eq!(whole.name(), below.name());
        let parts: Vec<&[u8]> = base.components().chain(below.components()).collect();
        prop_assert_eq!(whole.components().collect::<Vec<_>>(), parts);
    }

    #[test]
    fn parent_and_name_make_the_path(whole in wire_path()) {
        let name = WirePath::parse(whole.name()).expect("a component is a path");
        let again = whole.parent().map_or_else(|| Ok(name.clone()), |parent| parent.join(&name));
        prop_assert_eq!(again, Ok(whole));
    }

    #[test]
    fn arbitrary_bytes_are_shown_harmlessly_and_distinctly(a in nearly_a_path(), b in nearly_a_path()) {
        let (shown_a, shown_b) = (escape(&a).to_string(), escape(&b).to_string());
        prop_assert!(shown_a.chars().all(is_harmless));
        prop_assert_eq!(a == b, shown_a == shown_b);
    }
}
