//! `dialmesh region`.

use crate::{
    client::Client,
    names,
    output::{self, Form},
    session::Session,
    verbs::{homes, pair, voters},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Regions: the units of lead ownership, and which numbers are at home in which.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a region.
    #[command(after_help = "Examples:\n  dialmesh region add south")]
    Add {
        /// Unique in the mesh.
        name: String,
    },
    /// List the regions.
    #[command(after_help = "Examples:\n  dialmesh region ls")]
    Ls,
    /// Show what is asked of a region's group, or change it.
    #[command(
        after_help = "Examples:\n  dialmesh region policy south\n  dialmesh region policy south --legal-domain cn\n  dialmesh region policy south --failover beijing --failover shanghai"
    )]
    Policy(voters::Policy),
    /// Show the map from numbers to home regions, or set it before the first import.
    #[command(
        after_help = "Examples:\n  dialmesh region rules\n  dialmesh region rules set --default south --city Beijing=north --prefix 86755=south"
    )]
    Rules(Rules),
    /// Change the map once leads lie by it: plan, look, move.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh region homes plan homes.json --dry-run\n  dialmesh region homes apply\n  dialmesh region homes status"
    )]
    Homes(homes::Verb),
}

#[derive(Debug, Args)]
pub(crate) struct Rules {
    #[command(subcommand)]
    verb: Option<RulesVerb>,
}

/// What to do with the map.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// Set the whole map, before the first import; then `region homes` moves leads. The longest prefix wins over a city, a city over a province, a province over a country.
    #[command(
        after_help = "Examples:\n  dialmesh region rules set --default south\n  dialmesh region rules set --default east --city Shenzhen=south --province Hebei=north --country HK=south --prefix 86755=south"
    )]
    Set(Set),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The region of every number that no other rule matches.
    #[arg(long, value_name = "REGION")]
    default: String,
    /// The region of a country by its ISO 3166 code (CN=south); may be repeated.
    #[arg(long, value_name = "CODE=REGION", value_parser = pair)]
    country: Vec<(String, String)>,
    /// The region of a state or province by its English name; may be repeated.
    #[arg(long, value_name = "NAME=REGION", value_parser = pair)]
    province: Vec<(String, String)>,
    /// The region of a city by its English name; may be repeated.
    #[arg(long, value_name = "NAME=REGION", value_parser = pair)]
    city: Vec<(String, String)>,
    /// The region of numbers beginning with these digits (86755=south); may be repeated.
    #[arg(long, value_name = "DIGITS=REGION", value_parser = pair)]
    prefix: Vec<(String, String)>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = match verb {
        // Its files are looked at before anybody is asked.
        Verb::Homes(verb) => return homes::run(verb, session).await,
        _ => session.client()?,
    };
    match verb {
        Verb::Homes(_) => Ok(()),
        Verb::Add { name } => session.show(&client.post("/regions", &json!({"name": name})).await?),
        Verb::Ls => {
            let rows = client.list("/regions").await?;
            session.rows(&[("name", "/name"), ("id", "/id")], &rows)
        }
        Verb::Policy(change) => voters::policy(session, &change).await,
        Verb::Rules(Rules { verb: None }) => {
            let map: Value = client.get("/home-rules").await?;
            show(session, &client, map).await
        }
        Verb::Rules(Rules {
            verb: Some(RulesVerb::Set(args)),
        }) => {
            let map = rules(&client, &args).await?;
            let map = client.put("/home-rules", &map).await?;
            show(session, &client, map).await
        }
    }
}

async fn rules(client: &Client, args: &Set) -> Result<Value> {
    let region = names::id(client, names::REGION, &args.default).await?;
    let mut rules = vec![json!({"when": "default", "region": region})];
    let kinds = [
        ("country", &args.country),
        ("province", &args.province),
        ("city", &args.city),
        ("prefix", &args.prefix),
    ];
    for (kind, pairs) in kinds {
        for (value, region) in pairs {
            let region = names::id(client, names::REGION, region).await?;
            let value = if kind == "prefix" {
                value.trim_start_matches('+')
            } else {
                value
            };
            rules.push(json!({"when": {kind: value}, "region": region}));
        }
    }
    Ok(json!({"rules": rules}))
}

async fn show(session: &Session, client: &Client, map: Value) -> Result<()> {
    if session.form() != Form::Table {
        return session.show(&map);
    }
    let mut rows: Value = map["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| {
            let (kind, value) = match &rule["when"] {
                Value::Object(when) => when
                    .iter()
                    .next()
                    .map_or((String::new(), String::new()), |(k, v)| {
                        (k.clone(), output::plain(v))
                    }),
                other => (output::plain(other), String::new()),
            };
            json!({"kind": kind, "value": value, "region": rule["region"]})
        })
        .collect();
    names::label(client, &mut rows, "region", names::REGION).await?;
    session.rows(
        &[("when", "/kind"), ("is", "/value"), ("region", "/region")],
        &rows,
    )
}
