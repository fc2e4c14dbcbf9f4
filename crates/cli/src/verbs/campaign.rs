//! `dialmesh campaign`.

use crate::{
    client::{Client, escaped},
    failure::Failure,
    names,
    output::{self, Form},
    session::Session,
    verbs::{Fields, campaign_learned, nothing, pair},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dialmesh_http::dto::{CampaignSettings, Retry, Validate};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Campaigns.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a campaign. It dials nothing before `campaign start`.
    #[command(
        after_help = "Examples:\n  dialmesh campaign create autumn --rule-pack china\n  dialmesh campaign create autumn --rule-pack us-federal --pacing ratio --dial-level 1.5 --ring-limit 25s --retry no_answer=1h:3 --retry busy=10m\n  dialmesh campaign create autumn --file autumn.json --region south\n  dialmesh campaign create autumn --rule-pack us-federal --pacing predictive --dial-level 3 --target-abandonment 2 --inbound-agents 2 --ramp-up 10m --ramp-down 5m"
    )]
    Create(Box<Create>),
    /// Change a campaign's settings; what is not given stays as it is.
    #[command(
        after_help = "Examples:\n  dialmesh campaign set autumn --answering-machines hang_up\n  dialmesh campaign set autumn --pacing ratio --dial-level 1.5 --ring-limit 25s\n  dialmesh campaign set autumn --inbound-agents 2 --ramp-up 10m --ramp-down 5m\n  dialmesh campaign set autumn --target-abandonment 2.5\n  dialmesh campaign set autumn --target-abandonment off --inbound-agents 0 --ramp-up 0s\n  dialmesh campaign set autumn-north --drop-rate-group autumn"
    )]
    Set(Box<Set>),
    /// List the campaigns.
    #[command(after_help = "Examples:\n  dialmesh campaign ls\n  dialmesh campaign ls -o json")]
    Ls,
    /// Show a campaign's settings.
    #[command(
        after_help = "Examples:\n  dialmesh campaign show autumn\n  dialmesh campaign show autumn -o json > autumn.json"
    )]
    Show(Named),
    /// Start dialing, or go on after a pause.
    #[command(after_help = "Examples:\n  dialmesh campaign start autumn")]
    Start(Named),
    /// Make no new attempts; live calls go on.
    #[command(after_help = "Examples:\n  dialmesh campaign pause autumn")]
    Pause(Named),
    /// End a campaign for good.
    #[command(after_help = "Examples:\n  dialmesh campaign stop autumn --yes")]
    Stop(Named),
    /// Show leads, attempts, dispositions and abandonment, and what was learned of who answers when.
    #[command(
        after_help = "Examples:\n  dialmesh campaign stats autumn\n  dialmesh campaign stats autumn -o json"
    )]
    Stats(Named),
    /// Show what keeps each city from more lines: a lever, the abandonment budget, or what is short.
    #[command(
        after_help = "Examples:\n  dialmesh campaign explain autumn\n  dialmesh campaign explain autumn -o json"
    )]
    Explain(Named),
    /// Show what local caller IDs are worth: how often dials with one and dials held out are answered, by
    /// region, with the difference and its 95 % confidence interval.
    #[command(
        after_help = "Examples:\n  dialmesh campaign set autumn --hold-out 5\n  dialmesh campaign report autumn\n  dialmesh campaign report autumn -o json"
    )]
    Report(Named),
    /// Show why leads are not dialed now: how many each rule holds back, and until when.
    #[command(after_help = "Examples:\n  dialmesh campaign why-idle autumn")]
    WhyIdle(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Name or id.
    campaign: String,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Unique among campaigns that are not stopped.
    name: String,
    /// The rules of the land: us-federal, china.
    #[arg(long, required_unless_present = "file")]
    rule_pack: Option<String>,
    /// A JSON object of settings, as `campaign show -o json` prints; flags go before it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name or id.
    campaign: String,
    #[command(flatten)]
    flags: Flags,
}

/// The campaign with which abandonments are counted, by its id, where the flag is given.
async fn group(client: &Client, flags: &Flags) -> Result<Option<Value>> {
    Ok(match flags.drop_rate_group.as_deref() {
        None => None,
        Some("off") => Some(Value::Null),
        Some(named) => Some(json!(names::id(client, names::CAMPAIGN, named).await?)),
    })
}

