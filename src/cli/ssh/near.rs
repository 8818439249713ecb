//! The near end: starts ssh, reads the far end's answer, and minds ssh until the work is done. Once the client is
//! connected to the far end, the work goes on without ssh: over a bad network its TCP connection breaks long before QUIC's.

use std::io::{BufReader, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::run::log::LogLines;
use super::super::ui::text::shown;
use super::command::{RemoteShell, Route};
use super::error::SshError;
use super::line::{FarAnswer, NearRequest, Unreadable};
use super::ports::Ports;
use super::speech::SshStderr;
use super::start_thread;
use super::stay::FIRST_CLIENT_WAIT;
use crate::error::Error;
use crate::keys::{Fingerprint, Identity, Ticket};
use crate::transport::{Rate, TransportError};

/// Time between two signs of life on the ssh connection, which is otherwise silent: less than any router takes to forget
/// a silent TCP connection, and than the far end takes to give up a client that has not come yet.
const HEARTBEAT: Duration = Duration::from_secs(30);
const _: () =
    assert!(HEARTBEAT.as_secs() < FIRST_CLIENT_WAIT.as_secs(), "the far end would leave who is still reading");
/// Time for a person to answer what ssh asks; sshd allows as much.
const ASKING: Duration = Duration::from_secs(120);
/// How long ssh may take to end when all is done: some round trips on the worst of links.
const END_WAIT: Duration = Duration::from_secs(3);
/// Time from the end of ssh until it counts: the end of the work may be just behind.
const GONE_WAIT: Duration = Duration::from_secs(1);
/// Time between two looks whether ssh has ended.
const END_LOOK: Duration = Duration::from_millis(2);

/// The task of a far end, and the way there.
#[derive(Debug, Clone)]
pub(crate) struct FarStart {
    /// `[USER@]HOST`, as ssh takes it.
    pub(crate) destination: String,
    /// The ssh to run; `None` is `ssh`.
    pub(crate) rsh: Option<String>,
    /// What to run there.
    pub(crate) remote_qft: String,
    /// UDP ports to choose from there.
    pub(crate) ports: Ports,
    /// How long the far end waits for a client that was cut off, and how long its start may take (or [`ASKING`], if
    /// that is longer and ssh may ask the user); zero is for ever.
    pub(crate) patience: Duration,
    /// Whether files are safe on disk before they are done.
    pub(crate) sync: bool,
    /// Most that moves each way.
    pub(crate) rate_limit: Option<Rate>,
    /// What is meant, as typed.
    pub(crate) paths: Vec<Vec<u8>>,
}

impl FarStart {
    /// How long the far end's start may take; `None` is for ever.
    fn start_wait(&self) -> Option<Duration> {
        let asking = if std::io::stderr().is_terminal() { ASKING } else { Duration::ZERO };
        (!self.patience.is_zero()).then(|| self.patience.max(asking))
    }
}

/// A far end as its client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Far {
    /// Its key, and where it probably is.
    pub(crate) ticket: Ticket,
    /// The only key that it lets in.
    pub(crate) identity: Identity,
    /// Where else it may be.
    pub(crate) also_at: Vec<String>,
    /// The destination, as typed.
    pub(crate) host: String,
    is_indirect: bool,
    ports: Ports,
}

impl Far {
    /// A word about where the far end answers, if that is not where it was first looked for.
    pub(crate) fn news_of(&self, addr: SocketAddr) -> Option<String> {
        let is_elsewhere = !self.also_at.is_empty() && self.ticket.host.parse() != Ok(addr.ip().to_canonical());
        is_elsewhere.then(|| format!("{} answers at {addr}", shown(&self.host)))
    }

    /// The meaning of an error here: ssh has shown that the host is there.
    pub(crate) fn explain(&self, error: Error) -> anyhow::Error {
        let Error::Transport(TransportError::NoReply { .. }) = error else { return error.into() };
        let hosts = std::iter::once(&self.ticket.host).chain(&self.also_at);
        let address = |host: &String| Ticket { host: host.clone(), ..self.ticket.clone() }.address();
        let addresses = hosts.map(address).collect::<Vec<_>>().join(" or ");
        let (host, is_indirect, ports) = (self.host.clone(), self.is_indirect, self.ports);
        SshError::Blocked { host, addresses, is_indirect, ports }.into()
    }
}

