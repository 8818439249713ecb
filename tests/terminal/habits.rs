//! Job control, as a shell's user expects it.

use super::bin::{Machine, wait_for};
use super::terminal::{CTRL_C, Terminal};

#[test]
fn one_ctrl_c_ends_the_shells_loop_and_its_script() {
    for script in [
        "for f in a b c; do qft send --bwlimit 100K $f --to local:d; done; echo AFTER",
        "qft send --bwlimit 100K a --to local:d; echo AFTER",
    ] {
        let (local, mut terminal) = (Machine::new(), Terminal::new());
        ["a", "b", "c"].iter().for_each(|name| drop(local.write_large(name, 4 << 20)));
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
