//! Making and reading certificates of a private authority.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, X509Certificate, parse_x509_certificate};

use super::address::Host;
use super::credential::{self, CredentialError};
use super::fingerprint::Fingerprint;
use super::home::Privacy;
use crate::calendar::day;

/// How far a certificate's time begins before it is made: clocks differ.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// From how many days before a certificate's end on it is spoken of: enough to make and copy another one, whatever the
/// day of the week.
pub(crate) const ENDING_SOON_DAYS: u64 = 7;
/// Seconds in a day.
const DAY_SECS: u64 = 86_400;
/// The object that is looked for in a file.
const CERTIFICATE: &str = "certificate";
/// The object that is looked for in a file.
const CA_KEY: &str = "private key of a CA";

/// A certificate and its private key, both as PEM.
pub(crate) struct Issued {
    /// The certificate, for everyone.
    pub certificate: String,
    /// The key, for its owner alone.
    pub key: String,
}

/// The content of a certificate that is to be issued.
#[derive(Debug, Clone)]
pub(crate) struct CertificateRequest {
    /// The subject, as its common name.
    pub name: String,
    /// Host names and addresses that a server is called by.
    pub hosts: Vec<String>,
    /// For which side of a connection it is.
    pub role: CertificateRole,
    /// For how many days from now.
    pub days: u32,
}

/// The sides of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateRole {
    /// A server: `qft serve`.
    Server,
    /// `qft send` and the like.
    Client,
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// A host is neither a name nor an address.
    #[error("'{0}' is no host name and no address")]
    Host(String),
    /// The files of the authority cannot be used.
    #[error(transparent)]
    Authority(#[from] CredentialError),
    /// It cannot be made.
    #[error("cannot make the certificate: {0}")]
    Failed(#[from] rcgen::Error),
}

/// Makes an authority that can vouch for servers and clients, and for no other authority.
///
/// # Errors
/// [`IssueError::Failed`] when the system has no randomness to give.
pub(crate) fn new_authority(name: &str, days: u32) -> Result<Issued, IssueError> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = params(name, days);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    Ok(Issued { certificate, key: key.serialize_pem() })
}

/// Makes a certificate that the authority in these two files vouches for.
///
/// # Errors
/// [`IssueError`]; a key that others can read is refused.
pub(crate) fn issue(
    authority: &Path,
    authority_key: &Path,
    request: &CertificateRequest,
) -> Result<Issued, IssueError> {
    let certificate = credential::read(authority, Privacy::List, CERTIFICATE)?;
    let key = credential::read(authority_key, Privacy::Secret, CA_KEY)?;
    let damaged = |path: &Path, what, error: rcgen::Error| {
        IssueError::Authority(CredentialError::Damaged { path: path.to_owned(), what, reason: error.to_string() })
    };
    let signing = KeyPair::from_pem(&key).map_err(|error| damaged(authority_key, CA_KEY, error))?;
    check_pair(&certificate, authority, &signing, authority_key)?;
    let issuer =
        Issuer::from_ca_cert_pem(&certificate, signing).map_err(|error| damaged(authority, CERTIFICATE, error))?;
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let certificate = request.params()?.signed_by(&key, &issuer)?.pem();
    Ok(Issued { certificate, key: key.serialize_pem() })
}

/// Signing with another key than the certificate's would only be noticed by those who are to trust the result.
fn check_pair(pem: &str, authority: &Path, key: &KeyPair, key_file: &Path) -> Result<(), IssueError> {
    let found = describe(pem, authority)?.swap_remove(0);
    let own = Fingerprint::of_key(&rcgen::PublicKeyData::subject_public_key_info(key));
    match found.fingerprint == own {
        true => Ok(()),
        false => Err(CredentialError::Mismatch { certificate: authority.to_owned(), key: key_file.to_owned() }.into()),
    }
}

fn params(name: &str, days: u32) -> CertificateParams {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + Duration::from_secs(u64::from(days) * DAY_SECS);
    params
}

