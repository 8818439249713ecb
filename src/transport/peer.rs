//! The facts that a connection tells: who is there, and which salt is shared.

use quinn::Connection;
use rustls::pki_types::CertificateDer;

use super::error::{TransportError, canonical};
use crate::digest::SALT_BYTES;
use crate::keys::{ClientCertificate, Fingerprint, PROOF_BYTES, Uncertified};
use crate::protocol::{SALT_LABEL, TOKEN_LABEL};

/// The key of the peer, which the handshake proved. `None` only before the handshake has ended.
pub fn peer_fingerprint(connection: &Connection) -> Option<Fingerprint> {
    Fingerprint::of_certificate(certificates(connection)?.first()?).ok()
}

/// The certificate that the client of a connection showed, for an authority to judge.
///
/// # Errors
/// [`Uncertified`] when it showed none that can be read.
pub(crate) fn client_certificate(connection: &Connection) -> Result<ClientCertificate, Uncertified> {
    ClientCertificate::of_chain(certificates(connection).unwrap_or_default())
}

/// The certificate of the peer and what it showed of the chain above.
fn certificates(connection: &Connection) -> Option<Vec<CertificateDer<'static>>> {
    let identity = connection.peer_identity()?;
    identity.downcast::<Vec<CertificateDer<'static>>>().ok().map(|chain| *chain)
}

/// Bytes that both ends share, that differ in every connection, and that neither end could choose.
///
/// # Errors
/// [`TransportError::Handshake`] when the handshake has not ended.
pub fn session_salt(connection: &Connection) -> Result<[u8; SALT_BYTES], TransportError> {
    keying_material(connection, SALT_LABEL)
}

/// The same for the proofs of a [`Token`](crate::keys::Token).
///
/// # Errors
/// [`TransportError::Handshake`] when the handshake has not ended.
pub(crate) fn token_material(connection: &Connection) -> Result<[u8; PROOF_BYTES], TransportError> {
    keying_material(connection, TOKEN_LABEL)
}

/// The same for any purpose, which `label` names.
pub(super) fn keying_material<const N: usize>(
    connection: &Connection,
    label: &[u8],
) -> Result<[u8; N], TransportError> {
    let mut bytes = [0; N];
    let exported = connection.export_keying_material(&mut bytes, label, b"");
    let addr = canonical(connection.remote_address());
    let reason = || "the connection has no secrets to derive a key from".to_owned();
    exported.map(|()| bytes).map_err(|_| TransportError::Handshake { addr, reason: reason() })
}
