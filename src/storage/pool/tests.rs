use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::storage::error::{FILES_WAIT, FILES_WAITS_MAX, Op, StorageError};

fn disk(threads: usize) -> Disk {
    Disk::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

/// Keeps the only thread of a disk busy until it is dropped.
fn hold(queue: &DiskQueue) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    queue.spawn(move || {
        begun.send(()).unwrap();
        let _ = released.recv();
    });
    has_begun.recv().unwrap();
    release
}

#[tokio::test]
async fn work_runs_on_a_named_thread_and_answers() {
    let name = || thread::current().name().map(str::to_owned);
    let disk = disk(1);
    assert_eq!(disk.run(name).await.unwrap().as_deref(), Some("qft-disk-0"));
    let open = disk.open_queue();
    assert_eq!(open.queue().run(name).await.unwrap().as_deref(), Some("qft-disk-0"));
    assert_eq!(open.queue().run_long(name).await.unwrap().as_deref(), Some("qft-disk-long"));
    let other = Disk::named("other", NonZeroUsize::MIN).unwrap();
    assert_eq!(other.run(name).await.unwrap().as_deref(), Some("other-0"));
}

#[tokio::test]
async fn a_panic_is_reported_to_its_queue_alone_and_the_thread_lives_on() {
    let disk = disk(1);
    let (unlucky, other) = (disk.open_queue(), disk.open_queue());
    assert_eq!(unlucky.queue().run(|| panic!("on purpose")).await, Err::<(), _>(Lost));
    unlucky.queue().lost().await;
    assert_eq!(disk.run(|| panic!("on purpose")).await, Err::<(), _>(Lost));
    let queue = other.queue();
    tokio::select! {
        biased;
        () = queue.lost() => panic!("it lost nothing"),
        done = queue.run(|| 7) => assert_eq!(done, Ok(7)),
    }
    queue.spawn_long(|| panic!("on purpose"));
    queue.lost().await;
    assert_eq!(queue.run_long(|| 7).await, Ok(7), "the thread for long work lives on, too");
}

#[tokio::test]
async fn one_thread_keeps_the_order_of_a_queue() {
    let disk = disk(1);
    let open = disk.open_queue();
    let (sender, order) = mpsc::channel();
    for n in 0..100 {
        let sender = sender.clone();
        open.queue().spawn(move || sender.send(n).unwrap());
    }
    open.queue().run(|| ()).await.unwrap();
    drop(sender);
    assert!(order.iter().eq(0..100));
}

