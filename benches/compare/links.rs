//! The links that are compared, and how they are written: `RATE/RTT/LOSS` or `RATE/RTT/LOSS/BURST`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::model::link::{LinkConfig, Loss, PAYLOAD_SHARE};

/// A link between two hosts, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkSpec {
    /// Rate in Mbit/s, IP headers included.
    pub(crate) mbit: f64,
    /// Round trip in milliseconds while nothing waits.
    pub(crate) rtt_ms: f64,
    /// Share of packets lost, each way, in percent.
    pub(crate) loss_percent: f64,
    /// Mean number of packets lost in a row; 1 = each on its own.
    pub(crate) burst: f64,
}

/// What every comparison should hold: lossless to very lossy, slow to fast, near to far, and loss in bursts.
const TABLE: [&str; 8] =
    ["100/100/0", "100/100/1", "100/100/5", "100/200/5", "100/200/10", "20/300/3", "500/100/1", "100/100/1/5"];
/// Time against loss: one rate and one round trip.
const LOSSES: [&str; 5] = ["100/100/0", "100/100/0.1", "100/100/1", "100/100/5", "100/100/10"];
/// Time against the round trip: one rate and one loss.
const ROUND_TRIPS: [&str; 4] = ["100/20/1", "100/100/1", "100/200/1", "100/300/1"];
/// Enough to see that everything works.
const QUICK: [&str; 2] = ["100/100/0", "100/100/1"];

impl LinkSpec {
    /// The links of `table`, `loss`, `rtt`, `all` or `quick`, or the one that is written out.
    pub(crate) fn chosen(word: &str) -> anyhow::Result<Vec<Self>> {
        let all;
        let names: &[&str] = match word {
            "table" => &TABLE,
            "loss" => &LOSSES,
            "rtt" => &ROUND_TRIPS,
            "quick" => &QUICK,
            "all" => {
                all = [TABLE.as_slice(), &LOSSES, &ROUND_TRIPS].concat();
                &all
            }
            one => return Ok(vec![one.parse()?]),
        };
        let mut links: Vec<Self> = Vec::new();
        for name in names {
            let link = name.parse()?;
            if !links.contains(&link) {
                links.push(link);
            }
        }
        Ok(links)
    }

    /// What the model of one direction is told.
    pub(crate) fn config(&self) -> LinkConfig {
        let share = self.loss_percent / 100.0;
        let loss = match (share > 0.0, self.burst > 1.0) {
            (false, _) => Loss::None,
            (true, false) => Loss::Random(share),
            (true, true) => Loss::Gilbert { share, burst: self.burst },
        };
        let rtt = Duration::from_secs_f64(self.rtt_ms / 1e3);
        LinkConfig { loss, ..LinkConfig::new((self.mbit * 1e6) as u64, rtt) }
    }

    /// Most Mbit/s of content that it can carry.
    pub(crate) fn limit_mbit(&self) -> f64 {
        self.mbit * PAYLOAD_SHARE
    }

    /// On the chart of time against loss.
    pub(crate) fn is_of_losses(&self) -> bool {
        self.is_one_of(&LOSSES)
    }

    /// On the chart of time against the round trip.
    pub(crate) fn is_of_round_trips(&self) -> bool {
        self.is_one_of(&ROUND_TRIPS)
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| name.parse().is_ok_and(|link: Self| link == *self))
    }
}

impl FromStr for LinkSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let numbers: Vec<f64> =
            text.split('/').map(str::parse).collect::<Result<_, _>>().with_context(|| {
                format!("{text}: not table, loss, rtt, all, or RATE/RTT/LOSS[/BURST] as in 100/50/1")
            })?;
        let (mbit, rtt_ms, loss_percent, burst) = match numbers[..] {
            [mbit, rtt, loss] => (mbit, rtt, loss, 1.0),
            [mbit, rtt, loss, burst] => (mbit, rtt, loss, burst),
            _ => anyhow::bail!("{text}: a link is RATE/RTT/LOSS[/BURST] in Mbit/s, ms, percent and packets"),
        };
        ensure!(mbit > 0.0 && rtt_ms >= 0.0 && burst >= 1.0, "{text}: needs a rate, and bursts of at least 1");
        ensure!((0.0..100.0).contains(&loss_percent), "{text}: loses 0 to 100 percent");
        Ok(Self { mbit, rtt_ms, loss_percent, burst })
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Mbit/s, RTT {} ms, ", self.mbit, self.rtt_ms)?;
        match (self.loss_percent > 0.0, self.burst > 1.0) {
            (false, _) => write!(f, "no loss"),
            (true, false) => write!(f, "{} % loss", self.loss_percent),
            (true, true) => write!(f, "{} % loss in bursts of {}", self.loss_percent, self.burst),
        }
    }
}
