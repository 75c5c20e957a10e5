//! `TableWriter`: a table of values for programs, as CSV or JSON, row by row.

use std::borrow::Cow;
use std::io::Write;

use fedflow_core::{PlainValue, Value};
use serde::ser::{SerializeMap, Serializer};

use super::csv_cell::{cell, text};
use super::render_error::RenderError;

/// The version of the JSON format.
const SCHEMA: u32 = 1;

/// A format of tables for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// A line with the names of the columns, then a line for each row. As in `results.csv`, a text that a spreadsheet would
    /// take for a formula gets an apostrophe in front.
    Csv,
    /// `{"schema":1,"rows":[..]}` with an object for each row, a line each. Every row has every column; null is what is not
    /// there. Values are written as in `results.json`.
    Json,
}

/// Writes a table row by row, so that its size does not matter.
pub struct TableWriter<W: Write>(Writing<W>);

enum Writing<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json { out: W, columns: Vec<String>, rows: u64 },
}

impl<W: Write> TableWriter<W> {
    /// Begins a table with these columns.
    ///
    /// # Errors
    /// The writer fails.
    pub fn new(format: TableFormat, columns: &[String], mut out: W) -> Result<Self, RenderError> {
        Ok(Self(match format {
            TableFormat::Csv => {
                let mut table = csv::Writer::from_writer(out);
                table.write_record(columns.iter().map(|name| text(name).into_owned()))?;
                Writing::Csv(Box::new(table))
            }
            TableFormat::Json => {
                write!(out, "{{\"schema\":{SCHEMA},\"rows\":[")?;
                Writing::Json { out, columns: columns.to_vec(), rows: 0 }
            }
        }))
    }

    /// Writes a row: a value for each column, null for what is not there.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write_row<'a>(
        &mut self,
        cells: impl IntoIterator<Item = Cow<'a, Value>>,
    ) -> Result<(), RenderError> {
        match &mut self.0 {
            Writing::Csv(table) => {
                for value in cells {
                    table.write_field(&*cell(&value))?;
                }
                table.write_record(None::<&[u8]>)?;
            }
            Writing::Json { out, columns, rows } => {
                out.write_all(if *rows > 0 { b",\n  " } else { b"\n  " })?;
                *rows += 1;
                let mut json = serde_json::Serializer::new(&mut *out);
                let mut row = json.serialize_map(Some(columns.len()))?;
                for (name, value) in columns.iter().zip(cells) {
                    row.serialize_entry(name, &PlainValue(&value))?;
                }
                row.end()?;
            }
        }
        Ok(())
    }

    /// Ends the table.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(self) -> Result<(), RenderError> {
        match self.0 {
            Writing::Csv(mut table) => table.flush()?,
            Writing::Json { mut out, .. } => {
                writeln!(out, "]}}")?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: TableFormat, rows: &[[Value; 3]]) -> String {
        let columns = ["task", "param.layers", "result.loss"].map(String::from);
        let mut out = Vec::new();
        let mut table = TableWriter::new(format, &columns, &mut out).unwrap();
        for row in rows {
            table.write_row(row.iter().map(Cow::Borrowed)).unwrap();
        }
        table.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_have_every_column() {
        let layers = Value::List(vec![64.into(), 32.into()]);
        let rows = [
            [Value::from("=a"), layers, Value::from(f64::NAN)],
            [Value::from("b"), Value::Null, Value::from(0.1 + 0.2)],
        ];
        assert_eq!(
            written(TableFormat::Csv, &rows),
            "task,param.layers,result.loss\n'=a,\"[64,32]\",NaN\nb,,0.30000000000000004\n"
        );
        let json = "{\"schema\":1,\"rows\":[
  {\"task\":\"=a\",\"param.layers\":[64,32],\"result.loss\":\"NaN\"},
  {\"task\":\"b\",\"param.layers\":null,\"result.loss\":0.30000000000000004}]}\n";
        assert_eq!(written(TableFormat::Json, &rows), json);
        assert_eq!(written(TableFormat::Json, &[]), "{\"schema\":1,\"rows\":[]}\n");
        assert_eq!(written(TableFormat::Csv, &[]), "task,param.layers,result.loss\n");
    }
}
