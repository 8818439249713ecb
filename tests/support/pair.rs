//! A server and a client of its own, over UDP on loopback, in a temporary directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use qft::client::{Client, GetOptions, Job, SendOptions};
use qft::error::Error;
use qft::keys::{Identity, Ticket};
use qft::progress::{Event, JobReport};
use qft::protocol::message::Status;
use qft::server::{Access, Notice, Server};
use tempfile::TempDir;

/// Both ends. `src` is for files of the client's, the server serves `served`, `got` is for what is fetched.
pub(crate) struct Pair {
    dir: TempDir,
    server: Option<Server>,
    server_identity: Identity,
    client_identity: Identity,
    pub(crate) client: Client,
    pub(crate) ticket: Ticket,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["src", "served", "got"] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let (server_identity, client_identity) = (identity(), identity());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = try_serve(&dir.path().join("served"), &server_identity, &client_identity, any).expect("a server");
        let (fingerprint, port) = (server.fingerprint(), server.local_addr().port());
        let ticket = Ticket { fingerprint, invite: None, host: "127.0.0.1".to_owned(), port };
        let client = Client::builder(client_identity.clone()).build().expect("a client");
        Self { dir, server: Some(server), server_identity, client_identity, client, ticket }
    }

    /// Connections that the server has.
    pub(crate) fn connections(&self) -> usize {
        self.server.as_ref().map_or(0, |server| server.active().iter().sum())
    }

    /// Why the next connection that ends has ended, as the server says.
    pub(crate) async fn disconnected(&self) -> String {
        let server = self.server.as_ref().expect("it runs");
        super::soon("a connection's end", async {
            loop {
                match server.notice().await {
                    Some(Notice::Disconnected { why, .. }) => return why,
                    Some(_) => {}
                    None => panic!("the server has ended"),
                }
            }
        })
        .await
    }

    /// Ends the server at once, in the middle of whatever it does.
    pub(crate) async fn drop_server(&mut self) {
        let server = self.server.take();
        tokio::task::spawn_blocking(move || drop(server)).await.expect("the server ends");
    }

    /// Starts it again: same directory, same key, same port.
    pub(crate) async fn restart_server(&mut self) {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.ticket.port));
        let started = || {
            self.server = try_serve(&self.served(""), &self.server_identity, &self.client_identity, addr).ok();
            self.server.is_some()
        };
        // What the old one still writes to the disk holds its socket.
        super::until("the port to be free", started).await;
    }

    pub(crate) fn src(&self, name: &str) -> PathBuf {
        self.dir.path().join("src").join(name)
    }

    pub(crate) fn served(&self, name: &str) -> PathBuf {
        self.dir.path().join("served").join(name)
    }

    pub(crate) fn got(&self, name: &str) -> PathBuf {
        self.dir.path().join("got").join(name)
    }

    /// A job that sends everything in `src`.
    pub(crate) fn sending(&self, options: impl Into<SendOptions>) -> Job {
        self.client.send(self.ticket.clone(), vec![self.src("")], options)
    }

    /// Sends everything in `src`.
    pub(crate) async fn send(&self, options: impl Into<SendOptions>) -> Outcome {
        Outcome::of(self.sending(options)).await
    }

    /// A job that fetches everything that is served into `got`.
    pub(crate) fn getting(&self, options: impl Into<GetOptions>) -> Job {
        self.client.get(self.ticket.clone(), vec![Vec::new()], self.got(""), options)
    }

    /// Fetches everything that is served into `got`.
    pub(crate) async fn get(&self, options: impl Into<GetOptions>) -> Outcome {
        Outcome::of(self.getting(options)).await
    }
}

fn identity() -> Identity {
    Identity::ephemeral().expect("a key")
}

fn try_serve(dir: &Path, own: &Identity, client: &Identity, addr: SocketAddr) -> Result<Server, Error> {
    let access = Access::Only(vec![client.fingerprint()]);
    Server::builder(dir.to_owned(), own.clone()).listen(addr).access(access).start()
}

/// What a job told, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) report: JobReport,
    pub(crate) events: Vec<Event>,
}

impl Outcome {
    /// Runs a job to its end.
    pub(crate) async fn of(mut job: Job) -> Self {
        let mut events = Vec::new();
        while let Some(event) = job.next().await {
            events.push(event);
        }
        Self { report: job.finish().await.expect("the job ends well"), events }
    }

    /// Nothing failed.
    pub(crate) fn is_clean(&self) -> bool {
        self.report.failed == 0
    }

    /// What failed, by name.
    pub(crate) fn failures(&self) -> BTreeMap<&str, Status> {
        self.report.failures.iter().map(|(name, failure)| (name.as_str(), failure.status)).collect()
    }

    pub(crate) fn notes(&self) -> Vec<&str> {
        let mut notes = Vec::new();
        for event in &self.events {
            if let Event::Note(text) = event {
                notes.push(text.as_str());
            }
        }
        notes
    }

    /// How often each file was begun.
    pub(crate) fn starts(&self, name: &str) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Started(file) if file.path == name)).count()
    }
}
