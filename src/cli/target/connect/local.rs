//! A server in this process, for `local:DIR`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::ConnectSettings;
use crate::cli::run::private_dir::private_dir;
use crate::cli::target::address::loopback;
use crate::keys::{Identity, Ticket};
use crate::protocol::path::escape_path;
use crate::server::{Access, Server, ServerHandle};
use crate::storage::Root;

/// How long the server in this process may take to end when its only client is done.
const LOCAL_DRAIN: Duration = Duration::from_secs(2);

/// The rule for a `local:` directory that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnMissing {
    Make,
    /// It is an error.
    Refuse,
    /// An empty one stands in for it: a dry run changes nothing.
    Pretend,
}

pub(super) struct LocalServer {
    handle: ServerHandle,
    /// Owns the server, and reads its notices.
    notices: JoinHandle<()>,
    /// Held until the server has ended.
    _stand_in: Option<TempDir>,
}

impl LocalServer {
    /// Serves `root` to one client only, through the whole QUIC path over loopback.
    pub(super) async fn start(
        root: &Path,
        client: &Identity,
        settings: &ConnectSettings,
    ) -> anyhow::Result<(Ticket, Self)> {
        let (root, stand_in) = local_root(root, settings.missing)?;
        let builder = Server::builder(root, Identity::ephemeral()?)
            .listen(loopback(0))
            // One connection needs one worker.
            .workers(NonZeroUsize::MIN)
            .access(Access::Only(vec![client.fingerprint()]))
            // It is the user's own directory, in the user's own hand.
            .hidden(true)
            .keep_dirlinks(true)
            .links(true)
            .sync(settings.sync)
            .destination(settings.into.clone())
            .rate_limit(settings.rate_limit);
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

    pub(super) async fn end(self) {
        self.handle.shutdown(LOCAL_DRAIN);
        // It has ended when there are no more notices; whatever keeps it longer does not keep the user.
        drop(tokio::time::timeout(2 * LOCAL_DRAIN, self.notices).await);
    }
}

fn local_root(root: &Path, missing: OnMissing) -> anyhow::Result<(PathBuf, Option<TempDir>)> {
    let is_there = root.try_exists().unwrap_or(false);
    let shown = escape_path(root);
    match missing {
        OnMissing::Make if !is_there => {
            // Durably: what is put into it would be lost with it.
            Root::create(root).with_context(|| format!("cannot make {shown}"))?;
        }
        OnMissing::Pretend if !is_there => {
            let stand_in = private_dir().context("making a temporary directory")?;
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
        assert!(local_root(&missing, OnMissing::Refuse).is_err());
        let (root, stand_in) = local_root(&missing, OnMissing::Pretend).expect("a stand-in");
        assert!(root != missing && root.is_dir() && !missing.exists());
        drop(stand_in);
        assert!(!root.exists(), "the stand-in is gone");
        let (root, stand_in) = local_root(&missing, OnMissing::Make).expect("made");
        assert!(root == missing && missing.is_dir() && stand_in.is_none());
    }

    #[test]
    fn a_file_is_no_local_directory() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let file = parent.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        for missing in [OnMissing::Make, OnMissing::Refuse, OnMissing::Pretend] {
            let error = local_root(&file, missing).expect_err("a file");
            assert!(error.to_string().ends_with("not a directory"), "{error}");
        }
    }
}
