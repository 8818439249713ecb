//! Lower-case base32 without padding: what fingerprints and invites look like. A double click selects it, and it
//! needs no quoting in any shell or URL.

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD};

use crate::protocol::path::quoted;

/// Why a fingerprint or an invite could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base32Error {
    /// It is shorter or longer than it must be.
    #[error("has {found} characters instead of {expected}; was it copied whole?")]
    Length {
        /// Characters there must be.
        expected: usize,
        /// Characters that there are instead.
        found: usize,
    },
    /// A character that base32 does not have (it knows `a` to `z` and `2` to `7`).
    #[error("has the character {}, which is none of a-z and 2-7", quoted(.0.encode_utf8(&mut [0; 4])))]
    Character(char),
    /// It was said to be base64 and is not, or not of as many bytes.
    #[error("is no base64 of {0} bytes behind SHA256:; was it copied whole?")]
    Base64(usize),
    /// The last character holds bits that no encoder writes.
    #[error("is damaged in its last character")]
    LastCharacter,
}

/// Characters that `bytes` bytes become.
pub(crate) const fn text_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Reads exactly `N` bytes; upper and lower case are the same.
pub(crate) fn decode<const N: usize>(text: &str) -> Result<[u8; N], Base32Error> {
    let upper = text.to_ascii_uppercase();
    if let Some(bad) = upper.chars().find(|c| !matches!(c, 'A'..='Z' | '2'..='7')) {
        return Err(Base32Error::Character(bad.to_ascii_lowercase()));
    }
    if upper.len() != text_len(N) {
        return Err(Base32Error::Length { expected: text_len(N), found: upper.len() });
    }
    // Alphabet and length are right, so only the bits beyond the last whole byte can be wrong.
    let bytes = BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| Base32Error::LastCharacter)?;
    bytes.try_into().map_err(|_| Base32Error::LastCharacter)
}

/// Reads exactly `N` bytes of base64, with or without padding.
pub(crate) fn decode_base64<const N: usize>(text: &str) -> Result<[u8; N], Base32Error> {
    let wrong = Base32Error::Base64(N);
    let bytes = BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).map_err(|_| wrong)?;
    bytes.try_into().map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_text_is_written_and_read() {
        assert_eq!(encode(b"foobar"), "mzxw6ytboi");
        assert_eq!(decode::<6>("MzXW6ytboi"), Ok(*b"foobar"));
    }

    #[test]
    fn every_kind_of_damage_is_named() {
        assert_eq!(decode::<6>("mzxw6ytbo"), Err(Base32Error::Length { expected: 10, found: 9 }));
        assert_eq!(decode::<6>("mzxw6ytbo1"), Err(Base32Error::Character('1')));
        assert_eq!(decode::<6>("mzxw6ytboé"), Err(Base32Error::Character('é')));
        assert_eq!(decode::<6>("mzxw6ytboj"), Err(Base32Error::LastCharacter), "two bits beyond the sixth byte");
    }
}
