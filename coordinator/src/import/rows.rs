//! CSV rows out of a stream of bytes, in bounded memory.

use bytes::{Buf, Bytes, BytesMut};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use dialmesh_http::{admin::ByteStream, problem::BodyError};
use futures::StreamExt;

/// Bytes of one row: beyond, a quote was not closed.
pub(crate) const ROW_BYTES: usize = 256 * 1024;
/// Columns of one row.
pub(crate) const COLUMNS: usize = 256;
/// Bytes looked at to find the separator.
const LOOK: usize = 64 * 1024;

/// The file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowsError {
    /// The upload ended early.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A row over [`ROW_BYTES`].
    #[error("row {row} is over {ROW_BYTES} bytes; a quotation mark before it is not closed")]
    TooLong {
        /// Which, counting the heading as 1.
        row: u64,
    },
    /// A row over [`COLUMNS`].
    #[error("row {row} has over {COLUMNS} columns; see which character parts the columns")]
    TooWide {
        /// Which, counting the heading as 1.
        row: u64,
    },
    /// UTF-16.
    #[error("the file is UTF-16; save it as \"CSV UTF-8\" and send it again")]
    Utf16,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Counting the heading as 1 and leaving out empty lines.
    pub(crate) number: u64,
    /// Its fields; what is not UTF-8 is replaced.
    pub(crate) fields: Vec<String>,
    /// Whether all of it was UTF-8.
    pub(crate) utf8: bool,
}

/// The rows of a file as it comes in.
pub(crate) struct Rows {
    source: ByteStream,
    reader: Option<Reader>,
    chunk: Bytes,
    at_end: bool,
    output: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes read so far.
    pub(crate) bytes_done: u64,
    /// Rows read so far, the heading too.
    pub(crate) rows: u64,
}

impl Rows {
    pub(crate) fn new(source: ByteStream) -> Self {
        Self {
            source,
            reader: None,
            chunk: Bytes::new(),
            at_end: false,
            output: vec![0; 4 * 1024],
            ends: vec![0; COLUMNS],
            bytes_done: 0,
            rows: 0,
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match self.source.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    self.bytes_done += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Some(Err(error)) => return Err(error),
                None => {
                    self.at_end = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Looks at the first line for the character that parts the columns.
    async fn begin(&mut self) -> Result<Reader, RowsError> {
        let mut first = BytesMut::new();
        while !first.contains(&b'\n') && first.len() < LOOK {
            match self.more().await? {
                Some(bytes) => first.extend_from_slice(&bytes),
                None => break,
            }
        }
        if first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) {
            return Err(RowsError::Utf16);
        }
        if first.starts_with(&[0xef, 0xbb, 0xbf]) {
            first.advance(3);
        }
        let line = first[..].split(|b| *b == b'\n').next().unwrap_or_default();
        let count = |mark: u8| line.iter().filter(|b| **b == mark).count();
        // The comma first: `max_by_key` takes the last of equals.
        let mark = [b'\t', b';', b',']
            .into_iter()
            .max_by_key(|mark| count(*mark))
            .unwrap_or(b',');
        self.chunk = first.freeze();
        Ok(ReaderBuilder::new().delimiter(mark).build())
    }

    /// The next row; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, RowsError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.begin().await?,
        };
        let number = self.rows + 1;
        let (mut out, mut end) = (0, 0);
        loop {
            if self.chunk.is_empty() && !self.at_end {
                self.chunk = self.more().await?.unwrap_or_default();
            }
            let (result, took, wrote, ended) =
                reader.read_record(&self.chunk, &mut self.output[out..], &mut self.ends[end..]);
            self.chunk.advance(took);
            out += wrote;
            end += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.output.len() >= ROW_BYTES => {
                    return Err(RowsError::TooLong { row: number });
                }
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => return Err(RowsError::TooWide { row: number }),
                ReadRecordResult::Record => {
                    self.rows = number;
                    self.reader = Some(reader);
                    return Ok(Some(self.row(number, end)));
                }
                ReadRecordResult::End => {
                    self.reader = Some(reader);
                    return Ok(None);
                }
            }
        }
    }

    fn row(&self, number: u64, end: usize) -> Row {
        let (mut fields, mut from, mut utf8) = (Vec::with_capacity(end), 0, true);
        for to in &self.ends[..end] {
            let field = String::from_utf8_lossy(&self.output[from..*to]);
            utf8 &= matches!(field, std::borrow::Cow::Borrowed(_));
            fields.push(field.into_owned());
            from = *to;
        }
        Row {
            number,
            fields,
            utf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    async fn read(bytes: &[u8], piece: usize) -> Result<Vec<Row>, RowsError> {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        let mut rows = Rows::new(stream::iter(pieces).boxed());
        let mut all = Vec::new();
        while let Some(row) = rows.next().await? {
            all.push(row);
        }
        assert_eq!(rows.bytes_done, bytes.len() as u64);
        Ok(all)
    }

    #[tokio::test]
    async fn rows_are_the_same_however_the_bytes_come() {
        let text = "\u{feff}number,name\r\n+1,\"a, \"\"b\"\"\nc\"\r\n\r\n+2,号码".as_bytes();
        let whole = read(text, 1000).await.unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0].fields, ["number", "name"]);
        assert_eq!(whole[1].fields, ["+1", "a, \"b\"\nc"]);
        assert_eq!((whole[2].number, whole[2].fields[1].as_str()), (3, "号码"));
        for piece in 1..12 {
            assert_eq!(read(text, piece).await.unwrap(), whole, "{piece}");
        }
        assert_eq!(read(b"a;b\n1;2", 3).await.unwrap()[1].fields, ["1", "2"]);
        let odd = read(b"number\n\xff1", 100).await.unwrap();
        assert!(odd[0].utf8 && !odd[1].utf8);
        assert_eq!(read(b"", 1).await.unwrap(), []);
    }

    #[tokio::test]
    async fn rows_over_a_bound_are_named() {
        let heading = "number\n";
        let row = |bytes: usize| format!("{heading}\"{}\"\n", "x".repeat(bytes)).into_bytes();
        assert!(read(&row(ROW_BYTES - 1), 4096).await.is_ok());
        let error = read(&row(ROW_BYTES + 1), 4096).await.unwrap_err();
        assert_eq!(error, RowsError::TooLong { row: 2 });
        let wide = |columns: usize| [heading.as_bytes(), &b",".repeat(columns - 1), b"\n"].concat();
        assert!(read(&wide(COLUMNS - 1), 4096).await.is_ok());
        assert_eq!(
            read(&wide(COLUMNS + 1), 4096).await.unwrap_err(),
            RowsError::TooWide { row: 2 }
        );
        assert_eq!(
            read(&[0xff, 0xfe, 0, 0], 9).await.unwrap_err(),
            RowsError::Utf16
        );
    }
}
