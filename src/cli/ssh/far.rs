//! The far end: serves one client for one run, and ends with it. Until that is connected it ends with the ssh connection
//! too, and later when the near end lets go of it in order; a connection of ssh that only breaks ends nothing then.
//! Nothing is kept: its key is made for the run, and no list is read or written.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::super::exit::{Complaint, Exit};
use super::super::ui::message;
use super::line::{FarAnswer, NearRequest, Unreadable};
use super::place::{FarPlaces, PlaceError, places};
use super::ports::Ports;
use super::start_thread;
use super::stay::Stay;
use crate::cli::run::lines::LineSink;
use crate::cli::run::log::{self, LogSink};
use crate::cli::run::sandbox::Sandbox;
use crate::cli::run::signals::{HangUps, Signals, block_on};
use crate::error::Error;
use crate::keys::Identity;
use crate::server::{Access, Notice, ServeOnce, Server};
use crate::storage::sync_names_above;
use crate::transport::TransportError;

/// The variable by which sshd describes the connection: `CLIENT-ADDRESS PORT SERVER-ADDRESS PORT`.
const CONNECTION_VARIABLE: &str = "SSH_CONNECTION";

/// How long the two ends of a broken ssh connection may take to close, one after the other.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Longest stay for a client that was cut off when ssh is gone as well, and would not tell of its end.
const ALONE_MAX: Duration = Duration::from_secs(3600);

/// Runs the hidden command. What goes wrong is told to the near end, which knows how to say it.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if io::stdin().is_terminal() {
        return Err(Complaint::usage(
            "this is how 'qft send FILES user@host:PATH' starts its far end through ssh; it is not for people",
        )
        .into());
    }
    log::init(0, LogSink::Lines(LineSink::stderr().context("starting a thread")?, log::LogFormatting::Text));
    let ssh = Ssh::default();
    let end = ssh.clone();
    let prepared = prepare().and_then(|prepared| {
        start_thread("qft-ssh-end", move || listen_to(&end))?;
        Ok(prepared)
    });
    let (server, patience, names) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let exit = Exit::of_error(&error);
            say(&FarAnswer::error(exit, &message(&error)))?;
            return Ok(exit);
        }
    };
    let address = std::env::var(CONNECTION_VARIABLE).ok().and_then(|value| arrived_at(&value));
    let (port, fingerprint) = (server.local_addr().port(), server.fingerprint());
    block_on(HangUps::End, async |signals| {
        say(&FarAnswer::Connect { port, fingerprint, address, names })?;
        serve(server, patience, &ssh, signals).await;
        Ok(Exit::Done)
    })
}

type Prepared = (Server, Duration, Vec<Vec<u8>>);

fn prepare() -> anyhow::Result<Prepared> {
    let unreadable = |why| match why {
        Unreadable::Nothing => anyhow!("the near end has asked for nothing"),
        Unreadable::OtherVersion | Unreadable::Nonsense => anyhow!(Complaint::Usage(format!(
            "qft {} does not understand what the near end asks for; update the older one",
            env!("CARGO_PKG_VERSION")
        ))),
    };
    let request = NearRequest::read(&mut io::stdin().lock()).map_err(unreadable)?;
    let (client, ports) = (request.client().map_err(unreadable)?, request.ports().map_err(unreadable)?);
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = home.context("$HOME is not set here, so there is nothing that paths are relative to")?;
    let FarPlaces { root, names } =
        places(&home, &request.paths().map_err(unreadable)?).map_err(|error| match error {
            PlaceError::Io { .. } => anyhow::Error::from(error),
            PlaceError::Missing(_) | PlaceError::OtherHome(_) => Complaint::Usage(error.to_string()).into(),
        })?;
    // Before the first thread. What is missing of it is nothing that the near end could mend.
    sync_names_above(&root);
    let _ = Sandbox::new().changes(&root).enforce();
    let start = |address: SocketAddr| {
        let server = Server::builder(root.clone(), Identity::ephemeral()?)
            .listen(address)
            // One client needs one worker.
            .workers(NonZeroUsize::MIN)
            .access(Access::Only(vec![client]))
            // It is the account's own directory; ssh has let the user in there.
            .hidden(true)
            .keep_dirlinks(true)
            .links(true)
            .sync(request.sync)
            .rate_limit(request.rate_limit())
            .once(Some(ServeOnce::Client))
            .start()?;
        Ok(server)
    };
    Ok((listen(ports, start)?, Duration::from_secs(request.patience), names))
}

/// Starts the server on the first free port. A machine without IPv6 cannot bind `[::]`.
fn listen<T>(ports: Ports, start: impl Fn(SocketAddr) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let families: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    let mut failed = None;
    for ip in families {
        for port in ports.all() {
            let address = SocketAddr::new(ip, port);
            match UdpSocket::bind(address).map(drop) {
                Ok(()) => match start(address) {
                    // Another process may have been faster since.
                    Err(error) if is_bind_error(&error) => failed = Some(error),
                    outcome => return outcome,
                },
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    failed = Some(error.into());
                    break;
                }
            }
        }
    }
    let failed = failed.unwrap_or_else(|| anyhow!("all of them are in use"));
    Err(failed.context(format!("cannot open any of the UDP ports {ports} (--ssh-ports chooses others)")))
}

fn is_bind_error(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Transport(TransportError::Bind { .. })))
}

