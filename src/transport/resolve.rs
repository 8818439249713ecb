//! From host names to addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::error::TransportError;
use crate::keys::Contact;

/// Longest wait for the name service.
pub(crate) const RESOLVE_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the name service where one address is known already.
const ALSO_AT_WAIT: Duration = Duration::from_secs(1);

/// The words that the standard library puts before the system's.
const LOOKUP_FAILED: &str = "failed to lookup address information: ";

/// How systems say that there is no such name, or that it has no address: an answer, and no failure to get one.
const NO_SUCH_NAME: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "nodename nor servname provided",
    "the name has no address",
];

/// Whether the name service has answered that there is no such host, so that asking again is of no use.
pub(crate) fn is_no_such_name(error: &TransportError) -> bool {
    let TransportError::Resolve { source, .. } = error else { return false };
    let words = source.to_string();
    NO_SUCH_NAME.iter().any(|answer| words.contains(answer))
}

/// The name service's answer alone: that a name was looked up is said already.
fn in_system_words(error: io::Error) -> io::Error {
    match error.to_string().strip_prefix(LOOKUP_FAILED) {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    }
}

/// The addresses of a host, in the system's order of preference.
///
/// # Errors
/// [`TransportError::Resolve`], also when the name service takes longer than [`RESOLVE_WAIT`].
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |source: io::Error| TransportError::Resolve { host: host.to_owned(), source: in_system_words(source) };
    let found = timeout(RESOLVE_WAIT, lookup_host((host, port))).await;
    let found = found.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for addr in found {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    if addrs.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addrs)
}

/// All addresses at which a server may be. A name that leads nowhere counts only if every one does.
pub(super) async fn resolve_all(contact: &Contact) -> Result<Vec<SocketAddr>, TransportError> {
    let mut found = resolve(&contact.host, contact.port).await;
    for host in &contact.also_at {
        let looking = resolve(host, contact.port);
        found = match found {
            Err(error) => looking.await.map_err(|_| error),
            Ok(mut all) => {
                let more = timeout(ALSO_AT_WAIT, looking).await.into_iter().flatten().flatten();
                all.extend(more.filter(|addr| !all.contains(addr)).collect::<Vec<_>>());
                Ok(all)
            }
        };
    }
    found
}
