//! Access control of the HTTP port.

use std::net::IpAddr;
use std::sync::RwLock;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap};

use crate::keys::Token;

/// The credential that a request has to carry.
#[derive(Debug)]
pub(super) struct HttpAccess(RwLock<Option<Token>>);

/// Why nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is missing or wrong.
    Token,
    /// The request was made for another site.
    Host,
}

impl HttpAccess {
    /// `None`: whoever reaches the port may ask.
    pub(super) fn new(token: Option<Token>) -> Self {
        Self(RwLock::new(token))
    }

    /// Puts another token in the place of the one there is; where there is none, none is needed still.
    pub(super) fn replace(&self, token: Token) {
        let mut own = self.0.write().expect("no holder panics");
        if own.is_some() {
            *own = Some(token);
        }
    }

    /// Whether a request with these headers is answered.
    ///
    /// # Errors
    /// [`Denied`].
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let own = self.0.read().expect("no holder panics").clone();
        match own {
            Some(token) if shown(headers).is_some_and(|shown| shown.is_same(&token)) => Ok(()),
            Some(_) => Err(Denied::Token),
            // A page of a stranger's whose name leads to this machine (DNS rebinding) would read all that the user of a
            // browser here may read. It cannot choose what its browser calls us.
            None if names_this_machine(headers) => Ok(()),
            None => Err(Denied::Host),
        }
    }
}

/// The token that a request shows: that of a scraper (RFC 6750), or the password that a browser asks for (RFC 7617).
fn shown(headers: &HeaderMap) -> Option<Token> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return value.parse().ok();
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(data_encoding::BASE64.decode(value.as_bytes()).ok()?).ok()?;
    pair.split_once(':')?.1.parse().ok()
}

/// Whether a request is for an address or for `localhost`; one of HTTP/1.0 need not say.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn the_right_token_is_taken_from_scrapers_and_browsers_and_nothing_else_is() {
        let (text, other) = (Token::random_text(), Token::random_text());
        let access = HttpAccess::new(Some(text.parse().expect("a token")));
        let basic = |token: &str| format!("Basic {}", data_encoding::BASE64.encode(format!("any:{token}").as_bytes()));
        for right in [format!("Bearer {text}"), format!("bearer  {text}"), basic(&text)] {
            assert_eq!(access.check(&headers(AUTHORIZATION, &right)), Ok(()), "{right}");
        }
        let half = &text[..text.len() / 2];
        for wrong in
            [format!("Bearer {other}"), basic(&other), text.clone(), format!("Bearer {half}"), "Basic ä".into()]
        {
            assert_eq!(access.check(&headers(AUTHORIZATION, &wrong)), Err(Denied::Token), "{wrong}");
        }
        assert_eq!(access.check(&headers(HOST, "localhost")), Err(Denied::Token));
        access.replace(other.parse().expect("a token"));
        assert_eq!(access.check(&headers(AUTHORIZATION, &format!("Bearer {text}"))), Err(Denied::Token));
        assert_eq!(access.check(&headers(AUTHORIZATION, &format!("Bearer {other}"))), Ok(()));
    }

    #[test]
    fn without_a_token_a_page_of_another_site_reads_nothing() {
        let access = HttpAccess::new(None);
        for own in ["127.0.0.1:9433", "localhost:9433", "LOCALHOST", "[::1]:9433", "192.0.2.1"] {
            assert_eq!(access.check(&headers(HOST, own)), Ok(()), "{own}");
        }
        for other in ["evil.example", "evil.example:9433", "127.0.0.1.evil.example", "localhost.evil.example", "", "["]
        {
            assert_eq!(access.check(&headers(HOST, other)), Err(Denied::Host), "{other}");
        }
        assert_eq!(access.check(&HeaderMap::new()), Ok(()));
        access.replace(Token::random_text().parse().expect("a token"));
        assert_eq!(access.check(&HeaderMap::new()), Ok(()), "a token that nobody needs changes nothing");
    }
}
