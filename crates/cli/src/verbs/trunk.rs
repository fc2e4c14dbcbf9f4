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
use dialmesh_http::dto::{TrunkPatch, TrunkRequest, Validate};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// Trunks: SIP routes to carriers, each of one city.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a trunk; it is enabled at once.
    #[command(
        after_help = "Examples:\n  dialmesh trunk add sz-ct --node shenzhen --address 203.0.113.7:5060 --channels 60 --cps 10\n  dialmesh trunk add sz-cm --node shenzhen --address 203.0.113.9:5060 --transport tcp --username dm01 --password-file sz-cm.password --register --codecs pcma\n  dialmesh trunk add sz-ims --node shenzhen --address 10.20.0.1:5060 --profile china-ims --weight 300\n  dialmesh trunk add ny-tw --node newyork --address sip.carrier.example --transport tls --profile twilio\n  dialmesh trunk add ny-tx --node newyork --address 203.0.113.20:5060 --profile telnyx --called '1234{e164}'\n  dialmesh trunk add ny-bw --node newyork --address 203.0.113.30:5060 --transport tcp --profile bandwidth --attestation a\n\nNumbers are written by a pattern, --called in Request-URI and To, --shown in From and the identity header:\n  +{e164}         +8675512345678\n  {e164}          8675512345678\n  1234{e164}      12348675512345678 (a technical prefix)\n  {national:86}   75512345678\n  0{national:86}  075512345678\n  {dialed:86}     075512345678, 13800138000, 0014155550134: as dialed in that country\n\nProfiles: generic, china-ims, twilio, telnyx, bandwidth. What is given beside them counts.\nRank and weight: of the trunks whose caller IDs are equally local, those of the lowest rank are used, in the proportion of their weights."
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
        after_help = "Examples:\n  dialmesh trunk set sz-ct --channels 120 --cps 20\n  dialmesh trunk set sz-cm --username dm02 --password-file new.password\n  dialmesh trunk set sz-ct --rank 1 --weight 300\n  dialmesh trunk set sz-ct --called '0{national:86}' --identity preferred\n  dialmesh trunk set sz-ct --attestation none"
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
    /// The carrier's IP address and port; or its name, which the node looks up by NAPTR and SRV
    /// (RFC 3263), a name with a port by its addresses alone.
    #[arg(long, value_name = "IP:PORT|NAME[:PORT]")]
    address: String,
    /// What carries SIP (udp when not given).
    #[arg(long, value_parser = ["udp", "tcp", "tls"])]
    transport: Option<String>,
    /// The domain in request URIs; the address when not given. With TLS the name that the carrier's
    /// certificate must bear.
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
    /// New calls a second, at most (as the profile says when not given).
    #[arg(long, value_name = "N")]
    cps: Option<u32>,
    /// Codecs offered, in order (as the profile says when not given).
    #[arg(long, value_delimiter = ',', value_parser = ["pcmu", "pcma"])]
    codecs: Vec<String>,
    /// How the carrier wants numbers: plus_e164 (+8675512345678; the default) or e164 (8675512345678).
    #[arg(long, value_parser = ["plus_e164", "e164"])]
    number_format: Option<String>,
    /// How often OPTIONS asks whether it lives (as the profile says when not given; 0s for never).
    #[arg(long, value_parser = service::config::parse_duration)]
    options_interval: Option<Duration>,
    /// Lower goes first within a city.
    #[arg(long)]
    rank: Option<u16>,
    /// What fills in the rest (generic when not given).
    #[arg(long, value_parser = PROFILES)]
    profile: Option<String>,
    #[command(flatten)]
    manner: Manner,
}

const PROFILES: [&str; 5] = ["generic", "china-ims", "twilio", "telnyx", "bandwidth"];

/// How a trunk is used.
#[derive(Debug, Default, Args)]
pub(crate) struct Manner {
    /// Its share of the calls among trunks of its rank (100 when never given).
    #[arg(long, value_name = "N")]
    weight: Option<u16>,
    /// How called numbers are written, such as +{e164} or 0{national:86}; empty for --number-format.
    #[arg(long, value_name = "PATTERN")]
    called: Option<String>,
    /// How caller IDs are written; the same.
    #[arg(long, value_name = "PATTERN")]
    shown: Option<String>,
    /// Whether URIs with a number say user=phone.
    #[arg(long, value_name = "BOOL")]
    user_phone: Option<bool>,
    /// The header beside From: P-Asserted-Identity, P-Preferred-Identity or none.
    #[arg(long, value_parser = ["asserted", "preferred", "none"])]
    identity: Option<String>,
    /// The Privacy header.
    #[arg(long, value_parser = ["unset", "none", "id"])]
    privacy: Option<String>,
    /// Session-Expires to ask for (RFC 4028); 0s to ask for none.
    #[arg(long, value_parser = service::config::parse_duration)]
    session_expires: Option<Duration>,
    /// Whether reliable provisional responses (100rel) are offered.
    #[arg(long, value_name = "BOOL")]
    reliable: Option<bool>,
    /// What is done about 3xx: follow goes once to the same number by the same trunk.
    #[arg(long, value_parser = ["refuse", "follow"])]
    redirects: Option<String>,
    /// What is vouched for in the Identity header of INVITEs (STIR/SHAKEN): a (who calls is known, and
    /// that the number is theirs), b (who calls is known), c (neither); none for no such header. The
    /// node needs [sip.stir] with certificate and key.
    #[arg(long, value_parser = ["none", "a", "b", "c"])]
    attestation: Option<String>,
}

