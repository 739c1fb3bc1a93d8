//! Text tables with padded columns.

use super::format::plain;

/// A table: a header row, and rows with as many cells.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Whether a column holds numbers, which are right-aligned.
    numbers: Vec<bool>,
}

impl Table {
    /// A table with these column headers. A `>` before a header makes its column right-aligned.
    pub(super) fn new(columns: &[&str]) -> Self {
        let heads = columns.iter().map(|column| column.trim_start_matches('>').to_owned());
        Self { rows: vec![heads.collect()], numbers: columns.iter().map(|column| column.starts_with('>')).collect() }
    }

    /// Adds a row. Control characters are shown as `?`.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    /// The table, each line after `indent`.
    pub(super) fn print(&self, indent: &str) -> String {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.numbers.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&self.numbers);
            let cells = cells.map(|((cell, &width), number)| match number {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            format!("{indent}{}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned() + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_widest_cell() {
        let mut table = Table::new(&["NAME", ">BYTES", "END"]);
        table.row(["ü".to_owned(), "1".to_owned(), "ok".to_owned()]);
        table.row(["longer\u{1b}[2J".to_owned(), "12345678".to_owned(), String::new()]);
        insta::assert_snapshot!(table.print("  "), @r"
          NAME           BYTES  END
          ü                  1  ok
          longer?[2J  12345678
        ");
    }
}
