//! `dialmesh explain`.

use crate::{failure::Failure, output, output::Form, session::Session};
use anyhow::Result;
use call::AgentError;
use clap::Args;
use dialmesh_http::problem::Code;
use serde_json::{Value, json};

/// What an error code means and what to do.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code (DM2401); every code when none is given.
    code: Option<String>,
}

struct Page {
    code: &'static str,
    title: &'static str,
    remedy: &'static str,
    place: String,
}

fn pages() -> Vec<Page> {
    let api = Code::ALL.iter().map(|code| Page {
        code: code.code(),
        title: code.title(),
        remedy: code.remedy(),
        place: format!("HTTP, status {}", code.status().as_u16()),
    });
    let agents = AgentError::ALL.iter().map(|error| {
        let page = error.page();
        let place = "an agent's desktop".to_owned();
        Page {
            code: page.code,
            title: page.what,
            remedy: page.remedy,
            place,
        }
    });
    api.chain(agents).collect()
}

fn object(page: &Page) -> Value {
    json!({"code": page.code, "title": page.title, "remedy": page.remedy, "place": page.place})
}

fn find(asked: &str) -> Result<Page, Failure> {
    let digits = asked.trim().to_uppercase();
    let code = format!("DM{}", digits.trim_start_matches("DM"));
    pages()
        .into_iter()
        .find(|page| page.code == code)
        .ok_or_else(|| {
            Failure::usage(format!(
                "{asked:?} is not a code of this release; `dialmesh explain` lists them"
            ))
        })
}

pub(crate) fn run(args: &Explain, session: &Session) -> Result<()> {
    let Some(asked) = &args.code else {
        let rows = pages().iter().map(object).collect();
        return session.rows(
            &[("code", "/code"), ("title", "/title")],
            &Value::Array(rows),
        );
    };
    let page = find(asked)?;
    // A page of text is for people: programs ask for a form.
    match session.output {
        Some(form) if form != Form::Table => output::one(form, &object(&page)),
        _ => output::lines(&[
            format!("{}  {}", page.code, page.title),
            String::new(),
            format!("Seen at:     {}", page.place),
            format!("What to do:  {}", page.remedy),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_found_as_people_write_them() {
        for asked in ["DM2401", "dm2401", "2401", " DM2401 "] {
            assert_eq!(find(asked).map(|page| page.code).unwrap(), "DM2401");
        }
        assert_eq!(find("3001").map(|page| page.code).unwrap(), "DM3001");
        assert!(find("DM9999").is_err_and(|e| e.to_string().contains("DM9999")));
    }

    #[test]
    fn no_code_means_two_things() {
        let all = pages();
        let codes: BTreeSet<_> = all.iter().map(|page| page.code).collect();
        assert_eq!(codes.len(), all.len());
    }
}