/// What both may say.
#[derive(Debug, Args)]
struct Flags {
    /// Only this region's nodes dial it; may be repeated. All when none was ever given.
    #[arg(long)]
    region: Vec<String>,
    /// How lines are launched (progressive when not given).
    #[arg(long, value_parser = ["progressive", "ratio", "predictive"])]
    pacing: Option<String>,
    /// Lines for each ready agent with --pacing ratio, 1.0 to 10.0.
    #[arg(long, requires = "pacing")]
    dial_level: Option<f64>,
    /// How long to let it ring, 15s to 2m.
    #[arg(long, value_parser = service::config::parse_duration)]
    ring_limit: Option<Duration>,
    /// How long a call may last, 1m to 4h.
    #[arg(long, value_parser = service::config::parse_duration)]
    talk_limit: Option<Duration>,
    /// How long an answered person may wait for an agent, 0s to 10s.
    #[arg(long, value_parser = service::config::parse_duration)]
    answer_limit: Option<Duration>,
    /// How long wrap-up may last, 1s to 1h.
    #[arg(long, value_parser = service::config::parse_duration)]
    wrap_up_limit: Option<Duration>,
    /// Attempts at a lead in all, 1 to 100.
    #[arg(long, value_name = "N")]
    attempts: Option<u16>,
    /// When to try again after a result: no_answer=1h, or no_answer=1h:3 for 3 attempts in all; may be repeated.
    #[arg(long, value_name = "RESULT=DELAY[:ATTEMPTS]", value_parser = retry)]
    retry: Vec<RetryFlag>,
    /// Dial nobody without consent, whatever the rule pack says; --requires-consent=false takes it back.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    requires_consent: Option<bool>,
    /// What to do about answering machines (off when not given): with hang_up who answers is listened to
    /// before an agent is given, and machines and fax are hung up on.
    #[arg(long, value_parser = ["off", "hang_up"])]
    answering_machines: Option<String>,
    /// Which calls to record (off when not given): with all each joined call is. Needs a recording key.
    #[arg(long, value_parser = ["off", "all"])]
    recording: Option<String>,
    /// The share of live answers to let down with --pacing predictive, in percent from 0.1, where it is
    /// less than the rule pack's budget; off aims at the budget.
    #[arg(long, value_name = "PERCENT|off", value_parser = target)]
    target_abandonment: Option<Target>,
    /// Ready agents of each city who are left to inbound calls, 0 to 5000.
    #[arg(long, value_name = "N")]
    inbound_agents: Option<u32>,
    /// How long the dial level rises from one line an agent at the begin of a shift, 0s to 4h.
    #[arg(long, value_parser = service::config::parse_duration)]
    ramp_up: Option<Duration>,
    /// How long it falls to one line an agent before the calling window closes, 0s to 4h.
    #[arg(long, value_parser = service::config::parse_duration)]
    ramp_down: Option<Duration>,
    /// Count abandonments together with that campaign's, in one budget, by name or id; off for a budget
    /// of its own. Fixed once the campaign was started.
    #[arg(long, value_name = "CAMPAIGN|off")]
    drop_rate_group: Option<String>,
    /// Of how many dials in a hundred to show a number that is not local, where there is a local one too,
    /// 0 to 20 (0 when not given): so `campaign report` can say what local numbers are worth.
    #[arg(long, value_name = "PERCENT")]
    hold_out: Option<u8>,
    /// Which of the due leads of one priority go out first (oldest when not given): with best_chance, of
    /// those that have been due for longest, the ones that will most likely answer now.
    #[arg(long, value_parser = ["oldest", "best_chance"])]
    lead_order: Option<String>,
    /// The message to leave on answering machines after their beep, by its name in the nodes' configuration;
    /// off hangs up on them. Needs --answering-machines hang_up and a rule pack that allows it.
    #[arg(long, value_name = "PROMPT|off", value_parser = voice_drop)]
    voice_drop: Option<Message>,
}

/// What to aim at, in percent; none takes the aim back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
struct Target(Option<f64>);

