//! ITU-T G.711: A-law and mu-law, and the way from one to the other.
//!
//! Samples are 16-bit linear PCM at 8 kHz: G.711's 14-bit mu-law and 13-bit A-law values shifted
//! to fill 16 bits, as every sound tool has it.

use domain::Codec;

/// Samples in a second.
pub const SAMPLE_RATE: u32 = 8_000;
/// Samples, and G.711 bytes, in one frame of 20 ms.
pub const FRAME: usize = 160;

const MU_BIAS: i32 = 0x84;
const MU_CLIP: i32 = 32_635;

const fn mu_expand(code: u8) -> i16 {
    let code = !code;
    let (segment, mantissa) = ((code >> 4) & 7, (code & 15) as i32);
    let size = (((mantissa << 3) + MU_BIAS) << segment) - MU_BIAS;
    (if code & 0x80 == 0 { size } else { -size }) as i16
}

const fn mu_compress(sample: i16) -> u8 {
    let (sign, size) = if sample < 0 {
        (0x80, -(sample as i32))
    } else {
        (0, sample as i32)
    };
    let size = (if size > MU_CLIP { MU_CLIP } else { size }) + MU_BIAS;
    // The bias puts the top bit of the size at bit 7 or above: it names the segment.
    let segment = 31 - size.leading_zeros() as i32 - 7;
    !(sign | (segment << 4) as u8 | ((size >> (segment + 3)) & 15) as u8)
}

const fn a_expand(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, mantissa) = ((code >> 4) & 7, (code & 15) as i32);
    let size = match segment {
        0 => (mantissa << 4) + 8,
        n => ((mantissa << 4) + 0x108) << (n - 1),
    };
    (if code & 0x80 != 0 { size } else { -size }) as i16
}

const fn a_compress(sample: i16) -> u8 {
    let (sign, size) = if sample < 0 {
        (0, !(sample as i32))
    } else {
        (0x80, sample as i32)
    };
    let (segment, mantissa) = if size < 256 {
        (0, size >> 4)
    } else {
        let segment = 31 - size.leading_zeros() as i32 - 7;
        (segment, (size >> (segment + 3)) & 15)
    };
    (sign | (segment << 4) as u8 | mantissa as u8) ^ 0x55
}

const fn expansions(a_law: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if a_law {
            a_expand(code as u8)
        } else {
            mu_expand(code as u8)
        };
        code += 1;
    }
    table
}

const fn crossings(from_a_law: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if from_a_law {
            mu_compress(a_expand(code as u8))
        } else {
            a_compress(mu_expand(code as u8))
        };
        code += 1;
    }
    table
}

static MU_LAW: [i16; 256] = expansions(false);
static A_LAW: [i16; 256] = expansions(true);
static A_TO_MU: [u8; 256] = crossings(true);
static MU_TO_A: [u8; 256] = crossings(false);

/// The linear sample that `code` stands for.
pub fn decode(codec: Codec, code: u8) -> i16 {
    match codec {
        Codec::Pcmu => MU_LAW[usize::from(code)],
        Codec::Pcma => A_LAW[usize::from(code)],
    }
}

/// The code nearest to a linear sample; mu-law clips above 32,635 (G.711, table 2).
pub fn encode(codec: Codec, sample: i16) -> u8 {
    match codec {
        Codec::Pcmu => mu_compress(sample),
        Codec::Pcma => a_compress(sample),
    }
}

/// What stands for each code of one law in the other; none when they are the same.
pub(crate) fn crossing(from: Codec, to: Codec) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Codec::Pcma, Codec::Pcmu) => Some(&A_TO_MU),
        (Codec::Pcmu, Codec::Pcma) => Some(&MU_TO_A),
        _ => None,
    }
}

/// Rewrites `payload` from one law to the other in place; nothing when they are the same.
pub fn transcode(from: Codec, to: Codec, payload: &mut [u8]) {
    let Some(table) = crossing(from, to) else {
        return;
    };
    for code in payload {
        *code = table[usize::from(*code)];
    }
}

