//! `qft serve`: runs a server, prints how to reach it, and what happens.
//!
//! | file | holds |
//! |---|---|
//! | `served_dir` | the directory: found, or made |
//! | `watch`, `hang_up` | the loop beside the server; what a SIGHUP asks for |
//! | `passes`, `secrets`, `expiry` | keys, tokens and certificates from files, and when they end |
//! | `way_in` | the ticket: printed, written, made again |
//! | `output`, `notice`, `stamp`, `limit` | lines for the operator: what they say, what stands before them, how many there may be |
//! | `systemd` | the socket and the words of a service manager |

mod expiry;
mod hang_up;
mod limit;
mod notice;
mod output;
mod passes;
mod secrets;
mod served_dir;
mod stamp;
mod systemd;
mod watch;
mod way_in;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::SystemTime;

use self::expiry::Expiry;
use self::output::ServeOutput;
use self::passes::{PassFiles, identity};
use self::secrets::refuse_to_serve_secrets;
use self::served_dir::ServedDir;
use self::watch::ServeLoop;
use self::way_in::{announce, found_at, way_in};
use crate::cli::args::{BandwidthLimit, ServeArgs};
use crate::cli::config::tilde;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::log;
use crate::cli::run::sandbox::Sandbox;
use crate::cli::run::signals::{HangUps, block_on};
use crate::cli::target::address::{every_address, loopback, parse_advertised, parse_http, parse_listen};
use crate::digest::engine;
use crate::error::Error;
use crate::keys::trust::Clients;
use crate::keys::{self, DEFAULT_PORT, Identity};
use crate::protocol::path::escape_path;
use crate::server::{Access, AccessMode, HttpOptions, Presence, ServeOnce, Server, ServerBuilder, Serving};
use crate::storage::sync_names_above;
use crate::transport::{PathMemory, TransportError};
use anyhow::{Context as _, anyhow};

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    let ServedDir { root, made } = served_dir(args)?;
    // Before the first thread: it takes variables out of the environment.
    let (listen, socket) = place_to_listen(args)?;
    let advertised = args.advertise.as_deref().map(parse_advertised).transpose()?;
    let home = keys::home()?;
    refuse_to_serve_secrets(args, &root, &home)?;
    let http = args.http.as_deref().map(parse_http).transpose()?;
    let mut passes = PassFiles::load(args, &home, http)?;
    let (identity, unkept) = identity(args, &home)?;
    // Before the first thread: all of them are confined with this one.
    let unconfined = sandbox(args, &root, &home).enforce();
    let (mut out, sink) = ServeOutput::new(args)?;
    log::init(args.verbose, sink);
    engine().complaint().iter().for_each(|complaint| out.say(&format!("note: {complaint}")));
    unconfined.iter().filter(|_| args.verbose > 0).for_each(|note| out.say(note));
    unkept.into_iter().chain(exposures(args, &passes)).for_each(|note| out.warn(&note));
    // Starting waits for the server's threads, so it is done outside of any runtime.
    let http = http.map(|addr| HttpOptions { addr, token: passes.http_token() });
    let server = start(args, &root, (&listen, socket), identity, &passes, &home, http)?;
    let sign = |server: &Server| presence(args, server, &root, &home, advertised.clone());
    // Before the ticket says that all is ready.
    let presence = sign(&server);
    let enrolled = enrolled_clients(&home, &mut out);
    let (hosts, port) = found_at(&server, advertised.clone());
    let lines = passes.lines(&server, &hosts[0], port, mode(args));
    let expiry = args.cert.as_deref().and_then(Expiry::read);
    let way_in = way_in(args, &server, (hosts, port), enrolled > 0 || passes.are_given())?;
    block_on(HangUps::AreOthers, async |signals| {
        // The ticket says that the server can be used, and stopped: signals are caught from here on.
        made.iter().for_each(|text| out.say(text));
        expiry.iter().for_each(|expiry| expiry.warn(&mut out, SystemTime::now()));
        announce(&mut out, args, &server, (&root, made.is_some()), way_in.as_ref(), &lines, enrolled)?;
        systemd::ready(&status(&server, &root));
        systemd::keep_alive(server.handle());
        let (out, home, passes) = (&mut out, &*home, &mut passes);
        let serving = ServeLoop { server, out, args, home, passes, expiry, sign: &sign, presence, is_draining: false };
        serving.run(signals).await
    })
}

