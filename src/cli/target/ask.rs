//! Servers that are not known here: what their identity is, and whether somebody vouches for it.
//!
//! It takes two connections. Over the first one nothing is said; it ends before anybody is asked, since a connection
//! does not wait for a person to read. The second one accepts the agreed key alone.

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::here::is_ssh_host;
use super::plan::{KnownStatus, ServerTarget, UnknownServer};
use crate::cli::args::{HostKeyArg, TrustArgs};
use crate::cli::exit::Complaint;
use crate::congestion::ControllerConfig;
use crate::error::Error;
use crate::keys::trust::Remotes;
use crate::keys::{self, Contact, Fingerprint, Host, Ticket, address};
use crate::protocol::path::escape;
use crate::transport::{self, TransportError, Tuning, is_no_such_name};

/// Longest wait for the key of a server.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// Where the right one can be read. `qft id` is not the key of a server that shows a certificate.
const OWN: &str = "its own: 'qft status' there, or 'qft id' ('qft cert show FILE' with --cert)";

/// Time between two lookups of its name.
const LOOKUP_WAIT: Duration = Duration::from_secs(1);

/// How the user can be spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interaction {
    /// Whether events go to standard output as JSON.
    pub(crate) json: bool,
    /// Longest wait; zero = for ever.
    pub(crate) patience: Duration,
}

impl Interaction {
    /// Whether somebody reads and can answer.
    fn can_ask(self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }
}

/// Makes a known remote of a stranger, or refuses it. Gives what is to be said about it.
///
/// # Errors
/// [`Complaint::Untrusted`] with the remedy; no key to be had.
pub(crate) fn introduce(
    unknown_server: &UnknownServer,
    trust: &TrustArgs,
    interaction: Interaction,
) -> anyhow::Result<(ServerTarget, Option<String>)> {
    if let Some(fingerprint) = trust.fingerprint {
        let known_status = KnownStatus::New { name: unknown_server.name() };
        return Ok((unknown_server.place(fingerprint, known_status), None));
    }
    let is_accepted = trust.host_key == HostKeyArg::AcceptNew;
    let found = agree(unknown_server, trust, interaction)?;
    if unknown_server.name().is_none() {
        // What the server calls itself is known when the connection stands, and it is saved then.
        let note = is_accepted.then(|| format!("accepted the identity {found}"));
        return Ok((unknown_server.place(found, KnownStatus::New { name: None }), note));
    }
    let remotes = Remotes::open(&keys::home()?)?;
    let saved = remotes.introduce(&unknown_server.host, &unknown_server.ticket(found)).context("saving the remote")?;
    let accepted = if is_accepted { format!("accepted the identity {found}, ") } else { String::new() };
    let default = if saved.is_default { ", now the default" } else { "" };
    let note = format!("{accepted}saved as remote \"{}\"{default}", saved.name);
    Ok((ServerTarget::known(&saved), Some(note)))
}

/// The key of a stranger, for which the user vouches: by an option, or by an answer.
///
/// # Errors
/// As [`introduce`].
pub(crate) fn agree(
    unknown_server: &UnknownServer,
    trust: &TrustArgs,
    interaction: Interaction,
) -> anyhow::Result<Fingerprint> {
    if trust.host_key == HostKeyArg::Strict {
        return Err(Complaint::Untrusted(unknown_server.strict()).into());
    }
    let found = unknown_server.look(interaction.patience, trust.bind)?;
    if trust.host_key == HostKeyArg::Ask {
        if !interaction.can_ask() {
            return Err(Complaint::Untrusted(unknown_server.unasked(found)).into());
        }
        let known = name_of(found);
        ask(unknown_server, found, known.as_deref(), &mut io::stdin().lock(), &mut io::stderr())?;
    }
    Ok(found)
}

/// The name of a known server that has this key.
fn name_of(key: Fingerprint) -> Option<String> {
    let remotes = Remotes::open(&keys::home().ok()?).and_then(|remotes| remotes.list()).ok()?;
    let known = remotes.into_iter().find(|remote| remote.ticket.fingerprint == key)?;
    Some(escape(known.name.as_bytes()).to_string())
}

