//! A transfer of which nothing moves, and one whose window changes, as their user sees them.

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
    for yellow in ["╸", "no answer from"] {
        let colours = client.colours(yellow);
        assert!(
            !colours.is_empty() && colours.iter().all(|colour| *colour == vt100::Color::Idx(3)),
            "{yellow}: {colours:?}"
        );
    }
    serve.signal(Signal::CONT);
    wait_for("a rate again", moves);
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(130), "{}", client.seen());
}

#[test]
fn a_window_that_becomes_narrower_or_wider_has_one_set_of_bars_and_nothing_below() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write_large("large/one", 200 << 20);
    local.write_large("large/two", 200 << 20);
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let mut client = Terminal::new();
    client.start(&local, "qft send large --bwlimit 2M");
    // With the least that the row of the totals takes there, by which a row of before is told.
    for (columns, least) in [(COLUMNS, 60), (60, 0), (100, 60)] {
        client.resize(columns);
        let drawn = || {
            let screen = client.rows();
            let totals: Vec<_> = (0..screen.len()).filter(|row| screen[*row].contains("0/2 files")).collect();
            let [totals] = totals[..] else { return None };
            let below = screen[totals + 1..].iter().filter(|row| !row.is_empty()).count();
            let files = screen.iter().filter(|row| row.contains("large/")).count();
            let width = screen[totals].trim_end().chars().count();
            let fits = (least..usize::from(columns)).contains(&width);
            (below == 1 && files == 2 && fits).then_some(())
        };
        wait_for("one set of bars", drawn);
    }
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(130), "{}", client.seen());
}

#[test]
fn that_nobody_answered_yet_is_not_on_the_screen_once_somebody_did() {
    const SILENT: &str = "no reply from";
    let (remote, local) = (Machine::new(), Machine::new());
    local.write_large("large/one", 200 << 20);
    local.write_large("large/two", 200 << 20);
    let serve = remote.serve("in", "");
    let address = serve.address().to_owned();
    local.qft(["ls", serve.ticket()]).run().exits(0);
    drop(serve);
    // A socket that nobody reads: packets vanish there as in a firewall.
    let deaf = std::net::UdpSocket::bind(&address).expect("its port is free again");
    let mut client = Terminal::new();
    client.start(&local, "qft send large --bwlimit 2M");
    client.wait_to_show(SILENT);
    drop(deaf);
    let _serve = remote.serve_at(&address, "in", "");
    wait_for("a rate", || rows(&client).filter(|[_, totals, _]| totals.contains("/s ")));
    assert!(!client.shows(SILENT), "{}", client.on_screen());
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(130), "{}", client.seen());
}
