//! Times as people give them.

use dialmesh_http::dto::Timestamp;
use domain::WallTime;

/// Reads `2026-11-21T08:00:00Z`, or how long ago (`90m`, `7d`).
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    at(text, service::clock::wall())
}

/// Reads `2026-12-24T00:00:00Z`, or how long from now (`90m`, `30d`).
pub(crate) fn until(text: &str) -> Result<Timestamp, String> {
    ahead(text, service::clock::wall())
}

fn ahead(text: &str, now: WallTime) -> Result<Timestamp, String> {
    match service::config::parse_duration(text) {
        Ok(span) => Ok(Timestamp(now + span)),
        Err(_) => text.parse().map_err(|_| {
            format!(
                "{text:?} is neither a time such as 2026-12-24T00:00:00Z nor a span such as 30d"
            )
        }),
    }
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
        let ahead = |text| ahead(text, now.0);
        assert_eq!(
            ahead("30d").unwrap().to_string(),
            "2026-12-21T08:00:00.000Z"
        );
        assert_eq!(ahead("2026-11-21T08:00:00Z").unwrap(), now);
        assert!(ahead("tomorrow").unwrap_err().contains("30d"));
        let wrong = at("yesterday", now.0).unwrap_err();
        assert!(
            wrong.contains("yesterday") && wrong.contains("7d"),
            "{wrong}"
        );
    }
}
