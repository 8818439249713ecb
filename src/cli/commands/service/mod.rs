//! `qft service`: systemd units for a server: printed, put in place, removed.

mod place;
mod unit;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};

use self::place::{UnitPlace, account_of};
use self::unit::{DRAIN, ServiceOwner, Units};
use crate::cli::args::{Cli, Commands, ServiceAction, ServiceArgs, UnitArgs};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::standard;
use crate::cli::target::address::parse_listen;

pub(crate) fn run(args: &ServiceArgs) -> anyhow::Result<Exit> {
    match &args.action {
        None => print(&units(&args.unit)?),
        Some(ServiceAction::Install(args)) => {
            let place = UnitPlace::of(args.which.user, &args.which.name)?;
            place.may_be_changed()?;
            place.install(&units(args)?)?;
        }
        Some(ServiceAction::Remove(which)) => {
            let place = UnitPlace::of(which.user, &which.name)?;
            place.may_be_changed()?;
            place.remove()?;
        }
    }
    Ok(Exit::Done)
}

/// Both files, each below its name.
fn print(units: &Units) {
    let dir = UnitPlace::of(units.owner == ServiceOwner::User, &units.name)
        .map(|place| place.dir().to_owned())
        .unwrap_or_default();
    let mut out = standard::output();
    for (number, (name, text)) in units.files().into_iter().enumerate() {
        let gap = if number == 0 { "" } else { "\n" };
        // A reader that has closed the pipe needs no more.
        drop(write!(out, "{gap}# {}\n{text}", dir.join(name).display()));
    }
}

fn units(args: &UnitArgs) -> anyhow::Result<Units> {
    parse_listen(&args.listen)?;
    let dir = directory(args)?;
    let owner = match (args.which.user, &args.run_as) {
        (true, _) => ServiceOwner::User,
        (false, Some(account)) => ServiceOwner::Account(account.clone()),
        (false, None) => ServiceOwner::Account(owner_of(&dir).unwrap_or_else(|| args.which.name.clone())),
    };
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).context("finding this program")?;
    let drain = drain(&args.options, &dir)?;
    let (name, listen, options) = (args.which.name.clone(), args.listen.clone(), args.options.clone());
    Ok(Units { name, owner, program, dir, listen, options, drain })
}

/// The served directory, as an absolute path.
fn directory(args: &UnitArgs) -> anyhow::Result<PathBuf> {
    let dir = match (&args.dir, args.which.user) {
        (Some(dir), _) => dir.clone(),
        (None, true) => std::env::home_dir().context("no home directory is known; name one to serve")?.join("incoming"),
        (None, false) => Units::state_dir(&args.which.name).join("files"),
    };
    // A unit outlives the links that lead to the directory today.
    let found = dir.canonicalize().or_else(|_| absolute(&dir)).context("finding the directory to serve")?;
    match found == Path::new("/") {
        true => Err(Complaint::usage("a service does not serve /: name a directory below it").into()),
        false => Ok(found),
    }
}

/// The account of whoever owns the directory, if that is not root.
fn owner_of(dir: &Path) -> Option<String> {
    let uid = dir.metadata().ok()?.uid();
    (uid != 0).then(|| account_of(uid)).flatten()
}

/// Tests the options as `qft serve` will read them, and says how long a server with them takes to end.
fn drain(options: &[OsString], dir: &Path) -> Result<Duration, Complaint> {
    let own = ["qft", "serve", "--drain", DRAIN].map(OsStr::new);
    let words = own.into_iter().chain(options.iter().map(AsRef::as_ref)).chain([OsStr::new("--"), dir.as_os_str()]);
    let refused = |error: clap::Error| Complaint::Usage(crate::cli::in_one_line(&error.to_string()));
    let matches = Cli::command().try_get_matches_from(words).map_err(refused)?;
    let serve = matches.subcommand_matches("serve").expect("it was asked for");
    if serve.value_source("listen") == Some(ValueSource::CommandLine) {
        return Err(Complaint::usage("systemd holds the socket: give --listen to 'qft service', before the --"));
    }
    match Cli::from_arg_matches(&matches).map_err(refused)?.command {
        Commands::Serve(args) => Ok(args.drain),
        _ => unreachable!("the first word was serve"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain_of(options: &[&str]) -> Result<Duration, Complaint> {
        let options: Vec<_> = options.iter().map(OsString::from).collect();
        drain(&options, Path::new("/srv"))
    }

    #[test]
    fn options_are_those_of_serve_and_tell_how_long_its_end_takes() {
        assert_eq!(drain_of(&["--write-only", "-v"]), Ok(Duration::from_secs(1)));
        assert_eq!(drain_of(&["--drain", "2m"]), Ok(Duration::from_secs(120)));
        for wrong in [&["--frobnicate"][..], &["-l", "0.0.0.0:1"], &["--", "other"], &["--drain", "soon"]] {
            assert!(drain_of(wrong).is_err(), "{wrong:?}");
        }
    }
}
