//! What a server's operator can ask for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use qft::congestion::ControllerConfig;
use qft::keys::{Identity, Ticket};
use qft::protocol::codec;
use qft::protocol::message::{Hello, Message};
use qft::transport::{self, Tuning};
use rustix::process::Signal;

use super::paired;
use crate::support::bin::{Machine, SLOW_BYTES, SLOWLY, wait_for};

#[test]
fn a_ticket_file_is_private_and_the_log_does_not_hold_the_secret() {
    let remote = Machine::new();
    let serve = remote.serve("in", "");
    let names = remote.tree("");
    let ticket = names.iter().find(|name| name.starts_with("ticket")).expect("the ticket");
    let mode = fs::metadata(remote.path(ticket)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = serve.ticket().split([':', '@']).nth(2).expect("the invite");
    serve.wait_to_say("waiting for clients");
    assert!(!serve.log().contains(secret), "{}", serve.log());
    assert!(serve.log().contains("ticket"), "{}", serve.log());
}

#[test]
fn a_read_only_server_gives_and_takes_nothing() {
    let (remote, local, _serve) = paired("--read-only");
    remote.write("in/f", "x");
    local.run("get f .").exits(0);
    local.write("g", "x");
    local.run("send g").exits(7).says(&["failed: g: not allowed"]);
    assert_eq!(remote.tree("in"), ["f"]);
}

#[test]
fn a_drop_box_takes_and_shows_nothing() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--write-only");
    remote.write("in/f", "x");
    local.write("g", "x");
    local.qft(["send", "g", "--to", serve.ticket()]).run().exits(0);
    local.run("get f back").exits(7).says(&["not allowed", "--write-only"]);
    local.run("ls").exits(7).says(&["not allowed", "--write-only"]);
    assert_eq!(remote.tree("in"), ["f", "g"]);
}

#[test]
fn nothing_is_clobbered_where_the_server_forbids_it() {
    let (remote, local, _serve) = paired("--no-clobber");
    remote.write("in/f", "older");
    local.write("f", "new");
    local.run("send f").exits(7).says(&["failed: f: exists"]);
    assert_eq!(remote.read("in/f"), b"older");
    local.run("send f --if-exists rename").exits(0);
    assert_eq!(remote.tree("in").len(), 2);
}

#[test]
fn a_drop_box_takes_the_same_command_again_for_done_and_tells_nobody_what_others_sent() {
    let (remote, local, other) = (Machine::new(), Machine::new(), Machine::new());
    let serve = remote.serve("in", "--write-only --no-clobber");
    local.write("d/a", "content");
    local.write("d/b", "more");
    local.qft(["send", "d", "--to", serve.ticket()]).run().exits(0);
    local.run("send d").exits(0).says(&["nothing to send, 2 unchanged"]);
    local.write("d/c", "new");
    local.run("send d").exits(0).says(&["sent 1 file", "2 unchanged"]);
    // The very same file, from somebody else.
    let invited = remote.run("peers invite");
    let printed = String::from_utf8(invited.exits(0).stdout.clone()).expect("text");
    let ticket = printed.split_whitespace().find(|word| word.starts_with("qft://")).expect("a ticket").to_owned();
    let copied = std::process::Command::new("cp").args(["-a"]).arg(local.path("d")).arg(other.path("d")).status();
    assert!(copied.expect("cp is there").success());
    let sent = other.qft(["send", "d", "--to", &ticket]).run();
    sent.exits(7).says(&["d/a: exists"]).says(&["d/b: exists"]);
    // What it has changed since is no file of its own.
    local.write("d/a", "changed!");
    local.run("send d").exits(3).says(&["failed: d/a: exists"]).says(&["2 unchanged"]);
    assert_eq!(remote.read("in/d/a"), b"content");
    // The next server has no memory of it, which the help says.
    let address = serve.address().to_owned();
    drop(serve);
    let _next = remote.serve_at(&address, "in", "--write-only --no-clobber");
    local.run("send d").exits(7).says(&["d/b: exists"]).says(&["d/c: exists"]);
    let help = String::from_utf8(local.run("help recipes").exits(0).stdout.clone()).expect("text");
    assert!(help.contains("the next one does not"), "{help}");
}

#[test]
fn one_client_is_enough_for_a_server_that_serves_once() {
    let (remote, local) = (Machine::new(), Machine::new());
    let mut serve = remote.serve("in", "--once");
    local.write("f", "x");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
    assert_eq!(remote.read("in/f"), b"x");
}

