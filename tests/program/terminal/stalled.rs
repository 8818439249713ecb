//! A transfer of which nothing moves, as its user sees it.

use rustix::process::Signal;

use crate::support::bin::{Machine, wait_for};
use crate::support::screen::{COLUMNS, CTRL_C, Terminal};

/// The rows of the bars that are on the screen: that of a file, that of the totals, and the one below.
fn rows(terminal: &Terminal) -> Option<[String; 3]> {
    let screen = terminal.rows();
    let totals = screen.iter().rposition(|row| row.contains("0/2 files"))?;
    Some([screen.get(totals.checked_sub(1)?)?, &screen[totals], screen.get(totals + 1)?].map(Clone::clone))
}

#[test]
fn while_nothing_moves_every_row_says_so_and_one_why_and_none_has_a_time_left() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write_large("large/one", 200 << 20);
    local.write_large("large/two", 200 << 20);
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let mut client = Terminal::new();
    client.start(&local, "qft send large --bwlimit 2M");
    let moves = || {
        let [file, totals, link] = rows(&client)?;
        let is_moving = [&file, &totals].iter().all(|row| row.contains("/s ") && !row.contains("stalled"));
        (is_moving && link.contains(" rtt ")).then_some(())
    };
    wait_for("a rate", moves);
    serve.signal(Signal::STOP);
    let seen = wait_for("words for it", || rows(&client).filter(|[_, _, link]| link.contains("no answer from")));
    let [file, totals, link] = &seen;
    // Nothing is behind the word, where the time left stands.
    assert!(file.ends_with("stalled") && totals.ends_with("stalled"), "{seen:#?}");
    assert!(link.contains("s; trying again  2 active  0 failed"), "{seen:#?}");
    assert!(seen.iter().all(|row| row.chars().count() < COLUMNS.into()), "{seen:#?}");
    serve.signal(Signal::CONT);
    wait_for("a rate again", moves);
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(130), "{}", client.seen());
}
