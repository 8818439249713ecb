//! TLS 1.3 as both ends speak it: mutual authentication, no early data, no resumption.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::verify::{AnyClient, ServerCheck};
use crate::keys::{Identity, provider};
use crate::protocol::ALPN;

/// The TLS settings of a server: the certificate that it presents, and the one that it demands.
pub(crate) fn server(identity: &Identity) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider's suites are TLS 1.3 suites")
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session skips the verifiers, and a replayed one could repeat a request. Connections are long; a full
    // handshake costs no more round trips.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

/// The TLS settings of a client: the certificate that it presents, if any, and the one that it demands.
pub(crate) fn client(identity: Option<&Identity>, check: Arc<ServerCheck>) -> ClientConfig {
    let demands = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider's suites are TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(check);
    let mut config = match identity {
        Some(identity) => demands.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key()))),
        None => demands.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // Servers are known by key, so there is no name to send; none is leaked.
    config.enable_sni = false;
    config
}

/// `config` as QUIC takes it.
pub(crate) fn quic_server(config: ServerConfig) -> Arc<QuicServerConfig> {
    Arc::new(QuicServerConfig::try_from(config).expect("the provider has AES-128-GCM, which QUIC's first packets need"))
}

/// `config` as QUIC takes it.
pub(crate) fn quic_client(config: ClientConfig) -> Arc<QuicClientConfig> {
    Arc::new(QuicClientConfig::try_from(config).expect("the provider has AES-128-GCM, which QUIC's first packets need"))
}
