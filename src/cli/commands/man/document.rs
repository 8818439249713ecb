//! A page as its parts, which man(1) reads as roff and everybody else as text.

/// A piece of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PagePart {
    /// The heading of a section.
    Section(String),
    /// The heading of a part of one.
    Subsection(String),
    /// Words that are filled.
    Text(String),
    /// Something, and what is said about it.
    Item {
        /// `-t`, `--to` and its value.
        tag: Vec<TagWord>,
        /// Words that are filled, a paragraph each.
        about: Vec<String>,
    },
    /// Lines that stay as they are.
    Lines(String),
}

/// A word of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TagWord {
    /// Typed as it is.
    Literal(String),
    Value(String),
    Plain(String),
}

#[derive(Debug)]
pub(super) struct Document {
    /// `qft-send`.
    pub(super) name: String,
    /// 1 for commands, 7 for topics.
    pub(super) section: u8,
    pub(super) parts: Vec<PagePart>,
}

/// The manual's name, at the top of each page.
const MANUAL: &str = "qft manual";
/// The day on which the manual was last changed, as pages tell it.
const DAY: &str = "2026-11-28";
/// Columns of a line of roff's input, and of text.
const COLUMNS: usize = 72;
/// Columns of most terminals. Lines that stay as they are must not be longer, and would be if they were indented.
const TERMINAL_COLUMNS: usize = 80;
/// Indents of text, and of what is said about an item.
const INDENT: &str = "       ";

impl Document {
    /// The file that man(1) finds it by.
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    pub(super) fn roff(&self) -> String {
        let title = plain(&self.name.to_uppercase());
        let source = concat!("qft ", env!("CARGO_PKG_VERSION"));
        let mut out = format!(".TH \"{title}\" {} {DAY} \"{source}\" \"{MANUAL}\"\n", self.section);
        let mut follows_text = false;
        for part in &self.parts {
            match part {
                PagePart::Section(name) => out.push_str(&format!(".SH \"{}\"\n", plain(name))),
                PagePart::Subsection(name) => out.push_str(&format!(".SS \"{}\"\n", plain(name))),
                PagePart::Text(text) => {
                    out.push_str(if follows_text { ".PP\n" } else { "" });
                    fill(text, COLUMNS).iter().for_each(|line| out.push_str(&input_line(line)));
                }
                PagePart::Item { tag, about } => {
                    out.push_str(&format!(".TP\n{}\n", tag.iter().map(TagWord::roff).collect::<String>()));
                    for (number, paragraph) in about.iter().enumerate() {
                        out.push_str(if number == 0 { "" } else { ".br\n" });
                        fill(paragraph, COLUMNS).iter().for_each(|line| out.push_str(&input_line(line)));
                    }
                }
                PagePart::Lines(lines) => {
                    let (lines, indent) = placed(lines);
                    out.push_str(if follows_text { ".PP\n.nf\n" } else { ".nf\n" });
                    out.push_str(&format!(".in {indent}n\n"));
                    lines.iter().for_each(|line| out.push_str(&input_line(line)));
                    out.push_str(".in\n.fi\n");
                }
            }
            follows_text = !matches!(part, PagePart::Section(_) | PagePart::Subsection(_));
        }
        out
    }

    /// For a pager, where there is no man(1).
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                PagePart::Section(name) => out.push_str(&format!("\n{name}\n")),
                PagePart::Subsection(name) => out.push_str(&format!("\n   {name}\n")),
                PagePart::Text(text) => push_lines(&mut out, INDENT, &fill(text, COLUMNS)),
                PagePart::Item { tag, about } => {
                    out.push_str(&format!("{INDENT}{}\n", tag.iter().map(TagWord::text).collect::<String>()));
                    let indent = INDENT.repeat(2);
                    about.iter().for_each(|text| push_lines(&mut out, &indent, &fill(text, COLUMNS - INDENT.len())));
                }
                PagePart::Lines(lines) => {
                    let (lines, indent) = placed(lines);
                    push_lines(&mut out, &INDENT[..indent.min(INDENT.len())], &lines);
                }
            }
        }
        out.trim_start().to_owned()
    }
}

fn push_lines(out: &mut String, indent: &str, lines: &[String]) {
    lines.iter().for_each(|line| out.push_str(&format!("{}\n", format!("{indent}{line}").trim_end())));
}

/// Lines without the indent that all of them have, and how far they can be indented where a terminal has 80 columns.
fn placed(lines: &str) -> (Vec<String>, usize) {
    let own = |line: &str| line.len() - line.trim_start().len();
    let common = lines.lines().filter(|line| !line.is_empty()).map(own).min().unwrap_or_default();
    let lines: Vec<_> = lines.lines().map(|line| line.get(common..).unwrap_or_default().to_owned()).collect();
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    (lines, INDENT.len().min(TERMINAL_COLUMNS.saturating_sub(longest)))
}

impl TagWord {
    fn roff(&self) -> String {
        match self {
            Self::Literal(text) => format!("\\fB{}\\fR", plain(text)),
            Self::Value(text) => format!("\\fI{}\\fR", plain(text)),
            Self::Plain(text) => plain(text),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Value(text) | Self::Plain(text) => text,
        }
    }
}

/// Words in lines of at most so many columns.
fn fill(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line of input that means nothing but itself.
fn input_line(line: &str) -> String {
    let escaped = plain(line.trim_end());
    match escaped.is_empty() || escaped.starts_with(['.', '\'']) {
        true => format!("\\&{escaped}\n"),
        false => format!("{escaped}\n"),
    }
}

/// Text that means nothing to roff, and is shown in the very characters, so that it can be pasted.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_characters_and_mean_nothing_to_roff() {
        for (line, input) in [
            ("  qft send a\\b -n", "  qft send a\\eb \\-n\n"),
            (".hidden 'x'", "\\&.hidden \\(aqx\\(aq\n"),
            ("", "\\&\n"),
            ("~/x `y` ^z \"q\"", "\\(ti/x \\(gay\\(ga \\(haz \\(dqq\\(dq\n"),
        ] {
            assert_eq!(input_line(line), input);
        }
    }

    #[test]
    fn wide_lines_are_indented_as_far_as_a_terminal_has_room() {
        let wide = "x".repeat(76);
        assert_eq!(placed(&format!("  {wide}\n    a")), (vec![wide.clone(), "  a".to_owned()], 4));
        assert_eq!(placed("  a\n\nb"), (vec!["  a".to_owned(), String::new(), "b".to_owned()], 7));
    }

    #[test]
    fn words_are_filled_and_none_is_lost() {
        assert_eq!(fill("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(fill("  a-very-long-word b ", 4), ["a-very-long-word", "b"]);
        assert!(fill("", 9).is_empty());
    }

    #[test]
    fn text_has_what_roff_has() {
        let tag = vec![TagWord::Literal("-t".into()), TagWord::Plain(" ".into()), TagWord::Value("REMOTE".into())];
        let parts = vec![
            PagePart::Section("OPTIONS".into()),
            PagePart::Item { tag, about: vec!["Where to".into()] },
            PagePart::Lines("  qft send".into()),
        ];
        let document = Document { name: "qft-x".into(), section: 1, parts };
        assert_eq!(document.text(), "OPTIONS\n       -t REMOTE\n              Where to\n       qft send\n");
        let roff = document.roff();
        assert!(
            roff.ends_with(
                ".SH \"OPTIONS\"\n.TP\n\\fB\\-t\\fR \\fIREMOTE\\fR\nWhere to\n.PP\n.nf\n.in 7n\nqft send\n.in\n.fi\n"
            ),
            "{roff}"
        );
    }
}