impl Manner {
    /// What was given; none where nothing was.
    fn fields(&self) -> Result<Option<Value>> {
        let mut fields = Fields::default();
        fields.put("weight", self.weight)?;
        fields.put("called", self.called.as_ref())?;
        fields.put("shown", self.shown.as_ref())?;
        fields.put("user_phone", self.user_phone)?;
        fields.put("identity", self.identity.as_ref())?;
        fields.put("privacy", self.privacy.as_ref())?;
        let expires = self.session_expires.map(|span| span.as_secs());
        fields.put("session_expires_seconds", expires)?;
        fields.put("reliable", self.reliable)?;
        fields.put("redirects", self.redirects.as_ref())?;
        fields.put("attestation", self.attestation.as_ref())?;
        let given = fields.object();
        let some = given.as_object().is_some_and(|given| !given.is_empty());
        Ok(some.then_some(given))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name or id.
    trunk: String,
    /// The carrier's IP address and port; or its name, which the node looks up by NAPTR and SRV
    /// (RFC 3263), a name with a port by its addresses alone.
    #[arg(long, value_name = "IP:PORT|NAME[:PORT]")]
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
    #[command(flatten)]
    manner: Manner,
}

const COLUMNS: [(&str, &str); 14] = [
    ("name", "/name"),
    ("city", "/node"),
    ("address", "/address"),
    ("transport", "/transport"),
    ("channels", "/channels"),
    ("cps", "/calls_per_second"),
    ("rank", "/rank"),
    ("weight", "/manner/weight"),
    ("codecs", "/codecs"),
    ("register", "/register"),
    ("enabled", "/enabled"),
    ("state", "/state"),
    ("trouble", "/trouble"),
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
    fields.put("profile", args.profile)?;
    fields.put("manner", args.manner.fields()?)?;
    let request: TrunkRequest = serde_json::from_value(fields.object())?;
    refuse_wrong(&request)?;
    Ok(request)
}

/// What is wrong is said before anything is sent.
fn refuse_wrong(request: &impl Validate) -> Result<()> {
    match request.validate().first() {
        None => Ok(()),
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
    fields.put("manner", args.manner.fields()?)?;
    let changes = match fields.object() {
        Value::Object(map) if map.is_empty() => return Err(nothing("trunk set").into()),
        changes => changes,
    };
    let patch: TrunkPatch = serde_json::from_value(changes.clone())?;
    refuse_wrong(&patch)?;
    Ok(changes)
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
        let made = |more: &[&str]| {
            let request = add(&[&["203.0.113.7:5060"], more].concat()).unwrap();
            request.into_domain(domain::TrunkId(1)).unwrap()
        };
        let signed = |more: &[&str]| made(more).1.security.attestation;
        assert_eq!(
            signed(&["--attestation", "c"]),
            Some(domain::Attestation::C)
        );
        assert_eq!(signed(&["--attestation", "none"]), None);
        let (trunk, manner) = made(&["--codecs", "pcma,pcmu", "--cps", "9"]);
        assert_eq!(
            (trunk.calls_per_second, trunk.channels, trunk.codecs.len()),
            (9, 30, 2)
        );
        assert_eq!(trunk.codecs[0], domain::Codec::Pcma);
        assert_eq!(manner, domain::TrunkManner::default());
        let (trunk, manner) = made(&[
            "--profile",
            "china-ims",
            "--weight",
            "7",
            "--called",
            "99#{dialed:86}",
            "--session-expires",
            "0s",
        ]);
        assert_eq!(trunk.codecs, [domain::Codec::Pcma]);
        assert_eq!((manner.weight, manner.reliable), (7, true));
        assert_eq!(manner.called.unwrap().to_string(), "99#{dialed:86}");
        assert_eq!(
            (&manner.profile[..], manner.session_expires),
            ("china-ims", None)
        );
    }

    #[test]
    fn profiles_are_those_of_the_tables() {
        assert!(domain::PROFILES.iter().map(|p| p.name).eq(PROFILES));
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_sent() {
        add(&["carrier.example"]).unwrap();
        for wrong in ["203.0.113.7", "carrier.example:0", "sip:carrier.example"] {
            let text = add(&[wrong]).unwrap_err().to_string();
            assert!(
                text.contains("address") && text.contains("203.0.113.7:5060"),
                "{text}"
            );
        }
        for wrong in [
            ["--codecs", "g729"],
            ["--username", "u"],
            ["--register", "--rank"],
            ["--profile", "nobody"],
            ["--weight", "0"],
            ["--called", "{e163}"],
            ["--session-expires", "89s"],
            ["--attestation", "d"],
        ] {
            assert!(
                add(&[&["203.0.113.7:5060"], &wrong[..]].concat()).is_err(),
                "{wrong:?}"
            );
        }
    }
}
