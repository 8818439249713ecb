//! What a peer sends while this end does not read it.

use quinn::{RecvStream, SendStream};

use super::*;

/// Streams of which it does not say what they are for.
async fn streams_for_nothing(peer: &Raw) -> Vec<(SendStream, RecvStream)> {
    let mut streams = Vec::new();
    for _ in 0..EARLY_FILES_MAX {
        streams.push(soon("a stream", peer.connection.open_bi()).await.unwrap());
    }
    streams
}

/// A byte on each, again and again, until the connection ends or each has so many.
async fn crumble(peer: &Raw, streams: &mut [(SendStream, RecvStream)], rounds: usize) {
    for _ in 0..rounds {
        for (stream, _) in &mut *streams {
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
        // The connection's own task sends them now, a piece of each in a packet.
        let sent = peer.connection.stats().frame_tx.stream;
        while peer.connection.stats().frame_tx.stream < sent + streams.len() as u64
            && peer.connection.close_reason().is_none()
        {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn crumbs_on_streams_that_nobody_reads_are_not_kept() {
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0));
    let peer = field.greeted().await;
    let mut streams = streams_for_nothing(&peer).await;
    soon("the end", crumble(&peer, &mut streams, 2048)).await;
    field.ends_with(&peer, CloseCode::Busy).await;
}

#[tokio::test]
async fn streams_that_no_push_follows_are_not_waited_for() {
    let field = Field::new();
    let peer = field.greeted().await;
    let mut streams = streams_for_nothing(&peer).await;
    crumble(&peer, &mut streams, 1).await;
    field.ends_with(&peer, CloseCode::Timeout).await;
}

#[tokio::test]
async fn content_that_comes_long_before_its_push_is_taken() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    let (mut ahead, _reports) = peer.begin_early(0, 0, 7, b"con").await;
    // It is there before the push is.
    let acknowledged = || peer.connection.stats().frame_rx.acks;
    let before = acknowledged();
    until("an acknowledgement", || acknowledged() > before).await;
    peer.say(&push()).await;
    peer.say(&header(0, "early", 7)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 0, why: Why::New });
    ahead.write_all(b"tent").await.unwrap();
    ahead.finish().unwrap();
    peer.say(&peer.tail(0, b"content", 1)).await;
    peer.is_done(0).await;
    assert_eq!(fs::read(field.path("early")).unwrap(), b"content");
    peer.leave().await;
}

/// What it is to get comes ahead of its answers, and never with the offer that it waits for.
#[tokio::test]
async fn crumbs_that_a_client_does_not_read_are_not_kept_either() {
    let (server, place) = (RawServer::new(), tempfile::tempdir().unwrap());
    // The least that a connection has for certain.
    let client = Client::builder(identity()).memory(0).build().unwrap();
    let job = client.get(server.ticket(), vec![b"notes.txt".to_vec()], place.path().into(), GetOptions::default());
    let peer = server.welcome().await;
    let mut streams = Vec::new();
    for id in 0..EARLY_FILES_MAX as u64 {
        streams.push(peer.begin_early(id, 0, 4096, b"x").await);
    }
    soon("the end", crumble(&peer, &mut streams, 2048)).await;
    assert_eq!(peer.closed().await, Some(CloseCode::Busy));
    let error = soon("the job's end", job.finish()).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Peer, "{error}");
}

#[tokio::test]
async fn a_client_with_little_memory_gets_and_sends_what_it_wants() {
    const MEMORY: usize = 16 << 20;
    let field = Field::new();
    for n in 0..100 {
        field::write(&field.path(&format!("d/{n}/small")), &content(n));
    }
    field::write(&field.path("d/large"), &content(5 * CHUNK + 7));
    let place = tempfile::tempdir().unwrap();
    let client = Client::builder(field.honest.clone()).memory(MEMORY).build().unwrap();
    let job = client.get(field.ticket(), vec![b"d".to_vec()], place.path().into(), GetOptions::default());
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (101, 0), "{report:?}");
    assert_eq!(fs::read(place.path().join("d/large")).unwrap(), content(5 * CHUNK + 7));
    let job = client.send(
        field.ticket(),
        vec![place.path().join("d")],
        SendOptions { to: Some(path("back")), ..SendOptions::default() },
    );
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!(report.failed, 0, "{report:?}");
    assert_eq!(fs::read(field.path("back/d/large")).unwrap(), content(5 * CHUNK + 7));
}

/// A client that only sends reads no streams, and a server has nothing to say on any.
#[tokio::test]
async fn a_server_can_open_no_stream_to_a_client_that_sends() {
    let server = RawServer::new();
    let mut victim = server::Victim::sending(&server);
    let mut peer = server.welcome().await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    let opened = tokio::time::timeout(Duration::ZERO, peer.connection.open_bi()).await;
    assert!(opened.is_err(), "{opened:?}");
    drop(peer);
    victim.end().await.unwrap_err();
}
