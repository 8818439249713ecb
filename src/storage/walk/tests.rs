use super::*;
use crate::protocol::message::Status;
use crate::protocol::path::{WirePath, escape};
use crate::storage::request::local_requests;
use crate::storage::testing::{TestRoot, opening_after, opening_only, wire};
use rustix::fs::FileType;
use std::fs;
use std::os::unix::fs::symlink;

fn all(place: &TestRoot, at: Option<&str>, name: Option<&str>) -> Vec<WalkRequest> {
    vec![WalkRequest { root: place.tree(), at: at.map(wire), name: name.map(wire), whole: true, named: true }]
}

/// One line for each item: files as `place=name`, problems with `!`, notes with `#`.
fn lines(walk: Walk) -> Vec<String> {
    walk.map(|found| match found {
        WalkEntry::File { at, name, meta, .. } => match meta.kind {
            Kind::File => format!("{at}={name}"),
            Kind::Dir => format!("{at}={name}/"),
            Kind::Link(target) => format!("{at}={name}->{}", escape(&target)),
        },
        WalkEntry::Problem { name, failure } => format!("!{} {:?}", escape(&name), failure.status),
        WalkEntry::Note(text) => format!("#{text}"),
    })
    .collect()
}

fn simple(place: &TestRoot, at: Option<&str>, name: Option<&str>) -> Vec<String> {
    lines(walk(all(place, at, name), Filters::none(), Links::Skip))
}

#[test]
fn names_come_in_order_and_directories_before_their_contents() {
    let place = TestRoot::new();
    for file in ["b/z", "b/a", "a", "c", "b-", "B"] {
        place.write(file, b"x");
    }
    fs::create_dir(place.path("empty")).unwrap();
    let expected = ["B=B", "a=a", "b=b/", "b/a=b/a", "b/z=b/z", "b-=b-", "c=c", "empty=empty/"];
    assert_eq!(simple(&place, None, None), expected);
}

#[test]
fn a_walk_that_nobody_wants_any_more_tries_nothing_twice() {
    let place = TestRoot::new();
    ["d/a", "e/b"].iter().for_each(|file| place.write(file, b"x"));
    let unwanted = walk(all(&place, None, None), Filters::none(), Links::Skip).until(|| true);
    // The top is open already.
    let found = opening_after(2, Errno::MFILE, || lines(unwanted));
    assert_eq!(found, ["d=d/", "!d ReadFailed", "e=e/", "!e ReadFailed"]);
    let named = walk(all(&place, Some("d/a"), Some("a")), Filters::none(), Links::Skip).until(|| true);
    assert_eq!(opening_after(1, Errno::MFILE, || lines(named)), ["!a ReadFailed"]);
}

#[test]
fn a_walk_of_directories_looks_at_nothing_else() {
    let place = TestRoot::new();
    ["a", "d/b", "d/e/c"].iter().for_each(|file| place.write(file, b"x"));
    symlink("d", place.path("l")).unwrap();
    let found = lines(walk(all(&place, None, None), Filters::none(), Links::List).of_directories());
    assert_eq!(found, ["d=d/", "d/e=d/e/"]);
    let asked = walk(all(&place, Some("a"), Some("a")), Filters::none(), Links::List).of_directories();
    assert_eq!(lines(asked), ["a=a"], "what is asked for by its name is found");
}

#[test]
fn names_on_the_wire_follow_the_request() {
    let place = TestRoot::new();
    place.write("d/e/f", b"x");
    assert_eq!(simple(&place, Some("d"), Some("n")), ["d=n/", "d/e=n/e/", "d/e/f=n/e/f"]);
    assert_eq!(simple(&place, Some("d"), None), ["d/e=e/", "d/e/f=e/f"]);
    assert_eq!(simple(&place, Some("d/e/f"), Some("x/y")), ["d/e/f=x/y"]);
    assert_eq!(simple(&place, None, Some("n")), ["d=n/d/", "d/e=n/d/e/", "d/e/f=n/d/e/f"]);
}

#[test]
fn a_command_line_is_walked_by_rsyncs_rule() {
    let place = TestRoot::new();
    place.write("dir/a", b"x");
    place.write("file", b"x");
    let walked = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|path| place.path(path)).collect();
        let requests = local_requests(&paths).into_iter().map(Result::unwrap).collect();
        lines(walk(requests, Filters::none(), Links::Skip))
    };
    assert_eq!(walked(&["dir", "file"]), ["dir=dir/", "dir/a=dir/a", "file=file"]);
    assert_eq!(walked(&["dir/", "file"]), ["a=a", "file=file"]);
}

