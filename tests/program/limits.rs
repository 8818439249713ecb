//! The tables of limits and of threats are true as far as a program can tell: every test that they name is there.

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

/// The names in the last column of a page's tables.
fn named_tests(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page of the manual");
    let rows = text.lines().filter(|line| line.starts_with("//! | ") && !line.contains("| test |"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit("| ").next());
    cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_row_names_a_test_that_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    sources(&top.join("src"), &mut all);
    sources(&top.join("tests"), &mut all);
    for page in ["limits", "security"] {
        let names = named_tests(&top.join("src/manual").join(page).with_extension("rs"));
        assert!(names.len() > 20, "{page} has {} rows", names.len());
        for name in names {
            assert!(all.contains(&format!("fn {name}(")), "{page}: {name} is no test");
        }
    }
}
