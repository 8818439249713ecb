//! Text that people write, copy and paste: tickets, the lists of the home, settings.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use qft::keys::trust::{ClientEntry, Clients, INVITE_LIFETIME, Invites, Remotes, Rights};
use qft::keys::{Fingerprint, Ticket, parse_host_port};
use qft::testing;
use tempfile::TempDir;

use super::wire::is_unsafe;

/// A moment that expiries lie before and after.
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

/// A key that is in no list by chance.
fn fingerprint(byte: u8) -> Fingerprint {
    Fingerprint([byte; 32])
}

fn is_one_plain_line(text: &str) {
    assert!(!text.chars().any(is_unsafe), "{text:?} reaches a terminal");
}

/// Tickets, addresses, and whatever else can stand for a remote on the command line.
pub(crate) fn tickets(input: &[u8]) {
    match testing::remote(input) {
        Ok(whom) => {
            is_one_plain_line(&whom);
            assert!(!whom.contains('@') || !whom.starts_with('-'), "ssh would take {whom} for an option");
        }
        Err(complaint) => is_one_plain_line(&complaint),
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<Ticket>() {
        Ok(ticket) => {
            assert_eq!(ticket.to_string().parse().as_ref(), Ok(&ticket));
            is_one_plain_line(&ticket.to_string());
            assert_eq!(parse_host_port(&ticket.address()), Ok((ticket.host.clone(), ticket.port)));
            assert!(!ticket.host.starts_with('-'), "ssh would take it for an option");
        }
        Err(error) => is_one_plain_line(&error.to_string()),
    }
    match parse_host_port(text) {
        Ok((host, port)) => assert!(port != 0 && !host.starts_with('-') && !host.is_empty()),
        Err(error) => is_one_plain_line(&error.to_string()),
    }
}

/// The list of servers: what a person wrote stays, and what is changed can be read.
pub(crate) fn remotes(input: &[u8]) {
    let Some((home, text)) = home_with("remotes", input) else { return };
    let remotes = Remotes::open(&home).expect("the home is ours");
    let before = remotes.list().expect("the list is ours");
    for remote in &before {
        assert!(remote.ticket.invite.is_none(), "a list holds no secret");
        is_one_plain_line(&remote.ticket.to_string());
    }
    let ticket = Ticket { fingerprint: fingerprint(7), invite: None, host: "fuzz.example".into(), port: 9 };
    let kept = remotes.save("fuzz", &ticket).expect("it can be written");
    assert_eq!(kept.ticket, ticket);
    let after = remotes.list().expect("the list is ours");
    let is_new = !before.iter().any(|remote| remote.is_at(&ticket.host, ticket.port));
    assert_eq!(after.len(), before.len() + usize::from(is_new));
    if is_new {
        assert_eq!(after[..before.len()], before);
        let written = fs::read_to_string(home.join("remotes")).expect("it was written");
        // The last line gets its end, and a carriage return before that belongs to it from then on.
        let lines = |text: &str| text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect::<Vec<_>>();
        assert!(text.is_empty() || lines(&written).starts_with(&lines(&text)), "what stood there stays");
    }
    assert!(remotes.remove(&kept.name).expect("it can be written"));
    let left = remotes.list().expect("the list is ours");
    assert!(left.iter().all(|remote| !remote.name.eq_ignore_ascii_case(&kept.name)));
}

/// The list of clients: no line lets in more than it says, and who is removed is out.
pub(crate) fn clients(input: &[u8]) {
    let Some((home, text)) = home_with("authorized_clients", input) else { return };
    let clients = Clients::open(&home).expect("the home is ours");
    let listing = clients.list().expect("the list is ours");
    assert!(listing.clients.len() + listing.broken.len() <= text.lines().count());
    listing.broken.iter().for_each(|(_, reason)| is_one_plain_line(reason));
    for client in &listing.clients {
        assert_eq!(clients.find(&client.fingerprint).expect("the list is ours").as_ref(), Some(client));
        let rights = client.rights.to_string();
        if !rights.is_empty() {
            assert_eq!(Rights::parse(&rights).as_ref(), Ok(&client.rights), "what is written means the same");
        }
        assert!(client.rights.cover(&client.rights));
    }
    assert_eq!(clients.find(&fingerprint(7)).expect("the list is ours"), None, "nobody is let in who is not named");
    if let Some(first) = listing.clients.first() {
        assert!(clients.remove(&first.fingerprint).expect("it can be written"));
        let left = clients.list().expect("the list is ours");
        assert!(left.clients.iter().all(|client| client.fingerprint != first.fingerprint), "who is removed is out");
        assert_eq!(left.clients, listing.clients[1..]);
    }
}

/// The book of invites: what is in it harms no invite that is given out after.
pub(crate) fn invites(input: &[u8]) {
    let Some((home, _)) = home_with("invites", input) else { return };
    let invites = Invites::open(&home).expect("the home is ours");
    let open = invites.list(now()).expect("the book is ours");
    assert!(open.iter().all(|invite| invite.until > now()));
    let invite = invites.mint(ClientEntry::default(), INVITE_LIFETIME, now()).expect("it can be written");
    assert_eq!(invites.list(now()).expect("the book is ours").len(), open.len() + 1);
    assert_eq!(invites.redeem(&invite.0, now()).expect("it was given out"), ClientEntry::default());
    assert!(invites.redeem(&invite.0, now()).is_err(), "it works once");
}

/// The file of settings.
pub(crate) fn settings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(complaint) = testing::settings(text) {
        is_one_plain_line(&complaint);
        assert!(complaint.starts_with("/home/config.toml:"), "{complaint}");
    }
}

/// A home with one list in it, and the list's text; `None` when the input is no text, as no list is.
fn home_with(name: &str, input: &[u8]) -> Option<(PathBuf, String)> {
    thread_local! {
        static PLACE: OnceCell<TempDir> = const { OnceCell::new() };
    }
    let text = std::str::from_utf8(input).ok()?.to_owned();
    let home = PLACE.with(|place| {
        let make = || tempfile::tempdir().expect("a temporary directory");
        place.get_or_init(make).path().join("home")
    });
    drop(fs::remove_dir_all(&home));
    fs::DirBuilder::new().mode(0o700).create(&home).expect("a directory");
    write_private(&home.join(name), &text);
    Some((home, text))
}

fn write_private(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("room");
}
