//! What a peer can make a server hold or do beside others, and how it is given back.

use std::sync::atomic::{AtomicBool, Ordering};

use qft::protocol::PATTERNS_MAX;
use qft::protocol::message::Get;
use qft::transport::Rate;

use super::*;
use crate::support::alone::is_alone;

/// Threads of this process that walk for somebody.
fn walks() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "qft-walk").count()
}

async fn no_walk_goes_on() {
    until("the end of every walk", || walks() == 0).await;
}

#[tokio::test]
async fn a_thousand_patterns_over_thousands_of_files_end_with_their_connection() {
    if !is_alone("hostile::budget::a_thousand_patterns_over_thousands_of_files_end_with_their_connection") {
        return;
    }
    let field = Field::new();
    for n in 0..5000 {
        field::write(&field.path(&format!("d/{n}")), b"");
    }
    let patterns = vec![b"d/*".to_vec(); PATTERNS_MAX];
    let asked = Message::Get(Get { patterns, filters: Vec::new(), links: false, early: false });
    let mut peer = field.greeted().await;
    peer.say(&asked).await;
    // The first name comes before the last pattern was looked at.
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    peer.leave().await;
    // And nothing at all is found for these.
    let patterns = vec![b"**/*.none".to_vec(); PATTERNS_MAX];
    let asked = Message::Get(Get { patterns, filters: Vec::new(), links: false, early: false });
    let mut peer = field.greeted().await;
    peer.say(&asked).await;
    assert!(matches!(peer.hear().await, Some(Message::Problem(_))));
    peer.leave().await;
    field.honest_client_is_served().await;
    no_walk_goes_on().await;
}

#[tokio::test]
async fn a_client_that_does_nothing_gives_its_place_to_one_that_waits_for_it() {
    let field = Field::with(|builder| builder.clients_max(2));
    let idle = field.greeted().await;
    // One key, and one address, has half of the places: the honest client waits for the idle one's.
    field.honest_client_is_served().await;
    assert_eq!(idle.closed().await, Some(CloseCode::Busy));
}

#[tokio::test]
async fn who_works_keeps_its_place_and_who_waits_for_one_is_told_so_and_gets_it() {
    let field = Field::with(|builder| builder.clients_max(2));
    let mut working = field.pushing().await;
    working.offer(0, "x", 2 * CHUNK_BYTES).await;
    let client = Client::builder(field.honest.clone()).build().unwrap();
    let sources = tempfile::tempdir().unwrap();
    fs::write(sources.path().join("mine"), b"mine").unwrap();
    let mut job = client.send(field.ticket(), vec![sources.path().join("mine")], SendOptions::default());
    let mut waits = 0;
    while waits < 3 {
        match soon("an event", job.next()).await {
            Some(qft::progress::Event::Waiting { attempt, .. }) => {
                waits += 1;
                assert_eq!(attempt, waits);
            }
            Some(_) => {}
            None => panic!("{:?}", job.finish().await),
        }
    }
    assert!(working.connection.close_reason().is_none());
    // A listing waits as well.
    let told = std::sync::Arc::<AtomicBool>::default();
    let (tell, ticket) = (told.clone(), field.ticket());
    let lister =
        Client::builder(field.honest.clone()).on_wait(move |_| tell.store(true, Ordering::Relaxed)).build().unwrap();
    let listing = tokio::spawn(async move { lister.list(ticket, Vec::new(), false).await });
    until("the word that the listing waits", || told.load(Ordering::Relaxed)).await;
    working.leave().await;
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0));
    soon("the listing", listing).await.unwrap().unwrap();
    assert_eq!(fs::read(field.path("mine")).unwrap(), b"mine");
}

#[tokio::test]
async fn patience_ends_the_wait_for_a_place() {
    let field = Field::with(|builder| builder.clients_max(2));
    let mut working = field.pushing().await;
    working.offer(0, "x", 2 * CHUNK_BYTES).await;
    let patience = Duration::from_secs(1);
    let client = Client::builder(field.honest.clone()).patience(patience).build().unwrap();
    let error = soon("the end of the wait", client.list(field.ticket(), Vec::new(), false)).await.unwrap_err();
    assert!(error.is_busy(), "{error}");
    working.leave().await;
}

