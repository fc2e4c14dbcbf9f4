//! `dialmesh recording`: recordings of calls, and the key that they are made with.

use crate::{
    client::{Client, escaped, with_query},
    failure::Failure,
    names,
    output::{self, Form},
    session::Session,
    transfer,
    when::time,
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dialmesh_http::dto::{RecordingCheck, Timestamp};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};
use storage::{
    DataKeys, RECORDING_FOOTER, RECORDING_HEAD_MAX, RecordingError, RecordingFooter, RecordingKeys,
    SealedRecording,
};

/// Recordings of calls.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List recordings, newest first.
    #[command(
        after_help = "Examples:\n  dialmesh recording search --campaign autumn --limit 20\n  dialmesh recording search --agent li --since 1d -o json"
    )]
    Search(Box<Search>),
    /// A recording's length, pauses and waveform.
    #[command(after_help = "Examples:\n  dialmesh recording show att_0001000000000000000c00000000")]
    Show {
        /// The attempt's id.
        call: String,
    },
    /// Fetch a recording as a stereo WAV file, agent left, person right. Who does is audited.
    #[command(
        after_help = "Examples:\n  dialmesh recording get att_0001000000000000000c00000000 --file call.wav\n  dialmesh recording get att_0001000000000000000c00000000 | aplay"
    )]
    Get {
        /// The attempt's id.
        call: String,
        /// Where to write it (mode 0600), whole or not at all; standard output when not given.
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Read all of a recording: each second opens, and the file is the one that the call's record names.
    /// With --file no coordinator is asked.
    #[command(
        after_help = "Examples:\n  dialmesh recording verify att_0001000000000000000c00000000\n  dialmesh recording verify --file att_0001000000000000000c00000000.dmrec --key-file recording-keys.txt"
    )]
    Verify(Verify),
    /// The key that recordings are made with.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh recording key create\n  dialmesh recording key show"
    )]
    Key(Key),
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Only of this campaign.
    #[arg(long)]
    campaign: Option<String>,
    /// Only at this city.
    #[arg(long, value_name = "CITY")]
    node: Option<String>,
    /// Only of this agent (login).
    #[arg(long)]
    agent: Option<String>,
    /// Only of calls that ended at or after this time (2026-11-21T08:00:00Z), or so long ago (90m, 7d).
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only of calls that ended before this time, or so long ago.
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
    /// So many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The attempt's id.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    call: Option<String>,
    /// A recording's file, as it lies at its node.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    file: Option<PathBuf>,
    /// What `dialmesh recording key export` wrote.
    #[arg(long, value_name = "FILE", requires = "file")]
    key_file: Option<PathBuf>,
}

/// The key that recordings are made with.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key: recordings are made with it from here on. Its private half stays at the coordinator,
    /// sealed; export a copy of it at once.
    #[command(after_help = "Examples:\n  dialmesh recording key create")]
    Create,
    /// The public half, and whether the coordinator has the private one.
    #[command(after_help = "Examples:\n  dialmesh recording key show -o json")]
    Show,
    /// Write all private halves, in clear, to a new file of mode 0600; run it where the coordinator's data
    /// lies. Without them no recording can be heard any more: keep the file apart from the recordings.
    #[command(
        after_help = "Examples:\n  dialmesh recording key export --data-dir /var/lib/dialmesh --file recording-keys.txt"
    )]
    Export {
        /// The coordinator's data folder.
        #[arg(long, value_name = "FOLDER")]
        data_dir: PathBuf,
        /// The coordinator's data key; `data.key` in its data folder when not given.
        #[arg(long, value_name = "FILE")]
        data_key: Option<PathBuf>,
        /// The new file.
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Search(args) => search(*args, session, &session.client()?).await,
        Verb::Show { call } => {
            let path = format!("/recordings/{}", escaped(&call));
            let shown: Value = session.client()?.get(&path).await?;
            session.show(&shown)
        }
        Verb::Get { call, file } => {
            let path = format!("/recordings/{}/audio", escaped(&call));
            let size = transfer::download(&session.client()?, &path, file.as_deref()).await?;
            match file {
                Some(file) => output::lines(&[format!("{size} bytes in {}", file.display())]),
                None => Ok(()),
            }
        }
        Verb::Verify(args) => verify(args, session).await,
        Verb::Key(Key::Create) => {
            let key = session.client()?.act("/recording-key").await?;
            session.show(&key)
        }
        Verb::Key(Key::Show) => {
            let key: Value = session.client()?.get("/recording-key").await?;
            session.show(&key)
        }
        Verb::Key(Key::Export {
            data_dir,
            data_key,
            file,
        }) => export(&data_dir, data_key, &file, session),
    }
}

