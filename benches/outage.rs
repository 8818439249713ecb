//! How soon bytes flow again when what was in the way is gone.
//!
//! `cargo bench --bench outage [-- WHAT...]` joins two network namespaces by a cable, lets a file flow at [`RATE`], and
//! does one thing to it after the other, sending and getting in turn. WHAT is `address` (the client's machine gets
//! another), `nat` (a router forgets the client and gives it another port), `restart` (the server is killed and started
//! again), `service` (it is restarted as systemd does it, which holds its socket; counted from the last content that the
//! old process moved), `stop` (the client is stopped for [`STOPPED`]), or seconds for which the path is away: silently
//! (what is sent is dropped), and by its route (what is sent is refused). It needs root, and `ip` and `nft`. A machine that
//! sleeps is not among them: its rule is tested with the clocks of such a machine (`session/pause.rs`).

#[path = "../tests/support/bin.rs"]
mod bin;
#[path = "../tests/support/cable.rs"]
mod cable;
#[path = "compare/namespace.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod namespace;

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bin::{Machine, Serve};
use cable::{Cable, FAR, Way};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What flows, so that there is something to flow again, and a file that outlasts every outage is not gigabytes.
const RATE: &str = "2M";
const RATE_BYTES: u64 = 2 << 20;
/// Seconds of content beside the outage.
const FLOWS: u64 = 12;
/// The outage begins when so much has arrived.
const BEGUN_BYTES: u64 = 4 << 20;
/// What flows again is content when it is more than this, which no handshake and no probe is.
const CONTENT_BYTES: u64 = 128 << 10;
/// How long is waited for it.
const PATIENCE: Duration = Duration::from_secs(90);
/// How its unit starts it.
const AS_A_SERVICE: &str = "--drain 1s";
const LOOK: Duration = Duration::from_millis(5);
const AWAY: [u64; 7] = [3, 5, 10, 20, 40, 60, 200];
/// How long the client is stopped.
const STOPPED: Duration = Duration::from_secs(90);

/// What is done to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Away(Way, Duration),
    Address,
    Nat,
    Restart,
    Service,
    Stop,
}

impl Blow {
    fn all() -> Vec<Self> {
        let away = AWAY.into_iter().flat_map(Self::away);
        away.chain([Self::Address, Self::Nat, Self::Restart, Self::Service, Self::Stop]).collect()
    }

    fn away(seconds: u64) -> [Self; 2] {
        [Way::Silent, Way::NoRoute].map(|way| Self::Away(way, Duration::from_secs(seconds)))
    }

    fn parse(word: &str) -> Vec<Self> {
        match word {
            "address" => vec![Self::Address],
            "nat" => vec![Self::Nat],
            "restart" => vec![Self::Restart],
            "service" => vec![Self::Service],
            "stop" => vec![Self::Stop],
            word => word.parse().map(Self::away).into_iter().flatten().collect(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Away(Way::Silent, away) => format!("away {} s, silent", away.as_secs()),
            Self::Away(Way::NoRoute, away) => format!("away {} s, no route", away.as_secs()),
            Self::Address => "client's address changed".to_owned(),
            Self::Nat => "NAT rebinding".to_owned(),
            Self::Restart => "server killed, started".to_owned(),
            Self::Service => "service restarted".to_owned(),
            Self::Stop => format!("client stopped {} s", STOPPED.as_secs()),
        }
    }

    fn cable(self) -> anyhow::Result<Cable> {
        if self == Self::Nat { Cable::lay_behind_nat("") } else { Cable::lay("") }
    }
}

/// The direction of the content, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Send,
    Get,
}

/// What one blow came to.
struct Figures {
    /// From the moment from which bytes could flow to content that flows.
    back: Duration,
    /// Content that was written twice, in bytes.
    twice: u64,
    /// Bytes of the wire beyond those of the file.
    beyond: i64,
    reconnects: usize,
    exit: Option<i32>,
}

fn measure(cable: &Cable, role: Role, blow: Blow) -> anyhow::Result<Figures> {
    let (here, there) = (Machine::new(), Machine::new());
    let size = RATE_BYTES * FLOWS;
    let from = if role == Role::Send { &here } else { &there };
    from.write_large("in/file", size);
    let socket = (blow == Blow::Service).then(|| cable.far.enter(|| UdpSocket::bind((FAR, 0))));
    let socket = socket.transpose()?.transpose()?;
    let serve_at = |address: &str| {
        cable.far.enter(|| match &socket {
            Some(socket) => there.serve_on(socket, "in", AS_A_SERVICE),
            None => there.serve_at(address, "in", ""),
        })
    };
    let mut serve = serve_at(&format!("{FAR}:0"))?;
    let line = match role {
        Role::Send => format!("send --json --bwlimit {RATE} in/file --to {}", serve.ticket()),
        Role::Get => format!("get --json --bwlimit {RATE} {}/file .", serve.ticket()),
    };
    let start = cable.carried()?;
    let mut client = Client::start(cable, &here, &line)?;
    let moved = |since: (u64, u64)| {
        let now = cable.carried()?;
        anyhow::Ok(if role == Role::Send { now.1 - since.1 } else { now.0 - since.0 })
    };
    client.until(|| Ok(moved(start)? > BEGUN_BYTES))?;
    let (returned, before) = strike(blow, cable, &client, &mut serve, serve_at)?;
    // What is sent into nothing is counted as well, so the other direction must speak too.
    client.until(|| {
        let now = cable.carried()?;
        Ok(moved(before)? > CONTENT_BYTES && now.0 > before.0 && now.1 > before.1)
    })?;
    let back = returned.elapsed();
    let exit = client.process.wait()?.code();
    let told = client.told()?;
    let written = told.last().and_then(|summary| summary["bytes_written"].as_u64()).context("a summary")?;
    let reconnects = told.iter().filter(|line| line["kind"] == "reconnecting").count();
    Ok(Figures {
        back,
        twice: written.saturating_sub(size),
        beyond: moved(start)? as i64 - size as i64,
        reconnects,
        exit,
    })
}

