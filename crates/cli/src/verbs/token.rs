//! `dialmesh token`: join tokens of nodes and tokens of the admin API.

use crate::{
    client::{Client, escaped},
    failure::Failure,
    names,
    output::{self, Form},
    secrets::SecretFile,
    session::Session,
    verbs::Fields,
};
use anyhow::{Context, Result};
use clap::{ArgGroup, Args, Subcommand};
use dialmesh_http::auth::Role;
use serde_json::{Value, json};
use std::{path::PathBuf, str::FromStr, time::Duration};

/// Tokens: for a node to join with, or for programs and people to use the admin API with.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a token; it is shown this once. With --region a node may join with it, with --role it opens the API.
    #[command(
        after_help = "Examples:\n  dialmesh token create --region south --name shenzhen --ttl 24h --token-file shenzhen.token\n  dialmesh token create --region south --name shenzhen | ssh shenzhen dialmesh node join --config node.toml --coordinator 192.0.2.1:7401 --token-file -\n  dialmesh token create --role monitor --name prometheus --ttl 90d"
    )]
    Create(Create),
    /// List the tokens that have not ended; the tokens themselves are not kept.
    #[command(after_help = "Examples:\n  dialmesh token ls")]
    Ls,
    /// End a token.
    #[command(after_help = "Examples:\n  dialmesh token revoke tok_00000003 --yes")]
    Revoke {
        /// Its id in `dialmesh token ls`.
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("purpose").required(true).args(["region", "role"]))]
pub(crate) struct Create {
    /// A token with which one node may join, to dial for this region.
    #[arg(long)]
    region: Option<String>,
    /// A token of the admin API: monitor, supervisor or admin.
    #[arg(long, value_parser = Role::from_str)]
    role: Option<Role>,
    /// The node's name (the region's when not given), or what the API token is called.
    #[arg(long, required_unless_present = "region")]
    name: Option<String>,
    /// How long it may be used: 1m to 24h to join (1h when not given), to 366d for the API (90d).
    #[arg(long, value_parser = service::config::parse_duration)]
    ttl: Option<Duration>,
    /// Write the token into a new file of mode 0600 instead of printing it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

const JOIN: &str = "/join-tokens";
const API: &str = "/tokens";

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Create(args) => create(args, session, &client).await,
        Verb::Ls => {
            let mut rows = all(&client).await?;
            if session.form() == Form::Table {
                names::label(&client, &mut rows, "region", names::REGION).await?;
            }
            let columns = [
                ("id", "/id"),
                ("kind", "/kind"),
                ("role", "/role"),
                ("name", "/name"),
                ("region", "/region"),
                ("expires", "/expires_at"),
                ("used", "/used"),
            ];
            session.rows(&columns, &rows)
        }
        Verb::Revoke { id } => {
            let rows = all(&client).await?;
            let found = rows
                .as_array()
                .into_iter()
                .flatten()
                .find(|row| row["id"] == id.as_str());
            let found = found.ok_or_else(|| {
                Failure::usage(format!(
                    "there is no token {id:?}; `dialmesh token ls` lists them"
                ))
            })?;
            let name = output::plain(&found["name"]);
            session.confirm(&format!("end the token {id} of {name}"))?;
            let path = if found["kind"] == "join" { JOIN } else { API };
            client.delete(&format!("{path}/{}", escaped(&id))).await?;
            session.done(&format!("the token {id} has ended"))
        }
    }
}

/// Tokens of both kinds, each with its kind.
async fn all(client: &Client) -> Result<Value> {
    let mut rows = Vec::new();
    for (kind, path) in [("join", JOIN), ("api", API)] {
        for mut row in client
            .list(path)
            .await?
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default()
        {
            row["kind"] = json!(kind);
            rows.push(row);
        }
    }
    Ok(Value::Array(rows))
}

async fn create(args: Create, session: &Session, client: &Client) -> Result<()> {
    let mut fields = Fields::default();
    fields.put("ttl_seconds", args.ttl.map(|ttl| ttl.as_secs()))?;
    let path = match args.region {
        Some(region) => {
            fields.put("role", Some("node"))?;
            fields.put(
                "region",
                Some(names::id(client, names::REGION, &region).await?),
            )?;
            fields.put("name", args.name.or(Some(region)))?;
            JOIN
        }
        None => {
            fields.put("role", args.role)?;
            fields.put("name", args.name)?;
            API
        }
    };
    let file = args
        .token_file
        .as_deref()
        .map(SecretFile::create)
        .transpose()?;
    let mut made = client.post(path, &fields.object()).await?;
    let token = made
        .get("token")
        .and_then(Value::as_str)
        .context("the coordinator's answer has no token")?
        .to_owned();
    match file {
        Some(file) => {
            file.write(&token)?;
            if let Some(fields) = made.as_object_mut() {
                fields.remove("token");
            }
            session.show(&made)
        }
        // The bare token on standard output can be piped; the rest is for the person.
        None if session.output.is_none_or(|form| form == Form::Table) => {
            let (id, until) = (
                output::plain(&made["id"]),
                output::plain(&made["expires_at"]),
            );
            eprintln!("Token {id}, good until {until}. It is shown this once:");
            output::lines(&[token])
        }
        None => session.show(&made),
    }
}
