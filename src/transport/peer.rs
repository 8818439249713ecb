//! What is asked of a connection that stands: who is there, which salt is shared, and how to part.

use quinn::{Connection, ConnectionError, VarInt};
use rustls::pki_types::CertificateDer;

use super::congestion::farewell::open_window;
use super::error::{TransportError, canonical};
use super::fingerprint::Fingerprint;
use crate::digest::SALT_BYTES;
use crate::protocol::SALT_LABEL;
use crate::protocol::close::CloseCode;

/// QUIC's own code for "the server does not want this connection" (RFC 9000, section 20.1).
const CONNECTION_REFUSED: u64 = 0x2;

/// The key of the peer, which the handshake proved. `None` only before the handshake has ended.
pub fn peer_fingerprint(connection: &Connection) -> Option<Fingerprint> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Fingerprint::of_certificate(chain.first()?).ok()
}

/// Bytes that both ends share, that differ in every connection, and that neither end could choose.
///
/// # Errors
/// [`TransportError::Handshake`] when the handshake has not ended.
pub fn session_salt(connection: &Connection) -> Result<[u8; SALT_BYTES], TransportError> {
    let mut salt = [0; SALT_BYTES];
    let exported = connection.export_keying_material(&mut salt, SALT_LABEL, b"");
    let addr = canonical(connection.remote_address());
    let reason = || "no secrets to derive a salt from".to_owned();
    exported.map(|()| salt).map_err(|_| TransportError::Handshake { addr, reason: reason() })
}

/// Ends a connection at once and tells the peer why. What was not acknowledged yet may be lost.
pub fn close(connection: &Connection, code: CloseCode, text: &str) {
    open_window(connection);
    connection.close(VarInt::from_u32(code.code()), text.as_bytes());
}

/// The code with which the *peer* ended the connection; `None` when it ended in another way or with a code that this
/// version does not know. A handshake that was turned down at the door counts as [`CloseCode::Busy`].
pub fn closed_by(error: &ConnectionError) -> Option<CloseCode> {
    match error {
        ConnectionError::ApplicationClosed(close) => CloseCode::from_code(close.error_code.into_inner()),
        ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == CONNECTION_REFUSED => {
            Some(CloseCode::Busy)
        }
        _ => None,
    }
}
