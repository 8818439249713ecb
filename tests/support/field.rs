//! A real server with a directory, a hostile key and an honest client.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use qft::client::{Client, SendOptions};
use qft::keys::trust::{Clients, Rights};
use qft::keys::{Identity, Ticket};
use qft::progress::JobReport;
use qft::protocol::close::CloseCode;
use qft::server::{Access, Notice, Server, ServerBuilder};
use tempfile::TempDir;

use super::peer::{Raw, push};
use super::{content, soon, until};

/// What the honest client sends: one file below a chunk, one of several.
const HONEST: [(&str, usize); 2] = [("honest/small", 1000), ("honest/large", (5 << 20) / 2)];

pub struct Field {
    pub server: Server,
    pub hostile: Identity,
    pub honest: Identity,
    place: TempDir,
}

impl Field {
    /// A server that lets both keys in.
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// The same with other settings; an access that is set is replaced.
    pub fn with(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let (hostile, honest) = (identity(), identity());
        let access = Access::Only(vec![hostile.fingerprint(), honest.fingerprint()]);
        Self::start(hostile, honest, |builder, _| settings(builder).access(access))
    }

    /// A server that knows no client and lets in who brings an invite.
    pub fn enrolling() -> Self {
        Self::start(identity(), identity(), |builder, home| builder.access(Access::Enrolled { home }))
    }

    /// A server that has both keys on its list, from which they can be taken.
    pub fn listed() -> Self {
        let (hostile, honest) = (identity(), identity());
        let keys = [hostile.fingerprint(), honest.fingerprint()];
        Self::start(hostile, honest, |builder, home| {
            let clients = Clients::open(&home).unwrap();
            keys.iter().for_each(|key| drop(clients.allow(key, None, &Rights::default()).unwrap()));
            builder.access(Access::Enrolled { home })
        })
    }

    /// The list of clients, of a server that has one.
    pub fn clients(&self) -> Clients {
        Clients::open(&self.place.path().join("home")).unwrap()
    }

    fn start(
        hostile: Identity,
        honest: Identity,
        settings: impl FnOnce(ServerBuilder, PathBuf) -> ServerBuilder,
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        let builder = Server::builder(place.path().join("root"), identity()).sync(false);
        let builder = builder.workers(NonZeroUsize::new(2).unwrap());
        let server = settings(builder, place.path().join("home")).start().unwrap();
        Self { server, hostile, honest, place }
    }

    /// Where `name` is on the server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("root").join(name)
    }

    /// Where the server keeps its lists.
    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// A ticket without an invite.
    pub fn ticket(&self) -> Ticket {
        ticket(&self.server)
    }

    /// The hostile peer, let in.
    pub async fn greeted(&self) -> Raw {
        Raw::greeted(&self.server, &self.hostile).await
    }

    /// The hostile peer, let in and about to send.
    pub async fn pushing(&self) -> Raw {
        let mut peer = self.greeted().await;
        peer.say(&push()).await;
        peer
    }

    /// The honest key, let in and about to send, without the honest client around it.
    pub async fn honestly_pushing(&self) -> Raw {
        let mut peer = Raw::greeted(&self.server, &self.honest).await;
        peer.say(&push()).await;
        peer
    }

    /// Sends files as an honest client and compares what arrives.
    pub async fn honest_client_is_served(&self) {
        let report = soon("the honest client's end", self.honest_send()).await;
        assert_eq!((report.done + report.skipped, report.failed), (HONEST.len() as u64, 0), "{report:?}");
        for (name, len) in HONEST {
            assert_eq!(fs::read(self.path(name)).unwrap(), content(len), "{name}");
        }
    }

    async fn honest_send(&self) -> JobReport {
        let sources = tempfile::tempdir().unwrap();
        for (name, len) in HONEST {
            write(&sources.path().join(name), &content(len));
        }
        let client = Client::builder(self.honest.clone()).build().unwrap();
        let paths = vec![sources.path().join("honest")];
        client.send(self.ticket(), paths, SendOptions::default()).finish().await.unwrap()
    }

    /// Nothing but what the server was given is beside its root.
    pub fn nothing_is_outside(&self) {
        for entry in fs::read_dir(self.place.path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(name == "root" || name == "home", "{name:?} is outside the root");
        }
    }

    /// Names of files in the root, all the way down, part files included.
    pub fn names(&self) -> Vec<String> {
        names(&self.place.path().join("root"))
    }

    /// Sees the hostile peer closed with `code`, an honest one served, and nothing where it should not be.
    pub async fn ends_with(&self, peer: &Raw, code: CloseCode) {
        assert_eq!(peer.closed().await, Some(code));
        self.honest_client_is_served().await;
        self.nothing_is_outside();
        until("every connection's end", || self.server.active() == [0, 0]).await;
    }

    /// Notices until `wanted` picks one.
    pub async fn notice<T>(&self, mut wanted: impl FnMut(Notice) -> Option<T>) -> T {
        soon("the notice", async {
            loop {
                let notice = self.server.notice().await.expect("the server runs");
                if let Some(found) = wanted(notice) {
                    return found;
                }
            }
        })
        .await
    }
}

pub fn identity() -> Identity {
    Identity::ephemeral().unwrap()
}

pub fn ticket(server: &Server) -> Ticket {
    let (fingerprint, port) = (server.fingerprint(), server.local_addr().port());
    Ticket { fingerprint, invite: None, host: "127.0.0.1".to_owned(), port }
}

/// Writes a file and the directories above it.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Names of files below `dir`, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}
