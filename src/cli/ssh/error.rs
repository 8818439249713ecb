//! Why the far end did not start, or is gone, and what to do about it.

use std::io;
use std::process::ExitStatus;

use super::ports::Ports;

/// Where a shell says that it does not know a command, and that it may not run it (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
/// The exit code of clap for a command that the far version does not have.
const WRONG_USAGE: i32 = 2;
/// The exit code of ssh for a failure of its own.
const SSH_FAILED: i32 = 255;

/// Why the far end did not start, or is gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// There is no such program here.
    #[error("cannot run {program}: {source}; install an ssh client, or name yours with -e")]
    NoSsh {
        /// As the user named it.
        program: String,
        source: io::Error,
    },
    /// ssh ended before anything ran on the far side. It has said why.
    #[error("ssh did not get into {host}: its reason is above; 'ssh {host}' must work before qft can use it")]
    NotConnected { host: String },
    /// One side did not prove to be who it is. ssh has said why.
    #[error("ssh did not get into {host}: its reason is above; 'ssh {host}' must work before qft can use it")]
    NotTrusted { host: String },
    /// The shell there does not find `qft`.
    #[error(
        "{host} has no {program} where ssh looks for it; install it there, or say where it is: --remote-qft /path/to/qft"
    )]
    NoQft {
        host: String,
        /// The program that was to be run.
        program: String,
    },
    /// Something that is no `qft` of our kind ran.
    #[error("{program} on {host} is too old to be started through ssh; update it there")]
    TooOld {
        host: String,
        /// The program that was run.
        program: String,
    },
    /// The far end speaks another version of the two lines.
    #[error("the qft on {host} and this one ({}) do not fit together; update the older one", env!("CARGO_PKG_VERSION"))]
    OtherVersion { host: String },
    /// The command ran and ended, without a word from qft.
    #[error(
        "{host} ended the session ({status}) before qft could start there; does a start-up file or a forced command \
        stand in the way? 'ssh {host} {program} --version' must print a version"
    )]
    Ended {
        host: String,
        status: ExitStatus,
        /// The program that was to be run.
        program: String,
    },
    /// Nothing came in time.
    #[error(
        "no sign of qft from {host} within {seconds}s (--timeout); does a start-up file there wait for something? \
        'ssh {host} {program} --version' must print a version"
    )]
    Silent {
        host: String,
        /// How long was waited.
        seconds: u64,
        /// The program that was to be run.
        program: String,
    },
    /// The far end said what is wrong there.
    #[error("{host}: {text}")]
    Far {
        host: String,
        code: u8,
        /// Its words, escaped for display.
        text: String,
    },
    /// The ssh connection ended in the middle of the work, and the far end with it.
    #[error("the ssh connection to {host} ended, and qft there with it; the same command continues")]
    Gone { host: String },
    /// ssh works, UDP does not.
    #[error(
        "ssh reaches {host}, but no UDP packet comes back from {addresses}: {}", blocked_remedy(*.is_indirect, *.ports)
    )]
    Blocked {
        host: String,
        /// The addresses that were tried, with the port.
        addresses: String,
        /// Whether ssh goes through another machine.
        is_indirect: bool,
        /// The ports that a firewall has to let through.
        ports: Ports,
    },
}

fn blocked_remedy(is_indirect: bool, ports: Ports) -> String {
    let remedy = format!("let UDP ports {ports} through the firewalls, or choose others with --ssh-ports A-B");
    match is_indirect {
        true => format!("ssh goes through another machine, but UDP has to get there directly; {remedy}"),
        false => remedy,
    }
}

impl SshError {
    /// What it means that ssh ended before the far end had answered. `distrust`: ssh has said that it, or the
    /// server, does not trust the other.
    pub(super) fn of_end(host: &str, program: &str, status: ExitStatus, distrust: bool) -> Self {
        let (host, program) = (host.to_owned(), program.to_owned());
        match status.code() {
            Some(SSH_FAILED) if distrust => Self::NotTrusted { host },
            Some(SSH_FAILED) => Self::NotConnected { host },
            Some(NOT_FOUND | NOT_EXECUTABLE) => Self::NoQft { host, program },
            Some(WRONG_USAGE) => Self::TooOld { host, program },
            _ => Self::Ended { host, status, program },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::cli::exit::Exit;

    fn of_code(code: i32, distrust: bool) -> SshError {
        SshError::of_end("me@box", "qft", ExitStatus::from_raw(code << 8), distrust)
    }

    #[test]
    fn every_end_of_ssh_has_its_words_and_its_code() {
        for (code, distrust, exit, part) in [
            (127, false, Exit::Unreachable, "--remote-qft"),
            (126, false, Exit::Unreachable, "--remote-qft"),
            (255, false, Exit::Unreachable, "'ssh me@box' must work"),
            (255, true, Exit::Untrusted, "'ssh me@box' must work"),
            (2, false, Exit::Refused, "update it"),
            (1, false, Exit::Unreachable, "exit status: 1"),
            (0, false, Exit::Unreachable, "forced command"),
        ] {
            let error = of_code(code, distrust);
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(Exit::of_error(&error.into()), exit, "{code}");
        }
        let killed = SshError::of_end("me@box", "qft", ExitStatus::from_raw(9), false);
        assert!(killed.to_string().contains("signal: 9"), "{killed}");
    }

    #[test]
    fn blocked_packets_name_the_ports_to_open() {
        let blocked = |is_indirect| SshError::Blocked {
            host: "me@box".into(),
            addresses: "10.0.0.7:60001".into(),
            is_indirect,
            ports: Ports::default(),
        };
        for is_indirect in [false, true] {
            let text = blocked(is_indirect).to_string();
            for part in ["10.0.0.7:60001", "60000-61000", "--ssh-ports"] {
                assert!(text.contains(part), "{text}");
            }
        }
        assert!(blocked(true).to_string().contains("another machine"));
    }
}
