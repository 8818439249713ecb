//! The help texts that are more than a line for an option.

/// The help of `qft` itself, since clap does not group commands. The order is that of [`Commands`](super::Commands).
pub(super) const TEMPLATE: &str = "\
{about}

{usage-heading} qft <COMMAND>

Transfer:
  send         Send files and directories to a remote
  get          Fetch files and directories from a remote
  ls           List files on a remote
  parts        Show or remove unfinished files, here or on a remote

Serve:
  serve        Let other machines send to, and get from, a directory here
  service      Let systemd run a server: print its units, install, remove
  status       Show the servers that run here: clients, transfers, rates
  history      Show what servers here have done: jobs, and sums by client
  peers        Who may connect here: list, invite, allow, revoke, token

Set up:
  remote       Servers known here: list, add, rename, default, forget
  ping         Measure the round trip to a remote with a few echoes
  doctor       Test this machine's network settings, and the link to a remote
  id           Show this machine's name and fingerprint
  cert         Make a private CA and certificates (optional)
  config       Show each setting, its value, and where it comes from
  completions  Print a completion script for your shell
  man          Open a manual page, or install them all

Topics ('qft help TOPIC'):
  recipes      More ways to send, get and serve
  remotes      How remotes and paths on them are written
  containers   Containers and CI: a token instead of questions
  environment  Variables and files that qft reads
  exit-codes   What a command ends with

Options:
{options}{after-help}
";

/// A text whose headings look as clap's own do on a terminal.
pub(super) fn headed(text: &str) -> String {
    let head = |line: &str| match is_heading(line) {
        true => format!("\x1b[1m\x1b[4m{line}\x1b[0m"),
        false => line.to_owned(),
    };
    text.split('\n').map(head).collect::<Vec<_>>().join("\n")
}

/// Longest heading; what is longer and ends with a colon is a sentence.
const HEADING_CHARS: usize = 26;

fn is_heading(line: &str) -> bool {
    line.len() <= HEADING_CHARS && line.ends_with(':') && line.starts_with(|c: char| c.is_ascii_uppercase())
}

pub(super) const EXAMPLES: &str = "\
Examples:
  remote$ qft serve ~/incoming               prints a command to paste
  local$  qft send photos/* --to qft://...   first time: paste it
  local$  qft send photos/*                  from then on
  local$  qft get 'box:logs/*.gz' .          quote remote globs
  local$  qft send big.iso me@host:          through ssh, no server needed

'qft help COMMAND' has all options and examples.";

/// What a command may end with.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    all done
  1    failed, nothing is done
  2    wrong usage
  3    some files failed, the others are done
  4    the remote cannot be reached, or there is none of that name
  5    not trusted: another key answers, or this machine is not enrolled there
  6    the content did not verify
  7    the remote refused all of it (not allowed, disk full, exists)
  130  interrupted (143: terminated, 129: terminal gone); the same command
       continues";

/// How remotes are written.
pub(crate) const REMOTES: &str = "\
Remotes:
  NAME:[PATH]              a remote known here, by its name or address
  HOST:[PATH]              any server; one that is not known is asked about once
  HOST:PORT:[PATH]         the same, with a port ('host:4433' alone is a path)
  [V6]:[PORT:]PATH         an IPv6 address
  USER@HOST:[PATH]         through ssh: starts qft there for this run.
                           PATH is relative to the home directory, or absolute
  qft://FP[:INVITE]@HOST[:PORT][/PATH]   a ticket, as 'qft serve' prints it
  local:DIR                a directory here, through a server in this process
Not given: --to (--from), $QFT_REMOTE, the default remote, the only known one.
A local name with a colon is written ./a:b.";

pub(super) const SEND_EXAMPLES: &str = "\
Examples:
  qft send photos/* --to qft://...       pair with a server and send
  qft send dir box:backup/               makes backup/dir there
  qft send dir/ box:backup               sends what is inside dir
  qft send dir me@host:backup/           the same through ssh, no server needed
  qft send -n dir box:                   says what would be done, and why
  qft send --stats dir box:              says at the end what held it back
  find . -newer t -type f -print0 | qft send --files-from - -0 box:
                                         names from a list; '#' begins a comment
                                         in one without -0
  qft send dir box: --exclude '*' --include '*/' --include '*.txt'
                                         only text files
  tar c d | qft send - box:d.tar         sends standard input";