#[test]
fn a_look_a_rehearsal_an_interruption_and_a_refusal_do_not_use_up_a_server_that_serves_once() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote.write("in/taken", "theirs");
    let mut serve = remote.serve("in", "--once --no-clobber -v");
    local.write("taken", "ours");
    local.write_large("big", 20 << 20);
    local.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    local.run("ls box:").exits(0).prints("taken\n");
    local.run("doctor --time 1s box").exits(0);
    local.run("send -n big").exits(0);
    local.run("get -n taken elsewhere").exits(0);
    local.run("send taken").exits(7);
    let sending = local.run_on("send --bwlimit 1M big");
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::INT);
    sending.end().exits(130);
    local.run("send big").exits(0);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
}

#[test]
fn a_server_that_serves_once_ends_when_a_client_has_got_files_too() {
    let (remote, local) = (Machine::new(), Machine::new());
    for n in 0..20 {
        remote.write(&format!("in/{n}"), "x");
    }
    let mut serve = remote.serve("in", "--once --read-only");
    local.qft(["get", serve.ticket(), "."]).run().exits(0);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
}

#[test]
fn a_stopped_server_lets_what_is_in_flight_finish() {
    let (remote, local, mut serve) = paired(&format!("--drain 60s {SLOWLY}"));
    local.write_large("big", SLOW_BYTES);
    let sending = local.qft(["send", "big", "--timeout", "5s"]).start();
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
    serve.wait_to_say("stopping; files in flight may finish for 1m");
    sending.end().exits(0).says(&["sent 1 file"]);
    assert_eq!(remote.path("in/big").metadata().expect("it came").len(), SLOW_BYTES);
}

#[test]
fn a_client_that_has_got_everything_from_a_stopped_server_is_done() {
    let (remote, local, mut serve) = paired(&format!("--drain 60s {SLOWLY}"));
    remote.write_large("in/big", SLOW_BYTES);
    let getting = local.qft(["get", "big", "--timeout", "5s"]).start();
    wait_for("the first bytes", || local.has(".big.qft-part").then_some(()));
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
    getting.end().exits(0).says(&["got 1 file"]);
}

#[test]
fn a_second_signal_ends_a_server_that_waits_for_files() {
    let (remote, local, mut serve) = paired(&format!("--drain 60s {SLOWLY}"));
    local.write_large("big", SLOW_BYTES);
    let sending = local.qft(["send", "big", "--timeout", "5s"]).start();
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    serve.signal(Signal::TERM);
    serve.wait_to_say("once more stops at once");
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(143), "{}", serve.log());
    sending.end().exits(4).says(&["the same command resumes"]);
    assert!(remote.has("in/.big.qft-part") && !remote.has("in/big"), "{:?}", remote.tree("in"));
}

#[test]
fn an_idle_server_ends_at_once() {
    let remote = Machine::new();
    let mut serve = remote.serve("in", "");
    serve.signal(Signal::INT);
    assert_eq!(serve.end(), Some(0), "{}", serve.log());
}

#[test]
fn the_superuser_does_not_serve_the_whole_machine() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root is refused");
        return;
    }
    let remote = Machine::new();
    remote.run("serve / -l 127.0.0.1:0").exits(2).says_only(&["root does not serve /", "name a directory below it"]);
}

#[test]
fn what_cannot_be_served_is_named() {
    let remote = Machine::new();
    remote.write("file", "x");
    remote.run("serve file -l 127.0.0.1:0").exits(2).says_only(&["cannot serve file: not a directory"]);
    for line in ["serve missing/below -l 127.0.0.1:0", "serve missing --read-only -l 127.0.0.1:0"] {
        remote.run(line).exits(2).says_only(&["cannot serve missing", "No such file"]).does_not_say("os error");
    }
    assert!(!remote.has("missing"));
    remote.run("serve in -l nonsense").exits(2).says_only(&["no address to listen on"]);
    let serve = remote.serve("in", "");
    let taken = remote.qft(["serve", "in", "-l", serve.address()]).run();
    taken.exits(1).says_only(&["UDP port ", "in use, perhaps by another qft serve", "try another: -l "]);
}

#[test]
fn a_client_by_ipv4_is_logged_as_one() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve_at("[::]:0", "in", "--advertise 127.0.0.1");
    local.write("f", "x");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0);
    serve.wait_to_say("received 1 file");
    serve.wait_to_say(" from 127.0.0.1:");
    assert!(!serve.log().contains("ffff"), "{}", serve.log());
}

#[test]
fn an_open_server_warns_and_takes_anyone() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--no-auth -q");
    serve.wait_to_say("warning: --no-auth: anyone who can reach");
    local.write("f", "x");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0).does_not_say("paired");
    assert_eq!(remote.read("in/f"), b"x");
}

