//! `qft man`: manual pages, made of the definitions.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::args::{Cli, ManArgs};
use super::completions::visible;
use super::exit::{Complaint, Exit};
use crate::protocol::path::escape;

/// The manual's name, at the top of each page.
const MANUAL: &str = "qft manual";

/// Runs the command.
pub(crate) fn run(args: &ManArgs) -> anyhow::Result<Exit> {
    let pages = pages();
    if let Some(dir) = &args.out {
        return install(&pages, dir);
    }
    let name = args.command.as_ref().map_or_else(|| "qft".to_owned(), |command| format!("qft-{command}"));
    let Some((_, page)) = pages.iter().find(|(of, _)| *of == name) else {
        let known: Vec<_> = pages.iter().filter_map(|(of, _)| of.strip_prefix("qft-")).collect();
        return Err(Complaint::Usage(format!("there is no page {name:?}; there are {}", known.join(", "))).into());
    };
    if !(io::stdout().is_terminal() && read_with_man(page)) {
        io::stdout().write_all(page).context("writing to standard output")?;
    }
    Ok(Exit::Done)
}

/// All pages, by name.
fn pages() -> Vec<(String, Vec<u8>)> {
    let root = visible(&Cli::command());
    let mut pages = Vec::new();
    gather(&root, "qft", &mut pages);
    pages
}

fn gather(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let mut named = command.clone().name(name.to_owned()).bin_name(name.replace('-', " "));
    if named.get_version().is_none() {
        named = named.version(env!("CARGO_PKG_VERSION"));
    }
    // Help for the help would be on every page.
    let named = named.disable_help_flag(true).disable_version_flag(true);
    pages.push((name.to_owned(), page(&named).expect("memory takes everything")));
    for inner in command.get_subcommands() {
        gather(inner, &format!("{name}-{}", inner.get_name()), pages);
    }
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let extra = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone()).manual(MANUAL);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(verbatim(&extra).as_bytes());
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Text whose lines and columns stay as they are: examples and tables. What ends with a colon and is not indented is
/// the heading of what follows.
fn verbatim(text: &str) -> String {
    let mut out = String::new();
    for block in text.split("\n\n") {
        let (heading, rest) = match block.split_once('\n') {
            Some((first, rest)) if first.ends_with(':') && !first.starts_with(' ') && first.len() < 40 => {
                (Some(first.trim_end_matches(':')), rest)
            }
            _ => (None, block),
        };
        match (heading, out.is_empty()) {
            (Some(heading), _) => out.push_str(&format!(".SH \"{}\"\n", plain(heading).to_uppercase())),
            (None, true) if !text.is_empty() => out.push_str(".SH NOTES\n"),
            (None, _) => out.push_str(".sp\n"),
        }
        out.push_str(".nf\n");
        rest.lines().for_each(|line| out.push_str(&format!("{}\n", plain(line))));
        out.push_str(".fi\n");
    }
    if text.is_empty() { String::new() } else { out }
}

/// A line that means nothing to roff.
fn plain(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

/// Shows a page as man(1) would; false where there is no man.
fn read_with_man(page: &[u8]) -> bool {
    let Ok(mut man) = Process::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut input) = man.stdin.take() {
        // A reader who leaves early closes the pipe.
        drop(input.write_all(page));
    }
    man.wait().is_ok_and(|status| status.success())
}

fn install(pages: &[(String, Vec<u8>)], dir: &Path) -> anyhow::Result<Exit> {
    let shown = escape(dir.as_os_str().as_bytes()).to_string();
    fs::create_dir_all(dir).with_context(|| format!("cannot make {shown}"))?;
    for (name, page) in pages {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page).with_context(|| format!("writing {}", escape(path.as_os_str().as_bytes())))?;
    }
    // A terminal that is gone is no reason to fail.
    drop(writeln!(io::stderr(), "wrote {} pages to {shown}: qft.1, qft-send.1, ...", pages.len()));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command() {
        let pages = pages();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("qft-{}", command.get_name());
            let (_, page) = pages.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("{name} is missing"));
            let page = String::from_utf8_lossy(page);
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
        }
        assert_eq!(pages[0].0, "qft");
    }

    #[test]
    fn examples_keep_their_lines_under_a_heading_of_their_own() {
        let text = "Examples:\n  qft send a\\b -n\n.hidden 'x'\n\nmore";
        let expected =
            ".SH \"EXAMPLES\"\n.nf\n  qft send a\\eb \\-n\n\\&.hidden \\(aqx\\(aq\n.fi\n.sp\n.nf\nmore\n.fi\n";
        assert_eq!(verbatim(text), expected);
        assert_eq!(verbatim(""), "");
    }
}