pub(super) const GET_EXAMPLES: &str = "\
Examples:
  qft get qft://... .                    all that a server has, by its ticket
  qft get box:report.pdf                 into this directory
  qft get 'box:logs/*.gz' logs/          quote globs: the remote expands them
  qft get box:dir/ copy                  what is inside dir, into copy
  qft get --files-from list box:dir      the names of a list, below dir there
  qft get box:d.tar - | tar x            to standard output";

pub(super) const PARTS: &str = "\
A file that arrives is .NAME.qft-part beside its place until it is whole and
verified. What an interrupted transfer leaves there is continued by the next one
for the same file, and stays until then: 'qft serve' removes those that were not
written to for 30 days (--keep-parts), and this command removes them at once.
A client that may only send sees and removes its own; who may only get removes
none.

Examples:
  qft parts                              here, and in all directories below
  qft parts box:                         those of a server
  qft parts --remove --older 7d box:dir  those that nobody continued for a week";

pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  qft serve ~/incoming                   prints the line for the other machine
  qft serve --write-only --no-clobber .  a drop box
  qft peers invite                       a ticket for one more client
  qft status                             who is connected, and what moves
  qft serve -l 127.0.0.1:0 --ticket-file t .   for scripts
  qft serve --http 9433 ~/incoming       with a live page, on this machine only:
                                         http://localhost:9433/

To let systemd run it: 'qft help service'.";

pub(super) const SERVICE: &str = "\
Two units: a socket that systemd holds, so that a restart loses no packet, and
the server, which runs as an account without rights and sees its home and the
directory that it serves. What it is stopped in is continued with the next one.

Examples:
  qft service                            show the units, change nothing
  sudo qft service install               serves /var/lib/qft/files, as qft
  sudo qft service install /srv/in -- --write-only -v
                                         a drop box, as the owner of /srv/in
  qft service install --user ~/incoming  your own, without root
  sudo qft service remove                what was received and the keys stay
  sudo systemctl enable --now qft.socket qft.service
                                         the units that a package brought

Let a client in:
  sudo -u qft QFT_HOME=/var/lib/qft/home qft peers invite

One UDP port must be open, 4433 unless --listen says otherwise:
  ufw allow 4433/udp
  firewall-cmd --permanent --add-port=4433/udp && firewall-cmd --reload
  nft add rule inet filter input udp dport 4433 accept

While it runs:
  systemctl restart qft                  clients reconnect by themselves and go
                                         on; so it is after an update
  systemctl stop qft.socket qft          files in flight may finish for --drain
                                         (1s here); the rest is continued later
  systemctl reload qft                   reads lists, token, CA and certificate
                                         again; no transfer notices
  journalctl -u qft                      the log; -p warning: what matters. For
                                         programs: -- --log-format json
  sudo -u qft QFT_HOME=/var/lib/qft/home qft status
  qft service -- --http 9433             a page that shows what goes on, figures
                                         for Prometheus at /metrics, /healthz and
                                         /readyz, on this machine alone. For
                                         others: --http ADDR:PORT and a token
                                         (--http-token-file, else http_token in
                                         the home), as bearer token or as the
                                         password that a browser asks for. It is
                                         not encrypted: put a proxy with TLS, or
                                         ssh -L, before it";

pub(super) const HISTORY: &str = "\
Every job of a client's that is over is one line of history.ndjson in the home,
as JSON: who, which way, files, bytes, seconds, how it ended, packets lost. The
file is bounded: when it is full it becomes history.1.ndjson, in the place of the
one before. Only its owner can read it. Servers that are started by local: and
user@host: write none.

Examples:
  qft history                            the last jobs, and sums by client
  qft history --since 7d --peer laptop   one client's week
  qft history --json -n 0 | jq 'select(.type == \"job\" and .outcome != \"done\")'
                                         what did not go well";

pub(super) const STATUS: &str = "\
Of each server: who may do what, the connections on each worker thread, and of
each client the round trip, the rates each way in the last seconds, and what it
sends or gets. A + stands for files that are not counted yet.

The servers are those of this user, with the same $QFT_HOME. Those behind local:
and user@host: end with their one client and are not shown.

Examples:
  qft status                             once
  watch qft status                       again and again
  qft status --json | jq 'select(.type == \"server\").workers'

