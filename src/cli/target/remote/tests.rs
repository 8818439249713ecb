use proptest::prelude::*;

use super::*;

fn named(name: &str, path: &str) -> Spec {
    Spec::Name { name: name.into(), path: path.into() }
}

fn address(host: &str, port: Option<u16>, path: &str) -> Spec {
    Spec::Address { host: host.into(), port, path: path.into() }
}

fn ssh(destination: &str, path: &str) -> Spec {
    Spec::Ssh { destination: destination.into(), path: path.into() }
}

fn url(ticket: &str, path: &str) -> Spec {
    Spec::Url { ticket: TicketText(ticket.into()), path: path.into() }
}

#[test]
fn a_colon_before_any_slash_makes_a_remote() {
    for arg in ["box:", "box:a/b", "qft://x@h", "[::1]:p", "local:d", "a b:c", ":x", "h:1:p", "me@h:", "QFT://X@H"] {
        assert!(is_remote(arg.as_ref()), "{arg}");
    }
    for arg in ["box", "./a:b", "dir/a:b", "/a:b", "-", "", "qft", "~/x"] {
        assert!(!is_remote(arg.as_ref()), "{arg}");
    }
}

#[test]
fn every_form_is_read() {
    let table = [
        ("box:", named("box", "")),
        ("box:in/x", named("box", "in/x")),
        ("box:/in", named("box", "/in")),
        ("box:a:b", named("box", "a:b")),
        ("box:4433", named("box", "4433")),
        ("box:4433:", address("box", Some(4433), "")),
        ("10.0.0.7:4433:in/x:y", address("10.0.0.7", Some(4433), "in/x:y")),
        ("[2001:db8::7]:in", address("2001:db8::7", None, "in")),
        ("[2001:db8::7]:", address("2001:db8::7", None, "")),
        ("[::1]:4433:in", address("::1", Some(4433), "in")),
        ("qft://fp:inv@h:1", url("qft://fp:inv@h:1", "")),
        ("qft://fp@[::1]:1/a/b/", url("qft://fp@[::1]:1", "a/b/")),
        ("qft://fp@h//a", url("qft://fp@h", "/a")),
        ("local:", Spec::Local { path: b"".to_vec() }),
        ("local:/srv/x:y", Spec::Local { path: b"/srv/x:y".to_vec() }),
        ("me@host:data/", ssh("me@host", "data/")),
        ("me@host:", ssh("me@host", "")),
        ("DOMAIN\\me@host:x", ssh("DOMAIN\\me@host", "x")),
        ("me@host:22:x", ssh("me@host", "22:x")),
        ("me@[::1]:a:b", ssh("me@::1", "a:b")),
        ("[fe80::1%veth0]:", address("fe80::1%veth0", None, "")),
        ("[fe80::1%25veth0]:4433:in", address("fe80::1%veth0", Some(4433), "in")),
        ("me@[fe80::1%veth0]:x", ssh("me@fe80::1%veth0", "x")),
        ("QFT://FP:INV@10.0.0.7:4433/a", url("QFT://FP:INV@10.0.0.7:4433", "a")),
        ("Qft://fp@h", url("Qft://fp@h", "")),
    ];
    for (arg, spec) in table {
        assert_eq!(parse(arg.as_ref()), Ok(spec), "{arg}");
    }
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    for arg in [
        ":x",
        "a b:c",
        "[::1]",
        "[::1]x:",
        "[nope]:x",
        "[::1",
        "h:0:p",
        "h:65536:",
        "http://h/x",
        "box",
        "a/:",
        "\u{202b}x:",
    ] {
        assert!(parse(arg.as_ref()).is_err(), "{arg}");
    }
}

#[test]
fn a_second_colon_is_refused_with_what_to_write() {
    for (arg, says) in [
        ("vm::module/x", "vm::module/x: one colon is enough (there are no modules): vm:module/x"),
        ("me@vm::in", "me@vm::in: one colon is enough (there are no modules): me@vm:in"),
        ("fe80::1", "fe80::1: an IPv6 address stands in brackets: [fe80::1]:PATH"),
        ("fe80::1%eth0:", "fe80::1%eth0:: an IPv6 address stands in brackets: [fe80::1%eth0]:"),
        ("fe80::1%eth0:in", "fe80::1%eth0:in: an IPv6 address stands in brackets: [fe80::1%eth0]:in"),
        ("2001:db8::7:x", "2001:db8::7:x: an IPv6 address stands in brackets: [2001:db8::7]:x"),
        ("1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8:: an IPv6 address stands in brackets: [1:2:3:4:5:6:7:8]:"),
    ] {
        assert_eq!(parse(arg.as_ref()), Err(Complaint::usage(says)), "{arg}");
    }
    assert_eq!(parse("vm:./:odd".as_ref()), Ok(named("vm", "./:odd")));
}

#[test]
fn a_bare_name_is_enough_where_only_a_remote_can_be_meant() {
    assert_eq!(parse_bare("box".as_ref()), Ok(named("box", "")));
    assert_eq!(parse_bare("box:in".as_ref()), Ok(named("box", "in")));
    assert_eq!(parse_bare("me@host".as_ref()), Ok(ssh("me@host", "")));
    for text in ["fe80::1%veth0", "[fe80::1%veth0]", "[FE80::1%25veth0]:"] {
        assert_eq!(parse_bare(text.as_ref()), Ok(address("fe80::1%veth0", None, "")), "{text}");
    }
    assert!(matches!(parse_bare("QFT://FP@H".as_ref()), Ok(Spec::Url { .. })));
    let error = parse_bare("box/in".as_ref()).expect_err("a path needs its colon");
    assert!(error.to_string().contains("box:in"), "{error}");
    let empty = Complaint::usage("an empty value names no remote: is a variable empty?");
    assert_eq!(parse_bare("".as_ref()), Err(empty));
}

