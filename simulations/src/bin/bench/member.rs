//! One of three members as a process of its own: a real region group over real links, its log with
//! `fdatasync`. It is told what to do line by line and answers each with a line, both JSON.

use anyhow::{Context as _, bail, ensure};
use consensus::{Group, GroupConfig, GroupId, GroupOptions, Groups, MembershipChange, Role};
use domain::{
    CallOutcome, Campaign, CampaignId, CampaignState, DialLevel, Disposition, DispositionCode,
    Incarnation, LeadProfile, LeasedLead, ListId, MemberId, NewLead, PacingMode, PhoneNumber,
    RegionId, RetryRule, SessionId, WallTime, zones,
};
use hdrhistogram::Histogram;
use ledger::{Facts, RegionCommand, RegionLedger, RegionReply};
use mesh::{Endpoint, EndpointConfig, MemberKey, MeshCa, ResetKey};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};
use storage::{DataKeys, Journal, JournalOptions};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    task::JoinSet,
};

/// How long anything may need.
const PATIENCE: Duration = Duration::from_secs(60);
const CAMPAIGN: CampaignId = CampaignId(1);
/// Leads of one import.
const IMPORT: u64 = 1_000;
/// Bytes of the value that one small write carries, here and at the peer.
pub(crate) const VALUE_BYTES: usize = 256;

/// Who the members are, in the file `trio.json` of the folder they share.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trio {
    pub(crate) members: BTreeMap<u64, SocketAddr>,
}

/// What a member is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Found the group with the members of `trio.json`. To one of them, once.
    Found,
    /// Say who leads, once somebody does.
    Leader,
    /// Wait until everything in the log is applied here; say how much there is.
    Caught,
    /// Bring the campaign and so many leads.
    Import { leads: u64 },
    /// One lead with a profile of [`VALUE_BYTES`] for each write, by so many callers at a time.
    Write { callers: u64, seconds: u64 },
    /// Sessions that each claim `batch` leads and report them dialed, again and again: until there
    /// are none, or for so long.
    Claim {
        sessions: u64,
        batch: u32,
        seconds: u64,
    },
    /// One session that claims ten leads at a time and reports them: when each claim was answered,
    /// for so long.
    Pace { seconds: u64 },
}

/// What it answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The leader.
    #[serde(default)]
    pub(crate) leader: u64,
    /// Leads in the ledger.
    #[serde(default)]
    pub(crate) leads: u64,
    /// Writes, claims or leads done.
    #[serde(default)]
    pub(crate) done: u64,
    /// In seconds.
    #[serde(default)]
    pub(crate) took: f64,
    /// Latencies in microseconds, and how often each was seen.
    #[serde(default)]
    pub(crate) latencies: Vec<(u64, u64)>,
    /// Milliseconds of wall time at which claims were answered.
    #[serde(default)]
    pub(crate) moments: Vec<i64>,
    /// Went wrong.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// Latencies from 1 us to a minute, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that fit");
    histogram.auto(true);
    histogram
}

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    WallTime::from_millis(since.map_or(0, |d| d.as_millis() as i64))
}

fn ids(members: impl IntoIterator<Item = u64>) -> BTreeSet<MemberId> {
    members.into_iter().map(MemberId).collect()
}

