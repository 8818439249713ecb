//! Paths behind ssh.

use super::*;

fn far(spec: Option<&Spec>) -> &str {
    match spec {
        Some(Spec::Ssh { destination, .. }) => destination,
        _ => "no ssh",
    }
}

#[test]
fn a_destination_behind_ssh_goes_there_as_it_was_typed() {
    for (args, path, target) in [
        (&["a", "me@box:"][..], "", Target::Directory),
        (&["a", "me@box:new"], "new", Target::FileOrDirectory),
        (&["a", "me@box:/abs/new"], "/abs/new", Target::FileOrDirectory),
        (&["a", "me@box:../x/"], "../x/", Target::Directory),
        (&["a", "me@box:~"], "~", Target::Directory),
        (&["a", "b", "me@box:x"], "x", Target::Directory),
        (&["a", "--ssh", "box:x/"], "x/", Target::Directory),
    ] {
        let plan = sent(args, None).expect("fine");
        assert_eq!((plan.far, plan.options.to), (vec![path.as_bytes().to_vec()], None), "{args:?}");
        assert_eq!(plan.options.transfer.target, target, "{args:?}");
        assert!(far(plan.spec.as_ref()).ends_with("box"), "{args:?}");
    }
    let plan = sent(&["-", "me@box:x/d.tar"], None).expect("fine");
    assert_eq!((plan.far, plan.source), (vec![b"x/".to_vec()], SendSource::Stdin("d.tar".into())));
    assert!(sent(&["-", "me@box:x/"], None).is_err());
    assert_eq!(sent(&["a", "me@box:", "--no-sync"], None).expect("fine").hints, Vec::<String>::new());
}

#[test]
fn a_path_behind_ssh_becomes_a_directory_and_a_pattern() {
    for (path, dir, pattern) in [
        ("", "", ""),
        ("a", "", "a"),
        ("logs/*.gz", "logs/", "*.gz"),
        ("a*/b/c", "", "a*/b/c"),
        ("/abs/x", "/abs/", "x"),
        ("data/", "data/", ""),
        ("data*/", "", "data*/"),
        ("..", "..", ""),
        ("../x", "../", "x"),
        ("~", "~", ""),
        ("~/x", "~/", "x"),
        ("/", "/", ""),
    ] {
        let arg = format!("me@box:{path}");
        let plan = got(&[&arg, "out"], None).expect("fine");
        assert_eq!((plan.far, plan.patterns), (vec![dir.into()], vec![pattern.as_bytes().to_vec()]), "{arg}");
        let plan = listed(&[&arg], None).expect("fine");
        assert_eq!((plan.far, plan.pattern), (vec![dir.into()], pattern.as_bytes().to_vec()), "{arg}");
    }
    let plan = got(&["me@box:a/x", "me@box:b/y", "out"], None).expect("one host");
    assert_eq!((plan.far.len(), plan.shown.as_str()), (2, "a/x b/y"));
    assert_eq!(got(&["x", "-o", "."], Some("me@box:d")).expect("fine").far, [b"d/".to_vec()]);
}

#[test]
fn patterns_are_found_below_the_root_that_the_far_end_chose() {
    for (pattern, name, whole) in
        [("*.gz", "", "*.gz"), ("*.gz", "logs", "logs/*.gz"), ("", "", ""), ("", "logs", "logs/")]
    {
        assert_eq!(
            below_far_root(vec![pattern.into()], &[name.into()]),
            [whole.as_bytes().to_vec()],
            "{name} {pattern}"
        );
    }
}

#[test]
fn options_of_ssh_are_refused_where_ssh_is_not_used() {
    for args in [
        &["a", "box:", "--remote-qft", "x"][..],
        &["a", "box:", "--ssh-ports", "1-2"],
        &["a", "--ssh"],
        &["a", "local:d", "--ssh"],
        &["a", "box:4433:", "--ssh"],
    ] {
        assert!(sent(args, None).is_err_and(|error| error.to_string().contains("ssh")), "{args:?}");
    }
    assert!(sent(&["a", "me@box:", "--remote-qft", "x", "--ssh-ports", "1-2", "-e", "ssh -p 2222"], None).is_ok());
}
