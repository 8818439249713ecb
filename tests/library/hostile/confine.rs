//! Names and links that would lead somewhere else.

use std::os::unix::fs::lchown;
use std::path::Path;

use qft::keys::trust::{Clients, Rights};

use super::server::{Victim, is_settled};
use super::*;

fn link(id: u64, name: &str, target: &str) -> Message {
    header_of(id, name, Kind::Link(target.into()), 0)
}

async fn is_refused(peer: &mut Raw, offer: &Message) -> Failure {
    peer.say(offer).await;
    match peer.hear_pos().await.verdict {
        Verdict::Refuse(failure) => failure,
        other => panic!("{offer:?}: {other:?}"),
    }
}

async fn is_made(peer: &mut Raw, offer: &Message) {
    peer.say(offer).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::Skip(SkipReason::Made), "{offer:?}");
}

/// A server hears `get`, and offers a link under a name that was asked for, then names below it.
#[tokio::test]
async fn a_server_makes_no_other_name_of_a_place_by_a_link() {
    for links in [false, true] {
        for target in [".", "docs", "docs/../docs"] {
            let server = RawServer::new();
            let options = GetOptions { links, ..GetOptions::default() };
            let mut victim = Victim::wanting(&server, &["notes.txt", "honest"], options);
            field::write(&victim.path("into/docs/mine"), b"mine");
            let mut peer = server.welcome().await;
            match links {
                true => is_made(&mut peer, &link(0, "notes.txt", target)).await,
                // Nobody asked for links.
                false => {
                    assert_eq!(is_refused(&mut peer, &link(0, "notes.txt", target)).await.status, Status::NotAllowed)
                }
            }
            let below = [
                header(1, "notes.txt/.bashrc", 1),
                header_of(2, "notes.txt/.ssh", Kind::Dir, 0),
                header(3, "notes.txt/mine", 1),
                header_of(4, "notes.txt", Kind::Dir, 0),
            ];
            if links {
                for offer in &below {
                    assert_eq!(is_refused(&mut peer, offer).await.status, Status::BadName, "{target} {offer:?}");
                }
            }
            let next = if links { 5 } else { 1 };
            peer.send_well(next, "honest", b"what was asked for").await;
            peer.say(&end(next + 1)).await;
            is_settled(&mut peer).await;
            let report = victim.end().await.unwrap();
            assert_eq!(report.done, 1 + u64::from(links), "{report:?}");
            let mut names = vec!["into/docs/mine", "into/honest"];
            names.extend(links.then_some("into/notes.txt"));
            assert_eq!(victim.names(), names);
            assert_eq!(fs::read(victim.path("into/docs/mine")).unwrap(), b"mine");
        }
    }
}

#[tokio::test]
async fn a_wildcard_means_no_dotfile_and_a_directory_means_all_that_is_in_it() {
    for (pattern, name, taken) in [
        ("*", ".bashrc", false),
        ("**", ".bashrc", false),
        ("d/*", ".profile", false),
        ("?bashrc", ".bashrc", false),
        ("[.]bashrc", ".bashrc", false),
        (".*", ".bashrc", true),
        ("*", "plain", true),
        ("d/", ".hidden", true),
    ] {
        let server = RawServer::new();
        let mut victim = Victim::wanting(&server, &[pattern], GetOptions::default());
        let mut peer = server.welcome().await;
        if taken {
            peer.send_well(0, name, b"content").await;
        } else {
            let refused = is_refused(&mut peer, &header(0, name, 1)).await;
            assert_eq!(refused.status, Status::NotAllowed, "{pattern} {name}");
        }
        peer.say(&end(1)).await;
        is_settled(&mut peer).await;
        victim.end().await.unwrap();
        assert_eq!(victim.names().len(), usize::from(taken), "{pattern} {name}");
    }
}

