//! Who may connect, what each may do, and what becomes of those who may not any more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::paired;
use crate::support::bin::{Machine, Running, SLOW_BYTES, SLOWLY, Serve, wait_for};

const LIST: &str = "home/authorized_clients";
const INVITES: &str = "home/invites";

/// A machine's fingerprint.
fn fingerprint(machine: &Machine) -> String {
    let id = machine.run("id");
    String::from_utf8(id.stdout).expect("text").split_whitespace().last().expect("a fingerprint").to_owned()
}

/// A server that knows one client, under the name `laptop` and with these rights.
fn allowed(rights: &str, options: &str) -> (Machine, Machine, Serve) {
    let (remote, local) = (Machine::new(), Machine::new());
    let key = fingerprint(&local);
    let line = format!("peers allow {key} --name laptop {rights}");
    remote.run(&line).exits(0);
    let serve = remote.serve("in", options);
    local.qft(["remote", "add", "box", &serve.pinned()]).run().exits(0);
    (remote, local, serve)
}

/// A client that is in the middle of sending, and stopped there.
fn sending(remote: &Machine, local: &Machine) -> Running {
    local.write_large("big", SLOW_BYTES);
    let sending = local.run_on(&format!("send big {SLOWLY}"));
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::STOP);
    assert!(!remote.has("in/big"), "it was stopped before its end");
    sending
}

/// The ticket in what a command printed.
fn ticket(stdout: &[u8]) -> String {
    let text = String::from_utf8(stdout.to_owned()).expect("text");
    text.split_whitespace()
        .find(|word| word.starts_with("qft://"))
        .unwrap_or_else(|| panic!("no ticket: {text}"))
        .to_owned()
}

#[test]
fn a_client_with_ro_gets_and_lists_and_sends_nothing() {
    let (remote, local, _serve) = allowed("--ro", "");
    remote.write("in/f", "x");
    local.run("get f .").exits(0);
    local.run("ls").exits(0).prints("f\n");
    local.write("g", "x");
    local.run("send g").exits(7).says(&["failed: g: not allowed", "may only get there", "ro"]);
    local.run("send -n g").exits(7);
    assert_eq!(remote.tree("in"), ["f"]);
}

#[test]
fn a_client_with_wo_sends_and_learns_nothing() {
    let (remote, local, _serve) = allowed("--wo", "");
    remote.write("in/f", "x");
    local.write("g", "x");
    local.run("send g").exits(0);
    local.run("get f back").exits(7).says(&["not allowed", "may only send there", "wo"]);
    local.run("ls").exits(7).says(&["the served directory: not allowed", "may only send there"]);
    assert_eq!(remote.tree("in"), ["f", "g"]);
}

#[test]
fn a_client_with_a_root_sees_nothing_else() {
    let (remote, local, _serve) = allowed("--root a/b", "");
    remote.write("in/secret", "x");
    local.write("f", "x");
    local.run("send f").exits(0);
    assert_eq!(remote.read("in/a/b/f"), b"x");
    std::os::unix::fs::symlink("../../secret", remote.path("in/a/b/door")).expect("made");
    std::os::unix::fs::symlink("../..", remote.path("in/a/b/up")).expect("made");
    local.run("ls").exits(0).prints("door\nf\nup\n");
    local.run("ls a").exits(1);
    for name in ["door", "up/secret", "../../secret", "secret"] {
        local.qft(["get", name, "back"]).run().does_not_say("got 1 file");
        assert!(!local.has("back"), "{name}");
    }
    local.run("send f box:up/").exits(1);
    assert!(!remote.has("in/f"));
}

#[test]
fn a_reader_whose_root_is_missing_is_told_that_the_server_is_at_fault() {
    let (remote, local, serve) = allowed("--ro --root gone", "");
    local.run("ls").exits(7).says(&["the directory that is served there cannot be used"]);
    serve.wait_to_say("its directory cannot be used");
    assert!(!remote.has("in/gone"));
}

#[test]
fn the_stricter_of_server_and_client_wins() {
    let (remote, local, _serve) = allowed("--ro", "--write-only");
    remote.write("in/f", "x");
    local.write("g", "x");
    local.run("send g").exits(7).says(&["may only get there"]);
    local.run("ls").exits(7).says(&["--write-only"]);
    let (remote, local, _serve) = allowed("--no-clobber", "");
    remote.write("in/f", "older");
    local.write("f", "new");
    local.run("send f").exits(7).says(&["failed: f: exists"]);
    assert_eq!(remote.read("in/f"), b"older");
}

