//! WAV files at 8 kHz: A-law, mu-law and 16-bit linear read; G.711 written.

use domain::Codec;

use crate::g711::{self, SAMPLE_RATE};

/// Bytes of the header that [`header`] writes.
pub const HEADER: usize = 58;

const LINEAR: u16 = 1;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// How the samples of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// G.711.
    G711(Codec),
    /// 16-bit linear, little-endian.
    Linear,
}

/// A file's sound, still as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wav<'a> {
    /// How.
    pub coding: Coding,
    /// 1 or 2, interleaved.
    pub channels: u16,
    /// The bytes of the data chunk.
    pub data: &'a [u8],
}

/// A file cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Not a RIFF file of the form WAVE.
    #[error("not a WAV file: it does not begin with RIFF and WAVE")]
    NotWave,
    /// A chunk is missing.
    #[error("the WAV file has no {0:?} chunk, or one cut short")]
    Missing(&'static str),
    /// A coding other than A-law, mu-law, 16-bit linear.
    #[error(
        "WAV format {format} with {bits} bits cannot be played; use A-law (6), mu-law (7) or \
         16-bit linear (1), for example `ffmpeg -i in.wav -ar 8000 -ac 1 -c:a pcm_s16le out.wav`"
    )]
    Format {
        /// Format tag.
        format: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// Another sampling rate.
    #[error(
        "the WAV file has {0} samples a second; telephones have 8000: convert it, for example \
         with `ffmpeg -i in.wav -ar 8000 -ac 1 out.wav`"
    )]
    Rate(u32),
    /// Neither mono nor stereo.
    #[error("the WAV file has {0} channels; 1 or 2 are read")]
    Channels(u16),
}

/// Reads a file's chunks.
///
/// A data chunk that says it is longer than the file (a recorder that died) ends with the file.
///
/// # Errors
/// When the file is no WAV or its sound is not one that telephones carry.
pub fn read(bytes: &[u8]) -> Result<Wav<'_>, WavError> {
    let mut rest = match bytes {
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            rest @ ..,
        ] => rest,
        _ => return Err(WavError::NotWave),
    };
    let mut format = None;
    while let Some((head, body)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let chunk = &body[..len.min(body.len())];
        match &head[..4] {
            b"fmt " => format = Some(read_format(chunk)?),
            b"data" => {
                let (coding, channels) = format.ok_or(WavError::Missing("fmt"))?;
                return Ok(Wav {
                    coding,
                    channels,
                    data: chunk,
                });
            }
            _ => {}
        }
        // Chunks begin at even places.
        rest = body.get(len.saturating_add(len & 1)..).unwrap_or_default();
    }
    Err(WavError::Missing("data"))
}

fn read_format(chunk: &[u8]) -> Result<(Coding, u16), WavError> {
    let short = |at: usize| -> Result<u16, WavError> {
        let two = chunk.get(at..at + 2).ok_or(WavError::Missing("fmt"))?;
        Ok(u16::from_le_bytes([two[0], two[1]]))
    };
    let (mut format, channels, bits) = (short(0)?, short(2)?, short(14)?);
    let rate = u32::from(short(4)?) | u32::from(short(6)?) << 16;
    if format == EXTENSIBLE {
        format = short(24)?; // the sub-format's first field is the plain tag
    }
    let coding = match (format, bits) {
        (LINEAR, 16) => Coding::Linear,
        (A_LAW, 8) => Coding::G711(Codec::Pcma),
        (MU_LAW, 8) => Coding::G711(Codec::Pcmu),
        _ => return Err(WavError::Format { format, bits }),
    };
    if rate != SAMPLE_RATE {
        return Err(WavError::Rate(rate));
    }
    if !(1..=2).contains(&channels) {
        return Err(WavError::Channels(channels));
    }
    Ok((coding, channels))
}

impl Wav<'_> {
    /// The samples, both channels of stereo mixed into one.
    pub fn samples(&self) -> impl Iterator<Item = i16> {
        let width = match self.coding {
            Coding::Linear => 2,
            Coding::G711(_) => 1,
        };
        let (coding, channels) = (self.coding, usize::from(self.channels));
        self.data.chunks_exact(width * channels).map(move |frame| {
            let sum: i32 = frame
                .chunks_exact(width)
                .map(|sample| match (coding, sample) {
                    (Coding::G711(codec), [code, ..]) => i32::from(g711::decode(codec, *code)),
                    (_, [low, high, ..]) => i32::from(i16::from_le_bytes([*low, *high])),
                    _ => 0,
                })
                .sum();
            (sum / channels as i32) as i16
        })
    }
}