#[test]
fn connections_are_spread_over_the_workers() {
    let (_remote, local, serve) = paired(&format!("-w 2 {SLOWLY}"));
    serve.wait_to_say("2 workers");
    local.write_large("big", SLOW_BYTES);
    let sending = local.qft(["send", "big"]).start();
    wait_for("the first to be in", || (serve.log().matches("Z + ").count() >= 2).then_some(()));
    local.run("ls").exits(0);
    sending.end().exits(0);
    let log = serve.log();
    assert!(log.contains("worker 0") && log.contains("worker 1"), "{log}");
}

#[test]
fn a_server_that_nobody_can_enter_says_so() {
    let remote = Machine::new();
    let serving = remote.qft(["serve", "new", "-l", "127.0.0.1:0"]).start();
    serving.wait_to_say("no client is enrolled here");
    serving.signal(Signal::TERM);
    serving.end().exits(0).says(&["nobody can connect", "qft peers invite"]).says(&["made ", "/new"]);
    assert!(remote.path("new").is_dir());
}

#[test]
fn a_server_that_makes_its_directory_names_one_that_was_perhaps_meant() {
    let remote = Machine::new();
    remote.write("incoming/f", "content");
    let serving = remote.qft(["serve", "incomming", "-l", "127.0.0.1:0"]).start();
    serving.wait_to_say("/incomming; there is also incoming");
    serving.signal(Signal::TERM);
    serving.end().exits(0);
}

/// What an idle server with [`IDLE_CLIENTS`] may take.
const IDLE_BYTES_MAX: u64 = 64 << 20;
const IDLE_CLIENTS: usize = 100;

#[test]
fn idle_clients_cost_a_server_little_memory() {
    let remote = Machine::new();
    let serve = remote.serve("in", "--no-auth -w 2 --max-clients 256");
    let ticket: Ticket = serve.ticket().parse().expect("a ticket");
    let addr = serve.address().parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let identity = Identity::ephemeral().expect("a key");
        let tuning = Tuning::new(Arc::new(ControllerConfig::default()));
        let mut hello = Vec::new();
        codec::encode(&Message::Hello(Hello::new(0, "idle", None)), &mut hello).expect("a short message");
        let mut clients = Vec::new();
        for _ in 0..IDLE_CLIENTS {
            let patience = Duration::from_secs(60);
            let dialled = transport::connect(&[addr], ticket.fingerprint, &identity, &tuning, patience).await;
            let dialled = dialled.expect("there is room");
            let (mut send, mut recv) = dialled.connection.open_bi().await.expect("a stream");
            send.write_all(&hello).await.expect("it is read");
            // The first byte of the welcome.
            recv.read_exact(&mut [0]).await.expect("it is let in");
            clients.push((dialled, send, recv));
        }
        let resident = serve.resident();
        eprintln!("{} KiB resident with {} idle clients", resident / 1024, clients.len());
        assert!(resident <= IDLE_BYTES_MAX, "{} MiB", resident >> 20);
    });
}

#[test]
fn the_paths_to_clients_are_remembered_until_the_next_server() {
    let (remote, local, mut serve) = paired("");
    remote.write_large("in/f", 16 << 20);
    // A path is known when start-up has found its limit, which a busy machine may take more than one transfer for.
    let mut gets = 0;
    wait_for("a path that is known", || {
        gets += 1;
        local.run(&format!("get f got{gets} --bwlimit 16M")).exits(0);
        remote.has("home/client_paths").then_some(())
    });
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    let known = String::from_utf8(remote.read("home/client_paths")).expect("plain text");
    assert!(known.lines().any(|line| line.starts_with("127.0.0.1 ")), "{known}");
    let serve = remote.serve("in", "-vv");
    local.qft(["get", &format!("{}/f", serve.pinned()), "again"]).run().exits(0);
    serve.wait_to_say("path known");
}

#[test]
fn a_server_that_gets_little_processor_time_fetches_packets_by_the_clock_and_misses_none() {
    /// Longer than any thread waits for its turn on a machine that is not busy.
    const STANDSTILL: Duration = Duration::from_millis(50);
    let (remote, local, serve) = paired("-vv");
    local.write_large("file", SLOW_BYTES);
    let sending = local.run_on(&format!("send {SLOWLY} file"));
    wait_for("it to notice", || {
        // As the kernel does with a process whose quota is used up; the packets that come meanwhile let it look.
        serve.signal(Signal::STOP);
        std::thread::sleep(STANDSTILL);
        serve.signal(Signal::CONT);
        serve.log().contains("too little processor time").then_some(())
    });
    sending.end().exits(0);
    assert!(remote.read("in/file") == local.read("file"), "what came is not what was sent");
}
