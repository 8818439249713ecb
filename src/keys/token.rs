//! A secret that both ends were given: for containers and scripts, where nobody pastes a ticket.
//!
//! The token itself never travels. A client proves that it has it, over keying material of this very connection, so what
//! a server learns is of no use to it or to anyone else.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use ring::hmac;

use super::base32;
use super::credential::{self, CredentialError};
use super::home::Privacy;
use super::provider::fill_random;

/// Bytes of a proof.
pub(crate) const PROOF_BYTES: usize = 32;
/// Bits that a token must have room for: nobody can try them out.
const BITS_MIN: u32 = 128;
/// Bits of a token that is made here.
const RANDOM_BYTES: usize = 32;
/// Longest token; anything more is another file.
const CHARS_MAX: usize = 512;
/// Different characters that a random token has at least: fewer come up once in 10⁸ tokens of 32 hexadecimal digits.
const DIFFERENT_MIN: usize = 7;
/// The text that two tokens sign to be compared; never sent.
const SAME_LABEL: &[u8] = b"qft is the same token";
/// The content that a token's file should have.
const WHAT: &str = "token";

/// A shared secret of at least 128 bits. Neither shown by debug output nor sent.
#[derive(Clone)]
pub struct Token(Arc<hmac::Key>);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing, or more than one word or line.
    #[error("a token is one line without blanks")]
    Form,
    /// It could be guessed.
    #[error("it is too easy to guess; make one: qft peers token FILE")]
    Weak,
}

impl Token {
    /// The text of a new token, from the system's source of randomness.
    pub fn random_text() -> String {
        let mut secret = [0; RANDOM_BYTES];
        fill_random(&mut secret);
        base32::encode(&secret)
    }

    /// Reads a token from a file that nobody but its owner can read.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn load(path: &Path) -> Result<Self, CredentialError> {
        let text = credential::read(path, Privacy::Secret, WHAT)?;
        if text.trim_ascii().is_empty() {
            return Err(CredentialError::Missing { path: path.to_owned(), what: WHAT });
        }
        text.parse().map_err(|error: TokenError| CredentialError::Damaged {
            path: path.to_owned(),
            what: WHAT,
            reason: error.to_string(),
        })
    }

    /// What shows the other end of one connection that this end has the token. `material` is that connection's alone
    /// ([`token_material`](crate::transport::token_material)).
    pub(crate) fn proof(&self, material: &[u8; PROOF_BYTES]) -> [u8; PROOF_BYTES] {
        hmac::sign(&self.0, material).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// Whether this is the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        hmac::verify(&self.0, SAME_LABEL, hmac::sign(&other.0, SAME_LABEL).as_ref()).is_ok()
    }

    /// Whether the other end of the connection that has this material has the token too. Takes the same time for every
    /// wrong proof.
    pub(crate) fn is_proved_by(&self, proof: &[u8; PROOF_BYTES], material: &[u8; PROOF_BYTES]) -> bool {
        hmac::verify(&self.0, material, proof).is_ok()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads a token; white space around it (a line end) is ignored.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim_ascii();
        if text.is_empty() || text.len() > CHARS_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Form);
        }
        if !is_strong(text) {
            return Err(TokenError::Weak);
        }
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))))
    }
}

/// Whether a random text of these characters has [`BITS_MIN`] bits, and whether it looks like one.
fn is_strong(text: &str) -> bool {
    let mut used = text.as_bytes().to_vec();
    used.sort_unstable();
    used.dedup();
    let bits_a_char = match text {
        hex if hex.bytes().all(|b| b.is_ascii_hexdigit()) => 4,
        base32 if base32.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) => 5,
        base32 if base32.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) => 5,
        _ => 6,
    };
    // `CHARS_MAX` characters have far fewer bits than a `u32` counts.
    let bits = u32::try_from(text.len()).map_or(0, |chars| chars.saturating_mul(bits_a_char));
    bits >= BITS_MIN && used.len() >= DIFFERENT_MIN
}

/// Never the secret: debug output ends in logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(text: &str) -> Result<(), TokenError> {
        text.parse::<Token>().map(|_| ())
    }

    #[test]
    fn what_is_made_here_and_what_openssl_makes_is_taken() {
        let made = Token::random_text();
        assert_eq!(made.len(), 52);
        assert_ne!(made, Token::random_text());
        assert_eq!(read(&format!("{made}\n")), Ok(()));
        assert_eq!(read("0f1e2d3c4b5a69788796a5b4c3d2e1f0"), Ok(()), "openssl rand -hex 16");
        assert_eq!(read("pWZVZr4hVqSr2jE2hJ0fXw=="), Ok(()), "openssl rand -base64 16");
    }

    #[test]
    fn what_can_be_guessed_is_not() {
        for weak in ["secret", "correct-horse-battery", "0f1e2d3c4b5a69788796a5b4c3d2e1f", &"a".repeat(100)] {
            assert_eq!(read(weak), Err(TokenError::Weak), "{weak}");
        }
        for form in ["", " \n", "two words that are long enough", "aaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb", "schlüssel"] {
            assert_eq!(read(form), Err(TokenError::Form), "{form:?}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, Token::random_text()).unwrap();
        for mode in [0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = Token::load(&path).unwrap_err();
            assert!(refusal.is_exposed());
            assert!(refusal.to_string().contains(&format!("chmod 600 {}", path.display())), "{refusal}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Token::load(&path).is_ok());
    }

    #[test]
    fn a_file_without_a_token_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let refusal = Token::load(&path).unwrap_err();
        assert!(refusal.to_string().ends_with("token: there is no such file"), "{refusal}");
        for (text, words) in [("\n", "holds no token"), ("short\n", "qft peers token")] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let refusal = Token::load(&path).unwrap_err().to_string();
            assert!(refusal.contains(words) && !refusal.contains("short"), "{refusal}");
        }
    }

    #[test]
    fn only_the_same_secret_is_the_same_token() {
        let [one, same, other] = [
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            " 0f1e2d3c4b5a69788796a5b4c3d2e1f0\n",
            "1f1e2d3c4b5a69788796a5b4c3d2e1f0",
        ]
        .map(|text| text.parse::<Token>().unwrap());
        assert!(one.is_same(&same) && !one.is_same(&other));
    }

    #[test]
    fn a_proof_holds_for_one_token_and_one_connection() {
        let [token, other] = ["0f1e2d3c4b5a69788796a5b4c3d2e1f0", "1f1e2d3c4b5a69788796a5b4c3d2e1f0"]
            .map(|text| text.parse::<Token>().unwrap());
        let (here, elsewhere) = ([1; PROOF_BYTES], [2; PROOF_BYTES]);
        let proof = token.proof(&here);
        assert!(token.is_proved_by(&proof, &here));
        assert!(!token.is_proved_by(&proof, &elsewhere), "a proof that was overheard is of no use elsewhere");
        assert!(!other.is_proved_by(&proof, &here) && !token.is_proved_by(&here, &here));
    }

    #[test]
    fn debug_output_hides_the_token() {
        let token: Token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
