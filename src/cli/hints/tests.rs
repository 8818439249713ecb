use clap::Parser as _;

use super::*;

/// What is said about a line; `None` when it is taken.
fn said(line: &str) -> Option<String> {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let error = Cli::try_parse_from(&args).err()?;
    Some(match improve(error, &args) {
        Refused::Version => "version".to_owned(),
        Refused::Complaint(error) => error.to_string(),
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
        ("qft service", "did you mean: qft help service"),
        ("qft remote renme a b", "did you mean rename?"),
    ] {
        let text = said(line).unwrap_or_else(|| panic!("{line} is taken"));
        assert!(text.contains(part), "{line}: {text}");
        assert_eq!(text.matches("tip:").count(), 1, "{line}: {text}");
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
