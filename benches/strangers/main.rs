//! An honest client beside hostile ones: what they cost it, and what they make the server take.
//!
//! `cargo bench --bench strangers [-- FILTER]`; needs 3 GiB in the temporary directory. `QFT_BENCH_MIB` is the size of the
//! honest transfer (1024). Each load has a server process of its own, over loopback. Columns: seconds of an honest
//! `qft ls`, the longest of several; speed of an honest `qft send` as a share of its speed alone, and as a share of its speed
//! while the same load goes to *another* server of this machine, which takes the processor time that anybody would lose
//! (medians); seconds until a revoked client is put out; most memory of the server; bytes of its log; what the load did
//! here and elsewhere. All honest commands succeed; the program fails when a bound is missed, or a load was none.

#[path = "../../tests/support/bin.rs"]
mod bin;
mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bin::{Machine, Serve};
use load::{LOADS, Load, Target};

const MIB: u64 = 1 << 20;
/// The honest transfer unless told otherwise.
const SIZE_MIB: u64 = 1024;
/// Files that patterns are expanded over.
const FILES: usize = 5000;
/// A file that is asked for and not read.
const LARGE_BYTES: u64 = 64 * MIB;
/// Transfers and listings of a row.
const RUNS: usize = 3;
/// One address has half of the places: two for each hostile client, and some for the honest ones.
const CLIENTS_MAX: usize = 2 * (2 * load::HOSTILE + 8);

/// What must hold beside any load.
const LS_MAX: Duration = Duration::from_secs(2);
const SPEED_MIN: f64 = 0.8;
const REVOKED_MAX: Duration = Duration::from_secs(1);
const RESIDENT_MAX: u64 = 512 * MIB;
const LOG_MAX: usize = 1 << 20;

/// A server, an honest client of it, and a client that is to be revoked.
struct Field {
    server: Machine,
    serve: Serve,
    honest: Machine,
    target: Target,
}

impl Field {
    fn new(bytes: u64, hostile: usize) -> Self {
        let (server, honest) = (Machine::new(), Machine::new());
        for n in 0..FILES {
            server.write(&format!("served/d/{n}"), "");
        }
        server.write_large("served/large", LARGE_BYTES);
        honest.write_large("file", bytes);
        let allow = |name: &str, key: &str, rights: &str| {
            server.run(&format!("peers allow {key} --name {name} {rights}")).exits(0);
        };
        allow("honest", &honest.fingerprint(), "");
        let target = Target::new(hostile);
        for (n, identity) in target.hostile.iter().enumerate() {
            allow(&format!("hostile{n}"), &identity.fingerprint().to_string(), "");
        }
        allow("reader", &target.reader.fingerprint().to_string(), "--ro");
        allow("victim", &target.victim.fingerprint().to_string(), "");
        let serve = server.serve("served", &format!("-w 2 --no-sync --max-clients {CLIENTS_MAX}"));
        let target = target.at(serve.address(), serve.fingerprint());
        Self { server, serve, honest, target }
    }

    fn ls(&self) -> Duration {
        let start = Instant::now();
        self.honest.run(&format!("ls {}", self.serve.pinned())).exits(0);
        start.elapsed()
    }

    /// Bytes per second.
    fn send(&self, bytes: u64, name: &str) -> f64 {
        let start = Instant::now();
        self.honest.run(&format!("send file {}/{name} --no-sync -q", self.serve.pinned())).exits(0);
        let speed = bytes as f64 / start.elapsed().as_secs_f64();
        std::fs::remove_file(self.server.path(&format!("served/{name}"))).expect("it has arrived");
        speed
    }

    fn median_send(&self, bytes: u64) -> f64 {
        let mut speeds: Vec<_> = (0..RUNS).map(|n| self.send(bytes, &n.to_string())).collect();
        speeds.sort_by(f64::total_cmp);
        speeds[RUNS / 2]
    }

    fn revocation(&self) -> Duration {
        let inside = self.target.victim_inside();
        let start = Instant::now();
        self.server.run("peers revoke victim").exits(0);
        inside.wait_for_the_end();
        start.elapsed()
    }
}

/// One row of the table. Whether all that must hold holds.
fn measure(load: &Load, bytes: u64, alone: f64) -> bool {
    let (here, elsewhere) = (Field::new(bytes, load.keys), Field::new(MIB, load.keys));
    let running = load.start(&elsewhere.target);
    let beside = here.median_send(bytes);
    let done_elsewhere = running.stop();
    drop(elsewhere);
    let running = load.start(&here.target);
    let ls = (0..RUNS).map(|_| here.ls()).max().expect("some");
    let speed = here.median_send(bytes);
    let ls = ls.max(here.ls());
    let revoked = here.revocation();
    let done = running.stop();
    let (resident, log) = (here.serve.most_resident(), here.serve.log().len());
    println!(
        "| {:<28} | {:>5.2} | {:>5.2} | {:>5.2} | {:>5.2} | {:>4} | {:>7} | {done} {}, elsewhere {done_elsewhere} |",
        load.name,
        ls.as_secs_f64(),
        speed / alone,
        speed / beside,
        revoked.as_secs_f64(),
        resident / MIB,
        log,
        load.unit,
    );
    let is_load = load.unit.is_empty() || (done > 0 && done_elsewhere > 0);
    let is_quick = ls <= LS_MAX && revoked <= REVOKED_MAX && speed / beside >= SPEED_MIN;
    is_load && is_quick && resident <= RESIDENT_MAX && log <= LOG_MAX
}

fn main() {
    // A thousand strangers have a socket each.
    qft::testing::storage::allow_many_open_files();
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let mib = std::env::var("QFT_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(SIZE_MIB);
    let bytes = mib * MIB;
    let field = Field::new(bytes, 0);
    let alone = field.median_send(bytes);
    println!("alone: ls {:.2} s, {:.0} MiB/s\n", field.ls().as_secs_f64(), alone / MIB as f64);
    drop(field);
    println!("| load | ls s | of alone | of elsewhere | revoked s | MiB | log bytes | what the load did |");
    println!("|---|---|---|---|---|---|---|---|");
    let chosen = |load: &&Load| filter.is_empty() || filter.iter().any(|word| load.name.contains(word.as_str()));
    let missed = LOADS.iter().filter(chosen).filter(|load| !measure(load, bytes, alone)).count();
    assert_eq!(missed, 0, "rows that miss a bound, or had no load");
}

/// Shared by what runs and what stops it.
type Flag = Arc<std::sync::atomic::AtomicBool>;
