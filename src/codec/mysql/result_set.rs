//! A result set in its text form.

use super::Fault;
use super::cursor::Cursor;

/// Names and values, in the order in which the server sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// The names of the columns as asked for.
    pub columns: Vec<String>,
    /// Each as long as `columns`; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// `SHOW ALL SLAVES STATUS` has about 60.
pub(super) const MOST_COLUMNS: u64 = 256;

/// One row for each source that a server replicates from.
pub(super) const MOST_ROWS: usize = 256;

impl ResultSet {
    /// The value of this column in this row; `None` where there is no such column, or it is NULL.
    #[must_use]
    pub fn value(&self, row: usize, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))?;
        self.rows.get(row)?.get(at)?.as_deref()
    }

    /// Takes in the definition of a column.
    pub(super) fn take_column(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(payload, "column");
        for _catalog_schema_table_table in 0..4 {
            cursor.text()?;
        }
        self.columns.push(String::from_utf8_lossy(cursor.text()?).into_owned());
        Ok(())
    }

    /// Takes in a row.
    pub(super) fn take_row(&mut self, payload: &[u8]) -> Result<(), Fault> {
        const NULL: u8 = 0xfb;
        if self.rows.len() == MOST_ROWS {
            return Err(Fault::Malformed("result: too many rows"));
        }
        let mut cursor = Cursor::new(payload, "row");
        let mut row = Vec::with_capacity(self.columns.len());
        for _ in &self.columns {
            row.push(if cursor.rest().first() == Some(&NULL) {
                cursor.u8()?;
                None
            } else {
                Some(String::from_utf8_lossy(cursor.text()?).into_owned())
            });
        }
        self.rows.push(row);
        if cursor.is_empty() { Ok(()) } else { Err(cursor.malformed()) }
    }
}
