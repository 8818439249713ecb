//! Keys, tokens and lists: who may hold them, where they lie, and what of this machine a command can reach at all.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::paired;
use crate::support::bin::{Machine, Serve, wait_for};

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: only root can");
    }
    is_root
}

#[test]
fn root_uses_no_home_of_another_user() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.run("id").exits(0);
    machine.write("in/f", "x");
    machine.write_private("home/authorized_clients", "");
    machine.give_to_nobody("home/authorized_clients");
    machine.run("serve in -l 127.0.0.1:0").exits(5).says_only(&["authorized_clients", "uid 65534", "QFT_HOME"]);
    machine.give_to_nobody("home");
    for line in ["id", "serve in -l 127.0.0.1:0", "send in --to box.invalid:"] {
        machine.run(line).exits(5).says_only(&["home", "belongs to another user", "sudo"]);
    }
    // Nor does it make one there.
    machine.qft(["id"]).env("QFT_HOME", machine.path("home/deeper")).run().exits(5);
    assert!(!machine.has("home/deeper"));
    // The user himself does.
    machine.qft(["id"]).unprivileged().run().exits(0);
    machine.run("send in --to local:d").exits(0);
}

#[test]
fn settings_of_another_user_are_not_roots() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write("f", "x");
    machine.write_private("home/config.toml", "[send]\njobs = 3\n");
    machine.run("send f --to local:d").exits(0);
    machine.give_to_nobody("home/config.toml");
    machine.run("send f --to local:d").exits(5).says_only(&["config.toml", "belongs to another user"]);
}

#[test]
fn a_first_start_serves_no_key() {
    let machine = Machine::new();
    let serve = |home: &str, options: &str| {
        let mut words = vec!["serve", "in", "-l", "127.0.0.1:0"];
        words.extend(options.split_whitespace());
        machine.qft(words).env("QFT_HOME", machine.path(home)).run()
    };
    machine.write("in/f", "x");
    serve("in/keys", "").exits(2).says(&["in/keys", "this machine's key"]);
    serve("in/.config/qft", "--hidden").exits(2).says(&["leave --hidden out"]);
    assert_eq!(machine.tree("in"), ["f"], "and none was made");
    machine.write_private("in/token", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    serve("home", "--token-file in/token").exits(2).says(&["token", "move it"]);
    serve("home", "--ticket-file in/ticket").exits(2).says(&["ticket", "move it"]);
}

#[test]
fn a_home_that_comes_to_lie_in_what_is_served_is_not_served() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote.run("id").exits(0);
    let serve = remote.serve("in", "--hidden");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    remote.write("in/.config/other", "x");
    fs::rename(remote.path("home"), remote.path("in/.config/qft")).expect("moved");
    std::os::unix::fs::symlink("in/.config/qft", remote.path("home")).expect("made");
    local.run("get .config/qft/identity.key key").exits(1).says(&["ermission denied"]);
    local.run("get .config/ all").exits(0);
    assert_eq!(local.tree("all"), ["other"]);
    assert!(!local.has("key"));
    local.write("authorized_clients", "x");
    let to = format!("{}/.config/qft/", serve.pinned());
    local.qft(["send", "authorized_clients", "--to", &to]).run().exits(1);
    assert!(!remote.read("in/.config/qft/authorized_clients").starts_with(b"x"));
}

#[test]
fn a_secret_that_nobody_here_can_hide_is_taken_with_a_note() {
    if !is_root() {
        return;
    }
    let (remote, local) = (Machine::new(), Machine::new());
    remote.run("peers token token").exits(0);
    let serve = remote.serve("in", "--token-file token");
    let pinned = serve.pinned();
    local.write("mounted/token", remote.read("token"));
    local.write("f", "x");
    local.set_mode("mounted/token", 0o444);
    let send = |token: &str| local.qft(["send", "f", "--token-file", token, "--to", &pinned]);
    send("mounted/token").run().exits(5).says_only(&["others can read", "chmod 600"]);
    // Root's file, and not root's process.
    fs::create_dir_all(local.path("home")).expect("made");
    local.give_to_nobody("home");
    send("mounted/token").unprivileged().run().exits(0).says(&["others on this machine can read", "0444"]);
    // A file of his own he can mend himself.
    local.write("own", remote.read("token"));
    local.set_mode("own", 0o444);
    local.give_to_nobody("own");
    send("own").unprivileged().run().exits(5).says_only(&["chmod 600"]);
    fs::remove_dir_all(local.path("home")).expect("removed");
    let mounted = local.path("mounted");
    if !(run("mount", &["--bind"], &mounted) && run("mount", &["-o", "remount,bind,ro"], &mounted)) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let outcome = send("mounted/token").run();
    run("umount", &[], &mounted);
    outcome.exits(0).says(&["others on this machine can read", "cannot be changed here"]);
}

