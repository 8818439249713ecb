//! A command line as bash reads it, and words as it reads them back.
//!
//! bash hands over the line as it was typed. What is completed is answered as what was typed with the missing rest
//! behind it, quoted as the word was begun: nothing that the user wrote is ever written again.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// In which quotes a word is at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    /// None: a backslash quotes one character.
    Bare,
    /// `'`.
    Single,
    /// `"`.
    Double,
}

/// The command that the cursor is in, up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The words before the cursor's, without their quotes. The first is the program.
    pub(super) words: Vec<OsString>,
    pub(super) current: OsString,
    /// How it is quoted at the cursor.
    pub(super) quote: Quote,
    /// Whether it is for bash alone: it has a variable or a command in it, or is the file of a redirection.
    pub(super) is_the_shells: bool,
}

/// The state of a word while it is parsed.
struct ShellWord {
    text: Vec<u8>,
    quote: Quote,
    has_begun: bool,
    expands: bool,
}

impl ShellWord {
    fn new() -> Self {
        Self { text: Vec::new(), quote: Quote::Bare, has_begun: false, expands: false }
    }

    fn push(&mut self, byte: u8) {
        self.text.push(byte);
        self.has_begun = true;
    }
}

pub(super) fn read(line: &[u8]) -> CommandLine {
    let mut reader = Reader { words: Vec::new(), word: ShellWord::new(), redirects: false };
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (reader.word.quote, byte) {
            (Quote::Single, b'\'') | (Quote::Double, b'"') => reader.word.quote = Quote::Bare,
            (Quote::Single, _) => reader.word.push(byte),
            (Quote::Double, b'\\') => match bytes.next() {
                Some(next @ (b'"' | b'\\' | b'$' | b'`')) => reader.word.push(next),
                next => std::iter::once(byte).chain(next).for_each(|byte| reader.word.push(byte)),
            },
            (Quote::Bare, b'\\') => bytes.next().into_iter().for_each(|byte| reader.word.push(byte)),
            (Quote::Bare, b'\'') => reader.open(Quote::Single),
            (Quote::Bare, b'"') => reader.open(Quote::Double),
            (Quote::Bare, b' ' | b'\t' | b'\n') => reader.end_word(),
            (Quote::Bare, b'|' | b'&' | b';' | b'(' | b')') => reader.end_command(),
            (Quote::Bare, b'<' | b'>') => reader.redirect(),
            (_, b'$' | b'`') => {
                reader.word.expands = true;
                reader.word.push(byte);
            }
            _ => reader.word.push(byte),
        }
    }
    reader.finish()
}

struct Reader {
    words: Vec<OsString>,
    word: ShellWord,
    /// Whether the word is what a redirection is about.
    redirects: bool,
}

impl Reader {
    fn open(&mut self, quote: Quote) {
        self.word.quote = quote;
        self.word.has_begun = true;
    }

