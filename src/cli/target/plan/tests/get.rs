//! What is got, and where to.

use super::*;

#[test]
fn get_tells_what_from_where_to() {
    let table = [
        (&["box:a"][..], None, Some("box:a"), &["a"][..], "."),
        (&["box:a", "x"], None, Some("box:a"), &["a"], "x"),
        (&["box:a", "box:b", "x"], None, Some("box:a"), &["a", "b"], "x"),
        (&["box:a", "box:b"], None, Some("box:a"), &["a", "b"], "."),
        (&["a"], None, None, &["a"], "."),
        (&["a", "b", "x"], None, None, &["a", "b"], "x"),
        (&["a", "b", "-o", "x"], None, None, &["a", "b"], "x"),
        (&["a"], Some("box:in"), Some("box:in"), &["in/a"], "."),
        (&["/a/"], Some("box:in/"), Some("box:in/"), &["in/a/"], "."),
        (&["a", "--from", "lab"], Some("box"), Some("lab:"), &["a"], "."),
        (&["box:"], None, Some("box:"), &[""], "."),
    ];
    for (args, env, remote, patterns, into) in table {
        let plan = got(args, env).expect("fine");
        assert_eq!(plan.spec, remote.and_then(spec), "{args:?}");
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        assert_eq!(plan.patterns, patterns, "{args:?}");
        assert_eq!(plan.into, Some(into.into()), "{args:?}");
    }
}

#[test]
fn get_refuses_mixtures() {
    for args in [
        &["box:a", "b", "x"][..],
        &["box:a", "lab:b"],
        &["-"],
        &["box:a", "box:b", "-"],
        &["box:", "-"],
        &["box:a/", "-"],
        &["box:a", "-", "--json"],
        &["box:../a"],
        &["box:a", "--from", "lab"],
        &["local:a/x", "local:b/x", "d"],
    ] {
        assert!(got(args, None).is_err(), "{args:?}");
    }
}

#[test]
fn get_to_standard_output_has_no_directory() {
    let plan = got(&["box:a", "-"], None).expect("fine");
    assert_eq!(plan.into, None);
    assert_eq!(plan.options.transfer.target, Target::Directory);
}

#[test]
fn only_one_plain_remote_file_may_get_a_new_name() {
    let table = [
        (&["box:a", "b"][..], Target::FileOrDirectory),
        (&["box:a", "b/"], Target::Directory),
        (&["box:a", "dir"], Target::Directory),
        (&["box:a"], Target::Directory),
        (&["box:a/", "b"], Target::Directory),
        (&["box:", "b"], Target::Directory),
        (&["box:*.gz", "b"], Target::Directory),
        (&["box:a", "box:b", "c"], Target::Directory),
    ];
    for (args, target) in table {
        assert_eq!(got(args, None).expect("fine").options.transfer.target, target, "{args:?}");
    }
}

#[test]
fn a_local_path_becomes_a_root_and_a_pattern() {
    let table = [
        ("local:src", "", "src"),
        ("local:src/", "", "src/"),
        ("local:/a/b/c", "/a/b/", "c"),
        ("local:/a/b/c/", "/a/b/", "c/"),
        ("local:/a/*/c", "/a/", "*/c"),
        ("local:*.gz", "", "*.gz"),
        ("local:..", "..", ""),
        ("local:../x", "../", "x"),
        ("local:/", "/", ""),
        ("local:", "", ""),
    ];
    for (arg, root, pattern) in table {
        let plan = got(&[arg, "out"], None).expect("fine");
        assert_eq!(plan.spec, Some(Spec::Local { path: root.as_bytes().to_vec() }), "{arg}");
        assert_eq!(plan.patterns, [pattern.as_bytes().to_vec()], "{arg}");
    }
    assert_eq!(got(&["local:d/a", "local:d/b", "out"], None).expect("one root").patterns.len(), 2);
}

#[test]
fn a_pattern_keeps_the_name_that_was_typed() {
    for (typed, pattern) in [("local:data/*.gz", "*.gz"), ("me@host:data/x/a*", "a*"), ("box:data/*.gz", "data/*.gz")] {
        let plan = got(&[typed, "dir"], None).expect("planned");
        assert_eq!(plan.patterns, [pattern.as_bytes()]);
        assert_eq!(plan.typed, [typed.split_once(':').expect("a remote").1]);
    }
}

#[test]
fn ls_of_a_local_path_looks_for_what_is_no_directory_in_its_own() {
    for (typed, root, pattern) in
        [("local:data/*.gz", "data/", "*.gz"), ("local:data/f", "data/", "f"), ("local:a/dir", "a/dir", "")]
    {
        let plan = listed(&[typed], None).expect("planned");
        assert_eq!(plan.pattern, pattern.as_bytes());
        assert!(matches!(plan.spec, Some(Spec::Local { path }) if path == root.as_bytes()), "{typed}");
    }
}