/// The header of a G.711 file of `frames` samples a channel: RIFF, `fmt ` (18 bytes), `fact`,
/// `data`. Write it with zero first and again when the length is known.
pub fn header(codec: Codec, channels: u16, frames: u32) -> [u8; HEADER] {
    let data = frames.saturating_mul(u32::from(channels));
    let tag = match codec {
        Codec::Pcmu => MU_LAW,
        Codec::Pcma => A_LAW,
    };
    let mut bytes = [0; HEADER];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(b"RIFF");
    put(&data.saturating_add(HEADER as u32 - 8).to_le_bytes());
    put(b"WAVEfmt ");
    put(&18u32.to_le_bytes());
    put(&tag.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&SAMPLE_RATE.to_le_bytes());
    put(&(SAMPLE_RATE * u32::from(channels)).to_le_bytes());
    put(&channels.to_le_bytes()); // bytes of one frame
    put(&8u16.to_le_bytes());
    put(&0u16.to_le_bytes()); // no extension
    put(b"fact");
    put(&4u32.to_le_bytes());
    put(&frames.to_le_bytes());
    put(b"data");
    put(&data.to_le_bytes());
    bytes
}

/// A whole file of interleaved G.711.
pub fn write(codec: Codec, channels: u16, data: &[u8]) -> Vec<u8> {
    let frames = data.len() / usize::from(channels.max(1));
    let mut file = header(codec, channels, frames as u32).to_vec();
    file.extend_from_slice(data);
    if data.len() % 2 == 1 {
        file.push(0); // chunks end at even places
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn linear(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        file.extend(b"LIST\x03\0\0\0abc\0"); // an odd chunk before, with its pad byte
        file.extend(b"fmt \x10\0\0\0\x01\0");
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend([0; 4]);
        file.extend((2 * channels).to_le_bytes());
        file.extend(16u16.to_le_bytes());
        file.extend(b"data");
        file.extend((samples.len() as u32 * 2).to_le_bytes());
        samples.iter().for_each(|s| file.extend(s.to_le_bytes()));
        file
    }

    #[test]
    fn g711_files_round_trip() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for channels in [1, 2] {
                let data = [1, 2, 3, 4, 5, 6];
                let file = write(codec, channels, &data);
                let wav = read(&file).unwrap();
                assert_eq!(wav.coding, Coding::G711(codec));
                assert_eq!((wav.channels, wav.data), (channels, &data[..]));
                assert_eq!(wav.samples().count(), 6 / usize::from(channels));
            }
        }
        let odd = write(Codec::Pcma, 1, &[1, 2, 3]);
        assert_eq!(odd.len() % 2, 0);
        assert_eq!(read(&odd).unwrap().data, [1, 2, 3]);
    }

    #[test]
    fn linear_and_stereo_become_mono() {
        let file = linear(8_000, 2, &[100, 300, -5, 5]);
        let samples: Vec<i16> = read(&file).unwrap().samples().collect();
        assert_eq!(samples, [200, 0]);
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        assert_eq!(read(b"RIFF"), Err(WavError::NotWave));
        assert_eq!(
            read(&linear(8_000, 1, &[])[..24]),
            Err(WavError::Missing("data"))
        );
        assert_eq!(read(&linear(44_100, 1, &[])), Err(WavError::Rate(44_100)));
        assert_eq!(read(&linear(8_000, 6, &[])), Err(WavError::Channels(6)));
        let mut opus = linear(8_000, 1, &[]);
        opus[32] = 0x55;
        let error = read(&opus).unwrap_err();
        assert_eq!(
            error,
            WavError::Format {
                format: 0x55,
                bits: 16
            }
        );
        assert!(error.to_string().contains("ffmpeg"));
    }

    #[test]
    fn a_recording_cut_short_plays_up_to_there() {
        let mut file = write(Codec::Pcmu, 2, &[7; 100]);
        file.truncate(HEADER + 40);
        assert_eq!(read(&file).unwrap().data.len(), 40);
    }

    proptest! {
        #[test]
        fn reading_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), wave: bool) {
            if wave && bytes.len() >= 12 {
                bytes[..12].copy_from_slice(b"RIFF\0\0\0\0WAVE");
            }
            if let Ok(wav) = read(&bytes) {
                let _ = wav.samples().count();
            }
        }
    }
}
