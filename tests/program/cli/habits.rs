//! What people are used to from other tools: signals, names that are looked up, tildes, colons, pipes.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::bin::{Machine, wait_for};

#[test]
fn a_signal_that_ends_it_is_seen_by_the_parent_and_nothing_is_left_behind() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        if signal == Signal::HUP && is_ignored(signal) {
            println!("skipped: SIGHUP is ignored by whoever runs the tests, and so by what they run");
            continue;
        }
        let local = Machine::new();
        fs::create_dir(local.path("tmp")).expect("made");
        let words = ["send", "--bwlimit", "1M", "-", "local:d/f"];
        let sending = local.qft(words).env("TMPDIR", local.path("tmp")).stdin(&vec![b'x'; 20 << 20]).start();
        wait_for("the first bytes", || local.has("d/.f.qft-part").then_some(()));
        assert!(!local.tree("tmp").is_empty(), "standard input is kept somewhere meanwhile");
        sending.signal(signal);
        let ended = sending.end();
        ended.exits(code).says(&["stopped: ", "the same command continues"]);
        assert_eq!(ended.signal, Some(signal.as_raw()), "a shell must know that its loop was meant too");
        assert_eq!(local.tree("tmp"), Vec::<String>::new());
    }
}

fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("it is there");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("a mask");
    mask >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn a_command_that_is_hung_up_with_nohup_goes_on() {
    let local = Machine::new();
    local.write_large("f", 3 << 20);
    let mut nohup = local.shell("nohup qft send --bwlimit 1M f --to local:d");
    let mut sending =
        nohup.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nohup runs");
    wait_for("the first bytes", || local.has("d/.f.qft-part").then_some(()));
    rustix::process::kill_process(rustix::process::Pid::from_child(&sending), Signal::HUP).expect("it runs");
    assert!(sending.wait().expect("it is ours").success());
    assert!(local.has("d/f"));
}

/// A list of hosts of its own for a command, without any network's names; `None` where that cannot be arranged.
fn with_hosts(local: &Machine, line: &str) -> Option<Command> {
    local.write("hosts", "127.0.0.1 localhost\n");
    local.write("nsswitch", "hosts: files\n");
    let mounts = "mount --bind hosts /etc/hosts && mount --bind nsswitch /etc/nsswitch.conf";
    let can = local.shell(&format!("unshare -m sh -c '{mounts}'")).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: no list of hosts of its own can be given to a command");
        return None;
    }
    Some(local.shell(&format!("unshare -m sh -c '{mounts} && exec qft {line}'")))
}

#[test]
fn a_name_that_leads_nowhere_yet_is_waited_for_like_an_address_that_does_not_answer() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.write("f", "x");
    let ticket = serve.ticket().replace("127.0.0.1", "late.example");
    let Some(mut command) = with_hosts(&local, &format!("send f --to {ticket}")) else { return };
    let log = fs::File::create(local.path("log")).expect("made");
    let mut sending = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
    let said = || String::from_utf8(local.read("log")).expect("text");
    wait_for("a word about the name", || said().contains("cannot find the address of late.example").then_some(()));
    local.write("hosts", "127.0.0.1 late.example\n");
    let status = sending.wait().expect("it is ours");
    assert!(status.success(), "{}", said());
    assert!(said().contains("trying again (1)") && !said().contains("firewall"), "{}", said());
    assert_eq!(remote.tree("in"), ["f"]);
}

#[test]
fn a_name_that_does_not_exist_is_a_mistake_that_is_told_at_once() {
    let local = Machine::new();
    let Some(mut command) = with_hosts(&local, "ls nowhere.example:") else { return };
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("cannot find the address of nowhere.example") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_tilde_behind_a_colon_or_an_option_is_the_home_directory_and_never_a_directory_called_so() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.write("f", "x");
    local.qft(["remote", "add", "box", &serve.pinned()]).run();
    local.qft(["send", "f", "local:~/d"]).run().exits(0);
    assert_eq!(local.read("d/f"), b"x");
    for words in [["send", "f", "box:~/d"], ["get", "box:f", "~/d"], ["get", "box:~/f", "."]] {
        local.qft(words).run().exits(2).says_only(&["./~/"]);
    }
    assert!(!local.has("~") && !remote.has("in/~"));
    remote.qft(["serve", "~"]).run().exits(2).says_only(&["no shell has expanded the ~"]);
    let token = local.qft(["peers", "token", "~/token"]).run();
    token.exits(0);
    assert!(local.has("token"));
    local.qft(["ls", "--token-file=~/token", serve.ticket()]).run().exits(0);
    local.qft(["ls", "box:"]).env("QFT_TOKEN_FILE", "~/token").run().exits(0);
    local.write("list", "f\n");
    local.qft(["send", "--files-from=~/list", ".", "local:listed"]).run().exits(0);
    assert!(local.has("listed/f"));
}

