//! The two lines that go through ssh, one each way. Both begin with a mark that no start-up file prints by chance, and
//! that says which version of these lines they are.

use std::io::{self, BufRead, Read as _};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::exit::Exit;
use super::ports::Ports;
use crate::keys::Fingerprint;
use crate::transport::Rate;

/// How every line of any version begins.
const FAMILY: &str = "QFT";
/// How every line of this version begins.
const MARK: &str = "QFT1 ";
const CONNECT: &str = "CONNECT";
const ERROR: &str = "ERROR";
/// The placeholder for an address that is not known.
const NOWHERE: &str = "-";
/// Longest line that is read: room for the paths of a very long command line.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Most that is read before the answer: far more than any greeting of a login.
const NOISE_BYTES_MAX: usize = 4 << 20;

/// The request of the near end, as JSON behind the mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NearRequest {
    /// The version of the asking program, for messages.
    pub(super) qft: String,
    /// The only key that is let in.
    client: String,
    /// UDP ports to choose from.
    ports: String,
    /// Seconds that a lost client may take to come back; 0 is for ever.
    pub(super) patience: u64,
    /// Whether files are safe on disk before they are done.
    pub(super) sync: bool,
    /// Most bytes per second each way. Not sent without a limit, so that a far end that knows none can do the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bwlimit: Option<u64>,
    /// What is meant, as typed, in hexadecimal: a path need not be text.
    paths: Vec<String>,
}

impl NearRequest {
    pub(super) fn new(
        client: Fingerprint,
        ports: Ports,
        patience: u64,
        sync: bool,
        rate_limit: Option<Rate>,
        paths: &[Vec<u8>],
    ) -> Self {
        Self {
            qft: env!("CARGO_PKG_VERSION").to_owned(),
            client: client.to_string(),
            ports: ports.to_string(),
            patience,
            sync,
            bwlimit: rate_limit.map(Rate::bytes_per_second),
            paths: paths.iter().map(|path| hex(path)).collect(),
        }
    }

    pub(super) fn client(&self) -> Result<Fingerprint, Unreadable> {
        self.client.parse().map_err(|_| Unreadable::Nonsense)
    }

    pub(super) fn ports(&self) -> Result<Ports, Unreadable> {
        self.ports.parse().map_err(|_| Unreadable::Nonsense)
    }

    pub(super) fn paths(&self) -> Result<Vec<Vec<u8>>, Unreadable> {
        self.paths.iter().map(|path| unhex(path)).collect()
    }

    pub(super) fn rate_limit(&self) -> Option<Rate> {
        self.bwlimit.and_then(Rate::new)
    }

    /// The line, with its end.
    pub(super) fn to_line(&self) -> String {
        format!("{MARK}{}\n", serde_json::to_string(self).expect("an object of strings and numbers"))
    }

    /// Reads the first line of `input`.
    pub(super) fn read(input: &mut impl BufRead) -> Result<Self, Unreadable> {
        let mut line = String::new();
        input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).map_err(|_| Unreadable::Nonsense)?;
        let body = line.strip_prefix(MARK).ok_or_else(|| unmarked(&line))?;
        // Fields of a later version are not guessed at.
        serde_json::from_str(body).map_err(|_| Unreadable::Nonsense)
    }
}

/// Why a line of the other end cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Nothing,
    /// It is of another version.
    OtherVersion,
    /// It is of this version, or seems to be, and makes no sense.
    Nonsense,
}

/// The answer of the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FarAnswer {
    Connect {
        port: u16,
        fingerprint: Fingerprint,
        /// The address at which ssh reached it, if ssh says so.
        address: Option<IpAddr>,
        /// The name of each path below the root that it serves; empty for the root itself.
        names: Vec<Vec<u8>>,
    },
    /// It cannot do what it was asked for.
    Error {
        /// How the near end is to exit.
        exit: u8,
        /// Why, in one line.
        text: String,
    },
}

impl FarAnswer {
    pub(super) fn error(exit: Exit, text: &str) -> Self {
        Self::Error { exit: exit.code(), text: text.replace(['\n', '\r'], " ") }
    }

    /// The line, on a line of its own whatever was printed before.
    pub(super) fn to_line(&self) -> String {
        match self {
            Self::Connect { port, fingerprint, address, names } => {
                let address = address.map_or_else(|| NOWHERE.to_owned(), |address| address.to_string());
                let names: Vec<String> = names.iter().map(|name| hex(name)).collect();
                let names = serde_json::to_string(&names).expect("a list of strings");
                format!("\n{MARK}{CONNECT} {port} {fingerprint} {address} {names}\n")
            }
            Self::Error { exit, text } => format!("\n{MARK}{ERROR} {exit} {text}\n"),
        }
    }

    /// Looks for the answer among the lines that a login may print.
    pub(super) fn find(input: &mut impl BufRead) -> Result<Self, Unreadable> {
        let mut read = 0;
        while read < NOISE_BYTES_MAX {
            let mut line = Vec::new();
            match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(1..) => read += line.len(),
                Ok(0) => return Err(Unreadable::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Unreadable::Nothing),
            }
            let line = String::from_utf8_lossy(&line);
            match line.strip_prefix(MARK) {
                Some(body) => return Self::parse(body.trim_end()),
                None if unmarked(&line) == Unreadable::OtherVersion => return Err(Unreadable::OtherVersion),
                None => {}
            }
        }
        Err(Unreadable::Nothing)
    }

    fn parse(body: &str) -> Result<Self, Unreadable> {
        let (kind, rest) = body.split_once(' ').ok_or(Unreadable::Nonsense)?;
        let parsed = match kind {
            CONNECT => Self::parse_connect(rest),
            ERROR => rest
                .split_once(' ')
                .and_then(|(exit, text)| Some(Self::Error { exit: exit.parse().ok()?, text: text.to_owned() })),
            _ => None,
        };
        parsed.ok_or(Unreadable::Nonsense)
    }

    fn parse_connect(rest: &str) -> Option<Self> {
        let mut words = rest.splitn(4, ' ');
        let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
        let fingerprint = words.next()?.parse().ok()?;
        let address = match words.next()? {
            NOWHERE => None,
            address => Some(address.parse().ok()?),
        };
        let names: Vec<String> = serde_json::from_str(words.next()?).ok()?;
        let names = names.iter().map(|name| unhex(name)).collect::<Result<_, _>>().ok()?;
        Some(Self::Connect { port, fingerprint, address, names })
    }
}

