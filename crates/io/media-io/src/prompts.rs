//! Prompts from a folder of WAV files.

use media::{Prompt, PromptError, Prompts};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A folder of prompts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PromptFileError {
    /// The folder or a file in it.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no prompt.
    #[error("{path} is no prompt")]
    Prompt {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PromptError,
    },
}

/// The built-in prompts and every `*.wav` of `folder`, named by its file name without `.wav`, in
/// the order of the names.
///
/// # Errors
/// When the folder or one of its files cannot be read or played, or takes a built-in name.
pub fn load_prompts(folder: &Path) -> Result<Prompts, PromptFileError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| PromptFileError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read(folder))? {
        let path = entry.map_err(read(folder))?.path();
        if path
            .extension()
            .is_some_and(|ext| ext.eq_ignore_ascii_case("wav"))
        {
            files.push(path);
        }
    }
    files.sort();
    let mut prompts = Prompts::default();
    for path in files {
        let bytes = fs::read(&path).map_err(read(&path))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Prompt::from_wav(&bytes)
            .and_then(|prompt| prompts.insert(&name, prompt))
            .map_err(|source| PromptFileError::Prompt { path, source })?;
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Codec;
    use media::wav;

    #[test]
    fn a_folder_becomes_prompts() {
        let folder = tempfile::tempdir().unwrap();
        let file = wav::write(Codec::Pcma, 1, &[0xd5; 320]);
        fs::write(folder.path().join("sorry.wav"), &file).unwrap();
        fs::write(folder.path().join("notes.txt"), b"no sound").unwrap();
        let prompts = load_prompts(folder.path()).unwrap();
        let sorry = prompts.get(prompts.id("sorry").unwrap()).unwrap();
        assert_eq!(sorry.duration().as_millis(), 40);
        assert!(prompts.id("tone").is_some());
        fs::write(folder.path().join("beep.wav"), &file).unwrap();
        assert!(matches!(
            load_prompts(folder.path()),
            Err(PromptFileError::Prompt {
                source: PromptError::Name(_),
                ..
            })
        ));
        fs::write(folder.path().join("beep.wav"), b"RIFF").unwrap();
        let error = load_prompts(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("beep.wav is no prompt"));
        assert!(matches!(
            load_prompts(&folder.path().join("none")),
            Err(PromptFileError::Read { .. })
        ));
    }
}