#[test]
fn part_files_are_left_out_and_what_only_ends_like_them_is_a_problem() {
    let place = TestRoot::new();
    for file in ["a", ".a.qft-part", ".c.QFT-PART", "b.qft-part", "d/.e.qft-part"] {
        place.write(file, b"x");
    }
    place.write(".f.qft-part/g", b"x");
    let names = ["!.f.qft-part BadName", "a=a", "!b.qft-part BadName", "d=d/"];
    assert_eq!(simple(&place, None, None), names, "for who only looks");
    let read = walk(all(&place, None, None), Filters::none(), Links::Skip).of_files_to_read();
    let (one, two) =
        ("#d: 1 unfinished file of earlier transfers left out", "#.: 2 unfinished files of earlier transfers left out");
    assert_eq!(lines(read), [&names[..], &[one, two]].concat());
}

#[test]
fn what_cannot_be_sent_is_a_problem_and_the_rest_goes_on() {
    let place = TestRoot::new();
    place.write("z", b"x");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, place.path("fifo"), FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    let mut requests = all(&place, Some("gone"), Some("named"));
    requests.extend(all(&place, Some("z"), None));
    requests.extend(all(&place, None, None));
    assert_eq!(
        lines(walk(requests, Filters::none(), Links::Skip)),
        ["!named NotFound", "!z BadName", "#fifo: named pipe left out", "#socket: socket left out", "z=z"]
    );
}

#[test]
fn what_is_not_sent_is_a_problem_where_it_was_named_and_a_note_where_a_pattern_came_across_it() {
    let place = TestRoot::new();
    place.write("d/f", b"x");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, place.path("fifo"), FileType::Fifo, mode, 0).unwrap();
    for (named, expected) in [
        (true, ["!fifo Unsupported", "!d BadName"]),
        (false, ["#fifo: named pipe left out", "#d: left out, for it is where the files go"]),
    ] {
        let mut requests = [all(&place, Some("fifo"), Some("fifo")), all(&place, Some("d"), Some("d"))].concat();
        requests.iter_mut().for_each(|request| request.named = named);
        let walk = walk(requests, Filters::none(), Links::Skip).leaving_out(LeftOut::at(Some(place.path("d"))));
        assert_eq!(lines(walk), expected);
    }
}

#[test]
fn a_directory_is_not_guessed_to_be_where_the_files_go_or_not() {
    let place = TestRoot::new();
    ["d/a", "e/b"].iter().for_each(|file| place.write(file, b"x"));
    let walk_to = |destination: &str| {
        let requests = [all(&place, Some("d"), Some("d")), all(&place, None, None)].concat();
        let to = LeftOut::at(Some(place.path(destination)));
        walk(requests, Filters::none(), Links::Skip).leaving_out(to).until(|| true)
    };
    for errno in [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::STALE] {
        let (walk, unknown) = (walk_to("d"), ["!d ReadFailed", "!d ReadFailed", "!e ReadFailed"]);
        assert_eq!(opening_only(0, errno, || lines(walk)), unknown, "{errno}");
    }
    for none in ["none", "none/below", "d/a", "d/a/below"] {
        assert_eq!(lines(walk_to(none)), ["d=d/", "d/a=d/a", "d=d/", "d/a=d/a", "e=e/", "e/b=e/b"], "{none}");
    }
    assert_eq!(lines(walk_to("d")), ["!d BadName", "#d: left out, for it is where the files go", "e=e/", "e/b=e/b"]);
}

#[test]
fn a_directory_that_cannot_be_read_is_a_problem_and_the_rest_goes_on() {
    let place = TestRoot::new();
    for file in ["a/x", "b/x", "c"] {
        place.write(file, b"x");
    }
    let mut walk = walk(all(&place, None, None), Filters::none(), Links::Skip);
    assert!(matches!(walk.next(), Some(WalkEntry::File { name, .. }) if name == wire("a")));
    fs::remove_dir_all(place.path("a")).unwrap();
    assert_eq!(lines(walk), ["!a NotFound", "b=b/", "b/x=b/x", "c=c"]);
}