/// Nobody waits for all that a client with very much work has put in before.
#[tokio::test]
async fn a_queue_is_served_before_most_of_a_longer_one_that_came_first() {
    let disk = disk(1);
    let (greedy, modest) = (disk.open_queue(), disk.open_queue());
    let release = hold(&greedy.queue());
    let done = Arc::new(AtomicU64::new(0));
    for _ in 0..8192 {
        let done = Arc::clone(&done);
        greedy.queue().spawn(move || {
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    let seen = Arc::clone(&done);
    let before = modest.queue().run(move || seen.load(Ordering::Relaxed));
    drop(release);
    let before = before.await.unwrap();
    assert!(before <= 2, "{before} pieces of another's work were done before it");
}

#[tokio::test]
async fn a_closed_queue_does_nothing_more_and_lets_go_of_what_it_held() {
    let disk = disk(1);
    let open = disk.open_queue();
    let queue = open.queue();
    let release = hold(&queue);
    let (ran, runs) = mpsc::channel();
    let held = Arc::new(());
    for _ in 0..10 {
        let (ran, held) = (ran.clone(), Arc::clone(&held));
        queue.spawn(move || {
            let _held = held;
            ran.send(()).unwrap();
        });
    }
    let waiting = queue.run(|| ());
    let long = queue.run_long(|| ());
    let _ = long.await;
    drop(open);
    queue.spawn(move || ran.send(()).unwrap());
    drop(release);
    assert_eq!(waiting.await, Err(Lost));
    assert_eq!(queue.run(|| ()).await, Err(Lost));
    assert_eq!(queue.run_long(|| ()).await, Err(Lost));
    assert_eq!(runs.iter().count(), 0, "nothing of it was done");
    disk.run(|| ()).await.unwrap();
    while Arc::strong_count(&held) > 1 {
        thread::yield_now();
    }
}

#[tokio::test]
async fn what_is_not_done_is_dropped_on_a_disk_thread() {
    struct Tells(mpsc::Sender<String>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(thread::current().name().unwrap().to_owned()).unwrap();
        }
    }
    let disk = disk(1);
    let open = disk.open_queue();
    let (queue, (sender, names)) = (open.queue(), mpsc::channel());
    let release = hold(&queue);
    let abandoned = Tells(sender.clone());
    queue.spawn(move || drop(abandoned));
    drop(open);
    drop(release);
    let unwanted = Tells(sender);
    queue.spawn(move || drop(unwanted));
    assert!(names.iter().all(|name| name == "qft-disk-0"));
}

#[tokio::test]
async fn threads_work_at_the_same_time() {
    let disk = disk(2);
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let (other, open) = (Arc::clone(&barrier), disk.open_queue());
    open.queue().spawn(move || {
        other.wait();
    });
    disk.run(move || barrier.wait().is_leader()).await.unwrap();
}

#[tokio::test]
async fn every_thread_is_called_for_work_that_comes_at_once() {
    const THREADS: usize = 8;
    let disk = disk(THREADS);
    for _ in 0..50 {
        let barrier = Arc::new(std::sync::Barrier::new(THREADS));
        let pieces = (0..THREADS).map(|_| {
            let barrier = barrier.clone();
            disk.run(move || barrier.wait().is_leader())
        });
        let mut leaders = 0;
        for piece in pieces.collect::<Vec<_>>() {
            leaders += usize::from(piece.await.expect("it is done"));
        }
        assert_eq!(leaders, 1);
    }
}

/// Looks, while `failure` has one to give for the looks so far, and tells what came of it and after how many looks.
async fn look(
    queue: &DiskQueue,
    failure: impl Fn(u32) -> Option<Errno> + Send + Sync + 'static,
) -> (Option<Errno>, u32) {
    let looks = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&looks);
    let look = move || match failure(counted.fetch_add(1, Ordering::Relaxed)) {
        Some(errno) => Err(StorageError::new(Op::Stat, Path::new("a"), errno)),
        None => Ok(()),
    };
    let looked = queue.look(look).await.expect("nothing panics");
    (looked.err().and_then(|error| Errno::from_io_error(&error.cause)), looks.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_look_is_made_again_while_a_shortage_lasts_and_no_thread_waits_for_its_end() {
    let disk = disk(1);
    let open = disk.open_queue();
    let (queue, is_short) = (open.queue(), Arc::new(AtomicBool::new(true)));
    let seen = Arc::clone(&is_short);
    let looked = look(&queue, move |_| seen.load(Ordering::Relaxed).then_some(Errno::MFILE));
    // Queued behind the first look, for the only thread.
    let end = async { queue.run(move || is_short.store(false, Ordering::Relaxed)).await };
    assert_eq!(tokio::join!(biased; looked, end), ((None, 2), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_shortage_that_does_not_end_is_what_a_look_gives_at_last() {
    let disk = disk(1);
    let (open, begun) = (disk.open_queue(), tokio::time::Instant::now());
    let lasting = look(&open.queue(), |_| Some(Errno::NOMEM)).await;
    assert_eq!(lasting, (Some(Errno::NOMEM), FILES_WAITS_MAX + 1));
    // In the paused time of the runtime.
    assert!(begun.elapsed() >= FILES_WAIT * FILES_WAITS_MAX);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_shortage_is_what_a_look_gives_at_once() {
    let disk = disk(1);
    let (open, begun) = (disk.open_queue(), tokio::time::Instant::now());
    let queue = open.queue();
    for errno in [Errno::IO, Errno::NOENT, Errno::ACCESS] {
        assert_eq!(look(&queue, move |_| Some(errno)).await, (Some(errno), 1));
    }
    assert_eq!(look(&queue, |_| None).await, (None, 1));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let later = look(&queue, |looks| Some(if looks == 0 { Errno::MFILE } else { Errno::IO })).await;
    assert_eq!(later, (Some(Errno::IO), 2), "also after a shortage");
    assert_eq!(queue.look(|| -> Result<(), _> { panic!("on purpose") }).await.err(), Some(Lost));
}

#[test]
fn the_last_clone_drains_the_queue_and_ends_the_threads() {
    let disk = disk(2);
    let alive = Arc::downgrade(&disk.handle.shared);
    let (sender, done) = mpsc::channel();
    for n in 0..50 {
        let sender = sender.clone();
        drop(disk.clone().run(move || sender.send(n).unwrap()));
    }
    drop((disk, sender));
    assert_eq!(done.iter().count(), 50);
    while alive.strong_count() > 0 {
        thread::yield_now();
    }
}
