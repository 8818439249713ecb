//! The pages: one for each command, made of its definition, and one for each topic.

use clap::{Arg, Command, CommandFactory as _};

use super::super::completions::visible;
use super::document::{Document, PagePart, TagWord};
use crate::cli::args::Cli;
use crate::cli::args::environment::{FILES, VARIABLES};
use crate::cli::args::topics::{self, Topic};

/// The heading of what a command ends with, in the help and on a page.
const EXIT_CODES: &str = "Exit codes";
/// The same for commands whose help does not list them.
const FEW_EXIT_CODES: &str = "0 done; 1 failed; 2 wrong usage. All codes are in qft-exit-codes(7).";
/// The pages that the pages of transfers refer to.
const OTHERS: &str = "rsync(1), scp(1), ssh(1)";

pub(super) fn all() -> Vec<Document> {
    let mut pages = Vec::new();
    gather(&visible(&Cli::command()), "qft", None, &mut pages);
    pages.extend(topics::ALL.iter().map(of_topic));
    pages
}

fn gather(command: &Command, name: &str, above: Option<&str>, pages: &mut Vec<Document>) {
    let bin_name = name.replace('-', " ");
    // Help for the help would be on every page.
    let named = command.clone().name(name.to_owned()).bin_name(bin_name).disable_help_flag(true);
    pages.push(of_command(&named.disable_version_flag(true), name, above));
    for inner in command.get_subcommands() {
        gather(inner, &format!("{name}-{}", inner.get_name()), Some(name), pages);
    }
}

fn section(name: &str) -> PagePart {
    PagePart::Section(name.to_owned())
}

fn of_command(command: &Command, name: &str, above: Option<&str>) -> Document {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let mut parts = vec![
        section("NAME"),
        PagePart::Text(format!("{name} - {}", lower_first(&about))),
        section("SYNOPSIS"),
        PagePart::Lines(usage.trim_start_matches("Usage: ").trim().to_owned()),
        section("DESCRIPTION"),
        PagePart::Text(format!("{about}.")),
    ];
    parts.extend(command.get_positionals().map(|arg| item(arg, vec![TagWord::Value(value_of(arg))])));
    parts.extend(options(command));
    if command.has_subcommands() {
        parts.push(section("COMMANDS"));
        parts.extend(command.get_subcommands().map(|inner| PagePart::Item {
            tag: vec![TagWord::Literal(inner.get_name().to_owned())],
            about: vec![inner.get_about().map(ToString::to_string).unwrap_or_default()],
        }));
    }
    parts.extend(after_options(command));
    parts.extend(surroundings(command, above.is_none()));
    parts.push(section("SEE ALSO"));
    parts.push(PagePart::Text(see_also(command, name, above)));
    Document { name: name.to_owned(), section: 1, parts }
}

/// The end of the help, behind the options; the exit codes come last.
fn after_options(command: &Command) -> Vec<PagePart> {
    let extra = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let (exit, others): (Vec<_>, Vec<_>) = blocks(&extra).into_iter().partition(|(title, _)| *title == EXIT_CODES);
    let mut parts = Vec::new();
    for (number, (title, lines)) in others.into_iter().enumerate() {
        match title {
            "" if number == 0 => parts.push(section("NOTES")),
            "" => {}
            title => parts.push(section(&title.to_uppercase())),
        }
        parts.push(PagePart::Lines(lines.to_owned()));
    }
    let exit = exit.first().map(|(_, lines)| PagePart::Lines((*lines).to_owned()));
    parts.extend([section("EXIT STATUS"), exit.unwrap_or_else(|| PagePart::Text(FEW_EXIT_CODES.to_owned()))]);
    parts
}

/// Variables and files: all of them on the page of qft, elsewhere those that the command has an option for.
fn surroundings(command: &Command, is_root: bool) -> Vec<PagePart> {
    let has_option = |name: &str| command.get_arguments().any(|arg| arg.get_env().is_some_and(|env| env == name));
    let row = |name: &str, about: &str| PagePart::Item {
        tag: vec![TagWord::Literal(name.to_owned())],
        about: vec![about.to_owned()],
    };
    let mut parts = vec![section("ENVIRONMENT")];
    let talks = command.get_arguments().any(|arg| arg.get_env().is_some());
    for variable in VARIABLES {
        let is_for_all = ["QFT_HOME", "XDG_CONFIG_HOME", "NO_COLOR"].contains(&variable.name);
        let is_for_transfers = talks && ["QFT_REMOTE", "QFT_LOG", "TMPDIR"].contains(&variable.name);
        if is_root || is_for_all || is_for_transfers || has_option(variable.name) {
            parts.push(row(variable.name, variable.about));
        }
    }
    parts.push(section("FILES"));
    let files = FILES.iter().filter(|(name, _)| is_root || name.starts_with('~') || *name == "config.toml");
    parts.extend(files.map(|(name, about)| {
        let is_whole = name.starts_with(['~', '.']);
        row(&if is_whole { (*name).to_owned() } else { format!("~/.config/qft/{name}") }, about)
    }));
    parts
}

