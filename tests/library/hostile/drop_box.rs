//! A drop box: it takes, and tells nothing.

use super::*;

/// An offer of a file with a given time.
fn dated(id: u64, name: &str, size: u64, secs: i64) -> Message {
    let Message::Header(header) = header(id, name, size) else { unreachable!("it is a header") };
    Message::Header(Header { mtime: Mtime { secs, nanos: 0 }, ..header })
}

fn pushing(if_exists: IfExists, checksum: bool, dry_run: bool) -> Message {
    Message::Push(Push { to: None, target: Target::FileOrDirectory, if_exists, checksum, dry_run, resume: true })
}

#[tokio::test]
async fn a_drop_box_does_not_tell_what_it_holds() {
    const SECS: i64 = 1_000_000_000;
    let field = Field::with(|builder| builder.mode(AccessMode::WriteOnly));
    let bytes = content(3 * CHUNK);
    field::write(&field.path("secret"), &bytes);
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(SECS as u64);
    fs::File::options().write(true).open(field.path("secret")).unwrap().set_modified(time).unwrap();
    for dry_run in [true, false] {
        for checksum in [false, true] {
            let mut peer = field.greeted().await;
            peer.say(&pushing(IfExists::Replace, checksum, dry_run)).await;
            // The same size and time, the same size, another one, and a name that is free: one answer.
            let offers = [
                dated(0, "secret", bytes.len() as u64, SECS),
                dated(1, "secret", bytes.len() as u64, 5),
                dated(2, "secret", 10, SECS),
                dated(3, "free", bytes.len() as u64, SECS),
            ];
            for offer in &offers {
                peer.say(offer).await;
                let pos = peer.hear_pos().await;
                assert_eq!(pos.verdict, Verdict::From { offset: 0, why: Why::New }, "{offer:?}");
            }
            peer.leave().await;
        }
    }
    // Somebody who would not replace it hears that the name is taken, and no more.
    for secs in [SECS, 5] {
        for size in [bytes.len() as u64, 10] {
            let mut peer = field.greeted().await;
            peer.say(&pushing(IfExists::Skip, false, true)).await;
            peer.say(&dated(0, "secret", size, secs)).await;
            assert_eq!(peer.hear_pos().await.verdict, Verdict::Skip(SkipReason::Exists));
            peer.leave().await;
        }
    }
    assert_eq!(fs::read(field.path("secret")).unwrap(), bytes);
}

#[tokio::test]
async fn a_drop_box_lets_only_the_same_key_continue_an_upload() {
    let field = Field::with(|builder| builder.mode(AccessMode::WriteOnly));
    let bytes = content(3 * CHUNK);
    let mut peer = field.greeted().await;
    peer.say(&pushing(IfExists::Replace, false, false)).await;
    peer.offer(0, "x", bytes.len() as u64).await;
    peer.range(0, 0, &bytes[..2 * CHUNK]).await;
    until("two chunks on the disk", || {
        let names = field.names();
        names.iter().any(|name| field.path(name).metadata().is_ok_and(|part| part.len() >= 2 * CHUNK as u64))
    })
    .await;
    peer.leave().await;
    until("its end", || field.server.active() == [0, 0]).await;
    // Another key begins its own; the first one finds its chunks again, and their digests.
    for (key, expected) in [
        (&field.honest, Verdict::From { offset: 0, why: Why::New }),
        (&field.hostile, Verdict::From { offset: 2 * CHUNK_BYTES, why: Why::Resume }),
    ] {
        let mut peer = Raw::greeted(&field.server, key).await;
        peer.say(&pushing(IfExists::Replace, false, false)).await;
        peer.say(&header(0, "x", bytes.len() as u64)).await;
        assert_eq!(peer.hear_pos().await.verdict, expected);
        if let Verdict::From { offset: 0, .. } = expected {
            peer.leave().await;
            continue;
        }
        assert!(matches!(peer.hear().await, Some(Message::Have(have)) if have.digests.len() == 2));
        peer.range(0, 2 * CHUNK_BYTES, &bytes[2 * CHUNK..]).await;
        peer.say(&peer.tail(0, &bytes, 1)).await;
        peer.is_done(0).await;
        peer.leave().await;
    }
    assert_eq!(fs::read(field.path("x")).unwrap(), bytes);
}
