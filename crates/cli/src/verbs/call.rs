//! `dialmesh call` and `dialmesh cdr`.

use crate::{
    client::{Client, escaped, with_query},
    names,
    output::{self, Form},
    session::Session,
    transfer,
    when::time,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use dialmesh_http::dto::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Calls: those that ended, those that are live, and supervisors in them.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List calls, newest first, those that persons made too; their numbers are masked.
    #[command(
        after_help = "Examples:\n  dialmesh call ls --campaign autumn --limit 20\n  dialmesh call ls --node shenzhen --disposition no_answer --since 1h -o json\n  dialmesh call ls --direction inbound --since 1d"
    )]
    Ls(Box<Ls>),
    /// List calls in which an agent and a person speak now.
    #[command(after_help = "Examples:\n  dialmesh call live\n  dialmesh call live -o json")]
    Live,
    /// Listen to a live call: both are heard, nobody hears you. The audio leg is that of an agent account
    /// of the call's node, on shift and paused. Who listens is audited.
    #[command(
        after_help = "Examples:\n  dialmesh call listen att_0001000000000000000c00000000 --seat boss.shenzhen"
    )]
    Listen(Seated),
    /// Whisper in a live call: the agent hears you, the person never does, no recording has it.
    #[command(
        after_help = "Examples:\n  dialmesh call whisper att_0001000000000000000c00000000 --seat boss.shenzhen"
    )]
    Whisper(Seated),
    /// Barge into a live call: both hear you.
    #[command(
        after_help = "Examples:\n  dialmesh call barge att_0001000000000000000c00000000 --seat boss.shenzhen"
    )]
    Barge(Seated),
    /// Leave a live call that you listen to, whisper in, or barged into.
    #[command(
        after_help = "Examples:\n  dialmesh call leave att_0001000000000000000c00000000 --seat boss.shenzhen"
    )]
    Leave(Seated),
    /// Show a call.
    #[command(after_help = "Examples:\n  dialmesh call show att_0001000000000000000c00000000")]
    Show {
        /// The attempt's id.
        call: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Seated {
    /// The attempt's id, as `dialmesh call live` shows it.
    call: String,
    /// Your agent account (login): its audio leg is yours.
    #[arg(long, value_name = "LOGIN")]
    seat: String,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only of this campaign.
    #[arg(long)]
    campaign: Option<String>,
    /// Only dialed in this city.
    #[arg(long, value_name = "CITY")]
    node: Option<String>,
    /// Only taken by this agent (login).
    #[arg(long)]
    agent: Option<String>,
    /// Only of this lead.
    #[arg(long)]
    lead: Option<String>,
    /// Only outbound (we called) or inbound (a person called one of our numbers).
    #[arg(long, value_parser = ["outbound", "inbound"])]
    direction: Option<String>,
    /// Only with this disposition.
    #[arg(long)]
    disposition: Option<String>,
    #[command(flatten)]
    span: Span,
    /// So many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Span {
    /// Only ended at or after this time (2026-11-21T08:00:00Z), or so long ago (90m, 7d).
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only ended before this time, or so long ago.
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
}

impl Span {
    fn query(&self) -> impl Iterator<Item = (&'static str, String)> {
        let pair = |key, at: Option<Timestamp>| at.map(|at| (key, at.to_string()));
        pair("since", self.since)
            .into_iter()
            .chain(pair("until", self.until))
    }
}

/// Call records.
#[derive(Debug, Subcommand)]
pub(crate) enum Records {
    /// Export call records, oldest first.
    #[command(
        after_help = "Examples:\n  dialmesh cdr export --campaign autumn --file autumn.csv\n  dialmesh cdr export --format ndjson --since 1d | jq .disposition\n  dialmesh cdr export --numbers full --file full.csv"
    )]
    Export(Export),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// csv, or ndjson: one JSON object a line.
    #[arg(long, default_value = "csv", value_parser = ["csv", "ndjson"])]
    format: String,
    /// masked, or full, which needs the role admin and is audited.
    #[arg(long, default_value = "masked", value_parser = ["masked", "full"])]
    numbers: String,
    /// Only of this campaign.
    #[arg(long)]
    campaign: Option<String>,
    #[command(flatten)]
    span: Span,
    /// Where to write them (mode 0600), whole or not at all; standard output when not given.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Ls(args) => ls(*args, session, &client).await,
        Verb::Live => live(session, &client).await,
        Verb::Listen(seated) => supervise(&seated, "listen", session, &client).await,
        Verb::Whisper(seated) => supervise(&seated, "whisper", session, &client).await,
        Verb::Barge(seated) => supervise(&seated, "barge", session, &client).await,
        Verb::Leave(seated) => {
            let path = seat_path(&seated, &client).await?;
            client.delete(&path).await?;
            output::lines(&[format!("{} is out of {}", seated.seat, seated.call)])
        }
        Verb::Show { call } => {
            let call: Value = client.get(&format!("/calls/{}", escaped(&call))).await?;
            session.show(&call)
        }
    }
}

