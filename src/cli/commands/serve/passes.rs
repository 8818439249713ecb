//! Passes for clients that are on no list: a shared token, certificates from an authority.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::args::ServeArgs;
use crate::cli::text::paste::first_line;
use crate::cli::ui::message;
use crate::keys::{self, Authority, HomeError, Identity, Ticket, Token};
use crate::protocol::path::escape_path;
use crate::server::{AccessMode, Server};

/// The token of those who watch, in the home: used where other machines can reach the address.
const HTTP_TOKEN: &str = "http_token";

/// The passes of a server, read from the files that its flags name.
pub(super) struct PassFiles {
    token: Option<(Token, PathBuf)>,
    /// For those who watch.
    http_token: Option<(Token, PathBuf)>,
    authority: Option<(Authority, PathBuf)>,
}

impl PassFiles {
    /// `watched_at`: where it tells what it does.
    pub(super) fn load(args: &ServeArgs, home: &Path, watched_at: Option<SocketAddr>) -> anyhow::Result<Self> {
        let token = args.token_file.as_ref().map(|path| Ok((Token::load(path)?, path.clone())));
        let own = home.join(HTTP_TOKEN);
        let needs_own = watched_at.is_some_and(|addr| !addr.ip().to_canonical().is_loopback()) && own.exists();
        let http_token = args.http_token_file.clone().or_else(|| needs_own.then_some(own));
        let http_token = http_token.map(|path| anyhow::Ok((Token::load(&path)?, path)));
        let authority = args.client_ca.as_ref().map(|path| Ok((Authority::load(path)?, path.clone())));
        Ok(Self {
            token: token.transpose().map_err(no_token)?,
            http_token: http_token.transpose().map_err(no_http_token)?,
            authority: authority.transpose().map_err(no_ca)?,
        })
    }

    /// Reads the files again. Of one that cannot be read the old content stays in force, and why is told.
    pub(super) fn reload(&mut self) -> Vec<anyhow::Error> {
        let mut failed = Vec::new();
        if let Some((token, path)) = &mut self.token {
            match Token::load(path) {
                Ok(fresh) => *token = fresh,
                Err(error) => failed.push(no_token(error.into())),
            }
        }
        if let Some((token, path)) = &mut self.http_token {
            match Token::load(path) {
                Ok(fresh) => *token = fresh,
                Err(error) => failed.push(no_http_token(error.into())),
            }
        }
        if let Some((authority, path)) = &mut self.authority {
            match Authority::load(path) {
                Ok(fresh) => *authority = fresh,
                Err(error) => failed.push(no_ca(error.into())),
            }
        }
        failed
    }

    /// The names by which the passes are reported once they were read.
    pub(super) fn names(&self) -> String {
        let token = self.token.as_ref().map(|_| ", the token");
        let authority = self.authority.as_ref().map(|_| ", the clients' CA");
        let http = self.http_token.as_ref().map(|_| ", the token of --http");
        token.into_iter().chain(http).chain(authority).collect()
    }

    /// Whether there are any.
    pub(super) fn are_given(&self) -> bool {
        self.token.is_some() || self.authority.is_some()
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.token.as_ref().map(|(token, _)| token.clone())
    }

    pub(super) fn http_token(&self) -> Option<Token> {
        self.http_token.as_ref().map(|(token, _)| token.clone())
    }

    pub(super) fn authority(&self) -> Option<Authority> {
        self.authority.as_ref().map(|(authority, _)| authority.clone())
    }

    /// Warnings about their files.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.token.iter().chain(&self.http_token).filter_map(|(_, path)| keys::exposure(path))
    }

    /// The lines that describe the passes. `host` and `port` are where clients find the server.
    pub(super) fn lines(&self, server: &Server, host: &str, port: u16, mode: AccessMode) -> Vec<String> {
        let place = Ticket { fingerprint: server.fingerprint(), invite: None, host: host.to_owned(), port };
        let mut lines = Vec::new();
        if let Some(addr) = server.http_addr() {
            let token = self.http_token.as_ref().map(|(_, path)| format!("; the token is in {}", escape_path(path)));
            lines.push(format!("to watch it: http://{addr}/ (/metrics for Prometheus){}", token.unwrap_or_default()));
        }
        if let Some((_, path)) = &self.token {
            lines.push("whoever has the same token may connect:".to_owned());
            lines.push(String::new());
            lines.push(format!("    {}", first_line(&place, mode, &["--token-file", &escape_path(path).to_string()])));
            lines.push(String::new());
        }
        if let Some((_, path)) = &self.authority {
            lines.push(format!("clients with a certificate from {} may connect", escape_path(path)));
        }
        lines
    }
}

/// The certificate that the flags name, or else this machine's own identity. Where it need not be known again, because a
/// token or nothing at all lets clients in, a home that cannot be written does not matter: that is said then.
pub(super) fn identity(args: &ServeArgs, home: &Path) -> anyhow::Result<(Identity, Option<String>)> {
    let own = "this machine's identity";
    match (&args.cert, &args.key) {
        (Some(certificate), Some(key)) => {
            Ok((Identity::load(certificate, key).context("the server's certificate")?, None))
        }
        _ if args.no_auth || args.token_file.is_some() => {
            let (identity, unkept) = Identity::load_or_ephemeral(home).context(own)?;
            let note = |why: HomeError| {
                format!("a key for this run only, so its ticket ends with it: {}", message(&why.into()))
            };
            Ok((identity, unkept.map(note)))
        }
        _ => Ok((Identity::load_or_create(home).context(own)?, None)),
    }
}

fn no_token(error: anyhow::Error) -> anyhow::Error {
    error.context("the token")
}

fn no_http_token(error: anyhow::Error) -> anyhow::Error {
    error.context("the token of --http")
}

fn no_ca(error: anyhow::Error) -> anyhow::Error {
    error.context("the clients' CA")
}
