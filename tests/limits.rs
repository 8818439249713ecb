//! The table of limits is true as far as a program can tell: every test that it names is there.

use std::fs;
use std::path::Path;

/// The text of all sources below a directory.
fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).expect("a directory of this package") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn every_row_names_a_test_that_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(top.join("src/manual/limits.rs")).expect("the table");
    let mut all = String::new();
    sources(&top.join("src"), &mut all);
    sources(&top.join("tests"), &mut all);
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("//! | ") && !line.contains("| test |")).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit("| ").next().expect("a row has cells");
        let name = last.trim_matches('`');
        assert!(all.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
