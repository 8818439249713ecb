//! The thread that answers whoever asks a running server what it does.
//!
//! Nobody who asks says anything: to connect is the question. One answer is written and the connection closed, so an
//! asker that is silent, slow or gone costs a buffer for [`ANSWER_WAIT`] at most. A thread of its own: the network's
//! threads must not wait for askers, nor askers for a terminal that is stopped.

use std::io;
use std::os::unix::net::UnixListener as Bound;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Longest that an answer may take to be taken.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Answers on their way at the same time; who asks meanwhile waits.
const ANSWERS_MAX: usize = 16;
/// Pause after the system gave no connection: it has run out of something.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

pub(super) type Answer = Box<dyn Fn() -> Vec<u8> + Send>;

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub(super) fn start(bound: Bound, answer: Answer) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(bound)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("qft-status".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(&listener, &answer) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: &UnixListener, answer: &Answer) {
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            asker = listener.accept(), if answers.len() < ANSWERS_MAX => match asker {
                Ok((asker, _)) if may_ask(&asker) => drop(answers.spawn(timeout(ANSWER_WAIT, tell(asker, answer())))),
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "nobody can be told what this server does");
                    sleep(SHORTAGE_PAUSE).await;
                }
            },
            Some(_) = answers.join_next() => {}
        }
    }
}

/// Whether whoever asks is this server's own user, or root. The socket's mode says the same, but not on every file
/// system.
fn may_ask(asker: &UnixStream) -> bool {
    let uid = asker.peer_cred().map(|peer| peer.uid());
    uid.is_ok_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw())
}

/// Writes the answer; who has gone does not want to know.
async fn tell(asker: UnixStream, answer: Vec<u8>) {
    let mut rest = &answer[..];
    while !rest.is_empty() && asker.writable().await.is_ok() {
        match asker.try_write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