impl CertificateRequest {
    fn params(&self) -> Result<CertificateParams, IssueError> {
        let mut params = params(&self.name, self.days);
        params.subject_alt_names = self.hosts.iter().map(|host| alternative(host)).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match self.role {
            CertificateRole::Server => ExtendedKeyUsagePurpose::ServerAuth,
            CertificateRole::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

fn alternative(host: &str) -> Result<SanType, IssueError> {
    let wrong = || IssueError::Host(host.to_owned());
    // A certificate knows no interfaces: a client checks the address without its zone.
    if let Some(address) = host.parse::<Host>().ok().and_then(|host| host.ip()) {
        return Ok(SanType::IpAddress(address));
    }
    // What no client could ever ask for is a typing mistake.
    rustls::pki_types::DnsName::try_from(host).map_err(|_| wrong())?;
    Ok(SanType::DnsName(host.try_into().map_err(|_| wrong())?))
}

/// The content of a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// The subject, as a distinguished name.
    pub subject: String,
    /// The issuer, as a distinguished name.
    pub issuer: String,
    /// The name of its owner alone, if it has one that is text.
    pub common_name: Option<String>,
    /// Whether it may vouch for others.
    pub is_authority: bool,
    /// Whether a server may show it.
    pub for_servers: bool,
    /// Whether a client may show it.
    pub for_clients: bool,
    /// Host names and addresses that it is good for.
    pub hosts: Vec<String>,
    /// Its first day (UTC).
    pub from: String,
    /// Its last day (UTC).
    pub until: String,
    /// The moment after which nobody takes it any more.
    pub ends: SystemTime,
    /// The identity of whoever holds its key.
    pub fingerprint: Fingerprint,
}

/// How near the end of a certificate's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Far enough to think of other things.
    Far,
    /// Within this many days, at most [`ENDING_SOON_DAYS`] and at least one.
    Soon {
        /// Days, the begun one included.
        days: u64,
    },
    /// The certificate is not valid any more.
    Over,
}

impl Description {
    /// How near its end is.
    pub(crate) fn ending(&self, now: SystemTime) -> Validity {
        let Ok(left) = self.ends.duration_since(now) else { return Validity::Over };
        match left.as_secs().div_ceil(DAY_SECS) {
            days if days > ENDING_SOON_DAYS => Validity::Far,
            days => Validity::Soon { days: days.max(1) },
        }
    }
}

/// Reads what the certificates in a PEM file say.
///
/// # Errors
/// [`CredentialError`], also when there is none.
pub(crate) fn describe_file(path: &Path) -> Result<Vec<Description>, CredentialError> {
    describe(&credential::read(path, Privacy::List, CERTIFICATE)?, path)
}

fn describe(pem: &str, path: &Path) -> Result<Vec<Description>, CredentialError> {
    let certificates = credential::pem_items::<CertificateDer<'static>>(pem, path, CERTIFICATE)?;
    let describe = |der: &CertificateDer<'_>| {
        Description::of(der).map_err(|reason| CredentialError::Damaged {
            path: path.to_owned(),
            what: CERTIFICATE,
            reason,
        })
    };
    certificates.iter().map(describe).collect()
}

impl Description {
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|error| error.to_string())?;
        let usage = certificate.extended_key_usage().map_err(|error| error.to_string())?;
        let is_authority = certificate.is_ca();
        // Without the extension a certificate is for everything.
        let may = |is_named: Option<bool>| !is_authority && is_named.unwrap_or(true);
        let ends = moment_of(certificate.validity().not_after);
        Ok(Self {
            subject: certificate.subject().to_string(),
            common_name: common_name(&certificate),
            issuer: certificate.issuer().to_string(),
            is_authority,
            for_servers: may(usage.as_ref().map(|usage| usage.value.any || usage.value.server_auth)),
            for_clients: may(usage.as_ref().map(|usage| usage.value.any || usage.value.client_auth)),
            hosts: hosts(&certificate)?,
            from: day(moment_of(certificate.validity().not_before)),
            until: day(ends),
            ends,
            fingerprint: Fingerprint::of_key(certificate.public_key().raw),
        })
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

fn hosts(certificate: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    Ok(names.filter_map(host).collect())
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(IpAddr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| IpAddr::from(v6).to_string()),
        },
        _ => None,
    }
}

/// Times before 1970 are 1970: all that matters of them is that they are over.
fn moment_of(time: ASN1Time) -> SystemTime {
    let secs = u64::try_from(time.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

#[cfg(test)]
mod tests;
