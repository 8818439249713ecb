//! Completions, in real shells on a terminal: a person types, presses Tab, and reads the line.

use std::process::Command;

use rustix::process::Signal;

use crate::support::bin::{Machine, wait_for};
use crate::support::screen::{CTRL_C, Terminal};
use crate::support::sshd::{Setup, Sshd};

/// Keys.
const TAB: &str = "\t";
const CTRL_U: &str = "\x15";
const CTRL_L: &str = "\x0c";
/// What the prompt is made to be.
const PROMPT: &str = "> ";
/// Typed behind a Tab: when it is seen, the shell has done with the Tab.
const MARK: &str = "Z";

/// A shell on a fresh account, for which completions were installed by the lines that are printed for that.
struct Shell {
    terminal: Terminal,
    leaves_a_list: &'static str,
}

/// The lines for a shell, as `qft completions --help` prints them.
fn install_lines(local: &Machine, shell: &str) -> String {
    let help = String::from_utf8(local.run("completions --help").exits(0).stdout.clone()).expect("plain text");
    let (_, from) = help.split_once("To have them").expect("the lines");
    let (lines, _) = from.split_once("\n\n").expect("their end");
    let mut own = String::new();
    let mut is_own = false;
    for line in lines.lines().skip(1) {
        let (name, command) = line.split_at(9);
        is_own = name.trim() == shell || (name.trim().is_empty() && is_own);
        if is_own {
            own += &format!("{command}\n");
        }
    }
    assert!(own.contains(&format!("qft completions {shell}")), "{help}");
    own
}

impl Shell {
    /// Starts it; `None`, after saying so, where it is not installed.
    fn start(name: &str, local: &Machine, prepare: impl FnOnce(&mut Command)) -> Option<Self> {
        if Command::new(name).arg("--version").output().is_err() {
            println!("skipped: there is no {name} here");
            return None;
        }
        local.write("install", install_lines(local, name));
        assert!(local.shell("sh -e install").status().expect("sh runs").success(), "the printed lines run as they are");
        std::fs::remove_file(local.path("install")).expect("ours");
        let mut terminal = Terminal::new();
        terminal.start_with(local, &format!("{name} -i"), |command| {
            for variable in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "ZDOTDIR", "BASH_ENV", "ENV"] {
                command.env_remove(variable);
            }
            prepare(command);
        });
        let set_up = match name {
            "fish" => "set -g fish_autosuggestion_enabled 0; function fish_prompt; echo -n '> '; end; echo rea''dy",
            // What a user may have switched on shows less than the plain thing.
            "zsh" => "PROMPT='> '; RPROMPT=; unsetopt prompt_sp; echo rea''dy",
            _ => "PS1='> '; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; echo rea''dy",
        };
        // What is typed before the first prompt may be lost.
        wait_for("a prompt", || {
            let seen = terminal.seen();
            let last = seen.lines().last().unwrap_or_default().trim_end();
            (last.ends_with(['#', '$', '%', '>']) && !last.starts_with('$')).then_some(())
        });
        terminal.type_line(set_up);
        terminal.wait_to_show("ready\n");
        let shell = Self { terminal, leaves_a_list: if name == "fish" { CTRL_C } else { "" } };
        shell.clear();
        Some(shell)
    }

    /// An empty line at the top of an empty screen.
    fn clear(&self) {
        wait_for("an empty line", || {
            self.terminal.press(&format!("{CTRL_U}{CTRL_L}"));
            (self.screen() == PROMPT.trim()).then_some(())
        });
    }

    fn screen(&self) -> String {
        self.terminal.on_screen().trim().to_owned()
    }

    /// What a line becomes by a Tab. Nothing else may be on the screen.
    fn completed(&self, typed: &str) -> String {
        self.terminal.press(&format!("{typed}{TAB}{MARK}"));
        let line = wait_for(&format!("the completion of {typed:?}"), || {
            let screen = self.screen();
            let line = screen.strip_prefix(PROMPT)?.strip_suffix(MARK)?.to_owned();
            (!line.contains('\n')).then_some(line)
        });
        self.clear();
        line
    }

    /// What is offered for a line, when there is more than one way on.
    fn offered(&self, typed: &str, one_of_them: &str) -> String {
        // bash lists at the Tab that adds nothing; the others choose among what they have listed.
        self.terminal.press(&format!("{typed}{TAB}{TAB}{TAB}"));
        let screen = wait_for(one_of_them, || Some(self.screen()).filter(|screen| screen.contains(one_of_them)));
        // fish's list is left first; the others read on.
        self.terminal.press(self.leaves_a_list);
        self.clear();
        screen
    }

    fn exit(mut self) {
        self.terminal.type_line("exit");
        assert_eq!(self.terminal.end(), Some(0), "{}", self.terminal.seen());
    }
}

