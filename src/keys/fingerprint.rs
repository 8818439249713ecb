//! The fingerprint of a peer: the hash of its public key.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};

use super::base32::{self, Base32Error};

/// Characters of [`Fingerprint::short`]: enough to tell one's own machines apart, never enough to trust one.
const SHORT_CHARS: usize = 8;

/// The prefix of the base64 form, which ssh and openssl have made a habit.
const BASE64_PREFIX: &str = "SHA256:";

/// SHA-256 of a key's `SubjectPublicKeyInfo`.
///
/// Of the key and not of the certificate, so that a certificate can be issued again without a pin breaking.
/// The text form is 52 characters of lower-case base32; reading ignores case. `SHA256:` and base64 is read as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of the key in a certificate. Nothing else of the certificate is looked at.
    ///
    /// # Errors
    /// `rustls`'s, when it is no X.509 certificate.
    pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(Self::of_key(&key))
    }

    /// The fingerprint of a key in the form of a `SubjectPublicKeyInfo`.
    pub(crate) fn of_key(info: &[u8]) -> Self {
        Self(Sha256::digest(info).into())
    }

    /// The first characters of the text form, for logs and tables.
    pub fn short(&self) -> String {
        let mut text = base32::encode(&self.0);
        text.truncate(SHORT_CHARS);
        text
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32::encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = Base32Error;

    fn from_str(text: &str) -> Result<Self, Base32Error> {
        match text.strip_prefix(BASE64_PREFIX) {
            Some(base64) => base32::decode_base64(base64).map(Self),
            None => base32::decode(text).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_has_52_lower_case_characters_and_reads_back_in_any_case() {
        let fingerprint = Fingerprint(std::array::from_fn(|i| i as u8 * 7));
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text, text.to_ascii_lowercase());
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.short(), text[..8]);
    }

    #[test]
    fn the_form_of_ssh_and_openssl_is_read_with_and_without_padding() {
        let fingerprint = Fingerprint(std::array::from_fn(|i| i as u8 * 7));
        let text = format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(&fingerprint.0));
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(format!("{text}=").parse(), Ok(fingerprint));
        for damaged in ["SHA256:", "SHA256:AAAA", &text[..20], &text.replace("SHA256:", "SHA256:*")] {
            assert!(damaged.parse::<Fingerprint>().is_err(), "{damaged}");
        }
    }
}