impl UnknownServer {
    /// The name that it can have here; an address is none.
    fn name(&self) -> Option<String> {
        let is_address = self.host.parse::<Host>().is_ok_and(|host| host.ip().is_some());
        (!is_address).then(|| self.host.clone())
    }

    fn address(&self) -> String {
        escape(address(&self.host, self.port).as_bytes()).to_string()
    }

    fn ticket(&self, fingerprint: Fingerprint) -> Ticket {
        Ticket { fingerprint, invite: None, host: self.host.clone(), port: self.port }
    }

    fn place(&self, fingerprint: Fingerprint, known_status: KnownStatus) -> ServerTarget {
        let label = escape(self.host.as_bytes()).to_string();
        ServerTarget::Remote { contact: Contact::from(self.ticket(fingerprint)), label, known_status }
    }

    /// The key of the server that answers. This runs on a runtime of its own without signals, so that Ctrl-C simply
    /// ends the program, here and at the question.
    fn look(&self, patience: Duration, local: Option<SocketAddr>) -> anyhow::Result<Fingerprint> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("starting the runtime")?;
        let deadline = if patience.is_zero() { LOOK_DEADLINE } else { LOOK_DEADLINE.min(patience) };
        let tuning = Tuning { local, ..Tuning::new(std::sync::Arc::new(ControllerConfig::default())) };
        let looked = runtime.block_on(async {
            let addrs = self.resolve(deadline).await?;
            transport::recognise(&addrs, &tuning, deadline).await
        });
        // The name service may still be waited for by a thread that nothing can wake.
        runtime.shutdown_background();
        looked.map_err(|error| match (error, &self.unknown) {
            (TransportError::Resolve { .. }, Some(unknown)) => Complaint::Unknown(unknown.clone()).into(),
            (error @ (TransportError::NoReply { .. } | TransportError::Resolve { .. }), _) => {
                self.or_through_ssh(error)
            }
            (error, _) => Error::from(error).into(),
        })
    }

    /// Why nobody was met, and the way that needs no server: whoever typed a host as for scp may have meant ssh.
    fn or_through_ssh(&self, error: TransportError) -> anyhow::Error {
        let host = &address(&self.host, self.port);
        let host = escape(host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).as_bytes()).to_string();
        let way = match is_ssh_host(&self.host) {
            true => format!("{host} is a host of ~/.ssh/config: through ssh, add --ssh"),
            false => format!("through ssh no server is needed: USER@{host}:, or --ssh"),
        };
        Complaint::Unreachable(format!("{:#}; {way}", anyhow::Error::from(error))).into()
    }

    /// The addresses of the host. A name service that cannot be asked yet is asked again, for as long as a silent
    /// address would be waited for; a word that was rather meant as a remote's name is looked up once.
    async fn resolve(&self, deadline: Duration) -> Result<Vec<SocketAddr>, TransportError> {
        let end = Instant::now() + deadline;
        let mut is_said = false;
        loop {
            let error = match transport::resolve(&self.host, self.port).await {
                Ok(addrs) => return Ok(addrs),
                Err(error) => error,
            };
            let is_lasting = self.unknown.is_some() || is_no_such_name(&error);
            if is_lasting || Instant::now() + LOOKUP_WAIT >= end {
                return Err(error);
            }
            if !is_said {
                is_said = true;
                let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                drop(writeln!(io::stderr(), "{error}: {why}; trying again for {}s", deadline.as_secs()));
            }
            tokio::time::sleep(LOOKUP_WAIT).await;
        }
    }

    fn strict(&self) -> String {
        let address = self.address();
        format!(
            "the identity of {address} is not known here, and --host-key strict accepts no new one\n  \
            name it with --fingerprint FP; {OWN}"
        )
    }

    fn unasked(&self, found: Fingerprint) -> String {
        let address = self.address();
        format!(
            "the identity of {address} is not known here, and nobody can be asked\n  \
            fingerprint  {found}\n  \
            if it is the server's, add: --fingerprint {found}\n  \
            {OWN}\n  \
            to trust whatever answers first, add: --host-key accept-new"
        )
    }
}

