//! The worker pool: a new connection runs on the worker with the fewest.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::fault::ThreadFailure;

/// Work for one connection, made on the worker that runs it: QUIC's driver for the connection must be
/// spawned there (`Incoming::accept` uses the runtime that it is called on).
pub(crate) type Task = Box<dyn FnOnce(WorkerSlot) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// OS threads with a single-threaded runtime each.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    active: Arc<AtomicUsize>,
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// An order to a worker.
enum Order {
    Serve(Task, WorkerSlot),
    /// Show that it gets round to it.
    Answer(Heartbeat),
}

/// Given by a thread that gets round to it.
#[derive(Debug)]
pub(super) struct Heartbeat(oneshot::Sender<()>);

impl Heartbeat {
    /// An answer, and how it is waited for.
    pub(super) fn awaited() -> (Self, oneshot::Receiver<()>) {
        let (answer, answered) = oneshot::channel();
        (Self(answer), answered)
    }

    /// Answers. Whoever asked may have given up.
    pub(super) fn give(self) {
        let _ = self.0.send(());
    }
}

/// Asks the workers whether they get round to it. It does not keep them alive.
#[derive(Debug, Clone)]
pub(super) struct Inquiry(Vec<mpsc::WeakUnboundedSender<Order>>);

impl Inquiry {
    /// One to wait for from each worker; that of a worker which has ended fails.
    pub(super) fn ask(&self) -> Vec<oneshot::Receiver<()>> {
        let ask = |orders: &mpsc::WeakUnboundedSender<Order>| {
            let (answer, answered) = Heartbeat::awaited();
            drop(orders.upgrade().map(|orders| orders.send(Order::Answer(answer))));
            answered
        };
        self.0.iter().map(ask).collect()
    }
}

/// How many connections each worker has, for whoever wants to know. It does not keep the workers alive.
#[derive(Debug, Clone)]
pub(crate) struct Loads(Vec<Arc<AtomicUsize>>);

impl Loads {
    /// Active connections on each worker.
    pub(crate) fn active(&self) -> Vec<usize> {
        self.0.iter().map(|active| active.load(Ordering::Acquire)).collect()
    }
}

/// One connection's place on a worker; the worker counts one less when it is dropped, whatever way the
/// connection ends.
#[derive(Debug)]
pub(crate) struct WorkerSlot {
    worker: usize,
    active: Arc<AtomicUsize>,
}

impl WorkerSlot {
    /// The worker's number, from 0.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::AcqRel);
    }
}

impl WorkerPool {
    /// Starts the threads. One that panics is noted in `fault`.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(super) fn start(workers: NonZeroUsize, fault: &Arc<ThreadFailure>) -> io::Result<Self> {
        let start = |index| Worker::start(index, fault.clone());
        let workers = (0..workers.get()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    /// The counts of active connections.
    pub(crate) fn loads(&self) -> Loads {
        Loads(self.workers.iter().map(|worker| worker.active.clone()).collect())
    }

    /// Active connections on each worker.
    pub(crate) fn active(&self) -> Vec<usize> {
        self.loads().active()
    }

    /// How the workers are asked whether they get round to it.
    pub(super) fn inquiry(&self) -> Inquiry {
        Inquiry(self.workers.iter().map(|worker| worker.orders.downgrade()).collect())
    }

    /// Runs a connection on the worker with the fewest. Only the accept loop calls this, so between the
    /// choice and the count nobody else chooses.
    pub(crate) fn run(&self, task: Task) {
        let fewest = self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.active.load(Ordering::Acquire));
        let (index, worker) = fewest.expect("a pool has at least one worker");
        worker.active.fetch_add(1, Ordering::AcqRel);
        let slot = WorkerSlot { worker: index, active: worker.active.clone() };
        // A worker ends only after the pool was dropped; a task that finds none is dropped with its slot.
        let _ = worker.orders.send(Order::Serve(task, slot));
    }
}

