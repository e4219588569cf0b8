//! Text in aligned columns.

use std::fmt::Write;

use super::text::plain;

/// To which side a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lean {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a head, printed with two blanks between columns and none at the end of a line.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    leans: [Lean; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table of nothing but its head.
    pub fn new(head: [(&str, Lean); COLUMNS]) -> Self {
        Self {
            leans: head.map(|(_, lean)| lean),
            rows: vec![head.map(|(title, _)| title.to_owned())],
        }
    }

    /// Adds a row; what a terminal would obey is taken out.
    pub fn add(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| plain(&cell)));
    }

    /// Appends the table to `page`, each line behind `indent`.
    pub fn print(&self, indent: &str, page: &mut String) {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let mut line = indent.to_owned();
            for ((cell, width), lean) in row.iter().zip(widths).zip(self.leans) {
                // Writing to a String does not fail.
                let _ = match lean {
                    Lean::Left => write!(line, "{cell:<width$}  "),
                    Lean::Right => write!(line, "{cell:>width$}  "),
                };
            }
            page.push_str(line.trim_end());
            page.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("NAME", Lean::Left), ("N", Lean::Right), ("", Lean::Left)]);
        table.add(["é".to_owned(), "100".to_owned(), "x\u{7}".to_owned()]);
        table.add(["longer".to_owned(), "7".to_owned(), String::new()]);
        let mut page = String::new();
        table.print("  ", &mut page);
        assert_eq!(page, "  NAME      N\n  é       100  x?\n  longer    7\n");
    }
}
