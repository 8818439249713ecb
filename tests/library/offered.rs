//! A receiver hears that all is on offer long before the end of a large file, if it understands that.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::support::field::{self, Field, identity};
use crate::support::peer::{Raw, RawServer, end, get, header, hello_with, push, tuning};
use crate::support::{content, soon};
use qft::client::{Client, Job, SendOptions};
use qft::digest::CHUNK_BYTES;
use qft::protocol::close::CloseCode;
use qft::protocol::features::{NONE, OFFERED};
use qft::protocol::message::{Done, Failure, FileId, Message, Pos, Status, Verdict, Welcome, Why};

/// More than goes ahead of an answer.
const LARGE: usize = 2 * CHUNK_BYTES as usize + 5;

fn wanted(id: u64) -> Message {
    Message::Pos(Pos { id: FileId(id), verdict: Verdict::From { offset: 0, why: Why::New } })
}

fn done(id: u64) -> Message {
    Message::Done(Done { id: FileId(id), failure: None })
}

/// What is said up to the end of a job of one file, whose offers are all taken.
async fn said(peer: &mut Raw) -> Vec<&'static str> {
    let mut said = Vec::new();
    loop {
        match peer.hear().await {
            Some(Message::Header(header)) => {
                said.push("header");
                if header.id == FileId(0) {
                    continue;
                }
                peer.say(&wanted(header.id.0)).await;
            }
            Some(Message::Offered) => {
                said.push("offered");
                peer.say(&wanted(0)).await;
            }
            Some(Message::Tail(tail)) => {
                said.push("tail");
                peer.say(&done(tail.id.0)).await;
            }
            Some(Message::Cancel(_)) => said.push("cancel"),
            Some(Message::End(_)) => {
                said.push("end");
                return said;
            }
            other => panic!("{other:?} after {said:?}"),
        }
    }
}

/// A job that fetches a large file from a server, which has heard nothing but the job.
async fn getting(field: &Field, features: u64) -> Raw {
    field::write(&field.path("f"), &content(LARGE));
    let mut peer = Raw::greeted_by(&field.server, &field.hostile, &tuning(), &hello_with(features)).await;
    peer.say(&get("f")).await;
    peer
}

#[tokio::test]
async fn a_client_that_gets_hears_it_before_it_has_answered() {
    let field = Field::new();
    let mut peer = getting(&field, OFFERED).await;
    assert_eq!(said(&mut peer).await, ["header", "offered", "tail", "end"]);
    peer.leave().await;
}

#[tokio::test]
async fn a_client_that_does_not_understand_it_never_hears_it() {
    let field = Field::new();
    let mut peer = getting(&field, NONE).await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    // Only a word that does not come before the first answer would come late.
    peer.say(&wanted(0)).await;
    assert_eq!(said(&mut peer).await, ["tail", "end"]);
    peer.leave().await;
}

/// Sends a file of `len` bytes.
fn send(server: &RawServer, source: &Path, len: usize) -> Job {
    field::write(source, &content(len));
    let client = Client::builder(identity()).build().unwrap();
    client.send(server.ticket(), vec![source.to_owned()], SendOptions::default())
}

/// The same with a large file, to a server with these features.
async fn sending(server: &RawServer, source: &Path, features: u64) -> (Job, Raw) {
    let job = send(server, source, LARGE);
    (job, server.welcome_with(features).await)
}

async fn settle(job: Job, mut peer: Raw) {
    peer.say(&Message::Settled).await;
    assert_eq!(peer.closed().await, Some(CloseCode::Done));
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0));
}

#[tokio::test]
async fn a_server_hears_it_although_the_offers_were_made_before_its_welcome() {
    let (server, dir) = (RawServer::new(), tempfile::tempdir().unwrap());
    let (job, mut peer) = sending(&server, &dir.path().join("f"), OFFERED).await;
    assert_eq!(said(&mut peer).await, ["header", "offered", "tail", "end"]);
    settle(job, peer).await;
}

#[tokio::test]
async fn a_server_that_does_not_understand_it_never_hears_it() {
    let (server, dir) = (RawServer::new(), tempfile::tempdir().unwrap());
    let (job, mut peer) = sending(&server, &dir.path().join("f"), NONE).await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    peer.say(&wanted(0)).await;
    assert_eq!(said(&mut peer).await, ["tail", "end"]);
    settle(job, peer).await;
}

#[tokio::test]
async fn it_is_not_said_after_the_end() {
    let (server, dir) = (RawServer::new(), tempfile::tempdir().unwrap());
    let job = send(&server, &dir.path().join("f"), 0);
    let mut peer = server.accept().await;
    // All of it goes ahead of the welcome.
    while !matches!(peer.hear().await, Some(Message::End(_))) {}
    for message in [Message::Welcome(Welcome::new(OFFERED, "late", false)), wanted(0), done(0)] {
        peer.say(&message).await;
    }
    peer.say(&Message::Settled).await;
    let next = peer.hear().await;
    assert_eq!(next, None);
    assert_eq!(soon("the job's end", job.finish()).await.unwrap().done, 1);
}

#[tokio::test]
async fn a_source_that_changes_after_it_is_offered_again_and_it_is_said_once() {
    let (server, dir) = (RawServer::new(), tempfile::tempdir().unwrap());
    let source = dir.path().join("f");
    let (job, mut peer) = sending(&server, &source, OFFERED).await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    assert_eq!(peer.hear().await, Some(Message::Offered));
    OpenOptions::new().write(true).open(&source).unwrap().write_all(b"changed").unwrap();
    peer.say(&wanted(0)).await;
    assert_eq!(said(&mut peer).await, ["cancel", "header", "tail", "end"]);
    settle(job, peer).await;
}

#[tokio::test]
async fn a_receiver_takes_what_is_offered_again_after_it() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    peer.say(&push()).await;
    peer.offer(0, "f", 5).await;
    peer.say(&Message::Offered).await;
    let changed = Failure::new(Status::Changed, "it changed");
    peer.say(&Message::Cancel(Done { id: FileId(0), failure: Some(changed) })).await;
    peer.say(&header(1, "f", 7)).await;
    assert!(matches!(peer.hear_pos().await.verdict, Verdict::From { offset: 0, .. }));
    peer.range(1, 0, b"content").await;
    peer.say(&peer.tail(1, b"content", 1)).await;
    peer.is_done(1).await;
    peer.say(&end(2)).await;
    assert_eq!(peer.hear().await, Some(Message::Settled));
    assert_eq!(fs::read(field.path("f")).unwrap(), b"content");
    peer.leave().await;
}