#[test]
fn an_invite_of_another_process_is_used_once_and_survives_a_restart() {
    let (remote, local, stranger) = (Machine::new(), Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    let invited = remote.run("peers invite --name ci --wo --root up");
    invited.exits(0);
    let ticket = ticket(&invited.stdout);
    assert!(ticket.ends_with(serve.address()), "{ticket}");
    remote.run("peers").exits(0);
    let address = serve.address().to_owned();
    serve.kill();
    let serve = remote.serve_at(&address, "in", "");
    local.write("f", "x");
    local.qft(["send", "f", "--to", &ticket]).run().exits(0).says(&["paired with"]);
    assert_eq!(remote.read("in/up/f"), b"x");
    serve.wait_to_say("+ ci (");
    stranger.qft(["ls", &ticket]).run().exits(5).says(&["invite was used"]);
    let listed = remote.run("peers --json").json();
    let peer = listed.iter().find(|line| line["type"] == "peer").expect("one is listed");
    assert_eq!(
        (peer["name"].as_str(), peer["read"].as_bool(), peer["root"].as_str()),
        (Some("ci"), Some(false), Some("up"))
    );
}

#[test]
fn an_invite_without_a_server_says_so() {
    let remote = Machine::new();
    remote.run("peers invite").exits(2).says_only(&["no server is running here", "qft serve", "--advertise"]);
    let invited = remote.run("peers invite --advertise box.example:7");
    invited.exits(0).says(&["No server is running here", "qft serve"]);
    assert!(ticket(&invited.stdout).ends_with("@box.example:7"));
    let serve = remote.serve("in", "--no-auth");
    remote.run("peers invite").exits(2).says_only(&["lets anyone in", "nobody needs a ticket"]);
    serve.kill();
    remote.run("peers invite").exits(2).says_only(&["no server is running here"]);
}

#[test]
fn invites_that_were_not_used_can_be_ended() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    remote.run("peers revoke --invites").exits(0).prints("1 open invite ended\n");
    local.qft(["ls", serve.ticket()]).run().exits(5).says(&["was used or has expired"]);
}

#[test]
fn a_revoked_clients_connection_ends_and_it_is_told() {
    let (remote, local, serve) = allowed("", "");
    let sending = sending(&remote, &local);
    remote.run("peers revoke laptop").exits(0);
    serve.wait_to_say("shut out: it was taken off the list");
    sending.signal(Signal::CONT);
    sending.end().exits(5).says(&["was shut out there", "qft peers allow"]);
    assert!(!remote.has("in/big"));
    local.run("ls").exits(5).says(&["not enrolled there"]);
    serve.wait_to_say(&format!("qft peers allow {}", fingerprint(&local)));
}

#[test]
fn a_narrowed_clients_transfer_goes_on_within_the_new_rights() {
    let (remote, local, serve) = allowed("", "");
    let sending = sending(&remote, &local);
    let narrowed = remote.run("peers allow laptop --ro");
    assert!(String::from_utf8_lossy(&narrowed.stdout).contains("may get (it could send and get)"));
    serve.wait_to_say("its rights were narrowed");
    sending.signal(Signal::CONT);
    sending.end().exits(7).says(&["failed: big: not allowed", "may only get there"]);
}

#[test]
fn a_clients_time_ends_while_it_is_connected() {
    let (remote, local, serve) = allowed("", "");
    let sending = sending(&remote, &local);
    remote.run("peers allow laptop --expires 1s").exits(0);
    serve.wait_to_say("its time has ended");
    sending.signal(Signal::CONT);
    sending.end().exits(5).says(&["time there has ended"]);
    local.run("ls").exits(5).says(&["time there has ended"]);
    serve.wait_to_say("the time of laptop has ended");
    // An invite renews it.
    let invited = remote.run("peers invite");
    local.qft(["ls", &ticket(&invited.stdout)]).run().exits(0);
    assert!(remote.run("peers").stdout.starts_with(b"NAME"));
}

#[test]
fn a_client_whose_time_is_over_is_not_let_in_until_it_gets_more() {
    let (remote, local, serve) = allowed("--expires 2099-12-31", "");
    local.run("ls").exits(0);
    let list = String::from_utf8(remote.read(LIST)).expect("text");
    let (_, end) = list.rsplit_once("expires=").expect("its end");
    let end = end.split([',', ' ']).next().expect("a moment");
    remote.write(LIST, list.replace(end, "2020-12-31"));
    local.run("ls").exits(5).says(&["time there has ended"]);
    serve.wait_to_say("the time of laptop has ended");
    let listed = String::from_utf8(remote.run("peers").stdout).expect("text");
    assert!(listed.lines().any(|line| line.starts_with("laptop") && line.contains("2020-12-31 (over)")), "{listed}");
    remote.run("peers allow laptop --expires 2099-12-31").exits(0);
    local.run("ls").exits(0);
}