impl Worker {
    fn start(index: usize, fault: Arc<ThreadFailure>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, queue) = mpsc::unbounded_channel();
        let serve = move || {
            fault.watch("a worker thread", || runtime.block_on(serve(queue, &fault)));
        };
        let thread = std::thread::Builder::new().name(format!("qft-worker-{index}")).spawn(serve)?;
        Ok(Self { active: Arc::default(), orders, thread: Some(thread) })
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // Closing the queue lets the thread end once its connections have.
            worker.orders = mpsc::unbounded_channel().0;
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

async fn serve(mut queue: mpsc::UnboundedReceiver<Order>, _fault: &ThreadFailure) {
    let local = tokio::task::LocalSet::new();
    let mut connections = JoinSet::new();
    local
        .run_until(async {
            loop {
                tokio::select! {
                    order = queue.recv() => match order {
                        Some(Order::Answer(answer)) => answer.give(),
                        Some(Order::Serve(task, slot)) => {
                            #[cfg(test)]
                            _fault.trip("worker");
                            drop(connections.spawn_local(task(slot)));
                        }
                        None => break,
                    },
                    // A connection that panicked has dropped its slot like any other.
                    Some(_) = connections.join_next() => {}
                }
            }
            while connections.join_next().await.is_some() {}
        })
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc as std_mpsc;

    /// A connection that lives until its sender is dropped.
    fn hold(started: std_mpsc::Sender<usize>) -> (Task, oneshot::Sender<()>) {
        let (end, ended) = oneshot::channel();
        let task: Task = Box::new(move |slot| {
            Box::pin(async move {
                started.send(slot.worker()).expect("the test listens");
                let _ = ended.await;
            })
        });
        (task, end)
    }

    #[test]
    fn connections_spread_evenly_and_counts_go_down() {
        let pool =
            WorkerPool::start(NonZeroUsize::new(2).expect("two is not zero"), &Arc::default()).expect("threads start");
        let (started, starts) = std_mpsc::channel();
        let ends: Vec<_> = (0..8)
            .map(|_| {
                let (task, end) = hold(started.clone());
                pool.run(task);
                end
            })
            .collect();
        let mut seen: Vec<usize> = starts.iter().take(8).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(pool.active(), [4, 4]);
        drop(ends);
        while pool.active() != [0, 0] {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_worker_answers_beside_its_connections_and_not_while_it_is_held_up() {
        let pool = WorkerPool::start(NonZeroUsize::MIN, &Arc::default()).expect("a thread starts");
        let (held_up, waits) = std_mpsc::channel::<()>();
        let (started, starts) = std_mpsc::channel();
        let (task, end) = hold(started);
        pool.run(task);
        assert_eq!(starts.recv(), Ok(0));
        let ask = |pool: &WorkerPool| pool.inquiry().ask().remove(0);
        assert_eq!(ask(&pool).blocking_recv(), Ok(()));
        pool.run(Box::new(move |_slot| {
            let _ = waits.recv();
            Box::pin(async {})
        }));
        let mut unanswered = ask(&pool);
        assert!(unanswered.try_recv().is_err(), "its thread does something else");
        drop(held_up);
        assert_eq!(unanswered.blocking_recv(), Ok(()));
        drop(end);
        let inquiry = pool.inquiry();
        drop(pool);
        assert!(inquiry.ask().remove(0).blocking_recv().is_err(), "it has ended");
    }

    #[test]
    fn a_connection_that_panics_is_counted_down_and_leaves_the_worker_alive() {
        let pool = WorkerPool::start(NonZeroUsize::MIN, &Arc::default()).expect("a thread starts");
        pool.run(Box::new(|_slot| Box::pin(async { panic!("deliberate") })));
        let (started, starts) = std_mpsc::channel();
        let (task, end) = hold(started);
        pool.run(task);
        assert_eq!(starts.recv(), Ok(0));
        drop(end);
        while pool.active() != [0] {
            std::thread::yield_now();
        }
    }
}
