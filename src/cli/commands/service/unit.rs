//! The units of a server: a socket that systemd holds, and the program behind it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::transport::SOCKET_BUFFER_BYTES;

/// The watchdog's deadline, after which systemd starts another server. Keep-alives are sent at half of it.
const WATCHDOG_SECONDS: u64 = 30;

/// The first line of what this command writes: only such a file is replaced or removed by it.
pub(super) const MARK: &str =
    "# Written by 'qft service'. What is changed here is kept until the next 'qft service install'.";

/// How long a stopping server lets files finish, unless the user says otherwise. What has not ended then is continued with the
/// next server, so a short time costs nobody anything, and a restart is over soon.
pub(super) const DRAIN: &str = "1s";
/// The time that systemd allows beyond that before it kills, in seconds: for closing connections, and commits on a slow
/// disk.
const STOP_MARGIN_SECONDS: u64 = 29;
/// Descriptors that the server may have; each file that waits for its commit is one.
const FILES_MAX: u32 = 65_536;

/// The owner of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServiceOwner {
    /// The machine's, run as this account.
    Account(String),
    User,
}

/// The settings of the units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) name: String,
    pub(super) owner: ServiceOwner,
    /// The program, without links.
    pub(super) program: PathBuf,
    /// Absolute.
    pub(super) dir: PathBuf,
    pub(super) listen: String,
    /// For `qft serve`, as the user typed them.
    pub(super) options: Vec<OsString>,
    /// The sum of those.
    pub(super) drain: Duration,
}

impl Units {
    /// Where the machine's service keeps its home.
    pub(super) fn state_dir(name: &str) -> PathBuf {
        Path::new("/var/lib").join(name)
    }

    /// The home that `qft peers` and `qft status` have to be told of; the user's own service has the user's.
    pub(super) fn home(&self) -> Option<PathBuf> {
        match self.owner {
            ServiceOwner::Account(_) => Some(Self::state_dir(&self.name).join("home")),
            ServiceOwner::User => None,
        }
    }

    /// The names of the files.
    pub(super) fn file_names(name: &str) -> [String; 2] {
        [format!("{name}.socket"), format!("{name}.service")]
    }

    /// The files: name and text.
    pub(super) fn files(&self) -> [(String, String); 2] {
        let [socket, service] = Self::file_names(&self.name);
        [(socket, self.socket()), (service, self.service())]
    }

    fn socket(&self) -> String {
        let Self { name, listen, .. } = self;
        format!(
            "{MARK}\n\
             [Unit]\n\
             Description=UDP port of the qft server {name}\n\
             Documentation=man:qft-service(1)\n\
             \n\
             [Socket]\n\
             # Held by systemd: a restart of the server loses no packet.\n\
             ListenDatagram={listen}\n\
             BindIPv6Only=both\n\
             ReceiveBuffer={SOCKET_BUFFER_BYTES}\n\
             SendBuffer={SOCKET_BUFFER_BYTES}\n\
             \n\
             [Install]\n\
             WantedBy=sockets.target\n"
        )
    }

    fn service(&self) -> String {
        let mut text = format!(
            "{MARK}\n\
             [Unit]\n\
             Description=qft server {}\n\
             Documentation=man:qft-serve(1) man:qft-service(1)\n\
             Requires={}.socket\n\
             Wants=network-online.target\n\
             After=network-online.target {}.socket\n\
             \n\
             [Service]\n\
             Type=notify\n\
             ExecStart={}\n\
             ExecReload=/bin/kill -HUP $MAINPID\n\
             # What is still in flight after --drain is continued with the next server.\n\
             TimeoutStopSec={}\n\
             Restart=on-failure\n\
             RestartSec=1\n\
             WatchdogSec={}\n\
             LimitNOFILE={FILES_MAX}\n",
            self.name,
            self.name,
            self.name,
            self.command(),
            self.drain.as_secs() + STOP_MARGIN_SECONDS,
            WATCHDOG_SECONDS,
        );
        match &self.owner {
            ServiceOwner::Account(account) => self.confine(account, &mut text),
            ServiceOwner::User => text.push_str(UNPRIVILEGED),
        }
        let target = if self.owner == ServiceOwner::User { "default.target" } else { "multi-user.target" };
        let _ = write!(text, "\n[Install]\nWantedBy={target}\n");
        text
    }