/// Does it, and gives the moment from which bytes can flow again and what had been carried by then.
fn strike(
    blow: Blow,
    cable: &Cable,
    client: &Client,
    serve: &mut Serve,
    serve_at: impl Fn(&str) -> anyhow::Result<Serve>,
) -> anyhow::Result<(Instant, (u64, u64))> {
    match blow {
        Blow::Away(way, away) => {
            cable.cut(way)?;
            sleep(away);
            let before = (Instant::now(), cable.carried()?);
            cable.mend(way)?;
            Ok(before)
        }
        Blow::Address => {
            cable.change_address()?;
            Ok((Instant::now(), cable.carried()?))
        }
        Blow::Nat => {
            cable.rebind()?;
            Ok((Instant::now(), cable.carried()?))
        }
        Blow::Restart => {
            let address = serve.address().to_owned();
            serve.signal(Signal::KILL);
            serve.end();
            let before = cable.carried()?;
            *serve = serve_at(&address)?;
            Ok((Instant::now(), before))
        }
        Blow::Service => {
            let last = stop(serve, cable)?;
            let before = cable.carried()?;
            *serve = serve_at(FAR)?;
            Ok((last, before))
        }
        Blow::Stop => {
            client.signal(Signal::STOP)?;
            sleep(STOPPED);
            let before = (Instant::now(), cable.carried()?);
            client.signal(Signal::CONT)?;
            Ok(before)
        }
    }
}

/// Stops it as systemd does, and gives the moment of the last content that it moved.
fn stop(serve: &mut Serve, cable: &Cable) -> anyhow::Result<Instant> {
    let carried = || cable.carried().map(|(to_client, from_client)| to_client + from_client);
    let (mut last, mut counted) = (Instant::now(), carried()?);
    serve.signal(Signal::TERM);
    while !serve.has_ended() {
        let now = carried()?;
        if now - counted > CONTENT_BYTES / 16 {
            (last, counted) = (Instant::now(), now);
        }
        sleep(LOOK);
    }
    Ok(last)
}

/// The client's process; it is killed when this is dropped.
struct Client {
    process: Child,
    json: PathBuf,
}

impl Client {
    fn start(cable: &Cable, here: &Machine, line: &str) -> anyhow::Result<Self> {
        let json = here.path("told.json");
        let mut command = here.shell(&format!("qft {line}"));
        command.stdout(File::create(&json)?).stderr(Stdio::null());
        Ok(Self { process: cable.near.enter(|| command.spawn())??, json })
    }

    fn until(&mut self, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds()? {
            if let Some(status) = self.process.try_wait()? {
                bail!("the client ended: {status}");
            }
            ensure!(Instant::now() < end, "nothing has flowed for {PATIENCE:?}");
            sleep(LOOK);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), signal)?)
    }

    /// All that it has printed.
    fn told(&self) -> anyhow::Result<Vec<Value>> {
        let text = fs::read_to_string(&self.json)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let wanted: Vec<Blow> = std::env::args().skip(1).flat_map(|word| Blow::parse(&word)).collect();
    let wanted = if wanted.is_empty() { Blow::all() } else { wanted };
    if let Err(error) = Cable::lay("") {
        println!("skipped: no network namespace can be made ({error:#})");
        return Ok(());
    }
    println!("what                      role  flows again after (s)  twice (KiB)  beyond (KiB)  reconnects  exit");
    for blow in wanted {
        for role in [Role::Send, Role::Get] {
            let name = blow.name();
            match blow.cable().and_then(|cable| measure(&cable, role, blow)) {
                Ok(Figures { back, twice, beyond, reconnects, exit }) => {
                    let (back, twice, beyond) = (back.as_secs_f64(), twice >> 10, beyond >> 10);
                    let role = format!("{role:?}").to_lowercase();
                    println!("{name:24}  {role:4}  {back:21.2}  {twice:11}  {beyond:12}  {reconnects:10}  {exit:?}");
                }
                Err(error) => println!("{name:24}  {role:?}  {error:#}"),
            }
        }
    }
    Ok(())
}
