//! The one thing that is read of a STUN message before a session has it: whom it is for.

/// The fixed value in each STUN header (RFC 8489, section 5).
const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// A binding request: the only one that may come from an address not known yet.
const BINDING: [u8; 2] = [0, 1];
const USERNAME: u16 = 6;
const HEADER: usize = 20;

/// Our part of the user name in a binding request (`ours:theirs`, RFC 8445, section 7.2.2); none where
/// the datagram is anything else. Nothing is believed yet: its session checks the message's integrity.
pub(super) fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    let header = datagram.first_chunk::<HEADER>()?;
    if header[..2] != BINDING || header[4..8] != MAGIC {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let mut rest = datagram.get(HEADER..HEADER + length)?;
    while let [a, b, c, d, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let value = after.get(..length)?;
        if u16::from_be_bytes([*a, *b]) == USERNAME {
            let name = std::str::from_utf8(value).ok()?;
            return name.split_once(':').map(|(ours, _)| ours);
        }
        // Values are padded to four bytes.
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = vec![0, 1];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(MAGIC);
        message.extend([7; 12]);
        message.extend(body);
        message
    }

    #[test]
    fn the_first_half_of_the_user_name_is_ours() {
        let message = request(&[(0x24, &[1, 2, 3, 4]), (0x8022, b"abc"), (6, b"ours:theirs")]);
        assert_eq!(local_ufrag(&message), Some("ours"));
        for cut in 0..message.len() {
            assert_eq!(local_ufrag(&message[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn anything_else_is_for_nobody() {
        let good = request(&[(6, b"ours:theirs")]);
        for (at, value) in [(1, 2), (0, 1), (4, 0), (3, 200), (23, 255)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(local_ufrag(&bad), None, "byte {at}");
        }
        assert_eq!(local_ufrag(&request(&[(6, b"nocolon")])), None);
        assert_eq!(local_ufrag(&request(&[(6, &[0xff, b':'])])), None);
        assert_eq!(local_ufrag(&request(&[(7, b"a:b")])), None);
        assert_eq!(local_ufrag(&[0x80; 172]), None);
    }
}
