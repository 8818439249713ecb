//! Certificates from an authority: the other way, beside pins, to tell who is at the far end.
//!
//! The chain, the dates, the purpose and the name are judged by `rustls`'s own verifiers, as a browser would. That the
//! peer holds the certificate's key is checked in the handshake, as always.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::certificate::Description;
use super::credential::{self, CredentialError};
use super::home::Privacy;
use super::provider::provider;

/// The content that an authority's file should have.
const WHAT: &str = "CA certificate";

/// One or more certificate authorities. Clones share them.
#[derive(Debug, Clone)]
pub struct Authority {
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// The certificate that a client showed, with what it showed of the chain above. The handshake has proved that the client
/// holds its key.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    name: Option<String>,
    ends: SystemTime,
}

impl ClientCertificate {
    /// The facts of the chain that a client showed, its own certificate first.
    ///
    /// # Errors
    /// [`Uncertified`] when it is empty or cannot be read.
    pub(crate) fn of_chain(chain: Vec<CertificateDer<'static>>) -> Result<Self, Uncertified> {
        let described: Result<Vec<Description>, String> = chain.iter().map(Description::of).collect();
        let described = described.map_err(Uncertified::Unusable)?;
        let ends = described.iter().map(|certificate| certificate.ends).min();
        let ends = ends.ok_or_else(|| Uncertified::Unusable("none was shown".to_owned()))?;
        Ok(Self { name: described.into_iter().next().and_then(|own| own.common_name), chain, ends })
    }

    /// The name in it; anybody's words until an authority vouches for them, and never safe to print.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The moment after which it, or one of its chain, is good no more.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Uncertified {
    /// The authority did not issue it, or its chain is incomplete.
    #[error("its certificate was not issued by the CA that is trusted here")]
    UnknownIssuer,
    /// Its time, or that of a certificate in its chain, is over.
    #[error("its certificate has expired, unless a clock is wrong")]
    Expired,
    /// Its time has not come. More often a clock is wrong.
    #[error("its certificate is not valid yet; are the clocks of both machines right?")]
    NotYetValid,
    /// It was issued for other hosts.
    #[error("its certificate is for {}, not for this host", for_whom(names))]
    WrongName {
        /// The names and addresses in it, as rustls writes them.
        names: Vec<String>,
    },
    /// It was issued for the other side of a connection.
    #[error("its certificate is for the other side (a client's instead of a server's, or the other way round)")]
    WrongPurpose,
    /// Anything else that makes it no client certificate, in words.
    #[error("its certificate cannot be used: {0}")]
    Unusable(String),
}

fn for_whom(names: &[String]) -> String {
    if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
}

impl Authority {
    /// Reads the certificates of one or more authorities from a PEM file.
    ///
    /// # Errors
    /// [`CredentialError`], also when others can write to the file: whoever can, decides who is trusted.
    pub fn load(path: &Path) -> Result<Self, CredentialError> {
        let text = credential::read(path, Privacy::List, WHAT)?;
        let damaged = |reason: String| CredentialError::Damaged { path: path.to_owned(), what: WHAT, reason };
        let mut roots = RootCertStore::empty();
        for certificate in credential::pem_items::<CertificateDer<'static>>(&text, path, WHAT)? {
            roots.add(certificate).map_err(|error| damaged(error.to_string()))?;
        }
        Self::new(roots).map_err(damaged)
    }

    fn new(roots: RootCertStore) -> Result<Self, String> {
        let roots = Arc::new(roots);
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        Ok(Self {
            servers: servers.map_err(|error| error.to_string())?,
            clients: clients.map_err(|error| error.to_string())?,
        })
    }

    /// Judges the certificate that a server shows for the name or address that it was called by.
    pub(crate) fn check_server(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.servers.verify_server_cert(end_entity, intermediates, name, &[], now).map(|_| ())
    }

    /// Judges the certificate of a client.
    ///
    /// # Errors
    /// [`Uncertified`].
    pub fn check_client(&self, shown: &ClientCertificate) -> Result<(), Uncertified> {
        let (end_entity, intermediates) =
            shown.chain.split_first().ok_or_else(|| Uncertified::Unusable("none was shown".to_owned()))?;
        let judged = self.clients.verify_client_cert(end_entity, intermediates, UnixTime::now());
        judged.map(|_| ()).map_err(|error| Uncertified::of(&error))
    }
}

impl Uncertified {
    /// The fault that rustls found.
    pub(crate) fn of(error: &Error) -> Self {
        let Error::InvalidCertificate(error) = error else { return Self::Unusable(error.to_string()) };
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName => Self::WrongName { names: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName { names: presented.iter().map(|name| plain_name(name)).collect() }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongPurpose,
            error => Self::Unusable(error.to_string()),
        }
    }
}

/// `DnsName("box.example")` without the wrapping.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"').to_owned()
}
