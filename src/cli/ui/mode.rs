//! How a transfer is shown: chosen by the options, and by what the terminal can.

use std::io::IsTerminal as _;

use super::super::args::{OutputArgs, ProgressArg};

/// How a transfer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DisplayMode {
    /// Bars on a terminal.
    Bars,
    /// A line now and then.
    Plain,
    /// Errors and the final block.
    Final,
    Errors,
    /// Nothing: JSON says it all.
    Silent,
}

/// Chooses the mode. `has_bars`: standard error is a terminal that can move its cursor.
pub(crate) fn mode(args: &OutputArgs, dry_run: bool, has_bars: bool) -> DisplayMode {
    if args.json && args.verbose == 0 {
        return DisplayMode::Silent;
    }
    if args.quiet {
        return DisplayMode::Errors;
    }
    if dry_run {
        return DisplayMode::Final;
    }
    match args.progress {
        ProgressArg::None => DisplayMode::Final,
        ProgressArg::Plain => DisplayMode::Plain,
        ProgressArg::Auto | ProgressArg::Bar if has_bars => DisplayMode::Bars,
        ProgressArg::Auto | ProgressArg::Bar => DisplayMode::Plain,
    }
}

/// Whether standard error can show bars, by the terminal and what the environment says about it.
pub(crate) fn has_bars() -> bool {
    let term = std::env::var_os("TERM");
    std::io::stderr().is_terminal() && term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether what is written to standard error may have colours: <https://no-color.org>, and a terminal that knows them.
pub(crate) fn has_colours() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    has_bars() && !is_refused
}

/// Whether the locale's letters are UTF-8, by the first of these variables that is set.
pub(super) fn is_utf8(var: impl Fn(&str) -> Option<String>) -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| var(name).filter(|value| !value.is_empty()));
    // C.UTF-8 is spelled utf8 as well; with nothing set, today's terminals are UTF-8.
    locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}