/// A campaign whose rule pack is open at every hour.
fn campaign() -> Campaign {
    Campaign {
        id: CAMPAIGN,
        name: "bench".into(),
        state: CampaignState::Running,
        regions: Vec::new(),
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(30),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "demo".into(),
        retry: vec![RetryRule {
            after: Disposition::NoAnswer,
            delay: Duration::from_secs(7_200),
            attempts_max: 5,
        }],
        attempts_max: 5,
        dispositions: Vec::new(),
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

/// Numbers come in no order.
fn number(n: u64) -> PhoneNumber {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 31;
    PhoneNumber::from_digits(10_000_000_000 + spread).expect("eleven digits")
}

struct Member {
    id: u64,
    trio: Trio,
    group: Group<RegionLedger>,
    /// Counts what this process opened and wrote, so that nothing is named twice.
    used: u64,
}

impl Member {
    async fn start(folder: &Path, id: u64) -> anyhow::Result<Self> {
        let text = std::fs::read(folder.join("trio.json")).context("reading trio.json")?;
        let trio: Trio = serde_json::from_slice(&text)?;
        let ca = MeshCa::open(&folder.join("ca"))?;
        let key = MemberKey::generate();
        let chain = ca.issue(
            MemberId(id),
            &key.csr()?,
            now(),
            Duration::from_secs(86_400),
        )?;
        let bind = *trio.members.get(&id).context("an address")?;
        let endpoint = Endpoint::bind(EndpointConfig {
            bind,
            identity: key.certified(chain)?,
            reset: ResetKey::random(),
            authority: None,
        })?;
        let addresses = (trio.members.iter()).map(|(id, address)| (MemberId(*id), *address));
        endpoint.set_addresses(&addresses.collect());
        let data = folder.join(id.to_string());
        std::fs::create_dir_all(&data)?;
        let keys = DataKeys::open(&data.join("data.key"), &data)?;
        let journal = Journal::open(&data.join("journal"), JournalOptions::default(), &keys)?;
        let groups = Groups::new(journal, endpoint, &data);
        let group = groups
            .start(GroupConfig {
                id: GroupId::Region(RegionId(1)),
                initial: RegionLedger::new(RegionId(1)),
                listener: None,
                options: GroupOptions::default(),
            })
            .await?;
        Ok(Self {
            id,
            trio,
            group,
            used: 0,
        })
    }

    async fn obey(&mut self, order: Order) -> anyhow::Result<Answer> {
        match order {
            Order::Found => self.found().await,
            Order::Leader => {
                let mut watch = self.group.watch_leadership();
                let leader = tokio::time::timeout(PATIENCE, async {
                    loop {
                        if let Some(leader) = self.group.leader() {
                            return leader.0;
                        }
                        watch.changed().await.ok();
                    }
                });
                let leader = leader.await.context("nobody leads")?;
                Ok(Answer {
                    leader,
                    ..Answer::default()
                })
            }
            Order::Caught => {
                let index = self.group.linearizable_index(PATIENCE).await?;
                self.group.wait_applied(index, PATIENCE).await?;
                Ok(Answer {
                    leads: self.group.read(|ledger| ledger.len() as u64),
                    ..Answer::default()
                })
            }
            Order::Import { leads } => self.import(leads).await,
            Order::Write { callers, seconds } => self.write(callers, seconds).await,
            Order::Claim {
                sessions,
                batch,
                seconds,
            } => self.claim(sessions, batch, seconds).await,
            Order::Pace { seconds } => self.pace(seconds).await,
        }
    }

    async fn found(&self) -> anyhow::Result<Answer> {
        self.group.initialize(&ids([self.id])).await?;
        let others = self.trio.members.keys().copied();
        let others = ids(others.filter(|id| *id != self.id));
        let all = ids(self.trio.members.keys().copied());
        (self.group)
            .change(&MembershipChange::AddLearners(others), PATIENCE)
            .await?;
        (self.group)
            .change(&MembershipChange::SetVoters(all), PATIENCE)
            .await?;
        ensure!(self.group.status().role == Role::Leader, "it leads");
        Ok(Answer::default())
    }

    async fn import(&mut self, leads: u64) -> anyhow::Result<Answer> {
        self.propose(RegionCommand::Facts(Facts {
            directory_index: 1,
            campaigns: vec![campaign()],
            ..Facts::default()
        }))
        .await?;
        let began = Instant::now();
        let zone = zones::find("Asia/Shanghai").context("an IANA zone")?;
        for batch in 0..leads.div_ceil(IMPORT) {
            let first = batch * IMPORT;
            let row = |n| NewLead {
                number: number(n),
                zones: vec![zone],
                priority: 0,
                profile: LeadProfile::default(),
            };
            self.propose(RegionCommand::Import {
                list: ListId(1),
                campaign: CAMPAIGN,
                batch: batch + 1,
                rows: (first..leads.min(first + IMPORT)).map(row).collect(),
            })
            .await?;
        }
        Ok(Answer {
            leads: self.group.read(|ledger| ledger.len() as u64),
            took: began.elapsed().as_secs_f64(),
            ..Answer::default()
        })
    }

    async fn propose(&self, command: RegionCommand) -> anyhow::Result<RegionReply> {
        let done = self.group.propose_again(&command, PATIENCE).await?;
        if let RegionReply::Refused(why) = &done.reply {
            bail!("the region refuses: {why:?}");
        }
        Ok(done.reply)
    }

    async fn write(&mut self, callers: u64, seconds: u64) -> anyhow::Result<Answer> {
        let zone = zones::find("Asia/Shanghai").context("an IANA zone")?;
        let value = "x".repeat(VALUE_BYTES);
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        let end = began + Duration::from_secs(seconds);
        for _ in 0..callers {
            self.used += 1;
            // A list for each caller, since the batches of one come in order.
            let list = u32::try_from(self.id * 1_000_000 + self.used)?;
            let (group, value) = (self.group.clone(), value.clone());
            tasks.spawn(async move {
                let mut seen = histogram();
                for batch in 1.. {
                    let begun = Instant::now();
                    if begun >= end {
                        break;
                    }
                    let row = NewLead {
                        number: number(u64::from(list) * 10_000_000 + batch),
                        zones: vec![zone],
                        priority: 0,
                        profile: LeadProfile {
                            name: String::new(),
                            attributes: [("note".to_owned(), value.clone())].into(),
                        },
                    };
                    let command = RegionCommand::Import {
                        list: ListId(list),
                        campaign: CAMPAIGN,
                        batch,
                        rows: vec![row],
                    };
                    let reply = group.propose(command).await?;
                    ensure!(
                        matches!(reply, RegionReply::Imported { again: false, .. }),
                        "{reply:?}"
                    );
                    seen += begun.elapsed().as_micros() as u64;
                }
                anyhow::Ok((seen.len(), seen))
            });
        }
        gather(tasks, began).await
    }

    async fn open_session(&mut self) -> anyhow::Result<SessionId> {
        self.used += 1;
        let reply = self.propose(RegionCommand::OpenSession {
            node: MemberId(self.id * 1_000_000 + self.used),
            // A member that was started again opens sessions of a later run of its nodes.
            incarnation: Incarnation(now().as_millis().unsigned_abs()),
            ttl: Duration::from_secs(30),
        });
        match reply.await? {
            RegionReply::SessionOpened { session, .. } => Ok(session),
            reply => bail!("{reply:?}"),
        }
    }

    async fn claim(&mut self, sessions: u64, batch: u32, seconds: u64) -> anyhow::Result<Answer> {
        let mut open = Vec::new();
        for _ in 0..sessions {
            open.push(self.open_session().await?);
        }
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        let end = began + Duration::from_secs(seconds);
        for session in open {
            let group = self.group.clone();
            tasks.spawn(async move {
                let (mut seen, mut leads) = (histogram(), 0);
                for sequence in 1.. {
                    let begun = Instant::now();
                    if begun >= end {
                        break;
                    }
                    let claimed = claim(&group, session, batch, sequence).await?;
                    seen += begun.elapsed().as_micros() as u64;
                    if claimed.is_empty() {
                        break;
                    }
                    leads += claimed.len() as u64;
                    report(&group, session, sequence, &claimed).await?;
                }
                anyhow::Ok((leads, seen))
            });
        }
        gather(tasks, began).await
    }

    async fn pace(&mut self, seconds: u64) -> anyhow::Result<Answer> {
        let session = self.open_session().await?;
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut answer = Answer::default();
        for sequence in 1.. {
            if Instant::now() >= end {
                break;
            }
            let claimed = claim(&self.group, session, 10, sequence).await?;
            ensure!(!claimed.is_empty(), "no leads are left; import more");
            answer.done += claimed.len() as u64;
            answer.moments.push(now().as_millis());
            report(&self.group, session, sequence, &claimed).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(answer)
    }
}

async fn claim(
    group: &Group<RegionLedger>,
    session: SessionId,
    n: u32,
    sequence: u64,
) -> anyhow::Result<Vec<LeasedLead>> {
    let command = RegionCommand::Claim {
        session,
        campaign: CAMPAIGN,
        n,
        sequence,
    };
    match group.propose_again(&command, PATIENCE).await?.reply {
        RegionReply::Claimed { leads, .. } => Ok(leads),
        reply => bail!("{reply:?}"),
    }
}

async fn report(
    group: &Group<RegionLedger>,
    session: SessionId,
    sequence: u64,
    leads: &[LeasedLead],
) -> anyhow::Result<()> {
    let at = now();
    let outcome = |lead: &LeasedLead| CallOutcome::Dialed {
        lead: lead.lead,
        attempt: lead.attempt,
        disposition: Disposition::NoAnswer,
        invited_at: at,
        ended_at: at,
        callback_at: None,
    };
    let command = RegionCommand::Report {
        session,
        sequence,
        outcomes: leads.iter().map(outcome).collect(),
    };
    match group.propose_again(&command, PATIENCE).await?.reply {
        RegionReply::Reported(_) => Ok(()),
        reply => bail!("{reply:?}"),
    }
}

async fn gather(
    mut tasks: JoinSet<anyhow::Result<(u64, Histogram<u64>)>>,
    began: Instant,
) -> anyhow::Result<Answer> {
    let (mut done, mut all) = (0, histogram());
    while let Some(task) = tasks.join_next().await {
        let (count, seen) = task.context("a caller")??;
        done += count;
        all.add(seen)?;
    }
    Ok(Answer {
        done,
        took: began.elapsed().as_secs_f64(),
        latencies: (all.iter_recorded())
            .map(|value| (value.value_iterated_to(), value.count_at_value()))
            .collect(),
        ..Answer::default()
    })
}

/// Runs one member until its orders end.
pub(crate) async fn run(folder: PathBuf, id: u64) -> anyhow::Result<bool> {
    let mut member = Member::start(&folder, id).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut out = tokio::io::stdout();
    while let Some(line) = lines.next_line().await? {
        let answer = match member.obey(serde_json::from_str(&line)?).await {
            Ok(answer) => answer,
            Err(error) => Answer {
                error: Some(format!("{error:#}")),
                ..Answer::default()
            },
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        out.write_all(&text).await?;
        out.flush().await?;
    }
    Ok(true)
}
