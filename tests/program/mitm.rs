//! Somebody between client and server who ends the encryption with a key of his own, and reads along.
//!
//! Whatever tells the client which server is the right one, he gets a TLS handshake and nothing else: no content, no
//! invite, no token, not even who the client is.

mod mallory;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::any_server::AnyServer;
use crate::support::bin::{Machine, Serve};
use mallory::{Mallory, here};
use qft::congestion::ControllerConfig;
use qft::keys::{Identity, Token};
use qft::protocol::ALPN;
use qft::transport::Tuning;
use quinn::crypto::rustls::QuicClientConfig;
use rustix::process::Signal;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::runtime::Runtime;

/// Far beyond what anything here takes; only a hang reaches it.
const LONG: Duration = Duration::from_secs(60);
/// What must not be read along.
const SECRET: &str = "the plans of the secret fort, which nobody else may see";

fn tuning() -> Tuning {
    Tuning::new(Arc::new(ControllerConfig::default()))
}

fn ephemeral() -> Identity {
    Identity::ephemeral().expect("a key")
}

/// Both ends and a file to send.
fn machines() -> (Machine, Machine) {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write("secret", SECRET);
    (remote, local)
}

/// A ticket or pinned address that leads to the man in the middle.
fn diverted(ticket: &str, mallory: &Mallory) -> String {
    let (who, _) = ticket.split_once('@').expect("a ticket has a place");
    format!("{who}@{}", mallory.address)
}

#[test]
fn who_trusts_him_is_read_along_which_shows_that_he_can() {
    let (remote, local) = machines();
    let serve = remote.serve("in", "--no-auth");
    let own = ephemeral();
    let mallory = Mallory::between(&serve, &own);
    let to = format!("qft://{}@{}", own.fingerprint(), mallory.address);
    // The digests are salted with the secrets of two different connections, so what he passes on does not verify.
    let sent = local.qft(["send", "secret", "--to", &to, "--timeout", "8s"]).run();
    assert_ne!(sent.code, Some(0), "{}", sent.stderr);
    let heard = mallory.heard();
    assert!(heard.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()), "he hears what is said");
    assert_eq!(mallory.handshakes(), [local.fingerprint().parse().expect("a key")]);
}

#[test]
fn a_ticket_leads_to_its_server_alone_and_keeps_its_invite() {
    let (remote, local) = machines();
    let serve = remote.serve("in", "");
    let mallory = Mallory::between(&serve, &ephemeral());
    let to = diverted(serve.ticket(), &mallory);
    local.qft(["send", "secret", "--to", &to]).run().exits(5).says(&[serve.fingerprint()]);
    local.qft(["ls", &to]).run().exits(5);
    mallory.learnt_nothing();
    local.qft(["send", "secret", "--to", serve.ticket()]).run().exits(0).says(&["paired"]);
}

#[test]
fn a_known_host_that_became_another_is_told_nothing() {
    let (remote, local) = machines();
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let own = ephemeral();
    let mallory = Mallory::between(&serve, &own);
    // As if the name now led to him.
    let list = String::from_utf8(local.read("home/remotes")).expect("text");
    local.write("home/remotes", list.replace(serve.address(), &mallory.address.to_string()));
    let refused = local.run("send secret");
    refused.exits(5).says(&["different identity"]).says(&[serve.fingerprint()]).says(&[&own.fingerprint().to_string()]);
    local.run("get secret").exits(5);
    mallory.learnt_nothing();
}

#[test]
fn a_stranger_is_told_nothing_before_somebody_vouched_for_it() {
    let (remote, local) = machines();
    let serve = remote.serve("in", "--no-auth");
    let mallory = Mallory::between(&serve, &ephemeral());
    let to = format!("{}:", mallory.address);
    local.qft(["send", "secret", &to]).run().exits(5).says(&["not known here"]);
    mallory.learnt_nothing();
    local.qft(["send", "secret", &to, "--fingerprint", serve.fingerprint()]).run().exits(5);
    mallory.learnt_nothing();
}

#[test]
fn a_token_is_proved_to_the_right_server_alone_and_good_for_one_connection() {
    let (remote, local) = machines();
    let text = Token::random_text();
    remote.write_private("token", &text);
    local.write_private("token", &text);
    let serve = remote.serve("in", "--token-file token");
    let own = ephemeral();
    let mallory = Mallory::between(&serve, &own);
    let to = diverted(serve.ticket(), &mallory);
    local.qft(["send", "secret", "--to", &to, "--token-file", "token"]).run().exits(5).says(&[serve.fingerprint()]);
    mallory.learnt_nothing();
    // Even from a client that trusts him he hears a proof that the server does not take from him, and no token.
    let to = format!("qft://{}@{}", own.fingerprint(), mallory.address);
    let sent = local.qft(["send", "secret", "--to", &to, "--token-file", "token", "--timeout", "8s"]).run();
    assert_ne!(sent.code, Some(0), "{}", sent.stderr);
    serve.wait_to_say("another token");
    let heard = mallory.heard();
    assert!(!heard.is_empty() && !heard.windows(text.len()).any(|bytes| bytes == text.as_bytes()));
    assert!(remote.tree("in").is_empty());
}

