//! Cuts a byte stream into messages by Content-Length (RFC 3261 section 18.3), however it is split.

use crate::lexer::{BodyLength, Fault, LexError, Message, Name};
use domain::limits::SIP_MESSAGE_BYTES;
use memchr::memchr;

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message.
    Message(Vec<u8>),
    /// A keep-alive ping of two line ends; the transport answers one (RFC 5626 section 4.4.1).
    Ping,
}

/// The framer of one stream. After an error the connection must be closed: where the next message
/// begins is not known any more.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Everything before it has been searched for the head's end.
    searched: usize,
    /// Line ends seen between messages.
    line_ends: usize,
    /// Length of the message being awaited, once its head is known.
    awaited: Option<usize>,
}

impl Framer {
    /// Adds what the socket gave. Refused when more is held than one message may have.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), LexError> {
        // A read may hold the end of one message and the start of the next.
        if self.buffer.len() + bytes.len() > 2 * SIP_MESSAGE_BYTES {
            return Err(error(Fault::TooLong, self.buffer.len()));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether part of a message has come and the rest is missing.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next frame; `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, LexError> {
        if self.awaited.is_none() {
            if self.skip_line_ends() {
                return Ok(Some(Frame::Ping));
            }
            let Some(head_end) = self.find_head_end()? else {
                return Ok(None);
            };
            self.awaited = Some(message_length(&self.buffer[..head_end])?);
        }
        let Some(len) = self.awaited.filter(|len| *len <= self.buffer.len()) else {
            return Ok(None);
        };
        let rest = self.buffer.split_off(len);
        let message = std::mem::replace(&mut self.buffer, rest);
        (self.awaited, self.searched) = (None, 0);
        Ok(Some(Frame::Message(message)))
    }

    /// Drops line ends in front; true when they add up to a ping.
    fn skip_line_ends(&mut self) -> bool {
        if self.searched > 0 {
            return false;
        }
        let mut blank = 0;
        while let Some(byte @ (b'\r' | b'\n')) = self.buffer.get(blank) {
            blank += 1;
            self.line_ends += usize::from(*byte == b'\n');
            if self.line_ends == 2 {
                break;
            }
        }
        self.buffer.drain(..blank);
        if self.line_ends == 2 || !self.buffer.is_empty() {
            return std::mem::take(&mut self.line_ends) == 2;
        }
        false
    }

    fn find_head_end(&mut self) -> Result<Option<usize>, LexError> {
        while let Some(offset) = memchr(b'\n', &self.buffer[self.searched..]) {
            let at = self.searched + offset;
            let after = &self.buffer[at + 1..];
            if after.starts_with(b"\n") {
                return Ok(Some(at + 2));
            }
            if after.starts_with(b"\r\n") {
                return Ok(Some(at + 3));
            }
            if after.is_empty() || after == b"\r" {
                // Looked at again from here when more has come.
                self.searched = at;
                return self.bounded();
            }
            self.searched = at + 1;
        }
        self.searched = self.buffer.len().max(self.searched);
        self.bounded()
    }

    fn bounded(&self) -> Result<Option<usize>, LexError> {
        if self.buffer.len() > SIP_MESSAGE_BYTES {
            return Err(error(Fault::TooLong, SIP_MESSAGE_BYTES));
        }
        Ok(None)
    }
}

fn error(fault: Fault, at: usize) -> LexError {
    LexError {
        fault,
        at,
        after: None,
    }
}

fn message_length(head: &[u8]) -> Result<usize, LexError> {
    let message = Message::read(head)?;
    let body = match message.body_length() {
        BodyLength::Whole(len) | BodyLength::Short(len) => len,
        BodyLength::Absent | BodyLength::Malformed | BodyLength::Repeated => {
            return Err(LexError {
                fault: Fault::Framing,
                at: head.len(),
                after: Some(Name::ContentLength),
            });
        }
    };
    if head.len() + body > SIP_MESSAGE_BYTES {
        return Err(error(Fault::TooLong, SIP_MESSAGE_BYTES));
    }
    Ok(head.len() + body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"\r\n\r\nBYE sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nab\r\n\
        SIP/2.0 200 OK\nl:0\n\nOPTIONS sip:b SIP/2.0\r\nl : 2\r\n\r\nxy";

    fn frames(chunks: &[&[u8]]) -> Vec<Frame> {
        let mut framer = Framer::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.feed(chunk).expect("within bounds");
            while let Some(frame) = framer.next_frame().expect("well framed") {
                frames.push(frame);
            }
        }
        assert!(!framer.is_waiting());
        frames
    }

    #[test]
    fn holds_when_split_at_any_two_bytes() {
        let whole = frames(&[STREAM]);
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[0], Frame::Ping);
        for a in 0..STREAM.len() {
            for b in a..STREAM.len() {
                let parts = [&STREAM[..a], &STREAM[a..b], &STREAM[b..]];
                assert_eq!(frames(&parts), whole, "split at {a} and {b}");
            }
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(frames(&bytes), whole);
    }

    fn refusal(stream: &[u8]) -> Option<Fault> {
        let mut framer = Framer::default();
        let fed = framer.feed(stream).err();
        fed.or_else(|| framer.next_frame().err()).map(|e| e.fault)
    }

    #[test]
    fn bad_framing_closes() {
        for lines in ["", "l: -1\r\n", "l: 1\r\nl: 1\r\n", "l: 1, 2\r\n"] {
            let text = format!("BYE sip:a SIP/2.0\r\n{lines}\r\n");
            assert_eq!(refusal(text.as_bytes()), Some(Fault::Framing), "{lines}");
        }
        assert_eq!(refusal(b"\x16\x03\x01 hello\n\n"), Some(Fault::StartLine));
    }

    #[test]
    fn limits_hold_at_the_bound() {
        let message = |len: usize| {
            let head = format!("BYE sip:a SIP/2.0\r\nl: {}\r\n\r\n", len - 31);
            assert_eq!(head.len(), 31);
            let mut bytes = head.into_bytes();
            bytes.resize(len, b'x');
            bytes
        };
        assert_eq!(refusal(&message(SIP_MESSAGE_BYTES)), None);
        assert_eq!(
            refusal(&message(SIP_MESSAGE_BYTES + 1)),
            Some(Fault::TooLong)
        );
        assert_eq!(
            refusal(&vec![b'x'; SIP_MESSAGE_BYTES + 1]),
            Some(Fault::TooLong)
        );
        assert_eq!(
            refusal(&vec![b'x'; 2 * SIP_MESSAGE_BYTES + 1]),
            Some(Fault::TooLong)
        );
    }
}