fn export(dir: &Path, key: Option<PathBuf>, file: &Path, session: &Session) -> Result<()> {
    let keys = DataKeys::load(&key.unwrap_or_else(|| dir.join("data.key")))?;
    let ring = RecordingKeys::open(dir, &keys)?;
    let count = ring.publics().count();
    if count == 0 {
        let why = format!(
            "{} holds no recording keys; they are made with `dialmesh recording key create`",
            dir.display()
        );
        return Err(Failure::refused(why).into());
    }
    ring.export(file)?;
    session.done(&format!(
        "{count} recording keys are in {}, in clear: keep it apart from the recordings.",
        file.display()
    ))
}

async fn search(args: Search, session: &Session, client: &Client) -> Result<()> {
    let campaign = names::id_if(client, names::CAMPAIGN, args.campaign.as_deref()).await?;
    let node = names::id_if(client, names::MEMBER, args.node.as_deref()).await?;
    let agent = names::id_if(client, names::AGENT, args.agent.as_deref()).await?;
    let given = [
        ("campaign", campaign),
        ("node", node),
        ("agent", agent),
        ("since", args.since.map(|at| at.to_string())),
        ("until", args.until.map(|at| at.to_string())),
    ];
    let query: Vec<(&str, String)> = (given.into_iter())
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect();
    let path = with_query("/recordings", &query);
    let mut rows = client.list_some(&path, args.limit).await?;
    if session.form() == Form::Table {
        names::label(client, &mut rows, "node", names::MEMBER).await?;
        names::label(client, &mut rows, "agent", names::AGENT).await?;
        names::label(client, &mut rows, "campaign", names::CAMPAIGN).await?;
    }
    let columns = [
        ("began", "/began_at"),
        ("ms", "/length_ms"),
        ("paused ms", "/paused_ms"),
        ("end", "/end"),
        ("city", "/node"),
        ("agent", "/agent"),
        ("campaign", "/campaign"),
        ("call", "/call"),
    ];
    session.rows(&columns, &rows)
}

async fn verify(args: Verify, session: &Session) -> Result<()> {
    let check = match (args.call, args.file, args.key_file) {
        (Some(call), ..) => {
            let path = format!("/recordings/{}/check", escaped(&call));
            session.client()?.get(&path).await?
        }
        (None, Some(file), Some(keys)) => check_file(&file, &RecordingKeys::import(&keys)?)?,
        _ => return Err(Failure::usage("give a call, or --file and --key-file").into()),
    };
    if !check.sound {
        return Err(
            Failure::refused(format!("the recording is not sound: {}", check.trouble)).into(),
        );
    }
    if session.form() != Form::Table {
        return session.show(&json!(check));
    }
    let end = match check.complete {
        true => "",
        false => "; it has no end, as after a crash",
    };
    session.done(&format!("{} seconds open{end}", check.seconds))
}

/// Reads all of a file.
fn check_file(path: &Path, keys: &RecordingKeys) -> Result<RecordingCheck> {
    let shown = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let bytes = file.metadata()?.len();
    let mut part = |range: Range<u64>| -> std::io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(range.start))?;
        let mut part = vec![0; (range.end - range.start) as usize];
        file.read_exact(&mut part)?;
        Ok(part)
    };
    let sealed = SealedRecording::read(&part(0..bytes.min(RECORDING_HEAD_MAX as u64))?)?;
    let id = sealed.head().key;
    let key = keys.get(id).ok_or(RecordingError::OtherKey(id))?;
    let open = sealed.unlock(key)?;
    let footer_at = bytes.saturating_sub(RECORDING_FOOTER as u64);
    let footer = RecordingFooter::read(&part(footer_at..bytes)?);
    let (frames, content) = match &footer {
        None => (open.frames_without_end(bytes), bytes),
        Some(footer) => {
            let from = footer_at
                .checked_sub(footer.tail.into())
                .ok_or(RecordingError::Tail)?;
            let tail = open.tail(footer, &mut part(from..footer_at)?, bytes)?;
            (tail.frames, from)
        }
    };
    let mut seconds = 0;
    while let Some(at) = open.chunk_at(seconds, frames) {
        open.chunk(seconds, &mut part(at)?)?;
        seconds += 1;
    }
    let complete = footer.is_some();
    let mut check = RecordingCheck {
        sound: true,
        complete,
        seconds,
        trouble: String::new(),
    };
    if let Some(footer) = footer {
        let hash = storage::content_hash(std::io::BufReader::new(File::open(path)?).take(content))?;
        check.sound = hash == footer.hash;
        if !check.sound {
            check.trouble = "the file's end names another content".to_owned();
        }
    }
    Ok(check)
}