async fn seat_path(seated: &Seated, client: &Client) -> Result<String> {
    let agent = names::id(client, names::AGENT, &seated.seat).await?;
    let call = escaped(&seated.call);
    Ok(format!("/live-calls/{call}/supervisors/{agent}"))
}

async fn supervise(
    seated: &Seated,
    manner: &str,
    session: &Session,
    client: &Client,
) -> Result<()> {
    let path = seat_path(seated, client).await?;
    let shown = client.put(&path, &json!({ "manner": manner })).await?;
    session.show(&shown)
}

async fn live(session: &Session, client: &Client) -> Result<()> {
    let mut live: Value = client.get("/live-calls").await?;
    if session.form() != Form::Table {
        return session.show(&live);
    }
    let silent: Vec<String> = live["silent"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node.as_str().map(str::to_owned))
        .collect();
    let mut rows = live["data"].take();
    for row in rows.as_array_mut().into_iter().flatten() {
        let supervisors = row["supervisors"].as_array().map_or(0, Vec::len);
        row["supervisors"] = supervisors.into();
    }
    names::label(client, &mut rows, "node", names::MEMBER).await?;
    let columns = [
        ("joined", "/joined_at"),
        ("city", "/node"),
        ("agent", "/agent_login"),
        ("number", "/number"),
        ("campaign", "/campaign_name"),
        ("on hold since", "/held_since"),
        ("supervisors", "/supervisors"),
        ("id", "/id"),
    ];
    session.rows(&columns, &rows)?;
    match silent.is_empty() {
        true => Ok(()),
        false => output::lines(&[format!("not answered, not shown: {}", silent.join(", "))]),
    }
}

async fn ls(args: Ls, session: &Session, client: &Client) -> Result<()> {
    let campaign = names::id_if(client, names::CAMPAIGN, args.campaign.as_deref()).await?;
    let node = names::id_if(client, names::MEMBER, args.node.as_deref()).await?;
    let agent = names::id_if(client, names::AGENT, args.agent.as_deref()).await?;
    let given = [
        ("campaign", campaign),
        ("node", node),
        ("agent", agent),
        ("lead", args.lead),
        ("direction", args.direction),
        ("disposition", args.disposition),
    ];
    let mut query: Vec<(&str, String)> = given
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect();
    query.extend(args.span.query());
    let mut rows = client
        .list_some(&with_query("/calls", &query), args.limit)
        .await?;
    if session.form() == Form::Table {
        names::label(client, &mut rows, "node", names::MEMBER).await?;
        names::label(client, &mut rows, "agent", names::AGENT).await?;
        names::label(client, &mut rows, "campaign", names::CAMPAIGN).await?;
    }
    let columns = [
        ("ended", "/ended_at"),
        ("direction", "/direction"),
        ("number", "/number"),
        ("disposition", "/disposition"),
        ("sip", "/sip_status"),
        ("city", "/node"),
        ("agent", "/agent"),
        ("campaign", "/campaign"),
        ("id", "/id"),
    ];
    session.rows(&columns, &rows)
}

pub(crate) async fn records(verb: Records, session: &Session) -> Result<()> {
    let Records::Export(args) = verb;
    let client = session.client()?;
    let campaign = names::id_if(&client, names::CAMPAIGN, args.campaign.as_deref()).await?;
    let mut query = vec![("format", args.format), ("numbers", args.numbers)];
    query.extend(campaign.map(|id| ("campaign", id)));
    query.extend(args.span.query());
    let path = with_query("/call-records/export", &query);
    let size = transfer::download(&client, &path, args.file.as_deref()).await?;
    match args.file {
        Some(file) => output::lines(&[format!("{size} bytes in {}", file.display())]),
        None => Ok(()),
    }
}