/// The meaning of a line without our mark.
fn unmarked(line: &str) -> Unreadable {
    let number = line.strip_prefix(FAMILY).and_then(|rest| rest.split_once(' ')).map(|(number, _)| number);
    match number {
        _ if line.is_empty() => Unreadable::Nothing,
        Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => Unreadable::OtherVersion,
        _ => Unreadable::Nonsense,
    }
}

fn hex(raw: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(raw)
}

fn unhex(text: &str) -> Result<Vec<u8>, Unreadable> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| Unreadable::Nonsense)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> FarAnswer {
        FarAnswer::Connect {
            port: 60_001,
            fingerprint: Fingerprint([7; 32]),
            address: Some("10.0.0.7".parse().expect("an address")),
            names: vec![b"".to_vec(), b"a b\xff".to_vec()],
        }
    }

    fn found(text: &str) -> Result<FarAnswer, Unreadable> {
        FarAnswer::find(&mut text.as_bytes())
    }

    #[test]
    fn a_request_comes_back_from_its_line() {
        let paths = [b"data/".to_vec(), b"\xff \n".to_vec(), Vec::new()];
        let request = NearRequest::new(Fingerprint([9; 32]), Ports::default(), 300, true, Rate::new(2000), &paths);
        let line = request.to_line();
        assert_eq!(line.lines().count(), 1, "{line}");
        let read = NearRequest::read(&mut line.as_bytes()).expect("our own line");
        assert_eq!(read, request);
        assert_eq!(read.paths(), Ok(paths.to_vec()));
        assert_eq!((read.client(), read.ports()), (Ok(Fingerprint([9; 32])), Ok(Ports::default())));
        assert_eq!(read.rate_limit(), Rate::new(2000));
    }

    #[test]
    fn a_request_without_a_limit_does_not_mention_one() {
        let request = NearRequest::new(Fingerprint([9; 32]), Ports::default(), 300, true, None, &[]);
        assert!(!request.to_line().contains("bwlimit"));
        assert_eq!(NearRequest::read(&mut request.to_line().as_bytes()).expect("our own line").rate_limit(), None);
    }

    #[test]
    fn a_request_of_another_version_is_told_from_nonsense() {
        let request = NearRequest::new(Fingerprint([9; 32]), Ports::default(), 0, true, None, &[]).to_line();
        let more = request.replacen('{', "{\"later\":1,", 1);
        for (line, why) in [
            ("", Unreadable::Nothing),
            ("ls -l\n", Unreadable::Nonsense),
            ("QFT2 {}\n", Unreadable::OtherVersion),
            ("QFT1 {}\n", Unreadable::Nonsense),
            (more.as_str(), Unreadable::Nonsense),
        ] {
            assert_eq!(NearRequest::read(&mut line.as_bytes()).expect_err(line), why, "{line}");
        }
    }

    #[test]
    fn the_answer_is_found_behind_any_noise() {
        let error = FarAnswer::error(Exit::Usage, "no such\ndirectory");
        for answer in [answer(), error] {
            let line = answer.to_line();
            for noise in ["", "Welcome!\n\nQFT is great\nQFT1 \u{1b}[2J", "no end of line", "QFTx y\n \u{0}\n"] {
                let noise = if noise.contains("QFT1 ") { &noise[..9] } else { noise };
                assert_eq!(found(&format!("{noise}{line}bye\n")), Ok(answer.clone()), "{noise}");
            }
        }
    }

    #[test]
    fn noise_without_an_answer_ends_with_the_stream_or_at_a_bound() {
        assert_eq!(found(""), Err(Unreadable::Nothing));
        assert_eq!(found("hello\nthere"), Err(Unreadable::Nothing));
        assert_eq!(FarAnswer::find(&mut io::BufReader::new(io::repeat(b'x'))), Err(Unreadable::Nothing));
    }

    #[test]
    fn a_broken_answer_is_no_answer() {
        let good = answer().to_line();
        let fingerprint = Fingerprint([7; 32]).to_string();
        for (bad, why) in [
            (good.replace("QFT1", "QFT2"), Unreadable::OtherVersion),
            (good.replace("60001", "0"), Unreadable::Nonsense),
            (good.replace("60001", "99999"), Unreadable::Nonsense),
            (good.replace("10.0.0.7", "box"), Unreadable::Nonsense),
            (good.replace(&fingerprint, "abc"), Unreadable::Nonsense),
            (good.replace(']', ""), Unreadable::Nonsense),
            ("QFT1 ERROR many\n".to_owned(), Unreadable::Nonsense),
            ("QFT1 HELLO 1 2\n".to_owned(), Unreadable::Nonsense),
        ] {
            assert_eq!(found(&bad), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parsers_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let line = [b"QFT1 CONNECT ".as_slice(), &raw].concat();
            let _ = (FarAnswer::find(&mut raw.as_slice()), FarAnswer::find(&mut line.as_slice()));
            let _ = (NearRequest::read(&mut raw.as_slice()), NearRequest::read(&mut line.as_slice()));
        }
    }
}