#[test]
fn the_port_of_a_server_is_not_taken_for_the_one_of_ssh() {
    let local = Machine::new();
    local.write("f", "x");
    for line in
        ["send -p 2222 f me@host.invalid:", "get --port 2222 me@host.invalid:f .", "ls -p 2222 me@host.invalid:"]
    {
        local.run(line).exits(2).says_only(&["ssh's own port: -e 'ssh -p 2222'"]);
    }
}

#[test]
fn standard_input_has_its_name_behind_local_too() {
    let local = Machine::new();
    local.qft(["send", "-", "local:d/log"]).stdin(b"line\n").run().exits(0);
    local.qft(["send", "-", "local:log"]).stdin(b"line\n").run().exits(0);
    assert_eq!((local.read("d/log"), local.read("log")), (b"line\n".to_vec(), b"line\n".to_vec()));
    local.qft(["send", "-", "local:d"]).stdin(b"x").run().exits(2).says_only(&["needs a name there"]);
}

#[test]
fn pipes_by_name_are_told_how_dash_does_it() {
    let local = Machine::new();
    local.write("f", "x");
    let run = |line: &str| {
        let output = local.shell(&format!("bash -c '{line}'")).stdin(Stdio::null()).output().expect("bash runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    for line in [
        "qft send <(echo hi) --to local:d",
        "echo hi | qft send /dev/stdin --to local:d",
        "mkfifo p && qft send p --to local:d",
    ] {
        let (code, said) = run(line);
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(said.contains("is a pipe") && said.contains("qft send - REMOTE:NAME <"), "{line}: {said}");
    }
    for line in ["qft get local:f >(cat)", "qft get local:f /dev/null"] {
        let (code, said) = run(line);
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(said.contains("qft get REMOTE:FILE - >"), "{line}: {said}");
    }
    assert!(!local.has("d"), "nothing is made for what is not sent");
}

#[test]
fn a_forgotten_colon_sends_nothing_to_anybody() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let name = String::from_utf8(local.run("remote").stdout).expect("text");
    let name = name.split_whitespace().skip_while(|word| *word != "*").nth(1).expect("the default").to_owned();
    local.write("photo", "x");
    local.write(".ssh/config", "Host far\n  HostName 192.0.2.1\n");
    for (words, line) in [
        (&["send", "photo", &name][..], format!("qft send photo {name}:")),
        (&["send", "photo", "root@far"], "qft send photo root@far:".to_owned()),
        (&["send", "photo", "far"], "qft send photo --ssh far:".to_owned()),
        (&["ls", "root@far"], "qft ls root@far:".to_owned()),
        (&["send", "photo", "127.0.0.1"], "qft send photo 127.0.0.1:".to_owned()),
    ] {
        local.qft(words).run().exits(2).says_only(&[&line]);
    }
    let (host, port) = serve.address().rsplit_once(':').expect("a port");
    local.qft(["send", "photo", &format!("{host}:{port}")]).run().exits(2).says_only(&[&format!("{host}:./{port}")]);
    local.qft(["get", &format!("{name}:12:30.log"), "."]).run().exits(2).says_only(&[&format!("{name}:./12:30.log")]);
    assert_eq!(remote.tree("in"), Vec::<String>::new());
    local.qft(["send", "photo", &format!("{host}:./{port}")]).run().exits(0);
    assert_eq!(remote.tree("in"), [port]);
}

#[test]
fn a_host_that_is_no_server_is_led_to_ssh() {
    let local = Machine::new();
    local.write(".ssh/config", "Host far.example\n  HostName 127.0.0.1\n");
    // Nothing listens on this port: it is the one of the discard service.
    local.run("ls --timeout 1s 127.0.0.1:9:").exits(4).says(&["no answer", "USER@127.0.0.1:, or --ssh"]);
    let Some(mut command) = with_hosts(&local, "ls far.example:") else { return };
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("far.example is a host of ~/.ssh/config") && said.contains("--ssh"), "{said}");
}
