use clap::Parser as _;

use super::*;

/// What is said about a line; `None` when it is taken.
fn said(line: &str) -> Option<String> {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let error = Cli::try_parse_from(&args).err()?;
    Some(match improve(error, &args) {
        RejectedLine::Version => "version".to_owned(),
        RejectedLine::Complaint(error) => error.to_string(),
    })
}

#[test]
fn what_other_tools_call_it_is_led_to_what_it_is_called_here() {
    for (line, part) in [
        ("qft send f --dest box:", "REMOTE:[PATH], or behind --to"),
        ("qft send --insecure f box:", "--host-key accept-new"),
        ("qft send -u f box:", "--if-exists skip"),
        ("qft send --follow d box:", "-L sends what links lead to"),
        ("qft send --inplace f box:", "beside their final name"),
        ("qft ls --files-from list box:", "qft get --files-from"),
        ("qft send -4 f box:", "both families"),
        ("qft send -i key f me@host:", "-e 'ssh -i KEY'"),
        ("qft send --remove-source-files f box:", "deletes nothing"),
        ("qft send --progress photos box:", "progress is shown without an option"),
        ("qft serve --daemon", "systemd"),
        ("qft ls --sort size", "names are in their order"),
        ("qft ls a b", "takes one path"),
        ("qft cp a box:", "qft send FILES REMOTE:"),
        ("qft cat box:f", "qft get REMOTE:FILE -"),
        ("qft rm box:f", "only sends and gets"),
        ("qft invite", "qft peers invite"),
        ("qft watch", "watch qft status"),
        ("qft update", "cargo install --path ."),
        ("qft Cargo.toml box:", "did you mean: qft send Cargo.toml box:"),
        ("qft box:a .", "did you mean: qft get box:a ."),
        ("qft send --excude x f box:", "did you mean --exclude?"),
        ("qft sned f", "did you mean send?"),
        ("qft recipies --help", "did you mean: qft help recipes"),
        ("qft remote renme a b", "did you mean rename?"),
        ("qft send --whole-file f box:", "in pieces of 1 MiB"),
        ("qft send -aAX d box:", "tar c --acls --xattrs"),
        ("qft send --chown x f box:", "owners are not kept"),
        ("qft send -rlptgoD d box:", "-p is the port of a server"),
        ("qft send -p d box:", "-p is the port of a server"),
        ("qft send --delete-after d box:", "deletes nothing"),
        ("qft send --exclude-from x d box:", "can be repeated"),
        ("qft send -J jump f me@host:", "-e 'ssh -J HOST'"),
        ("qft send --sort size f box:", "in which they are found"),
        ("qft get --continue box:f", "continued, and verified"),
        ("qft get -O box:f", "names are kept"),
        ("qft ls -lt box:", "names are in their order"),
        ("qft ls --tree", "-R also lists"),
        ("qft -v", "qft -V"),
        ("qft remote ad x", "did you mean add?"),
        ("qft remote set-url box h", "qft remote forget NAME"),
        ("qft logs", "journalctl"),
        ("qft exit --help", "did you mean: qft help exit-codes"),
        ("qft frobnicate --help", "qft help lists all commands and topics"),
    ] {
        let text = said(line).unwrap_or_else(|| panic!("{line} is taken"));
        assert!(text.contains(part), "{line}: {text}");
        assert_eq!(text.matches("tip:").count(), 1, "{line}: {text}");
        let usage = text.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default();
        assert!(!usage.contains("--"), "the usage names no option that is only spelt alike: {line}: {text}");
    }
}

#[test]
fn an_h_among_other_letters_is_no_call_for_help() {
    for (typed, meant) in [
        ("qft send -avh d box:", "qft send -av d box:"),
        ("qft send -hav d box:", "qft send -av d box:"),
        ("qft ls -lh box:", "qft ls -l box:"),
        ("qft ls -lah", "qft ls -la"),
        ("qft send -h", "qft send -h"),
        ("qft ls -hh", "qft ls -hh"),
        ("qft send -vthost d", "qft send -vthost d"),
        ("qft send -thost d", "qft send -thost d"),
        ("qft send -hthost d", "qft send -thost d"),
        ("qft send -- -ah box:", "qft send -- -ah box:"),
        ("qft send --help", "qft send --help"),
        ("qft serve -vh", "qft serve -vh"),
    ] {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(without_human(words(typed)), words(meant));
    }
}

#[test]
fn a_word_that_is_like_nothing_gets_no_tip() {
    for line in ["qft send --frobnicate f box:", "qft frobnicate", "qft send -Y f box:", "qft peers frobnicate"] {
        let text = said(line).unwrap_or_else(|| panic!("{line} is taken"));
        assert!(!text.contains("tip:") && !text.contains("-- -"), "{line}: {text}");
    }
}

#[test]
fn words_with_one_meaning_are_taken() {
    for line in [
        "qft send --recursive --archive --partial f box:",
        "qft send --ignore-existing f box:",
        "qft send --no-clobber f box:",
        "qft send -l f box:",
        "qft send --compress f box:",
        "qft upload f box:",
        "qft download box:f",
        "qft ls -a1 box:",
        "qft remote rm box",
        "qft remote remove box",
        "qft remote ls",
        "qft peers ls",
        "qft peers rm laptop",
        "qft peers add laptop",
    ] {
        assert_eq!(said(line), None, "{line}");
    }
    for line in ["qft send --version", "qft version", "qft peers list -V"] {
        assert_eq!(said(line).as_deref(), Some("version"), "{line}");
    }
}
