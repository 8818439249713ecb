//! `qft man`: manual pages, made of the definitions. A terminal gets a page to read, a pipe its roff.
//!
//! | file | noun |
//! |---|---|
//! | `pages` | the pages |
//! | `document` | a page as its parts; as roff, as text |

mod document;
mod pages;

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use anyhow::Context as _;

use self::document::Document;
use crate::cli::args::ManArgs;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::standard;
use crate::protocol::path::{escape_path, quoted};

/// The pagers that are tried where neither variable names one.
const PAGERS: [&str; 2] = ["less", "more"];

pub(crate) fn run(args: &ManArgs) -> anyhow::Result<Exit> {
    let pages = pages::all();
    if let Some(dir) = &args.out {
        return install(&pages, dir);
    }
    let words: Vec<&str> = args.command.iter().map(String::as_str).skip_while(|word| *word == "qft").collect();
    let name = ["qft"].iter().chain(&words).copied().collect::<Vec<_>>().join("-");
    let is_named = |page: &&Document| page.name == name || page.name == words.join("-");
    let Some(page) = pages.iter().find(is_named) else {
        let known: Vec<_> = pages.iter().filter_map(|page| page.name.strip_prefix("qft-")).collect();
        let words = words.join(" ");
        return Err(
            Complaint::Usage(format!("there is no page {}; there are {}", quoted(&words), known.join(", "))).into()
        );
    };
    if !io::stdout().is_terminal() {
        standard::output().write_all(page.roff().as_bytes()).context("writing to standard output")?;
    } else if !shown_by(Process::new("man").args(["-l", "-"]), &page.roff()) && !shown_by_pager(&page.text()) {
        standard::output().write_all(page.text().as_bytes()).context("writing to standard output")?;
    }
    Ok(Exit::Done)
}

/// Shows text with the pager of the user's choice; false where there is none.
fn shown_by_pager(text: &str) -> bool {
    let chosen = ["MANPAGER", "PAGER"].into_iter().filter_map(|name| std::env::var(name).ok());
    let mut lines = chosen.filter(|line| !line.trim().is_empty()).chain(PAGERS.map(str::to_owned));
    // A pager is a line for the shell: `less -R`, `sh -c "col -bx | bat"`. Without the first word's program the shell
    // says nothing, and the next one is tried.
    let line = |line: String| format!("command -v {} >/dev/null 2>&1 || exit 127; {line}", first_word(&line));
    lines.any(|pager| shown_by(Process::new("sh").args(["-c", &line(pager)]), text))
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Gives a program a text to show; false where it could not.
fn shown_by(program: &mut Process, text: &str) -> bool {
    let Ok(mut child) = program.stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        // A reader who leaves early closes the pipe.
        drop(input.write_all(text.as_bytes()));
    }
    child.wait().is_ok_and(|status| status.success())
}

/// Writes all pages; those of topics beside a directory `man1` into `man7`, where man(1) looks for them.
fn install(pages: &[Document], dir: &Path) -> anyhow::Result<Exit> {
    let shown = |path: &Path| escape_path(path).to_string();
    for page in pages {
        let is_of_a_tree = dir.file_name().is_some_and(|name| name == "man1");
        let dir = if is_of_a_tree { dir.with_file_name(format!("man{}", page.section)) } else { dir.to_owned() };
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", shown(&dir)))?;
        let path = dir.join(page.file_name());
        fs::write(&path, page.roff()).with_context(|| format!("writing {}", shown(&path)))?;
    }
    // A terminal that is gone is no reason to fail.
    let line = format!("wrote {} pages to {}: qft.1, qft-send.1, ... qft-recipes.7", pages.len(), shown(dir));
    drop(writeln!(io::stderr(), "{line}"));
    Ok(Exit::Done)
}
