//! Printing results: a table on a terminal, JSON or YAML for programs.

use anyhow::Result;
use clap::ValueEnum;
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};
use unicode_width::UnicodeWidthStr;

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// The same as YAML.
    Yaml,
}

impl Form {
    /// A table on a terminal, JSON elsewhere, unless asked.
    pub(crate) fn choose(asked: Option<Self>) -> Self {
        asked.unwrap_or(if io::stdout().is_terminal() {
            Self::Table
        } else {
            Self::Json
        })
    }
}

/// A column: its heading and the JSON pointer of its value in a row.
pub(crate) type Column = (&'static str, &'static str);

/// Prints rows.
pub(crate) fn rows(form: Form, columns: &[Column], rows: &Value) -> Result<()> {
    if form != Form::Table {
        return one(form, rows);
    }
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    let headings: Vec<String> = columns
        .iter()
        .map(|(heading, _)| heading.to_uppercase())
        .collect();
    let cells = rows.iter().map(|row| {
        columns
            .iter()
            .map(|(_, at)| row.pointer(at).map_or(String::new(), plain))
            .collect()
    });
    lines(&grid(std::iter::once(headings).chain(cells).collect()))
}

/// Prints one object.
pub(crate) fn one(form: Form, value: &Value) -> Result<()> {
    match form {
        Form::Json => lines(&[serde_json::to_string_pretty(value)?]),
        Form::Yaml => {
            write!(io::stdout().lock(), "{}", yaml(value, 0))?;
            Ok(())
        }
        Form::Table => {
            let mut cells = Vec::new();
            flatten(String::new(), value, &mut cells);
            lines(&grid(cells))
        }
    }
}

/// Prints lines.
pub(crate) fn lines(lines: &[String]) -> Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

/// Cells in columns as wide as their widest cell; wide characters count as two.
pub(crate) fn grid(cells: Vec<Vec<String>>) -> Vec<String> {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            cells
                .iter()
                .filter_map(|row| row.get(at))
                .map(|c| c.width())
                .max()
                .unwrap_or(0)
        })
        .collect();
    cells
        .iter()
        .map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let pad = width - cell.width();
                write!(line, "{cell}{:pad$}  ", "").expect("a text takes all that is written");
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}

/// An object's fields, those of objects inside it with their path: `calls.bridged`.
fn flatten(path: String, value: &Value, into: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = printable(key);
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                flatten(path, value, into);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                flatten(format!("{path}.{at}"), item, into);
            }
        }
        scalar => into.push(vec![path, plain(scalar)]),
    }
}

/// What people typed may hold control characters; on a terminal they would be obeyed.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A value in a cell.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// YAML is a superset of JSON: scalars are written as JSON, structure by indentation.
fn yaml(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(key, value)| {
                // Keys of ours are words; others (attributes) may be anything.
                let word = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && key.starts_with(|c: char| c.is_ascii_alphabetic());
                let key = if word {
                    key.clone()
                } else {
                    Value::from(key.as_str()).to_string()
                };
                match value {
                    Value::Object(m) if !m.is_empty() => {
                        format!("{pad}{key}:\n{}", yaml(value, depth + 1))
                    }
                    Value::Array(a) if !a.is_empty() => {
                        format!("{pad}{key}:\n{}", yaml(value, depth + 1))
                    }
                    scalar => format!("{pad}{key}: {scalar}\n"),
                }
            })
            .collect(),
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .map(|item| {
                let text = yaml(item, depth + 1);
                format!("{pad}- {}", text.trim_start())
            })
            .collect(),
        scalar => format!("{pad}{scalar}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_nests() {
        let value = json!({"a": 1, "b": [{"c": "x", "d": 2}, 3, []], "e": {}, "f g": "h"});
        let text = "a: 1\nb:\n  - c: \"x\"\n    d: 2\n  - 3\n  - []\ne: {}\n\"f g\": \"h\"\n";
        assert_eq!(yaml(&value, 0), text);
    }

    #[test]
    fn columns_hold_with_wide_characters() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(
            grid(vec![row("深圳", "1"), row("abcde", "2")]),
            ["深圳   1", "abcde  2"]
        );
        assert!(grid(Vec::new()).is_empty());
    }

    #[test]
    fn a_terminal_is_not_driven_by_what_people_typed() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb\n")), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn objects_inside_are_named_by_their_path() {
        let mut cells = Vec::new();
        flatten(
            String::new(),
            &json!({"a": {"b": 1}, "c": [1, 2], "d": [{"e": null}]}),
            &mut cells,
        );
        assert_eq!(cells, [["a.b", "1"], ["c", "1,2"], ["d.0.e", "-"]]);
    }
}
