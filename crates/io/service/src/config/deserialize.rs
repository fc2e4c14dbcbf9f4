//! The tree as a serde deserializer whose errors know where they happened.

use super::{
    ConfigError, ENVIRONMENT_PREFIX, Place,
    tree::{Node, Value, spelled},
};
use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::StrDeserializer},
};
use std::{collections::btree_map, fmt};

pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, ConfigError> {
    let cursor = Cursor {
        node: root,
        key: String::new(),
    };
    T::deserialize(cursor).map_err(Failure::into_error)
}

/// A problem, and the place once somebody on the way up knew it.
#[derive(Debug)]
struct Failure {
    problem: Problem,
    at: Option<(Place, String)>,
}

#[derive(Debug)]
enum Problem {
    Unknown { remedy: String },
    Missing { field: &'static str },
    Value(String),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, at: None }
    }
}

impl Failure {
    fn located(mut self, place: &Place, key: &str) -> Self {
        self.at
            .get_or_insert_with(|| (place.clone(), key.to_owned()));
        self
    }

    fn into_error(self) -> ConfigError {
        let (place, key) = self.at.unwrap_or((Place::Nowhere, String::new()));
        match self.problem {
            Problem::Unknown { remedy } => ConfigError::UnknownKey { place, key, remedy },
            Problem::Missing { field } => {
                let whole = joined(&key, field);
                let variable = whole.to_uppercase().replace('.', "__");
                let table = if key.is_empty() {
                    "at the top of the file".to_owned()
                } else {
                    format!("under [{key}]")
                };
                ConfigError::Missing {
                    place,
                    remedy: format!(
                        "add `{field} = ...` {table} or set {ENVIRONMENT_PREFIX}{variable}"
                    ),
                    key: whole,
                }
            }
            Problem::Value(problem) => ConfigError::Value {
                place,
                key,
                problem,
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Problem::Value(message.to_string()).into()
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Problem::Value(format!("is {found}; expected {expected}")).into()
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Problem::Value(format!("is {found}; expected {expected}")).into()
    }

    fn missing_field(field: &'static str) -> Self {
        Problem::Missing { field }.into()
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Problem::Value(format!("is {found:?}; {}", suggestion(found, known))).into()
    }
}

fn suggestion(found: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3);
    let all = known.join(", ");
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`? Known here: {all}"),
        None if known.is_empty() => "nothing is known here: remove it".to_owned(),
        None => format!("known here: {all}"),
    }
}

fn joined(key: &str, next: impl fmt::Display) -> String {
    if key.is_empty() {
        next.to_string()
    } else {
        format!("{key}.{next}")
    }
}

#[derive(Clone)]
struct Cursor<'a> {
    node: &'a Node,
    key: String,
}

impl Cursor<'_> {
    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Failure> {
        let seen = match &self.node.value {
            Value::Table(table) => visitor.visit_map(Entries::new(&self.key, table)),
            Value::Array(items) => visitor.visit_seq(Items {
                key: &self.key,
                items: items.iter().enumerate(),
            }),
            Value::Text(text) | Value::Loose(text) => visitor.visit_str(text),
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bool(yes) => visitor.visit_bool(*yes),
        };
        seen.map_err(|failure| failure.located(&self.node.place, &self.key))
    }

    /// As [`Cursor::visit`]; a text from environment or flags is first read as TOML.
    fn visit_spelled<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Failure> {
        if let Value::Loose(text) = &self.node.value
            && let Some(node) = spelled(&self.node.place, text)
        {
            let key = self.key.clone();
            return Cursor { node: &node, key }.visit(visitor);
        }
        self.visit(visitor)
    }
}

macro_rules! spelled_kinds {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.visit_spelled(visitor)
        }
    )* };
}

macro_rules! text_kinds {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.visit(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = Failure;

    spelled_kinds! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64 deserialize_seq deserialize_map deserialize_unit
    }
    text_kinds! {
        deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let (place, key) = (self.node.place.clone(), self.key.clone());
        visitor
            .visit_newtype_struct(self)
            .map_err(|failure| failure.located(&place, &key))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit_spelled(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit_spelled(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if let Value::Table(table) = &self.node.value
            && let Some((key, node)) = table
                .iter()
                .find(|(key, _)| !fields.contains(&key.as_str()))
        {
            let remedy = suggestion(key, fields);
            return Err(Failure::from(Problem::Unknown { remedy })
                .located(&node.key_place, &joined(&self.key, key)));
        }
        self.visit_spelled(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let seen = match &self.node.value {
            Value::Text(text) | Value::Loose(text) => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            Value::Table(table) if table.len() == 1 => {
                let (name, node) = table.iter().next().expect("its length is one");
                let key = joined(&self.key, name);
                visitor.visit_enum(Variant {
                    name,
                    content: Cursor { node, key },
                })
            }
            _ => return self.visit(visitor),
        };
        seen.map_err(|failure| failure.located(&self.node.place, &self.key))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}

struct Entries<'a> {
    key: &'a str,
    entries: btree_map::Iter<'a, String, Node>,
    pending: Option<Cursor<'a>>,
}

impl<'a> Entries<'a> {
    fn new(key: &'a str, table: &'a std::collections::BTreeMap<String, Node>) -> Self {
        Self {
            key,
            entries: table.iter(),
            pending: None,
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let Some((name, node)) = self.entries.next() else {
            return Ok(None);
        };
        let key = joined(self.key, name);
        let read = seed
            .deserialize(StrDeserializer::<Failure>::new(name))
            .map_err(|failure| failure.located(&node.key_place, &key))?;
        self.pending = Some(Cursor { node, key });
        Ok(Some(read))
    }

    fn next_value_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, Failure> {
        let cursor = self
            .pending
            .take()
            .expect("a key was read before its value");
        let (place, key) = (cursor.node.place.clone(), cursor.key.clone());
        seed.deserialize(cursor)
            .map_err(|failure| failure.located(&place, &key))
    }
}

struct Items<'a> {
    key: &'a str,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some((at, node)) = self.items.next() else {
            return Ok(None);
        };
        let key = format!("{}[{at}]", self.key);
        let cursor = Cursor {
            node,
            key: key.clone(),
        };
        seed.deserialize(cursor)
            .map(Some)
            .map_err(|failure| failure.located(&node.place, &key))
    }
}

struct Variant<'a> {
    name: &'a str,
    content: Cursor<'a>,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Failure;
    type Variant = Cursor<'a>;

    fn variant_seed<T: de::DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Cursor<'a>), Failure> {
        let read = seed
            .deserialize(StrDeserializer::<Failure>::new(self.name))
            .map_err(|failure| failure.located(&self.content.node.key_place, &self.content.key))?;
        Ok((read, self.content))
    }
}

impl<'de> de::VariantAccess<'de> for Cursor<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        let problem = "takes no content; write its name as a text".to_owned();
        Err(Failure::from(Problem::Value(problem)).located(&self.node.place, &self.key))
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Failure> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_struct("", fields, visitor)
    }
}
