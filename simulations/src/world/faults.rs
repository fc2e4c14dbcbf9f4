//! What goes wrong on purpose, and the opt-outs that must hold through it.

use super::{Api, COORDINATOR, HOLD_VERSION, PATIENCE, World, api, api::Start};
use anyhow::Context as _;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime};

/// What an opt-out waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The mesh has agreed.
    Committed,
    /// No node dials the number any more.
    Effective,
}

/// The answer to an opt-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DncAnswer {
    /// `committed` or `effective`.
    pub state: String,
    /// How long the coordinator says it took.
    pub told: Duration,
    /// How long it took here.
    pub took: Duration,
    /// Wall time when the answer was here, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Wall time in milliseconds since the Unix epoch.
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

/// Asks the mesh never to dial a number.
///
/// # Errors
/// [`super::Problem`] where it refuses.
pub async fn add_do_not_call(api: &Api, number: &str, wait: Wait) -> anyhow::Result<DncAnswer> {
    let wait = match wait {
        Wait::Committed => "committed",
        Wait::Effective => "effective",
    };
    let began = Instant::now();
    let answer = api
        .post("/do-not-call", &json!({"number": number, "wait": wait}))
        .await?;
    let (took, at_ms) = (began.elapsed(), wall_ms());
    Ok(DncAnswer {
        state: answer["state"]
            .as_str()
            .context("an answer has a state")?
            .to_owned(),
        told: Duration::from_millis(answer["took_ms"].as_u64().unwrap_or_default()),
        took,
        at_ms,
    })
}

impl World {
    /// Asks the mesh never to dial a number. Once it says `effective`, the judges hold it to that.
    ///
    /// # Errors
    /// As [`add_do_not_call`].
    pub async fn add_do_not_call(&mut self, number: &str, wait: Wait) -> anyhow::Result<DncAnswer> {
        let answer = add_do_not_call(&self.api, number, wait).await?;
        if answer.state == "effective" {
            self.expect_never_since(number, answer.at_ms);
        }
        Ok(answer)
    }

    /// Nothing goes between this member and the others; calls and agents stay.
    ///
    /// # Errors
    /// There is no wire in between, or no such member.
    pub fn cut(&mut self, member: &str) -> anyhow::Result<()> {
        self.wire()?.cut(member)?;
        self.crashes = true;
        Ok(())
    }

    /// These two members do not reach each other.
    ///
    /// # Errors
    /// As [`World::cut`].
    pub fn cut_pair(&mut self, a: &str, b: &str) -> anyhow::Result<()> {
        self.wire()?.cut_pair(a, b)?;
        self.crashes = true;
        Ok(())
    }

