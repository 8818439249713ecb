//! The syntax of an argument that names a remote; nothing is looked up.
//!
//! An argument is remote-shaped by scp's rule: it starts with `qft://`, or it has a `:` before any `/`.
//! A local file with such a name is written `./a:b`.

mod path;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

pub(crate) use self::path::{RemotePath, below, destination, far_destination, far_name, local_path, pattern};
use crate::cli::exit::Complaint;
use crate::keys::{Host, ScopedIpv6, behind_scheme};
use crate::protocol::path::{escape, is_unsafe_to_show};

/// The error for digits that cannot be a port.
const NO_PORT: &str = "has no port between 1 and 65535";

/// A remote-shaped argument, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `qft://FP[:INVITE]@HOST[:PORT][/PATH]`.
    Url {
        /// All before the path.
        ticket: TicketText,
        /// Behind the first `/`.
        path: Vec<u8>,
    },
    /// `NAME:[PATH]`: the name, or the host, of a known remote.
    Name { name: String, path: Vec<u8> },
    /// `HOST:PORT:[PATH]` or `[V6]:[PORT:]PATH`.
    Address {
        /// Name or address, without brackets.
        host: String,
        /// `None`: the default port.
        port: Option<u16>,
        /// Behind the last colon.
        path: Vec<u8>,
    },
    /// `local:DIR`.
    Local {
        /// As typed.
        path: Vec<u8>,
    },
    /// `USER@HOST:PATH`, or any host with `--ssh`.
    Ssh {
        /// `[USER@]HOST`, as ssh takes it: without brackets.
        destination: String,
        path: Vec<u8>,
    },
}

/// A ticket as typed. It may hold an invite, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TicketText(pub(crate) String);

impl fmt::Debug for TicketText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("qft://…")
    }
}

impl Spec {
    /// The directory of this machine that it names, if it does.
    pub(crate) fn local_directory(&self) -> Option<PathBuf> {
        match self {
            Self::Local { path } => local_path(path).ok(),
            _ => None,
        }
    }

    /// The path part, as typed; empty when there is none.
    pub(crate) fn path(&self) -> &[u8] {
        match self {
            Self::Url { path, .. }
            | Self::Name { path, .. }
            | Self::Address { path, .. }
            | Self::Local { path }
            | Self::Ssh { path, .. } => path,
        }
    }

    /// This remote with another path.
    pub(crate) fn with_path(mut self, new: Vec<u8>) -> Self {
        match &mut self {
            Self::Url { path, .. }
            | Self::Name { path, .. }
            | Self::Address { path, .. }
            | Self::Local { path }
            | Self::Ssh { path, .. } => *path = new,
        }
        self
    }

    /// Whether both name the same remote, whatever their paths.
    pub(crate) fn is_same_remote(&self, other: &Self) -> bool {
        self.clone().with_path(Vec::new()) == other.clone().with_path(Vec::new())
    }

    /// The same host through ssh, for `--ssh`.
    pub(crate) fn through_ssh(self) -> Result<Self, Complaint> {
        match self {
            Self::Ssh { .. } => Ok(self),
            Self::Name { name: host, path } | Self::Address { host, port: None, path } => {
                let whole = host.clone();
                ssh(whole.as_bytes(), host, &path)
            }
            Self::Address { host, port: Some(port), .. } => Err(Complaint::Usage(format!(
                "{host}:{port}: with --ssh there is no UDP port to name; ssh's own port is set in ~/.ssh/config or by \
                 -e 'ssh -p PORT'"
            ))),
            Self::Url { .. } | Self::Local { .. } => Err(Complaint::usage("--ssh needs a host: HOST:[PATH]")),
        }
    }

    /// The same remote and its port, for a command that takes no path: there `HOST:4433` can only mean a port.
    ///
    /// # Errors
    /// When the digits are no port.
    pub(crate) fn with_port_for_path(self) -> Result<(Self, Option<u16>), Complaint> {
        let (Self::Name { name: host, path } | Self::Address { host, port: None, path }) = &self else {
            return Ok((self, None));
        };
        let Some(digits) = std::str::from_utf8(path).ok().filter(|path| is_digits(path)) else {
            return Ok((self, None));
        };
        match parse_port(digits) {
            Some(port) => Ok((self.with_path(Vec::new()), Some(port))),
            None => Err(Complaint::Usage(format!("{host}:{digits} {NO_PORT}"))),
        }
    }

