//! An honest client beside hostile ones: what they cost it, and what they make the server take.
//!
//! `cargo bench --bench strangers [-- FILTER]`; needs 3 GiB in the temporary directory. `QFT_BENCH_MIB` is the size of the
//! honest transfer (1024). Each load has a server process of its own, over loopback. Columns: seconds of an honest
//! `qft ls`; speed of an honest `qft send` as a share of its speed alone, and as a share of its speed while the same load
//! goes to *another* server of this machine, which takes the processor time that anybody would lose; seconds until a
//! revoked client is put out; most memory of the server; bytes of its log. Figures are for people; what must hold is asserted: all honest commands succeed.

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

/// A server, an honest client of it, and a client that is to be revoked.
struct Field {
    server: Machine,
    serve: Serve,
    honest: Machine,
    target: Target,
}

impl Field {
    fn new(bytes: u64) -> Self {
        let (server, honest) = (Machine::new(), Machine::new());
        for n in 0..FILES {
            server.write(&format!("served/d/{n}"), "");
        }
        honest.write_large("file", bytes);
        let allow = |name: &str, key: &str, rights: &str| {
            server.run(&format!("peers allow {key} --name {name} {rights}")).exits(0);
        };
        allow("honest", &honest.fingerprint(), "");
        let target = Target::new();
        for (n, identity) in target.hostile.iter().enumerate() {
            allow(&format!("hostile{n}"), &identity.fingerprint().to_string(), "");
        }
        allow("reader", &target.reader.fingerprint().to_string(), "--ro");
        allow("victim", &target.victim.fingerprint().to_string(), "");
        let serve = server.serve("served", "-w 2 --no-sync");
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

    fn revocation(&self) -> Duration {
        let inside = self.target.victim_inside();
        let start = Instant::now();
        self.server.run("peers revoke victim").exits(0);
        inside.wait_for_the_end();
        start.elapsed()
    }
}

/// One row of the table.
fn measure(load: &Load, bytes: u64, alone: f64) {
    let (here, elsewhere) = (Field::new(bytes), Field::new(MIB));
    let running = load.start(&elsewhere.target);
    let beside = here.send(bytes, "a");
    drop(running);
    drop(elsewhere);
    let running = load.start(&here.target);
    let ls = here.ls();
    let speed = here.send(bytes, "b");
    let revoked = here.revocation();
    let done = running.stop();
    println!(
        "| {:<44} | {:>6.2} | {:>5.2} | {:>5.2} | {:>6.2} | {:>6} | {:>9} | {done}",
        load.name,
        ls.as_secs_f64(),
        speed / alone,
        speed / beside,
        revoked.as_secs_f64(),
        here.serve.most_resident() / MIB,
        here.serve.log().len(),
    );
}

fn main() {
    // A thousand strangers have a socket each.
    qft::storage::allow_many_open_files();
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let mib = std::env::var("QFT_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(SIZE_MIB);
    let bytes = mib * MIB;
    let field = Field::new(bytes);
    let alone = (0..3).map(|n| field.send(bytes, &format!("alone{n}"))).fold(0.0, f64::max);
    println!("alone: ls {:.2} s, {:.0} MiB/s\n", field.ls().as_secs_f64(), alone / MIB as f64);
    drop(field);
    println!("| load | ls s | of alone | of elsewhere | revoked s | MiB | log bytes | what the load did");
    println!("|---|---|---|---|---|---|---|");
    let chosen = |load: &&Load| filter.is_empty() || filter.iter().any(|word| load.name.contains(word.as_str()));
    LOADS.iter().filter(chosen).for_each(|load| measure(load, bytes, alone));
}

/// Shared by what runs and what stops it.
type Flag = Arc<std::sync::atomic::AtomicBool>;