fn target(text: &str) -> Result<Target, String> {
    if text == "off" {
        return Ok(Target(None));
    }
    let percent = text.trim_end_matches('%').trim_end().parse();
    percent
        .map(|percent| Target(Some(percent)))
        .map_err(|_| format!("{text:?} is neither off nor a number of percent, like 2.5"))
}

/// A prompt's name; none takes the message back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Message(Option<String>);

fn voice_drop(text: &str) -> Result<Message, String> {
    let name = (text != "off").then(|| domain::PromptName::try_from(text.to_owned()));
    let name = name.transpose().map_err(|wrong| wrong.to_string())?;
    Ok(Message(name.map(String::from)))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RetryFlag {
    after: String,
    delay: Duration,
    attempts: Option<u16>,
}

fn retry(text: &str) -> Result<RetryFlag, String> {
    let (after, rest) = pair(text)?;
    let (delay, attempts) = match rest.split_once(':') {
        Some((delay, attempts)) => {
            let count = attempts
                .parse()
                .map_err(|_| format!("{attempts:?} is not a number of attempts"))?;
            (delay, Some(count))
        }
        None => (rest.as_str(), None),
    };
    let delay =
        service::config::parse_duration(delay).map_err(|error| format!("the delay {error}"))?;
    Ok(RetryFlag {
        after,
        delay,
        attempts,
    })
}

const COLUMNS: [(&str, &str); 8] = [
    ("name", "/name"),
    ("state", "/state"),
    ("pacing", "/pacing"),
    ("level", "/dial_level"),
    ("rule pack", "/rule_pack"),
    ("regions", "/regions"),
    ("attempts", "/attempts_max"),
    ("id", "/id"),
];

const EXPLAINED: [(&str, &str); 14] = [
    ("city", "/name"),
    ("dials", "/dials"),
    ("held back by", "/pacing/limit"),
    ("level", "/pacing/dial_level"),
    ("lines", "/pacing/lines"),
    ("agents", "/pacing/agents"),
    ("ready", "/pacing/ready"),
    ("for inbound", "/pacing/kept_for_inbound"),
    ("budget held", "/held"),
    ("wanted", "/wanted"),
    ("carried out", "/overflow/out_total"),
    ("now", "/overflow/out_now"),
    ("carried in", "/overflow/in_total"),
    ("now", "/overflow/in_now"),
];

const REPORTED: [(&str, &str); 9] = [
    ("region", "/name"),
    ("local dials", "/local/dials"),
    ("answered %", "/local/percent"),
    ("held out", "/held_out/dials"),
    ("answered %", "/held_out/percent"),
    ("lift, points", "/lift_points"),
    ("from", "/low_points"),
    ("to", "/high_points"),
    ("local is answered", "/local_is_answered"),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Create(args) => {
            let settings = settings(&client, *args).await?;
            session.show(&client.post("/campaigns", &settings).await?)
        }
        Verb::Set(args) => {
            let named = Named {
                campaign: args.campaign,
            };
            let path = path(&client, &named, "").await?;
            let known: Value = client.get(&path).await?;
            let all = known["attempts_max"]
                .as_u64()
                .and_then(|n| n.try_into().ok());
            let regions = names::ids(&client, names::REGION, &args.flags.region).await?;
            let mut fields = Fields::from(Map::new());
            fields.put("regions", (!regions.is_empty()).then_some(regions))?;
            fields.put("drop_rate_group", group(&client, &args.flags).await?)?;
            let patch = merged(args.flags, all, fields)?.object();
            if patch.as_object().is_none_or(Map::is_empty) {
                return Err(nothing("campaign set").into());
            }
            let version = known["version"].as_u64().unwrap_or_default();
            session.show(&client.patch_version(&path, version, &patch).await?)
        }
        Verb::Ls => {
            let mut rows = client.list("/campaigns").await?;
            if session.form() == Form::Table {
                names::label(&client, &mut rows, "regions", names::REGION).await?;
            }
            session.rows(&COLUMNS, &rows)
        }
        Verb::Show(named) => session.show(&client.get(&path(&client, &named, "").await?).await?),
        Verb::Start(named) => act(session, &client, &named, "start", "is dialing").await,
        Verb::Pause(named) => act(session, &client, &named, "pause", "makes no new attempts").await,
        Verb::Stop(named) => {
            session.confirm(&format!("end the campaign {} for good", named.campaign))?;
            act(session, &client, &named, "stop", "has ended").await
        }
        Verb::Stats(named) => {
            let mut stats: Value = client.get(&path(&client, &named, "/stats").await?).await?;
            if session.form() == Form::Table
                && let Some(stats) = stats.as_object_mut()
            {
                stats.remove("why_idle");
            }
            let learned: Value = client
                .get(&path(&client, &named, "/learned").await?)
                .await?;
            if session.form() == Form::Table {
                session.show(&stats)?;
                return campaign_learned::print(&learned);
            }
            stats["learned"] = learned;
            session.show(&stats)
        }
        Verb::Explain(named) => {
            let stats: Value = client.get(&path(&client, &named, "/stats").await?).await?;
            let cities = &stats["budget"]["cities"];
            if session.form() == Form::Table && cities.as_array().is_none_or(Vec::is_empty) {
                return output::lines(&["no city dials it".to_owned()]);
            }
            session.rows(&EXPLAINED, cities)
        }
        Verb::Report(named) => {
            let stats: Value = client.get(&path(&client, &named, "/stats").await?).await?;
            let report = &stats["local_presence"];
            match (session.form(), report["regions"].as_array()) {
                (Form::Table, None) => output::lines(&[
                    "no dials are held out: `dialmesh campaign set NAME --hold-out 5`".to_owned(),
                ]),
                (Form::Table, Some(regions)) => {
                    let mut rows = regions.clone();
                    rows.push(report["all"].clone());
                    rows.iter_mut().for_each(in_words);
                    session.rows(&REPORTED, &json!(rows))?;
                    output::lines(&[format!(
                        "{}; at least {} dials of either kind; {} dials had no lot",
                        output::plain(&report["method"]),
                        report["least_dials"],
                        report["not_compared"]
                    )])
                }
                _ => session.show(report),
            }
        }
        Verb::WhyIdle(named) => {
            let stats: Value = client.get(&path(&client, &named, "/stats").await?).await?;
            let reasons = &stats["why_idle"];
            if session.form() == Form::Table && reasons.as_array().is_none_or(Vec::is_empty) {
                return output::lines(&["no rule holds leads back".to_owned()]);
            }
            session.rows(
                &[
                    ("rule", "/rule"),
                    ("leads", "/leads"),
                    ("next at", "/next_at"),
                ],
                reasons,
            )
        }
    }
}