/// The warnings of secrets that others can read.
fn exposures(args: &ServeArgs, passes: &PassFiles) -> impl Iterator<Item = String> {
    passes.notes().chain(args.key.as_deref().and_then(keys::exposure))
}

/// The directory to serve, whose name is durable.
fn served_dir(args: &ServeArgs) -> anyhow::Result<ServedDir> {
    tilde::refuse(args.dir.as_os_str())?;
    let served = ServedDir::find(&args.dir, args.read_only, rustix::process::geteuid().is_root())?;
    if !args.read_only && !args.no_sync {
        // Files that are put into a directory would be lost with it.
        sync_names_above(&served.root);
    }
    Ok(served)
}

/// The addresses to try, in order, or the socket that was handed over.
fn place_to_listen(args: &ServeArgs) -> anyhow::Result<(Vec<SocketAddr>, Option<UdpSocket>)> {
    let socket = systemd::socket()?;
    let listen = listen(args.listen.as_deref(), args.no_auth)?;
    if let Some(socket) = &socket {
        is_as_told(socket, args.listen.as_deref().and_then(|_| listen.first()))?;
    }
    Ok((listen, socket))
}

/// The status text for `systemctl status`.
fn status(server: &Server, root: &Path) -> String {
    format!("serving {} on UDP {}", escape_path(root), server.local_addr())
}

/// The sandbox of a server: the directory, the home, and the files that its options name, which may be replaced while
/// it runs.
fn sandbox(args: &ServeArgs, root: &Path, home: &Path) -> Sandbox {
    let sandbox = if args.read_only { Sandbox::new().reads(root) } else { Sandbox::new().changes(root) };
    // Made now: a rule for what is not there would hold for nothing. Without a home a server with a token works, too.
    drop(keys::prepare_home(home));
    let named = [&args.token_file, &args.http_token_file, &args.client_ca, &args.cert, &args.key].into_iter().flatten();
    let sandbox = named.fold(sandbox.uses_home(home), |all, file| all.reads_file(file));
    args.ticket_file.iter().fold(sandbox, |all, file| all.replaces_file(file))
}

