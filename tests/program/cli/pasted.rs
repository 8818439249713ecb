//! Lines that are printed to be pasted: they work on the server that printed them.

use super::paired;
use crate::support::bin::Machine;

/// The line that begins with `qft`, without that word.
fn line(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("    qft "));
    line.unwrap_or_else(|| panic!("no line to paste: {text}")).to_owned()
}

#[test]
fn a_ticket_is_read_in_any_case_wherever_a_remote_can_be_named() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    remote.write("in/f", "x");
    local.write("g", "x");
    let (who, place) = serve.ticket().split_once('@').expect("a ticket has a place");
    let loud = format!("{}@{place}", who.to_ascii_uppercase());
    let loud = loud.as_str();
    local.qft(["ls", loud]).run().exits(0).prints("f\n");
    local.qft(["send", "g", loud]).run().exits(0);
    local.qft(["send", "g", "--to", loud]).run().exits(0);
    local.qft(["get", &format!("{loud}/f"), "back"]).run().exits(0);
    local.qft(["ls"]).env("QFT_REMOTE", loud).run().exits(0).prints("f\ng\n");
    local.qft(["doctor", loud, "--time", "1s"]).run().exits(0);
    local.qft(["remote", "add", "box", loud]).run().exits(0);
}

#[test]
fn the_line_of_a_server_that_only_gives_fetches_and_works() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote.write("in/f", "x");
    let serve = remote.serve("in", "--read-only --invite");
    serve.wait_to_say("waiting for clients");
    let line = line(&serve.log());
    assert!(line.starts_with("get qft://") && line.ends_with(" ."), "{line}");
    local.run(&line).exits(0);
    assert_eq!(local.read("f"), b"x");
}

#[test]
fn the_line_for_those_with_the_token_is_one_that_the_server_takes() {
    let remote = Machine::new();
    remote.write_private("my token", "0123456789abcdef0123456789abcdef");
    for (mode, begins) in [("", "send FILES --token-file"), ("--read-only", "get --token-file")] {
        let token = remote.path("my-token");
        std::fs::copy(remote.path("my token"), &token).expect("copied");
        let serve = remote.serve("in", &format!("--token-file my-token {mode}"));
        serve.wait_to_say("whoever has the same token");
        assert!(line(&serve.log()).starts_with(begins), "{}", serve.log());
    }
}

#[test]
fn an_invitation_is_for_what_both_the_client_and_the_server_allow() {
    let (remote, local, _serve) = paired("--read-only");
    remote.write("in/f", "x");
    let invited = remote.run("peers invite");
    let line = line(&String::from_utf8(invited.exits(0).stdout.clone()).expect("text"));
    assert!(line.starts_with("get "), "{line}");
    let other = Machine::new();
    other.run(&line).exits(0);
    assert_eq!(other.read("f"), b"x");
    remote.run("peers invite --wo").exits(2).says_only(&["--read-only", "could do nothing there"]);
    drop(local);
}

#[test]
fn a_line_with_brackets_is_quoted_for_the_shell() {
    let remote = Machine::new();
    let serve = remote.serve_at("[::1]:0", "in", "--invite");
    serve.wait_to_say(&format!("    qft send FILES --to '{}'", serve.ticket()));
}