/// A far end that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct FarEnd {
    pub(crate) far: Far,
    /// The name of each path below the root that it serves; empty for the root itself.
    pub(crate) names: Vec<Vec<u8>>,
    session: Session,
}

/// The end of ssh while the work goes on.
#[derive(Debug)]
pub(crate) struct SshEnded {
    /// As an error, for who cannot go on.
    pub(crate) error: SshError,
    /// Only ssh's own connection is: the far end serves on for as long as its client is connected to it.
    pub(crate) far_end_lives: bool,
}

/// ssh, and the threads at its three ends.
#[derive(Debug)]
struct Session {
    child: Mutex<Child>,
    /// Dropping it closes ssh's standard input.
    alive: Option<Sender<()>>,
    /// The first line of the far end.
    answer: Receiver<Result<FarAnswer, Unreadable>>,
    /// Set when ssh's standard output has ended.
    gone: CancellationToken,
    speech: Arc<SshStderr>,
}

impl FarEnd {
    /// Starts ssh, and waits until the far end listens. ssh may ask the user in the meantime, so nothing is drawn.
    pub(crate) fn start(asked: &FarStart) -> anyhow::Result<Self> {
        let shell = RemoteShell::parse(asked.rsh.as_deref())?;
        let identity = Identity::ephemeral()?;
        let mut session = Session::spawn(&shell, asked, identity.fingerprint())?;
        let route = shell.route(&asked.destination);
        match session.answer(asked)? {
            FarAnswer::Connect { port, fingerprint, address, names } if names.len() == asked.paths.len() => {
                let mut hosts = candidates(address, &route, &asked.destination);
                let ticket = Ticket { fingerprint, invite: None, host: hosts.remove(0), port };
                let host = asked.destination.clone();
                let far =
                    Far { ticket, identity, also_at: hosts, host, is_indirect: route.is_indirect, ports: asked.ports };
                Ok(Self { far, names, session })
            }
            FarAnswer::Connect { .. } => Err(SshError::OtherVersion { host: asked.destination.clone() }.into()),
            FarAnswer::Error { exit, text } => {
                let (host, text) = (asked.destination.clone(), shown(&text).into_owned());
                Err(SshError::Far { host, code: exit, text }.into())
            }
        }
    }

    /// From here on ssh's words come as lines, since something else writes to the terminal.
    pub(crate) fn speak_through(&self, lines: LogLines) {
        self.session.speech.speak_through(lines);
    }

    /// Waits until ssh has ended, and says what that means.
    pub(crate) async fn gone(&self) -> SshEnded {
        self.session.gone.cancelled().await;
        // What the far end did last may be just behind.
        tokio::time::sleep(GONE_WAIT).await;
        let host = self.far.host.clone();
        SshEnded { error: SshError::Gone { host }, far_end_lives: self.session.was_cut_off() }
    }
}

/// Where the far end may be: first where ssh arrived, as it says there, then where ssh went, as it says here. The two
/// differ behind address translation, where only the second is right, and behind a jump host, where neither may be.
fn candidates(arrived: Option<IpAddr>, route: &Route, destination: &str) -> Vec<String> {
    let typed = destination.rsplit_once('@').map_or(destination, |(_, host)| host);
    let went = route.host.clone().unwrap_or_else(|| typed.to_owned());
    let arrived = arrived.map(|address| address.to_canonical().to_string());
    let mut hosts: Vec<String> = arrived.into_iter().chain([went]).collect();
    hosts.dedup();
    hosts
}