fn see_also(command: &Command, name: &str, above: Option<&str>) -> String {
    let mut pages: Vec<String> = above.map(|above| format!("{above}(1)")).into_iter().collect();
    pages.extend(command.get_subcommands().map(|inner| format!("{name}-{}(1)", inner.get_name())));
    pages.extend(topics::ALL.iter().map(|topic| format!("qft-{}(7)", topic.name)));
    if command.get_arguments().any(|arg| arg.get_id() == "rsh") {
        pages.push(OTHERS.to_owned());
    }
    pages.join(", ")
}

/// The options, under the headings that the help has.
fn options(command: &Command) -> Vec<PagePart> {
    let all: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for heading in all.iter().map(|arg| arg.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    let mut parts = Vec::new();
    if !all.is_empty() {
        parts.push(section("OPTIONS"));
    }
    for heading in headings {
        parts.extend(heading.map(|heading| PagePart::Subsection(heading.to_owned())));
        let own = all.iter().filter(|arg| arg.get_help_heading() == heading);
        parts.extend(own.map(|arg| item(arg, names_of(arg))));
    }
    parts
}

fn names_of(arg: &Arg) -> Vec<TagWord> {
    let mut tag = Vec::new();
    if let Some(short) = arg.get_short() {
        tag.push(TagWord::Literal(format!("-{short}")));
    }
    if let Some(long) = arg.get_long() {
        if !tag.is_empty() {
            tag.push(TagWord::Plain(", ".to_owned()));
        }
        tag.push(TagWord::Literal(format!("--{long}")));
    }
    if arg.get_action().takes_values() {
        tag.extend([TagWord::Plain(" ".to_owned()), TagWord::Value(value_of(arg))]);
    }
    tag
}

fn value_of(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    match names.first() {
        Some(name) => name.to_string(),
        None => arg.get_id().as_str().to_uppercase(),
    }
}

/// The help of an option or a word, with its values, its variable and its default.
fn item(arg: &Arg, tag: Vec<TagWord>) -> PagePart {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut about = vec![help];
    if arg.get_action().takes_values() {
        let choices = arg.get_possible_values();
        let shown = choices.iter().filter(|choice| !choice.is_hide_set());
        about.extend(shown.map(|choice| match choice.get_help() {
            Some(help) => format!("{}: {}", choice.get_name(), lower_first(&help.to_string())),
            None => choice.get_name().to_owned(),
        }));
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() && !arg.is_hide_default_value_set() {
            about.push(format!("Default: {}", defaults.join(", ")));
        }
    }
    about.extend(arg.get_env().map(|name| format!("Variable: {}", name.to_string_lossy())));
    PagePart::Item { tag, about }
}

/// A sentence as the part of another one; what is written in capitals, or a name, stays.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// The blocks of a help text, each with its heading, if it has one: a first line that ends with a colon.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    blocks
        .map(|block| match block.split_once('\n') {
            Some((first, rest)) if first.ends_with(':') && !first.starts_with(' ') => {
                (first.trim_end_matches(':'), rest)
            }
            _ => ("", block),
        })
        .collect()
}

fn of_topic(topic: &Topic) -> Document {
    let name = format!("qft-{}", topic.name);
    let title = PagePart::Text(format!("{name} - {}", lower_first(topic.about)));
    let mut parts = vec![section("NAME"), title, section("DESCRIPTION")];
    for (title, lines) in blocks(&topic.text()) {
        if !title.is_empty() {
            parts.push(PagePart::Subsection(title.to_owned()));
        }
        parts.push(PagePart::Lines(lines.to_owned()));
    }
    let others = topics::ALL.iter().filter(|other| other.name != topic.name);
    let pages: Vec<_> = others.map(|topic| format!("qft-{}(7)", topic.name)).collect();
    parts.extend([section("SEE ALSO"), PagePart::Text(format!("qft(1), {}", pages.join(", ")))]);
    Document { name, section: 7, parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_whole_page_for_every_command_and_topic() {
        let pages = all();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("qft-{}", command.get_name());
            assert!(pages.iter().any(|page| page.name == name), "{name}");
        }
        for page in &pages {
            let text = page.text();
            let mut at = 0;
            let sections: &[&str] = match page.section {
                1 => &["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"],
                _ => &["NAME", "DESCRIPTION", "SEE ALSO"],
            };
            for section in sections {
                let line = format!("\n{section}\n");
                let text = format!("\n{text}");
                at += text[at..].find(&line).unwrap_or_else(|| panic!("{}: {section} is missing or late", page.name));
            }
        }
        assert_eq!(pages[0].name, "qft");
        assert!(pages.iter().any(|page| page.file_name() == "qft-containers.7"));
    }

    #[test]
    fn every_variable_is_on_the_first_page_and_each_option_s_on_its_command_s() {
        let pages = all();
        let text = |name: &str| pages.iter().find(|page| page.name == name).expect(name).text();
        for variable in VARIABLES {
            assert!(text("qft").contains(variable.name), "{}", variable.name);
        }
        assert!(text("qft-serve").contains("QFT_LISTEN") && !text("qft-id").contains("QFT_LISTEN"));
        assert!(text("qft-send").contains("Variable: QFT_RSH"), "hidden in the help for its width only");
    }

    #[test]
    fn what_a_command_ends_with_stands_under_one_heading() {
        let pages = all();
        let send = pages.iter().find(|page| page.name == "qft-send").expect("a page").text();
        assert!(!send.contains("EXIT CODES") && send.contains("the remote cannot be reached"));
    }
}
