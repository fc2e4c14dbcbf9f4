//! `dialmesh trunk`.

use crate::{
    client::escaped,
    failure::Failure,
    names,
    output::Form,
    secrets,
    session::Session,
    verbs::{Fields, nothing},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use dialmesh_http::dto::{TrunkRequest, Validate};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// Trunks: SIP routes to carriers, each of one city.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a trunk; it is enabled at once.
    #[command(
        after_help = "Examples:\n  dialmesh trunk add sz-ct --node shenzhen --address 203.0.113.7:5060 --channels 60 --cps 10\n  dialmesh trunk add sz-cm --node shenzhen --address 203.0.113.9:5060 --transport tcp --username dm01 --password-file sz-cm.password --register --codecs pcma"
    )]
    Add(Box<Add>),
    /// List the trunks.
    #[command(after_help = "Examples:\n  dialmesh trunk ls")]
    Ls,
    /// Show a trunk; its password is not shown.
    #[command(after_help = "Examples:\n  dialmesh trunk show sz-ct")]
    Show {
        /// Name or id.
        trunk: String,
    },
    /// Change a trunk: only what is given.
    #[command(
        after_help = "Examples:\n  dialmesh trunk set sz-ct --channels 120 --cps 20\n  dialmesh trunk set sz-cm --username dm02 --password-file new.password"
    )]
    Set(Box<Set>),
    /// Let new calls use a trunk.
    #[command(after_help = "Examples:\n  dialmesh trunk enable sz-ct")]
    Enable {
        /// Name or id.
        trunk: String,
    },
    /// Let no new call use a trunk; live calls go on.
    #[command(after_help = "Examples:\n  dialmesh trunk disable sz-ct")]
    Disable {
        /// Name or id.
        trunk: String,
    },
    /// Remove a trunk that no caller ID uses.
    #[command(after_help = "Examples:\n  dialmesh trunk rm sz-ct --yes")]
    Rm {
        /// Name or id.
        trunk: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Unique in the mesh.
    name: String,
    /// The city whose node it belongs to.
    #[arg(long, value_name = "CITY")]
    node: String,
    /// The carrier's IP address and port.
    #[arg(long, value_name = "IP:PORT")]
    address: String,
    /// What carries SIP (udp when not given).
    #[arg(long, value_parser = ["udp", "tcp"])]
    transport: Option<String>,
    /// The domain in request URIs; the address when not given.
    #[arg(long)]
    domain: Option<String>,
    /// The digest user name the carrier gave.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// A file with the digest password; - for standard input.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// REGISTER at the carrier.
    #[arg(long, requires = "username")]
    register: bool,
    /// Calls at a time, at most (30 when not given).
    #[arg(long, value_name = "N")]
    channels: Option<u32>,
    /// New calls a second, at most (5 when not given).
    #[arg(long, value_name = "N")]
    cps: Option<u32>,
    /// Codecs offered, in order (pcmu,pcma when not given).
    #[arg(long, value_delimiter = ',', value_parser = ["pcmu", "pcma"])]
    codecs: Vec<String>,
    /// How the carrier wants numbers: plus_e164 (+8675512345678; the default) or e164 (8675512345678).
    #[arg(long, value_parser = ["plus_e164", "e164"])]
    number_format: Option<String>,
    /// How often OPTIONS asks whether it lives (30s when not given; 0s for never).
    #[arg(long, value_parser = service::config::parse_duration)]
    options_interval: Option<Duration>,
    /// Lower goes first within a city.
    #[arg(long)]
    rank: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name or id.
    trunk: String,
    /// The carrier's IP address and port.
    #[arg(long, value_name = "IP:PORT")]
    address: Option<String>,
    /// The digest user name the carrier gave.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// A file with the digest password; - for standard input.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Calls at a time, at most.
    #[arg(long, value_name = "N")]
    channels: Option<u32>,
    /// New calls a second, at most.
    #[arg(long, value_name = "N")]
    cps: Option<u32>,
    /// Lower goes first within a city.
    #[arg(long)]
    rank: Option<u16>,
}

