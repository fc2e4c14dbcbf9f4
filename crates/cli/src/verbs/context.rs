//! `dialmesh context`.

use crate::{
    context::{Context, Contexts, check_url},
    failure::Failure,
    secrets,
    session::Session,
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Which meshes this user speaks to.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Enter a mesh and make it the current one.
    #[command(
        after_help = "Examples:\n  dialmesh context add home --url http://127.0.0.1:7480 --token-file admin.token\n  ssh hq cat admin.token | dialmesh context add hq --url http://127.0.0.1:17480 --token-file -"
    )]
    Add {
        /// What to call it.
        name: String,
        /// The admin API of its coordinator, http://HOST:PORT.
        #[arg(long)]
        url: String,
        /// A file with an API token; - for standard input.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Choose the mesh that commands speak to.
    #[command(after_help = "Examples:\n  dialmesh context use home")]
    Use {
        /// Its name.
        name: String,
    },
    /// List the meshes; tokens are not shown.
    #[command(after_help = "Examples:\n  dialmesh context ls\n  dialmesh context ls -o json")]
    Ls,
    /// Forget a mesh and its token.
    #[command(after_help = "Examples:\n  dialmesh context rm old --yes")]
    Rm {
        /// Its name.
        name: String,
    },
}

fn known(contexts: &Contexts, name: &str) -> Result<(), Failure> {
    if contexts.context.contains_key(name) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "there is no context {name:?} ({})",
        contexts.known()
    )))
}

pub(crate) fn run(verb: Verb, session: &Session) -> Result<()> {
    let mut contexts = Contexts::load()?;
    match verb {
        Verb::Add {
            name,
            url,
            token_file,
        } => {
            let url = check_url(&url)?;
            let token = secrets::read(&token_file)?;
            contexts.enter(&name, Context { url, token });
            let path = contexts.save()?;
            session.done(&format!(
                "{name} is the current context ({})",
                path.display()
            ))
        }
        Verb::Use { name } => {
            known(&contexts, &name)?;
            contexts.current.clone_from(&name);
            contexts.save()?;
            session.done(&format!("{name} is the current context"))
        }
        Verb::Ls => {
            let rows: Vec<Value> = contexts
                .context
                .iter()
                .map(|(name, context)| {
                    let mark = if *name == contexts.current { "*" } else { "" };
                    let current = *name == contexts.current;
                    json!({"name": name, "url": context.url, "current": current, "mark": mark})
                })
                .collect();
            session.rows(
                &[("", "/mark"), ("name", "/name"), ("url", "/url")],
                &Value::Array(rows),
            )
        }
        Verb::Rm { name } => {
            known(&contexts, &name)?;
            session.confirm(&format!("forget {name} and its token"))?;
            contexts.context.remove(&name);
            if contexts.current == name {
                contexts.current.clear();
            }
            contexts.save()?;
            session.done(&format!("{name} is forgotten"))
        }
    }
}
