//! Three members as processes, told what to do and measured from outside.

use crate::{
    cpu::Clock,
    member::{Answer, Order, Trio as Plan, histogram},
};
use anyhow::{Context as _, bail};
use domain::WallTime;
use hdrhistogram::Histogram;
use mesh::MeshCa;
use simulations::world::{WorldConfig, wall_ms};
use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// One member's process; killed when dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(folder: &Path, id: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .arg("--member")
            .arg(id.to_string())
            .arg("--folder")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a member")?;
        let orders = child.stdin.take().context("a pipe")?;
        let answers = child.stdout.take().context("a pipe")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers).lines(),
        })
    }

    async fn tell(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await?;
        Ok(self.orders.flush().await?)
    }

    async fn hear(&mut self) -> anyhow::Result<Answer> {
        let line = self.answers.next_line().await?;
        let answer: Answer = serde_json::from_str(&line.context("the member ended")?)?;
        match answer.error {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }
}

/// What several members did at once.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) done: u64,
    /// Of the slowest, in seconds.
    pub(crate) took: f64,
    pub(crate) latencies: Histogram<u64>,
    /// CPU of all members.
    pub(crate) cpu: Duration,
}

impl Sum {
    /// A second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.took
    }
}

/// Three members of one group.
#[derive(Debug)]
pub(crate) struct Trio {
    members: BTreeMap<u64, Running>,
    folder: TempDir,
}

impl Trio {
    /// Started, with all three voting.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the members")?;
        let ca = folder.path().join("ca");
        MeshCa::create(&ca, WallTime::from_millis(wall_ms()))?;
        let mut plan = Plan {
            members: BTreeMap::new(),
        };
        for id in 1..=3 {
            plan.members.insert(id, WorldConfig::free_address()?);
        }
        let text = serde_json::to_vec(&plan)?;
        std::fs::write(folder.path().join("trio.json"), text)?;
        let mut members = BTreeMap::new();
        for id in 1..=3 {
            members.insert(id, Running::start(folder.path(), id)?);
        }
        let mut trio = Self { members, folder };
        // Those to be added must be there.
        trio.ask(1, &Order::Found).await?;
        for id in 1..=3 {
            trio.ask(id, &Order::Caught).await?;
        }
        Ok(trio)
    }

    fn member(&mut self, id: u64) -> anyhow::Result<&mut Running> {
        self.members.get_mut(&id).context("it does not run")
    }

    /// One order to one member.
    pub(crate) async fn ask(&mut self, id: u64, order: &Order) -> anyhow::Result<Answer> {
        let member = self.member(id)?;
        member.tell(order).await?;
        member.hear().await.with_context(|| format!("member {id}"))
    }

    /// An order without waiting for its answer.
    pub(crate) async fn tell(&mut self, id: u64, order: &Order) -> anyhow::Result<()> {
        self.member(id)?.tell(order).await
    }

    /// The answer to it.
    pub(crate) async fn hear(&mut self, id: u64) -> anyhow::Result<Answer> {
        self.member(id)?.hear().await
    }

    /// Who leads, as a running member sees it.
    pub(crate) async fn leader(&mut self) -> anyhow::Result<u64> {
        let any = *self.members.keys().next().context("a member")?;
        Ok(self.ask(any, &Order::Leader).await?.leader)
    }

    /// An order to several at once.
    pub(crate) async fn all(&mut self, orders: &[(u64, Order)]) -> anyhow::Result<Sum> {
        let clocks: Vec<_> = (self.members.values())
            .filter_map(|member| member.child.id())
            .map(Clock::of)
            .collect();
        for (id, order) in orders {
            self.tell(*id, order).await?;
        }
        let mut sum = Sum {
            done: 0,
            took: 0.0,
            latencies: histogram(),
            cpu: Duration::ZERO,
        };
        for (id, _) in orders {
            let answer = self.hear(*id).await?;
            sum.done += answer.done;
            sum.took = sum.took.max(answer.took);
            for (value, count) in answer.latencies {
                sum.latencies.record_n(value, count)?;
            }
        }
        sum.cpu = clocks.iter().map(Clock::spent).sum();
        Ok(sum)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        let mut member = self.members.remove(&id).context("it runs")?;
        member.child.kill().await.context("killing a member")
    }

    /// Started again from its folder; returns when it has all that was acknowledged.
    pub(crate) async fn revive(&mut self, id: u64) -> anyhow::Result<Answer> {
        let member = Running::start(self.folder.path(), id)?;
        self.members.insert(id, member);
        self.ask(id, &Order::Caught).await
    }
}