#[test]
fn a_secret_that_is_mounted_where_containers_have_theirs_is_taken() {
    if !is_root() {
        return;
    }
    let (remote, local) = (Machine::new(), Machine::new());
    remote.run("peers token token").exits(0);
    let serve = remote.serve("in", "--token-file token");
    local.write("f", "x");
    local.write_private("token", remote.read("token"));
    // A writable mount of the process's own, in place of the system's directory.
    let inside = |script: &str| {
        local.shell(&format!("unshare -m sh -c 'mount -t tmpfs none /run && {script}'")).output().expect("sh runs")
    };
    if !inside("true").status.success() {
        return println!("skipped: nothing can be mounted here");
    }
    for (dir, mode, code, said) in [
        ("/run/secrets", 444, 0, "others on this machine can read"),
        ("/run/credentials/qft", 440, 0, "on this machine can read"),
        ("/run/secrets", 666, 5, "chmod 600"),
        ("/run/elsewhere", 444, 5, "chmod 600"),
    ] {
        let to = serve.pinned();
        let output = inside(&format!(
            "mkdir -p {dir} && cp token {dir}/token && chmod {mode} {dir}/token && \
             exec qft send f --token-file {dir}/token --to {to}"
        ));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{dir} {mode}: {stderr}");
        assert!(stderr.contains(said), "{dir} {mode}: {stderr}");
    }
}

/// A machine whose home neither is there nor can be made, whoever asks.
fn homeless() -> Machine {
    let machine = Machine::new();
    std::os::unix::fs::symlink("/proc/no-home", machine.path("home")).expect("made");
    machine
}

#[test]
fn without_a_key_and_a_home_that_can_be_written_a_token_and_an_open_server_let_in_all_the_same() {
    const KEY_FOR_NOW: &str = "a key for this run only";
    let (keeper, remote, local) = (Machine::new(), homeless(), homeless());
    keeper.run("peers token token").exits(0);
    for machine in [&remote, &local] {
        machine.write_private("token", keeper.read("token"));
    }
    local.write("f", "x");
    let uses = |pinned: &str, token: &[&str]| {
        let from = format!("{pinned}/f");
        for words in [&["send", "f", "--to", pinned][..], &["get", &from, "got"], &["ls", pinned]] {
            let outcome = local.qft([words, token].concat()).run();
            outcome.exits(0).says(&[KEY_FOR_NOW, "cannot make"]);
            assert_eq!(outcome.stderr.matches(KEY_FOR_NOW).count(), 1, "{}", outcome.stderr);
        }
    };
    let by_token = &["--token-file", "token"];
    uses(keeper.serve("in", "--no-auth").ticket(), &[]);
    uses(&keeper.serve("in", "--token-file token").pinned(), by_token);
    let open = remote.serve("in", "--no-auth");
    open.wait_to_say("waiting for clients");
    assert_eq!(open.log().matches(KEY_FOR_NOW).count(), 1, "{}", open.log());
    uses(open.ticket(), &[]);
    // There is no book for an invite, so none is asked for.
    let serving = remote.run_on("serve in -l 127.0.0.1:0 --token-file token");
    serving.wait_to_say("Ctrl-C");
    let said = serving.said();
    assert_eq!(said.matches(KEY_FOR_NOW).count(), 1, "{said}");
    let place = said.split_once("qft://").expect("a line to paste").1;
    uses(&format!("qft://{}", place.split(['\'', ' ', '\n', '/']).next().expect("a place")), by_token);
    assert_eq!((remote.read("in/f"), local.read("got")), (b"x".to_vec(), b"x".to_vec()));
    // Where a key is what lets in, it has to be kept.
    let serve = keeper.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(1).says(&["identity", "cannot make"]);
    local.qft(["ls", &serve.pinned()]).run().exits(5).says(&[KEY_FOR_NOW]);
    remote.run("serve in -l 127.0.0.1:0").exits(1).says(&["identity", "cannot make"]);
    // The invite of that ticket is not spent.
    Machine::new().qft(["ls", serve.ticket()]).run().exits(0);
}

