//! How a command ended.

use serde_json::Value;

/// How a command ended.
pub(crate) struct Outcome {
    pub(super) shown: String,
    /// As a shell shows it.
    pub(crate) code: Option<i32>,
    /// The number of the signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    fn story(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        format!("$ {}\n{}{}\n=> {:?}", self.shown, stdout, self.stderr, self.code)
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.story());
        self
    }

    /// A line of standard error has all of these.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Self {
        let found = self.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "no line has {parts:?}\n{}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, part: &str) -> &Self {
        assert!(!self.stderr.contains(part), "{part:?} is there\n{}", self.story());
        self
    }

    /// Standard error is one line and has all of these.
    #[track_caller]
    pub(crate) fn says_only(&self, parts: &[&str]) -> &Self {
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.story());
        self.says(parts)
    }

    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert_eq!(String::from_utf8_lossy(&self.stdout), text, "{}", self.story());
        self
    }

    /// Standard output as JSON: every line an object, the last one the summary with the exit code.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.stdout).expect("JSON is text");
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let lines: Vec<Value> = text.lines().map(parse).collect();
        let last = lines.last().unwrap_or_else(|| panic!("nothing was printed\n{}", self.story()));
        assert_eq!(last["type"], "summary", "{}", self.story());
        assert_eq!(last["exit_code"].as_i64(), self.code.map(i64::from), "{}", self.story());
        assert!(lines.iter().all(|line| line["v"] == 1), "{}", self.story());
        lines
    }
}
