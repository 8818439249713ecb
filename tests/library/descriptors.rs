//! Open files are shared. The limit is that of a process, which the test has to itself.

use crate::support::alone::is_alone;
use crate::support::field::Field;
use crate::support::soon;
use qft::digest::CHUNK_BYTES;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the process, both ends together, may have open.
const FILES: u64 = 400;
/// Files that the hostile client begins, each with all of its second chunk, which is a byte.
const BEGUN: u64 = 600;

/// Descriptors that are open.
fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

#[tokio::test]
async fn who_holds_many_files_open_leaves_some_to_the_others() {
    if !is_alone("descriptors::who_holds_many_files_open_leaves_some_to_the_others") {
        return;
    }
    let limit = Rlimit { current: Some(FILES), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, limit).expect("less is always allowed");
    let field = Field::new();
    let mut peer = field.pushing().await;
    let mut streams = Vec::new();
    for id in 0..BEGUN {
        peer.offer(id, &format!("begun {id}"), CHUNK_BYTES + 1).await;
        let (mut send, recv) = peer.begin(id, CHUNK_BYTES, 1, b"x").await;
        send.finish().expect("it was not stopped");
        streams.push((send, recv));
    }
    // As many are open as it may have, and stay so.
    let share = FILES as usize / 2 / 4 * 3;
    crate::support::until("its share to be used", || open() > share).await;
    for _ in 0..3 {
        field.honest_client_is_served().await;
        assert!(open() < FILES as usize * 3 / 4, "{} are open", open());
    }
    soon("the hostile client's end", peer.leave()).await;
    crate::support::until("its files to be closed", || open() < share / 2).await;
}
