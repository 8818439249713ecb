//! The checks of this machine that need no network.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::config::ConfigFile;
use crate::cli::exit::Exit;
use crate::cli::text::size;
use crate::cli::ui::text::shown;
use crate::digest::{Engine, engine};
use crate::keys::Identity;
use crate::keys::trust::{Clients, Remotes};
use crate::session::host_name;
use crate::storage::allow_many_open_files;
use crate::transport::{Granted, SOCKET_BUFFER_BYTES, examine_socket};

/// Fewer open files make commits of many small files slow.
const OPEN_FILES_ENOUGH: u64 = 4096;
/// Programs a core from which on each waits for the others noticeably.
const OVERLOADED: f64 = 1.5;
/// The name of the check of this machine's load.
const PROCESSOR: &str = "processor";
/// The first second of 2026. A clock before that is not set: this program is younger.
const YOUNGEST: Duration = Duration::from_secs(1_767_225_600);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckState {
    /// As it should be.
    Good,
    /// It works, but not as well as it could.
    Fair,
    /// It does not work; the exit code says of what kind the trouble is.
    Bad(Exit),
}

#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: CheckState,
    pub(super) text: String,
    /// The command that mends it.
    pub(super) remedy: Option<String>,
}

impl Check {
    /// Whether other programs take the time that a measurement needs.
    pub(super) fn is_overload(&self) -> bool {
        self.name == PROCESSOR && self.state == CheckState::Fair
    }

    fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: CheckState::Good, text: text.into(), remedy: None }
    }

    fn fair(name: &'static str, text: impl Into<String>, remedy: Option<String>) -> Self {
        Self { name, state: CheckState::Fair, text: text.into(), remedy }
    }

    fn bad(name: &'static str, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let text = shown(&format!("{error:#}")).into_owned();
        Self { name, state: CheckState::Bad(Exit::of_error(&error)), text, remedy: None }
    }
}

/// All checks. `home` is where the key and the lists are.
pub(super) fn checks(home: &Path) -> Vec<Check> {
    let mut checks = vec![identity(home), lists(home), settings(home)];
    checks.extend(socket());
    checks.push(open_files(allow_many_open_files()));
    checks.push(hashing(engine()));
    checks.push(clock(SystemTime::now()));
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // Only Linux tells it there; elsewhere nothing is said.
    checks.extend(fs::read_to_string("/proc/loadavg").ok().and_then(|text| load(&text, cores)));
    checks
}

fn identity(home: &Path) -> Check {
    match Identity::load_or_create(home) {
        Ok(identity) => {
            let text = format!("{} ({}), in {}", shown(&host_name()), identity.fingerprint().short(), home.display());
            Check::good("identity", text)
        }
        Err(error) => Check::bad("identity", error),
    }
}

fn lists(home: &Path) -> Check {
    let remotes = Remotes::open(home).and_then(|remotes| remotes.list());
    let clients = Clients::open(home).and_then(|clients| clients.list());
    match (remotes, clients) {
        (Ok(remotes), Ok(clients)) => {
            let (remotes, clients) = (remotes.len(), clients.clients.len());
            Check::good(
                "lists",
                format!("{} known here, {} may connect here", many(remotes, "server"), many(clients, "client")),
            )
        }
        (Err(error), _) | (_, Err(error)) => Check::bad("lists", error),
    }
}

fn settings(home: &Path) -> Check {
    match ConfigFile::read(home).and_then(|config| config.check()) {
        Ok(0) => Check::good("settings", "none (qft config shows what there could be)"),
        Ok(count) => Check::good("settings", format!("{count} in config.toml (qft config shows them)")),
        Err(error) => Check::bad("settings", error),
    }
}