    fn end_word(&mut self) {
        let word = std::mem::replace(&mut self.word, ShellWord::new());
        let is_assignment = self.words.is_empty() && is_assignment(&word.text);
        if word.has_begun && !std::mem::take(&mut self.redirects) && !is_assignment {
            self.words.push(OsString::from_vec(word.text));
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.words.clear();
    }

    fn redirect(&mut self) {
        // `2>` names a descriptor and no word.
        if self.word.text.iter().all(u8::is_ascii_digit) {
            self.word = ShellWord::new();
        }
        self.end_word();
        self.redirects = true;
    }

    fn finish(self) -> CommandLine {
        CommandLine {
            words: self.words,
            current: OsString::from_vec(self.word.text),
            quote: self.word.quote,
            is_the_shells: self.word.expands || self.redirects,
        }
    }
}

/// `NAME=value` before a command.
fn is_assignment(word: &[u8]) -> bool {
    let Some(at) = word.iter().position(|byte| *byte == b'=') else { return false };
    at > 0 && word[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Bytes that mean nothing to bash in a word without quotes, wherever they stand.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:@+,%=^".contains(&byte) || byte >= 0x80
}

/// The rest of a word, to stand behind what was begun in these quotes. What no terminal shows as itself is written in
/// bash's `$'…'`, for an answer is a line.
pub(super) fn quoted(rest: &[u8], quote: Quote) -> Vec<u8> {
    let mut out = Vec::new();
    let utf8 = std::str::from_utf8(rest).is_ok();
    for byte in rest {
        let is_odd = byte.is_ascii_control() || (*byte >= 0x80 && !utf8);
        match (quote, byte) {
            _ if is_odd => {
                let (close, open) = match quote {
                    Quote::Bare => ("", ""),
                    Quote::Single => ("'", "'"),
                    Quote::Double => ("\"", "\""),
                };
                out.extend_from_slice(format!("{close}$'\\x{byte:02x}'{open}").as_bytes());
            }
            (Quote::Single, b'\'') => out.extend_from_slice(br"'\''"),
            (Quote::Double, b'"' | b'\\' | b'$' | b'`') => out.extend_from_slice(&[b'\\', *byte]),
            (Quote::Bare, _) if !is_plain(*byte) => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    use super::*;

    fn words(line: &str) -> (Vec<String>, String, Quote, bool) {
        let line = read(line.as_bytes());
        let text = |word: OsString| word.to_string_lossy().into_owned();
        (line.words.into_iter().map(text).collect(), text(line.current), line.quote, line.is_the_shells)
    }

    #[test]
    fn words_are_read_as_bash_reads_them() {
        let table: [(&str, &[&str], &str, Quote, bool); 16] = [
            ("qft get box:", &["qft", "get"], "box:", Quote::Bare, false),
            ("qft  get ", &["qft", "get"], "", Quote::Bare, false),
            (r"qft get box:a\ b", &["qft", "get"], "box:a b", Quote::Bare, false),
            ("qft get 'box:a b", &["qft", "get"], "box:a b", Quote::Single, false),
            ("qft get \"box:a\\\"b", &["qft", "get"], "box:a\"b", Quote::Double, false),
            ("qft get 'box:'lo", &["qft", "get"], "box:lo", Quote::Bare, false),
            ("qft send '' b", &["qft", "send", ""], "b", Quote::Bare, false),
            ("qft send $HOME/x", &["qft", "send"], "$HOME/x", Quote::Bare, true),
            ("qft send '$HOME", &["qft", "send"], "$HOME", Quote::Single, false),
            ("cd x; qft send a", &["qft", "send"], "a", Quote::Bare, false),
            ("tar c d | qft send -", &["qft", "send"], "-", Quote::Bare, false),
            ("A=1 B= qft send ", &["qft", "send"], "", Quote::Bare, false),
            ("qft id > f", &["qft", "id"], "f", Quote::Bare, true),
            ("qft id 2>err ", &["qft", "id"], "", Quote::Bare, false),
            ("qft get box:a >x b", &["qft", "get", "box:a"], "b", Quote::Bare, false),
            ("", &[], "", Quote::Bare, false),
        ];
        for (line, before, current, quote, is_the_shells) in table {
            let before = before.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(line), (before, current.to_owned(), quote, is_the_shells), "{line}");
        }
    }

    #[test]
    fn bash_reads_back_what_was_quoted_for_it() {
        let odd = b"a b'c\"d$e`f\\g*h?i[j]{k};l&m|n(o)<p>#q!r~s\xc3\xa9\tt\nu";
        for name in [&odd[..], b"\xffx", b"-n", b"#x"] {
            for (open, quote) in [("x", Quote::Bare), ("'x", Quote::Single), ("\"x", Quote::Double)] {
                let close = if quote == Quote::Bare { "" } else { &open[..1] };
                let word = [open.as_bytes(), &quoted(name, quote), close.as_bytes()].concat();
                assert!(!word.contains(&b'\n'), "an answer is one line");
                let line = [b"printf %s ", &word[..]].concat();
                let Ok(read) = Command::new("bash").arg("-c").arg(OsString::from_vec(line)).output() else {
                    return println!("skipped: there is no bash here");
                };
                assert_eq!(read.stdout, [b"x", name].concat(), "{quote:?}");
            }
        }
    }

    #[test]
    fn what_was_quoted_is_read_as_it_was() {
        for name in [&b"a b'c\"d$e`f\\g"[..], b"*?[x]{y};&|()<>#!~"] {
            for (open, quote) in [("", Quote::Bare), ("'", Quote::Single), ("\"", Quote::Double)] {
                let line = [b"qft get ", open.as_bytes(), &quoted(name, quote)].concat();
                assert_eq!(read(&line).current.as_bytes(), name, "{quote:?}");
            }
        }
    }
}