    /// A hint for `HOST:4433`, where the digits were meant as a port but are a path by scp's rule.
    pub(crate) fn port_hint(&self) -> Option<String> {
        let (host, digits) = self.port_like_path()?;
        Some(format!("'{digits}' is read as a path; for a port write {host}:{digits}:"))
    }

    /// The host, as it is typed, and a path of digits alone, which can be meant as a port.
    pub(crate) fn port_like_path(&self) -> Option<(String, &str)> {
        let (host, path) = match self {
            Self::Name { name, path } => (name.clone(), path),
            Self::Address { host, port: None, path } => (format!("[{host}]"), path),
            _ => return None,
        };
        Some((host, std::str::from_utf8(path).ok().filter(|path| is_digits(path))?))
    }
}

/// Whether an argument names a remote.
pub(crate) fn is_remote(arg: &OsStr) -> bool {
    let arg = arg.as_bytes();
    if behind_scheme(arg.trim_ascii_start()).is_some() {
        return true;
    }
    let colon = arg.iter().position(|b| *b == b':');
    let slash = arg.iter().position(|b| *b == b'/');
    colon.is_some_and(|colon| slash.is_none_or(|slash| colon < slash))
}

/// Reads a remote-shaped argument.
pub(crate) fn parse(arg: &OsStr) -> Result<Spec, Complaint> {
    let raw = arg.as_bytes();
    // A pasted ticket may begin with a blank.
    let ticket = raw.trim_ascii_start();
    if let Some(rest) = behind_scheme(ticket) {
        return parse_url(ticket, rest);
    }
    if let Some(advice) = unbracketed(raw) {
        return Err(advice);
    }
    if raw.first() == Some(&b'[') {
        return parse_v6(raw);
    }
    if let Some((destination, path)) = split_user_v6(raw) {
        return ssh(raw, name(raw, &destination)?, path);
    }
    let Some(colon) = raw.iter().position(|b| *b == b':') else {
        return Err(wrong(raw, "has no ':'"));
    };
    let (head, rest) = (&raw[..colon], &raw[colon + 1..]);
    if rest.starts_with(b"//") {
        return Err(wrong(raw, "is no qft address"));
    }
    let head = name(raw, head)?;
    if rest.first() == Some(&b':') {
        return Err(double_colon(raw, &head, &rest[1..]));
    }
    if head == "local" {
        return Ok(Spec::Local { path: rest.to_vec() });
    }
    if head.contains('@') {
        return ssh(raw, head, rest);
    }
    Ok(match split_port(raw, rest)? {
        Some((port, path)) => Spec::Address { host: head, port: Some(port), path: path.to_vec() },
        None => Spec::Name { name: head, path: rest.to_vec() },
    })
}

/// Reads a value that can only be a remote (`--to`, `$QFT_REMOTE`): a bare name or address needs no colon.
pub(crate) fn parse_bare(value: &OsStr) -> Result<Spec, Complaint> {
    let bare = value.to_str().and_then(|text| text.parse().ok());
    if let Some(host @ Host::V6(_)) = bare {
        return Ok(Spec::Address { host: host.to_string(), port: None, path: Vec::new() });
    }
    if is_remote(value) {
        return parse(value);
    }
    if value.is_empty() {
        return Err(Complaint::usage("an empty value names no remote: is a variable empty?"));
    }
    let raw = value.as_bytes();
    if let Some(slash) = raw.iter().position(|b| *b == b'/') {
        let (name, path) = (escape(&raw[..slash]), escape(&raw[slash + 1..]));
        return Err(Complaint::Usage(format!("{}: a remote's path comes after a colon, {name}:{path}", escape(raw))));
    }
    let head = name(raw, raw)?;
    match head.contains('@') {
        true => ssh(raw, head, b""),
        false => Ok(Spec::Name { name: head, path: Vec::new() }),
    }
}

/// A destination that ssh would take for an option is none.
fn ssh(whole: &[u8], destination: String, path: &[u8]) -> Result<Spec, Complaint> {
    match destination.starts_with('-') {
        true => Err(wrong(whole, "begins with '-', which ssh would take for an option")),
        false => Ok(Spec::Ssh { destination, path: path.to_vec() }),
    }
}

