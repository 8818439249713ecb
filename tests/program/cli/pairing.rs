//! Who talks to whom: tickets, keys, remotes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::paired;
use crate::support::bin::{Machine, wait_for};

#[test]
fn the_first_ticket_pairs_two_machines_and_becomes_the_default_remote() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.write("photos/a.jpg", "first");
    let first = local.qft(["send", "photos", "--to", serve.ticket()]).run();
    first.exits(0).says(&["paired with", "saved as remote", "now the default"]);
    first.says(&["sent 1 file, 5 B", "all verified"]).prints("");
    assert_eq!(remote.read("in/photos/a.jpg"), b"first");
    serve.wait_to_say("paired: the invite is used up");

    local.write("more", "second");
    local.run("send more").exits(0).does_not_say("paired");
    assert_eq!(remote.read("in/more"), b"second");
    local.run("ls").exits(0).prints("more\nphotos/\n");
    local.run("get photos/a.jpg back.jpg").exits(0).says(&["got 1 file"]);
    assert_eq!(local.read("back.jpg"), b"first");
}

#[test]
fn a_remote_is_saved_once_even_if_the_first_connection_breaks() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.write_large("large", 40 << 20);
    let sending = local.qft(["send", "large", "--bwlimit", "20M", "--to", serve.ticket()]).start();
    wait_for("the first bytes", || remote.has("in/.large.qft-part").then_some(()));
    let address = serve.address().to_owned();
    serve.kill();
    let _serve = remote.serve_at(&address, "in", "");
    let sent = sending.end();
    sent.exits(0).says(&["reconnecting (1)"]);
    assert_eq!(sent.stderr.matches("saved as remote").count(), 1, "{}", sent.stderr);
    assert_eq!(local.run("remote").stdout.split(|byte| *byte == b'\n').count(), 3, "a heading and one remote");
}

#[test]
fn a_listing_pairs_as_well_and_saves_the_remote_under_the_servers_name() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0).says(&["paired with", "saved as remote", "now the default"]);
    let id = remote.run("id");
    let name = String::from_utf8(id.stdout).expect("text").split_whitespace().next().expect("a name").to_owned();
    local.write("f", "x");
    local.qft(["send", "f", &format!("{name}:texts/")]).run().exits(0);
    assert_eq!(remote.read("in/texts/f"), b"x");
    local.qft(["get", &format!("{name}:texts/*"), "."]).run().exits(0).says(&["nothing to get, 1 unchanged"]);
}

#[test]
fn a_known_remote_goes_by_its_address_too() {
    let (remote, local, serve) = paired("");
    local.write("f", "x");
    local.qft(["send", "f", &format!("{}:g", serve.address())]).run().exits(0);
    assert_eq!(remote.read("in/g"), b"x");
}

#[test]
fn a_ticket_is_good_once() {
    let (remote, _local, serve) = paired("");
    let stranger = Machine::new();
    stranger.write("f", "x");
    let refused = stranger.qft(["send", "f", "--to", serve.ticket()]).run();
    refused.exits(5).says(&["qft: ", "invite was used", "qft peers invite"]);
    serve.wait_to_say("refused: the ticket's invite was used");
    assert!(!remote.has("in/f"));
}

#[test]
fn a_key_that_is_not_enrolled_is_not_let_in() {
    let (_remote, _local, serve) = paired("");
    let stranger = Machine::new();
    stranger.write("f", "x");
    stranger
        .qft(["send", "f", "--to", &serve.pinned()])
        .run()
        .exits(5)
        .says(&["not enrolled there", "qft peers invite"]);
    let refused = stranger.qft(["ls", &serve.pinned()]).run();
    refused.exits(5).says(&["not enrolled there", "qft peers invite"]).says(&["qft peers allow "]);
}

#[test]
fn a_damaged_ticket_is_noticed_before_anything_is_sent() {
    let (_remote, local, serve) = paired("");
    local.write("f", "x");
    let whole = serve.ticket();
    let at = whole.find('@').expect("a ticket has a place");
    let swapped = whole.replacen("qft://", "qft://aaaa", 1);
    for damaged in [&whole[..20], &whole[..at], &whole[..=at], swapped.as_str(), "qft://"] {
        local.qft(["send", "f", "--to", damaged]).run().exits(2).says_only(&["qft: cannot read the ticket"]);
    }
}

#[test]
fn a_server_with_another_key_gets_nothing() {
    let (_remote, local, serve) = paired("");
    let (address, old) = (serve.address().to_owned(), serve.fingerprint().to_owned());
    serve.kill();
    let imposter = Machine::new();
    let serve = imposter.serve_at(&address, "in", "--no-auth");
    local.write("secret", "x");
    let refused = local.run("send secret");
    refused.exits(5).says(&["qft: ", "different identity"]).says(&["known", &old]).says(&["now", serve.fingerprint()]);
    assert_eq!(imposter.tree("in"), Vec::<String>::new());
}

#[test]
fn a_name_that_nobody_knows_is_not_trusted() {
    let local = Machine::new();
    local.write("f", "x");
    local.run("send f box:").exits(4).says_only(&["qft: box: not known here", "qft serve --invite", "use the qft://"]);
    local.run("send f").exits(2).says_only(&["qft: which remote?", "qft serve", "--to qft://"]);
}

#[test]
fn the_environment_names_a_remote_but_an_argument_goes_first() {
    let (first, local, known) = paired("");
    let second = Machine::new();
    let serve = second.serve("in", "--no-auth");
    local.write("f", "x");
    local.qft(["send", "f"]).env("QFT_REMOTE", serve.ticket()).run().exits(0);
    assert_eq!((first.tree("in").len(), second.tree("in").len()), (0, 1));
    let sent = local.qft(["send", "f", "--to", &known.pinned()]).env("QFT_REMOTE", serve.ticket()).run();
    sent.exits(0);
    assert!(first.has("in/f"));
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let local = Machine::new();
    local.run("id").exits(0);
    let key = fs::read_dir(local.path("home")).expect("made").map(|entry| entry.expect("readable").path());
    let key = key.into_iter().find(|path| path.to_string_lossy().ends_with(".key")).expect("the key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    local.run("id").exits(5).says_only(&["others can read", "chmod 600", &key.to_string_lossy()]);
}
