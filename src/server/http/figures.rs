//! The server's metrics as Prometheus names them: base units, `_total` for counters, and few labels, each of a fixed
//! list. No client and no file has a series of its own: their number would be up to peers.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::super::ServerInner;
use super::super::live_connection::UdpTraffic;
use super::super::status::Direction;
use crate::progress::{Counters, Distribution};

/// How figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricsFormat {
    OpenMetrics,
    /// The text that Prometheus has always taken.
    Prometheus,
}

impl MetricsFormat {
    /// The one that a request with these `Accept` headers wants.
    pub(super) fn wanted<'a>(mut accepted: impl Iterator<Item = &'a str>) -> Self {
        match accepted.any(|value| value.contains("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All figures of a server at one moment.
#[derive(Debug)]
pub(super) struct Figures {
    start: f64,
    is_draining: bool,
    workers: Vec<usize>,
    clients: usize,
    clients_max: usize,
    /// Running, in and out.
    jobs: [u64; 2],
    moved: [DirectionMetrics; 2],
    traffic: UdpTraffic,
    admitted: u64,
    refused: Vec<(&'static str, u64)>,
    ended: Vec<(&'static str, u64)>,
    limits: Vec<(&'static str, u64)>,
    notices_lost: u64,
    history_lost: u64,
    memory_held: usize,
    free: Option<u64>,
    disk: QueueMetrics,
    commit: QueueMetrics,
    links: [Distribution; 4],
}

/// The totals of all jobs of one direction.
#[derive(Debug)]
struct DirectionMetrics {
    bytes: u64,
    done: u64,
    skipped: u64,
    failed: u64,
}

/// A queue, with two distributions of what has left it.
#[derive(Debug)]
struct QueueMetrics {
    waiting: usize,
    first: Distribution,
    second: Distribution,
}

impl DirectionMetrics {
    fn of(counters: &Counters) -> Self {
        Self {
            bytes: Counters::read(&counters.bytes_written),
            done: Counters::read(&counters.files_done),
            skipped: Counters::read(&counters.files_skipped),
            failed: Counters::read(&counters.files_failed),
        }
    }
}

impl Figures {
    /// The present values of all metrics. `free`: bytes of the disk, if it has told.
    pub(super) fn of(shared: &ServerInner, free: Option<u64>) -> Self {
        let (meter, connections) = (&shared.meter, shared.registry.connections());
        let jobs = [Direction::In, Direction::Out].map(|direction| {
            let of_connection = |live: &std::sync::Arc<super::super::live_connection::LiveConnection>| {
                live.running().iter().filter(|job| job.direction() == direction).count()
            };
            connections.iter().map(of_connection).sum::<usize>() as u64
        });
        let start = SystemTime::now().checked_sub(shared.started.elapsed());
        let start = start.and_then(|start| start.duration_since(SystemTime::UNIX_EPOCH).ok());
        let (disk, commit, links) = (shared.disk.times(), shared.committer.times(), &meter.links);
        Self {
            start: start.unwrap_or_default().as_secs_f64(),
            is_draining: shared.drain.borrow().is_some(),
            workers: shared.workers.active(),
            clients: connections.len(),
            clients_max: shared.gate.places.max(),
            jobs,
            moved: [Direction::In, Direction::Out].map(|direction| DirectionMetrics::of(meter.moved(direction))),
            traffic: shared.registry.traffic(),
            admitted: meter.admitted.load(Ordering::Relaxed),
            refused: meter.refused.look(),
            ended: meter.ended.look(),
            limits: meter.limits.look(),
            notices_lost: shared.notices.lost(),
            history_lost: shared.history.lost(),
            memory_held: shared.budget.held(),
            free,
            disk: QueueMetrics { waiting: shared.disk.queued(), first: disk.wait.look(), second: disk.work.look() },
            commit: QueueMetrics {
                waiting: shared.committer.queued(),
                first: commit.jobs.look(),
                second: commit.taken.look(),
            },
            links: [&links.rtt, &links.loss, &links.rate, &links.window].map(|link| link.look()),
        }
    }

    /// The figures as text.
    pub(super) fn text(self, format: MetricsFormat) -> String {
        let mut registry = Registry::with_prefix("qft");
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        let written = match format {
            MetricsFormat::OpenMetrics => text::encode(&mut out, &registry),
            MetricsFormat::Prometheus => prometheus_text::encode(&mut out, &registry),
        };
        written.expect("writing to memory never fails");
        out
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = MetricsEncoder(encoder);
        self.server(&mut page)?;
        self.content(&mut page)?;
        self.gate(&mut page)?;
        self.disk(&mut page)?;
        self.links(&mut page)
    }
}

impl Figures {
    fn server(&self, page: &mut MetricsEncoder<'_>) -> fmt::Result {
        page.info("build", "The version of the server", &[("version", env!("CARGO_PKG_VERSION"))])?;
        page.gauge("start_time", "When the server started, since 1970", Some(Unit::Seconds), &[(&[], self.start)])?;
        let draining = f64::from(u8::from(self.is_draining));
        page.gauge(
            "draining",
            "1 while the server takes no more clients and is about to end",
            None,
            &[(&[], draining)],
        )?;
        let names: Vec<String> = (0..self.workers.len()).map(|number| number.to_string()).collect();
        let labels: Vec<[Label<'_>; 1]> = names.iter().map(|name| [("worker", name.as_str())]).collect();
        let loads: Vec<_> = labels.iter().zip(&self.workers).map(|(label, load)| (&label[..], *load as f64)).collect();
        page.gauge("connections", "Connections on each worker, those in their handshake among them", None, &loads)?;
        page.gauge("clients", "Clients that are let in", None, &[(&[], self.clients as f64)])?;
        page.gauge("clients_max", "Most clients at the same time", None, &[(&[], self.clients_max as f64)])?;
        let [into, out] = self.jobs.map(|jobs| jobs as f64);
        page.gauge("jobs", "Jobs under way", None, &[(&IN, into), (&OUT, out)])?;
        page.gauge(
            "memory_held",
            "What clients make the server hold",
            Some(Unit::Bytes),
            &[(&[], self.memory_held as f64)],
        )?;
        let lost = [(&[][..], self.notices_lost)];
        page.counter("log_lines_lost", "What was not logged because it came too fast", None, &lost)?;
        let lost = [(&[][..], self.history_lost)];
        page.counter("history_lines_lost", "Jobs that are not in the history because the disk hung", None, &lost)
    }

    fn content(&self, page: &mut MetricsEncoder<'_>) -> fmt::Result {
        let [into, out] = &self.moved;
        let bytes = [(&IN[..], into.bytes), (&OUT[..], out.bytes)];
        page.counter("content", "Content of files that was written at its receiver", Some(Unit::Bytes), &bytes)?;
        let outcomes =
            |moved: &DirectionMetrics| [("done", moved.done), ("skipped", moved.skipped), ("failed", moved.failed)];
        let both = [(IN[0], outcomes(into)), (OUT[0], outcomes(out))];
        let labels = both.iter().flat_map(|(path, outcomes)| {
            outcomes.iter().map(move |(name, count)| ([*path, ("outcome", *name)], *count))
        });
        let labels: Vec<_> = labels.collect();
        let counts: Vec<_> = labels.iter().map(|(label, count)| (&label[..], *count)).collect();
        page.counter("files", "Files by what became of them", None, &counts)?;
        let UdpTraffic { received, sent, packets } = self.traffic;
        let bytes = [(&IN[..], received), (&OUT[..], sent)];
        page.counter("udp", "UDP payload of clients' connections", Some(Unit::Bytes), &bytes)?;
        page.counter("packets_sent", "Packets sent to clients", None, &[(&[], packets.0)])?;
        page.counter("packets_lost", "Packets sent to clients that were lost", None, &[(&[], packets.1)])
    }

    fn gate(&self, page: &mut MetricsEncoder<'_>) -> fmt::Result {
        page.counter("clients_admitted", "Connections of clients that were let in", None, &[(&[], self.admitted)])?;
        page.counted("handshakes_refused", "Who was not let in, by why", "reason", &self.refused)?;
        page.counted("connections_ended", "Ends of clients' connections, by why", "reason", &self.ended)?;
        page.counted("limits_reached", "Bounds that somebody has met", "limit", &self.limits)
    }

    fn disk(&self, page: &mut MetricsEncoder<'_>) -> fmt::Result {
        if let Some(free) = self.free {
            page.gauge("disk_free", "Room where the directory lies", Some(Unit::Bytes), &[(&[], free as f64)])?;
        }
        let waiting = |queue: &QueueMetrics| queue.waiting as f64;
        page.gauge("disk_queue", "Pieces of work that wait for a disk thread", None, &[(&[], waiting(&self.disk))])?;
        page.histogram("disk_wait", "How long work waited for a disk thread", Some(Unit::Seconds), &self.disk.first)?;
        page.histogram("disk_work", "How long work took a disk thread", Some(Unit::Seconds), &self.disk.second)?;
        page.gauge("commit_queue", "Files that wait to be made durable", None, &[(&[], waiting(&self.commit))])?;
        page.histogram("commit_group_files", "Files that were made durable together", None, &self.commit.first)?;
        page.histogram("commit", "How long such a group took", Some(Unit::Seconds), &self.commit.second)
    }

    fn links(&self, page: &mut MetricsEncoder<'_>) -> fmt::Result {
        let [rtt, loss, rate, window] = &self.links;
        page.histogram("rtt", "Round trip of connections that move files, each second", Some(Unit::Seconds), rtt)?;
        page.histogram(
            "loss",
            "Share of the packets lost of each second",
            Some(Unit::Other("ratio".to_owned())),
            loss,
        )?;
        let unit = Some(Unit::Other("bytes_per_second".to_owned()));
        page.histogram("rate", "UDP payload of a connection, both ways, each second", unit, rate)?;
        page.histogram("congestion_window", "Congestion window, each second", Some(Unit::Bytes), window)
    }
}

type Label<'a> = (&'a str, &'a str);

/// From clients to the server.
const IN: [Label<'static>; 1] = [("direction", "in")];
/// From the server to clients.
const OUT: [Label<'static>; 1] = [("direction", "out")];

/// Encodes the metrics, family by family.
struct MetricsEncoder<'a>(DescriptorEncoder<'a>);

impl MetricsEncoder<'_> {
    fn family(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<&Unit>,
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(self.0.encode_descriptor(name, help, unit, kind)?)
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<Unit>, values: &[(&[Label<'_>], u64)]) -> fmt::Result {
        self.family((name, help), unit.as_ref(), MetricType::Counter, |mut encoder| {
            for (labels, value) in values {
                let count = |mut encoder: MetricEncoder<'_>| encoder.encode_counter::<NoLabelSet, _, u64>(value, None);
                match labels.is_empty() {
                    true => encoder.encode_counter::<NoLabelSet, _, u64>(value, None)?,
                    false => count(encoder.encode_family(labels)?)?,
                }
            }
            Ok(())
        })
    }

    /// The same with one label that has a value for each kind.
    fn counted(&mut self, name: &str, help: &str, label: &str, counts: &[(&'static str, u64)]) -> fmt::Result {
        let labels: Vec<_> = counts.iter().map(|(kind, count)| ([(label, *kind)], *count)).collect();
        let values: Vec<_> = labels.iter().map(|(label, count)| (&label[..], *count)).collect();
        self.counter(name, help, None, &values)
    }

    fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: &[(&[Label<'_>], V)],
    ) -> fmt::Result {
        self.family((name, help), unit.as_ref(), MetricType::Gauge, |mut encoder| {
            for (labels, value) in values {
                match labels.is_empty() {
                    true => encoder.encode_gauge(value)?,
                    false => encoder.encode_family(labels)?.encode_gauge(value)?,
                }
            }
            Ok(())
        })
    }

    fn histogram(&mut self, name: &str, help: &str, unit: Option<Unit>, look: &Distribution) -> fmt::Result {
        self.family((name, help), unit.as_ref(), MetricType::Histogram, |mut encoder| {
            encoder.encode_histogram::<NoLabelSet>(look.sum, look.count, &look.buckets, None)
        })
    }

    fn info(&mut self, name: &str, help: &str, labels: &[Label<'_>]) -> fmt::Result {
        self.family((name, help), None, MetricType::Info, |mut encoder| encoder.encode_info(&labels))
    }
}
