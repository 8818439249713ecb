//! Plans of `qft send`.

use super::*;

#[test]
fn send_takes_a_remote_off_the_end() {
    let plan = sent(&["a", "b", "box:in/"], Some("other")).expect("fine");
    assert_eq!(plan.spec, spec("box:in/"));
    assert_eq!(plan.source, SendSource::Paths(vec!["a".into(), "b".into()]));
    assert_eq!(plan.options.to.as_ref().map(ToString::to_string).as_deref(), Some("in"));
    assert_eq!(plan.shown, "in/");
    assert!(sent(&["box:"], None).is_err(), "nothing to send");
    assert!(sent(&["box:", "a"], None).is_err(), "the remote is not last");
    assert!(sent(&["a", "box:", "--to", "lab"], None).is_err(), "named twice");
    assert!(sent(&["-z", "a", "box:"], None).is_err(), "no compression");
    assert!(sent(&["--delete", "a", "box:"], None).is_err(), "no deletion");
    assert!(sent(&["", "box:"], None).is_err(), "an empty variable");
}

#[test]
fn only_one_plain_file_may_get_a_new_name() {
    let table = [
        (&["a", "box:b"][..], Target::FileOrDirectory),
        (&["a", "box:b/"], Target::Directory),
        (&["a", "box:"], Target::Directory),
        (&["a", "b", "box:c"], Target::Directory),
        (&["dir", "box:c"], Target::Directory),
        (&["dir/", "box:c"], Target::Directory),
    ];
    for (args, target) in table {
        assert_eq!(sent(args, None).expect("fine").options.transfer.target, target, "{args:?}");
    }
}

#[test]
fn standard_input_needs_a_name_and_no_company() {
    let plan = sent(&["-", "box:in/d.tar"], None).expect("fine");
    assert_eq!(plan.source, SendSource::Stdin("d.tar".into()));
    assert_eq!(plan.options.to.map(|to| to.to_string()).as_deref(), Some("in"));
    assert_eq!(plan.options.transfer.target, Target::Directory);
    assert_eq!(sent(&["-"], Some("box:x")).expect("fine").options.to, None);
    let plan = sent(&["-", "local:in/log"], None).expect("fine");
    assert_eq!((plan.spec, plan.source), (spec("local:in/"), SendSource::Stdin("log".into())));
    let plan = sent(&["-", "local:log"], None).expect("fine");
    assert_eq!((plan.spec, plan.source), (spec("local:"), SendSource::Stdin("log".into())));
    for args in [
        &["-", "box:"][..],
        &["-", "box:in/"],
        &["-", "a", "box:x"],
        &["-", "local:"],
        &["-", "local:x/"],
        &["-", "local:dir"],
    ] {
        assert!(sent(args, None).is_err(), "{args:?}");
    }
}

#[test]
fn local_serves_the_directory_itself() {
    let plan = sent(&["a", "local:/srv/x"], None).expect("fine");
    assert_eq!((plan.options.to, plan.options.transfer.target), (None, Target::Directory));
    assert_eq!(label(Some("local:/srv/x"), &[]), Ok("local /srv/x".into()));
    assert_eq!(label(Some("local:"), &[]), Ok("local .".into()));
}
