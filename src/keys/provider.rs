//! The one source of cryptography: cipher suites, signatures and randomness for keys and for connections.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};
use rustls::crypto::ring::default_provider;

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

/// Never the process-wide default, which a dependency could change.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// Fills `secret` with bytes that nobody can foretell.
///
/// # Panics
/// When the system gives no randomness: then no key could have been made and no handshake could succeed.
pub(super) fn fill_random(secret: &mut [u8]) {
    PROVIDER
        .secure_random
        .fill(secret)
        .expect("the system gives randomness: without it no key could have been made and no handshake could succeed");
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
