//! `/recordings` and the key that they are made with.

use super::AdminState;
use crate::{
    auth::Caller,
    dto::{Page, Recording, RecordingCheck, RecordingDetail, RecordingFilter, RecordingKey},
    extract::{Path, Query},
    problem::{Code, Problem},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::AttemptId;
use futures::stream::BoxStream;
use std::{fmt, io, ops::Range};

/// Sound as it goes out; an error breaks the transfer off.
pub type SoundStream = BoxStream<'static, io::Result<Bytes>>;

/// A recording as a WAV file, of which any part can be had.
pub struct RecordingAudio {
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Names its content.
    pub tag: String,
    /// Gives a part of it.
    pub part: Box<dyn FnOnce(Range<u64>) -> SoundStream + Send>,
}

impl fmt::Debug for RecordingAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingAudio")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Recordings, newest first.
#[utoipa::path(get, path = "/recordings", tag = "recordings", operation_id = "list_recordings",
    params(RecordingFilter), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page.", body = Page<Recording>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Query(filter): Query<RecordingFilter>,
) -> Result<axum::Json<Page<Recording>>, Problem> {
    filter.page().check()?;
    Ok(axum::Json(state.backend.recordings(filter).await?))
}

/// One recording: how long it is, when it was paused, its waveform.
#[utoipa::path(get, path = "/recordings/{id}", tag = "recordings", operation_id = "show_recording",
    params(("id" = String, Path, description = "Attempt id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The recording.", body = RecordingDetail)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Path(id): Path<AttemptId>,
) -> Result<axum::Json<RecordingDetail>, Problem> {
    Ok(axum::Json(state.backend.recording(id).await?))
}

/// Opens every second of a recording and compares it with the call's record.
#[utoipa::path(get, path = "/recordings/{id}/check", tag = "recordings", operation_id = "check_recording",
    params(("id" = String, Path, description = "Attempt id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "What was found.", body = RecordingCheck)))]
pub(super) async fn check(
    State(state): State<AdminState>,
    Path(id): Path<AttemptId>,
    by: Caller,
) -> Result<axum::Json<RecordingCheck>, Problem> {
    Ok(axum::Json(state.backend.check_recording(&by, id).await?))
}

/// A recording's sound: stereo G.711 as WAV, agent left, person right. One range of bytes may be asked
/// for. Who asks is audited.
#[utoipa::path(get, path = "/recordings/{id}/audio", tag = "recordings", operation_id = "hear_recording",
    params(("id" = String, Path, description = "Attempt id."),
        ("range" = Option<String>, Header, description = "One range of bytes (RFC 9110, section 14).")),
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "All of it.", body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The range.", body = Vec<u8>, content_type = "audio/wav")))]
pub(super) async fn audio(
    State(state): State<AdminState>,
    Path(id): Path<AttemptId>,
    by: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let audio = state.backend.recording_audio(&by, id).await?;
    let total = audio.bytes;
    let asked = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let range = match asked.map_or(Asked::All, |text| asked_for(text, total)) {
        Asked::All => None,
        Asked::Part(range) => Some(range),
        Asked::Nothing => {
            let why = format!("The recording has {total} bytes.");
            let mut refusal = Problem::new(Code::Range, why).into_response();
            let size = HeaderValue::from_str(&format!("bytes */{total}"));
            if let Ok(size) = size {
                refusal.headers_mut().insert(header::CONTENT_RANGE, size);
            }
            return Ok(refusal);
        }
    };
    let status = match range {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    let part = range.clone().unwrap_or(0..total);
    let mut response = (
        status,
        [
            (header::CONTENT_TYPE, "audio/wav".to_owned()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::CONTENT_LENGTH, (part.end - part.start).to_string()),
            (header::ETAG, format!("\"{}\"", audio.tag)),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{id}.wav\""),
            ),
        ],
        Body::from_stream((audio.part)(part)),
    )
        .into_response();
    if let Some(range) = range {
        let text = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
    }
    Ok(response)
}

/// The key that recordings are made with.
#[utoipa::path(get, path = "/recording-key", tag = "recordings", operation_id = "show_recording_key",
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "Its public half.", body = RecordingKey)))]
pub(super) async fn key(
    State(state): State<AdminState>,
) -> Result<axum::Json<RecordingKey>, Problem> {
    Ok(axum::Json(state.backend.recording_key().await?))
}

/// Makes a key: recordings are made with it from here on. Its private half stays at this coordinator,
/// beside those of keys before, which go on opening what was made with them.
#[utoipa::path(post, path = "/recording-key", tag = "recordings", operation_id = "create_recording_key",
    security(("bearer" = ["admin"])),
    responses((status = 201, description = "Its public half.", body = RecordingKey)))]
pub(super) async fn create_key(
    State(state): State<AdminState>,
    by: Caller,
) -> Result<(StatusCode, axum::Json<RecordingKey>), Problem> {
    let key = state.backend.create_recording_key(&by).await?;
    Ok((StatusCode::CREATED, axum::Json(key)))
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Part(Range<u64>),
    /// Nothing of it is there.
    Nothing,
}

/// Reads `Range` (RFC 9110, section 14.1.2). What is not one range of bytes is passed over, as it says.
fn asked_for(text: &str, total: u64) -> Asked {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|spec| spec.split_once('-'))
    else {
        return Asked::All;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(most) => total.saturating_sub(most)..total,
            None => return Asked::All,
        },
        (first, last) => match (number(first), last, number(last)) {
            (Some(first), "", _) => first..total,
            (Some(first), _, Some(last)) if first <= last => {
                first..last.saturating_add(1).min(total)
            }
            _ => return Asked::All,
        },
    };
    match range.start < range.end {
        true => Asked::Part(range),
        false => Asked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        for (text, asked) in [
            ("bytes=0-", Asked::Part(0..100)),
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=10-19", Asked::Part(10..20)),
            ("bytes=90-200", Asked::Part(90..100)),
            ("bytes=-10", Asked::Part(90..100)),
            ("bytes=-1000", Asked::Part(0..100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=20-10", Asked::All),
            ("bytes=0-1,5-6", Asked::All),
            ("seconds=0-1", Asked::All),
            ("bytes=", Asked::All),
            ("bytes=-", Asked::All),
        ] {
            assert_eq!(asked_for(text, 100), asked, "{text}");
        }
        assert_eq!(asked_for("bytes=0-", 0), Asked::Nothing);
    }
}