#[test]
fn a_destination_is_never_an_option_of_ssh() {
    for arg in ["-oProxyCommand=x@host:f", "-x@[::1]:f"] {
        assert!(parse(arg.as_ref()).is_err(), "{arg}");
    }
    assert!(parse_bare("-oProxyCommand=x@host".as_ref()).is_err());
}

#[test]
fn any_host_can_be_reached_through_ssh_but_no_port_of_its_own() {
    let through = |arg: &str| parse(arg.as_ref()).expect("well formed").through_ssh();
    assert_eq!(through("box:d"), Ok(ssh("box", "d")));
    assert_eq!(through("me@box:d"), Ok(ssh("me@box", "d")));
    assert_eq!(through("[::1]:d"), Ok(ssh("::1", "d")));
    for arg in ["box:4433:d", "local:d", "qft://fp@h:1/d"] {
        assert!(through(arg).is_err(), "{arg}");
    }
}

#[test]
fn digits_after_one_colon_get_a_hint() {
    let hint = named("box", "4433").port_hint().expect("a hint");
    assert!(hint.contains("box:4433:"), "{hint}");
    assert_eq!(named("box", "4433/x").port_hint(), None);
    assert_eq!(named("box", "").port_hint(), None);
}

#[test]
fn where_no_path_can_be_meant_digits_are_the_port() {
    let read = |arg: &str| parse_bare(arg.as_ref()).expect("well formed").with_port_for_path();
    assert_eq!(read("box:4500"), Ok((named("box", ""), Some(4500))));
    assert_eq!(read("[::1]:4500"), Ok((address("::1", None, ""), Some(4500))));
    for (arg, spec) in [
        ("box", named("box", "")),
        ("box:", named("box", "")),
        ("box:45/x", named("box", "45/x")),
        ("box:4500:", address("box", Some(4500), "")),
        ("box:4500:7", address("box", Some(4500), "7")),
        ("local:4500", Spec::Local { path: b"4500".to_vec() }),
        ("me@box:4500", ssh("me@box", "4500")),
    ] {
        assert_eq!(read(arg), Ok((spec, None)), "{arg}");
    }
    for arg in ["box:0", "box:70000", "[::1]:123456"] {
        let error = read(arg).expect_err("no port").to_string();
        assert!(error.contains("between 1 and 65535"), "{error}");
    }
}

#[test]
fn a_ticket_is_not_shown_by_debug() {
    let spec = parse("qft://fp:secret@h:1/p".as_ref()).expect("a ticket");
    assert!(!format!("{spec:?}").contains("secret"));
}

#[test]
fn a_destination_is_tidied_but_never_climbs() {
    let table = [
        ("", None, true),
        ("/", None, true),
        (".", None, true),
        ("in", Some("in"), false),
        ("/in", Some("in"), false),
        ("in/", Some("in"), true),
        ("./a//b/.", Some("a/b"), true),
    ];
    for (path, to, is_directory) in table {
        let destination = destination(path.as_bytes()).expect("fine");
        assert_eq!(destination.to.as_ref().map(ToString::to_string).as_deref(), to, "{path}");
        assert_eq!(destination.is_directory, is_directory, "{path}");
    }
    for path in ["..", "a/../b", "/..", "x/.y.qft-part"] {
        assert!(destination(path.as_bytes()).is_err(), "{path}");
    }
}

#[test]
fn a_pattern_keeps_the_slash_that_asks_for_contents() {
    for (path, expected) in [("", ""), ("/", ""), ("logs/*.gz", "logs/*.gz"), ("/dir/", "dir/"), ("./a", "a")] {
        assert_eq!(pattern(path.as_bytes()).as_deref(), Ok(expected.as_bytes()), "{path}");
    }
    assert!(pattern(b"../x").is_err());
}

#[test]
fn a_path_goes_below_the_base_of_the_default_remote() {
    assert_eq!(below(b"", b"a"), b"a");
    assert_eq!(below(b"in", b"a"), b"in/a");
    assert_eq!(below(b"in/", b"a"), b"in/a");
    assert_eq!(below(b"in", b""), b"in");
}

proptest! {
    #[test]
    fn no_argument_makes_the_parsers_panic(raw in prop::collection::vec(any::<u8>(), 0..40)) {
        let arg = OsStr::from_bytes(&raw);
        let _ = (parse(arg), parse_bare(arg), destination(&raw), pattern(&raw));
    }

    #[test]
    fn what_looks_like_a_remote_is_one(arg in "[a-z@\\[\\]:/0-9.]{0,24}") {
        if let Ok(spec) = parse(arg.as_ref()) {
            prop_assert!(is_remote(arg.as_ref()));
            prop_assert!(spec.is_same_remote(&spec.clone().with_path(b"else".to_vec())));
        }
    }

    #[test]
    fn name_port_and_path_come_back(name in "[a-z][a-z0-9.-]{0,12}", port in 1_u16.., path in "[a-z/:.]{0,12}") {
        prop_assume!(name != "local");
        // A few of them are IPv6 addresses without their brackets.
        let typed = format!("{name}:{port}:{path}");
        prop_assume!(unbracketed(typed.as_bytes()).is_none());
        let spec = parse(format!("{name}:{port}:{path}").as_ref()).expect("well formed");
        prop_assert_eq!(spec, address(&name, Some(port), &path));
    }

    #[test]
    fn a_pattern_or_destination_never_climbs(path in "[./a]{0,12}") {
        if let Ok(pattern) = pattern(path.as_bytes()) {
            prop_assert!(pattern.split(|b| *b == b'/').all(|part| part != b".."));
            prop_assert!(!pattern.starts_with(b"/"));
        }
    }
}