/// A CA on the remote with a certificate for the server, and another CA that nobody trusts.
fn with_certificates() -> (Machine, Machine, Serve) {
    let (remote, local) = machines();
    for line in ["cert ca certs", "cert issue certs 127.0.0.1", "cert issue certs mallory --client", "cert ca evil"] {
        remote.run(line).exits(0);
    }
    remote.run("cert issue evil 127.0.0.1").exits(0);
    local.write("ca.crt", remote.read("certs/ca.crt"));
    let serve = remote.serve("in", "--no-auth --cert certs/127.0.0.1.crt --key certs/127.0.0.1.key");
    (remote, local, serve)
}

fn shown(machine: &Machine, name: &str) -> Identity {
    let path = |end: &str| machine.path(&format!("{name}.{end}"));
    Identity::load(&path("crt"), &path("key")).expect("a certificate and its key")
}

#[test]
fn only_a_server_that_the_ca_vouches_for_is_told_anything() {
    let (remote, local, serve) = with_certificates();
    local.qft(["send", "secret", &format!("{}:", serve.address()), "--ca", "ca.crt"]).run().exits(0);
    let table = [
        (ephemeral(), "not issued by the CA"),
        (shown(&remote, "evil/127.0.0.1"), "not issued by the CA"),
        // Whoever was given a client's certificate is no server.
        (shown(&remote, "certs/mallory"), "for the other side"),
    ];
    for (identity, words) in table {
        let mallory = Mallory::between(&serve, &identity);
        let to = format!("{}:", mallory.address);
        local.qft(["send", "secret", &to, "--ca", "ca.crt"]).run().exits(5).says(&["127.0.0.1", words]);
        mallory.learnt_nothing();
    }
}

#[test]
fn a_servers_certificate_without_its_key_deceives_no_client() {
    let (remote, local, serve) = with_certificates();
    let copied = shown(&remote, "certs/127.0.0.1").certified_key().cert.clone();
    let mallory = Mallory::with_a_copied_certificate(copied);
    let pinned = diverted(serve.ticket(), &mallory);
    let address = format!("{}:", mallory.address);
    for how in [
        &["--to", &pinned][..],
        &[&address, "--ca", "ca.crt"],
        &[&address, "--fingerprint", serve.fingerprint()],
        &[&address, "--host-key", "accept-new"],
    ] {
        let refused = local.qft([&["send", "secret"], how].concat()).run();
        refused.exits(5).says(&["the handshake with", "failed"]);
    }
    mallory.learnt_nothing();
    assert!(!local.has("home/remotes"), "an identity that was not proved is not kept");
}

/// Calls a server with somebody's certificate and another key; whether the server took it.
fn call_with_a_copied_certificate(server: &str, certificate: Vec<CertificateDer<'static>>) -> bool {
    let forged = CertifiedKey::new(certificate, ephemeral().certified_key().key.clone());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(AnyServer::verifier())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(forged)));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("QUIC's cipher is there");
    let address = server.parse().expect("an address");
    Runtime::new().expect("a runtime").block_on(async move {
        let mut endpoint = quinn::Endpoint::client(here()).expect("a socket");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let Ok(connection) = endpoint.connect(address, "qft.invalid").expect("it can be called").await else {
            return false;
        };
        // In TLS 1.3 a client is done before the server has judged it: the server's word comes afterwards.
        let end = tokio::time::timeout(LONG, connection.closed()).await.expect("the server ends it");
        matches!(end, quinn::ConnectionError::ApplicationClosed(_))
    })
}

#[test]
fn a_clients_certificate_without_its_key_deceives_no_server() {
    let (remote, local) = machines();
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let enrolled = Identity::load_or_create(&local.path("home")).expect("the client's own");
    let taken = call_with_a_copied_certificate(serve.address(), vec![enrolled.certificate().clone()]);
    assert!(!taken, "TLS itself refuses it, before the list is asked");
    serve.wait_to_say("refused");
    assert_eq!(serve.log().matches("Z + ").count(), 1, "only the client itself was let in: {}", serve.log());

    let (remote, _local, _serve) = with_certificates();
    let serve = remote.serve("other", "--client-ca certs/ca.crt");
    let certificate = shown(&remote, "certs/mallory").certified_key().cert.clone();
    assert!(!call_with_a_copied_certificate(serve.address(), certificate));
    serve.wait_to_say("refused");
    assert!(!serve.log().contains("Z + "), "{}", serve.log());
}

#[test]
fn a_server_that_is_replaced_in_the_middle_of_a_job_gets_nothing_more() {
    let (remote, local) = machines();
    let mut serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let (address, old) = (serve.address().to_owned(), serve.fingerprint().to_owned());
    local.write_large("large", 400 << 20);
    let sending = local.qft(["send", "large"]).start();
    crate::support::bin::wait_for("the first bytes", || part_of(&remote.path("in")));
    // It is called again at once: of a server that was killed nothing is heard until its connection is given up.
    serve.signal(Signal::TERM);
    serve.wait_to_say("once more stops at once");
    serve.signal(Signal::TERM);
    serve.end();
    let imposter = Machine::new();
    let serve = imposter.serve_at(&address, "in", "--no-auth");
    let ended = sending.end();
    ended.exits(5).says(&[&address, "different identity"]).says(&["known", &old]).says(&["now", serve.fingerprint()]);
    assert!(imposter.tree("in").is_empty());
}

fn part_of(dir: &Path) -> Option<()> {
    let parts = fs::read_dir(dir).ok()?.filter_map(Result::ok);
    parts.filter(|entry| entry.metadata().is_ok_and(|data| data.len() > 0)).map(|_| ()).next()
}
