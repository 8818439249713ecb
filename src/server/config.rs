//! The settings that all threads of a server look at while it runs.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::places::CLIENTS_MAX;
use super::{Access, ServeOnce};
use crate::keys::trust::AccessMode;
use crate::session::budget::MEMORY_BYTES;
use crate::transport::Rate;

/// The settings, whole, from the builder to the last thread. [`ServerBuilder`](super::ServerBuilder) has a method for each, and
/// says there what it means.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) listen: SocketAddr,
    /// `None` is one for each core.
    pub(super) workers: Option<NonZeroUsize>,
    pub(super) access: Access,
    pub(super) mode: AccessMode,
    pub(super) no_clobber: bool,
    /// Symbolic links are taken from clients.
    pub(super) links: bool,
    pub(super) keep_dirlinks: bool,
    pub(super) hidden: bool,
    pub(super) withheld: Option<PathBuf>,
    pub(super) clients_max: usize,
    /// In bytes, for all connections together.
    pub(super) memory: usize,
    /// Files are durable before they are done.
    pub(super) sync: bool,
    pub(super) once: Option<ServeOnce>,
    pub(super) rate_limit: Option<Rate>,
    /// Where the files that are got go, if this process knows it.
    pub(super) destination: Option<PathBuf>,
    pub(super) keep_parts: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: None,
            access: Access::Only(Vec::new()),
            mode: AccessMode::default(),
            no_clobber: false,
            links: true,
            keep_dirlinks: false,
            hidden: false,
            withheld: None,
            clients_max: CLIENTS_MAX,
            memory: MEMORY_BYTES,
            sync: true,
            once: None,
            rate_limit: None,
            destination: None,
            keep_parts: None,
        }
    }
}
