//! The page: one file without a build step, and the policy by which a browser runs nothing in it but its own script.

use bytes::Bytes;
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, put together once.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) html: Bytes,
    pub(super) policy: String,
}

impl Page {
    pub(super) fn new() -> Self {
        let html = PAGE.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT);
        let policy = [
            "default-src 'none'".to_owned(),
            format!("script-src '{}'", hash(SCRIPT)),
            format!("style-src '{}'", hash(STYLE)),
            "connect-src 'self'".to_owned(),
            "img-src data:".to_owned(),
            "base-uri 'none'".to_owned(),
            "form-action 'none'".to_owned(),
            "frame-ancestors 'none'".to_owned(),
        ];
        Self { html: html.into(), policy: policy.join("; ") }
    }
}

/// The hash by which the content security policy allows an inline text of the page.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_loads_nothing_from_elsewhere() {
        let page = Page::new();
        let html = std::str::from_utf8(&page.html).unwrap();
        assert!(html.contains(SCRIPT) && html.contains(STYLE) && !html.contains("{{"), "{html}");
        assert_eq!(html.matches("<script").count(), 1);
        // The only address is the name of a vocabulary.
        let addresses: Vec<_> = html.match_indices("http").map(|(at, _)| &html[at..at + 26]).collect();
        assert_eq!(addresses, ["http://www.w3.org/2000/svg"]);
    }

    #[test]
    fn names_of_peers_never_become_markup() {
        for dangerous in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
            assert!(!SCRIPT.contains(dangerous), "{dangerous}");
        }
        for inline in [" style=", " onclick=", " onload=", " onerror="] {
            assert!(!PAGE.contains(inline), "the policy would refuse {inline}");
        }
    }
}
