//! What persons think of the caller IDs, for people.

use crate::{client::Client, names, output, output::Form};
use anyhow::Result;
use serde_json::{Value, json};

const PLACES: [output::Column; 8] = [
    ("node", "/node"),
    ("place", "/name"),
    ("numbers", "/numbers"),
    ("calls today", "/calls_today"),
    ("doubted", "/doubted"),
    ("resting", "/resting"),
    ("load %", "/load_percent"),
    ("", "/hint"),
];

const NUMBERS: [output::Column; 7] = [
    ("number", "/number"),
    ("node", "/node"),
    ("state", "/said"),
    ("calls today", "/calls_today"),
    ("answered", "/answered"),
    ("expected", "/expected"),
    ("quality", "/quality"),
];

/// Rows of numbers that are shown: the worst come first.
const SHOWN: usize = 30;

/// Prints places, and below them the numbers to look at first.
pub(crate) async fn print(client: &Client, mut known: Value) -> Result<()> {
    for row in rows(&mut known["places"]) {
        row["name"] = json!(place(row));
        row["hint"] = json!(match row["more_wanted"] == true {
            true => "import more numbers",
            false => "",
        });
    }
    for row in rows(&mut known["numbers"]) {
        row["said"] = json!(match row["rested_days"].as_u64() {
            Some(days) => format!("resting, day {}", days + 1),
            None => row["state"].as_str().unwrap_or_default().to_owned(),
        });
    }
    names::label(client, &mut known["places"], "node", names::MEMBER).await?;
    names::label(client, &mut known["numbers"], "node", names::MEMBER).await?;
    let silent = known["silent"].as_array().map_or(0, Vec::len);
    if silent > 0 {
        output::lines(&[format!(
            "{silent} nodes did not answer: nothing is said of their caller IDs"
        )])?;
    }
    output::rows(Form::Table, &PLACES, &known["places"])?;
    output::lines(&[String::new()])?;
    let (shown, left) = worst(&known);
    output::rows(Form::Table, &NUMBERS, &shown)?;
    match left {
        0 => Ok(()),
        left => output::lines(&[format!(
            "and {left} more, better answered: -o json shows them"
        )]),
    }
}

fn rows(list: &mut Value) -> &mut [Value] {
    list.as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

/// The first rows, and how many are left.
fn worst(known: &Value) -> (Value, u64) {
    let numbers = known["numbers"].as_array().map_or(&[][..], Vec::as_slice);
    let shown = &numbers[..numbers.len().min(SHOWN)];
    let more = known["more_numbers"].as_u64().unwrap_or_default();
    (json!(shown), more + (numbers.len() - shown.len()) as u64)
}

/// `New York, US`; an area or the country where nothing nearer is known.
fn place(row: &Value) -> String {
    let country = row["country"].as_str().unwrap_or_default();
    match (row["place"].as_str(), row["area"].as_u64()) {
        (Some(place), None) => format!("{place}, {country}"),
        (Some(place), Some(area)) => format!("{place} {area}, {country}"),
        (None, Some(area)) => format!("{area}, {country}"),
        (None, None) => country.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_as_near_as_they_are_known() {
        for (row, want) in [
            (
                json!({"country": "US", "place": "New York"}),
                "New York, US",
            ),
            (
                json!({"country": "CN", "place": "Guangdong", "area": 755}),
                "Guangdong 755, CN",
            ),
            (json!({"country": "DE", "area": 30}), "30, DE"),
            (json!({"country": "FR", "place": null, "area": null}), "FR"),
        ] {
            assert_eq!(place(&row), want);
        }
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let numbers: Vec<Value> = (0..SHOWN + 5).map(|n| json!({"number": n})).collect();
        let (shown, left) = worst(&json!({"numbers": numbers, "more_numbers": 7}));
        assert_eq!((shown.as_array().map(Vec::len), left), (Some(SHOWN), 12));
        assert_eq!(worst(&json!({})), (json!([]), 0));
    }
}
