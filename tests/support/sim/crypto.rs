//! Cheap packet protection: a real TLS 1.3 handshake, then packets in clear.
//!
//! AEAD would take most of the simulator's time and changes nothing about congestion. Sizes stay exact: the tag is
//! still sixteen bytes. Everything is of fixed length (Ed25519), so that the same seed gives the same packets.

use std::any::Any;
use std::sync::Arc;

use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig, Session,
    UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};

const TAG_LEN: usize = 16;
const SERVER_NAME: &str = "sim";

/// Both ends' TLS, ready to share between all flows of a process.
#[derive(Clone)]
pub struct Tls {
    pub client: Arc<dyn ClientConfig>,
    pub server: Arc<dyn ServerConfig>,
}

impl Tls {
    /// Makes a self-signed identity and lets the client trust it.
    pub fn generate() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("ring makes Ed25519 keys");
        let mut params = rcgen::CertificateParams::new([SERVER_NAME.to_owned()]).expect("a valid DNS name");
        params.serial_number = Some(rcgen::SerialNumber::from(1u64));
        let cert = params.self_signed(&key).expect("parameters are complete");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.der().clone()).expect("our own certificate parses");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("key and certificate belong together");
        Self {
            client: Arc::new(ClearClient(Arc::new(QuicClientConfig::try_from(client).expect("has an initial suite")))),
            server: Arc::new(ClearServer(Arc::new(QuicServerConfig::try_from(server).expect("has an initial suite")))),
        }
    }

    /// The name the client asks for.
    pub fn server_name(&self) -> &'static str {
        SERVER_NAME
    }
}

struct ClearClient(Arc<QuicClientConfig>);

impl ClientConfig for ClearClient {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = self.0.clone().start_session(version, server_name, params)?;
        Ok(Box::new(ClearSession(inner)))
    }
}

struct ClearServer(Arc<QuicServerConfig>);

impl ServerConfig for ClearServer {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        Box::new(ClearSession(self.0.clone().start_session(version, params)))
    }
}

/// Delegates the handshake to rustls and hands out keys that do nothing.
struct ClearSession(Box<dyn Session>);

impl Session for ClearSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.0.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.0.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.0.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.0.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.0.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.0.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.0.write_handshake(buf).map(|_| Keys {
            header: KeyPair { local: Box::new(Clear), remote: Box::new(Clear) },
            packet: clear_packet_keys(),
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        Some(clear_packet_keys())
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.0.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.0.export_keying_material(output, label, context)
    }
}

fn clear_packet_keys() -> KeyPair<Box<dyn PacketKey>> {
    KeyPair { local: Box::new(Clear), remote: Box::new(Clear) }
}

/// Packet and header protection that leaves every byte as it is.
struct Clear;

impl PacketKey for Clear {
    fn encrypt(&self, _: u64, _: &mut [u8], _: usize) {}

    fn decrypt(&self, _: u64, _: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let len = payload.len().checked_sub(TAG_LEN).ok_or(CryptoError)?;
        payload.truncate(len);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn confidentiality_limit(&self) -> u64 {
        u64::MAX
    }

    fn integrity_limit(&self) -> u64 {
        u64::MAX
    }
}

impl HeaderKey for Clear {
    fn decrypt(&self, _: usize, _: &mut [u8]) {}

    fn encrypt(&self, _: usize, _: &mut [u8]) {}

    fn sample_size(&self) -> usize {
        TAG_LEN
    }
}
