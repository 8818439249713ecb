//! What a reader must know about where and when.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use super::results::Machine;

impl Machine {
    /// This one.
    pub(crate) fn here() -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
        let processor = model.unwrap_or(std::env::consts::ARCH).trim().to_owned();
        let cores = std::thread::available_parallelism()?.get();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Ok(Self { processor, cores, kernel })
    }
}

/// The day, in UTC: `2026-01-31`.
pub(crate) fn today() -> anyhow::Result<String> {
    date("+%F")
}

/// The moment, in UTC: `2026-01-31T12:34:56Z`.
pub(crate) fn now() -> anyhow::Result<String> {
    date("+%FT%TZ")
}

fn date(format: &str) -> anyhow::Result<String> {
    let said = Command::new("date").args(["-u", format]).output().context("date")?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}
