//! What a server says of itself while it works: connections, workers, jobs, files.

use crate::support::field::{self, Field};
use crate::support::peer::{end, get, header};
use crate::support::{content, soon, until};
use qft::keys::trust::AccessMode;
use qft::progress::FilePhase;
use qft::protocol::message::{self, Failure, FileId, Message, Pos, Verdict};
use qft::server::ServerStatus;
use qft::server::status::{Direction, JobStatus};

const MIB: u64 = 1 << 20;

/// The only job of the only connection.
#[track_caller]
fn only_job(status: &ServerStatus) -> &JobStatus {
    let [connection] = &status.connections[..] else { panic!("{status:?}") };
    let [job] = &connection.jobs[..] else { panic!("{connection:?}") };
    job
}

#[tokio::test]
async fn clients_are_shown_with_their_workers_from_their_welcome_to_their_end() {
    let field = Field::with(|builder| builder.mode(AccessMode::ReadOnly).clients_max(7));
    let handle = field.server.handle();
    let idle = handle.status();
    assert_eq!((idle.clients, idle.clients_max, &idle.workers[..], idle.is_ending), (0, 7, &[0, 0][..], false));
    assert!(idle.rules.read && !idle.rules.write && !idle.rules.sync && !idle.rules.no_auth, "{:?}", idle.rules);
    let first = field.greeted().await;
    until("the first", || handle.status().clients == 1).await;
    let second = field.greeted().await;
    until("the second", || handle.status().clients == 2).await;
    let both = handle.status();
    assert_eq!(both.workers, [1, 1]);
    let addresses: Vec<_> = both.connections.iter().map(|connection| connection.address.port()).collect();
    assert_eq!(both.connections.iter().map(|connection| connection.worker).collect::<Vec<_>>(), [0, 1]);
    for connection in &both.connections {
        assert_eq!((&*connection.peer, connection.jobs.len()), ("hostile", 0), "{connection:?}");
        assert_eq!(connection.fingerprint, field.hostile.fingerprint().to_string());
        assert!(connection.rtt_us > 0 && connection.mtu > 0, "{connection:?}");
    }
    first.leave().await;
    until("its end", || handle.status().clients == 1).await;
    assert_eq!(handle.status().connections[0].address.port(), addresses[1], "the later one is left");
    second.leave().await;
    until("the end of both", || handle.status().workers == [0, 0]).await;
}

#[tokio::test]
async fn a_push_is_shown_while_it_runs() {
    let field = Field::new();
    let handle = field.server.handle();
    let mut peer = field.pushing().await;
    let (large, small) = (content(5 * MIB as usize), content(100));
    peer.offer(0, "dir/large", 5 * MIB).await;
    let (mut send, _reports) = peer.begin(0, 0, 5 * MIB, &large[..2 * MIB as usize]).await;
    peer.send_well(1, "small", &small).await;
    let bytes = 2 * MIB + 100;
    until("the first bytes", || only_job(&handle.status()).bytes_written == bytes).await;
    assert!(!only_job(&handle.status()).scan_ended);
    peer.say(&Message::Offered).await;
    until("the end of the list", || only_job(&handle.status()).scan_ended).await;
    let status = handle.status();
    let job = only_job(&status);
    assert_eq!(job.direction, Direction::In);
    assert_eq!((job.files_settled, job.files_found, job.files_failed), (1, 2, 0));
    assert_eq!((job.bytes_there, job.bytes_found), (bytes, 5 * MIB + 100));
    let [file] = &job.active[..] else { panic!("{job:?}") };
    assert_eq!(
        (&*file.path, file.size, file.bytes_there, file.phase),
        ("dir/large", 5 * MIB, 2 * MIB, FilePhase::Moving)
    );
    send.write_all(&large[2 * MIB as usize..]).await.unwrap();
    send.finish().unwrap();
    peer.say(&peer.tail(0, &large, 1)).await;
    peer.is_done(0).await;
    peer.say(&end(2)).await;
    assert!(matches!(peer.hear().await, Some(Message::Settled)));
    assert_eq!(handle.status().connections[0].jobs, [], "the client stays, its job is over");
}

#[tokio::test]
async fn what_was_there_before_counts_as_there_from_the_start() {
    let field = Field::new();
    let handle = field.server.handle();
    field::write(&field.path("f"), &content(3 * MIB as usize));
    let mut peer = field.pushing().await;
    peer.say(&header(0, "f", 8 * MIB)).await;
    let Pos { verdict: Verdict::From { offset, .. }, .. } = peer.hear_pos().await else { panic!("it is wanted") };
    assert_eq!(offset, 3 * MIB);
    // What was there is looked through in a moment; from here on the file moves until its content is there.
    let _range = peer.begin(0, 3 * MIB, 5 * MIB, &[]).await;
    until("its start", || only_job(&handle.status()).files_active == 1).await;
    let status = handle.status();
    let job = only_job(&status);
    assert_eq!((job.bytes_there, job.bytes_written, job.active[0].bytes_there), (3 * MIB, 0, 3 * MIB));
}

#[tokio::test]
async fn a_get_is_shown_while_it_runs() {
    let field = Field::new();
    let handle = field.server.handle();
    for n in 0..3 {
        field::write(&field.path(&format!("d/{n}")), &content(1000));
    }
    let mut peer = field.greeted().await;
    peer.say(&get("d")).await;
    until("the offers", || handle.status().connections[0].jobs.first().is_some_and(|job| job.scan_ended)).await;
    let status = handle.status();
    let job = only_job(&status);
    assert_eq!(job.direction, Direction::Out);
    assert_eq!((job.files_settled, job.files_found, job.bytes_there, job.bytes_found), (0, 3, 0, 3000));
    while let Some(message) = peer.hear().await {
        match message {
            Message::Header(header) => {
                let refusal = Failure::new(message::Status::NoSpace, "none left");
                peer.say(&Message::Pos(Pos { id: FileId(header.id.0), verdict: Verdict::Refuse(refusal) })).await;
            }
            Message::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    until("the answers", || only_job(&handle.status()).files_failed == 4).await;
    peer.say(&Message::Settled).await;
    until("its end", || handle.status().connections[0].jobs.is_empty()).await;
}

#[tokio::test]
async fn a_server_that_is_about_to_end_says_so() {
    let field = Field::new();
    let handle = field.server.handle();
    let peer = field.greeted().await;
    until("the client", || handle.status().clients == 1).await;
    handle.shutdown(crate::support::LONG);
    assert!(handle.status().is_ending);
    peer.leave().await;
    soon("the end", async { while field.server.notice().await.is_some() {} }).await;
}

#[test]
fn a_status_of_a_later_version_can_be_read() {
    let field = Field::new();
    let status = field.server.handle().status();
    let mut value = serde_json::to_value(&status).unwrap();
    value["more"] = 1.into();
    value["rules"]["more"] = 1.into();
    assert_eq!(serde_json::from_value::<ServerStatus>(value).unwrap(), status);
}
