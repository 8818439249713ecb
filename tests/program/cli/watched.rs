//! A server that is watched over HTTP: its figures beside what was done, and who may see them.

use std::net::TcpListener;

use prometheus_parse::{Scrape, Value};
use rustix::process::Signal;

use crate::support::bin::{Machine, Serve, wait_for};
use crate::support::http::get;

/// What the server counts, as a parser of somebody else's reads it.
struct Counted(Scrape);

impl Counted {
    fn of(serve: &Serve) -> Self {
        let answer = get(&serve.http(), "/metrics", &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        Self::read(&answer.body)
    }

    fn read(body: &str) -> Self {
        let lines = body.lines().map(|line| Ok(line.to_owned()));
        Self(Scrape::parse(lines).expect("the text of Prometheus"))
    }

    fn sample(&self, name: &str, labels: &[(&str, &str)]) -> &Value {
        let samples = self.0.samples.iter().filter(|sample| sample.metric == name);
        let mut found =
            samples.filter(|sample| labels.iter().all(|(key, value)| sample.labels.get(key) == Some(*value)));
        let sample = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
        assert!(found.next().is_none(), "more than one {name} {labels:?}");
        &sample.value
    }

    fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.sample(name, labels) {
            Value::Counter(count) | Value::Gauge(count) | Value::Untyped(count) => *count,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// How many values a histogram has; its last bucket has all.
    fn values(&self, name: &str) -> f64 {
        let Value::Histogram(buckets) = self.sample(name, &[]) else { panic!("{name} is no histogram") };
        assert!(buckets.iter().map(|bucket| bucket.count).is_sorted(), "{name}: {buckets:?}");
        let last = buckets.last().expect("buckets");
        let without_bound = buckets.iter().filter(|bucket| bucket.less_than >= f64::MAX).count();
        assert_eq!((last.less_than, without_bound), (f64::INFINITY, 1), "{name}: {buckets:?}");
        assert_eq!(last.count, self.count(&format!("{name}_count"), &[]));
        last.count
    }
}

const IN: (&str, &str) = ("direction", "in");
const OUT: (&str, &str) = ("direction", "out");

fn outcome(name: &'static str) -> (&'static str, &'static str) {
    ("outcome", name)
}

#[test]
fn the_figures_are_those_of_what_was_sent_got_and_refused() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--http 0 --no-clobber");
    let before = Counted::of(&serve);
    assert_eq!(before.count("qft_content_bytes_total", &[IN]), 0.0);
    local.write("d/a", vec![b'a'; 70_000]);
    local.write("d/b", vec![b'b'; 5]);
    local.qft(["send", "d", "--to", serve.ticket()]).run().exits(0);
    local.run("send d").exits(0);
    local.write("d/a", "another");
    local.run("send d/a --to").exits(2);
    local.qft(["send", "d/a", &format!("{}/d", serve.pinned())]).run().exits(7);
    local.run("get d back").exits(0);
    // Somebody whom nobody has let in.
    Machine::new().qft(["ls", &serve.pinned()]).run().exits(5);
    let all = wait_for("the ends of all connections", || {
        let all = Counted::of(&serve);
        (all.count("qft_clients", &[]) == 0.0).then_some(all)
    });
    assert_eq!(all.count("qft_content_bytes_total", &[IN]), 70_005.0);
    assert_eq!(all.count("qft_content_bytes_total", &[OUT]), 70_005.0);
    assert_eq!(all.count("qft_files_total", &[IN, outcome("done")]), 2.0);
    assert_eq!(all.count("qft_files_total", &[IN, outcome("skipped")]), 2.0);
    assert_eq!(all.count("qft_files_total", &[IN, outcome("failed")]), 1.0);
    assert_eq!(all.count("qft_files_total", &[OUT, outcome("done")]), 2.0);
    assert_eq!(all.count("qft_clients_admitted_total", &[]), 4.0);
    assert_eq!(all.count("qft_connections_ended_total", &[("reason", "done")]), 4.0);
    assert_eq!(all.count("qft_handshakes_refused_total", &[("reason", "not_authorised")]), 1.0);
    assert_eq!(all.count("qft_connections", &[("worker", "0")]), 0.0);
    assert_eq!(all.count("qft_jobs", &[IN]), 0.0);
    assert!(all.count("qft_udp_bytes_total", &[IN]) > 70_005.0 && all.count("qft_udp_bytes_total", &[OUT]) > 70_005.0);
    assert!(all.count("qft_packets_sent_total", &[]) > 50.0);
    assert!(all.count("qft_disk_free_bytes", &[]) > 0.0 && all.count("qft_start_time_seconds", &[]) > 1e9);
    assert!(all.values("qft_commit_group_files") >= 1.0 && all.values("qft_commit_seconds") >= 1.0);
    assert!(all.values("qft_disk_wait_seconds") >= 4.0);
    assert_eq!(all.values("qft_disk_wait_seconds"), all.values("qft_disk_work_seconds"));
    // Who asks for it gets the newer form, which ends with a mark.
    let open = get(&serve.http(), "/metrics", &["Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.1"]);
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(
        open.body.ends_with("# EOF\n") && open.body.contains("\nqft_content_bytes_total{direction=\"in\"} 70005\n")
    );
    let open = Counted::read(&open.body);
    for name in ["qft_rtt_seconds", "qft_loss_ratio", "qft_rate_bytes_per_second", "qft_congestion_window_bytes"] {
        assert!(open.values(name) >= all.values(name), "{name}");
    }
}

#[test]
fn a_link_is_measured_second_by_second_while_it_moves_files() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--http 0 --bwlimit 4M");
    local.write_large("large", 12 << 20);
    local.qft(["send", "large", "--to", serve.ticket()]).run().exits(0);
    let counted = Counted::of(&serve);
    assert!(counted.values("qft_rtt_seconds") >= 1.0);
    assert_eq!(counted.values("qft_rtt_seconds"), counted.values("qft_rate_bytes_per_second"));
    let sum = counted.count("qft_rate_bytes_per_second_sum", &[]);
    let mean = sum / counted.values("qft_rate_bytes_per_second");
    assert!((1e5..5e6).contains(&mean), "{mean} bytes a second");
}

