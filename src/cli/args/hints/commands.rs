//! Commands of other tools, and what is to be said about them.

/// Words where a command is due (behind which one; empty: `qft` itself), and what to say.
pub(super) const COMMANDS: &[(&[&str], &str, &str)] = &[
    (
        &["cp", "copy", "sync", "scp", "rsync", "mirror"],
        "",
        "to a remote: qft send FILES REMOTE:; from one: qft get REMOTE:PATH DIR",
    ),
    (
        &["partial", "unfinished", "clean", "cleanup", "prune", "gc"],
        "",
        "what interrupted transfers have left: qft parts [REMOTE:], with --remove",
    ),
    (&["cat", "less", "head"], "", "to standard output: qft get REMOTE:FILE -"),
    (
        &["rm", "mv", "mkdir", "rmdir", "del", "delete", "move", "rename", "touch", "chmod"],
        "",
        "qft only sends and gets; what is there is changed there, or through ssh",
    ),
    (&["dir", "list", "tree", "find"], "", "names on a remote: qft ls REMOTE:PATH, with -R what is inside"),
    (
        &["invite", "ticket", "pair", "allow", "revoke", "token"],
        "",
        "for a server here: qft peers invite, allow, revoke, token",
    ),
    (&["add", "remotes", "host", "hosts", "default", "forget"], "", "servers known here: qft remote"),
    (&["server", "daemon", "listen", "share", "receive-only"], "", "qft serve DIR"),
    (&["watch", "top", "monitor"], "", "what the servers here do, again and again: watch qft status"),
    (&["update", "upgrade", "self-update"], "", "qft is installed with cargo install --path ."),
    (
        &["init", "setup", "login", "keygen"],
        "",
        "nothing is to be set up: 'qft serve DIR' prints what to paste on the other machine",
    ),
    (&["key", "whoami", "fingerprint"], "", "qft id"),
    (&["stop", "kill", "restart", "quit"], "", "Ctrl-C stops a server, or: kill PID (qft status shows it)"),
    (&["log", "logs"], "", "a server's log is its standard error; as a service: journalctl -u qft"),
    (
        &["test", "check", "bench", "speedtest", "diagnose", "trace"],
        "",
        "what limits the way to a remote: qft doctor REMOTE",
    ),
    (&["resume", "continue", "retry"], "", "the same command again continues what was interrupted"),
    (
        &["verify", "diff", "compare", "md5", "md5sum", "checksum", "hash"],
        "",
        "all that is sent is verified; what differs is said by: qft send -n -c FILES REMOTE:",
    ),
    (&["stat", "du", "df", "size", "info"], "", "sizes and times on a remote: qft ls -lR REMOTE:PATH"),
    (&["settings", "set", "configure"], "", "qft config shows settings; config.toml has them"),
    (&["set", "set-url", "edit", "change", "update"], "remote", "qft remote forget NAME, then qft remote add NAME"),
    (&["show", "get", "get-url", "info"], "remote", "qft remote lists them all"),
    (
        &["edit", "set", "change", "rename", "modify", "chmod"],
        "peers",
        "qft peers allow NAME, with what is to change: --name, --ro, --wo, --rw, --root, --expires",
    ),
];
