//! What `qft help TOPIC` and `qft man TOPIC` say: what is worth knowing and belongs to no one command.

use std::borrow::Cow;

use super::environment;
use crate::cli::args::{EXIT_CODES, REMOTES};

#[derive(Debug)]
pub(crate) struct Topic {
    /// One word.
    pub(crate) name: &'static str,
    /// What it is about, in a few.
    pub(crate) about: &'static str,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Written(&'static str),
    Made(fn() -> String),
}

/// All topics, in the order of the list.
pub(crate) const ALL: &[Topic] = &[
    Topic {
        name: "recipes",
        about: "More ways to send, get and serve",
        text: Text::Written(include_str!("recipes.txt")),
    },
    Topic { name: "remotes", about: "How remotes and paths on them are written", text: Text::Made(remotes) },
    Topic {
        name: "containers",
        about: "Containers and CI: a token instead of questions",
        text: Text::Written(include_str!("containers.txt")),
    },
    Topic { name: "environment", about: "Variables and files that qft reads", text: Text::Made(environment::text) },
    Topic { name: "exit-codes", about: "What a command ends with", text: Text::Made(|| EXIT_CODES.to_owned()) },
];

impl Topic {
    /// The topic of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|topic| topic.name == name)
    }

    /// What there is to know, in lines that fit a terminal.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        match self.text {
            Text::Written(text) => text.trim_end().into(),
            Text::Made(make) => make().into(),
        }
    }
}

fn remotes() -> String {
    format!("{REMOTES}\n\n{}", include_str!("paths.txt").trim_end())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn topics_fit_a_terminal_and_have_no_command_s_name() {
        for topic in ALL {
            for line in topic.text().lines() {
                assert!(line.chars().count() <= 80 && !line.ends_with(' '), "{}: {line:?}", topic.name);
            }
            assert!(Cli::command().find_subcommand(topic.name).is_none(), "{}", topic.name);
            assert!(topic.about.len() <= 60, "{}", topic.about);
        }
    }

    #[test]
    fn the_list_of_commands_ends_with_the_topics_in_their_own_words() {
        let help = Cli::command().render_long_help().to_string();
        let (_, list) = help.split_once("Topics (").expect("a list of topics");
        let rows: Vec<_> = list.lines().skip(1).take(ALL.len()).map(str::to_owned).collect();
        let expected: Vec<_> = ALL.iter().map(|topic| format!("  {:<11}  {}", topic.name, topic.about)).collect();
        assert_eq!(rows, expected);
    }

    /// The commands that a text shows: what stands before two blanks, cut at pipes and the like.
    fn commands(text: &str) -> Vec<String> {
        let shown = text.lines().filter(|line| line.starts_with("  "));
        let behind_prompt = shown.map(|line| line.rsplit_once("$ ").map_or(line, |(_, line)| line).trim());
        let pieces = behind_prompt.flat_map(|line| line.split("  ").next().unwrap_or_default().split(['|', '&', '>']));
        // As a word of its own, and not as the name of a user or of a directory.
        let start = |piece: &str| match piece.starts_with("qft ") {
            true => Some(0),
            false => [" qft ", "/bin/qft "].iter().filter_map(|word| Some(piece.rfind(word)? + word.len() - 4)).max(),
        };
        let own = pieces.map(str::trim).filter_map(|piece| start(piece).map(|at| &piece[at..]));
        own.map(|piece| piece.replace(['\'', ')'], "")).collect()
    }

    #[test]
    fn every_command_line_that_help_shows_is_one_that_qft_takes() {
        fn check(command: &clap::Command, all: &mut Vec<String>) {
            let texts = [command.get_after_long_help(), command.get_after_help()];
            texts.into_iter().flatten().for_each(|text| all.extend(commands(&text.to_string())));
            command.get_subcommands().for_each(|inner| check(inner, all));
        }
        let mut all = Vec::new();
        check(&Cli::command(), &mut all);
        ALL.iter().for_each(|topic| all.extend(commands(&topic.text())));
        assert!(all.len() > 60, "{all:?}");
        for line in all {
            let taken = Cli::command().try_get_matches_from(line.split_whitespace());
            assert!(taken.is_ok(), "{line}: {}", taken.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }
}