const COLUMNS: [(&str, &str); 10] = [
    ("name", "/name"),
    ("city", "/node"),
    ("address", "/address"),
    ("transport", "/transport"),
    ("channels", "/channels"),
    ("cps", "/calls_per_second"),
    ("codecs", "/codecs"),
    ("register", "/register"),
    ("enabled", "/enabled"),
    ("id", "/id"),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    let path = async |trunk: &str| -> Result<String> {
        let id = names::id(&client, names::TRUNK, trunk).await?;
        Ok(format!("/trunks/{}", escaped(&id)))
    };
    match verb {
        Verb::Add(args) => {
            let node = names::id(&client, names::MEMBER, &args.node).await?;
            let request = request(*args, node)?;
            session.show(&client.post("/trunks", &request).await?)
        }
        Verb::Ls => {
            let mut rows = client.list("/trunks").await?;
            if session.form() == Form::Table {
                names::label(&client, &mut rows, "node", names::MEMBER).await?;
            }
            session.rows(&COLUMNS, &rows)
        }
        Verb::Show { trunk } => session.show(&client.get(&path(&trunk).await?).await?),
        Verb::Set(args) => {
            let changes = changes(&args)?;
            session.show(&client.patch(&path(&args.trunk).await?, &changes).await?)
        }
        Verb::Enable { trunk } => {
            client
                .patch(&path(&trunk).await?, &json!({"enabled": true}))
                .await?;
            session.done(&format!("{trunk} is enabled"))
        }
        Verb::Disable { trunk } => {
            client
                .patch(&path(&trunk).await?, &json!({"enabled": false}))
                .await?;
            session.done(&format!("{trunk} takes no new call"))
        }
        Verb::Rm { trunk } => {
            let path = path(&trunk).await?;
            session.confirm(&format!("remove the trunk {trunk}"))?;
            client.delete(&path).await?;
            session.done(&format!("{trunk} is removed"))
        }
    }
}

fn credentials(username: Option<&String>, file: Option<&PathBuf>) -> Result<Option<Value>> {
    match (username, file) {
        (Some(username), Some(file)) => {
            let password = secrets::read(file)?;
            Ok(Some(
                json!({"username": username, "password": password.expose()}),
            ))
        }
        _ => Ok(None),
    }
}

fn request(args: Add, node: String) -> Result<TrunkRequest> {
    let mut fields = Fields::default();
    fields.put(
        "auth",
        credentials(args.username.as_ref(), args.password_file.as_ref())?,
    )?;
    fields.put("name", Some(args.name))?;
    fields.put("node", Some(node))?;
    fields.put("address", Some(args.address))?;
    fields.put("transport", args.transport)?;
    fields.put("domain", args.domain)?;
    fields.put("register", args.register.then_some(true))?;
    fields.put("channels", args.channels)?;
    fields.put("calls_per_second", args.cps)?;
    fields.put("codecs", (!args.codecs.is_empty()).then_some(args.codecs))?;
    fields.put("number_format", args.number_format)?;
    fields.put(
        "options_interval_seconds",
        args.options_interval.map(|every| every.as_secs()),
    )?;
    fields.put("rank", args.rank)?;
    let request: TrunkRequest = serde_json::from_value(fields.object())?;
    match request.validate().first() {
        None => Ok(request),
        Some(wrong) => {
            let field = wrong.pointer.trim_start_matches('/').replace('/', ".");
            Err(Failure::usage(format!("{field} {}", wrong.message)).into())
        }
    }
}

fn changes(args: &Set) -> Result<Value> {
    let mut fields = Fields::default();
    fields.put(
        "auth",
        credentials(args.username.as_ref(), args.password_file.as_ref())?,
    )?;
    fields.put("address", args.address.as_ref())?;
    fields.put("channels", args.channels)?;
    fields.put("calls_per_second", args.cps)?;
    fields.put("rank", args.rank)?;
    match fields.object() {
        Value::Object(map) if map.is_empty() => Err(nothing("trunk set").into()),
        changes => Ok(changes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    fn add(more: &[&str]) -> Result<TrunkRequest> {
        let line = ["t", "add", "ct", "--node", "mem_00000002", "--address"];
        let line = Line::try_parse_from(line.iter().chain(more))?;
        match line.verb {
            Verb::Add(args) => request(*args, "mem_00000002".to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trunk_is_what_was_given_and_defaults() {
        let trunk = add(&["203.0.113.7:5060", "--codecs", "pcma,pcmu", "--cps", "9"]).unwrap();
        assert_eq!(
            (trunk.calls_per_second, trunk.channels, trunk.codecs.len()),
            (9, 30, 2)
        );
        assert_eq!(trunk.codecs[0], domain::Codec::Pcma);
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_sent() {
        let text = add(&["carrier.example"]).unwrap_err().to_string();
        assert!(
            text.contains("address") && text.contains("203.0.113.7:5060"),
            "{text}"
        );
        for wrong in [
            ["--codecs", "g729"],
            ["--username", "u"],
            ["--register", "--rank"],
        ] {
            assert!(
                add(&[&["203.0.113.7:5060"], &wrong[..]].concat()).is_err(),
                "{wrong:?}"
            );
        }
    }
}
