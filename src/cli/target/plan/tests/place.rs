//! Which place is meant.

use super::*;

#[test]
fn without_words_the_default_or_the_only_remote_is_meant() {
    let one = [known("box", "h", 4433, false)];
    let two = [known("box", "h", 4433, false), known("lab", "i", 4433, false)];
    let two_with_default = [known("box", "h", 4433, false), known("lab", "i", 4433, true)];
    assert_eq!(label(None, &one), Ok("box".into()));
    assert_eq!(label(None, &two_with_default), Ok("lab".into()));
    let error = label(None, &two).expect_err("ambiguous");
    for way in ["REMOTE:[PATH]", "--to", "$QFT_REMOTE", "box, lab"] {
        assert!(error.contains(way), "{error}");
    }
    assert!(label(None, &[]).expect_err("none").contains("qft serve"));
}

#[test]
fn a_name_is_a_name_then_an_address_then_a_host() {
    let remotes = [
        known("a", "h", 5000, false),
        known("h", "elsewhere", 1, false),
        known("b", "twice", 4433, false),
        known("c", "twice", 5000, false),
        known("d", "odd", 9, false),
        known("e", "::1", 4433, false),
    ];
    for (spec, name) in
        [("h:", "h"), ("twice:", "b"), ("odd:", "d"), ("twice:5000:", "c"), ("A:", "a"), ("[::1]:x", "e")]
    {
        assert_eq!(label(Some(spec), &remotes), Ok(name.into()), "{spec}");
    }
}

#[test]
fn an_unknown_host_is_a_stranger_at_its_address() {
    let remotes = [known("box", "h", 4433, true)];
    let table =
        [("other:", "other:4433"), ("h:9:", "h:9"), ("[::2]:", "[::2]:4433"), ("box.example:x", "box.example:4433")];
    for (text, unknown_server) in table {
        assert_eq!(label(Some(text), &remotes), Ok(format!("stranger {unknown_server}")), "{text}");
    }
}

#[test]
fn only_a_word_that_may_be_a_remotes_name_is_looked_for_among_them_when_no_machine_has_it() {
    let remotes = [known("box", "h", 4433, true)];
    let unknown = |text: &str| match place(spec(text).as_ref(), &remotes, None, fresh) {
        Ok(ResolvedName::Unknown(unknown_server)) => unknown_server.unknown,
        _ => panic!("{text} is a stranger"),
    };
    let text = unknown("bxo:").expect("a word");
    assert!(text.contains("known: box") && text.contains("qft serve --invite"), "{text}");
    assert_eq!((unknown("bxo.example:"), unknown("bxo:9:")), (None, None));
}

#[test]
fn what_cannot_be_a_host_is_not_asked_for() {
    for text in ["a_b$:", "-oProxy=x:", "a..b:"] {
        let error = place(spec(text).as_ref(), &[], None, fresh).err().expect("unknown");
        assert_eq!(crate::cli::exit::Exit::of_error(&error).code(), 4, "{text}");
        assert!(error.to_string().contains("qft serve --invite"), "{error}");
    }
}

#[test]
fn a_port_makes_a_machine_of_a_name() {
    let remotes = [known("box", "h", 4433, true), known("two", "h", 5000, false)];
    let found = |text: &str, port| match place(spec(text).as_ref(), &remotes, Some(port), fresh) {
        Ok(ResolvedName::Server(ServerTarget::Remote { label, .. })) => Ok(label),
        Ok(ResolvedName::Unknown(unknown_server)) => {
            Ok(format!("stranger {}", address(&unknown_server.host, unknown_server.port)))
        }
        Ok(ResolvedName::Server(_)) => panic!("{text} is remote"),
        Err(error) => Err(error.to_string()),
    };
    let table = [
        ("h:", 5000, "two"),
        ("box:", 5000, "two"),
        ("box:", 4433, "box"),
        ("h:", 1, "stranger h:1"),
        ("box:", 1, "stranger h:1"),
        ("new:", 1, "stranger new:1"),
        ("[::1]:", 7, "stranger [::1]:7"),
    ];
    for (text, port, label) in table {
        assert_eq!(found(text, port), Ok(label.to_owned()), "{text} -p {port}");
    }
    for text in ["h:1:", "qft://x", "local:d", "me@h:"] {
        assert!(found(text, 9).is_err(), "{text}");
    }
    assert!(place(None, &remotes, Some(1), fresh).is_err(), "a port without a host");
}

#[test]
fn a_ticket_is_new_unless_its_key_and_address_are_known() {
    assert_eq!(label(Some("qft://x"), &[]), Ok("fresh (new)".into()));
    assert_eq!(label(Some("qft://x"), &[known("box", "fresh", 9, true)]), Ok("fresh (new)".into()));
    assert_eq!(label(Some("qft://x"), &[known("box", "fresh", 4433, true)]), Ok("box".into()));
}

#[test]
fn the_header_names_target_and_address() {
    let remote = ServerTarget::Remote {
        contact: ticket("203.0.113.7", 4433).into(),
        label: "box".into(),
        known_status: KnownStatus::Certified,
    };
    assert_eq!(remote.header("->", "incoming/"), "-> box:incoming/  203.0.113.7:4433");
    let remote = ServerTarget::Remote {
        contact: ticket("::1", 1).into(),
        label: "six".into(),
        known_status: KnownStatus::Certified,
    };
    assert_eq!(remote.header("<-", "a"), "<- six:a  [::1]:1");
    assert_eq!(ServerTarget::Local { root: "/srv/x".into() }.header("->", ""), "-> local:/srv/x");
}