fn many(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn socket() -> Vec<Check> {
    let report = match examine_socket() {
        Ok(report) => report,
        Err(error) => return vec![Check::bad("UDP", error)],
    };
    let wanted = Granted::WANTED;
    let is_receive_short = report.granted.receive < wanted.receive;
    let is_send_short = report.granted.send < wanted.send;
    // One command for both.
    let remedy = report.granted.command(wanted);
    let offload = match (report.send_segments, report.receive_segments) {
        (1, 1) => Check::fair("UDP offload", "none (GSO, GRO): fast links cost more processor time", None),
        (send, receive) => Check::good("UDP offload", format!("{send} packets a call out (GSO), {receive} in (GRO)")),
    };
    vec![
        buffer("UDP receive", report.granted.receive, remedy.clone().filter(|_| is_receive_short)),
        buffer("UDP send", report.granted.send, remedy.filter(|_| is_send_short)),
        offload,
    ]
}

/// One of the two buffers, with what makes it larger if it is too small.
fn buffer(name: &'static str, granted: usize, remedy: Option<String>) -> Check {
    let (granted, asked) = (size::bytes(granted as u64), size::bytes(SOCKET_BUFFER_BYTES as u64));
    match remedy {
        None => Check::good(name, format!("buffer {granted}, as asked for")),
        Some(command) => Check::fair(name, format!("buffer {granted}, asked for {asked}"), Some(command)),
    }
}

fn hashing(engine: Engine) -> Check {
    match engine {
        Engine::Lanes(_) => Check::good("hashing", engine.to_string()),
        Engine::AskedScalar | Engine::FailedLanes(_) => Check::fair("hashing", engine.to_string(), None),
    }
}

fn open_files(limit: u64) -> Check {
    match limit {
        OPEN_FILES_ENOUGH.. => Check::good("open files", format!("up to {}", size::count(limit))),
        _ => {
            let text = format!("only {}: many small files take longer", size::count(limit));
            Check::fair("open files", text, Some(format!("ulimit -n {OPEN_FILES_ENOUGH}")))
        }
    }
}

fn clock(now: SystemTime) -> Check {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if since >= YOUNGEST => Check::good("clock", "set"),
        _ => {
            let text = "not set, so times of files are wrong and invites may not work";
            Check::fair("clock", text, Some("sudo timedatectl set-ntp true".to_owned()))
        }
    }
}

/// Programs that wait for a core take it from the measurement, which then says little about the link.
fn load(text: &str, cores: usize) -> Option<Check> {
    let wanted: f64 = text.split_whitespace().next()?.parse().ok()?;
    let text = format!("{wanted:.1} programs at work on {}", many(cores, "core"));
    Some(match wanted > OVERLOADED * cores as f64 {
        true => Check::fair(PROCESSOR, format!("{text}: too many for true figures"), None),
        false => Check::good(PROCESSOR, text),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_home_that_is_in_order_has_only_good_checks() {
        let home = tempfile::tempdir().expect("a temporary directory");
        for check in [identity(home.path()), lists(home.path())] {
            assert_eq!(check.state, CheckState::Good, "{check:?}");
        }
        assert!(lists(home.path()).text.starts_with("0 servers known here, 0 clients"));
    }

    #[test]
    fn a_key_that_others_can_read_is_bad_and_the_text_has_the_remedy() {
        let home = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(identity(home.path()).state, CheckState::Good);
        for entry in fs::read_dir(home.path()).expect("readable") {
            let path = entry.expect("readable").path();
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("ours");
        }
        let check = identity(home.path());
        assert_eq!(check.state, CheckState::Bad(Exit::Untrusted), "{check:?}");
        assert!(check.text.contains("chmod 600"), "{check:?}");
    }

    #[test]
    fn a_buffer_that_is_too_small_says_how_much_there_is_and_what_helps() {
        let granted = Granted { receive: 208 << 10, send: 208 << 10 };
        let check = buffer("UDP receive", granted.receive, granted.command(Granted::WANTED));
        assert_eq!((check.state, check.text.as_str()), (CheckState::Fair, "buffer 208.0 KiB, asked for 8.0 MiB"));
        let both = "sudo sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608";
        assert_eq!(check.remedy.as_deref(), Some(both));
        assert_eq!(buffer("UDP send", SOCKET_BUFFER_BYTES, None).state, CheckState::Good);
    }

    #[test]
    fn hashing_that_has_lost_its_speed_is_told() {
        for (engine, state, words) in [
            (Engine::Lanes("AVX2"), CheckState::Good, "MD5, 16 leaves at once (AVX2), self-test passed"),
            (Engine::AskedScalar, CheckState::Fair, "MD5, one leaf at a time (QFT_MD5=scalar)"),
            (Engine::FailedLanes("AVX2"), CheckState::Fair, "MD5, one leaf at a time: AVX2 failed the self-test"),
        ] {
            let check = hashing(engine);
            assert_eq!((check.state, check.text.as_str()), (state, words));
        }
    }

    #[test]
    fn a_machine_that_is_busy_is_told_so_before_it_is_measured() {
        let check = load("9.31 5.22 4.47 3/210 7338\n", 2).expect("a figure");
        assert_eq!(
            (check.state, check.text.as_str()),
            (CheckState::Fair, "9.3 programs at work on 2 cores: too many for true figures")
        );
        assert_eq!(
            load("0.31 0.2 0.1 1/99 1", 1).map(|check| check.text).as_deref(),
            Some("0.3 programs at work on 1 core")
        );
        assert!(load("", 2).is_none());
    }

    #[test]
    fn few_open_files_and_an_unset_clock_are_worth_a_word() {
        assert_eq!(open_files(1024).state, CheckState::Fair);
        assert_eq!(open_files(u64::MAX).state, CheckState::Good);
        assert_eq!(clock(UNIX_EPOCH).state, CheckState::Fair);
        assert_eq!(clock(UNIX_EPOCH + YOUNGEST).state, CheckState::Good);
    }
}
