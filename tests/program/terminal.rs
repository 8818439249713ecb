//! First runs as a newcomer sees them: the real program on both sides, each on a terminal of 80 × 24.

mod certified;
mod completions;
mod habits;
mod known_host;
mod readme;
mod stalled;

use crate::support::bin::Machine;
use crate::support::screen::{CTRL_C, Terminal};
use crate::support::snapshot::{Names, assert_snapshot};
use crate::support::sshd::{PASSPHRASE, Setup, Sshd};

/// What the server printed to be pasted.
fn line_to_paste(terminal: &Terminal) -> String {
    terminal.wait_to_show("waiting for clients");
    let seen = terminal.seen();
    let line = seen.lines().find(|line| line.trim_start().starts_with("qft send")).expect("a line to paste");
    line.trim().to_owned()
}

#[test]
fn one_paste_pairs_two_machines_and_later_no_host_is_named() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write("photos/beach.jpg", "b".repeat(300_000));
    local.write("photos/dune.jpg", "d".repeat(200_000));
    local.write("notes.txt", "later");
    let (mut server, mut client) = (Terminal::new(), Terminal::new());
    server.start_with(&remote, "qft serve incoming", |command| {
        command.env("QFT_LISTEN", "127.0.0.1:0");
    });
    let pasted = line_to_paste(&server).replace("FILES", "photos/*");
    assert_eq!(client.run(&local, &pasted), Some(0), "{}", client.seen());
    assert_eq!(client.run(&local, "qft send notes.txt"), Some(0), "{}", client.seen());
    assert_eq!(client.run(&local, "qft ls"), Some(0), "{}", client.seen());
    assert_eq!(remote.tree("incoming"), ["beach.jpg", "dune.jpg", "notes.txt"]);
    // The last client has left when the server says so a third time.
    crate::support::bin::wait_for("the third farewell", || (server.seen().matches("\n- ").count() == 3).then_some(()));
    server.press(CTRL_C);
    assert_eq!(server.end(), Some(0), "{}", server.seen());
    let names = Names::new(&[("box", &remote), ("laptop", &local)]);
    assert_snapshot("ticket", &names, &[("box", &server), ("laptop", &client)]);
}

#[test]
fn a_terminal_shows_what_is_typed_again_when_the_question_for_a_ticket_is_left() {
    let (local, mut client) = (Machine::new(), Terminal::new());
    client.start(&local, "sh -c 'trap : INT; qft remote add box; echo left with $?; stty -a'");
    client.wait_to_show("it is not shown");
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(0), "{}", client.seen());
    let seen = client.seen();
    let words: Vec<_> = seen.split_whitespace().collect();
    assert!(seen.contains("left with 130") && words.contains(&"echo") && !words.contains(&"-echo"), "{seen}");
}

#[test]
fn of_one_large_file_the_time_left_is_known_while_most_of_it_is_still_to_come() {
    let (remote, local) = (Machine::new(), Machine::new());
    // More than a sender hands over ahead of the link.
    remote.write_large("in/large", 200 << 20);
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let mut client = Terminal::new();
    client.start(&local, "qft get large --bwlimit 1M");
    let left = crate::support::bin::wait_for("the time left", || {
        let seen = client.seen();
        // Lines as wide as the screen run into each other.
        let (row, _) = seen.split_once("/200 MiB")?.1.split_once(" rtt ")?;
        let last = row.split_whitespace().last()?;
        (last.ends_with(['s', 'm']) && !last.contains('/')).then(|| last.to_owned())
    });
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(130), "{left} {}", client.seen());
}

#[test]
fn one_command_is_enough_where_there_is_ssh() {
    let (remote, local) = (Machine::new(), Machine::new());
    let Some(sshd) = Sshd::start(&remote, &local, &Setup::default()) else { return };
    local.write("photos/beach.jpg", "b".repeat(300_000));
    local.write("photos/dune.jpg", "d".repeat(200_000));
    let mut client = Terminal::new();
    for line in [
        format!("qft send photos/* {}", sshd.at("data/")),
        format!("qft ls {}", sshd.at("data")),
        format!("qft get '{}' .", sshd.at("data/*.jpg")),
    ] {
        client.start_with(&local, &line, |command| sshd.prepare(command));
        assert_eq!(client.end(), Some(0), "{}", client.seen());
    }
    assert_eq!(remote.tree("me"), ["data/", "data/beach.jpg", "data/dune.jpg"]);
    let names = Names::new(&[("box", &remote), ("laptop", &local)]).and(&format!("{}@", sshd.user()), "me@");
    assert_snapshot("ssh", &names, &[("laptop", &client)]);
}

#[test]
fn what_ssh_asks_stays_on_the_screen_until_it_is_answered() {
    let (remote, local) = (Machine::new(), Machine::new());
    let Some(sshd) = Sshd::start(&remote, &local, &Setup { passphrase: true, ..Setup::default() }) else { return };
    local.write("notes.txt", "x");
    let mut client = Terminal::new();
    client.start_with(&local, &format!("qft send notes.txt {}", sshd.at("")), |command| sshd.prepare(command));
    client.wait_to_show("Enter passphrase for key");
    client.type_line("wrong");
    // It is asked again; what is typed before it asks is lost.
    crate::support::bin::wait_for("a second question", || {
        (client.seen().matches("Enter passphrase").count() == 2).then_some(())
    });
    client.type_line(PASSPHRASE);
    assert_eq!(client.end(), Some(0), "{}", client.seen());
    assert_eq!(remote.read("me/notes.txt"), b"x");
    let names = Names::new(&[("box", &remote), ("laptop", &local)]).and(&format!("{}@", sshd.user()), "me@");
    assert_snapshot("ssh_passphrase", &names, &[("laptop", &client)]);
}

#[test]
fn every_way_in_which_ssh_fails_tells_what_to_do() {
    let (remote, local) = (Machine::new(), Machine::new());
    let Some(sshd) = Sshd::start(&remote, &local, &Setup { without_qft: true, ..Setup::default() }) else { return };
    local.write("notes.txt", "x");
    let mut client = Terminal::new();
    for (line, exits) in [
        (format!("qft send notes.txt {}", sshd.at("")), 4),
        (format!("qft send notes.txt {} --remote-qft 'exit 2;'", sshd.at("")), 7),
        (format!("qft send notes.txt {} --remote-qft 'exit 3;'", sshd.at("")), 4),
        ("qft send notes.txt me@nowhere.invalid:".to_owned(), 4),
        ("qft send notes.txt --ssh box:4433:".to_owned(), 2),
        ("qft send notes.txt box: --remote-qft /opt/qft".to_owned(), 2),
    ] {
        client.start_with(&local, &line, |command| sshd.prepare(command));
        assert_eq!(client.end(), Some(exits), "{}", client.seen());
    }
    let names = Names::new(&[("box", &remote), ("laptop", &local)]).and(&format!("{}@", sshd.user()), "me@");
    assert_snapshot("ssh_failures", &names, &[("laptop", &client)]);
}
