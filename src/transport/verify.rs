//! The two verifiers: a client accepts the one right server; a server accepts any key that its bearer proves to hold.
//!
//! Both check the handshake's signature with the provider's algorithms. Without that check a certificate would prove
//! nothing: certificates are public, and anyone could show a copy. Names and dates in certificates mean nothing here,
//! except where an authority vouches for them.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use crate::keys::{Authority, Fingerprint, Uncertified, provider};

/// The half of a verifier that is the same for everyone: TLS 1.3 only, and the signature must be the key's own.
macro_rules! check_the_signature {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

/// Which server is the right one.
#[derive(Debug, Clone)]
pub(crate) enum ServerRule {
    /// The one whose certificate this authority issued for the name that it is called by.
    Authority(Authority),
    /// The one with this key.
    Key(Fingerprint),
    /// Any, for a look at its key: nothing is ever said to it.
    Any,
}

/// Accepts the right server, and remembers why another one was turned down.
#[derive(Debug)]
pub(crate) struct ServerCheck {
    rule: ServerRule,
    refused: OnceLock<RejectedServer>,
}

/// A server that was turned down for its certificate. Nothing proves that it holds the certificate's key.
#[derive(Debug, Clone)]
pub(crate) enum RejectedServer {
    /// It has another key than the expected one.
    WrongKey {
        /// The key that it should have.
        expected: Fingerprint,
        /// The key that it showed.
        found: Fingerprint,
    },
    /// The authority does not vouch for it.
    Uncertified(Uncertified),
}

impl ServerCheck {
    pub(crate) fn new(rule: ServerRule) -> Arc<Self> {
        Arc::new(Self { rule, refused: OnceLock::new() })
    }

    /// Why the server's certificate was turned down, if it was.
    pub(crate) fn refused(&self) -> Option<RejectedServer> {
        self.refused.get().cloned()
    }
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::of_certificate(end_entity)?;
        match &self.rule {
            ServerRule::Authority(authority) => {
                let judged = authority.check_server(end_entity, intermediates, server_name, now);
                judged.map(|()| ServerCertVerified::assertion()).inspect_err(|error| {
                    self.refused.get_or_init(|| RejectedServer::Uncertified(Uncertified::of(error)));
                })
            }
            ServerRule::Any => Ok(ServerCertVerified::assertion()),
            // Fingerprints are public, so comparing them need not take constant time.
            ServerRule::Key(expected) if found == *expected => Ok(ServerCertVerified::assertion()),
            ServerRule::Key(expected) => {
                self.refused.get_or_init(|| RejectedServer::WrongKey { expected: *expected, found });
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    check_the_signature!();
}

/// Accepts every client that shows a certificate and proves to hold its key. What that key may do is decided later.
#[derive(Debug)]
pub(crate) struct AnyClient;

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // One that cannot be parsed has no fingerprint to go by.
        Fingerprint::of_certificate(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    check_the_signature!();
}