#[test]
fn an_invite_that_was_kept_too_long_lets_nobody_in() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    let book = String::from_utf8(remote.read(INVITES)).expect("text");
    let line = book.lines().find(|line| line.starts_with("open ")).expect("the server's ticket");
    let until = line.split(' ').nth(2).expect("its end");
    remote.write(INVITES, book.replace(until, "2020-01-01T00:00:00Z"));
    remote.run("peers").exits(0).prints("nobody may connect here yet; to let somebody in: qft peers invite\n");
    local.qft(["ls", serve.ticket()]).run().exits(5).says(&["was used or has expired", "qft peers invite"]);
    serve.wait_to_say("refused: the ticket's invite was used or has expired");
    let invited = remote.run("peers invite");
    local.qft(["ls", &ticket(&invited.stdout)]).run().exits(0);
}

#[test]
fn a_hang_up_reads_the_list_at_once_and_names_broken_lines() {
    let (remote, local, serve) = allowed("", "");
    let list = String::from_utf8(remote.read(LIST)).expect("text");
    fs::write(remote.path(LIST), format!("{list}nonsense\n{} readonly x\n", "a".repeat(52))).expect("ours");
    serve.signal(Signal::HUP);
    serve.wait_to_say("line 4: the fingerprint has 8 characters");
    serve.wait_to_say("line 5: unknown option 'readonly'");
    serve.wait_to_say("read the list of clients again: 1 enrolled");
    local.run("ls").exits(0);
    remote.run("peers").exits(0).says(&["authorized_clients, line 4", "lets nobody in"]);
}

#[test]
fn lists_that_others_can_write_to_are_refused_with_the_remedy() {
    for name in ["home/authorized_clients", "home/invites", "home"] {
        let (remote, _local, _serve) = paired("");
        let mode = if name == "home" { 0o777 } else { 0o666 };
        fs::set_permissions(remote.path(name), fs::Permissions::from_mode(mode)).expect("ours");
        remote.run("peers").exits(5).says_only(&["others can write", "chmod go-w", name]);
    }
    let (remote, local, serve) = paired("");
    fs::set_permissions(remote.path(LIST), fs::Permissions::from_mode(0o666)).expect("ours");
    local.run("ls").exits(7).says(&["its log says why"]);
    serve.wait_to_say("others can write");
}

#[test]
fn what_is_not_named_stays_as_it_was() {
    let (remote, _local, _serve) = allowed("--ro --root dd --no-clobber", "");
    for (typed, says) in [
        ("", "laptop (KEY) may get, only in dd, as before\n"),
        (
            "--expires 2099-12-31",
            "from now on laptop (KEY) may get, only in dd, until 2099-12-31 (it could get, only in dd)\n",
        ),
        (
            "--name lappy",
            "laptop (KEY) is called lappy from now on; it may get, only in dd, until 2099-12-31, as before\n",
        ),
        (
            "--expires never",
            "from now on lappy (KEY) may get, only in dd (it could get, only in dd, until 2099-12-31)\n",
        ),
        ("--rw", "from now on lappy (KEY) may send and get, no clobber, only in dd (it could get, only in dd)\n"),
        (
            "--clobber --root /",
            "from now on lappy (KEY) may send and get (it could send and get, no clobber, only in dd)\n",
        ),
        ("--wo --name laptop", "from now on lappy (KEY) is called laptop and may send (it could send and get)\n"),
    ] {
        let who = if String::from_utf8_lossy(&remote.read(LIST)).contains("lappy") { "lappy" } else { "laptop" };
        let allowed = remote.run(&format!("peers allow {who} {typed}"));
        let text = String::from_utf8(allowed.exits(0).stdout.clone()).expect("text");
        let (before, key) = text.split_once('(').expect("a key in brackets");
        let (_, after) = key.split_once(')').expect("its end");
        assert_eq!(format!("{before}(KEY){after}"), says, "{typed}");
    }
    remote.run("peers allow laptop --ro --rw").exits(2);
    remote.run("peers allow laptop --expires 2020-01-01").exits(2).says(&["over already", "qft peers revoke"]);
}

#[test]
fn who_is_meant_must_be_clear() {
    let (remote, _local, _serve) = allowed("", "");
    remote.run("peers revoke desktop").exits(2).says_only(&["no client here is called desktop"]);
    remote.run("peers revoke").exits(2).says_only(&["whom?", "--invites"]);
    remote.run("peers allow desktop").exits(2).says_only(&["desktop is no client here", "qft id"]);
    let other = "b".repeat(51) + "a";
    remote
        .qft(["peers", "allow", &other, "--name", "laptop"])
        .run()
        .exits(2)
        .says_only(&["is the name of another client"]);
    remote.run("peers invite --name laptop").exits(2).says_only(&["is the name of another client"]);
    for name in ["ro", "read-only", "a b", "x=y", "-"] {
        remote.qft(["peers", "allow", &other, &format!("--name={name}")]).run().exits(2);
    }
    assert_eq!(remote.run("peers --json").json().iter().filter(|line| line["type"] == "peer").count(), 1);
}