#[tokio::test]
async fn a_flood_of_strangers_packets_spends_nothing_of_a_rate_limit() {
    let rate = Rate::new(2_000_000).unwrap();
    let field = Field::with(|builder| builder.rate_limit(Some(rate)));
    let (addr, over) = (field.server.local_addr(), std::sync::Arc::<AtomicBool>::default());
    let end = over.clone();
    let flood = std::thread::spawn(move || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let junk = content(1200);
        let mut sent = 0_u64;
        // Some 12 MB a second, six times the limit.
        while !end.load(Ordering::Relaxed) {
            for _ in 0..10 {
                sent += u64::from(socket.send_to(&junk, addr).is_ok());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    });
    field.honest_client_is_served().await;
    over.store(true, Ordering::Relaxed);
    let sent = flood.join().unwrap();
    assert!(sent > 1000, "{sent} packets are no flood");
}

#[tokio::test]
async fn offers_that_are_given_up_at_once_are_not_all_remembered() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    let cancel = |id| Message::Cancel(Done { id: FileId(id), failure: Some(Failure::new(Status::Cancelled, "")) });
    for batch in 0..100_u64 {
        if peer.connection.close_reason().is_some() {
            break;
        }
        let pair = |id| [frame(&header(id, &format!("{id}"), 1)), frame(&cancel(id))].concat();
        peer.say_bytes(&(batch * 1000..(batch + 1) * 1000).flat_map(pair).collect::<Vec<u8>>()).await;
    }
    // Either the disk threads kept up with it, or they did not and it was shut out.
    if peer.connection.close_reason().is_some() {
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    } else {
        peer.leave().await;
    }
    field.honest_client_is_served().await;
}

/// A file of many chunks and more small ones than there is room to offer at once.
fn make_backup(dir: &std::path::Path) {
    field::write(&dir.join("large"), &content(9 * CHUNK + 17));
    for n in 0..SMALL_FILES {
        field::write(&dir.join(format!("{}/small {n}", n % 7)), &content(n % 300));
    }
}

const SMALL_FILES: usize = 1500;

#[tokio::test]
async fn who_offers_more_than_there_is_room_for_finishes_and_comes_again_with_the_rest() {
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0));
    let sources = tempfile::tempdir().unwrap();
    make_backup(&sources.path().join("backup"));
    let client = Client::builder(field.honest.clone()).build().unwrap();
    let paths = vec![sources.path().join("backup")];
    let mut job = client.send(field.ticket(), paths, SendOptions::default());
    let mut came_again = 0;
    while let Some(event) = soon("an event", job.next()).await {
        came_again += usize::from(matches!(event, qft::progress::Event::Reconnecting { .. }));
    }
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!((report.done + report.skipped, report.failed), (SMALL_FILES as u64 + 1, 0), "{report:?}");
    assert!(came_again > 0, "there was room for all at once");
    crate::support::tree::assert_same(&sources.path().join("backup"), &field.path("backup"));
}

#[tokio::test]
async fn who_gets_nothing_but_its_floor_is_sent_everything_still() {
    let field = Field::with(|builder| builder.memory(0));
    make_backup(&field.path("backup"));
    let got = tempfile::tempdir().unwrap();
    let client = Client::builder(field.honest.clone()).build().unwrap();
    let job = client.get(field.ticket(), vec![b"backup".to_vec()], got.path().to_owned(), GetOptions::default());
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (SMALL_FILES as u64 + 1, 0), "{report:?}");
    crate::support::tree::assert_same(&field.path("backup"), &got.path().join("backup"));
}

/// The room of an offer is kept as long as its name is: until it is offered again, or the end.
#[tokio::test]
async fn files_that_changed_and_are_not_offered_again_fill_the_room_for_offers() {
    const FILES: u64 = 500;
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0));
    let mut peer = field.pushing().await;
    let name = |id: u64| format!("{id:0200}");
    let asked_to_come_again = 'offering: {
        for id in 0..FILES {
            peer.say(&header(id, &name(id), 5)).await;
            match peer.hear().await {
                Some(Message::Pos(_)) => peer.say(&crossing::changed(id)).await,
                Some(Message::GoAway) => break 'offering id,
                other => panic!("{other:?}: {:?}", peer.connection.close_reason()),
            }
        }
        panic!("{FILES} names are kept that nobody counts");
    };
    let room = qft::server::limits::WORDS_FLOOR_BYTES / qft::server::limits::OFFER_BYTES;
    assert!(asked_to_come_again > 10 && asked_to_come_again <= room as u64, "at {asked_to_come_again}");
    assert!(matches!(peer.hear_pos().await.verdict, Verdict::Refuse(_)));
    peer.say(&end(asked_to_come_again + 1)).await;
    assert_eq!(peer.hear().await, Some(Message::Settled));
    peer.leave().await;
    field.honest_client_is_served().await;
    // One that is offered again every time takes no room but its own.
    let mut peer = field.pushing().await;
    for id in 0..FILES {
        peer.offer(id, "restless", 5).await;
        peer.say(&crossing::changed(id)).await;
    }
    peer.offer(FILES, "restless", 5).await;
    peer.range(FILES, 0, b"still").await;
    peer.say(&peer.tail(FILES, b"still", 1)).await;
    peer.is_done(FILES).await;
    peer.leave().await;
}