/// What a comparison came to, as a person says it.
fn in_words(row: &mut Value) {
    let said = match row["local_is_answered"].as_str() {
        Some("too_few") => "too few to tell",
        Some("not_told_apart") => "not told apart",
        Some("more") => "more often",
        Some("less") => "less often",
        _ => return,
    };
    row["local_is_answered"] = json!(said);
}

async fn path(client: &Client, named: &Named, more: &str) -> Result<String> {
    let id = names::id(client, names::CAMPAIGN, &named.campaign).await?;
    Ok(format!("/campaigns/{}{more}", escaped(&id)))
}

async fn act(
    session: &Session,
    client: &Client,
    named: &Named,
    action: &str,
    done: &str,
) -> Result<()> {
    let campaign = client
        .act(&path(client, named, &format!("/{action}")).await?)
        .await?;
    match session.form() {
        Form::Table => session.done(&format!("{} {done}", output::plain(&campaign["name"]))),
        _ => session.show(&campaign),
    }
}

/// Settings of a file, with what only the server may say taken out.
fn from_file(path: &Path) -> Result<Map<String, Value>> {
    let shown = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let mut map: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format!("{shown} is not a JSON object of settings: {error}"))
    })?;
    for theirs in ["id", "state", "version"] {
        map.remove(theirs);
    }
    Ok(map)
}

