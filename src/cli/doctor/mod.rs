//! `qft doctor`: what this machine and the way to a remote can do, what limits it, and what would help.

mod local;
mod verdict;

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::local::{Check, State, checks};
use self::verdict::{Verdict, Way, judge};
use super::args::{DoctorArgs, TrustArgs};
use super::ask::Manner;
use super::exit::{Complaint, Exit};
use super::plan::Place;
use super::reach::{Missing, Reach, Reached, explain, find_server, remember};
use super::remote::{Spec, parse_bare};
use super::signals::{HangUps, Signals, block_on};
use super::size;
use super::ui::json::Json;
use super::ui::text::shown;
use crate::client::{Leg, PathFigures, PathReport};
use crate::protocol::message::Failure;
use crate::transport::{self, Granted};

/// How long an unreachable remote may stay silent; somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut out = Output::new(args.json);
    let (spec, trust) = remote(args)?;
    out.start(args);
    let checks = checks(&transport::home()?);
    out.heading("this machine");
    checks.iter().for_each(|check| out.check(check));
    let exit = checks.iter().find_map(Check::trouble).unwrap_or(Exit::Done);
    let local_remedy = checks.iter().find_map(|check| check.remedy.clone());
    let verdict = match &spec {
        // Whoever cannot show a key need not knock.
        Some(spec) if exit == Exit::Done => {
            let manner = Manner { json: args.json, patience: PATIENCE };
            let (place, note) = find_server(Some(spec), &trust, manner)?;
            note.iter().for_each(|line| out.row("", line));
            block_on(HangUps::End, async |signals| examine(&place, args, &mut out, signals).await)?
        }
        _ => Verdict::default(),
    };
    out.end(&verdict, local_remedy, exit);
    Ok(exit)
}

/// What the way is to be tested to, and what is trusted there; the port may stand in either.
fn remote(args: &DoctorArgs) -> Result<(Option<Spec>, TrustArgs), Complaint> {
    let mut trust = args.trust.clone();
    let Some(remote) = &args.remote else { return Ok((None, trust)) };
    let (spec, port) = parse_bare(remote)?.with_port_for_path()?;
    if let Some(port) = port.and_then(NonZeroU16::new)
        && trust.port.replace(port).is_some()
    {
        return Err(Complaint::usage("the port is named twice"));
    }
    Ok((Some(spec), trust))
}

impl Check {
    fn trouble(&self) -> Option<Exit> {
        match self.state {
            State::Bad(exit) => Some(exit),
            State::Good | State::Fair => None,
        }
    }
}

/// What the other end is called.
fn name(place: &Place) -> Cow<'_, str> {
    match place {
        Place::Remote { label, .. } => shown(label),
        // A far end is started for transfers, not for tests.
        Place::Far(_) | Place::Local { .. } => "local".into(),
    }
}

/// Measures the way to a remote, prints the figures, and judges them.
async fn examine(place: &Place, args: &DoctorArgs, out: &mut Output, mut signals: Signals) -> anyhow::Result<Verdict> {
    out.heading(&match place {
        Place::Remote { .. } => format!("the way to {}, {}", name(place), place.address()),
        Place::Far(_) | Place::Local { .. } => "the way to a server in this process".to_owned(),
    });
    if let Place::Remote { contact, .. } = place {
        let asked = Instant::now();
        let found = transport::resolve(&contact.host, contact.port).await?;
        out.addresses(&found, asked.elapsed());
    }
    let certificate = args.trust.certificate();
    let (missing, rate_limit, into) = (Missing::Refuse, None, None);
    let reach = Reach { patience: PATIENCE, sync: true, missing, certificate, rate_limit, bind: args.trust.bind, into };
    let reached = Reached::open(place, reach).await?;
    let probed = tokio::select! {
        probed = reached.client.probe(reached.contact.clone(), args.time) => probed,
        stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
    };
    reached.close().await;
    let report = probed.map_err(|error| explain(place, error))?;
    out.connection(&report);
    match remember(place, &report.peer, report.enrolled) {
        Ok(Some(line)) => out.row("", &line),
        Ok(None) => {}
        Err(error) => out.row("", &format!("this remote could not be saved: {error:#}")),
    }
    let Some(figures) = &report.figures else {
        out.row("throughput", "not measured: the qft there is too old for it");
        return Ok(Verdict::default());
    };
    Ok(out.figures(&name(place), &report, figures))
}

