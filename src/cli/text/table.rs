//! Columns that line up.

use unicode_width::UnicodeWidthStr as _;

/// Space between two columns.
const GAP: &str = "  ";

/// Rows of text under headings.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row; its texts are safe to print.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table, every column as wide as it must be; a column that is `-` or empty throughout is left out.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows[0].len();
        let is_used = |column: &usize| self.rows[1..].iter().any(|row| !matches!(row[*column].as_str(), "" | "-"));
        let used: Vec<usize> = (0..columns).filter(is_used).collect();
        let width = |column: usize| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for column in &used {
                let cell = &row[*column];
                line.push_str(cell);
                line.push_str(&" ".repeat(width(*column) - cell.width()));
                line.push_str(GAP);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_ones_are_left_out() {
        let mut table = Table::new(&["NAME", "EMPTY", "AT"]);
        table.row(vec!["日本".into(), "-".into(), "x".into()]);
        table.row(vec!["longer".into(), String::new(), "-".into()]);
        assert_eq!(table.text(), "NAME    AT\n日本    x\nlonger  -\n");
    }
}
