//! `dialmesh agent`.

use crate::{
    client::{Client, escaped},
    names,
    output::Form,
    secrets::SecretFile,
    session::Session,
    verbs::{Fields, nothing},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Agents: who talks.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make an agent. The phone's password and the desktop's token are shown this once.
    #[command(
        after_help = "Examples:\n  dialmesh agent create li.na --node shenzhen --name \"Li Na\" --secrets-file li.na.json\n  dialmesh agent create li.na --node shenzhen --campaign autumn --campaign winter"
    )]
    Create(Create),
    /// List the agents.
    #[command(after_help = "Examples:\n  dialmesh agent ls\n  dialmesh agent ls --node shenzhen")]
    Ls {
        /// Only of this city.
        #[arg(long, value_name = "CITY")]
        node: Option<String>,
    },
    /// Show an agent.
    #[command(after_help = "Examples:\n  dialmesh agent show li.na")]
    Show {
        /// Login or id.
        agent: String,
    },
    /// Change an agent's name or campaigns.
    #[command(after_help = "Examples:\n  dialmesh agent set li.na --campaign winter")]
    Set {
        /// Login or id.
        agent: String,
        /// The name others see.
        #[arg(long)]
        name: Option<String>,
        /// The campaigns they take calls of, in place of those before; may be repeated.
        #[arg(long)]
        campaign: Vec<String>,
    },
    /// Let an agent sign in again.
    #[command(after_help = "Examples:\n  dialmesh agent enable li.na")]
    Enable {
        /// Login or id.
        agent: String,
    },
    /// Take everything from an agent at once: desktop, phone and calls to come.
    #[command(after_help = "Examples:\n  dialmesh agent disable li.na --yes")]
    Disable {
        /// Login or id.
        agent: String,
    },
    /// Give an agent's desktop a new token; the old one ends.
    #[command(after_help = "Examples:\n  dialmesh agent token li.na --secrets-file li.na.json")]
    Token {
        /// Login or id.
        agent: String,
        /// Write it into a new file of mode 0600 instead of printing it.
        #[arg(long, value_name = "FILE")]
        secrets_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// 1 to 32 of a-z, 0-9, hyphen, underscore and dot; also the phone's user name.
    login: String,
    /// The city whose node the phone registers at.
    #[arg(long, value_name = "CITY")]
    node: String,
    /// The name others see; the login when not given.
    #[arg(long)]
    name: Option<String>,
    /// A campaign they take calls of; may be repeated.
    #[arg(long)]
    campaign: Vec<String>,
    /// Write password and token as JSON into a new file of mode 0600 instead of printing them.
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Create(args) => create(args, session, &client).await,
        Verb::Ls { node } => {
            let node = names::id_if(&client, names::MEMBER, node.as_deref()).await?;
            let mut rows = client.list("/agents").await?;
            if let (Some(rows), Some(node)) = (rows.as_array_mut(), node) {
                rows.retain(|agent| agent["node"] == node.as_str());
            }
            if session.form() == Form::Table {
                names::label(&client, &mut rows, "node", names::MEMBER).await?;
                names::label(&client, &mut rows, "campaigns", names::CAMPAIGN).await?;
            }
            let columns = [
                ("login", "/login"),
                ("name", "/name"),
                ("city", "/node"),
                ("campaigns", "/campaigns"),
                ("enabled", "/enabled"),
                ("id", "/id"),
            ];
            session.rows(&columns, &rows)
        }
        Verb::Show { agent } => session.show(&client.get(&path(&client, &agent).await?).await?),
        Verb::Set {
            agent,
            name,
            campaign,
        } => {
            if name.is_none() && campaign.is_empty() {
                return Err(nothing("agent set").into());
            }
            let campaigns = names::ids(&client, names::CAMPAIGN, &campaign).await?;
            let mut fields = Fields::default();
            fields.put("name", name)?;
            fields.put("campaigns", (!campaigns.is_empty()).then_some(campaigns))?;
            session.show(
                &client
                    .patch(&path(&client, &agent).await?, &fields.object())
                    .await?,
            )
        }
        Verb::Enable { agent } => enable(session, &client, &agent, true).await,
        Verb::Disable { agent } => {
            session.confirm(&format!("end the shift of {agent} and lock the account"))?;
            enable(session, &client, &agent, false).await
        }
        Verb::Token {
            agent,
            secrets_file,
        } => {
            let path = path(&client, &agent).await? + "/token";
            let file = secrets_file
                .as_deref()
                .map(SecretFile::create)
                .transpose()?;
            let issued = client.act(&path).await?;
            match file {
                Some(file) => {
                    file.write(&serde_json::to_string_pretty(&issued)?)?;
                    session.done(&format!("{agent} has a new token"))
                }
                None => session.show(&issued),
            }
        }
    }
}

async fn path(client: &Client, agent: &str) -> Result<String> {
    Ok(format!(
        "/agents/{}",
        escaped(&names::id(client, names::AGENT, agent).await?)
    ))
}

async fn enable(session: &Session, client: &Client, agent: &str, enabled: bool) -> Result<()> {
    client
        .patch(&path(client, agent).await?, &json!({"enabled": enabled}))
        .await?;
    session.done(&format!(
        "{agent} is {}",
        if enabled { "enabled" } else { "disabled" }
    ))
}

async fn create(args: Create, session: &Session, client: &Client) -> Result<()> {
    let node = names::id(client, names::MEMBER, &args.node).await?;
    let campaigns = names::ids(client, names::CAMPAIGN, &args.campaign).await?;
    let file = args
        .secrets_file
        .as_deref()
        .map(SecretFile::create)
        .transpose()?;
    let name = args.name.as_ref().unwrap_or(&args.login);
    let body = json!({"login": args.login, "name": name, "node": node, "campaigns": campaigns});
    let made = client.post("/agents", &body).await?;
    let agent = made
        .get("agent")
        .context("the coordinator's answer has no agent")?;
    let Some(file) = file else {
        return session.show(&made);
    };
    let secrets = json!({
        "login": args.login,
        "node": args.node,
        "sip_password": made["sip_password"],
        "token": made["token"],
    });
    let written: Result<()> = file.write(&serde_json::to_string_pretty::<Value>(&secrets)?);
    written.context("the agent was made, but its secrets are lost; disable it and make another")?;
    session.show(agent)
}
