//! A text list, line by line.

use domain::limits;
use std::io::{self, Read};

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// One line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its bytes, white space around it and quotes cut off.
    Text(&'a [u8]),
    /// It has more bytes than any number takes.
    TooLong,
}

/// Reads lines of bounded length, whatever the input.
#[derive(Debug)]
pub(super) struct ListReader<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// No line was given yet.
    first: bool,
    /// Bytes taken from the input.
    bytes: u64,
    ended: bool,
}

impl<R: Read> ListReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            first: true,
            bytes: 0,
            ended: false,
        }
    }

    /// Bytes taken from the input so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut too_long = false;
        let (from, to) = loop {
            let rest = &self.buffer[self.start..self.end];
            if let Some(len) = memchr::memchr(b'\n', rest) {
                let from = self.start;
                self.start += len + 1;
                break (from, from + len);
            }
            if self.ended {
                let from = self.start;
                self.start = self.end;
                if from == self.end && !too_long {
                    return Ok(None);
                }
                break (from, self.end);
            }
            if self.start == 0 && self.end == BUFFER {
                too_long = true;
                self.end = 0;
            }
            self.fill()?;
        };
        let mut text = &self.buffer[from..to];
        if std::mem::take(&mut self.first) {
            // What some editors put before UTF-8.
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        let text = trim(text);
        if too_long || text.len() > limits::NUMBER_TEXT_BYTES {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(text)))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match self.input.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.ended = true,
            Ok(len) => {
                self.end += len;
                self.bytes += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    match text {
        [b'"', inner @ .., b'"'] => inner.trim_ascii(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut list = ListReader::new(text);
        let mut all = Vec::new();
        while let Some(line) = list.next().unwrap() {
            all.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(list.bytes(), text.len() as u64);
        all
    }

    #[test]
    fn lines_of_every_kind() {
        let text = b"\xef\xbb\xbf+1\r\n\n \"2\" \n3";
        let expected = ["+1", "", "2", "3"].map(|t| Some(t.as_bytes().to_vec()));
        assert_eq!(lines(text), expected);
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), [Some(vec![])]);
    }

    #[test]
    fn the_bound_of_a_line_is_exact_and_lines_meet_buffers_anywhere() {
        let longest = vec![b'1'; limits::NUMBER_TEXT_BYTES];
        for beyond in [1, BUFFER, 3 * BUFFER + 7] {
            let mut text = longest.clone();
            text.push(b'\n');
            text.extend(vec![b'2'; limits::NUMBER_TEXT_BYTES + beyond]);
            text.extend(b"\n3\n");
            assert_eq!(
                lines(&text),
                [Some(longest.clone()), None, Some(b"3".to_vec())]
            );
            text.truncate(text.len() - 3);
            assert_eq!(lines(&text), [Some(longest.clone()), None]);
        }
        let many: Vec<u8> = (0..200_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let read = lines(&many);
        assert_eq!(read.len(), 200_000);
        for (n, line) in read.iter().enumerate() {
            assert_eq!(line.as_deref(), Some(n.to_string().as_bytes()));
        }
    }
}
