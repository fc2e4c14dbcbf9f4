//! The verbs, a file for each noun.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod call;
pub(crate) mod campaign;
pub(crate) mod campaign_learned;
pub(crate) mod config;
pub(crate) mod consent;
pub(crate) mod context;
pub(crate) mod dnc;
pub(crate) mod dnc_base;
pub(crate) mod dnc_list;
pub(crate) mod dnc_pattern;
pub(crate) mod explain;
pub(crate) mod freeze;
pub(crate) mod homes;
pub(crate) mod key;
pub(crate) mod lead;
pub(crate) mod member;
pub(crate) mod number;
pub(crate) mod number_reputation;
pub(crate) mod recording;
pub(crate) mod region;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod trunk;
pub(crate) mod voters;

use crate::failure::Failure;
use serde::Serialize;
use serde_json::{Map, Value};

/// Fields of a request; what is not given is left to the server's defaults.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Puts a field where it is given.
    pub(crate) fn put(&mut self, key: &str, value: Option<impl Serialize>) -> anyhow::Result<()> {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), serde_json::to_value(value)?);
        }
        Ok(())
    }

    /// The object.
    pub(crate) fn object(self) -> Value {
        Value::Object(self.0)
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// The text and value of `NAME=VALUE`; names may hold equals signs, values may not.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}

/// Nothing to change was named.
pub(crate) fn nothing(what: &str) -> Failure {
    Failure::usage(format!(
        "nothing to change was given; see `dialmesh {what} --help`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_two_sides() {
        assert_eq!(
            pair("Shen zhen = south").unwrap(),
            ("Shen zhen".into(), "south".into())
        );
        assert_eq!(pair("a=b=c").unwrap(), ("a=b".into(), "c".into()));
        for wrong in ["a", "=b", "a=", " = "] {
            assert!(pair(wrong).is_err());
        }
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        let mut fields = Fields::default();
        fields.put("a", Some(1)).unwrap();
        fields.put("b", None::<u8>).unwrap();
        assert_eq!(fields.object(), serde_json::json!({"a": 1}));
    }
}
