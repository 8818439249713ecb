//! What of a tree is meant: names from a list, one file system, and the address that is called from.

use std::fs;
use std::process::Stdio;

use crate::support::bin::{Machine, wait_for};

#[test]
fn a_list_names_what_is_sent_and_each_name_keeps_its_directories() {
    let machine = Machine::new();
    for file in ["s/a", "s/d/b", "s/d/e/c", "s/#odd", "s/unlisted", "s/w/deep/f"] {
        machine.write(file, file);
    }
    machine.set_mode("s/d", 0o750);
    machine.write("list", "# what is sent\na\n\n./d/b\r\nd/e\nw/\n.\n");
    machine.run("send --files-from list s --to local:there").exits(0);
    let expected = ["a", "d/", "d/b", "d/e/", "w/", "w/deep/", "w/deep/f"];
    assert_eq!(machine.tree("there"), expected);
    assert_eq!(machine.mode("there/d"), 0o750, "a directory on the way is sent as it is");
    machine.run("send --files-from list s --to local:there").exits(0).says(&["nothing to send"]);

    // As find and others write it, from standard input, below the current directory.
    let sent = machine.qft(["send", "--files-from", "-", "-0", "local:nul"]).stdin(b"./s/#odd\0s/d/b\0");
    sent.run().exits(0);
    assert_eq!(machine.tree("nul"), ["s/", "s/#odd", "s/d/", "s/d/b"]);
    machine.write("list", "d\n");
    machine.run("send -r --files-from list s local:deep").exits(0);
    assert_eq!(machine.tree("deep"), ["d/", "d/b", "d/e/", "d/e/c"]);

    // What is missing is told by its name, and the rest arrives; what is no name stops before anything is done.
    machine.write("list", "a\ngone/x\n");
    machine.run("send --files-from list s local:some").exits(3).says(&["gone/x", "not found"]);
    assert_eq!(machine.tree("some"), ["a"]);
    machine.write("list", "a\n../s/a\n");
    machine.run("send --files-from list s local:none").exits(2).says(&["list, line 2", "../s/a"]);
    machine.write("list", "/etc/hostname\n");
    machine.run("send --files-from list local:none").exits(2).says(&["is absolute"]);
    machine.run("send --files-from list s d local:none").exits(2).says(&["one directory"]);
    machine.run("send --files-from gone local:none").exits(1).says(&["gone"]);
    machine.run("send -0 s local:none").exits(2);
    assert!(!machine.has("none"));
}

#[test]
fn a_list_names_what_is_got_however_long_it_is() {
    let (here, there) = (Machine::new(), Machine::new());
    for n in 0..2500 {
        there.write(&format!("out/sub/d{}/{n}", n % 7), "");
    }
    there.write("out/sub/[x]", "a name and no pattern");
    there.write("out/sub/unlisted", "x");
    let serve = there.serve("out", "");
    let list: String = (0..2500).map(|n| format!("d{}/{n}\n", n % 7)).collect();
    here.write("list", format!("{list}[x]\n*\n"));
    here.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    here.run("get --files-from list box:sub here").exits(3).says(&["*: not found"]).does_not_say("unlisted");
    let got = here.tree("here");
    assert_eq!(got.len(), 2500 + 7 + 1);
    assert!(got.contains(&"d3/10".to_owned()) && got.contains(&"[x]".to_owned()));
    here.write("list", "sub/d1/1\n");
    here.run("get --files-from list").exits(0);
    assert_eq!(here.tree("sub"), ["d1/", "d1/1"]);
    here.write("list", "d1/1\n");
    here.qft(["get", "--files-from", "list", &format!("local:{}", there.path("out/sub").display()), "local"])
        .run()
        .exits(0);
    assert_eq!(here.tree("local"), ["d1/", "d1/1"]);
    here.run("get --files-from list box:a box:b .").exits(2).says(&["one directory"]);
    here.run("get --files-from list box: -").exits(2).says(&["takes one file"]);
}

/// Runs a line where another file system is mounted on `s/mnt`, with a file `f` in it. `None` where nothing may be mounted.
fn with_mount(machine: &Machine, line: &str) -> Option<bool> {
    let mounts = "mount -t tmpfs none s/mnt && echo x >s/mnt/f";
    let can = machine.shell(&format!("unshare -m sh -c '{mounts}'")).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: nothing may be mounted here");
        return None;
    }
    let ran = machine.shell(&format!("unshare -m sh -c '{mounts} && exec qft {line}'")).status();
    Some(ran.expect("unshare runs").success())
}

#[test]
fn a_tree_is_walked_on_its_own_file_system_alone_where_that_was_asked_for() {
    let machine = Machine::new();
    machine.write("s/a", "x");
    fs::create_dir(machine.path("s/mnt")).expect("made");
    for (line, copy, expected) in [
        ("send -q s --to local:all", "all", &["s/", "s/a", "s/mnt/", "s/mnt/f"][..]),
        ("send -q -x s --to local:own", "own", &["s/", "s/a", "s/mnt/"]),
        ("send -q -x s s/mnt --to local:named", "named", &["mnt/", "mnt/f", "s/", "s/a", "s/mnt/"]),
        ("get -q --one-file-system local:s got", "got", &["s/", "s/a", "s/mnt/"]),
        ("get -q -x \"local:s/**/f\" globbed", "globbed", &[]),
        ("get -q -x local:s/*/f in", "in", &["f"]),
    ] {
        let Some(ended_well) = with_mount(&machine, line) else { return };
        assert_eq!(ended_well, !expected.is_empty(), "{line}");
        assert_eq!(machine.tree(copy), expected, "{line}");
    }
}

#[test]
fn a_client_calls_from_the_address_that_it_is_told() {
    let (here, there) = (Machine::new(), Machine::new());
    here.write("f", "x");
    let serve = there.serve("in", "--json");
    let ticket = serve.ticket();
    here.qft(["send", "--bind", "127.0.0.2", "f", "--to", ticket]).run().exits(0);
    here.run("get --bind 127.0.0.3 f .").exits(0);
    here.run("ls --bind 127.0.0.4").exits(0).prints("f\n");
    here.qft(["doctor", "--bind", "127.0.0.5", "--time", "1s", ticket]).run().exits(0);
    for n in 2..=5 {
        let address = format!("127.0.0.{n}:");
        wait_for(&address, || serve.json().iter().any(|event| event.to_string().contains(&address)).then_some(()));
    }
    here.run("send --bind ::1 f").exits(1).says(&["local address ::1", "no IPv6 address"]);
    here.run("send --bind 192.0.2.1 f").exits(1).says(&["local address 192.0.2.1"]);
    here.run("send --bind localhost f").exits(2).says(&["an address of this machine"]);
}
