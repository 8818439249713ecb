//! How soon bytes flow again when a path that was away is back.
//!
//! `cargo bench --bench outage [-- SECONDS...]` joins two network namespaces by a cable, lets a file flow at
//! [`RATE`], takes the path away for so many seconds and gives it back: silently (what is sent is dropped), and by its
//! route (what is sent is refused). Sending and getting in turn. It needs root, and `ip` and `nft`.

#[path = "../tests/support/bin.rs"]
mod bin;
#[path = "compare/namespace.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod namespace;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bin::Machine;
use namespace::{Namespace, ip};

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
const LOOK: Duration = Duration::from_millis(5);
const AWAY: [u64; 7] = [3, 5, 10, 20, 40, 60, 200];

/// How the path goes away.
#[derive(Clone, Copy)]
enum Way {
    /// Packets are dropped at both ends.
    Silent,
    /// The client's machine knows no way to the server.
    NoRoute,
}

/// Two hosts and the cable between them.
struct Cable {
    near: Namespace,
    far: Namespace,
}

impl Cable {
    fn lay() -> anyhow::Result<Self> {
        let cable = Self { near: Namespace::create("near")?, far: Namespace::create("far")? };
        cable.near.enter(|| {
            ip(&["link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", cable.far.name()])?;
            plug("10.211.0.1/24")
        })??;
        cable.far.enter(|| plug("10.211.0.2/24"))??;
        Ok(cable)
    }

    fn cut(&self, way: Way) -> anyhow::Result<()> {
        const DROP: &str = "add table inet away
            add chain inet away i { type filter hook input priority 0; policy drop; }";
        match way {
            Way::Silent => [&self.near, &self.far].into_iter().try_for_each(|host| host.enter(|| nft(DROP))?),
            Way::NoRoute => self.near.enter(|| ip(&["route", "del", "10.211.0.0/24"]))?,
        }
    }

    fn mend(&self, way: Way) -> anyhow::Result<()> {
        match way {
            Way::Silent => {
                [&self.near, &self.far].into_iter().try_for_each(|host| host.enter(|| nft("delete table inet away"))?)
            }
            Way::NoRoute => self.near.enter(|| ip(&["route", "add", "10.211.0.0/24", "dev", "lan"]))?,
        }
    }

    /// Bytes that the client's end has received and sent.
    fn carried(&self) -> anyhow::Result<(u64, u64)> {
        let devices = self.near.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("lan:")).context("the cable is there")?;
        let figures: Vec<u64> = line.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        ensure!(figures.len() >= 9, "the kernel counts otherwise");
        Ok((figures[0], figures[8]))
    }
}

fn plug(address: &str) -> anyhow::Result<()> {
    ip(&["address", "add", address, "dev", "lan"])?;
    ip(&["link", "set", "lan", "up"])
}

/// Runs `nft` where the calling thread is.
fn nft(rules: &str) -> anyhow::Result<()> {
    let output = Command::new("nft").arg(rules).output().context("nft (package nftables)")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The direction of the content, seen from the client.
#[derive(Clone, Copy)]
enum Role {
    Send,
    Get,
}

/// One outage, measured.
struct Figures {
    /// From the path's return to content that flows.
    back: Duration,
    /// Bytes of the wire beyond those of the file.
    beyond: i64,
    exit: Option<i32>,
}

fn measure(cable: &Cable, role: Role, way: Way, away: Duration) -> anyhow::Result<Figures> {
    let (here, there) = (Machine::new(), Machine::new());
    let size = RATE_BYTES * FLOWS;
    let from = if matches!(role, Role::Send) { &here } else { &there };
    from.write_large("in/file", size);
    let serve = cable.far.enter(|| there.serve_at("10.211.0.2:0", "in", ""))?;
    let line = match role {
        Role::Send => format!("send --bwlimit {RATE} in/file --to {}", serve.ticket()),
        Role::Get => format!("get --bwlimit {RATE} {}/file .", serve.ticket()),
    };
    let mut command = here.shell(&format!("qft {line}"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = cable.carried()?;
    let mut client = Client(cable.near.enter(|| command.spawn())??);
    let moved = |since: (u64, u64)| {
        let now = cable.carried()?;
        anyhow::Ok(match role {
            Role::Send => now.1 - since.1,
            Role::Get => now.0 - since.0,
        })
    };
    client.until(|| Ok(moved(start)? > BEGUN_BYTES))?;
    cable.cut(way)?;
    sleep(away);
    let (returned, before) = (Instant::now(), cable.carried()?);
    cable.mend(way)?;
    // What is sent into nothing is counted as well, so the other direction must speak too.
    client.until(|| {
        let now = cable.carried()?;
        Ok(moved(before)? > CONTENT_BYTES && now.0 > before.0 && now.1 > before.1)
    })?;
    let back = returned.elapsed();
    let exit = client.0.wait()?.code();
    Ok(Figures { back, beyond: moved(start)? as i64 - size as i64, exit })
}

/// The client's process; it is killed when this is dropped.
struct Client(Child);

impl Client {
    fn until(&mut self, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds()? {
            if let Some(status) = self.0.try_wait()? {
                bail!("the client ended: {status}");
            }
            ensure!(Instant::now() < end, "nothing has flowed for {PATIENCE:?}");
            sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let wanted: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let wanted = if wanted.is_empty() { AWAY.to_vec() } else { wanted };
    if let Err(error) = Cable::lay() {
        println!("skipped: no network namespace can be made ({error:#})");
        return Ok(());
    }
    println!("away (s)  how       role  flows again after (s)  beyond the file (KiB)  exit code");
    for seconds in wanted {
        for (how, way) in [("silent", Way::Silent), ("no route", Way::NoRoute)] {
            for (name, role) in [("send", Role::Send), ("get", Role::Get)] {
                let measured = measure(&Cable::lay()?, role, way, Duration::from_secs(seconds));
                match measured {
                    Ok(Figures { back, beyond, exit }) => {
                        let (back, beyond) = (back.as_secs_f64(), beyond >> 10);
                        println!("{seconds:8}  {how:8}  {name:4}  {back:21.2}  {beyond:21}  {exit:?}");
                    }
                    Err(error) => println!("{seconds:8}  {how:8}  {name:4}  {error:#}"),
                }
            }
        }
    }
    Ok(())
}
