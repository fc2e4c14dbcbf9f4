//! How a command ends: 0 ok, 1 failure, 2 usage, 3 degraded, 4 unreachable.

use std::{fmt, io, process::ExitCode};

/// A failure with the exit code it deserves.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// The command was not as it should be.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            code: 2,
            text: text.into(),
        }
    }

    /// It works, but not all of it.
    pub(crate) fn degraded(text: impl Into<String>) -> Self {
        Self {
            code: 3,
            text: text.into(),
        }
    }

    /// Nobody answers.
    pub(crate) fn unreachable(text: impl Into<String>) -> Self {
        Self {
            code: 4,
            text: text.into(),
        }
    }

    /// Whether nobody answered, so that asking again may help.
    pub(crate) fn is_silence(&self) -> bool {
        self.code == 4
    }

    /// The other side said no.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            text: text.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

fn code(error: &anyhow::Error) -> u8 {
    error
        .downcast_ref::<Failure>()
        .map_or(1, |failure| failure.code)
}

/// Whoever read our output has gone (`dialmesh call ls | head -1`): nobody is left to tell.
fn nobody_reads(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Ends the process's main function: the error with its causes on stderr, and its exit code.
pub(crate) fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", message(&error));
            ExitCode::from(code(&error))
        }
    }
}

/// `error: what`, and a line for each cause that says more.
fn message(error: &anyhow::Error) -> String {
    let word = if code(error) == 3 {
        "degraded"
    } else {
        "error"
    };
    let mut text = format!("{word}: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many libraries repeat their cause in their own text.
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn codes_are_as_promised() {
        for (error, expected) in [
            (anyhow!("anything"), 1),
            (Failure::refused("no").into(), 1),
            (Failure::usage("what").into(), 2),
            (Failure::degraded("half").into(), 3),
            (Failure::unreachable("gone").into(), 4),
        ] {
            assert_eq!(code(&error), expected);
            assert_eq!(code(&error.context("while trying")), expected);
        }
    }

    #[test]
    fn causes_are_told_once() {
        let error = Err::<(), _>(anyhow!("disk full")).context("cannot save: disk full");
        assert_eq!(
            message(&error.unwrap_err()),
            "error: cannot save: disk full"
        );
        let error = Err::<(), _>(anyhow!("disk full")).context("cannot save");
        assert_eq!(
            message(&error.unwrap_err()),
            "error: cannot save\n  because: disk full"
        );
        assert!(message(&Failure::degraded("half").into()).starts_with("degraded: half"));
    }

    #[test]
    fn a_reader_who_left_is_no_failure() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(nobody_reads(&anyhow::Error::from(gone).context("printing")));
        assert!(!nobody_reads(&anyhow!("no")));
    }
}