fn say(answer: &FarAnswer) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(answer.to_line().as_bytes()).and_then(|()| out.flush()).context("answering the near end")
}

/// The address at which ssh reached this machine.
fn arrived_at(connection: &str) -> Option<IpAddr> {
    let address: IpAddr = connection.split(' ').nth(2)?.parse().ok()?;
    let address = address.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

/// The state of the ssh connection, by standard input.
#[derive(Debug, Clone, Default)]
struct Ssh {
    /// Nothing comes through it any more.
    ended: CancellationToken,
    /// Later: because it broke.
    broke: CancellationToken,
    /// Or because the near end is done, or dead.
    let_go: CancellationToken,
    is_alive: Arc<Notify>,
}

/// Waits for the end of standard input, which is the end of the ssh connection, whatever ended it.
fn listen_to(ssh: &Ssh) {
    let mut stdin = io::stdin().lock();
    let mut signs_of_life = [0; 64];
    loop {
        match stdin.read(&mut signs_of_life) {
            Ok(1..) => ssh.is_alive.notify_one(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    ssh.ended.cancel();
    // A near end that detaches in order leaves ssh running until this end has ended; when the connection broke, ssh has
    // ended.
    if !is_read(io::stdout()) {
        return ssh.broke.cancel();
    }
    ssh.let_go.cancel();
}

/// Whether somebody still reads what is written there, after the time that this takes to become clear.
fn is_read(output: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&output, PollFlags::ERR)];
    let wait = Timespec { tv_sec: CLOSE_WAIT.as_secs() as i64, tv_nsec: 0 };
    !matches!(poll(&mut polled, Some(&wait)), Ok(1..))
}

/// Serves until the client is done, stays away, or the near end lets go.
async fn serve(server: Server, patience: Duration, ssh: &Ssh, mut signals: Signals) {
    let (mut stay, mut is_alone) = (Stay::new(Instant::now()), false);
    loop {
        let expired = async move {
            match stay.until() {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.next() => break,
            () = ssh.ended.cancelled(), if !stay.has_come() => break,
            () = ssh.let_go.cancelled() => break,
            () = ssh.broke.cancelled(), if !is_alone => {
                is_alone = true;
                // A client that was cut off before may have been waited for without a limit.
                if is_idle(&server) {
                    stay.on_disconnected(Instant::now(), alone(patience));
                }
            }
            () = ssh.is_alive.notified() => stay.on_sign_of_life(Instant::now()),
            // Notices may be lost, so whether somebody is there is asked again.
            () = expired => match is_idle(&server) {
                true => break,
                false => stay.on_connected(),
            },
            notice = server.notice() => match notice {
                Some(Notice::Connected { .. }) => stay.on_connected(),
                Some(Notice::Disconnected { .. }) if is_alone => stay.on_disconnected(Instant::now(), alone(patience)),
                Some(Notice::Disconnected { .. }) => stay.on_disconnected(Instant::now(), patience),
                Some(_) => {}
                None => break,
            },
        }
    }
    // The client has heard all; waiting for the server's threads would keep ssh, and so the user, waiting.
    std::mem::forget(server);
}

/// How long a client that was cut off is waited for where no ssh tells of its end.
fn alone(patience: Duration) -> Duration {
    if patience.is_zero() { ALONE_MAX } else { patience.min(ALONE_MAX) }
}

fn is_idle(server: &Server) -> bool {
    server.active().iter().all(|active| *active == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_address_is_the_third_word_of_the_connection() {
        for (connection, address) in [
            ("198.51.100.4 52000 203.0.113.7 22", Some("203.0.113.7")),
            ("2001:db8::4 52000 2001:db8::7 22", Some("2001:db8::7")),
            ("::ffff:198.51.100.4 52000 ::ffff:203.0.113.7 22", Some("203.0.113.7")),
            ("UNKNOWN 65535 UNKNOWN 65535", None),
            ("fe80::1%eth0 1 fe80::2%eth0 22", None),
            ("1.2.3.4 1 0.0.0.0 22", None),
            ("", None),
        ] {
            assert_eq!(arrived_at(connection).map(|ip| ip.to_string()).as_deref(), address, "{connection}");
        }
    }

    #[test]
    fn a_pipe_is_read_until_its_other_end_is_closed() {
        let (other, own) = io::pipe().expect("the system has pipes");
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| is_read(&own));
            assert!(looks.join().expect("no panic"));
            drop(other);
            assert!(!is_read(&own));
        });
    }

    #[test]
    fn a_client_that_was_cut_off_is_waited_for_a_bounded_time_once_ssh_is_gone() {
        let minute = Duration::from_secs(60);
        assert_eq!([minute, 90 * minute, Duration::ZERO].map(alone), [minute, ALONE_MAX, ALONE_MAX]);
    }

    #[test]
    fn the_first_free_port_is_taken_and_a_full_range_is_an_error() {
        let socket =
            UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)));
        let socket = socket.expect("some port is free");
        let held = socket.local_addr().expect("it is bound").port();
        let only: Ports = held.to_string().parse().expect("a port");
        let error = listen(only, Ok).expect_err("it is in use");
        assert!(format!("{error:#}").contains("--ssh-ports"), "{error:#}");
        let range: Ports = format!("{held}-65535").parse().expect("ports");
        let taken = listen(range, |address| Ok(address.port())).unwrap_or(u16::MAX);
        assert!(taken > held, "{taken}");
    }
}