    /// What `from` sends does not come to `to`; the other way is whole.
    ///
    /// # Errors
    /// As [`World::cut`].
    pub fn cut_one_way(&mut self, from: &str, to: &str) -> anyhow::Result<()> {
        let fault = crate::link::Fault::CutOneWay {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        self.wire()?.apply(&fault)?;
        self.crashes = true;
        Ok(())
    }

    /// Every datagram between members takes so many milliseconds longer, each way.
    ///
    /// # Errors
    /// There is no wire in between.
    pub fn delay(&self, ms: u32) -> anyhow::Result<()> {
        self.wire()?.apply(&crate::link::Fault::Delay { ms })
    }

    fn wire(&self) -> anyhow::Result<&crate::link::LinkHandle> {
        self.link
            .as_ref()
            .context("the world was built without a wire to cut")
    }

    /// Undoes the cuts of a member; none: all.
    ///
    /// # Errors
    /// As [`World::cut`].
    pub fn heal(&self, member: Option<&str>) -> anyhow::Result<()> {
        self.wire()?.heal(member)
    }

    /// SIGKILL for a city's node.
    ///
    /// # Errors
    /// There is no such city.
    pub fn kill(&mut self, city: &str) -> anyhow::Result<()> {
        let place = self.place(city)?;
        self.nodes[place].process.kill();
        self.crashes = true;
        Ok(())
    }

    /// Stops a city's node in order; what it said to that.
    ///
    /// # Errors
    /// There is no such city, or it does not end well in time.
    pub async fn stop(&mut self, city: &str, patience: Duration) -> anyhow::Result<String> {
        let place = self.place(city)?;
        let process = &mut self.nodes[place].process;
        let status = process.stop(patience).await;
        anyhow::ensure!(
            status.is_some_and(|status| status.success()),
            "{city} ended with {status:?}; it said:\n{}",
            process.tail(20)
        );
        Ok(process.tail(200))
    }

    /// Upgrades a member as operators do: stopped in order, started again as what it is when nothing
    /// holds it back, waited for.
    ///
    /// # Errors
    /// There is no such member, or it does not end or begin well in time.
    pub async fn upgrade(&mut self, member: &str, patience: Duration) -> anyhow::Result<Start> {
        if self.is_city(member) {
            self.stop(member, patience).await?;
            let place = self.place(member)?;
            self.nodes[place].process.take_away(HOLD_VERSION);
            return self.restart(member).await;
        }
        let status = self.coordinator.stop(patience).await;
        anyhow::ensure!(
            status.is_some_and(|status| status.success()),
            "{member} ended with {status:?}; it said:\n{}",
            self.coordinator.tail(20)
        );
        self.coordinator.take_away(HOLD_VERSION);
        self.restart_coordinator().await
    }

    /// Whether a city's node runs.
    ///
    /// # Errors
    /// There is no such city.
    pub fn is_alive(&mut self, city: &str) -> anyhow::Result<bool> {
        let place = self.place(city)?;
        Ok(self.nodes[place].process.is_alive())
    }

    /// Starts a city's node again, without waiting for it.
    ///
    /// # Errors
    /// There is no such city, or it cannot be started.
    pub fn revive(&mut self, city: &str) -> anyhow::Result<()> {
        let place = self.place(city)?;
        self.nodes[place].process.start()
    }

    /// Starts a city's node again and waits until it is ready.
    ///
    /// # Errors
    /// As [`World::revive`], or it does not get ready.
    pub async fn restart(&mut self, city: &str) -> anyhow::Result<Start> {
        let place = self.place(city)?;
        let node = &mut self.nodes[place];
        node.process.start()?;
        let process = &mut node.process;
        let ready = api::until_ready(node.monitoring, PATIENCE, || process.is_alive()).await;
        ready.with_context(|| format!("{city}; it said:\n{}", node.process.tail(20)))
    }

    /// SIGSTOP for a city's node: a pause of its machine.
    ///
    /// # Errors
    /// There is no such city.
    pub fn hold(&mut self, city: &str) -> anyhow::Result<()> {
        self.node(city)?.process.hold();
        self.crashes = true;
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// There is no such city.
    pub fn let_go(&self, city: &str) -> anyhow::Result<()> {
        self.node(city)?.process.let_go();
        Ok(())
    }

    /// SIGSTOP for any member.
    ///
    /// # Errors
    /// There is no such member.
    pub fn hold_member(&mut self, member: &str) -> anyhow::Result<()> {
        if self.is_city(member) {
            return self.hold(member);
        }
        self.coordinator.hold();
        self.crashes = true;
        Ok(())
    }

    /// SIGCONT for any member.
    ///
    /// # Errors
    /// There is no such member.
    pub fn let_member_go(&self, member: &str) -> anyhow::Result<()> {
        if self.is_city(member) {
            return self.let_go(member);
        }
        self.coordinator.let_go();
        Ok(())
    }

    /// Whether a member is a city's node.
    pub fn is_city(&self, member: &str) -> bool {
        self.nodes.iter().any(|node| node.name() == member)
    }

    /// The cities' names.
    pub fn cities(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.name().to_owned())
            .collect()
    }

    /// Every member's name.
    pub fn members(&self) -> Vec<String> {
        let mut members = self.cities();
        members.insert(0, COORDINATOR.to_owned());
        members
    }

    /// SIGKILL for the coordinator.
    pub fn kill_coordinator(&mut self) {
        self.coordinator.kill();
        self.crashes = true;
    }

    /// Starts the coordinator again and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started or does not get ready.
    pub async fn restart_coordinator(&mut self) -> anyhow::Result<Start> {
        self.coordinator.start()?;
        let process = &mut self.coordinator;
        let ready =
            api::until_ready(self.coordinator_monitoring, PATIENCE, || process.is_alive()).await;
        ready.with_context(|| format!("{COORDINATOR}; it said:\n{}", self.coordinator.tail(20)))
    }

    /// Whether a member goes on after its trouble, once that is known: it is ready, or it has ended. One
    /// that is about to stop still lives for a moment.
    ///
    /// # Errors
    /// It lives and does not become ready, or no such member.
    pub async fn goes_on(&mut self, member: &str) -> anyhow::Result<bool> {
        let (monitoring, process) = match self.is_city(member) {
            true => {
                let place = self.place(member)?;
                let node = &mut self.nodes[place];
                (node.monitoring, &mut node.process)
            }
            false => (self.coordinator_monitoring, &mut self.coordinator),
        };
        match api::until_ready(monitoring, PATIENCE, || process.is_alive()).await {
            Ok(_) => Ok(true),
            Err(_) if !process.is_alive() => Ok(false),
            Err(error) => Err(error.context(format!("{member} after its trouble"))),
        }
    }
}
