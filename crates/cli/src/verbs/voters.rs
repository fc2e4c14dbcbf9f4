//! `dialmesh coordinator voters` and `dialmesh region policy`.

use crate::{client::escaped, names, session::Session};
use anyhow::Result;
use clap::Args;
use dialmesh_http::dto::VoterSettings;
use serde_json::{Value, json};
use std::time::Duration;

/// What is to be changed; nothing shows what is.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Voters of a group: 3 or 5.
    #[arg(long, value_name = "N")]
    wanted: Option<u8>,
    /// How long a voter may be silent before another takes its place; 10s to 24h.
    #[arg(long, value_parser = service::config::parse_duration)]
    grace: Option<Duration>,
    /// How long a member must be there without a break before it votes; 1s to 1h.
    #[arg(long, value_parser = service::config::parse_duration)]
    stable: Option<Duration>,
}

pub(crate) async fn settings(session: &Session, change: &Settings) -> Result<()> {
    let client = session.client()?;
    let mut settings: VoterSettings = client.get("/voters").await?;
    let before = settings;
    settings.voters = change.wanted.unwrap_or(settings.voters);
    let seconds = |time: Option<Duration>, now| time.map_or(now, |time| time.as_secs());
    settings.grace_seconds = seconds(change.grace, settings.grace_seconds);
    settings.stable_seconds = seconds(change.stable, settings.stable_seconds);
    if settings != before {
        let wanted = serde_json::to_value(settings)?;
        settings = serde_json::from_value(client.put("/voters", &wanted).await?)?;
    }
    session.show(&serde_json::to_value(settings)?)
}

/// Where a region's data stays.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    /// Name or id of the region.
    region: String,
    /// Only members of this legal domain (`[place] legal_domain` of their configuration) hold its data.
    #[arg(long, value_name = "NAME", conflicts_with = "any_legal_domain")]
    legal_domain: Option<String>,
    /// Any member may hold its data.
    #[arg(long)]
    any_legal_domain: bool,
    /// A node of another region that dials this one's leads while its own nodes are gone; may be repeated, up to 8.
    #[arg(long, value_name = "NODE", conflicts_with = "no_failover")]
    failover: Vec<String>,
    /// Nobody else dials its leads.
    #[arg(long)]
    no_failover: bool,
}

pub(crate) async fn policy(session: &Session, change: &Policy) -> Result<()> {
    let client = session.client()?;
    let id = names::id(&client, names::REGION, &change.region).await?;
    let path = format!("/regions/{}/policy", escaped(&id));
    let mut policy: Value = client.get(&path).await?;
    let before = policy.clone();
    if change.legal_domain.is_some() || change.any_legal_domain {
        policy["legal_domain"] = json!(change.legal_domain);
    }
    if !change.failover.is_empty() || change.no_failover {
        let mut nodes = Vec::new();
        for node in &change.failover {
            nodes.push(names::id(&client, names::MEMBER, node).await?);
        }
        policy["failover"] = json!(nodes);
    }
    if policy != before {
        policy = client.put(&path, &policy).await?;
    }
    session.show(&policy)
}
