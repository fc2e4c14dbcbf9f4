//! Checks that several changes share.

use super::Rejection;
use domain::limits;
use std::time::Duration;

/// A name that people read: not empty, within [`limits::NAME_BYTES`], no control characters.
pub(super) fn name(field: &str, text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::new(field, "is empty; give a name"));
    }
    if text.len() > limits::NAME_BYTES {
        let why = format!("has {} bytes", text.len());
        return Err(Rejection::over(field, why, limits::NAME_BYTES as u64));
    }
    if text.chars().any(char::is_control) {
        return Err(Rejection::new(field, "holds control characters"));
    }
    Ok(())
}

/// A sign-in or SIP user name: lower-case letters, digits, `-`, `_`, `.`; at most 32.
pub(super) fn login(field: &str, text: &str) -> Result<(), Rejection> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if text.is_empty() || !text.bytes().all(plain) {
        let why = "holds something else than lower-case letters, digits, -, _ and .";
        return Err(Rejection::new(field, why));
    }
    if text.len() > 32 {
        let why = format!("has {} characters", text.len());
        return Err(Rejection::over(field, why, 32));
    }
    Ok(())
}

/// A table that may not grow further.
pub(super) fn room(field: &str, have: usize, more: usize, limit: usize) -> Result<(), Rejection> {
    if have.saturating_add(more) > limit {
        let why = format!("{have} there, {more} more do not fit");
        return Err(Rejection::over(field, why, limit as u64));
    }
    Ok(())
}

/// A span within a range.
pub(super) fn span(
    field: &str,
    got: Duration,
    min: Duration,
    max: Duration,
) -> Result<(), Rejection> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    let why = format!("{got:?} is not within {min:?} to {max:?}");
    Err(Rejection::over(field, why, max.as_secs()))
}

/// A reference to something that must be there.
pub(super) fn known(field: &str, id: impl std::fmt::Display, there: bool) -> Result<(), Rejection> {
    if there {
        return Ok(());
    }
    Err(Rejection::new(field, format!("{id} is not known")))
}
