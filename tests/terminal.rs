//! First runs as a newcomer sees them: the real program on both sides, each on a terminal of 80 × 24.

#[path = "support/bin.rs"]
mod bin;
#[path = "terminal/known_host.rs"]
mod known_host;
#[path = "support/snapshot.rs"]
mod snapshot;
#[path = "support/terminal.rs"]
mod terminal;

use bin::Machine;
use snapshot::{Names, assert_snapshot};
use terminal::Terminal;

const CTRL_C: &str = "\x03";

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
    bin::wait_for("the third farewell", || (server.seen().matches("\n- ").count() == 3).then_some(()));
    server.press(CTRL_C);
    assert_eq!(server.end(), Some(0), "{}", server.seen());
    let names = Names::new(&[("box", &remote), ("laptop", &local)]);
    assert_snapshot("ticket", &names, &[("box", &server), ("laptop", &client)]);
}