Exit codes:
  0    every server that runs here has answered
  1    no server runs here
  4    a server runs here and has not answered";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  qft doctor                             this machine alone
  qft doctor box                         and the way to box and back
  qft doctor me@host:                    the same through ssh
  qft doctor --time 20s box              longer, for satellites and the like";

/// How settings are kept.
pub(super) const SETTINGS: &str = "\
The file is config.toml in $QFT_HOME, or else in ~/.config/qft. Its names are
those of the long options; what stands before the first [COMMAND] is for every
command that has such an option:

  timeout = \"10m\"
  verbose = 1

  [send]
  jobs = 32
  exclude = [\"*.tmp\", \".cache/\"]

  [serve]
  listen = \"[::]:4433\"
  write-only = true

A flag outweighs a variable (QFT_...), that outweighs the file, and the file the
default.

Examples:
  qft config                             all settings
  qft config send                        those of one command
  qft config send -j 4                   what they would be with these options";

/// How completions are installed: the lines work on a fresh account.
pub(super) const COMPLETIONS: &str = "\
To have them in every new shell:
  bash   echo 'source <(qft completions bash)' >> ~/.bashrc
  zsh    echo 'source <(qft completions zsh)' >> ~/.zshrc
  fish   mkdir -p ~/.config/fish/completions
         qft completions fish > ~/.config/fish/completions/qft.fish

What they offer comes from qft at each Tab: options and their values, names of
remotes, clients and topics, and behind 'box:' what is there. For that the
remote is asked, for two seconds at most (five through ssh) and without any
question; what it said is kept for ten.

For packages, files that these shells read by themselves:
  /usr/share/bash-completion/completions/qft
  /usr/share/zsh/vendor-completions/_qft
  /usr/share/fish/vendor_completions.d/qft.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  qft man send                           the page of a command
  qft man peers invite                   and of what is below one
  qft man containers                     the page of a topic
  qft man --out ~/.local/share/man/man1  where man(1) finds them
  qft man send | man -l -                in a pipe it is roff";

pub(super) const CERT_EXAMPLES: &str = "\
Examples:
  qft cert ca certs                                 once
  qft cert issue certs box.example --san 10.0.0.7   for each server
  qft cert issue certs laptop --client              for each client
  qft cert show certs/box.example.crt

Tickets and known hosts need none of this; certs/README.md says when it helps.";

pub(super) const PEERS_EXAMPLES: &str = "\
Examples:
  qft peers                              who may connect, and what each may do
  qft peers invite --name ci --wo        a ticket for one client that only sends
  qft peers allow FP --name laptop       FP: what 'qft id' prints on the laptop
  qft peers allow laptop --ro            laptop may only get from now on
  qft peers allow laptop --name lappy    another name; what it may do stays
  qft peers allow lappy --rw --root /    more again, said by its own words
  qft peers revoke laptop                laptop is out within a second

The list is the file authorized_clients in $QFT_HOME (or ~/.config/qft). It can
be edited by hand: one client a line, FINGERPRINT [options] NAME. Whoever comes
by a token or a certificate is on no list: 'revoke' takes its whole fingerprint,
which 'qft status --json' shows, and keeps it in revoked_clients.";

pub(super) const REMOTE_EXAMPLES: &str = "\
Examples:
  qft remote                             the servers known here
  qft remote add box                     asks for the ticket, and pairs
  qft remote add box qft://FP@host:4433  without an invite it is no secret
  qft remote add box host.example        by hand: its key is asked about
  qft remote rename vm-17 box            its host name is not always a good one
  qft remote default box                 'qft send FILES' goes there
  qft remote forget box";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_of_our_own_look_as_those_of_clap_and_nothing_else_does() {
        let bold = |heading: &str| format!("\x1b[1m\x1b[4m{heading}\x1b[0m");
        for heading in ["Transfer:", "Serve:", "Set up:", "Topics ('qft help TOPIC'):"] {
            assert!(headed(TEMPLATE).contains(&bold(heading)), "{heading}");
        }
        assert!(headed(EXAMPLES).starts_with(&bold("Examples:")));
        for line in ["  indented:", "no capital:", "A sentence that ends with a colon and is long:", "Words"] {
            assert_eq!(headed(line), line);
        }
    }
}
