//! What the user typed, as clap sees it. Nothing here knows what the words mean; [`plan`](super::plan) does.

mod cert;
mod limit;
mod peers;
mod remote;
mod serve;
mod show;
mod ssh;
mod transfer;
mod trust;

use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand};

use crate::transport::trust::parse_expiry;

pub(crate) use self::cert::{CertArgs, CertCommand};
pub(crate) use self::limit::Limit;
pub(crate) use self::peers::{AllowArgs, InviteArgs, PeersAction, PeersArgs, RevokeArgs};
pub(crate) use self::remote::{AddArgs, NamedArgs, RemoteAction, RemoteArgs};
pub(crate) use self::serve::ServeArgs;
pub(crate) use self::show::{CompletionsArgs, ConfigArgs, DoctorArgs, IdArgs, LsArgs, ManArgs};
pub(crate) use self::ssh::SshArgs;
pub(crate) use self::transfer::{GetArgs, HabitArgs, JobArgs, OutputArgs, ProgressArg, SendArgs};
pub(crate) use self::trust::{HostKeyArg, TrustArgs};

const TEMPLATE: &str = "\
{about}

{usage-heading} qft <COMMAND>

Transfer:
  send   Send files and directories to a remote
  get    Fetch files and directories from a remote
  ls     List files on a remote

Serve:
  serve  Let other machines send to, and get from, a directory here
  peers  Who may connect here: list, invite, allow, revoke

Set up:
  remote       Servers known here: list, add, default, forget
  id           Show this machine's name and fingerprint
  doctor       Test this machine's network settings, and the link to a remote
  config       Show each setting, its value, and where it comes from
  completions  Print a completion script for your shell
  man          Print or install the manual pages
  cert         Make a private CA and certificates (optional)

Options:
{options}{after-help}
";