/// A server that is known as `box`, and one as `gone` that does not answer.
fn machines() -> (Machine, Machine, crate::support::bin::Serve) {
    let (remote, local) = (Machine::new(), Machine::new());
    for file in ["logs/deep.log", "my notes.txt", "it's $5 [a].txt", "Makefile", "logs/.hidden"] {
        remote.write(&format!("in/{file}"), "x");
    }
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let saved = String::from_utf8(local.read("home/remotes")).expect("plain text");
    let name = saved.lines().last().expect("a remote").split(' ').next().expect("its name").to_owned();
    local.run(&format!("remote rename {name} box")).exits(0);
    // Nobody answers there; 192.0.2.0/24 is nobody's.
    local.run(&format!("remote add gone qft://{}@192.0.2.1:4433", remote.fingerprint())).exits(0);
    local.run(&format!("peers allow {} --name laptop", remote.fingerprint())).exits(0);
    local.write("notes.txt", "x");
    local.write("photos/beach.jpg", "x");
    local.write("phone", "x");
    (remote, local, serve)
}

fn complete_in(name: &str) {
    let (_remote, local, serve) = machines();
    let Some(shell) = Shell::start(name, &local, |_| {}) else { return };
    for (typed, becomes) in [
        ("qft stat", "qft status "),
        ("qft send no", "qft send notes.txt "),
        ("qft send notes.txt bo", "qft send notes.txt box:"),
        ("qft send notes.txt --to=bo", "qft send notes.txt --to=box:"),
        ("qft send --dry", "qft send --dry-run "),
        ("qft send --if-exists=ski", "qft send --if-exists=skip "),
        ("qft send --if-exists ski", "qft send --if-exists skip "),
        ("qft send --ca no", "qft send --ca notes.txt "),
        ("qft send --ca=no", "qft send --ca=notes.txt "),
        ("qft send notes.txt local:photo", "qft send notes.txt local:photos/"),
        ("qft serve pho", "qft serve photos/"),
        ("qft get box:lo", "qft get box:logs/"),
        ("qft get box:logs/", "qft get box:logs/deep.log "),
        ("qft get lo", "qft get logs/"),
        ("qft get --from box lo", "qft get --from box logs/"),
        ("qft get box:Make", "qft get box:Makefile "),
        ("qft get box:my", "qft get box:my\\ notes.txt "),
        ("qft get 'box:my", "qft get 'box:my notes.txt' "),
        ("qft get box:logs/.hi", "qft get box:logs/.hidden "),
        ("qft ls --from bo", "qft ls --from box:"),
        ("qft doctor bo", "qft doctor box "),
        ("qft remote forget go", "qft remote forget gone "),
        ("qft remote rename bo", "qft remote rename box "),
        ("qft peers revoke lap", "qft peers revoke laptop "),
        ("qft man cert iss", "qft man cert issue "),
        ("qft help reci", "qft help recipes "),
        ("qft completions fis", "qft completions fish "),
        // Nothing is there, or nobody is: the line stays, and nothing is said.
        ("qft get box:nothing", "qft get box:nothing"),
        ("qft get gone:", "qft get gone:"),
        ("qft get gone:", "qft get gone:"),
        ("qft get stranger.invalid:no", "qft get stranger.invalid:no"),
        ("qft get box:phone", "qft get box:phone"),
    ] {
        assert_eq!(shell.completed(typed), becomes, "{name}: {typed}");
    }
    let there = shell.offered("qft get box:", "logs/");
    assert!(there.contains("Makefile") && !there.contains("photos") && !there.contains(".hidden"), "{name}: {there}");
    let files = shell.offered("qft send ", "photos");
    assert!(files.contains("notes.txt") && !files.contains("--"), "{name}: files and no options: {files}");
    let options = shell.offered("qft send --no", "--no-resume");
    assert!(options.contains("--no-sync"), "{name}: {options}");
    // A name that a shell could read in any way is read back as it is.
    shell.terminal.press(&format!("qft ls -q box:it{TAB}\r"));
    wait_for("the name", || shell.screen().contains("\nit's $5 [a].txt\n>").then_some(()));
    shell.clear();
    // A server that is there and says nothing is not waited for.
    serve.signal(Signal::STOP);
    assert_eq!(shell.completed("qft get box:logs/../x/"), "qft get box:logs/../x/");
    assert_eq!(shell.completed("qft get box:elsewhere/"), "qft get box:elsewhere/");
    serve.signal(Signal::CONT);
    shell.exit();
}

