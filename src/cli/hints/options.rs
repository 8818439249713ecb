//! Options of rsync, scp, ssh, curl, rclone and croc, and what is to be said about them.

/// Options, the commands they were typed behind (empty: any), and what to say.
pub(super) const OPTIONS: &[(&[&str], &[&str], &str)] = &[
    (&["--dest", "--destination", "--target"], &["send"], "the destination comes last, REMOTE:[PATH], or behind --to"),
    (
        &["--dest", "--destination", "--target", "--output-dir"],
        &["get"],
        "the directory comes last, or behind --output",
    ),
    (&["--src", "--source"], &["get"], "the remote comes first, REMOTE:PATH, or behind --from"),
    (
        &["-u", "--update"],
        TRANSFERS,
        "files that differ replace older ones; to leave all that exists: --if-exists skip",
    ),
    (&["--existing"], TRANSFERS, "there is no such choice; --if-exists says what happens to what exists"),
    (&["-f", "--force", "--overwrite", "--clobber"], TRANSFERS, "that is the default: --if-exists replace"),
    (&["-b", "--backup"], TRANSFERS, "--if-exists rename keeps the old file, and gives the new one another name"),
    (
        &["--follow", "--dereference", "--follow-symlinks"],
        TRANSFERS,
        "send -L sends what links lead to; --links copies them as links",
    ),
    (
        &["-i", "-F", "--identity"],
        &["send", "get", "ls"],
        "options of ssh go to ssh: -e 'ssh -i KEY', or ~/.ssh/config",
    ),
    (&["-o"], &["send", "ls"], "options of ssh go to ssh: -e 'ssh -o OPTION', or ~/.ssh/config"),
    (
        &["-4", "-6", "--ipv4", "--ipv6"],
        &[],
        "both families are tried at once; an address chooses one: '[V6]:' or A.B.C.D:",
    ),
    (
        &["-k", "--insecure", "--no-check-certificate"],
        &[],
        "whoever answers first is trusted with --host-key accept-new",
    ),
    (&["--inplace"], TRANSFERS, "files are written beside their final name and renamed when they are whole"),
    (&["--append", "--append-verify"], TRANSFERS, "what is there is continued, and verified, without an option"),
    (
        &["--hash", "--verify"],
        TRANSFERS,
        "what is sent is always verified; --checksum compares what is there by content",
    ),
    (&["--files-from"], &["ls"], "'qft get --files-from' takes names from a file; a listing is of one place"),
    (&["--remove-source-files", "--move"], TRANSFERS, "qft deletes nothing: qft send FILES && rm FILES"),
    (
        &["--bandwidth", "--limit", "--limit-rate", "--rate"],
        TRANSFERS,
        "that is --bwlimit RATE: 500K, 10M (bytes/s), 80mbit",
    ),
    (&["--threads", "--parallel", "--transfers"], TRANSFERS, "that is --jobs N: files in flight"),
    (&["--human-readable"], &[], "sizes are for people already; --json has exact ones"),
    (&["--stats", "--info"], TRANSFERS, "the last line has the totals; --json has them all"),
    (
        &["--max-size", "--min-size"],
        TRANSFERS,
        "sizes choose nothing here; find(1) does: find DIR -type f -size -1M -print0 | qft send --files-from - -0 REMOTE:",
    ),
    (
        &["--relative", "-R"],
        &["send", "get"],
        "names are those below what was named, as rsync's without -R; --files-from keeps the directories of its names",
    ),
    (&["-S", "-X", "--sort"], &["ls"], "names are in their order; qft ls --json | jq sorts otherwise"),
    (
        &["-d", "--daemon", "--background", "--detach"],
        &["serve"],
        "it stays in front: let systemd run it (qft help service), or: nohup qft serve DIR &",
    ),
    (&["--bind", "--address", "--host"], &["serve"], "that is --listen ADDR:PORT"),
    (&["--source-address", "--local-address"], &["send", "get", "ls", "doctor"], "that is --bind ADDR"),
    (&["--dir", "--root", "--directory"], &["serve"], "the directory comes without an option: qft serve DIR"),
    (&["--ro"], &["serve"], "for all clients: --read-only; for one: qft peers allow NAME --ro"),
    (&["--wo"], &["serve"], "for all clients: --write-only; for one: qft peers allow NAME --wo"),
    (&["--token"], &[], "a secret on a command line is seen by others: --token-file FILE"),
];

const TRANSFERS: &[&str] = &["send", "get"];
