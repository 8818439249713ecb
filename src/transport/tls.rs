//! TLS 1.3 as both ends speak it: one provider, mutual authentication, no early data, no resumption.

use std::sync::{Arc, LazyLock};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::verify::{AnyClient, ServerCheck};
use crate::keys::Identity;
use crate::protocol::ALPN;

/// Both QUIC cipher suites of 128-bit strength and up that are worth having, the faster one first: the client's order
/// decides.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let cipher_suites = if cpu_has_aes() {
        vec![TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256]
    } else {
        vec![TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256]
    };
    Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
});

/// The source of all cryptography here. Never the process-wide default, which a dependency could change.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// Without AES instructions ChaCha20 is about twice as fast, with them AES is.
fn cpu_has_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}

/// What a server presents and demands.
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

/// What a client presents, if it presents anything, and demands.
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
