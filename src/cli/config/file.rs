//! The content of the file: keys, values and the lines on which they stand.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::exit::Complaint;
use crate::protocol::path::escape_path;

/// One setting as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigEntry {
    /// The tables around it, outermost first: the command and its own commands. Empty at the top.
    pub(super) tables: Vec<String>,
    /// Its name, as the long option spells it.
    pub(super) key: String,
    pub(super) value: Value,
    /// Where it stands, from 1.
    pub(super) line: usize,
}

/// A value, reduced to what an option can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Flag(bool),
    /// A text or a number.
    Text(String),
    List(Vec<String>),
    /// A table where an option of that name exists, or a list of something else.
    Other,
}

/// `FILE:LINE: what`, as a mistake of the user's.
pub(super) fn wrong(path: &Path, line: usize, what: &str) -> Complaint {
    Complaint::Usage(format!("{}:{line}: {what}", escape_path(path)))
}

/// All settings of a file, in the order of their lines.
///
/// # Errors
/// The text is no TOML.
pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<ConfigEntry>, Complaint> {
    let line_of = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        wrong(path, line, error.message().trim().lines().next().unwrap_or("not TOML"))
    })?;
    let mut entries = Vec::new();
    gather(table.get_ref(), &[], &line_of, &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn gather(table: &DeTable<'_>, around: &[String], line_of: &dyn Fn(usize) -> usize, entries: &mut Vec<ConfigEntry>) {
    for (key, value) in table {
        let name = key.get_ref().to_string();
        if let DeValue::Table(inner) = value.get_ref() {
            let around = [around, std::slice::from_ref(&name)].concat();
            // An empty table is still a name that may be wrong.
            entries.push(ConfigEntry {
                tables: around.clone(),
                key: String::new(),
                value: Value::Other,
                line: line_of(key.span().start),
            });
            gather(inner, &around, line_of, entries);
            continue;
        }
        let (tables, value) = (around.to_vec(), reduce(value));
        // Both spellings are natural: options have hyphens, TOML's own examples have none.
        entries.push(ConfigEntry { tables, key: name.replace('_', "-"), value, line: line_of(key.span().start) });
    }
}

fn reduce(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => {
            items.iter().map(|item| text(item.get_ref())).collect::<Option<_>>().map_or(Value::Other, Value::List)
        }
        other => text(other).map_or(Value::Other, Value::Text),
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<ConfigEntry> {
        entries(Path::new("c.toml"), text).expect("TOML")
    }

    #[test]
    fn every_setting_has_its_table_and_its_line() {
        let all = read(
            "# mine\njobs = 8\n\n[serve]\nread_only = true\nlisten = \"[::]:1\"\n[send]\nexclude = [\"*.o\", \"b\"]\n",
        );
        let of = |key: &str| all.iter().find(|entry| entry.key == key).expect("it is there");
        assert_eq!((of("jobs").line, of("jobs").tables.len(), &of("jobs").value), (2, 0, &Value::Text("8".into())));
        assert_eq!((of("read-only").line, &of("read-only").value), (5, &Value::Flag(true)));
        assert_eq!(of("listen").tables, ["serve"]);
        assert_eq!(of("exclude").value, Value::List(vec!["*.o".into(), "b".into()]));
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let complaint = entries(Path::new("/h/c.toml"), "a = 1\nb = \nc = 3\n").expect_err("no value");
        assert!(complaint.to_string().starts_with("/h/c.toml:2: "), "{complaint}");
        assert!(!complaint.to_string().contains('\n'), "{complaint}");
    }

    #[test]
    fn an_empty_file_has_no_settings() {
        assert_eq!(read(""), []);
        assert_eq!(read("# nothing\n"), []);
    }
}