#[test]
fn whoever_watches_from_elsewhere_needs_the_token() {
    let remote = Machine::new();
    remote.write("in/f", "x");
    remote.run("serve in --http 0.0.0.0:0").exits(2).says(&["--http-token-file", "qft peers token"]);
    remote.run("serve in --http-token-file token").exits(2);
    remote.run("serve in --http box").exits(2).says(&["--http"]);
    remote.run("peers token token").exits(0);
    let serve = remote.serve("in", "--http 0.0.0.0:0 --http-token-file token");
    let addr = serve.http().replace("0.0.0.0", "127.0.0.1");
    let denied = get(&addr, "/metrics", &[]);
    assert_eq!(denied.status, 401);
    assert!(denied.head.contains("www-authenticate: bearer") && !denied.body.contains("qft_"), "{}", denied.body);
    let token = String::from_utf8(remote.read("token")).expect("plain text");
    let shown = format!("Authorization: Bearer {}", token.trim());
    assert_eq!(get(&addr, "/metrics", &[&shown]).status, 200);
    // By whatever name, since the token says who asks.
    assert_eq!(get(&addr, "/metrics", &[&shown, "Host: box.example"]).status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&addr, path, &[]).status, 200, "{path}");
    }
    // Another one takes its place while it runs.
    remote.run("peers token token2").exits(0);
    std::fs::rename(remote.path("token2"), remote.path("token")).expect("replaced");
    serve.signal(Signal::HUP);
    wait_for("the new token", || (get(&addr, "/metrics", &[&shown]).status == 401).then_some(()));
    let token = String::from_utf8(remote.read("token")).expect("plain text");
    assert_eq!(get(&addr, "/metrics", &[&format!("Authorization: Bearer {}", token.trim())]).status, 200);
}

#[test]
fn the_token_may_lie_in_the_home() {
    let remote = Machine::new();
    remote.run("id").exits(0);
    remote.run("peers token home/http_token").exits(0);
    let serve = remote.serve("in", "--http 0.0.0.0:0");
    let addr = serve.http().replace("0.0.0.0", "127.0.0.1");
    assert_eq!(get(&addr, "/metrics", &[]).status, 401);
    let token = String::from_utf8(remote.read("home/http_token")).expect("plain text");
    assert_eq!(get(&addr, "/metrics", &[&format!("Authorization: Bearer {}", token.trim())]).status, 200);
    // Where nobody else can reach it, none is asked for.
    let own = remote.serve("in2", "--http 127.0.0.1:0");
    assert_eq!(get(&own.http(), "/metrics", &[]).status, 200);
    assert_eq!(get(&own.http(), "/metrics", &["Host: evil.example"]).status, 421);
}

#[test]
fn a_port_that_another_program_has_is_said_and_nothing_is_served_then() {
    let remote = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    remote.write("in/f", "x");
    let outcome = remote.run(&format!("serve in -l 127.0.0.1:0 --http {port}"));
    assert_eq!(outcome.exits(1).says(&[&format!("TCP port {port} is in use"), "--http"]).stdout, b"");
    let json = remote.serve("in", "--http 0 --json");
    wait_for("its start", || (!json.json().is_empty()).then_some(()));
    assert!(json.json()[0]["http"].as_str().is_some_and(|addr| addr.starts_with("127.0.0.1:")), "{:?}", json.json());
    let unwatched = remote.serve("in2", "");
    unwatched.wait_to_say("waiting for clients");
    assert!(!unwatched.log().contains("http"), "nothing is told to anybody unless asked for");
}

#[test]
fn a_server_that_ends_is_not_ready() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--http 0 --bwlimit 2M --drain 60s");
    local.write_large("large", 16 << 20);
    let sending = local.qft(["send", "large", "--to", serve.ticket()]).start();
    wait_for("a job", || (Counted::of(&serve).count("qft_jobs", &[IN]) == 1.0).then_some(()));
    assert_eq!(get(&serve.http(), "/readyz", &[]).status, 200);
    serve.signal(Signal::TERM);
    wait_for("the drain", || (get(&serve.http(), "/readyz", &[]).status == 503).then_some(()));
    wait_for("its figure", || (Counted::of(&serve).count("qft_draining", &[]) == 1.0).then_some(()));
    drop(sending);
}
