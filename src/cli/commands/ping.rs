//! `qft ping`: whether a remote answers, and how long a round trip takes.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::num::NonZeroU16;
use std::time::Duration;

use serde_json::json;

use super::send::REMOTE_VARIABLE;
use crate::cli::args::{PingArgs, TrustArgs};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::signals::{HangUps, block_on};
use crate::cli::run::standard;
use crate::cli::run::transfer::gone;
use crate::cli::ssh::FarEnd;
use crate::cli::target::connect::{ConnectSettings, Connected, TargetQuery, explain, remember, resolve};
use crate::cli::target::plan::ServerTarget;
use crate::cli::target::remote::{Spec, parse_bare};
use crate::cli::text::size;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::client::PingReport;

pub(crate) fn run(args: &PingArgs) -> anyhow::Result<Exit> {
    let named = args.remote.clone().or_else(|| std::env::var_os(REMOTE_VARIABLE).filter(|value| !value.is_empty()));
    let (spec, trust) = parse_with_port(named.as_deref(), &args.query.trust)?;
    let settings = ConnectSettings::without_files(args.query.timeout, &trust);
    let wanted = TargetQuery {
        spec: spec.as_ref(),
        far: vec![Vec::new()],
        ssh: &args.query.ssh,
        trust: &trust,
        json: args.query.json,
    };
    let target = resolve(wanted, &settings)?;
    let (place, far_end) = (target.place, target.far_end);
    let mut json = args.query.json.then(Json::stdout);
    if let Some(json) = &mut json {
        json.start("ping", json!({ "address": place.address() }));
    }
    let mut say = |line: &str| match &mut json {
        Some(json) => json.note("text", json!({ "text": line })),
        None => drop(writeln!(io::stderr(), "{line}")),
    };
    target.note.iter().for_each(|note| say(note));
    let report = ping(&place, settings, far_end.as_ref(), args.count.get())?;
    drop(far_end);
    let saved = remember(&place, &report.peer, report.enrolled);
    let saved = saved.unwrap_or_else(|error| Some(format!("this remote could not be saved: {error:#}")));
    saved.iter().for_each(|line| say(line));
    match &mut json {
        Some(json) => json.end(None, Exit::Done, body(&report)),
        None => lines(&place, &report).iter().for_each(|line| drop(writeln!(standard::output(), "{line}"))),
    }
    Ok(Exit::Done)
}

fn ping(
    place: &ServerTarget,
    settings: ConnectSettings,
    far_end: Option<&FarEnd>,
    count: usize,
) -> anyhow::Result<PingReport> {
    block_on(HangUps::End, async |mut signals| {
        let connected = Connected::open(place, settings).await?;
        let pinged = tokio::select! {
            pinged = connected.client.ping(connected.contact.clone(), count) => pinged,
            gone = gone(far_end) => return Err(gone.error.into()),
            stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
        };
        connected.close().await;
        pinged.map_err(|error| explain(place, error))
    })
}

fn lines(place: &ServerTarget, report: &PingReport) -> Vec<String> {
    let (peer, took) = (shown(&report.peer), size::millis(report.handshake));
    let target = match place {
        ServerTarget::Remote { label, .. } => format!("{} at {}", shown(label), report.addr),
        ServerTarget::Far(_) => format!("{peer} at {}, started through ssh", report.addr),
        ServerTarget::Local { .. } => "a server in this process".to_owned(),
    };
    let mut lines = vec![format!("{target}: handshake {took}")];
    lines.push(match RoundTrips::of(&report.trips) {
        Some(trips) => trips.words(),
        None => "round trips: not measured, for the qft there is too old for it".to_owned(),
    });
    lines
}

fn body(report: &PingReport) -> serde_json::Value {
    let trips: Vec<u64> = report.trips.iter().map(|trip| trip.as_micros() as u64).collect();
    json!({
        "address": report.addr.to_string(), "peer": report.peer, "enrolled": report.enrolled,
        "handshake_us": report.handshake.as_micros() as u64, "trips_us": trips,
    })
}

/// Round trips, summed up.
pub(in crate::cli) struct RoundTrips {
    pub(in crate::cli) min: Duration,
    pub(in crate::cli) mean: Duration,
    pub(in crate::cli) max: Duration,
    count: usize,
}

impl RoundTrips {
    pub(in crate::cli) fn of(trips: &[Duration]) -> Option<Self> {
        let (min, max) = (*trips.iter().min()?, *trips.iter().max()?);
        let count = u32::try_from(trips.len()).ok()?;
        Some(Self { min, mean: trips.iter().sum::<Duration>() / count, max, count: trips.len() })
    }

    fn words(&self) -> String {
        format!("round trip {}", self.figures())
    }

    pub(in crate::cli) fn figures(&self) -> String {
        let [min, mean, max] = [self.min, self.mean, self.max].map(size::millis);
        let tries = if self.count == 1 { "try" } else { "tries" };
        format!("{min} at least, {mean} on average, {max} at most ({} {tries})", self.count)
    }
}

/// The remote that a command tests the way to; its port may stand in either.
///
/// # Errors
/// An error for an argument that is no remote, and for a port that is given twice.
pub(crate) fn parse_with_port(
    remote: Option<&OsStr>,
    trust: &TrustArgs,
) -> Result<(Option<Spec>, TrustArgs), Complaint> {
    let mut trust = trust.clone();
    let Some(remote) = remote else { return Ok((None, trust)) };
    let (spec, port) = parse_bare(remote)?.with_port_for_path()?;
    if let Some(port) = port.and_then(NonZeroU16::new)
        && trust.port.replace(port).is_some()
    {
        return Err(Complaint::usage("the port is named twice"));
    }
    Ok((Some(spec), trust))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_summed_up() {
        let trips = RoundTrips::of(&[30, 10, 20].map(Duration::from_millis)).expect("some");
        let millis = Duration::from_millis;
        assert_eq!((trips.min, trips.mean, trips.max, trips.count), (millis(10), millis(20), millis(30), 3));
        assert!(RoundTrips::of(&[]).is_none());
    }
}
