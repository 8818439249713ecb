//! Lists of names: `--files-from`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::args::JobArgs;
use crate::cli::exit::Complaint;
use crate::cli::run::standard;
use crate::protocol::message::ListedName;
use crate::protocol::path::{WirePath, escape, escape_path};

/// Whether an absolute name is below the directory of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absolute {
    /// It is, without its slash.
    IsBelow,
    /// The directory was not named and is the current one, where such a name cannot be meant.
    IsElsewhere,
}

/// The names of the list, if one is given.
///
/// # Errors
/// The list cannot be read, or a line of it is no name; nothing has been done then.
pub(crate) fn listed(job: &JobArgs, absolute: Absolute) -> anyhow::Result<Option<Arc<[ListedName]>>> {
    let Some(from) = &job.choice.files_from else { return Ok(None) };
    let list = read(from).with_context(|| format!("cannot read {}", escape_path(from)))?;
    let end = if job.choice.from0 { Terminator::Nul } else { Terminator::Line };
    let names = parse(&list, end, job.habits.recursive, absolute);
    Ok(Some(names.map_err(|(n, why)| {
        let what = if end == Terminator::Nul { "name" } else { "line" };
        Complaint::Usage(format!("{}, {what} {n}: {why}", escape_path(from)))
    })?))
}

fn read(from: &Path) -> io::Result<Vec<u8>> {
    let mut list = Vec::new();
    match from.as_os_str() == "-" {
        true => standard::input()?.read_to_end(&mut list)?,
        false => File::open(from)?.read_to_end(&mut list)?,
    };
    Ok(list)
}

/// The terminator of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terminator {
    /// The end of a line, also `\r\n`. Lines that begin with `#` or `;` are comments, as for rsync.
    Line,
    /// NUL. Any other byte is part of the name: whoever asks for it may have any name.
    Nul,
}

/// The names of a list, or what is wrong with which of them, from 1.
fn parse(
    list: &[u8],
    end: Terminator,
    recursive: bool,
    absolute: Absolute,
) -> Result<Arc<[ListedName]>, (usize, String)> {
    let split = match end {
        Terminator::Line => b'\n',
        Terminator::Nul => 0,
    };
    let raw = list.split(|byte| *byte == split).enumerate();
    let names = raw.filter_map(|(n, raw)| {
        let raw = if end == Terminator::Line { raw.strip_suffix(b"\r").unwrap_or(raw) } else { raw };
        let is_comment = end == Terminator::Line && matches!(raw.first(), Some(b'#' | b';'));
        (!raw.is_empty() && !is_comment).then(|| name(raw, recursive, absolute).map_err(|why| (n + 1, why)).transpose())
    });
    names.flatten().collect()
}

/// One name; `None` is the directory of the list itself, which is there already.
fn name(raw: &[u8], recursive: bool, absolute: Absolute) -> Result<Option<ListedName>, String> {
    let shown = escape(raw);
    if raw.starts_with(b"/") && absolute == Absolute::IsElsewhere {
        return Err(format!("{shown} is absolute; name the directory that the list is below: --files-from LIST / ..."));
    }
    let is_plain = |component: &&[u8]| !matches!(*component, b"" | b".");
    let plain: Vec<_> = raw.split(|byte| *byte == b'/').filter(is_plain).collect();
    let whole = recursive || raw.ends_with(b"/") || raw.ends_with(b"/.");
    match (plain.is_empty(), whole) {
        (true, true) if raw != b"." || recursive => {
            return Err(format!("{shown} is all that is there: without --files-from that directory is sent whole"));
        }
        (true, _) => return Ok(None),
        (false, _) => {}
    }
    let path = WirePath::parse(&plain.join(&b'/')).map_err(|error| format!("{shown}: {error}"))?;
    Ok(Some(ListedName { path, whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str, end: Terminator) -> Result<Vec<String>, (usize, String)> {
        let parsed = parse(list.as_bytes(), end, false, Absolute::IsBelow)?;
        Ok(parsed.iter().map(|name| format!("{}{}", name.path, if name.whole { "/" } else { "" })).collect())
    }

    #[test]
    fn a_list_is_read_as_rsync_reads_it() {
        let list = "a\n\n# a comment\n;another\n./b/c\r\n/d//e\n f \ndir/\n.\n./#x";
        assert_eq!(names(list, Terminator::Line).unwrap(), ["a", "b/c", "d/e", " f ", "dir/", "#x"]);
    }

    #[test]
    fn names_that_end_with_nul_are_taken_as_they_are() {
        let list = "a\0#no comment\0;nor this\0new\nline\0r\r\0\0last";
        let expected = ["a", "#no comment", ";nor this", "new\\nline", "r\\r", "last"];
        assert_eq!(names(list, Terminator::Nul).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_no_name_is_told_with_its_number() {
        for (list, line) in [("a\n../b", 2), ("a/../b", 1), ("x\n#\n./", 3), ("a\0b", 1)] {
            assert_eq!(names(list, Terminator::Line).unwrap_err().0, line, "{list:?}");
        }
        let (_, why) = parse(b"/etc/passwd", Terminator::Line, false, Absolute::IsElsewhere).unwrap_err();
        assert!(why.contains("is absolute"), "{why}");
        assert!(parse(b".", Terminator::Line, true, Absolute::IsBelow).is_err(), "with -r that is everything");
    }

    #[test]
    fn directories_are_whole_where_that_was_asked_for() {
        let parsed = parse(b"d", Terminator::Line, true, Absolute::IsBelow).unwrap();
        assert!(parsed[0].whole);
    }
}