/// Runs a command on a directory, which is named twice to bind it.
fn run(program: &str, options: &[&str], dir: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(options).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    if options.contains(&"--bind") {
        command.arg(dir);
    }
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn a_secret_can_come_through_a_pipe() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote.run("peers token token").exits(0);
    let serve = remote.serve("in", "--token-file token");
    local.write_private("t", remote.read("token"));
    local.write("f", "x");
    let line = format!("bash -c 'QFT_TOKEN_FILE=<(cat t) qft send f --to {}'", serve.pinned());
    let Ok(output) = local.shell(&line).output() else {
        println!("skipped: no shell");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(remote.read("in/f"), b"x");
}

/// Whether any thread of a process runs under restrictions that it has given itself.
fn is_confined(pid: u32, all: bool) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).peekable();
    let is_set = |status: String| status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]));
    if all { states.peek().is_some() && states.all(is_set) } else { states.any(is_set) }
}

fn has_landlock() -> bool {
    let machine = Machine::new();
    machine.write("f", "x");
    let said = machine.run("send -v f --to local:d").exits(0).stderr.clone();
    let has = !said.contains("Landlock");
    if !has {
        println!("skipped: {said}");
    }
    has
}

#[test]
fn every_thread_of_a_server_and_those_of_a_transfer_are_confined() {
    if !has_landlock() {
        return;
    }
    let (remote, local, serve): (Machine, Machine, Serve) = paired("");
    assert!(is_confined(serve.id(), true));
    local.write_large("big", 20 << 20);
    let mut send = quiet(local.shell("qft send --bwlimit 4M big")).spawn().expect("it starts");
    wait_for("the confined threads", || is_confined(send.id(), false).then_some(()));
    wait_for("some of it", || remote.has("in/.big.qft-part").then_some(()));
    send.kill().expect("it runs");
    send.wait().expect("it is ours");
    // A listing, while it waits for a server that never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let pinned = serve.pinned();
    let (who, _) = pinned.rsplit_once('@').expect("a ticket has a place");
    let at = silent.local_addr().expect("it is bound");
    let mut list = quiet(local.shell(&format!("qft ls {who}@{at}"))).spawn().expect("it starts");
    wait_for("the confined thread", || is_confined(list.id(), false).then_some(()));
    list.kill().expect("it runs");
    list.wait().expect("it is ours");
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_confined_server_sees_what_is_mounted_or_replaced_while_it_runs() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    local.write("f", "x");
    // A list that is replaced by its name is another file in the same directory.
    remote.run(&format!("peers revoke {}", local.fingerprint())).exits(0);
    local.qft(["send", "f", "--to", &serve.pinned()]).run().exits(5);
    remote.run(&format!("peers allow {}", local.fingerprint())).exits(0);
    local.qft(["send", "f", "--to", &serve.pinned()]).run().exits(0);
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root mounts");
        return;
    }
    let mounted = remote.path("in/mounted");
    fs::create_dir(&mounted).expect("made");
    if !run("mount", &["-t", "tmpfs", "qft-test"], &mounted) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let to = format!("{}/mounted/", serve.pinned());
    let outcome = local.qft(["send", "f", "--to", &to]).run();
    let has_come = remote.has("in/mounted/f");
    run("umount", &[], &mounted);
    outcome.exits(0);
    assert!(has_come);
}

#[test]
fn without_landlock_all_works_and_that_is_said_once_to_whoever_asks() {
    let machine = Machine::new();
    machine.write("f", "x");
    let strace = "strace -f -o /dev/null -e trace=landlock_create_ruleset \
        -e inject=landlock_create_ruleset:error=ENOSYS qft";
    let run = |words: &str| {
        let output = machine.shell(&format!("{strace} {words}")).output().ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let can_trace = !said.contains("not found") && !said.contains("strace:");
        can_trace.then_some((output.status.code(), said))
    };
    let Some((code, said)) = run("send -v f --to local:d") else {
        println!("skipped: nothing can be traced here (package strace)");
        return;
    };
    assert_eq!((code, said.matches("no Landlock").count()), (Some(0), 1), "{said}");
    for words in ["send f --to local:e", "get local:d/f got"] {
        let (code, said) = run(words).expect("it could be traced before");
        assert_eq!((code, said.contains("Landlock")), (Some(0), false), "{said}");
    }
    assert_eq!((machine.read("d/f"), machine.read("got")), (b"x".to_vec(), b"x".to_vec()));
}