/// The code of silence.
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xff,
        Codec::Pcma => 0xd5,
    }
}

/// The static RTP payload type (RFC 3551, table 4).
pub const fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
    }
}

/// The codec of a static RTP payload type.
pub const fn codec_of(payload_type: u8) -> Option<Codec> {
    match payload_type {
        0 => Some(Codec::Pcmu),
        8 => Some(Codec::Pcma),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

    /// G.711 tables 1a, 1b, 2a and 2b: the ends and the middle, times 4 for mu-law and 8 for
    /// A-law to fill 16 bits.
    #[test]
    fn the_published_ends_decode() {
        for (codec, code, value) in [
            (Codec::Pcmu, 0x80, 8_031 * 4),
            (Codec::Pcmu, 0x00, -8_031 * 4),
            (Codec::Pcmu, 0x8f, 4_191 * 4),
            (Codec::Pcmu, 0x9f, 2_079 * 4),
            (Codec::Pcmu, 0xef, 33 * 4),
            (Codec::Pcmu, 0xfe, 2 * 4),
            (Codec::Pcmu, 0xff, 0),
            (Codec::Pcmu, 0x7f, 0),
            (Codec::Pcma, 0x80 | (0x7f ^ 0x55), 4_032 * 8),
            (Codec::Pcma, 0x7f ^ 0x55, -4_032 * 8),
            (Codec::Pcma, 0x80 | (0x70 ^ 0x55), 2_112 * 8),
            (Codec::Pcma, 0x80 | (0x60 ^ 0x55), 1_056 * 8),
            (Codec::Pcma, 0xd5, 8),
            (Codec::Pcma, 0x55, -8),
        ] {
            assert_eq!(i32::from(decode(codec, code)), value, "{codec:?} {code:#x}");
        }
    }

    /// Tables 5 and 6: the same 1 kHz tone at 0 dBm0 in both laws, and table to table.
    #[test]
    fn the_digital_milliwatt_crosses_exactly() {
        let a = [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4];
        let mu = [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e];
        let mut tone = a;
        transcode(Codec::Pcma, Codec::Pcmu, &mut tone);
        assert_eq!(tone, mu);
        transcode(Codec::Pcmu, Codec::Pcma, &mut tone);
        assert_eq!(tone, a);
    }

    #[test]
    fn every_code_is_the_nearest_to_its_own_value() {
        for codec in LAWS {
            for code in 0..=255 {
                let again = encode(codec, decode(codec, code));
                // Mu-law's negative zero says the same as its positive one.
                let zero = codec == Codec::Pcmu && code == 0x7f;
                assert_eq!(again, if zero { 0xff } else { code });
            }
        }
    }

    #[test]
    fn encoding_is_monotone_and_within_half_a_step() {
        for codec in LAWS {
            let mut before = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let value = decode(codec, encode(codec, sample));
                assert!(value >= before);
                before = value;
                if sample.unsigned_abs() < 32_000 {
                    let error = (i32::from(value) - i32::from(sample)).abs();
                    assert!(error <= i32::from(sample).abs() / 32 + 8, "{sample}");
                }
            }
        }
    }

    #[test]
    fn crossing_twice_is_stable_and_keeps_signs() {
        for code in 0..=255u8 {
            let mut once = [code];
            transcode(Codec::Pcma, Codec::Pcmu, &mut once);
            let (from, to) = (decode(Codec::Pcma, code), decode(Codec::Pcmu, once[0]));
            assert!(to == 0 || (from < 0) == (to < 0));
            let mut back = once;
            transcode(Codec::Pcmu, Codec::Pcma, &mut back);
            let mut again = back;
            transcode(Codec::Pcma, Codec::Pcmu, &mut again);
            assert!(again == once || decode(Codec::Pcmu, once[0]) == 0);
        }
    }

    #[test]
    fn silence_is_silent() {
        for codec in LAWS {
            assert!(decode(codec, silence(codec)).abs() <= 8);
            assert_eq!(codec_of(payload_type(codec)), Some(codec));
        }
        assert_eq!(codec_of(18), None);
    }
}
