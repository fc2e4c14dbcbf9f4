//! Changes of messages.

use sansio::Stream;

fn place(stream: &mut Stream, end: usize) -> usize {
    stream.below(u32::try_from(end.max(1)).unwrap_or(u32::MAX)) as usize
}

/// Longer than any message that is read.
const LONGEST: usize = 80_000;

/// Changes a message in up to six places; one of sixteen stays as it is.
pub(crate) fn change(bytes: &mut Vec<u8>, stream: &mut Stream, words: &[&[u8]]) {
    if stream.below(16) == 0 {
        return;
    }
    for _ in 0..=stream.below(6) {
        let at = place(stream, bytes.len());
        match stream.below(9) {
            0 if !bytes.is_empty() => bytes[at] = stream.next_u32() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << stream.below(8),
            2 if stream.below(4) == 0 => bytes.truncate(at),
            3 | 4 if !words.is_empty() => {
                let word = words[place(stream, words.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            5 => {
                let end = (at + place(stream, 40)).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let end = (at + place(stream, 200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = place(stream, bytes.len());
                bytes.splice(to..to, piece);
            }
            7 if stream.below(32) == 0 => {
                // Long ones: what costs more than its length is found so.
                let end = (at + 1 + place(stream, 12)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let times = (LONGEST / piece.len().max(1)).min(1 << stream.below(14));
                bytes.splice(at..at, piece.repeat(times));
            }
            _ => {
                // A number.
                let digits = bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                let number = match stream.below(4) {
                    0 => "0".to_owned(),
                    1 => "-1".to_owned(),
                    2 => stream.below(100_000).to_string(),
                    _ => (u64::from(stream.next_u32()) << stream.below(33)).to_string(),
                };
                if digits > 0 {
                    bytes.splice(at..at + digits, number.into_bytes());
                }
            }
        }
    }
    bytes.truncate(LONGEST);
}