/// What our own server delivers under the same patterns.
#[tokio::test]
async fn a_server_delivers_under_a_pattern_what_a_client_takes() {
    let field = Field::new();
    for name in ["d/.hidden", "d/plain", "d/.dir/x", ".top", "top"] {
        field::write(&field.path(name), b"x");
    }
    for (pattern, expected) in [
        ("d/*", &["plain"][..]),
        ("**", &["d/.dir/x", "d/.hidden", "d/plain", "top"]),
        ("d/", &[".dir/x", ".hidden", "plain"]),
        ("d", &["d/.dir/x", "d/.hidden", "d/plain"]),
        ("d/.*", &[".dir/x", ".hidden"]),
        ("", &["d/.dir/x", "d/.hidden", "d/plain", "top"]),
    ] {
        let got = tempfile::tempdir().unwrap();
        let client = Client::builder(field.honest.clone()).build().unwrap();
        let job = client.get(field.ticket(), vec![pattern.into()], got.path().to_owned(), GetOptions::default());
        let report = soon("the job's end", job.finish()).await.unwrap();
        assert_eq!(
            (report.failed, field::names(got.path())),
            (0, expected.iter().map(|n| (*n).into()).collect()),
            "{pattern}"
        );
    }
}

#[tokio::test]
async fn a_server_sends_nothing_that_was_left_out() {
    let server = RawServer::new();
    let options =
        TransferOptions { excludes: vec!["*.key".to_owned(), "/d/private/".to_owned()], ..TransferOptions::default() };
    let mut victim = Victim::wanting(&server, &["d"], options);
    let mut peer = server.welcome().await;
    for (id, name) in ["d/x.key", "d/private/x", "d/sub/x.key/y"].into_iter().enumerate() {
        assert_eq!(is_refused(&mut peer, &header(id as u64, name, 1)).await.status, Status::NotAllowed, "{name}");
    }
    peer.send_well(3, "d/x", b"content").await;
    peer.say(&end(4)).await;
    is_settled(&mut peer).await;
    victim.end().await.unwrap();
    assert_eq!(victim.names(), ["into/d/x"]);
}