#[test]
fn dotfiles_at_the_top_are_out_of_reach_unless_asked_for() {
    let (remote, local, serve) = paired("");
    remote.write("in/.profile", "x");
    remote.write("in/.ssh/keys", "x");
    remote.write("in/project/.git/config", "x");
    local.run("ls -R").exits(0).prints("project/\nproject/.git/\nproject/.git/config\n");
    for name in [".profile", ".ssh", ".ssh/keys", ".*", "project/../.profile"] {
        let got = local.qft(["get", name, "back"]).run();
        assert_ne!(got.code, Some(0), "{name}");
    }
    local.write(".profile", "evil");
    local.write("keys", "evil");
    local.run("send .profile").exits(7).says(&["not allowed", "begin with a dot", "--hidden"]);
    local.qft(["send", "keys", &format!("{}:.ssh/", serve.address())]).run().exits(7).says(&["begin with a dot"]);
    local.write("dir/.env", "fine");
    local.run("send dir").exits(0);
    assert_eq!((remote.read("in/.profile"), remote.read("in/dir/.env")), (b"x".to_vec(), b"fine".to_vec()));

    let (remote, local, _serve) = paired("--hidden");
    local.write(".profile", "mine");
    local.run("send .profile").exits(0);
    assert_eq!(remote.read("in/.profile"), b"mine");
    local.run("ls").exits(0).prints(".profile\n");
}

#[test]
fn a_server_does_not_serve_its_own_key() {
    let remote = Machine::new();
    remote.run("id").exits(0);
    remote.run("serve . -l 127.0.0.1:0").exits(2).says_only(&["holds this machine's key", "serve another directory"]);
}

#[test]
fn a_qr_code_shows_the_ticket_that_is_printed() {
    let remote = Machine::new();
    let serve = remote.serve("in", "--qr");
    serve.wait_to_say("waiting for clients");
    let log = serve.log();
    let rows: Vec<&str> = log.lines().filter(|line| line.starts_with("████")).collect();
    assert!(rows.len() > 15 && rows.iter().all(|row| row.chars().count() <= 80), "{log}");
}

#[test]
fn open_invites_are_told_apart_and_ended_one_by_one() {
    let remote = Machine::new();
    let invite =
        |name: &str| ticket(&remote.run(&format!("peers invite --advertise 127.0.0.1:9 --name {name}")).stdout);
    let tickets = [invite("ci"), invite("laptop"), invite("twin"), invite("twin")];
    assert!(tickets.iter().all(|ticket| ticket.starts_with("qft://")));
    let shown = || String::from_utf8(remote.run("peers invites").exits(0).stdout.clone()).expect("text");
    let ids = |name: &str| -> Vec<String> {
        let lines = shown();
        let own = lines.lines().filter(|line| line.contains(&format!(" for {name}:")));
        own.map(|line| line.split_whitespace().nth(2).expect("an id").to_owned()).collect()
    };
    let ci = ids("ci").remove(0);
    remote.run("peers revoke ci").exits(0).prints(&format!("the invite {ci} for ci is ended\n"));
    remote.run("peers revoke ci").exits(2).says_only(&["no client here is called ci", "nor an open invite"]);
    let twins = ids("twin");
    assert!(twins.len() == 2 && twins[0] != twins[1], "{twins:?}");
    remote.run("peers revoke twin").exits(2).says_only(&["several invites are meant by twin", &twins[0], &twins[1]]);
    remote.run(&format!("peers revoke {}", twins[1])).exits(0);
    assert_eq!(ids("twin"), twins[..1]);
    assert_eq!(ids("laptop").len(), 1, "the others stay");
}

#[test]
fn a_servers_own_ticket_ends_with_it_and_one_that_was_asked_for_does_not() {
    let remote = Machine::new();
    let mut serve = remote.serve("in", "");
    remote.run("peers invite --name later").exits(0);
    let open = || String::from_utf8(remote.run("peers").exits(0).stdout.clone()).expect("text");
    assert_eq!(open().matches("open invite").count(), 2, "{}", open());
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
    assert_eq!(open().matches("open invite").count(), 1, "{}", open());
    assert!(open().contains("for later"), "{}", open());
}
