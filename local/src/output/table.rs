//! Columns for people. Headings and cells are escaped here; the last column is not padded.

/// Lays out rows under headings, two spaces between columns.
#[must_use]
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = headings.iter().map(|heading| super::escape(heading)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading)
        .chain(rows.iter().map(|row| row.iter().map(|cell| super::escape(cell)).collect()))
        .collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["m1", "up", "127.0.0.1"]), row(["web-long", "offline\u{1b}", ""])];
        assert_eq!(
            table(&["ID", "PRESENCE", "ADDRESS"], &rows),
            "ID        PRESENCE       ADDRESS\nm1        up             127.0.0.1\nweb-long  offline\\u{1b}\n"
        );
    }
}
