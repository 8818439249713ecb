//! `qft doctor`: what this machine and the way to a remote can do, what limits it, and what would help.

mod local;
mod verdict;

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::local::{Check, CheckState, checks};
use self::verdict::{Diagnosis, DirectionFigures, judge};
use super::ping::{RoundTrips, parse_with_port};
use crate::cli::args::DoctorArgs;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::signals::{HangUps, Signals, block_on};
use crate::cli::run::standard;
use crate::cli::run::transfer::gone;
use crate::cli::ssh::FarEnd;
use crate::cli::target::connect::{ConnectSettings, Connected, TargetQuery, explain, remember, resolve};
use crate::cli::target::plan::ServerTarget;
use crate::cli::text::size;
use crate::cli::ui::fold::fold;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::client::{DirectionProbe, PathFigures, PathReport};
use crate::keys;
use crate::protocol::message::Failure;
use crate::transport::{self, Granted};

/// How long an unreachable remote may stay silent; somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut out = DoctorOutput::new(args.json);
    let (spec, trust) = match &args.remote {
        None => (None, args.trust.clone()),
        Some(remote) => parse_with_port(Some(remote), &args.trust)?,
    };
    out.start(args);
    let checks = checks(&keys::home()?);
    out.heading("this machine");
    checks.iter().for_each(|check| out.check(check));
    let exit = checks.iter().find_map(Check::trouble).unwrap_or(Exit::Done);
    let local_remedy = checks.iter().find_map(|check| check.remedy.clone());
    let verdict = match &spec {
        // Without a key of its own the client need not connect at all.
        Some(spec) if exit == Exit::Done => {
            let settings = ConnectSettings::without_files(PATIENCE, &trust);
            let far = vec![Vec::new()];
            let target = resolve(
                TargetQuery { spec: Some(spec), far, ssh: &args.ssh, trust: &trust, json: args.json },
                &settings,
            )?;
            target.note.iter().for_each(|line| out.row("", line));
            let is_busy = checks.iter().any(Check::is_overload);
            let way = Examined { place: target.place, far_end: target.far_end, is_busy };
            block_on(HangUps::End, async |signals| examine(&way, settings, args, &mut out, signals).await)?
        }
        _ => Diagnosis::default(),
    };
    out.end(&verdict, local_remedy, exit);
    Ok(exit)
}

impl Check {
    fn trouble(&self) -> Option<Exit> {
        match self.state {
            CheckState::Bad(exit) => Some(exit),
            CheckState::Good | CheckState::Fair => None,
        }
    }
}

/// The name of the other end.
fn name(place: &ServerTarget) -> Cow<'_, str> {
    match place {
        ServerTarget::Remote { label, .. } => shown(label),
        ServerTarget::Far(far) => shown(&far.host),
        ServerTarget::Local { .. } => "local".into(),
    }
}

/// The server that is examined.
struct Examined {
    place: ServerTarget,
    /// Held to the end: dropping it ends the far end behind ssh.
    far_end: Option<FarEnd>,
    /// Other programs take this machine's time.
    is_busy: bool,
}

/// Measures the way to a remote, prints the figures, and judges them.
async fn examine(
    way: &Examined,
    settings: ConnectSettings,
    args: &DoctorArgs,
    out: &mut DoctorOutput,
    mut signals: Signals,
) -> anyhow::Result<Diagnosis> {
    let place = &way.place;
    out.heading(&match place {
        ServerTarget::Remote { .. } => format!("the way to {}, {}", name(place), place.address()),
        ServerTarget::Far(_) => format!("the way to {}, {}, started through ssh", name(place), place.address()),
        ServerTarget::Local { .. } => "the way to a server in this process".to_owned(),
    });
    if let ServerTarget::Remote { contact, .. } = place {
        let asked = Instant::now();
        let found = transport::resolve(&contact.host, contact.port).await?;
        out.addresses(&found, asked.elapsed());
    }
    let connected = Connected::open(place, settings).await?;
    let probed = tokio::select! {
        probed = connected.client.probe(connected.contact.clone(), args.time) => probed,
        gone = gone(way.far_end.as_ref()) => return Err(gone.error.into()),
        stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
    };
    connected.close().await;
    let report = probed.map_err(|error| explain(place, error))?;
    out.connection(&report);
    match remember(place, &report.peer, report.enrolled) {
        Ok(Some(line)) => out.row("", &line),
        Ok(None) => {}
        Err(error) => out.row("", &format!("this remote could not be saved: {error:#}")),
    }
    let Some(figures) = &report.figures else {
        out.row("throughput", "not measured: the qft there is too old for it");
        return Ok(Diagnosis::default());
    };
    Ok(out.figures(&name(place), &report, figures, way.is_busy))
}

/// Where the findings go: a table for people, events for programs.
struct DoctorOutput {
    json: Option<Json>,
}

impl DoctorOutput {
    fn new(json: bool) -> Self {
        Self { json: json.then(Json::stdout) }
    }

    fn start(&mut self, args: &DoctorArgs) {
        if let Some(json) = &mut self.json {
            json.start("doctor", json!({ "time_ms": args.time.as_millis() as u64 }));
        }
    }

    fn print(&self, line: &str) {
        if self.json.is_none() {
            // A reader that has closed the pipe has seen enough.
            drop(writeln!(standard::output(), "{}", line.trim_end()));
        }
    }

    fn note(&mut self, kind: &str, body: Value) {
        if let Some(json) = &mut self.json {
            json.note(kind, body);
        }
    }