/// `USER@[V6]:PATH` to `USER@V6` and the path.
fn split_user_v6(raw: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let open = raw.windows(2).position(|pair| pair == b"@[")?;
    let close = raw.iter().position(|b| *b == b']')?;
    let path = raw[close + 1..].strip_prefix(b":")?;
    let host = ipv6(raw.get(open + 2..close)?)?.to_string();
    Some(([&raw[..=open], host.as_bytes()].concat(), path))
}

/// `rest` stands behind the scheme of `raw`.
fn parse_url(raw: &[u8], rest: &[u8]) -> Result<Spec, Complaint> {
    let scheme = raw.len() - rest.len();
    let end = rest.iter().position(|b| *b == b'/').map_or(raw.len(), |slash| scheme + slash);
    let Ok(ticket) = std::str::from_utf8(&raw[..end]) else {
        return Err(Complaint::usage("the ticket is not plain text; paste it again"));
    };
    let path = raw.get(end + 1..).unwrap_or_default().to_vec();
    Ok(Spec::Url { ticket: TicketText(ticket.to_owned()), path })
}

fn parse_v6(raw: &[u8]) -> Result<Spec, Complaint> {
    let form = "is no [IPv6]:[PORT:]PATH";
    let Some(end) = raw.iter().position(|b| *b == b']') else { return Err(wrong(raw, form)) };
    let Some(host) = ipv6(&raw[1..end]) else { return Err(wrong(raw, form)) };
    let Some(rest) = raw[end + 1..].strip_prefix(b":") else { return Err(wrong(raw, form)) };
    let (port, path) = match split_port(raw, rest)? {
        Some((port, path)) => (Some(port), path),
        None => (None, rest),
    };
    Ok(Spec::Address { host: host.to_string(), port, path: path.to_vec() })
}

/// `PORT:PATH` to both parts; `None` when there are no digits before a second colon.
fn split_port<'a>(whole: &[u8], rest: &'a [u8]) -> Result<Option<(u16, &'a [u8])>, Complaint> {
    let Some(colon) = rest.iter().position(|b| *b == b':') else { return Ok(None) };
    let Some(digits) = std::str::from_utf8(&rest[..colon]).ok().filter(|digits| is_digits(digits)) else {
        return Ok(None);
    };
    match parse_port(digits) {
        Some(port) => Ok(Some((port, &rest[colon + 1..]))),
        None => Err(wrong(whole, NO_PORT)),
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|port| *port > 0)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn name(whole: &[u8], head: &[u8]) -> Result<String, Complaint> {
    let Ok(text) = std::str::from_utf8(head) else { return Err(wrong(whole, "has no readable name before ':'")) };
    if text.is_empty() {
        return Err(wrong(whole, "has no name before ':'"));
    }
    if text.contains('/') {
        return Err(wrong(whole, "has no ':' before its first '/'"));
    }
    if text.chars().any(is_unfit_for_a_name) {
        return Err(wrong(whole, "has a blank before ':'; a local name with a colon is written ./a:b"));
    }
    Ok(text.to_owned())
}

/// A name is shown, and given to ssh, as it stands. ssh knows users of a Windows domain by `DOMAIN\user`.
fn is_unfit_for_a_name(c: char) -> bool {
    c.is_whitespace() || (c != '\\' && is_unsafe_to_show(c))
}

fn ipv6(raw: &[u8]) -> Option<ScopedIpv6> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// The correction for an IPv6 address without brackets, which its first colon would split into a name and a path.
fn unbracketed(raw: &[u8]) -> Option<Complaint> {
    // The longest one: `2001:db8::7` and not `2001:db8::`.
    let is_end = |end: &usize| raw.get(*end).is_none_or(|byte| *byte == b':');
    let end = (1..=raw.len()).rev().filter(is_end).find(|end| ipv6(&raw[..*end]).is_some())?;
    let (host, path) = (escape(&raw[..end]), escape(raw[end..].strip_prefix(b":").unwrap_or_default()));
    let path = if raw.len() > end { path.to_string() } else { "PATH".to_owned() };
    Some(wrong(raw, &format!("an IPv6 address stands in brackets: [{host}]:{path}")))
}

/// rsync's `HOST::MODULE`: as a path it would be a name that begins with a colon.
fn double_colon(whole: &[u8], head: &str, path: &[u8]) -> Complaint {
    wrong(whole, &format!("one colon is enough (there are no modules): {head}:{}", escape(path)))
}

fn wrong(whole: &[u8], what: &str) -> Complaint {
    Complaint::Usage(format!("{}: {what}", escape(whole)))
}

#[cfg(test)]
mod tests;
