//! Cursor pages.

use crate::{
    limits::{CURSOR_BYTES, PAGE, PAGE_DEFAULT},
    problem::{Code, Problem},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One page of a list. Ask for the next with `cursor` until there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The objects, in the list's order.
    pub data: Vec<T>,
    /// Give it back as `cursor` for the next page; none on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page; `next` is the backend's own mark of where the next page begins.
    pub fn new(data: Vec<T>, next: Option<String>) -> Self {
        Self {
            data,
            next_cursor: next,
        }
    }

    /// The same page of other objects.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(f).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// Which page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Objects in the page, 1 to 1000; 100 when not given.
    #[serde(default)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before; opaque.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Objects in the page.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE)
    }

    /// Judges the limit and the cursor's length.
    ///
    /// # Errors
    /// The limit is outside its bounds, or the cursor is too long to be ours.
    pub fn check(&self) -> Result<(), Problem> {
        if let Some(limit) = self.limit
            && !(1..=PAGE).contains(&limit)
        {
            return Err(Problem::field(
                "?limit",
                format!("is {limit}; expected 1 to {PAGE}"),
            ));
        }
        match &self.cursor {
            Some(cursor) if cursor.len() > CURSOR_BYTES => Err(Problem::new(Code::Cursor, "")),
            _ => Ok(()),
        }
    }
}