async fn settings(client: &Client, args: Create) -> Result<CampaignSettings> {
    let mut map = args
        .file
        .as_deref()
        .map(from_file)
        .transpose()?
        .unwrap_or_default();
    let listed = map
        .get("regions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let listed: Vec<String> = listed
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let regions = if args.flags.region.is_empty() {
        listed
    } else {
        args.flags.region.clone()
    };
    map.insert(
        "regions".to_owned(),
        json!(names::ids(client, names::REGION, &regions).await?),
    );
    if let Some(group) = group(client, &args.flags).await? {
        map.insert("drop_rate_group".to_owned(), group);
    }
    let place = args
        .file
        .as_ref()
        .map_or(String::new(), |file| format!("{}: ", file.display()));
    checked(args, map).map_err(|wrong| Failure::usage(place + &wrong).into())
}

/// The settings, or what is wrong with them.
fn checked(args: Create, map: Map<String, Value>) -> Result<CampaignSettings, String> {
    let named = |error: anyhow::Error| error.to_string();
    let mut fields = Fields::from(map);
    fields.put("name", Some(args.name)).map_err(named)?;
    fields.put("rule_pack", args.rule_pack).map_err(named)?;
    let fields = merged(args.flags, None, fields).map_err(named)?;
    let settings: CampaignSettings =
        serde_json::from_value(fields.object()).map_err(|error| error.to_string())?;
    let wrong: Vec<String> = settings
        .validate()
        .iter()
        .map(|field| {
            format!(
                "{} {}",
                field.pointer.trim_start_matches('/').replace('/', "."),
                field.message
            )
        })
        .collect();
    if wrong.is_empty() {
        Ok(settings)
    } else {
        Err(wrong.join("; "))
    }
}

/// The fields with what the flags say; `known` is how many attempts in all there are where they say
/// nothing of it.
fn merged(args: Flags, known: Option<u16>, mut fields: Fields) -> Result<Fields> {
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
    fields.put("pacing", args.pacing)?;
    fields.put("dial_level", args.dial_level)?;
    fields.put("ring_limit_seconds", seconds(args.ring_limit))?;
    fields.put("talk_limit_seconds", seconds(args.talk_limit))?;
    fields.put(
        "answer_limit_ms",
        args.answer_limit.map(|limit| limit.as_millis() as u64),
    )?;
    fields.put("wrap_up_limit_seconds", seconds(args.wrap_up_limit))?;
    fields.put("attempts_max", args.attempts)?;
    fields.put("requires_consent", args.requires_consent)?;
    fields.put("answering_machines", args.answering_machines)?;
    fields.put("lead_order", args.lead_order)?;
    fields.put("recording", args.recording)?;
    fields.put("target_abandonment_percent", args.target_abandonment)?;
    fields.put("inbound_agents", args.inbound_agents)?;
    fields.put("ramp_up_seconds", seconds(args.ramp_up))?;
    fields.put("ramp_down_seconds", seconds(args.ramp_down))?;
    fields.put("hold_out_percent", args.hold_out)?;
    fields.put("voice_drop", args.voice_drop)?;
    let all = args
        .attempts
        .or(known)
        .unwrap_or_else(|| CampaignSettings::new("", "").attempts_max);
    let rules: Vec<Retry> = args
        .retry
        .into_iter()
        .map(|rule| Retry {
            after: rule.after,
            delay_seconds: rule.delay.as_secs(),
            attempts_max: rule.attempts.unwrap_or(all),
        })
        .collect();
    fields.put("retry", (!rules.is_empty()).then_some(rules))?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use dialmesh_http::dto::{AnsweringMachines, LeadOrder};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    fn create(more: &[&str], file: Value) -> Result<CampaignSettings, String> {
        let line = Line::try_parse_from(["c", "create", "autumn"].iter().chain(more))
            .map_err(|error| error.to_string())?;
        match (line.verb, file) {
            (Verb::Create(args), Value::Object(map)) => checked(*args, map),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let flags = [
            "--file",
            "x.json",
            "--pacing",
            "ratio",
            "--dial-level",
            "1.5",
            "--ring-limit",
            "25s",
            "--attempts",
            "4",
            "--retry",
            "no_answer=1h:3",
            "--retry",
            "busy=10m",
            "--answering-machines",
            "hang_up",
            "--lead-order",
            "best_chance",
        ];
        let file = json!({"rule_pack": "china", "ring_limit_seconds": 40, "auto_ready": false});
        let settings = create(&flags, file).unwrap();
        assert_eq!(
            (settings.ring_limit_seconds, settings.dial_level),
            (25, 1.5)
        );
        assert!(!settings.auto_ready && settings.rule_pack == "china" && settings.name == "autumn");
        assert_eq!(settings.answering_machines, AnsweringMachines::HangUp);
        assert_eq!(settings.lead_order, LeadOrder::BestChance);
        let plain = create(&["--rule-pack", "china"], json!({})).unwrap();
        assert_eq!(plain.answering_machines, AnsweringMachines::Off);
        assert_eq!(plain.lead_order, LeadOrder::Oldest);
        let attempts: Vec<_> = settings
            .retry
            .iter()
            .map(|r| (r.after.as_str(), r.delay_seconds, r.attempts_max))
            .collect();
        assert_eq!(attempts, [("no_answer", 3_600, 3), ("busy", 600, 4)]);
    }

    #[test]
    fn a_change_says_only_what_is_given() {
        let line = ["c", "set", "autumn", "--answering-machines", "hang_up"];
        let Ok(Line {
            verb: Verb::Set(args),
        }) = Line::try_parse_from(line.iter().chain(&["--retry", "busy=10m"]))
        else {
            panic!("it is a change");
        };
        let fields = merged(args.flags, Some(4), Fields::from(Map::new())).unwrap();
        let expected = json!({
            "answering_machines": "hang_up",
            "retry": [{"after": "busy", "delay_seconds": 600, "attempts_max": 4}],
        });
        assert_eq!(fields.object(), expected);
        assert!(
            Line::try_parse_from(["c", "set", "autumn", "--answering-machines", "no"]).is_err()
        );
    }

    #[test]
    fn levers_are_set_and_taken_back() {
        let said = |more: &[&str]| {
            let line = Line::try_parse_from(["c", "set", "autumn"].iter().chain(more))
                .map_err(|error| error.to_string())?;
            let Verb::Set(args) = line.verb else {
                panic!("it is a change");
            };
            let fields = merged(args.flags, None, Fields::from(Map::new())).unwrap();
            Ok::<_, String>(fields.object())
        };
        let all = "--target-abandonment 2.5% --inbound-agents 2 --ramp-up 10m --ramp-down 5m";
        let all: Vec<&str> = all.split(' ').collect();
        let expected = json!({
            "target_abandonment_percent": 2.5,
            "inbound_agents": 2,
            "ramp_up_seconds": 600,
            "ramp_down_seconds": 300,
        });
        assert_eq!(said(&all), Ok(expected));
        let off = said(&["--target-abandonment", "off", "--ramp-up", "0s"]);
        let expected = json!({"target_abandonment_percent": null, "ramp_up_seconds": 0});
        assert_eq!(off, Ok(expected));
        let wrong = said(&["--target-abandonment", "less"]).unwrap_err();
        assert!(
            wrong.contains("neither off nor a number of percent"),
            "{wrong}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let pack = ["--rule-pack", "china"];
        for (more, file, words) in [
            (
                &["--ring-limit", "5s"][..],
                json!({}),
                ["ring_limit_seconds", "15"],
            ),
            (
                &["--retry", "never=1h"],
                json!({}),
                ["retry.0.after", "never"],
            ),
            (&[], json!({"ring": 1}), ["ring", "unknown field"]),
            (&["--retry", "busy=soon"], json!({}), ["soon", "1m30s"]),
            (&["--dial-level", "2"], json!({}), ["--pacing", "required"]),
            (
                &["--ramp-up", "5h"],
                json!({}),
                ["ramp_up_seconds", "14400"],
            ),
            (
                &["--inbound-agents", "5001"],
                json!({}),
                ["inbound_agents", "5000"],
            ),
            (
                &["--target-abandonment", "0.01"],
                json!({}),
                ["target_abandonment_percent", "0.1"],
            ),
            (&["--voice-drop", "A b"], json!({}), ["voice-drop", "a-z"]),
            (&["--hold-out", "21"], json!({}), ["hold_out_percent", "20"]),
        ] {
            let error = create(&[&pack, more].concat(), file).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{error:?} lacks {word:?}");
            }
        }
        assert!(create(&[], json!({})).unwrap_err().contains("--rule-pack"));
    }
}
