//! The ssh to run, and what it knows about a host before it connects.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::exit::Complaint;

/// Run unless the user names another.
const SSH: &str = "ssh";
/// What `scp` passes too: nothing that a user's configuration has for interactive sessions may disturb the pipe, or
/// grant the far side more than the pipe.
const QUIET_PIPE: [&str; 9] =
    ["-T", "-x", "-a", "-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none"];
/// The hidden command of the far end.
const BOOTSTRAP: &str = "__bootstrap";

/// The remote shell's words: a program and its first arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteShell(Vec<String>);

impl RemoteShell {
    /// Splits a command line as rsync's `-e` does: at blanks, except between quotes. `None` is `ssh`.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Complaint> {
        let words = split(text.unwrap_or(SSH))?;
        match words.is_empty() {
            true => Err(Complaint::usage("-e is empty; it names the ssh to run, such as -e 'ssh -p 2222'")),
            false => Ok(Self(words)),
        }
    }

    /// The program's name, for messages.
    pub(super) fn program(&self) -> &str {
        &self.0[0]
    }

    /// Whether it takes OpenSSH's options; another program gets only what every remote shell understands.
    pub(super) fn is_openssh(&self) -> bool {
        Path::new(self.program()).file_name().is_some_and(|name| name == SSH)
    }

    /// The command that starts the far end. `remote_qft` goes to the shell there as it is, like rsync's
    /// `--rsync-path`: `~/bin/qft` and `sudo qft` work.
    pub(super) fn start(&self, destination: &str, remote_qft: &str) -> Command {
        let mut command = self.command();
        if self.is_openssh() {
            command.args(QUIET_PIPE);
        }
        command.arg(destination).arg(format!("{remote_qft} {BOOTSTRAP}"));
        command
    }

    /// The route to a destination by ssh's configuration; an empty one where ssh cannot be asked.
    pub(super) fn route(&self, destination: &str) -> Route {
        if !self.is_openssh() {
            return Route::default();
        }
        let mut command = self.command();
        command.args(["-G", destination]).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(output) = command.output() else { return Route::default() };
        Route::parse(&String::from_utf8_lossy(&output.stdout))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(self.0[1..].iter().map(OsString::from));
        command
    }
}

/// The ssh to run where nobody is there to be asked and nobody waits long; `None` where that cannot be told to it.
pub(crate) fn without_questions(rsh: Option<&str>, wait: Duration) -> Option<String> {
    let rsh = rsh.filter(|rsh| !rsh.is_empty()).unwrap_or(SSH);
    let is_openssh = RemoteShell::parse(Some(rsh)).is_ok_and(|shell| shell.is_openssh());
    is_openssh.then(|| format!("{rsh} -o BatchMode=yes -o ConnectTimeout={}", wait.as_secs()))
}

/// How ssh gets to a host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The real name or address behind the name that was typed.
    pub(super) host: Option<String>,
    /// Whether another machine or program stands between, through which UDP does not go.
    pub(super) is_indirect: bool,
}

impl Route {
    /// Reads what `ssh -G` prints.
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim().to_owned())
        };
        let is_set = |key| value(key).is_some_and(|value| value != "none");
        Self {
            host: value("hostname").filter(|host| !host.is_empty()),
            is_indirect: is_set("proxyjump") || is_set("proxycommand"),
        }
    }
}

fn split(text: &str) -> Result<Vec<String>, Complaint> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => word.get_or_insert_default().push(letter),
            None if letter == '\'' || letter == '"' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match quote {
        None => Ok(words),
        Some(open) => Err(Complaint::Usage(format!("-e {text}: the quote {open} is not closed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let all = std::iter::once(command.get_program()).chain(command.get_args());
        all.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn words_are_split_at_blanks_except_between_quotes() {
        for (text, expected) in [
            ("ssh", &["ssh"][..]),
            ("  ssh  -p 2222 ", &["ssh", "-p", "2222"]),
            ("ssh -i '/my keys/id' -o \"User a\"", &["ssh", "-i", "/my keys/id", "-o", "User a"]),
            ("x ''", &["x", ""]),
            ("a'b c'd", &["ab cd"]),
        ] {
            assert_eq!(split(text).as_deref(), Ok(&expected.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..]));
        }
        assert!(split("ssh 'x").is_err());
        assert!(RemoteShell::parse(Some("  ")).is_err());
    }

    #[test]
    fn openssh_gets_options_and_others_only_what_all_understand() {
        let ssh = RemoteShell::parse(None).expect("the default");
        let line = words(&ssh.start("me@box", "~/bin/qft"));
        assert_eq!(
            (line[0].as_str(), &line[line.len() - 2..]),
            ("ssh", &["me@box".into(), "~/bin/qft __bootstrap".into()][..])
        );
        assert!(line.contains(&"ClearAllForwardings=yes".to_owned()));
        let other = RemoteShell::parse(Some("/opt/plink -batch")).expect("words");
        assert_eq!(words(&other.start("box", "qft")), ["/opt/plink", "-batch", "box", "qft __bootstrap"]);
        assert!(RemoteShell::parse(Some("/usr/bin/ssh -v")).expect("words").is_openssh());
    }

    #[test]
    fn only_openssh_can_be_told_to_ask_nothing() {
        let told = |rsh| without_questions(rsh, Duration::from_secs(5));
        assert_eq!(told(None).as_deref(), Some("ssh -o BatchMode=yes -o ConnectTimeout=5"));
        assert!(told(Some("ssh -p 2222")).is_some_and(|line| line.starts_with("ssh -p 2222 -o BatchMode=yes")));
        assert_eq!(told(Some("plink")), None);
        assert_eq!(told(Some("ssh '")), None);
    }

    #[test]
    fn a_route_is_read_from_what_ssh_prints() {
        let text = "user me\nhostname 10.0.0.7\nport 22\nproxycommand none\n";
        assert_eq!(Route::parse(text), Route { host: Some("10.0.0.7".into()), is_indirect: false });
        assert!(Route::parse("hostname box\nproxyjump gate\n").is_indirect);
        assert_eq!(Route::parse(""), Route::default());
    }
}
