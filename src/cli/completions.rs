//! `qft completions`: a script that lets a shell finish commands and options, made of the definitions.
//!
//! Names of remotes are read from the list by the shell itself: a TAB starts no program and asks no network.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::args::{Cli, CompletionsArgs};
use super::exit::Exit;

/// What bash adds: names of remotes where one can stand. The colon is left to the user's next key.
const BASH_REMOTES: &str = r#"
_qft_remotes() {
    local list="${QFT_HOME:-${XDG_CONFIG_HOME:-$HOME/.config}/qft}/remotes" cur="${COMP_WORDS[COMP_CWORD]}" name rest
    [[ -r $list && $cur != -* && $cur != */* ]] || return 0
    while read -r name rest; do
        case $name in ''|'#'*) ;; "$cur"*) COMPREPLY+=("$name:"); compopt -o nospace 2>/dev/null ;; esac
    done < "$list"
}

_qft_with_remotes() {
    _qft "$@"
    case ${COMP_WORDS[1]} in
        send|get|ls|ping|doctor) [[ $COMP_CWORD -gt 1 ]] && _qft_remotes ;;
    esac
    return 0
}

complete -F _qft_with_remotes -o bashdefault -o default qft
"#;

/// The same for fish.
const FISH_REMOTES: &str = r#"
function __qft_remotes
    set -l home $QFT_HOME
    test -n "$home"; or set home (test -n "$XDG_CONFIG_HOME"; and echo $XDG_CONFIG_HOME; or echo ~/.config)/qft
    test -r $home/remotes; and string match -rg '^([^#\s]\S*)' < $home/remotes | string replace -r '$' ':'
end
complete -c qft -n "__fish_seen_subcommand_from send get ls ping doctor" -a "(__qft_remotes)" -d Remote
"#;

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let script = script(args.shell);
    std::io::stdout().write_all(&script).context("writing to standard output")?;
    Ok(Exit::Done)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), "qft", &mut script);
    match shell {
        Shell::Bash => script.extend_from_slice(BASH_REMOTES.as_bytes()),
        Shell::Fish => script.extend_from_slice(FISH_REMOTES.as_bytes()),
        _ => {}
    }
    script
}

/// The same command without what its help does not show: the generators would offer it.
pub(crate) fn visible(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        shown = shown.after_long_help(help.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned();
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(visible);
    shown.args(args).subcommands(inner).disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_command_and_no_hidden_option() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = String::from_utf8(script(shell)).expect("text");
            for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(script.contains("if-exists"), "{shell}");
        }
    }

    #[test]
    fn what_help_hides_is_left_out() {
        let command = visible(&Cli::command());
        let send = command.find_subcommand("send").expect("it is there");
        assert!(send.get_arguments().all(|arg| !arg.is_hide_set()));
        assert!(send.get_arguments().any(|arg| arg.get_long() == Some("jobs")));
        assert!(!send.get_arguments().any(|arg| arg.get_short() == Some('z')));
    }
}
