//! The terminal on which bars are drawn.

use std::io::Write as _;

#[cfg(test)]
use indicatif::InMemoryTerm;
use indicatif::ProgressDrawTarget;

/// Rate at which indicatif may draw by itself. It is kept low, since each look ends with one forced draw.
const OWN_DRAWS_HZ: u8 = 1;

/// Clears from the cursor's line to the end of the screen (ECMA-48, ED).
const WIPE_BELOW: &str = "\r\x1b[J";

#[derive(Debug)]
pub(crate) enum Screen {
    /// The terminal behind standard error.
    Stderr,
    /// A terminal in memory, whose content a test can read.
    #[cfg(test)]
    Memory(std::cell::RefCell<InMemoryTerm>),
}

impl Screen {
    /// Rows and columns.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Stderr => match rustix::termios::tcgetwinsize(std::io::stderr()) {
                Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
                // A terminal that does not tell is the classic one.
                _ => (24, 80),
            },
            #[cfg(test)]
            Self::Memory(term) => {
                use indicatif::TermLike as _;
                (term.borrow().height().into(), term.borrow().width().into())
            }
        }
    }

    /// Whether the terminal is this process's to draw on: in the background somebody else's lines are there, and a
    /// cursor that moves would spoil what is being typed.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Stderr => match rustix::termios::tcgetpgrp(std::io::stderr()) {
                Ok(foreground) => foreground == rustix::process::getpgrp(),
                // It is not the terminal that controls this session, so nobody's job is in front there.
                Err(_) => true,
            },
            #[cfg(test)]
            Self::Memory(_) => true,
        }
    }

    pub(super) fn target(&self) -> ProgressDrawTarget {
        match self {
            Self::Stderr => ProgressDrawTarget::stderr_with_hz(OWN_DRAWS_HZ),
            #[cfg(test)]
            Self::Memory(term) => ProgressDrawTarget::term_like_with_hz(Box::new(term.borrow().clone()), OWN_DRAWS_HZ),
        }
    }

    /// Takes the cursor to the start of its line, where each draw expects it at the latest. At the end of a full
    /// line the `^C` that a terminal shows would begin a new one, and all bars would be drawn one line too low.
    pub(super) fn rest(&self) {
        match self {
            Self::Stderr => drop(write!(std::io::stderr(), "\r")),
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    /// Whether the terminal is one of which it is known that it breaks its lines again when it gets narrower, with the cursor
    /// where it was in its line. Others, as xterm, cut them off instead, and would lose what stands above.
    pub(super) fn breaks_lines_again(&self) -> bool {
        let is_tmux = || std::env::var_os("TMUX").is_some_and(|socket| !socket.is_empty());
        match self {
            Self::Stderr => is_tmux() || std::env::var("TERM").is_ok_and(|term| term.starts_with("tmux")),
            #[cfg(test)]
            Self::Memory(_) => false,
        }
    }

    /// Removes what a terminal that was resized has left of bars, from so many rows above the cursor on: it breaks lines
    /// again, and some come to lie lower.
    pub(super) fn wipe_below(&self, above: usize) {
        match self {
            // No row up is one row up (ECMA-48, CUU).
            Self::Stderr if above > 0 => drop(write!(std::io::stderr(), "\x1b[{above}A{WIPE_BELOW}")),
            Self::Stderr => drop(write!(std::io::stderr(), "{WIPE_BELOW}")),
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    /// Prints a line while no bars are on the screen.
    pub(super) fn line(&self, text: &str) {
        match self {
            // A terminal that is gone is no reason to stop a transfer.
            Self::Stderr => drop(writeln!(std::io::stderr(), "{text}")),
            #[cfg(test)]
            Self::Memory(term) => {
                use indicatif::TermLike as _;
                term.borrow().write_line(text).expect("memory takes everything");
            }
        }
    }
}