const EXAMPLES: &str = "\
Examples:
  remote$ qft serve ~/incoming               prints a command to paste
  local$  qft send photos/* --to qft://...   first time: paste it
  local$  qft send photos/*                  from then on
  local$  qft get 'box:logs/*.gz' .          quote remote globs
  local$  qft send big.iso me@host:          through ssh, no server needed

'qft COMMAND --help' has examples and exit codes.";

const EXIT_CODES: &str = "\
Exit codes:
  0    all done
  1    failed
  2    wrong usage
  3    some files failed, the others are done
  4    the remote cannot be reached
  5    not trusted: another key answers, or this machine is not enrolled there
  6    the content did not verify
  7    the remote refused all of it (not allowed, disk full, exists)
  130  interrupted; the same command continues";

const REMOTES: &str = "\
Remotes:
  NAME:[PATH]              a remote known here, by its name or address
  HOST:[PATH]              any server; one that is not known is asked about once
  HOST:PORT:[PATH]         the same, with a port ('host:4433' alone is a path)
  [V6]:[PORT:]PATH         an IPv6 address
  USER@HOST:[PATH]         through ssh: starts qft there for this run; needs no server.
                           PATH is relative to the home directory, or absolute
  qft://FP[:INVITE]@HOST[:PORT][/PATH]   a ticket, as 'qft serve' prints it
  local:DIR                a directory here, through a server in this process
Not given: --to (--from), $QFT_REMOTE, the default remote, the only known one.
A local name with a colon is written ./a:b.";

const SEND_EXAMPLES: &str = "\
Examples:
  qft send photos/* --to qft://...       pair with a server and send
  qft send dir box:backup/               makes backup/dir there
  qft send dir/ box:backup               sends what is inside dir
  qft send dir me@host:backup/           the same through ssh, no server needed
  qft send -n dir box:                   says what would be done, and why
  tar c d | qft send - box:d.tar         sends standard input";

const GET_EXAMPLES: &str = "\
Examples:
  qft get box:report.pdf                 into this directory
  qft get 'box:logs/*.gz' logs/          quote globs: the remote expands them
  qft get box:dir/ copy                  what is inside dir, into copy
  qft get box:d.tar - | tar x            to standard output";

const SERVE_EXAMPLES: &str = "\
Examples:
  qft serve ~/incoming                   prints the command for the other machine
  qft serve --write-only --no-clobber .  a drop box
  qft serve --invite .                   a ticket for one more client
  qft serve -l 127.0.0.1:0 --ticket-file t .   for scripts";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  qft doctor                             this machine alone
  qft doctor box                         and ten seconds of the way to box and back
  qft doctor --time 20s box              longer, for satellites and the like";

const SETTINGS: &str = "\
The file is config.toml in $QFT_HOME, or else in ~/.config/qft. Its names are those of the long
options; what stands before the first [COMMAND] is for every command that has such an option:

  timeout = \"10m\"
  verbose = 1

  [send]
  jobs = 32
  exclude = [\"*.tmp\", \".cache/\"]

  [serve]
  listen = \"[::]:4433\"
  write-only = true

A flag outweighs a variable (QFT_...), that outweighs the file, and the file the default.

Examples:
  qft config                             all settings
  qft config send                        those of one command
  qft config send -j 4                   what they would be with these options";

const COMPLETIONS: &str = "\
Where to put it:
  bash   qft completions bash > ~/.local/share/bash-completion/completions/qft
  zsh    qft completions zsh > ~/.zfunc/_qft    ('fpath+=~/.zfunc' before 'compinit' in ~/.zshrc)
  fish   qft completions fish > ~/.config/fish/completions/qft.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  qft man                                the page of qft
  qft man send                           the page of a command
  qft man --out ~/.local/share/man/man1  for man(1), which then finds them by name";

const CERT_EXAMPLES: &str = "\
Examples:
  qft cert ca certs                                 once
  qft cert issue certs box.example --san 10.0.0.7   for each server
  qft cert issue certs laptop --client              for each client
  qft cert show certs/box.example.crt

Tickets and known hosts need none of this; certs/README.md says when it helps.";

const PEERS_EXAMPLES: &str = "\
Examples:
  qft peers                              who may connect, and what each may do
  qft peers invite --name ci --wo        a ticket for one client that only sends
  qft peers allow FP --name laptop       FP: what 'qft id' prints on the laptop
  qft peers allow laptop --ro            laptop may only get from now on
  qft peers revoke laptop                laptop is out within a second

The list is the file authorized_clients in $QFT_HOME (or ~/.config/qft). It can
be edited by hand: one client a line, FINGERPRINT [options] NAME.";

const REMOTE_EXAMPLES: &str = "\
Examples:
  qft remote                             the servers known here
  qft remote add box                     asks for the ticket, and pairs
  qft remote add box qft://FP@host:4433  an address without an invite is no secret
  qft remote default box                 'qft send FILES' goes there
  qft remote forget box";

/// The command line of `qft`.
#[derive(Debug, Parser)]
#[command(
    name = "qft",
    version,
    about = "Move files over bad networks: QUIC, resumable, verified",
    help_template = TEMPLATE,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send files and directories to a remote
    #[command(aliases = ["put", "push"], after_long_help = long_help(&[SEND_EXAMPLES, REMOTES, EXIT_CODES]))]
    Send(SendArgs),
    /// Fetch files and directories from a remote
    #[command(
        aliases = ["recv", "receive", "fetch", "pull"],
        after_long_help = long_help(&[GET_EXAMPLES, REMOTES, EXIT_CODES])
    )]
    Get(GetArgs),
    /// List files on a remote
    #[command(after_long_help = long_help(&[REMOTES, EXIT_CODES]))]
    Ls(LsArgs),
    /// Let other machines send to, and get from, a directory here
    #[command(after_long_help = long_help(&[SERVE_EXAMPLES]))]
    Serve(ServeArgs),
    /// Who may connect here: list, invite, allow, revoke
    #[command(after_long_help = long_help(&[PEERS_EXAMPLES]))]
    Peers(PeersArgs),
    /// Servers known here: list, add, default, forget
    #[command(after_long_help = long_help(&[REMOTE_EXAMPLES]))]
    Remote(RemoteArgs),
    /// Show this machine's name and fingerprint
    Id(IdArgs),
    /// Test this machine's network settings, and the link to a remote
    #[command(aliases = ["probe", "ping"], after_long_help = long_help(&[DOCTOR_EXAMPLES, EXIT_CODES]))]
    Doctor(DoctorArgs),
    /// Show each setting, its value, and where it comes from
    #[command(after_long_help = long_help(&[SETTINGS]))]
    Config(ConfigArgs),
    /// Print a completion script for your shell
    #[command(after_long_help = long_help(&[COMPLETIONS]))]
    Completions(CompletionsArgs),
    /// Print or install the manual pages
    #[command(after_long_help = long_help(&[MAN_EXAMPLES]))]
    Man(ManArgs),
    /// Make a private CA and certificates (optional)
    #[command(after_long_help = long_help(&[CERT_EXAMPLES]))]
    Cert(CertArgs),
    /// The far end of a run through ssh
    #[command(name = "__bootstrap", hide = true)]
    Bootstrap,
}

impl Command {
    /// Whether events go to standard output as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Send(args) => args.job.output.json,
            Self::Get(args) => args.job.output.json,
            Self::Ls(args) => args.json,
            Self::Serve(args) => args.json,
            Self::Peers(args) => args.json(),
            Self::Remote(args) => args.json(),
            Self::Id(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Config(args) => args.json,
            Self::Completions(_) | Self::Man(_) => false,
            Self::Cert(args) => args.json,
            Self::Bootstrap => false,
        }
    }

    /// The command's name, as in the `start` event.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Get(_) => "get",
            Self::Ls(_) => "ls",
            Self::Serve(_) => "serve",
            Self::Peers(_) => "peers",
            Self::Remote(_) => "remote",
            Self::Id(_) => "id",
            Self::Doctor(_) => "doctor",
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Cert(_) => "cert",
            Self::Bootstrap => "__bootstrap",
        }
    }
}

fn long_help(parts: &[&str]) -> String {
    parts.join("\n\n")
}

/// How a time is written.
const TIME_SHAPE: &str = "a time looks like 30s, 5m, 2h or 7d";

/// Reads a time with a unit (`30s`, `5m`, `2h`, `7d`); a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(TIME_SHAPE.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| TIME_SHAPE.to_owned())?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

/// Reads when something ends: a day, a moment, or a time from now.
fn parse_end(text: &str) -> Result<SystemTime, String> {
    if let Ok(end) = parse_expiry(text) {
        return Ok(end);
    }
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let time = parse_time(text).ok().filter(|_| has_unit);
    let end = time.and_then(|time| SystemTime::now().checked_add(time));
    end.ok_or_else(|| "it looks like 2026-12-31, 2026-12-31T18:00 (UTC), 12h or 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from([&["qft"], args].concat()).map(|cli| cli.command)
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_grouped_help_names_every_command_with_its_own_words() {
        let mut command = Cli::command();
        let help = command.render_long_help().to_string();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let about = sub.get_about().expect("every command has a text").to_string();
            let line = help.lines().find(|line| line.split_whitespace().next() == Some(sub.get_name()));
            assert!(line.is_some_and(|line| line.ends_with(&about)), "{} is missing", sub.get_name());
        }
        assert!(help.contains("qft get 'box:logs/*.gz' ."));
    }

    #[test]
    fn the_long_help_of_a_transfer_has_examples_remotes_and_exit_codes() {
        let mut command = Cli::command();
        for name in ["send", "get"] {
            let sub = command.find_subcommand_mut(name).expect("it exists");
            let long = sub.render_long_help().to_string();
            for part in ["Examples:", "Remotes:", "Exit codes:", "130"] {
                assert!(long.contains(part), "{name} --help lacks {part}");
            }
            assert!(!sub.render_help().to_string().contains("Exit codes:"), "-h stays short");
        }
    }

    #[test]
    fn habits_from_rsync_are_accepted() {
        let Ok(Command::Send(args)) = parse(&["send", "-arP", "d", "box:"]) else { panic!("accepted") };
        assert!(
            args.job.habits.archive
                && args.job.habits.recursive
                && args.job.habits.partial
                && !args.job.habits.compress
        );
    }

    #[test]
    fn contradictions_are_refused() {
        for args in [
            &["serve", "--read-only", "--write-only"][..],
            &["serve", "--no-auth", "--invite"],
            &["send", "-q", "-v", "f"],
            &["send"],
            &["get"],
            &["send", "-j", "0", "f"],
            &["send", "--timeout", "5 days", "f"],
            &["send", "--bwlimit", "1000", "f"],
            &["peers", "allow", "x", "--ro", "--wo"],
            &["peers", "allow", "x", "--root", "../up"],
            &["peers", "allow", "x", "--expires", "soon"],
            &["peers", "allow", "x", "--name", "ro"],
            &["peers", "invite", "--valid", "0s"],
            &["remote", "default"],
        ] {
            assert_eq!(parse(args).map(|_| ()).map_err(|e| e.exit_code()), Err(2), "{args:?}");
        }
    }

    #[test]
    fn a_time_is_seconds_unless_it_says_otherwise() {
        let table = [("0", 0), ("45", 45), ("30s", 30), ("5m", 300), ("2h", 7200), ("5d", 432_000)];
        for (text, seconds) in table {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "m", "5w", "-1", "1.5m", "99999999999999999999", "18446744073709551615h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
