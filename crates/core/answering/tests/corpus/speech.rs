//! Speech by espeak-ng, at 8 kHz, kept from run to run in cargo's own temporary folder.

use super::{
    Half,
    phrases::{Language, voices},
    signals::one,
};
use sansio::Stream;
use std::{f64::consts::PI, fs, path::PathBuf, process::Command, sync::OnceLock};

/// What `espeak-ng --version` says; none where it is missing.
pub fn version() -> Option<String> {
    let out = Command::new("espeak-ng").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Some(text.split("Data at").next()?.trim().to_owned())
}

/// The version of espeak-ng that the weights and the kept table were made with.
pub const KEPT_WITH: &str = "eSpeak NG text-to-speech: 1.51";

/// How a phrase is said once.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub voice: &'static str,
    /// Words a minute.
    pub speed: u32,
    /// 0 to 99.
    pub pitch: u32,
}

impl Manner {
    /// As people speak: 150 to 220 English words a minute; espeak-ng's Mandarin is as fast as
    /// people's (five characters a second) from 200 on.
    pub fn draw(half: Half, language: Language, random: &mut Stream) -> Self {
        let slowest = match language {
            Language::Mandarin => 200,
            Language::English => 150,
        };
        Self {
            voice: *one(random, voices(half, language)),
            speed: slowest + 10 * random.below(8),
            pitch: 30 + 10 * random.below(5),
        }
    }
}

/// The samples of a text without silence around, full scale.
pub fn say(text: &str, manner: Manner) -> Vec<f32> {
    let Manner {
        voice,
        speed,
        pitch,
    } = manner;
    let hash = format!("{voice}/{speed}/{pitch}/{text}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
    let kept = folder().map(|folder| folder.join(format!("{hash:016x}.s16")));
    if let Some(bytes) = kept.as_ref().and_then(|path| fs::read(path).ok()) {
        return shorts(&bytes);
    }
    let (speed, pitch) = (speed.to_string(), pitch.to_string());
    let out = Command::new("espeak-ng")
        .args(["-v", voice, "-s", &speed, "-p", &pitch, "--stdout", text])
        .output()
        .expect("espeak-ng was there a moment ago");
    assert!(out.status.success(), "espeak-ng says {out:?}");
    // A WAV file of 22,050 Hz whose head has 44 bytes.
    assert_eq!(&out.stdout[24..28], &22_050u32.to_le_bytes());
    let samples = trim(&to_8_khz(&shorts(&out.stdout[44..])));
    assert!(!samples.is_empty(), "{voice} says nothing of {text:?}");
    if let Some(path) = kept {
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|s| (*s as i16).to_le_bytes())
            .collect();
        // Written aside: another run may read at the same time.
        let aside = path.with_extension(format!("{}", std::process::id()));
        fs::write(&aside, &bytes).expect("cargo's temporary folder can be written");
        fs::rename(&aside, &path).expect("both are in one folder");
        return shorts(&bytes);
    }
    samples
}

/// Where speech is kept: only cargo's tests have a folder of theirs.
fn folder() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let base = PathBuf::from(option_env!("CARGO_TARGET_TMPDIR")?);
            let version = version()?.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let folder = base.join(format!("answering-1-{version}"));
            fs::create_dir_all(&folder).ok()?;
            Some(folder)
        })
        .clone()
}

fn shorts(bytes: &[u8]) -> Vec<f32> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| f32::from(i16::from_le_bytes(*pair)))
        .collect()
}

/// From 22,050 to 8,000 samples a second: 160 for 441, by a low pass of 3.5 kHz.
fn to_8_khz(samples: &[f32]) -> Vec<f32> {
    const UP: usize = 160;
    const DOWN: usize = 441;
    const HALF: isize = 32;
    const TAPS: usize = 2 * HALF as usize;
    // One filter for each place between two samples.
    static FILTERS: OnceLock<Vec<[f32; TAPS]>> = OnceLock::new();
    let filters = FILTERS.get_or_init(|| {
        let cut = 3_500.0 / 22_050.0;
        (0..UP)
            .map(|place| {
                let between = place as f64 / UP as f64;
                std::array::from_fn(|tap| {
                    let at = tap as f64 - HALF as f64 + 1.0 - between;
                    let sinc = if at == 0.0 {
                        2.0 * cut
                    } else {
                        (2.0 * PI * cut * at).sin() / (PI * at)
                    };
                    let window = 0.5 + 0.5 * (PI * at / HALF as f64).cos();
                    (sinc * window) as f32
                })
            })
            .collect()
    });
    let count = samples.len() * UP / DOWN;
    (0..count)
        .map(|n| {
            let (whole, place) = (n * DOWN / UP, n * DOWN % UP);
            let from = whole as isize - HALF + 1;
            (0..TAPS)
                .map(|tap| {
                    let at = from + tap as isize;
                    let sample = usize::try_from(at).ok().and_then(|at| samples.get(at));
                    sample.copied().unwrap_or_default() * filters[place][tap]
                })
                .sum()
        })
        .collect()
}

/// Cuts the silence before and after: 45 dB below the loudest.
fn trim(samples: &[f32]) -> Vec<f32> {
    let loudest = samples.iter().fold(0.0f32, |m, s| m.max(s.abs()));
    let quiet = loudest * 0.0056;
    let first = samples.iter().position(|s| s.abs() > quiet);
    let last = samples.iter().rposition(|s| s.abs() > quiet);
    match (first, last) {
        (Some(first), Some(last)) => samples[first..=last].to_vec(),
        _ => Vec::new(),
    }
}