/// The addresses to try, in order. Only a default may be given up for another one.
fn listen(listen: Option<&str>, no_auth: bool) -> Result<Vec<SocketAddr>, Complaint> {
    match listen {
        Some(listen) => parse_listen(listen).map(|address| vec![address]),
        None if no_auth => Ok(vec![loopback(DEFAULT_PORT)]),
        // A machine without IPv6 cannot bind [::].
        None => Ok(vec![every_address(DEFAULT_PORT), (Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into()]),
    }
}

/// A socket that was handed over is served, and nothing else: another address would be the mistake of whoever says it.
fn is_as_told(socket: &UdpSocket, listen: Option<&SocketAddr>) -> anyhow::Result<()> {
    let address = socket.local_addr().context("looking at the socket that was handed over")?;
    match listen {
        Some(told) if *told != address => {
            let text = format!("systemd holds the socket {address} for this server, and --listen says {told}");
            Err(Complaint::Usage(text).into())
        }
        _ => Ok(()),
    }
}

fn start(
    args: &ServeArgs,
    root: &Path,
    (listen, socket): (&[SocketAddr], Option<UdpSocket>),
    identity: Identity,
    passes: &PassFiles,
    home: &Path,
    http: Option<HttpOptions>,
) -> anyhow::Result<Server> {
    let attempt = |address: SocketAddr, socket: Option<UdpSocket>| {
        let builder = configured(args, Server::builder(root.to_owned(), identity.clone()), home);
        let builder = builder.token(passes.token()).client_authority(passes.authority()).http(http.clone());
        builder.listen(address).socket(socket).start().map_err(|error| not_listening(error, address))
    };
    let mut outcome = attempt(listen[0], socket);
    for address in &listen[1..] {
        // The first error names the address that was meant.
        outcome = outcome.or_else(|first| attempt(*address, None).map_err(|_| first));
    }
    outcome
}

/// A server as the options say, but for its keys and addresses.
fn configured(args: &ServeArgs, builder: ServerBuilder, home: &Path) -> ServerBuilder {
    let access = if args.no_auth { Access::Anyone } else { Access::Enrolled { home: home.to_owned() } };
    builder
        .workers(workers(args))
        .access(access)
        .mode(mode(args))
        .no_clobber(args.no_clobber)
        .links(!args.no_links)
        .keep_dirlinks(args.keep_dirlinks)
        .hidden(args.hidden)
        .withhold(home.to_owned())
        .clients_max(args.max_clients.get())
        .sync(!args.no_sync)
        .once(args.once.then_some(ServeOnce::Transfer))
        .keep_parts(Some(args.keep_parts).filter(|keep| !keep.is_zero()))
        .rate_limit(BandwidthLimit::rate_of(args.bwlimit))
        .path_memory(Some(PathMemory::of_clients(home)))
        .history(Some(home.to_owned()))
}

/// Why there is no server; of a port that another one has, what to do about it.
fn not_listening(error: Error, address: SocketAddr) -> anyhow::Error {
    match &error {
        Error::Transport(TransportError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            let (taken, next) = (address.port(), address.port().checked_add(1).unwrap_or(DEFAULT_PORT));
            anyhow!("UDP port {taken} is in use, perhaps by another qft serve (see qft status); try another: -l {next}")
        }
        Error::Http { addr, source } if source.kind() == io::ErrorKind::AddrInUse => {
            anyhow!("TCP port {} is in use; try another one for --http", addr.port())
        }
        _ => error.into(),
    }
}

/// The most that any client may do here.
fn mode(args: &ServeArgs) -> AccessMode {
    match (args.read_only, args.write_only) {
        (true, _) => AccessMode::ReadOnly,
        (_, true) => AccessMode::WriteOnly,
        _ => AccessMode::ReadWrite,
    }
}

fn workers(args: &ServeArgs) -> NonZeroUsize {
    args.workers.unwrap_or_else(|| available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Lets `qft peers invite` find this server, and `qft status` ask it. Without it everything else works.
fn presence(
    args: &ServeArgs,
    server: &Server,
    root: &Path,
    home: &Path,
    advertised: Option<(String, Option<u16>)>,
) -> Option<Presence> {
    let serving = Serving {
        pid: std::process::id(),
        listen: server.local_addr(),
        advertised,
        fingerprint: server.fingerprint(),
        root: escape_path(root).to_string(),
        is_open: args.no_auth,
        mode: mode(args),
    };
    let handle = server.handle();
    let answer = move || serde_json::to_vec(&handle.status()).expect("numbers and texts");
    Presence::announce(home, &serving, answer)
        .inspect_err(|error| tracing::warn!(%error, "no sign of this server is left"))
        .ok()
}

/// Clients that are enrolled in this home; lines of the list that let nobody in are told.
fn enrolled_clients(home: &Path, out: &mut ServeOutput) -> usize {
    // A list that cannot be read has stopped the server already, unless it accepts anyone.
    let listing = Clients::open(home).and_then(|clients| clients.list()).unwrap_or_default();
    for (line, reason) in &listing.broken {
        out.warn(&format!("authorized_clients, line {line}: {reason}; the line lets nobody in"));
    }
    listing.clients.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_server_stays_on_this_machine_unless_told_otherwise() {
        assert_eq!(listen(None, true), Ok(vec![(Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()]));
        assert_eq!(listen(Some("0.0.0.0:9"), true), Ok(vec![(Ipv4Addr::UNSPECIFIED, 9).into()]));
        assert_eq!(listen(None, false).map(|tried| tried[0]), Ok(every_address(DEFAULT_PORT)));
        assert_eq!(listen(Some("127.0.0.1:0"), false).map(|tried| tried.len()), Ok(1), "no second try");
    }
}