/// Where the findings go: a table for people, events for programs.
struct Output {
    json: Option<Json>,
}

impl Output {
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
            // Whoever closed the pipe has seen enough.
            drop(writeln!(io::stdout(), "{}", line.trim_end()));
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
            State::Good => ("", "good"),
            State::Fair => ("  <- see below", "fair"),
            State::Bad(_) => ("", "bad"),
        };
        let text = match check.state {
            State::Bad(_) => format!("TROUBLE: {}", check.text),
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

    fn figures(&mut self, name: &str, report: &PathReport, figures: &PathFigures) -> Verdict {
        let trips = Trips::of(&figures.trips);
        if let Some(trips) = &trips {
            self.row(
                "round trip",
                &format!(
                    "{} at least, {} on average, {} at most ({} tries)",
                    size::millis(trips.min),
                    size::millis(trips.mean),
                    size::millis(trips.max),
                    trips.count
                ),
            );
        }
        let (here, there) = (report.local, figures.remote);
        let up = self.leg("sending", &figures.up, |leg| Way::up(leg, here, there));
        let down = self.leg("getting", &figures.down, |leg| Way::down(leg, here, there));
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
        judge(name, trips.map_or(Duration::ZERO, |trips| trips.min), up, down)
    }

    fn leg(&self, label: &str, leg: &Result<Leg, Failure>, way: impl FnOnce(&Leg) -> Option<Way>) -> Option<Way> {
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
    fn end(&mut self, verdict: &Verdict, local_remedy: Option<String>, exit: Exit) {
        if !verdict.lines.is_empty() {
            self.heading("what that means");
            verdict.lines.iter().for_each(|line| fold(line, LINE_COLUMNS).iter().for_each(|line| self.print(line)));
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

/// A sentence in lines of at most `columns`, the first indented by two and the others by four.
fn fold(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![" ".to_owned()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        if last.chars().count() + 1 + word.chars().count() <= columns || last.trim().is_empty() {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("    {word}"));
        }
    }
    lines
}

fn buffers_json(granted: Granted) -> Value {
    json!({"receive": granted.receive, "send": granted.send})
}

fn leg_json(leg: &Result<Leg, Failure>, way: Option<&Way>) -> Value {
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

/// Round trips, summed up.
struct Trips {
    min: Duration,
    mean: Duration,
    max: Duration,
    count: usize,
}

impl Trips {
    fn of(trips: &[Duration]) -> Option<Self> {
        let (min, max) = (*trips.iter().min()?, *trips.iter().max()?);
        let count = u32::try_from(trips.len()).ok()?;
        Some(Self { min, mean: trips.iter().sum::<Duration>() / count, max, count: trips.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_fold_between_words() {
        let text = "to box: the link is the limit; it carries about 96 Mbit/s, and qft fills it";
        let lines = fold(text, 40);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
        assert!(lines[0].starts_with("  to box") && lines[1].starts_with("    "), "{lines:?}");
        assert_eq!(lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "), text);
        assert_eq!(fold("abcdefghijkl", 5), ["  abcdefghijkl"], "a long word is not cut");
    }

    #[test]
    fn round_trips_are_summed_up() {
        let trips = Trips::of(&[30, 10, 20].map(Duration::from_millis)).expect("some");
        let millis = Duration::from_millis;
        assert_eq!((trips.min, trips.mean, trips.max, trips.count), (millis(10), millis(20), millis(30), 3));
        assert!(Trips::of(&[]).is_none());
    }
}
