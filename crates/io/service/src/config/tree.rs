//! The merged layers as one tree that remembers where each part was written.

use super::{ConfigError, Place};
use std::{collections::BTreeMap, ops::Range, sync::Arc};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value stands.
    pub(super) place: Place,
    /// Where its key stands.
    pub(super) key_place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// From environment or flags: text, or whatever TOML it spells when text is not wanted.
    Loose(String),
}

impl Node {
    pub(super) fn empty(place: Place) -> Self {
        Self::new(place, Value::Table(BTreeMap::new()))
    }

    pub(super) fn new(place: Place, value: Value) -> Self {
        Self {
            key_place: place.clone(),
            place,
            value,
        }
    }

    /// Overrides the value at `path`, making tables on the way.
    pub(super) fn set(&mut self, path: &[String], place: &Place, text: &str) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::new(place.clone(), Value::Loose(text.to_owned()));
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self::empty(place.clone());
        }
        if let Value::Table(table) = &mut self.value {
            table
                .entry(first.clone())
                .or_insert_with(|| Self::empty(place.clone()))
                .set(rest, place, text);
        }
    }
}

/// What a text from environment or flags spells in TOML; `None` when it is only text.
pub(super) fn spelled(place: &Place, text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let places = Places {
        name: Arc::from(""),
        lines: Vec::new(),
        fixed: Some(place.clone()),
    };
    places.node(&value, place.clone()).ok()
}

struct Places {
    name: Arc<str>,
    /// Byte offset at which each line begins.
    lines: Vec<usize>,
    /// The place of everything, for texts that have no lines.
    fixed: Option<Place>,
}

impl Places {
    fn of(&self, span: &Range<usize>) -> Place {
        if let Some(place) = &self.fixed {
            return place.clone();
        }
        let line = self.lines.partition_point(|&start| start <= span.start);
        let start = self.lines[line.saturating_sub(1)];
        Place::File {
            path: self.name.clone(),
            line,
            column: span.start - start + 1,
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Value, ConfigError> {
        let entries = table.iter().map(|(key, value)| {
            let node = self.node(value, self.of(&key.span()))?;
            Ok((key.get_ref().to_string(), node))
        });
        Ok(Value::Table(entries.collect::<Result<_, _>>()?))
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, key_place: Place) -> Result<Node, ConfigError> {
        let place = self.of(&value.span());
        let not = |text: String, expected: &str| ConfigError::Syntax {
            place: place.clone(),
            problem: format!("{text} is not {expected}"),
        };
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => Value::Integer(
                i64::from_str_radix(digits.as_str(), digits.radix())
                    .map_err(|_| not(digits.to_string(), "an integer of 64 bits"))?,
            ),
            DeValue::Float(digits) => Value::Float(
                digits
                    .as_str()
                    .parse()
                    .map_err(|_| not(digits.to_string(), "a number"))?,
            ),
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.node(item, self.of(&item.span())))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => self.table(table)?,
        };
        Ok(Node {
            place,
            key_place,
            value,
        })
    }
}

pub(super) fn parse(name: &Arc<str>, text: &str) -> Result<Node, ConfigError> {
    let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    let places = Places {
        name: name.clone(),
        lines: std::iter::once(0)
            .chain(starts.map(|(at, _)| at + 1))
            .collect(),
        fixed: None,
    };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        place: places.of(&error.span().unwrap_or(0..0)),
        problem: error.message().to_owned(),
    })?;
    Ok(Node::new(
        places.of(&(0..0)),
        places.table(table.get_ref())?,
    ))
}
