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
];
