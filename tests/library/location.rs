//! Where files go, said by the end that receives them to one that may be on the same machine: a destination that lies in its
//! source is left out, and nobody else learns anything.

use std::collections::HashSet;

use crate::support::field::{self, Field, identity};
use crate::support::peer::{Raw, RawServer, end, hello_with, push, push_into, tuning};
use crate::support::soon;
use qft::client::{Client, GetOptions, SendOptions};
use qft::protocol::close::CloseCode;
use qft::protocol::features::{ALL, CONTINUED, LOCATION, NONE};
use qft::protocol::message::{Done, Location, Message, Pos, SkipReason, Verdict};

/// What the server says of the place of a push, if anything.
async fn said(field: &Field, features: u64, push: Message) -> Option<Message> {
    let mut peer = Raw::greeted_by(&field.server, &field.hostile, &tuning(), &hello_with(features)).await;
    peer.say(&push).await;
    peer.say(&end(0)).await;
    let mut said = Vec::new();
    while said.len() < 1 + usize::from(features & LOCATION != 0) {
        said.push(peer.hear().await.expect("it goes on"));
    }
    peer.leave().await;
    // Which of the two is said first is left to the disk.
    said.into_iter().find(|message| *message != Message::Settled)
}

#[tokio::test]
async fn a_place_signs_in_another_way_over_each_connection_and_only_to_who_asks() {
    let field = Field::new();
    let mut proofs = HashSet::new();
    for to in [None, None, Some("new/dir")] {
        let said = said(&field, ALL, push_into(to)).await;
        let Some(Message::Location(Location { proof: Some(proof) })) = said else { panic!("{said:?}") };
        proofs.insert(proof);
    }
    assert_eq!(proofs.len(), 3);
    assert_eq!(said(&field, ALL & !LOCATION, push()).await, None);
    assert!(!field.path("new").exists(), "it is only looked for");
}

#[tokio::test]
async fn a_location_that_was_not_agreed_on_breaks_the_rules() {
    let field = Field::new();
    for features in [NONE, ALL & !LOCATION] {
        let mut peer = Raw::greeted_by(&field.server, &field.hostile, &tuning(), &hello_with(features)).await;
        peer.say(&Message::Location(Location { proof: None })).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    }
    // One that was, and of which there is no use, harms nobody.
    let mut peer = Raw::greeted_by(&field.server, &field.hostile, &tuning(), &hello_with(ALL)).await;
    peer.say(&Message::Location(Location { proof: Some([7; 32]) })).await;
    peer.say(&push()).await;
    assert!(matches!(peer.hear().await, Some(Message::Location(_))));
    peer.leave().await;
    field.honest_client_is_served().await;
}

/// A server may say what it likes: a proof of nothing leaves nothing out.
#[tokio::test]
async fn a_server_that_makes_a_location_up_leaves_nothing_out() {
    let server = RawServer::new();
    let sources = tempfile::tempdir().unwrap();
    field::write(&sources.path().join("s/d/e/f"), b"content");
    let client = Client::builder(identity()).build().unwrap();
    let job = client.send(server.ticket(), vec![sources.path().join("s")], SendOptions::default());
    let mut peer = server.welcome_with(LOCATION).await;
    peer.say(&Message::Location(Location { proof: Some([0; 32]) })).await;
    let mut names = Vec::new();
    while names.len() < 4 {
        match peer.hear().await {
            Some(Message::Header(header)) => {
                names.push(header.path.to_string());
                let verdict = Verdict::Skip(SkipReason::Made);
                peer.say(&Message::Pos(Pos { id: header.id, verdict })).await;
            }
            Some(Message::Cancel(Done { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(names, ["s", "s/d", "s/d/e", "s/d/e/f"]);
    drop(job);
}

/// A client of this version with a server of an earlier one, which says nothing and is not waited for; and the other way.
#[tokio::test]
async fn who_does_not_know_of_locations_is_not_waited_for() {
    let server = RawServer::new();
    let place = tempfile::tempdir().unwrap();
    field::write(&place.path().join("s/d/f"), b"content");
    let client = Client::builder(identity()).build().unwrap();
    let sent = client.send(server.ticket(), vec![place.path().join("s")], SendOptions::default());
    let mut peer = server.welcome_with(NONE).await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    drop((sent, peer));
    let got = client.get(server.ticket(), vec![b"s".to_vec()], place.path().join("into"), GetOptions::default());
    let mut peer = server.welcome_with(NONE).await;
    peer.say(&end(0)).await;
    let said = peer.hear().await;
    assert!(matches!(said, Some(Message::Settled) | None), "{said:?}");
    drop((got, peer));
}

/// The features of the next client's greeting.
async fn greeting(server: &RawServer) -> (u64, Raw) {
    let mut peer = server.accept().await;
    let Some(Message::Hello(hello)) = peer.hear().await else { panic!("no greeting") };
    (hello.features, peer)
}

#[tokio::test]
async fn a_client_says_over_which_connection_it_goes_on_with_a_job() {
    let server = RawServer::new();
    let place = tempfile::tempdir().unwrap();
    let client = Client::builder(identity()).build().unwrap();
    let job = client.get(server.ticket(), vec![b"f".to_vec()], place.path().join("into"), GetOptions::default());
    let (first, mut peer) = greeting(&server).await;
    peer.say(&Message::Welcome(qft::protocol::message::Welcome::new(ALL, "box", false))).await;
    assert!(matches!(peer.hear().await, Some(Message::Get(_))));
    assert!(matches!(peer.hear().await, Some(Message::Location(_))), "it has heard the welcome");
    qft::transport::close(&peer.connection, CloseCode::Timeout, "");
    let (second, _peer) = soon("another connection", greeting(&server)).await;
    assert_eq!([first & CONTINUED, second & CONTINUED], [0, CONTINUED]);
    drop(job);
}
