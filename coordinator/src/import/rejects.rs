//! The file of rows that were not taken, with why and what to do.

use super::mapping::REJECT_COLUMNS;
use crate::operations::RejectsFile;
use std::{fs, io};
use storage::SealedWriter;

/// Bytes of one file of rejects; beyond, rows are only counted.
pub(crate) const REJECT_BYTES: u64 = 64 << 20;

/// The file, made with the first reject.
#[derive(Debug)]
pub(crate) struct Rejects {
    file: RejectsFile,
    heading: Vec<String>,
    /// Places of our own columns, where the file was one of rejects itself.
    own: Vec<usize>,
    writer: Option<csv::Writer<SealedWriter<fs::File>>>,
    bytes: u64,
    limit: u64,
}

impl Rejects {
    /// None yet.
    pub(crate) fn new(file: RejectsFile, heading: &[String]) -> Self {
        let is_own = |h: &String| REJECT_COLUMNS.contains(&h.trim().to_lowercase().as_str());
        let own = (0..heading.len())
            .filter(|at| is_own(&heading[*at]))
            .collect();
        let heading = heading.iter().filter(|h| !is_own(h)).cloned().collect();
        Self {
            file,
            heading,
            own,
            writer: None,
            bytes: 0,
            limit: REJECT_BYTES,
        }
    }

    /// Whether there is any row.
    pub(crate) fn any(&self) -> bool {
        self.bytes > 0
    }

    /// Adds a row as it came; beyond the bound nothing is written.
    pub(crate) fn add(
        &mut self,
        row: u64,
        reason: &str,
        remedy: &str,
        fields: &[String],
    ) -> io::Result<()> {
        let length =
            fields.iter().map(|f| f.len() as u64 + 3).sum::<u64>() + remedy.len() as u64 + 40;
        if self.bytes + length > self.limit {
            return Ok(());
        }
        self.bytes += length;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let mut writer = csv::WriterBuilder::new()
                    .flexible(true)
                    .from_writer(self.file.create()?);
                let own = REJECT_COLUMNS.into_iter();
                writer.write_record(own.chain(self.heading.iter().map(String::as_str)))?;
                none.insert(writer)
            }
        };
        let row = row.to_string();
        let said = [row.as_str(), reason, remedy].into_iter();
        let own = &self.own;
        let fields = fields
            .iter()
            .enumerate()
            .filter(|(at, _)| !own.contains(at));
        writer.write_record(said.chain(fields.map(|(_, field)| field.as_str())))?;
        Ok(())
    }

    /// Writes what is waiting; nothing is added after it.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let file = writer.into_inner().map_err(csv::IntoInnerError::into_error);
        // Before the operation says, durably, that they are there.
        file?.finish()?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_they_came_up_to_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let keys = storage::DataKeys::ephemeral();
        let events = dialmesh_http::events::Events::new();
        let operations = crate::operations::Operations::open(dir.path(), &keys, events);
        let operations = std::sync::Arc::new(operations.unwrap());
        let running = operations.begin("lead_import", false, None).unwrap();
        let file = running.rejects_file();
        let mut rejects = Rejects::new(file.clone(), &["number".to_owned(), "name".to_owned()]);
        assert!(!rejects.any());
        let fields = ["12".to_owned(), "a,\"b\"".to_owned()];
        rejects.limit = 100;
        for row in 2..9 {
            rejects.add(row, "invalid", "too short", &fields).unwrap();
        }
        rejects.finish().unwrap();
        let text = file.open().unwrap().read_all().unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            storage::in_clear(dir.path(), &[], &["too short"]).unwrap(),
            []
        );
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("rejected_row,rejected_for,remedy,number,name")
        );
        assert_eq!(lines.next(), Some("2,invalid,too short,12,\"a,\"\"b\"\"\""));
        assert_eq!(lines.next(), None, "the bound");
    }
}