#[test]
fn a_directory_without_permission_is_not_allowed() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    let place = TestRoot::new();
    place.write("a/x", b"x");
    fs::set_permissions(place.path("a"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    assert_eq!(simple(&place, None, None), ["a=a/", "!a NotAllowed"]);
    fs::set_permissions(place.path("a"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn a_directory_swapped_for_a_link_is_not_entered() {
    let place = TestRoot::new();
    place.write("a/x", b"x");
    let mut walk = walk(all(&place, None, None), Filters::none(), Links::Skip);
    walk.next().unwrap();
    fs::remove_dir_all(place.path("a")).unwrap();
    symlink("../outside", place.path("a")).unwrap();
    assert_eq!(lines(walk), ["!a BadName"]);
}

#[test]
fn links_are_left_out_or_copied_when_they_stay_inside() {
    let place = TestRoot::new();
    place.write("d/e/f", b"x");
    for (target, link) in
        [("e/f", "d/in"), ("../e/f", "d/e/up"), ("../x", "d/out"), ("/etc", "d/abs"), ("..", "d/e/top")]
    {
        symlink(target, place.path(link)).unwrap();
    }
    let copied = lines(walk(all(&place, Some("d"), Some("d")), Filters::none(), Links::Copy));
    let expected = [
        "d=d/",
        "#d/abs: symbolic link to /etc left out: its target lies outside the tree",
        "d/e=d/e/",
        "d/e/f=d/e/f",
        "d/e/top=d/e/top->..",
        "d/e/up=d/e/up->../e/f",
        "d/in=d/in->e/f",
        "#d/out: symbolic link to ../x left out: its target lies outside the tree",
    ];
    assert_eq!(copied, expected);
    let skipped = simple(&place, Some("d"), Some("d"));
    assert_eq!(skipped.iter().filter(|line| line.starts_with('#')).count(), 5);
    assert_eq!(skipped[1], "#d/abs: symbolic link left out (--links copies it)");
}

#[test]
fn whoever_only_looks_sees_links_wherever_they_lead() {
    let place = TestRoot::new();
    fs::create_dir(place.path("d")).unwrap();
    symlink("/etc", place.path("d/abs")).unwrap();
    symlink("../../x", place.path("d/out")).unwrap();
    let listed = lines(walk(all(&place, Some("d"), Some("d")), Filters::none(), Links::List));
    assert_eq!(listed, ["d=d/", "d/abs=d/abs->/etc", "d/out=d/out->../../x"]);
}

fn followed(place: &TestRoot, at: &str) -> Vec<String> {
    walk(all(place, Some(at), Some(at)), Filters::none(), Links::Follow)
        .map(|found| match found {
            WalkEntry::File { root, at, name, meta } if meta.kind == Kind::File => {
                let size = root.stat(&at).unwrap().unwrap().size;
                format!("{name} {size}")
            }
            WalkEntry::File { name, meta, .. } => {
                assert_eq!(meta.kind, Kind::Dir, "no link is left");
                format!("{name}/")
            }
            WalkEntry::Problem { name, failure } => format!("!{} {failure}", escape(&name)),
            WalkEntry::Note(text) => format!("#{text}"),
        })
        .collect()
}

#[test]
fn links_that_are_followed_stand_for_what_they_lead_to_also_outside_the_tree() {
    let place = TestRoot::new();
    place.write("outside/deep/f", b"123");
    place.write("one", b"1");
    fs::create_dir_all(place.path("d/e")).unwrap();
    symlink("../one", place.path("d/file")).unwrap();
    symlink(place.path("outside"), place.path("d/e/tree")).unwrap();
    symlink("file", place.path("d/twice")).unwrap();
    let found = followed(&place, "d");
    assert_eq!(found, ["d/", "d/e/", "d/e/tree/", "d/e/tree/deep/", "d/e/tree/deep/f 3", "d/file 1", "d/twice 1"]);
}

#[test]
fn a_link_that_leads_into_itself_to_nothing_or_to_no_file_ends_the_walk_of_nothing_else() {
    let place = TestRoot::new();
    place.write("d/e/f", b"123");
    symlink("../..", place.path("d/e/above")).unwrap();
    symlink("..", place.path("d/e/loop")).unwrap();
    symlink("round", place.path("d/round")).unwrap();
    symlink("nowhere", place.path("d/none")).unwrap();
    symlink("/dev/null", place.path("d/null")).unwrap();
    symlink("/", place.path("d/top")).unwrap();
    let found = followed(&place, "d");
    assert!(found.contains(&"d/e/f 3".to_owned()), "{found:?}");
    assert!(
        found.contains(&"#d/e/loop: symbolic link to a directory that it lies in left out".to_owned()),
        "{found:?}"
    );
    assert!(found.contains(&"!d/none not found: the symbolic link leads to nowhere".to_owned()), "{found:?}");
    assert!(found.contains(&"#d/null: symbolic link to a device left out".to_owned()), "{found:?}");
    assert!(found.contains(&"#d/top: symbolic link to / left out".to_owned()), "{found:?}");
    let round = "!d/round not possible: its symbolic links lead round in a circle";
    assert_eq!(found.iter().filter(|line| *line == round).count(), 1, "{found:?}");
    // What lies above is walked once, from there.
    assert_eq!(found.iter().filter(|line| line.ends_with("/f 3")).count(), 2, "{found:?}");
}

#[test]
fn where_filters_leave_nothing_the_first_that_did_is_named() {
    let place = TestRoot::new();
    for file in ["d/a.txt", "d/b/c.txt"] {
        place.write(file, b"x");
    }
    let walked = |excludes: &[&str], includes: &[&str]| {
        let filters = Filters::new(excludes, includes).unwrap();
        lines(walk(all(&place, Some("d"), Some("d")), filters, Links::Skip))
    };
    assert_eq!(walked(&["*"], &[]), ["#everything was excluded: d by '*'"]);
    let hinted = walked(&["*"], &["*.txt"]);
    assert!(hinted.len() == 1 && hinted[0].ends_with("(--include '*/' keeps directories)"), "{hinted:?}");
    assert_eq!(walked(&["*.txt"], &[]), ["d=d/", "d/b=d/b/", "#everything was excluded: d/a.txt by '*.txt'"]);
    let recipe = walked(&["*"], &["*/", "*.txt"]);
    assert_eq!(recipe, ["d=d/", "d/a.txt=d/a.txt", "d/b=d/b/", "d/b/c.txt=d/b/c.txt"]);
    assert!(walked(&["b/"], &[]).iter().all(|line| !line.starts_with('#')));
}

#[test]
fn filters_leave_out_files_and_whole_directories() {
    let place = TestRoot::new();
    for file in ["a.log", "keep.log", "target/x", "src/target/x", "src/a.rs", "src/b.log"] {
        place.write(file, b"x");
    }
    symlink("a.log", place.path("link.log")).unwrap();
    let filters = Filters::new(&["*.log", "/target"], &["keep.log"]).unwrap();
    let found = lines(walk(all(&place, None, None), filters, Links::Skip));
    let expected =
        ["keep.log=keep.log", "src=src/", "src/a.rs=src/a.rs", "src/target=src/target/", "src/target/x=src/target/x"];
    assert_eq!(found, expected);
    let named = Filters::new(&["*.log"], &[]).unwrap();
    let named = lines(walk(all(&place, Some("a.log"), Some("a.log")), named, Links::Skip));
    assert_eq!(named, ["#everything was excluded: a.log by '*.log'"]);
}

#[test]
fn odd_names_are_found_and_too_long_paths_are_problems() {
    let place = TestRoot::new();
    let odd = WirePath::parse(b"new\nline\xff").unwrap();
    fs::write(place.path(odd.as_path()), b"x").unwrap();
    let mut found = walk(all(&place, None, None), Filters::none(), Links::Skip);
    assert!(matches!(found.next(), Some(WalkEntry::File { at, name, .. }) if at == odd && name == odd));
    assert!(found.next().is_none());
    // 128 components are the limit of a path on the wire.
    let deep = ["d"; 127].join("/");
    let named = lines(walk(all(&place, None, Some(&deep)), Filters::none(), Links::Skip));
    assert_eq!(named.len(), 1);
    let deeper = ["d"; 128].join("/");
    let refused = walk(all(&place, None, Some(&deeper)), Filters::none(), Links::Skip).next().unwrap();
    let WalkEntry::Problem { failure, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(failure.status, Status::BadName);
}

#[test]
fn a_walk_may_go_to_another_thread_and_gives_the_files_themselves() {
    let place = TestRoot::new();
    place.write("d/a", b"12345");
    let walk = walk(all(&place, None, None), Filters::none(), Links::Skip);
    let found = thread::spawn(move || walk.last().unwrap()).join().unwrap();
    let WalkEntry::File { root, at, meta, .. } = found else { panic!("{found:?}") };
    assert_eq!(root.open_source(&at).unwrap().meta(), &meta);
    assert_eq!(meta.size, 5);
}
