//! Times as people give them.

use dialmesh_http::dto::Timestamp;
use domain::WallTime;

/// Reads `2026-11-21T08:00:00Z`, or how long ago (`90m`, `7d`).
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    at(text, service::clock::wall())
}

fn at(text: &str, now: WallTime) -> Result<Timestamp, String> {
    if let Ok(ago) = service::config::parse_duration(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Timestamp(WallTime::from_millis(
            now.as_millis().saturating_sub(ago),
        )));
    }
    text.parse()
        .map_err(|error| format!("{error}, or how long ago, such as 90m or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        assert_eq!(
            at("90m", now.0).unwrap().to_string(),
            "2026-11-21T06:30:00.000Z"
        );
        assert_eq!(at("2026-11-21T08:00:00Z", now.0).unwrap(), now);
        let wrong = at("yesterday", now.0).unwrap_err();
        assert!(
            wrong.contains("yesterday") && wrong.contains("7d"),
            "{wrong}"
        );
    }
}
