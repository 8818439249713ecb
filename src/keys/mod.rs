//! Identities and rights: this machine's identity, what it knows of others, and what proves either.
//!
//! Every installation has one [`Identity`] in its [home](home()). Others know it by its [`Fingerprint`], which a
//! [`Ticket`] carries together with an [`Invite`], or by a certificate that an [`Authority`] issued. A [`Token`] is a
//! secret that many were given. [`trust`] holds the lists: known remotes, allowed clients and their rights, open
//! invites. This room knows neither QUIC nor sockets: it takes certificates and keying material, never a connection.
//!
//! | file | holds |
//! |---|---|
//! | `home` | the directory of an installation: private files, written whole, one writer at a time |
//! | `credential` | reading a file of key material that others must not read or write |
//! | `identity`, `fingerprint` | the key of an installation, and what others call it |
//! | `address`, `contact` | where a server is, and by what it is recognised there |
//! | `ticket`, `base32` | address, fingerprint and one-time secret as one line of text |
//! | `provider` | the source of all cryptography |
//! | `token` | a secret that both ends were given |
//! | `certificate`, `authority` | issuing and reading certificates; judging those of others |
//! | [`trust`] | the lists of clients, invites and remotes |

mod address;
mod authority;
mod base32;
pub(crate) mod certificate;
mod contact;
mod credential;
mod fingerprint;
pub(crate) mod home;
mod identity;
mod provider;
mod ticket;
mod token;
pub mod trust;

pub use address::{AddressError, DEFAULT_PORT, Host, ScopedIpv6, parse_host_port};
pub(crate) use address::{address, parse_port, split_host_port};
pub use authority::{Authority, ClientCertificate, Uncertified};
pub use base32::Base32Error;
pub use contact::{Contact, Trust};
pub use credential::CredentialError;
pub(crate) use credential::exposure;
pub use fingerprint::Fingerprint;
pub use home::{HomeError, home};
pub(crate) use home::{Privacy, prepare as prepare_home, read as read_home_file};
pub(crate) use identity::CERTIFICATE_NAME;
pub use identity::{Identity, IdentityError};
pub(crate) use provider::provider;
pub(crate) use ticket::behind_scheme;
pub use ticket::{Invite, Ticket, TicketError};
pub(crate) use token::PROOF_BYTES;
pub use token::{Token, TokenError};
