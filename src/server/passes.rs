//! Passes: the token and the certificates that let in a client which is on no list.
//!
//! An operator can replace the token and the CA while the server runs (SIGHUP). Whoever is inside by what was replaced is
//! judged again, as is whoever's certificate ends meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use quinn::Connection;
use tracing::debug;

use crate::keys::trust::Rights;
use crate::keys::{Authority, ClientCertificate, Token, Uncertified};
use crate::protocol::close::CloseCode;
use crate::protocol::message::Hello;
use crate::transport;

/// The credentials that let a client in for one connection, without an entry in the list.
#[derive(Debug, Default, Clone)]
pub(super) struct Passes {
    /// Clients that have the same token may come in.
    pub(super) token: Option<Token>,
    /// Clients that have a certificate from it may come in.
    pub(super) authority: Option<Authority>,
    generation: u64,
}

/// The credential that let in a client which is on no list.
#[derive(Debug, Clone)]
pub(super) enum Pass {
    /// It has this token.
    Token(Token),
    /// It has this certificate.
    Certificate(Arc<Certified>),
}

/// A certificate that was accepted.
#[derive(Debug)]
pub(super) struct Certified {
    certificate: ClientCertificate,
    /// The replacement of the authority since which it is known to be good.
    generation: AtomicU64,
}

/// The entry or pass that a connection was admitted by; when it is withdrawn, the connection ends.
#[derive(Debug, Clone)]
pub(super) enum AuthorizedBy {
    /// By an entry in the list, with these rights at that time.
    Listed(Rights),
    /// A pass, with which a client may do everything that the server allows.
    Pass(Pass),
}

impl AuthorizedBy {
    /// The client's rights by it.
    pub(super) fn rights(&self) -> Rights {
        match self {
            Self::Listed(rights) => rights.clone(),
            Self::Pass(_) => Rights::default(),
        }
    }
}

impl Pass {
    /// The name that an authority vouches for.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::Certificate(certified) => certified.certificate.name(),
        }
    }
}

impl Passes {
    /// The same with other files.
    pub(super) fn replaced(&self, token: Option<Token>, authority: Option<Authority>) -> Self {
        Self { token, authority, generation: self.generation + 1 }
    }

    /// The pass that the client has; an error says what is wrong with the one that it brought.
    pub(super) fn admit(&self, connection: &Connection, hello: &Hello) -> Result<Option<Pass>, CloseCode> {
        let proof = self.token.as_ref().zip(hello.token_proof);
        if let Some((token, proof)) = &proof
            && transport::token_material(connection).is_ok_and(|material| token.is_proved_by(proof, &material))
        {
            return Ok(Some(Pass::Token((*token).clone())));
        }
        let Some(authority) = &self.authority else {
            return match proof {
                Some(_) if hello.invite.is_none() => Err(CloseCode::WrongToken),
                // An invite may yet let it in.
                _ => Ok(None),
            };
        };
        match transport::client_certificate(connection).and_then(|shown| authority.check_client(&shown).map(|()| shown))
        {
            Ok(certificate) => {
                let generation = AtomicU64::new(self.generation);
                Ok(Some(Pass::Certificate(Arc::new(Certified { certificate, generation }))))
            }
            Err(_) if hello.invite.is_some() => Ok(None),
            Err(_) if proof.is_some() => Err(CloseCode::WrongToken),
            Err(why) => Err(refusal(&why)),
        }
    }

    /// Why a client that was let in by a pass may not stay; `None` when it may. A certificate is verified once for each
    /// authority; that its time is over shows without that.
    pub(super) fn refuse(&self, pass: &Pass, now: SystemTime) -> Option<CloseCode> {
        match (pass, &self.token, &self.authority) {
            (Pass::Token(token), Some(own), _) if own.is_same(token) => None,
            (Pass::Token(_), ..) => Some(CloseCode::WrongToken),
            (Pass::Certificate(certified), ..) if certified.certificate.ends() < now => {
                Some(CloseCode::CertificateExpired)
            }
            (Pass::Certificate(_), _, None) => Some(CloseCode::NotCertified),
            (Pass::Certificate(certified), _, Some(authority)) => {
                if certified.generation.load(Ordering::Relaxed) == self.generation {
                    return None;
                }
                let checked = authority.check_client(&certified.certificate);
                certified.generation.store(self.generation, Ordering::Relaxed);
                checked.err().map(|why| refusal(&why))
            }
        }
    }
}

fn refusal(why: &Uncertified) -> CloseCode {
    debug!(%why, "no certificate that counts");
    match why {
        Uncertified::Expired => CloseCode::CertificateExpired,
        _ => CloseCode::NotCertified,
    }
}