    /// The machine's service: an account, a home, and nothing else that it reaches.
    fn confine(&self, account: &str, text: &mut String) {
        let dir = quoted(self.dir.as_os_str());
        let home = self.home().unwrap_or_default();
        // What it serves below its own state is made with it: a unit that a package brought finds nothing there yet.
        let served = self.dir.strip_prefix(Self::state_dir(&self.name)).ok().filter(|below| *below != Path::new(""));
        let served = served.map(|below| format!(" {}", quoted(Path::new(&self.name).join(below).as_os_str())));
        let _ = write!(
            text,
            "\n# An account of its own, its home, the directory that it serves, and nothing else.\n\
             User={account}\n\
             StateDirectory={}{}\n\
             StateDirectoryMode=0700\n\
             Environment=QFT_HOME={}\n\
             ReadWritePaths={dir}\n",
            self.name,
            served.unwrap_or_default(),
            home.display(),
        );
        let below_homes = ["/home", "/root", "/run/user"].iter().any(|homes| self.dir.starts_with(homes));
        // A directory below the homes is seen, and nothing else there.
        match below_homes {
            true => drop(writeln!(text, "ProtectHome=tmpfs\nBindPaths={dir}")),
            false => text.push_str("ProtectHome=yes\n"),
        }
        text.push_str(PRIVILEGED);
        text.push_str(UNPRIVILEGED);
    }

    fn command(&self) -> String {
        let own = ["serve", "--drain", DRAIN].map(OsStr::new);
        let words = std::iter::once(self.program.as_os_str()).chain(own).chain(self.options.iter().map(AsRef::as_ref));
        let words = words.chain([OsStr::new("--"), self.dir.as_os_str()]);
        // Unlike elsewhere in a unit, $ names a variable here.
        words.map(|word| quoted(word).replace('$', "$$")).collect::<Vec<_>>().join(" ")
    }
}

/// Restrictions that systemd can put on a system service, and not on one of a user.
const PRIVILEGED: &str = "\
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
CapabilityBoundingSet=
RemoveIPC=yes
";

/// Restrictions that any service can have. RestrictSUIDSGID is not here: a directory that hands its group on keeps that
/// bit.
const UNPRIVILEGED: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
";

/// A word as systemd reads it back (systemd.syntax(7), systemd.unit(5)): quoted where it has more than plain characters, bytes
/// that are not printable ASCII as `\xNN`, `%` doubled.
fn quoted(text: &OsStr) -> String {
    let mut word = String::new();
    for byte in text.as_bytes() {
        match byte {
            b'%' => word.push_str("%%"),
            b'"' | b'\\' => word.extend(['\\', char::from(*byte)]),
            0x20..=0x7e => word.push(char::from(*byte)),
            _ => drop(write!(word, "\\x{byte:02x}")),
        }
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,%=[]$".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word,
        false => format!("\"{word}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(dir: &str, owner: ServiceOwner) -> Units {
        let options = ["--write-only", "--advertise", "a b$c"].map(OsString::from).to_vec();
        let drain = Duration::from_secs(90);
        let (program, listen) = ("/usr/bin/qft".into(), "[::]:4433".to_owned());
        Units { name: "qft".to_owned(), owner, program, dir: dir.into(), listen, options, drain }
    }

    #[test]
    fn a_word_is_read_back_by_systemd_as_it_was() {
        let table = [
            ("/srv/in", "/srv/in"),
            ("50%", "50%%"),
            ("two words", "\"two words\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("", "\"\""),
            ("a;b", "\"a;b\""),
            ("né\n", "\"n\\xc3\\xa9\\x0a\""),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }

    #[test]
    fn a_service_of_the_machine_is_confined_and_one_of_a_user_says_only_what_a_user_can() {
        let text = units("/srv/in", ServiceOwner::Account("alice".to_owned())).service();
        let line = "ExecStart=/usr/bin/qft serve --drain 1s --write-only --advertise \"a b$$c\" -- /srv/in\n";
        for part in [line, "User=alice\n", "ReadWritePaths=/srv/in\n", "ProtectHome=yes\n", "TimeoutStopSec=119\n"] {
            assert!(text.contains(part), "{part}{text}");
        }
        let own = units("/home/u/in", ServiceOwner::User).service();
        assert!(!own.contains("User=") && !own.contains("Protect") && own.contains("WantedBy=default.target"), "{own}");
    }

    #[test]
    fn what_is_served_below_its_own_state_is_made_by_systemd() {
        for (dir, line) in [("/var/lib/qft/files", "qft qft/files"), ("/var/lib/qft", "qft"), ("/srv/in", "qft")] {
            let text = units(dir, ServiceOwner::Account("qft".to_owned())).service();
            assert!(text.contains(&format!("\nStateDirectory={line}\nStateDirectoryMode=")), "{dir}: {text}");
        }
    }

    #[test]
    fn of_the_homes_a_service_sees_only_what_it_serves() {
        let text = units("/home/alice/in 1", ServiceOwner::Account("alice".to_owned())).service();
        assert!(text.contains("ProtectHome=tmpfs\nBindPaths=\"/home/alice/in 1\"\n"), "{text}");
    }

    #[test]
    fn the_socket_is_held_where_the_user_says() {
        let [(name, socket), (service, _)] = units("/srv", ServiceOwner::User).files();
        assert_eq!((name.as_str(), service.as_str()), ("qft.socket", "qft.service"));
        assert!(socket.contains("ListenDatagram=[::]:4433\n"), "{socket}");
    }
}
