//! What was learned of who answers a campaign's calls, for people.

use crate::output::{self, Column, Form};
use anyhow::Result;
use serde_json::Value;

const RATES: [Column; 4] = [
    ("lines", "/rate/lines"),
    ("answered %", "/rate/percent"),
    ("from", "/rate/from"),
    ("to", "/rate/to"),
];

const PROMISES: [Column; 3] = [
    ("lines", "/lines"),
    ("expected %", "/expected_percent"),
    ("answered %", "/answered_percent"),
];

/// Prints it below a campaign's figures. Shares stand with where they lie with 95 % certainty.
pub(crate) fn print(learned: &Value) -> Result<()> {
    let lines = learned["all"]["lines"].as_u64().unwrap_or_default();
    let silent = learned["silent"].as_array().map_or(0, Vec::len);
    let mut said = vec![String::new()];
    if silent > 0 {
        said.push(format!("{silent} cities did not tell what they learned"));
    }
    if lines == 0 {
        said.push("nothing was learned yet of who answers".to_owned());
        return output::lines(&said);
    }
    said.push(format!(
        "Who answers, learned from {lines} lines: {}.",
        share(&learned["all"])
    ));
    if learned["lead_order"] == "best_chance" {
        said.push(format!(
            "Leads given out by their chance: {}; held out meanwhile: {}.",
            share(&learned["by_chance"]),
            share(&learned["held_out"])
        ));
    }
    output::lines(&said)?;
    let tables: [(&str, &str, &[Column], &str); 4] = [
        ("hour there", "/hour", &[("factor", "/factor")], "hours"),
        ("weekday there", "/place", &[], "weekdays"),
        ("attempt", "/place", &[], "attempts"),
        ("list", "/name", &[], "lists"),
    ];
    for (heading, value, more, field) in tables {
        output::lines(&[String::new()])?;
        let columns = [&[(heading, value)], &RATES[..], more].concat();
        output::rows(Form::Table, &columns, &learned[field])?;
    }
    output::lines(&[
        String::new(),
        format!(
            "Chances promised before each line beside what happened: off by {} points on the mean.",
            output::plain(&learned["calibration_error"])
        ),
    ])?;
    output::rows(Form::Table, &PROMISES, &learned["calibration"])?;
    output::lines(&[format!(
        "Learned from {} and nothing else.",
        output::plain(&learned["features"]).replace(',', ", ")
    )])
}

/// `20.1 % (19.0 to 21.3)`; `-` without a line.
fn share(rate: &Value) -> String {
    let text = |field| output::plain(&rate[field]);
    match rate["percent"].is_null() {
        true => "-".to_owned(),
        false => format!("{} % ({} to {})", text("percent"), text("from"), text("to")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_stand_with_their_certainty() {
        let rate = json!({"lines": 100, "percent": 20.0, "from": 13.3, "to": 28.9});
        assert_eq!(share(&rate), "20.0 % (13.3 to 28.9)");
        assert_eq!(share(&json!({"lines": 0, "percent": null})), "-");
    }
}