#[tokio::test]
async fn a_client_writes_through_its_own_links_and_through_nobody_elses() {
    let server = RawServer::new();
    let place = tempfile::tempdir().unwrap();
    for name in ["into/disk/photos/old", "into/bob/.ssh/keys", "into/bob/files/a"] {
        field::write(&place.path().join(name), b"old");
    }
    for (target, name) in [("disk/photos", "photos"), ("bob/files", "foreign"), ("bob/.ssh", "dotted"), ("../", "up")] {
        symlink(target, place.path().join("into").join(name)).unwrap();
    }
    let is_given = lchown(place.path().join("into/foreign"), Some(65534), None).is_ok();
    if !is_given {
        println!("not tried: only root can give a link to another user");
        fs::remove_file(place.path().join("into/foreign")).unwrap();
        fs::write(place.path().join("into/foreign"), b"in the way").unwrap();
    }
    let into = place.path().join("into");
    let job = Victim::client().get(server.ticket(), vec![Vec::new()], into, GetOptions::default());
    let mut victim = Victim::of(place, job);
    let mut peer = server.welcome().await;
    let refused = ["foreign/a", "foreign/new/b", "dotted/authorized_keys", "up/x", "up/into/x"];
    for (id, name) in refused.into_iter().enumerate() {
        assert_eq!(is_refused(&mut peer, &header(id as u64, name, 1)).await.status, Status::BadName, "{name}");
    }
    peer.send_well(5, "photos/new", b"new").await;
    is_made(&mut peer, &header_of(6, "photos", Kind::Dir, 0)).await;
    peer.say(&end(7)).await;
    is_settled(&mut peer).await;
    assert_eq!(victim.end().await.unwrap().done, 1);
    assert_eq!(fs::read(victim.path("into/disk/photos/new")).unwrap(), b"new");
    assert!(victim.path("into/photos").is_symlink());
    assert_eq!(fs::read_dir(victim.path("into/bob/.ssh")).unwrap().count(), 1);
    assert_eq!(fs::read(victim.path("into/bob/files/a")).unwrap(), b"old");
    assert_eq!(fs::read_dir(victim.path("")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_clients_link_is_made_where_it_belongs_and_is_no_way_for_names() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    is_made(&mut peer, &link(0, "d", ".")).await;
    is_made(&mut peer, &link(1, "e/inside", "../honest")).await;
    // By its text it lies three directories down; behind the links it would lie at the top.
    for (id, name) in [(2, "d/d/d/report.txt"), (3, "d/report.txt")] {
        let refused = is_refused(&mut peer, &link(id, name, "../../../etc/passwd")).await;
        assert_eq!(refused.status, Status::BadName, "{name}");
    }
    for (id, name) in [(4, "d/file"), (5, "d/d/file"), (6, "d/new/file")] {
        assert_eq!(is_refused(&mut peer, &header(id, name, 1)).await.status, Status::BadName, "{name}");
    }
    assert_eq!(is_refused(&mut peer, &header_of(7, "d", Kind::Dir, 0)).await.status, Status::BadName);
    peer.leave().await;
    field.honest_client_is_served().await;
    assert_eq!(field.names(), ["d", "e/inside", "honest/large", "honest/small"]);
    // Nor is a link a way to read.
    for pattern in ["d/honest/small", "d/", "d/*", "e/inside/", "e/inside/small", "e/inside/*"] {
        for recursive in [false, true] {
            let mut peer = field.greeted().await;
            peer.say(&Message::List(List { pattern: pattern.into(), recursive })).await;
            assert!(matches!(peer.hear().await, Some(Message::Problem(_))), "{pattern}");
            assert_eq!(peer.hear().await, Some(Message::Entries(Vec::new())), "{pattern}");
            peer.leave().await;
        }
        let mut peer = field.greeted().await;
        peer.say(&get(pattern)).await;
        assert!(matches!(peer.hear().await, Some(Message::Problem(_))), "{pattern}");
        assert!(matches!(peer.hear().await, Some(Message::End(end)) if end.files == 0), "{pattern}");
        peer.leave().await;
    }
}

#[tokio::test]
async fn a_drop_box_and_a_server_without_links_take_none() {
    let of_a_writer = Field::enrolling();
    let lists = Clients::open(&of_a_writer.home()).unwrap();
    for (key, name) in [(&of_a_writer.hostile, "a"), (&of_a_writer.honest, "b")] {
        let rights = Rights { mode: AccessMode::WriteOnly, ..Rights::default() };
        lists.allow(&key.fingerprint(), Some(name), &rights).unwrap();
    }
    for field in [
        Field::with(|builder| builder.mode(AccessMode::WriteOnly).no_clobber(true)),
        Field::with(|builder| builder.links(false)),
        of_a_writer,
    ] {
        let mut peer = field.pushing().await;
        for (id, target) in [(0, "honest"), (1, "/etc/passwd")] {
            assert_eq!(is_refused(&mut peer, &link(id, "link", target)).await.status, Status::NotAllowed);
        }
        peer.leave().await;
        field.honest_client_is_served().await;
        assert!(!field.path("link").is_symlink());
    }
}

#[tokio::test]
async fn a_servers_own_links_stand_for_directories_only_where_its_operator_says_so() {
    for kept in [false, true] {
        let field = Field::with(|builder| builder.keep_dirlinks(kept));
        for (target, name) in [("disk/honest", "honest"), (".ssh", "door"), ("../home", "out"), (".", "self")] {
            fs::create_dir_all(field.path("disk/honest")).unwrap();
            field::write(&field.path(".ssh/keys"), b"secret");
            symlink(target, field.path(name)).unwrap();
        }
        let mut peer = field.pushing().await;
        for (id, name) in ["door/keys", "door/new", "out/new", "self/new", "self/.ssh/keys"].into_iter().enumerate() {
            assert_eq!(is_refused(&mut peer, &header(id as u64, name, 1)).await.status, Status::BadName, "{name}");
        }
        // A client whose links are kept could give itself a way for its next job.
        let made = link(5, "planted", "disk");
        match kept {
            true => assert_eq!(is_refused(&mut peer, &made).await.status, Status::NotAllowed),
            false => is_made(&mut peer, &made).await,
        }
        match kept {
            true => peer.send_well(6, "honest/b", b"content").await,
            false => assert_eq!(is_refused(&mut peer, &header(6, "honest/b", 1)).await.status, Status::BadName),
        }
        peer.leave().await;
        if kept {
            field.honest_client_is_served().await;
            assert!(field.path("honest").is_symlink());
        }
        assert_eq!(field.path("disk/honest/b").exists(), kept);
        assert_eq!(fs::read(field.path(".ssh/keys")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(field.path(".ssh")).unwrap().count(), 1);
        field.nothing_is_outside();
    }
}

fn rights(root: &str) -> Rights {
    Rights { root: Some(path(root)), ..Rights::default() }
}

#[tokio::test]
async fn a_clients_root_is_where_the_operator_said_whatever_others_have_put_there() {
    let field = Field::enrolling();
    let lists = Clients::open(&field.home()).unwrap();
    field::write(&field.path(".ssh/authorized_keys"), b"operator");
    field::write(&field.path("other/secret"), b"secret");
    lists.allow(&field.hostile.fingerprint(), Some("a"), &Rights::default()).unwrap();
    let mut peer = field.pushing().await;
    for (id, (name, target)) in
        [("ci", ".ssh"), ("pub", "other"), ("way/in", "../.ssh"), ("top", ".")].into_iter().enumerate()
    {
        is_made(&mut peer, &link(id as u64, name, target)).await;
    }
    peer.leave().await;
    for (n, root) in ["ci", "pub", "way/in", "pub/deeper", "top", "top/.ssh", "top/other"].into_iter().enumerate() {
        let key = identity();
        lists.allow(&key.fingerprint(), Some(&format!("b{n}")), &rights(root)).unwrap();
        let mut peer = Raw::connect(&field.server, &key).await;
        peer.say(&hello()).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Internal), "{root}");
    }
    assert_eq!(fs::read_dir(field.path(".ssh")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(field.path("other")).unwrap().count(), 1);
    // One that the operator named is served, hidden or new; each holds what is its own.
    for (root, name) in [("plain/new", "plain/new/file"), (".ssh", ".ssh/file")] {
        let key = identity();
        lists.allow(&key.fingerprint(), Some(&format!("c{}", root.len())), &rights(root)).unwrap();
        let mut peer = Raw::greeted(&field.server, &key).await;
        peer.say(&push()).await;
        peer.send_well(0, "file", b"content").await;
        peer.leave().await;
        assert_eq!(fs::read(field.path(name)).unwrap(), b"content");
    }
}

/// Beside the directory that a client sends lies a private one, with a file of the same name, size and time.
struct Decoy(TempDir);

impl Decoy {
    fn new(size: usize) -> Self {
        let decoy = Self(tempfile::tempdir().unwrap());
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (dir, byte) in [("src/d", b'd'), ("src/private", b'p')] {
            let path = decoy.path(dir).join("shadow");
            field::write(&path, &vec![byte; size]);
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        decoy
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// The owner of the directory above puts the private one in the place of the other.
    fn exchange(&self, by_link: bool) {
        fs::rename(self.path("src/d"), self.path("src/away")).unwrap();
        match by_link {
            true => symlink("private", self.path("src/d")).unwrap(),
            false => fs::rename(self.path("src/private"), self.path("src/d")).unwrap(),
        }
    }
}

/// All content that a client sends until it has nothing more to say.
async fn taken(peer: &mut Raw) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        tokio::select! {
            message = peer.hear() => match message {
                Some(Message::End(_)) | None => return all,
                Some(Message::Header(Header { id, kind, .. })) => {
                    let verdict = match kind {
                        Kind::File => Verdict::From { offset: 0, why: Why::New },
                        _ => Verdict::Skip(SkipReason::Made),
                    };
                    peer.say(&Message::Pos(Pos { id, verdict })).await;
                }
                Some(Message::Tail(tail)) => peer.say(&Message::Done(Done { id: tail.id, failure: None })).await,
                Some(_) => {}
            },
        }
        while let Ok(Ok((_, mut stream))) =
            tokio::time::timeout(Duration::from_millis(50), peer.connection.accept_bi()).await
        {
            let bytes = soon("the content", stream.read_to_end(16 << 20)).await.unwrap_or_default();
            all.extend_from_slice(&bytes[RANGE_HEADER_BYTES.min(bytes.len())..]);
        }
    }
}

fn sending(server: &RawServer, source: &Path) -> Job {
    // With a comparison asked for, nothing leaves before it is wanted.
    let options = TransferOptions { checksum: true, ..TransferOptions::default() };
    Victim::client().send(server.ticket(), vec![source.to_owned()], options)
}

#[tokio::test]
async fn a_sender_sends_nothing_from_outside_of_what_was_named() {
    for size in [100, 3 * CHUNK] {
        for exchange in [None, Some(true), Some(false)] {
            let decoy = Decoy::new(size);
            let server = RawServer::new();
            let job = sending(&server, &decoy.path("src/d"));
            let mut peer = server.welcome().await;
            assert!(matches!(peer.hear().await, Some(Message::Header(header)) if header.kind == Kind::Dir));
            peer.say(&Message::Pos(Pos { id: FileId(0), verdict: Verdict::Skip(SkipReason::Made) })).await;
            assert!(matches!(peer.hear().await, Some(Message::Header(header)) if header.kind == Kind::File));
            if let Some(by_link) = exchange {
                decoy.exchange(by_link);
            }
            peer.say(&Message::Pos(Pos { id: FileId(1), verdict: Verdict::From { offset: 0, why: Why::New } })).await;
            let all = taken(&mut peer).await;
            assert!(all == vec![b'd'; size], "{size} {exchange:?}");
            peer.say(&Message::Settled).await;
            // What was named is held, so it is sent although it has another name by now.
            let report = soon("the job's end", job.finish()).await.unwrap();
            assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_connection_does_not_let_others_choose_what_a_name_means() {
    for exchange in [None, Some(true), Some(false)] {
        let decoy = Decoy::new(100);
        let server = RawServer::new();
        let job = sending(&server, &decoy.path("src/d"));
        let mut peer = server.welcome().await;
        assert!(matches!(peer.hear().await, Some(Message::Header(header)) if header.kind == Kind::Dir));
        // Until it is on offer, an answer is a violation.
        assert!(matches!(peer.hear().await, Some(Message::Header(header)) if header.kind == Kind::File));
        peer.say(&Message::Pos(Pos { id: FileId(1), verdict: Verdict::From { offset: 0, why: Why::New } })).await;
        // The client has heard all that was said before it sends content.
        let content = soon("the content", peer.connection.accept_bi()).await.unwrap();
        transport::close(&peer.connection, CloseCode::GoingAway, "");
        drop(content);
        if let Some(by_link) = exchange {
            decoy.exchange(by_link);
        }
        let mut peer = server.welcome().await;
        let all = taken(&mut peer).await;
        peer.say(&Message::Settled).await;
        let report = soon("the job's end", job.finish()).await.unwrap();
        assert_eq!((all, report.done, report.failed), (vec![b'd'; 100], 1, 0), "{exchange:?}");
    }
}
