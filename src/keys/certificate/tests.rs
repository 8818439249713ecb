use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;

fn authority() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("ca.crt"), dir.path().join("ca.key"));
    let made = new_authority("a CA, of \"ours\"", 10).unwrap();
    fs::write(&certificate, made.certificate).unwrap();
    fs::write(&key, made.key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (dir, certificate, key)
}

fn request(hosts: &[&str], role: CertificateRole) -> CertificateRequest {
    CertificateRequest {
        name: "box".into(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        role,
        days: 2,
    }
}

#[test]
fn a_certificate_says_what_was_asked_for() {
    let (_dir, certificate, key) = authority();
    let hosts = ["box.example", "10.0.0.7", "fe80::1"];
    let made = issue(&certificate, &key, &request(&hosts, CertificateRole::Server)).unwrap();
    let said = describe(&made.certificate, &certificate).unwrap().swap_remove(0);
    assert_eq!((said.subject.as_str(), said.hosts.as_slice()), ("CN=box", hosts.map(String::from).as_slice()));
    assert_eq!((said.for_servers, said.for_clients, said.is_authority), (true, false, false));
    assert_eq!(said.until, day(SystemTime::now() + Duration::from_secs(2 * DAY_SECS)));
    let ca = describe_file(&certificate).unwrap().swap_remove(0);
    assert_eq!((&ca.subject, ca.is_authority, ca.for_servers), (&said.issuer, true, false));
    let made = issue(&certificate, &key, &request(&[], CertificateRole::Client)).unwrap();
    let said = describe(&made.certificate, &certificate).unwrap().swap_remove(0);
    assert_eq!((said.for_servers, said.for_clients), (false, true));
    assert!(!made.key.is_empty() && !made.certificate.contains("PRIVATE"));
}

#[test]
fn the_end_of_a_certificate_is_seen_a_week_ahead() {
    let (_dir, certificate, key) = authority();
    let made = issue(&certificate, &key, &request(&[], CertificateRole::Client)).unwrap();
    let said = describe(&made.certificate, &certificate).unwrap().swap_remove(0);
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(DAY_SECS));
    for (before, ending) in [
        (8 * day, Validity::Far),
        (7 * day + second, Validity::Far),
        (7 * day, Validity::Soon { days: 7 }),
        (day + second, Validity::Soon { days: 2 }),
        (day, Validity::Soon { days: 1 }),
        (Duration::ZERO, Validity::Soon { days: 1 }),
    ] {
        assert_eq!(said.ending(said.ends - before), ending, "{before:?}");
    }
    assert_eq!(said.ending(said.ends + second), Validity::Over);
}

#[test]
fn what_no_client_can_call_a_server_is_refused() {
    let (_dir, certificate, key) = authority();
    for host in ["", "a b", "box:4433", "*", "-x", "häuser"] {
        let refused = issue(&certificate, &key, &request(&[host], CertificateRole::Server));
        assert!(matches!(refused, Err(IssueError::Host(_))), "{host:?}");
    }
}

#[test]
fn an_authority_signs_with_its_own_key_only_and_not_when_others_can_read_it() {
    let (_dir, certificate, key) = authority();
    let (_other, _, other_key) = authority();
    let refused = issue(&certificate, &other_key, &request(&[], CertificateRole::Client));
    assert!(matches!(refused, Err(IssueError::Authority(CredentialError::Mismatch { .. }))));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let Err(IssueError::Authority(refused)) = issue(&certificate, &key, &request(&[], CertificateRole::Client)) else {
        panic!("refused");
    };
    assert!(refused.is_exposed(), "{refused}");
}