#[test]
fn bash_completes_commands_options_files_and_what_is_on_a_remote() {
    complete_in("bash");
}

#[test]
fn zsh_completes_commands_options_files_and_what_is_on_a_remote() {
    complete_in("zsh");
}

#[test]
fn fish_completes_commands_options_files_and_what_is_on_a_remote() {
    complete_in("fish");
}

#[test]
fn a_tab_asks_a_remote_once_in_some_seconds() {
    let (_remote, local, serve) = machines();
    let Some(shell) = Shell::start("bash", &local, |_| {}) else { return };
    serve.wait_to_say(" + ");
    let before = serve.log().matches(" + ").count();
    for _ in 0..3 {
        assert_eq!(shell.completed("qft get box:Make"), "qft get box:Makefile ");
    }
    wait_for("the one that asked", || (serve.log().matches(" + ").count() > before).then_some(()));
    assert_eq!(serve.log().matches(" + ").count(), before + 1, "{}", serve.log());
    let kept = local.tree("home/qft-completions");
    assert_eq!((kept.len(), local.mode("home/qft-completions")), (1, 0o700), "{kept:?}");
    shell.exit();
}

#[test]
fn what_is_behind_ssh_is_completed_where_ssh_asks_nothing() {
    let (remote, local) = (Machine::new(), Machine::new());
    let Some(sshd) = Sshd::start(&remote, &local, &Setup::default()) else { return };
    remote.write("me/photos/beach.jpg", "x");
    let Some(shell) = Shell::start("bash", &local, |command| sshd.prepare(command)) else { return };
    assert_eq!(shell.completed(&format!("qft get {}", sshd.at("pho"))), format!("qft get {}", sshd.at("photos/")));
    assert_eq!(shell.completed(&format!("qft get {}", sshd.at("nix"))), format!("qft get {}", sshd.at("nix")));
    shell.exit();
    sshd.assert_nothing_left(&remote, &["photos/", "photos/beach.jpg"]);
}

#[test]
fn a_tab_never_asks_for_a_passphrase_or_about_a_host_key() {
    for setup in [
        Setup { passphrase: true, ..Setup::default() },
        Setup { wrong_host_key: true, ..Setup::default() },
        Setup { wrong_user_key: true, ..Setup::default() },
    ] {
        let (remote, local) = (Machine::new(), Machine::new());
        let Some(sshd) = Sshd::start(&remote, &local, &setup) else { return };
        let Some(shell) = Shell::start("bash", &local, |command| sshd.prepare(command)) else { return };
        let line = format!("qft get {}", sshd.at("pho"));
        assert_eq!(shell.completed(&line), line);
        shell.exit();
    }
}
