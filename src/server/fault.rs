//! A thread that the server cannot do without has failed: the server ends and says so, rather than live and serve nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use tokio::sync::Notify;

/// The first of a server's threads that failed, if one has.
#[derive(Debug, Default)]
pub(super) struct ThreadFailure {
    what: OnceLock<&'static str>,
    noted: Notify,
    #[cfg(test)]
    pub(super) armed: std::sync::Mutex<Option<&'static str>>,
}

impl ThreadFailure {
    /// Runs what a thread does. `None` when it panicked, which is noted.
    pub(super) fn watch<T>(&self, what: &'static str, body: impl FnOnce() -> T) -> Option<T> {
        // Nothing that it touched is used again but to close it.
        let ended = catch_unwind(AssertUnwindSafe(body)).ok();
        if ended.is_none() {
            self.note(what);
        }
        ended
    }

    /// Notes that something the server cannot do without has failed.
    pub(super) fn note(&self, what: &'static str) {
        tracing::error!(what, "failed; the server ends");
        self.what.get_or_init(|| what);
        self.noted.notify_waiters();
    }

    /// The name of the thread that failed.
    pub(super) fn what(&self) -> Option<&'static str> {
        self.what.get().copied()
    }

    /// Resolves when something has failed.
    pub(super) async fn noted(&self) {
        loop {
            let noted = self.noted.notified();
            if self.what.get().is_some() {
                return;
            }
            noted.await;
        }
    }

    /// Panics where a test wants it.
    #[cfg(test)]
    pub(super) fn trip(&self, point: &str) {
        let armed = *self.armed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(armed != Some(point), "on purpose");
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use crate::client::{Client, SendOptions};
    use crate::error::Error;
    use crate::keys::{Identity, Ticket};
    use crate::protocol::message::Status;
    use crate::server::{Access, Server};

    /// Far above what a loaded machine needs, so that only a hang reaches it.
    const LONG: Duration = Duration::from_secs(60);

    /// How long the client waits for a server that has ended.
    const PATIENCE: Duration = Duration::from_secs(10);

    struct Field {
        place: tempfile::TempDir,
        server: Server,
        ticket: Ticket,
        client: Client,
    }

    impl Field {
        fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            let builder = Server::builder(place.path().join("served"), Identity::ephemeral().unwrap());
            let server = builder.access(Access::Anyone).workers(NonZeroUsize::MIN).start().unwrap();
            let (fingerprint, port) = (server.fingerprint(), server.local_addr().port());
            let ticket = Ticket { fingerprint, invite: None, host: "127.0.0.1".to_owned(), port };
            let client = Client::builder(Identity::ephemeral().unwrap()).patience(PATIENCE).build().unwrap();
            Self { place, server, ticket, client }
        }

        /// Sends one small file of that name.
        async fn send(&self, name: &str) -> Result<crate::progress::JobReport, Error> {
            let path = self.place.path().join(name);
            std::fs::write(&path, b"content").unwrap();
            let job = self.client.send(self.ticket.clone(), vec![path], SendOptions::default());
            tokio::time::timeout(LONG, job.finish()).await.expect("nobody waits for ever")
        }

        async fn is_served(&self) {
            let report = self.send("honest").await.unwrap();
            assert_eq!((report.done + report.skipped, report.failed), (1, 0));
        }
    }

    async fn ends_with(point: &'static str, said: &str) {
        let field = Field::new();
        field.is_served().await;
        *field.server.shared.fault.armed.lock().unwrap() = Some(point);
        assert!(field.send("late").await.is_err());
        let until_end = async { while field.server.notice().await.is_some() {} };
        tokio::time::timeout(LONG, until_end).await.expect("the server ends");
        let fault = field.server.fault().expect("it does not end for nothing");
        assert_eq!(fault.to_string(), said);
        tokio::task::spawn_blocking(move || drop(field)).await.expect("its threads end");
    }

    #[tokio::test]
    async fn a_panic_of_the_network_thread_ends_the_server_with_a_word() {
        ends_with("network", "the network thread failed internally").await;
    }

    #[tokio::test]
    async fn a_panic_of_a_worker_thread_ends_the_server_with_a_word() {
        ends_with("worker", "a worker thread failed internally").await;
    }

    #[tokio::test]
    async fn a_panic_in_a_commit_fails_the_file_and_nothing_else() {
        let field = Field::new();
        let report = field.send("panic at commit").await.unwrap();
        assert_eq!((report.done, report.failures[0].1.status), (0, Status::Internal));
        field.is_served().await;
        assert!(field.server.fault().is_none());
    }

    #[tokio::test]
    async fn a_panic_on_a_disk_thread_ends_the_connection_that_waits_for_it_and_nothing_else() {
        let field = Field::new();
        for point in ["panic at plan", "panic at write", "panic at sum"] {
            let error = field.send(point).await.unwrap_err();
            assert!(error.to_string().contains("failed"), "{point}: {error}");
            field.is_served().await;
        }
        assert!(field.server.fault().is_none());
    }

    #[tokio::test]
    async fn a_panic_of_a_connections_task_ends_that_connection_and_nothing_else() {
        let field = Field::new();
        *field.server.shared.fault.armed.lock().unwrap() = Some("connection");
        assert!(field.send("unlucky").await.is_err());
        *field.server.shared.fault.armed.lock().unwrap() = None;
        field.is_served().await;
        assert!(field.server.fault().is_none());
    }
}
