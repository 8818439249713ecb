//! The man in the middle.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use qft::keys::{Fingerprint, Identity};
use qft::protocol::ALPN;
use qft::transport;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Incoming, RecvStream, SendStream};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::runtime::Runtime;

use super::{LONG, tuning};
use crate::support::bin::Serve;

/// What the man in the middle has learnt.
#[derive(Default)]
struct Learnt {
    /// Everything that clients said to him, decrypted.
    heard: Mutex<Vec<u8>>,
    /// Packets that came for him: he was really called.
    calls: AtomicUsize,
    /// Handshakes that clients finished, each with the client's key.
    handshakes: Mutex<Vec<Fingerprint>>,
}

/// The man in the middle: a QUIC server towards clients, a QUIC client towards the server, everything passed on.
pub(crate) struct Mallory {
    pub(crate) address: SocketAddr,
    learnt: Arc<Learnt>,
    _runtime: Runtime,
}

impl Mallory {
    /// He shows clients this identity, and calls the server as himself.
    pub(crate) fn between(serve: &Serve, shown: &Identity) -> Self {
        let upstream = (serve.address().parse().expect("an address"), serve.fingerprint().parse().expect("a key"));
        let shown = shown.clone();
        Self::start(move |learnt| async move {
            let listener = transport::listen(here(), &shown, &tuning()).expect("a socket");
            let address = listener.local_addr();
            let serving = async move {
                while let Some(incoming) = listener.next().await {
                    learnt.calls.fetch_add(1, Ordering::Relaxed);
                    let config = listener.server_config_for(incoming.remote_address());
                    let learnt = learnt.clone();
                    tokio::spawn(async move {
                        if let Ok(client) = transport::accept(incoming, config, LONG).await {
                            pass_on(client, upstream, &learnt).await;
                        }
                    });
                }
            };
            (address, serving)
        })
    }

    /// He shows a certificate whose key he does not have.
    pub(crate) fn with_a_copied_certificate(certificates: Vec<CertificateDer<'static>>) -> Self {
        let own = Identity::ephemeral().expect("a key");
        let forged = CertifiedKey::new(certificates, own.certified_key().key.clone());
        Self::start(move |learnt| async move {
            let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .expect("it has TLS 1.3")
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(SingleCertAndKey::from(forged)));
            tls.alpn_protocols = vec![ALPN.to_vec()];
            let crypto = QuicServerConfig::try_from(tls).expect("QUIC's cipher is there");
            let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
            let endpoint = quinn::Endpoint::server(config, here()).expect("a socket");
            let address = endpoint.local_addr().expect("bound");
            let serving = async move {
                while let Some(incoming) = endpoint.accept().await {
                    learnt.calls.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(listen_in(incoming, learnt.clone()));
                }
            };
            (address, serving)
        })
    }

    fn start<S, F, W>(work: W) -> Self
    where
        W: FnOnce(Arc<Learnt>) -> S + Send + 'static,
        S: Future<Output = (SocketAddr, F)> + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let learnt = Arc::new(Learnt::default());
        let (address, serving) = runtime.block_on(work(learnt.clone()));
        runtime.spawn(serving);
        Self { address, learnt, _runtime: runtime }
    }

    pub(crate) fn heard(&self) -> Vec<u8> {
        self.learnt.heard.lock().expect("no holder panics").clone()
    }

    /// Whose handshakes with him were finished.
    pub(crate) fn handshakes(&self) -> Vec<Fingerprint> {
        self.learnt.handshakes.lock().expect("no holder panics").clone()
    }

    /// He was called, and learnt nothing at all.
    #[track_caller]
    pub(crate) fn learnt_nothing(&self) {
        assert!(self.learnt.calls.load(Ordering::Relaxed) > 0, "he was never called: the test shows nothing");
        assert_eq!(String::from_utf8_lossy(&self.heard()), "");
        assert_eq!(self.handshakes(), [], "he knows who called");
    }
}

/// Any port of this machine.
pub(crate) fn here() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// Passes every stream of a client on to the server, and back.
async fn pass_on(client: Connection, (server, key): (SocketAddr, Fingerprint), learnt: &Arc<Learnt>) {
    let who = transport::peer_fingerprint(&client).expect("a client shows its key");
    learnt.handshakes.lock().expect("no holder panics").push(who);
    transport::open_up(&client);
    let own = Identity::ephemeral().expect("a key");
    let Ok(upstream) = transport::connect(&[server], key, &own, &tuning(), LONG).await else { return };
    while let Ok((back, from_client)) = client.accept_bi().await {
        let Ok((to_server, from_server)) = upstream.connection.open_bi().await else { return };
        tokio::spawn(copy(from_client, to_server, Some(learnt.clone())));
        tokio::spawn(copy(from_server, back, None));
    }
}

async fn copy(mut from: RecvStream, mut to: SendStream, learnt: Option<Arc<Learnt>>) {
    while let Ok(Some(chunk)) = from.read_chunk(64 * 1024, true).await {
        if let Some(learnt) = &learnt {
            learnt.heard.lock().expect("no holder panics").extend_from_slice(&chunk.bytes);
        }
        if to.write_all(&chunk.bytes).await.is_err() {
            return;
        }
    }
    let _ = to.finish();
}

/// Hears whatever a client says that finishes the handshake.
async fn listen_in(incoming: Incoming, learnt: Arc<Learnt>) {
    let Ok(client) = incoming.await else { return };
    while let Ok((_, mut stream)) = client.accept_bi().await {
        while let Ok(Some(chunk)) = stream.read_chunk(64 * 1024, true).await {
            learnt.heard.lock().expect("no holder panics").extend_from_slice(&chunk.bytes);
        }
    }
}