    fn heading(&self, text: &str) {
        self.print(text);
    }

    fn row(&self, name: &str, text: &str) {
        self.print(&format!("  {name:<12} {text}"));
    }

    fn check(&mut self, check: &Check) {
        let (mark, state) = match check.state {
            CheckState::Good => ("", "good"),
            CheckState::Fair => ("  <- see below", "fair"),
            CheckState::Bad(_) => ("", "bad"),
        };
        let text = match check.state {
            CheckState::Bad(_) => format!("TROUBLE: {}", check.text),
            // Only what can be mended is pointed at.
            _ if check.remedy.is_none() => check.text.clone(),
            _ => format!("{}{mark}", check.text),
        };
        self.row(check.name, &text);
        self.note("check", json!({"name": check.name, "state": state, "text": check.text, "remedy": check.remedy}));
    }

    fn addresses(&mut self, found: &[std::net::SocketAddr], took: Duration) {
        let addresses: Vec<_> = found.iter().map(|addr| addr.ip().to_string()).collect();
        self.row("addresses", &format!("{} (found in {})", addresses.join(", "), size::millis(took)));
        self.note("addresses", json!({"addresses": addresses, "took_us": took.as_micros() as u64}));
    }

    fn connection(&mut self, report: &PathReport) {
        let (peer, ip, took) = (shown(&report.peer), report.addr.ip(), size::millis(report.handshake));
        self.row("handshake", &format!("{took}, with {peer} at {ip}"));
        self.note(
            "connected",
            json!({
                "address": report.addr.to_string(), "peer": report.peer, "enrolled": report.enrolled,
                "handshake_us": report.handshake.as_micros() as u64,
            }),
        );
    }

    fn figures(&mut self, name: &str, report: &PathReport, figures: &PathFigures, is_busy: bool) -> Diagnosis {
        let trips = RoundTrips::of(&figures.trips);
        if let Some(trips) = &trips {
            self.row("round trip", &trips.figures());
        }
        let (here, there) = (report.local, figures.remote);
        let up = self.leg("sending", &figures.up, |leg| DirectionFigures::up(leg, here, there));
        let down = self.leg("getting", &figures.down, |leg| DirectionFigures::down(leg, here, there));
        self.note(
            "path",
            json!({
                "rtt_min_us": trips.as_ref().map(|trips| trips.min.as_micros() as u64),
                "rtt_mean_us": trips.as_ref().map(|trips| trips.mean.as_micros() as u64),
                "rtt_max_us": trips.as_ref().map(|trips| trips.max.as_micros() as u64),
                "udp_here": buffers_json(here), "udp_there": buffers_json(there),
                "up": leg_json(&figures.up, up.as_ref()), "down": leg_json(&figures.down, down.as_ref()),
            }),
        );
        judge(name, trips.map_or(Duration::ZERO, |trips| trips.min), (up, down), is_busy)
    }

    fn leg(
        &self,
        label: &str,
        leg: &Result<DirectionProbe, Failure>,
        way: impl FnOnce(&DirectionProbe) -> Option<DirectionFigures>,
    ) -> Option<DirectionFigures> {
        let leg = match leg {
            Ok(leg) => leg,
            Err(failure) => {
                self.row(label, &format!("not measured: {failure}"));
                return None;
            }
        };
        let way = way(leg);
        match &way {
            Some(way) => self.row(
                label,
                &format!(
                    "{} ({}), {:.1}% lost, rtt {}, packets of {}",
                    size::rate(way.rate),
                    size::bits(way.rate),
                    way.loss * 100.0,
                    size::millis(way.rtt),
                    way.mtu
                ),
            ),
            None => self.row(label, "nothing arrived"),
        }
        way
    }

    /// The last lines: what it means, and what to do.
    fn end(&mut self, verdict: &Diagnosis, local_remedy: Option<String>, exit: Exit) {
        if !verdict.lines.is_empty() {
            self.heading("what that means");
            for line in &verdict.lines {
                fold(&format!("  {line}"), LINE_COLUMNS).iter().for_each(|line| self.print(line));
            }
        }
        let remedy = verdict.remedy.clone().or(local_remedy);
        match (&remedy, exit) {
            (Some(remedy), _) => self.print(&format!("what would help:\n  {remedy}")),
            (None, Exit::Done) if verdict.is_held_up => self.print("no command on either machine would change that"),
            (None, Exit::Done) => self.print("nothing needs doing"),
            (None, _) => {}
        }
        let body = json!({ "findings": verdict.lines, "remedy": remedy });
        if let Some(json) = &mut self.json {
            json.end(None, exit, body);
        }
    }
}

/// Columns that a sentence may take.
const LINE_COLUMNS: usize = 78;

fn buffers_json(granted: Granted) -> Value {
    json!({"receive": granted.receive, "send": granted.send})
}

fn leg_json(leg: &Result<DirectionProbe, Failure>, way: Option<&DirectionFigures>) -> Value {
    match (leg, way) {
        (Ok(leg), Some(way)) => json!({
            "rate": way.rate as u64, "loss": way.loss, "packets_sent": leg.packets_sent,
            "packets_lost": leg.packets_lost, "rtt_us": way.rtt.as_micros() as u64, "window": leg.window,
            "mtu": way.mtu, "cpu_here": way.cpu.here, "cpu_there": way.cpu.there, "limit": way.limit().key(),
        }),
        (Ok(_), None) => Value::Null,
        (Err(failure), _) => json!({ "refused": failure.to_string() }),
    }
}
