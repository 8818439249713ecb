//! Job control, as a shell's user expects it.

use crate::support::bin::{Machine, wait_for};
use crate::support::screen::{CTRL_C, Terminal};

/// What Ctrl-Z sends.
const CTRL_Z: &str = "\x1a";

/// How many times the totals were drawn where they can still be seen.
fn totals(terminal: &Terminal) -> usize {
    terminal.seen().matches("/300 MiB").count()
}

/// Waits until so much has arrived that a job in front would have drawn many times.
fn wait_for_more(local: &Machine) {
    use std::os::unix::fs::MetadataExt as _;
    let arrived = || local.path("d/.big.qft-part").metadata().map_or(0, |part| part.blocks());
    let before = arrived();
    wait_for("more of the content", || (arrived() >= before + 2048).then_some(()));
}

#[test]
fn a_job_in_the_background_draws_no_bars() {
    let (local, mut terminal) = (Machine::new(), Terminal::new());
    local.write_large("big", 300 << 20);
    terminal.start_with(&local, "bash --norc --noprofile -i", |command| {
        command.env("PS1", "prompt> ");
    });
    terminal.wait_to_show("prompt>");
    terminal.type_line("qft send --bwlimit 1M big --to local:d &");
    wait_for_more(&local);
    assert_eq!(totals(&terminal), 0, "{}", terminal.seen());
    terminal.type_line("fg");
    terminal.wait_to_show("/300 MiB");
    terminal.press(CTRL_Z);
    terminal.wait_to_show("Stopped");
    terminal.type_line("bg; echo begin");
    terminal.wait_to_show("\nbegin");
    let drawn = totals(&terminal);
    wait_for_more(&local);
    terminal.type_line("echo end");
    terminal.wait_to_show("\nend");
    let seen = terminal.seen();
    assert_eq!(totals(&terminal), drawn, "{seen}");
    let (_, after) = seen.split_once("\nbegin\n").expect("the first mark");
    assert!(!after.contains("MiB"), "{seen}");
    terminal.type_line("fg");
    wait_for("bars again", || (totals(&terminal) > drawn).then_some(()));
    terminal.press(CTRL_C);
    terminal.wait_to_show("stopped: ");
    terminal.type_line("exit");
    terminal.end();
}

#[test]
fn one_ctrl_c_ends_the_shells_loop_and_its_script() {
    for script in [
        "for f in a b c; do qft send --bwlimit 1M $f --to local:d; done; echo AFTER",
        "qft send --bwlimit 1M a --to local:d; echo AFTER",
    ] {
        let (local, mut terminal) = (Machine::new(), Terminal::new());
        ["a", "b", "c"].iter().for_each(|name| drop(local.write_large(name, 60 << 20)));
        terminal.start(&local, &format!("bash -c '{script}'"));
        wait_for("the first bytes", || local.has("d/.a.qft-part").then_some(()));
        terminal.press(CTRL_C);
        assert_eq!(terminal.end(), Some(130), "{}", terminal.seen());
        let seen = terminal.seen();
        let (_, after) = seen.split_once("stopped: ").expect("what became of it");
        assert!(!after.contains("AFTER"), "{seen}");
        assert_eq!(local.tree("d"), [".a.qft-part"]);
    }
}