/// Which names were doubted, and which were offered, is remembered only to save work.
#[tokio::test]
async fn where_nothing_can_be_remembered_everything_is_stored_durably_and_sent_back() {
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0).sync(true));
    let (sources, got) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tree = sources.path().join("backup");
    for n in 0..100 {
        field::write(&tree.join(format!("{}/{}/{n}", n % 7, n % 3)), &content(n));
    }
    let client = Client::builder(field.honest.clone()).build().unwrap();
    for done in [100, 0] {
        let job = client.send(field.ticket(), vec![tree.clone()], SendOptions::default());
        let report = soon("the job's end", job.finish()).await.unwrap();
        assert_eq!((report.done, report.failed), (done, 0), "{report:?}");
    }
    let twice = vec![b"backup".to_vec(), b"backup".to_vec()];
    let job = client.get(field.ticket(), twice, got.path().to_owned(), GetOptions::default());
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!(report.failed, 0, "{report:?}");
    crate::support::tree::assert_same(&tree, &got.path().join("backup"));
}

#[tokio::test]
async fn digests_that_wait_for_ours_are_bounded() {
    const CHUNKS: u64 = 1 << 20;
    const AT_ONCE: usize = 1024;
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0));
    // A terabyte, which takes minutes to hash at the best.
    fs::File::create(field.path("wanted")).unwrap().set_len(CHUNKS * CHUNK_BYTES).unwrap();
    let mut peer = field.greeted().await;
    peer.say(&get("wanted")).await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    peer.say(&getter::from(CHUNKS * CHUNK_BYTES)).await;
    let mut said = 0;
    let saying = async {
        while said < CHUNKS {
            let digests = vec![Digest([0; 16]); AT_ONCE];
            peer.say(&Message::Have(Have { id: FileId(0), first: said, digests })).await;
            said += AT_ONCE as u64;
        }
    };
    // What has been said and is not heard waits in windows, whose size is no matter of digests.
    let _ = tokio::time::timeout(Duration::from_secs(5), saying).await;
    assert!(said < CHUNKS / 2, "{said} digests were taken before they were compared");
    assert!(peer.connection.close_reason().is_none(), "it is heard later, and not shut out");
    field.honest_client_is_served().await;
    peer.leave().await;
}

/// New directories are remembered until the end of the job, when they get their time.
#[tokio::test]
async fn of_more_directories_than_there_is_room_for_the_last_keep_their_own_time() {
    const DIRS: u64 = 3000;
    const AT_ONCE: usize = 500;
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0));
    let mut peer = field.pushing().await;
    let offers: Vec<Vec<u8>> = (0..DIRS).map(|n| frame(&header_of(n, &format!("{n}"), Kind::Dir, 0))).collect();
    for some in offers.chunks(AT_ONCE) {
        peer.say_bytes(&some.concat()).await;
        for _ in some {
            let pos = peer.hear_pos().await;
            assert_eq!(pos.verdict, Verdict::Skip(SkipReason::Made));
        }
    }
    peer.say(&end(DIRS)).await;
    assert!(matches!(peer.hear().await, Some(Message::Settled)));
    peer.leave().await;
    let is_set = |n: &u64| {
        let time = fs::metadata(field.path(&n.to_string())).unwrap().modified().unwrap();
        time == std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
    };
    let remembered = (0..DIRS).filter(is_set).count();
    let most = qft::server::limits::WORDS_FLOOR_BYTES / 128;
    assert!(remembered > 100 && remembered < most, "{remembered} directories were remembered");
    field.honest_client_is_served().await;
}
