//! Whether a server still does its work: each thread that it cannot do without is asked, and has to get round to answering.

use tokio::sync::mpsc;

use super::pool::{Heartbeat, Inquiry};

/// The checks that the network thread has to answer.
pub(super) type Questions = mpsc::UnboundedReceiver<Heartbeat>;

/// Asks a server's threads.
#[derive(Debug)]
pub(super) struct Liveness {
    network: mpsc::UnboundedSender<Heartbeat>,
    workers: Inquiry,
}

impl Liveness {
    /// For a server with these workers; its network thread answers the questions.
    pub(super) fn new(workers: Inquiry) -> (Self, Questions) {
        let (network, questions) = mpsc::unbounded_channel();
        (Self { network, workers }, questions)
    }

    /// Resolves once all of them have answered; `false` when one has ended.
    pub(super) async fn answered(&self) -> bool {
        let (answer, network) = Heartbeat::awaited();
        // A thread that has ended drops the question, and so is heard of below.
        drop(self.network.send(answer));
        let mut all_answered = network.await.is_ok();
        for worker in self.workers.ask() {
            all_answered &= worker.await.is_ok();
        }
        all_answered
    }
}
