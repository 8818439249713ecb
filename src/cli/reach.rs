//! From a [`Place`] to a client that can talk to it: identity, known remotes, the server in this process.

use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::plan::{self, Place};
use super::remote::Spec;
use super::spool::PrivateDir;
use super::ui::text::shown;
use crate::client::Client;
use crate::protocol::path::escape;
use crate::server::{Access, Server, ServerHandle};
use crate::transport::trust::Remotes;
use crate::transport::{self, Identity, Ticket};

/// How long the server in this process may take to end when its only client is done.
const LOCAL_DRAIN: Duration = Duration::from_secs(2);

/// What becomes of a `local:` directory that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made.
    Make,
    /// It is an error.
    Refuse,
    /// An empty one stands in for it: a dry run changes nothing.
    Pretend,
}

/// Finds the remote that the words name among the known ones.
pub(crate) fn find(spec: Option<&Spec>) -> anyhow::Result<Place> {
    if matches!(spec, Some(Spec::Local { .. } | Spec::Ssh { .. })) {
        return plan::place(spec, &[], str::parse);
    }
    let remotes = Remotes::open(&transport::home()?)?.list()?;
    plan::place(spec, &remotes, str::parse)
}

/// Saves a remote that was reached by its ticket, and says so. `None`: it is known already.
pub(crate) fn remember(place: &Place, peer: &str, enrolled: bool) -> anyhow::Result<Option<String>> {
    let Place::Remote { ticket, is_new, .. } = place else { return Ok(None) };
    let who = format!("{} ({})", shown(peer), ticket.fingerprint.short());
    if !is_new {
        return Ok(enrolled.then(|| format!("paired with {who}")));
    }
    let remotes = Remotes::open(&transport::home()?)?;
    let name = if peer.is_empty() { ticket.host.as_str() } else { peer };
    let saved = remotes.save(name, ticket).context("saving the remote")?;
    let paired = if enrolled { format!("paired with {who}, ") } else { String::new() };
    let default = if saved.is_default { ", now the default" } else { "" };
    Ok(Some(format!("{paired}saved as remote \"{}\"{default}", shown(&saved.name))))
}

/// A client, and what it talks to.
pub(crate) struct Reached {
    /// Ready to send, get and list.
    pub(crate) client: Client,
    /// Where to.
    pub(crate) ticket: Ticket,
    local: Option<Local>,
}

struct Local {
    handle: ServerHandle,
    /// Owns the server, and reads its notices.
    notices: JoinHandle<()>,
    /// Held until the server has ended.
    _stand_in: Option<PrivateDir>,
}

/// How to reach a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// How long to keep trying while nothing moves; zero = for ever.
    pub(crate) patience: Duration,
    /// Whether the server in this process waits until files are safe on disk.
    pub(crate) sync: bool,
    /// See [`Missing`].
    pub(crate) missing: Missing,
}

impl Reached {
    /// Loads or makes the identity, and starts the server of a `local:` place. Runs in the runtime that the
    /// transfer will use.
    pub(crate) async fn open(place: &Place, reach: Reach) -> anyhow::Result<Self> {
        let (identity, ticket, local) = match place {
            Place::Remote { ticket, .. } => {
                let identity = Identity::load_or_create(&transport::home()?).context("this machine's identity")?;
                (identity, ticket.clone(), None)
            }
            Place::Local { root } => {
                let identity = Identity::ephemeral()?;
                let (ticket, local) = Local::start(root, &identity, reach).await?;
                (identity, ticket, Some(local))
            }
        };
        let client = Client::builder(identity).patience(reach.patience).build()?;
        Ok(Self { client, ticket, local })
    }

    /// Ends the server in this process, if there is one.
    pub(crate) async fn close(self) {
        if let Some(local) = self.local {
            local.handle.shutdown(LOCAL_DRAIN);
            // It has ended when there are no more notices; whatever keeps it longer does not keep the user.
            drop(tokio::time::timeout(2 * LOCAL_DRAIN, local.notices).await);
        }
    }
}

impl Local {
    /// Serves `root` to one client only, through the whole QUIC path over loopback.
    async fn start(root: &Path, client: &Identity, reach: Reach) -> anyhow::Result<(Ticket, Self)> {
        let (root, stand_in) = local_root(root, reach.missing)?;
        let builder = Server::builder(root, Identity::ephemeral()?)
            .listen((std::net::Ipv4Addr::LOCALHOST, 0).into())
            // One connection needs one worker.
            .workers(NonZeroUsize::MIN)
            .access(Access::Only(vec![client.fingerprint()]))
            // It is the user's own directory, in the user's own hand.
            .hidden(true)
            .sync(reach.sync);
        // Starting waits for the server's threads, which a runtime's own thread must not.
        let server = tokio::task::spawn_blocking(move || builder.start()).await?.context("the local server")?;
        let address = server.local_addr();
        let ticket = Ticket {
            fingerprint: server.fingerprint(),
            invite: None,
            host: address.ip().to_string(),
            port: address.port(),
        };
        let handle = server.handle();
        // The transfer's own events say all that this server's notices would; they only must not pile up.
        let notices = tokio::spawn(async move { while server.notice().await.is_some() {} });
        Ok((ticket, Self { handle, notices, _stand_in: stand_in }))
    }
}

fn local_root(root: &Path, missing: Missing) -> anyhow::Result<(PathBuf, Option<PrivateDir>)> {
    let is_there = root.try_exists().unwrap_or(false);
    let shown = escape(root.as_os_str().as_bytes());
    match missing {
        Missing::Make if !is_there => {
            std::fs::create_dir_all(root).with_context(|| format!("making {shown}"))?;
        }
        Missing::Pretend if !is_there => {
            let stand_in = PrivateDir::new().context("making a temporary directory")?;
            return Ok((stand_in.path().to_owned(), Some(stand_in)));
        }
        _ => {}
    }
    match root.is_dir() {
        true => Ok((root.to_owned(), None)),
        false => anyhow::bail!("{shown}: {}", if is_there { "not a directory" } else { "no such directory" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_local_directory_is_made_only_to_send_there() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let missing = parent.path().join("a/b");
        assert!(local_root(&missing, Missing::Refuse).is_err());
        let (root, stand_in) = local_root(&missing, Missing::Pretend).expect("a stand-in");
        assert!(root != missing && root.is_dir() && !missing.exists());
        drop(stand_in);
        assert!(!root.exists(), "the stand-in is gone");
        let (root, stand_in) = local_root(&missing, Missing::Make).expect("made");
        assert!(root == missing && missing.is_dir() && stand_in.is_none());
    }

    #[test]
    fn a_file_is_no_local_directory() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let file = parent.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        for missing in [Missing::Make, Missing::Refuse, Missing::Pretend] {
            let error = local_root(&file, missing).expect_err("a file");
            assert!(error.to_string().ends_with("not a directory"), "{error}");
        }
    }
}