/// Shows the key and waits for `yes`, `no` or the key itself, as ssh does.
fn ask(
    unknown_server: &UnknownServer,
    found: Fingerprint,
    known: Option<&str>,
    answers: &mut impl BufRead,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let address = unknown_server.address();
    let known = known.map(|name| format!("  it is the key of {name}, which is known here\n")).unwrap_or_default();
    let question = format!(
        "The identity of {address} is not known here.\n  fingerprint  {found}\n{known}  \
        {OWN}\n  \
        compare the two, or paste the server's here\n\
        Trust it? [yes/no/fingerprint] "
    );
    let mut prompt = question.as_str();
    loop {
        write!(out, "{prompt}").and_then(|()| out.flush()).context("asking on the terminal")?;
        let mut answer = String::new();
        if answers.read_line(&mut answer).context("reading the answer")? == 0 {
            // The question's line is still open.
            drop(writeln!(out));
            return Err(refused("no answer"));
        }
        let answer = answer.trim();
        match answer.parse::<Fingerprint>() {
            Ok(pasted) if pasted == found => return Ok(()),
            Ok(pasted) => return Err(other_key(&address, found, pasted)),
            Err(_) => {}
        }
        match answer.to_ascii_lowercase().as_str() {
            "yes" => return Ok(()),
            "no" => return Err(refused("not trusted")),
            _ => prompt = "Please type yes, no, or paste the fingerprint: ",
        }
    }
}

fn refused(why: &str) -> anyhow::Error {
    Complaint::Untrusted(format!("{why}; nothing was sent")).into()
}

fn other_key(address: &str, found: Fingerprint, pasted: Fingerprint) -> anyhow::Error {
    let text = format!(
        "{address} has another identity than the one pasted; nothing was sent\n  \
        pasted  {pasted}\n  found   {found}\n  \
        is the address right?\n  \
        {OWN}"
    );
    Complaint::Untrusted(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint([7; 32]);

    fn unknown_server() -> UnknownServer {
        UnknownServer { host: "box.example".to_owned(), port: 4433, unknown: None }
    }

    fn answered(answers: &str) -> (Result<(), String>, String) {
        let mut out = Vec::new();
        let result = ask(&unknown_server(), KEY, Some("box"), &mut answers.as_bytes(), &mut out)
            .map_err(|error| format!("{error:#}"));
        (result, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn yes_and_the_key_itself_are_consent() {
        let base64 = format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(&KEY.0));
        for answer in ["yes", "YES", " yes ", &KEY.to_string(), &KEY.to_string().to_uppercase(), &base64] {
            assert_eq!(answered(&format!("{answer}\n")).0, Ok(()), "{answer}");
        }
    }

    #[test]
    fn the_question_shows_address_and_key_and_fits_the_screen() {
        let (_, shown) = answered("yes\n");
        assert!(shown.contains("box.example:4433") && shown.contains(&KEY.to_string()), "{shown}");
        assert!(shown.contains("it is the key of box, which is known here"), "{shown}");
        assert!(shown.lines().all(|line| line.len() < 80), "{shown}");
    }

    #[test]
    fn anything_else_is_asked_again_and_the_end_of_input_is_no() {
        let (result, shown) = answered("y\nok\n\nno\n");
        assert!(result.is_err_and(|text| text.contains("not trusted")));
        assert_eq!(shown.matches("Please type yes, no").count(), 3, "{shown}");
        assert!(answered("").0.is_err_and(|text| text.contains("no answer")));
        assert!(answered("y").0.is_err_and(|text| text.contains("no answer")));
    }

    #[test]
    fn another_key_that_was_pasted_is_an_alarm() {
        let pasted = Fingerprint([8; 32]);
        let (result, _) = answered(&format!("{pasted}\nyes\n"));
        let text = result.expect_err("refused");
        assert!(text.contains(&pasted.to_string()) && text.contains(&KEY.to_string()), "{text}");
    }

    #[test]
    fn every_refusal_names_the_remedy() {
        assert!(unknown_server().strict().contains("--fingerprint"));
        let text = unknown_server().unasked(KEY);
        assert!(text.contains(&format!("--fingerprint {KEY}")) && text.contains("--host-key accept-new"), "{text}");
    }
}
