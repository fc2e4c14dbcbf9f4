//! Secrets come from files or standard input and go to files of mode 0600; never from arguments,
//! which every user of the machine can read.

use crate::failure::Failure;
use anyhow::{Context, Result};
use domain::Secret;
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A secret is one line; whatever is longer is the wrong file.
const BYTES: u64 = 4_096;

/// Reads the one line of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Secret> {
    let mut text = String::new();
    let (name, result) = if path == Path::new("-") {
        (
            "standard input".to_owned(),
            io::stdin().take(BYTES + 1).read_to_string(&mut text),
        )
    } else {
        let opened = fs::File::open(path);
        let result = opened.and_then(|file| file.take(BYTES + 1).read_to_string(&mut text));
        (path.display().to_string(), result)
    };
    result.with_context(|| format!("cannot read the secret from {name}"))?;
    let secret = text.trim();
    if secret.is_empty() || secret.contains(char::is_control) || text.len() as u64 > BYTES {
        return Err(Failure::usage(format!(
            "{name} holds no secret: expected one line of 1 to {BYTES} bytes"
        ))
        .into());
    }
    Ok(Secret::new(secret))
}

/// A file for a secret that is shown only once. It is made before the secret is asked for, so that
/// none is lost because it cannot be written; unless written, it goes away.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    file: Option<fs::File>,
}

impl SecretFile {
    /// Makes the file, readable by the user alone. One that exists is left as it is.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let opened = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match opened {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                file: Some(file),
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::usage(format!(
                    "{} exists and may hold another secret; name a new file or remove it first",
                    path.display()
                ))
                .into())
            }
            Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
        }
    }

    /// Writes the secret, with a line break behind it.
    pub(crate) fn write(mut self, text: &str) -> Result<()> {
        if let Some(mut file) = self.file.take() {
            writeln!(file, "{text}")
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // It is empty; that it stays hurts nobody.
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(read(&path).unwrap().expose(), "abc");
        for wrong in ["", "  \n", "a\nb\n", &"x".repeat(4_097)] {
            fs::write(&path, wrong).unwrap();
            assert!(
                read(&path).unwrap_err().to_string().contains("one line"),
                "{wrong:?}"
            );
        }
        fs::write(&path, "x".repeat(4_096)).unwrap();
        assert_eq!(read(&path).unwrap().expose().len(), 4_096);
        assert!(
            read(&folder.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("none")
        );
    }

    #[test]
    fn a_file_is_private_never_replaced_and_gone_when_unused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        drop(SecretFile::create(&path).unwrap());
        assert!(!path.exists());
        SecretFile::create(&path).unwrap().write("abc").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            SecretFile::create(&path)
                .unwrap_err()
                .to_string()
                .contains("exists")
        );
    }
}