impl Session {
    fn spawn(shell: &RemoteShell, asked: &FarStart, client: Fingerprint) -> anyhow::Result<Self> {
        let mut command = shell.start(&asked.destination, &asked.remote_qft);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|source| SshError::NoSsh { program: shown(shell.program()).into_owned(), source })?;
        let patience = asked.patience.as_secs();
        let request = NearRequest::new(client, asked.ports, patience, asked.sync, asked.rate_limit, &asked.paths);
        let (alive, lives) = mpsc::channel();
        let speech = Arc::<SshStderr>::default();
        let stdin = child.stdin.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let heard = speech.clone();
        let stdout = child.stdout.take().expect("it is piped");
        let (answers, answer) = mpsc::channel();
        let gone = CancellationToken::new();
        let is_gone = gone.clone();
        // Made first: where a thread cannot be had, dropping it ends the child.
        let session = Self { child: Mutex::new(child), alive: Some(alive), answer, gone, speech };
        start_thread("qft-ssh-in", move || keep_alive(stdin, &request.to_line(), &lives))?;
        start_thread("qft-ssh-err", move || heard.pass_on(stderr))?;
        start_thread("qft-ssh-out", move || listen(stdout, &answers, &is_gone))?;
        Ok(session)
    }

    /// The far end's answer, or why there is none.
    fn answer(&mut self, asked: &FarStart) -> Result<FarAnswer, SshError> {
        let (host, program) = (&asked.destination, &asked.remote_qft);
        let heard = match asked.start_wait() {
            None => self.answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => self.answer.recv_timeout(wait),
        };
        match heard {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Unreadable::OtherVersion | Unreadable::Nonsense)) => {
                Err(SshError::OtherVersion { host: host.clone() })
            }
            Ok(Err(Unreadable::Nothing)) | Err(RecvTimeoutError::Disconnected) => match self.end() {
                Some(status) => Err(SshError::of_end(host, program, status, self.speech.is_distrust())),
                // It closed its output and stays: there will be no answer.
                None => Err(silent(asked, END_WAIT)),
            },
            Err(RecvTimeoutError::Timeout) => Err(silent(asked, asked.start_wait().unwrap_or_default())),
        }
    }

    /// Closes ssh's standard input, which ends the far end and so ssh, and waits for it; `None` when it had to be
    /// killed.
    fn end(&mut self) -> Option<ExitStatus> {
        self.alive.take();
        let status = self.ended_within(END_WAIT);
        if status.is_none() {
            let mut child = self.child.lock().expect("no holder panics");
            // Without ssh the far end's standard input closes as well.
            drop(child.kill());
            drop(child.wait());
        }
        status
    }

    /// How ssh ended, if it does so soon.
    fn ended_within(&self, wait: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + wait;
        loop {
            match self.child.lock().expect("no holder panics").try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => {}
                Ok(None) | Err(_) => return None,
            }
            std::thread::sleep(END_LOOK);
        }
    }

    /// Whether ssh's connection broke, or ssh was killed: then what ran there was not told to end. When the far end ends
    /// first, ssh follows it without a word.
    fn was_cut_off(&self) -> bool {
        let status = self.ended_within(END_WAIT);
        status.is_none_or(|status| status.signal().is_some()) || self.speech.is_loss()
    }
}

fn silent(asked: &FarStart, waited: Duration) -> SshError {
    let (host, program) = (asked.destination.clone(), asked.remote_qft.clone());
    SshError::Silent { host, seconds: waited.as_secs(), program }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes the request, then a sign of life now and then, until the session is to end.
fn keep_alive(mut stdin: ChildStdin, request: &str, lives: &Receiver<()>) {
    let mut text = request;
    // ssh that has ended takes nothing more; its standard output says so too.
    while stdin.write_all(text.as_bytes()).is_ok() {
        text = "\n";
        match lives.recv_timeout(HEARTBEAT) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Finds the answer, and then waits for the end of what ssh says.
fn listen(stdout: ChildStdout, answers: &Sender<Result<FarAnswer, Unreadable>>, gone: &CancellationToken) {
    let mut stdout = BufReader::new(stdout);
    // The caller may have given up.
    drop(answers.send(FarAnswer::find(&mut stdout)));
    drop(std::io::copy(&mut stdout, &mut std::io::sink()));
    gone.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(arrived: Option<&str>, went: Option<&str>, typed: &str) -> Vec<String> {
        let route = Route { host: went.map(str::to_owned), is_indirect: false };
        candidates(arrived.map(|address| address.parse().expect("an address")), &route, typed)
    }

    #[test]
    fn the_far_end_is_looked_for_where_ssh_arrived_and_where_it_went() {
        assert_eq!(at(Some("10.0.0.7"), Some("box.example"), "me@box"), ["10.0.0.7", "box.example"]);
        assert_eq!(at(Some("10.0.0.7"), Some("10.0.0.7"), "me@box"), ["10.0.0.7"]);
        assert_eq!(at(Some("::ffff:10.0.0.7"), Some("10.0.0.7"), "me@box"), ["10.0.0.7"]);
        assert_eq!(at(None, Some("box.example"), "me@box"), ["box.example"]);
        assert_eq!(at(None, None, "me@lab@box"), ["box"]);
        assert_eq!(at(None, None, "box"), ["box"]);
    }
}
