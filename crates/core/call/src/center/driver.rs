//! The random driver: a seed decides who calls, answers, hangs up, presses, crashes; a model that
//! sees outputs only, as legs and screens do, checks what must never break.

use super::{
    tests::{attempt, campaign, facts, lease},
    *,
};
use crate::{
    AGENT_LEGS, Account, AgentCommand, CallBackWish, Callee, CancelReason, DialFacts, Failure,
    LocalCause,
};
use domain::{
    Campaign, CampaignState, PacingMode, PauseCode, VoiceDrop, WhoAnswered,
    answering::{Greeting, Reason, Verdict},
};
use sansio::{Seed, Stream};
use std::sync::Arc;

/// How a leg looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    /// The engine has not said yet whether an INVITE left.
    Asked,
    Calling,
    Up,
    Gone,
}

#[derive(Debug)]
struct World {
    center: CallCenter,
    now: Now,
    random: Stream,
    campaigns: Vec<Arc<Campaign>>,
    attempts: u64,
    requests: u64,
    legs: BTreeMap<LegId, Outside>,
    agent_leg: BTreeMap<AgentId, LegId>,
    cancelled: BTreeSet<LegId>,
    bridged: BTreeMap<LegId, LegId>,
    held: BTreeSet<LegId>,
    open: BTreeSet<AttemptId>,
    closed: BTreeSet<AttemptId>,
    /// Commands without a reply; whether they are dispositions.
    unanswered: BTreeMap<RequestId, bool>,
    writes: Vec<PersistToken>,
    /// Dispositions on their way to other nodes.
    reports: Vec<PersistToken>,
    /// Attempts with agents of other nodes.
    lent: BTreeSet<AttemptId>,
    /// Other nodes' attempts that are here.
    borrowed: BTreeSet<AttemptId>,
    written: BTreeSet<AttemptId>,
    /// Whether the present input is the end of a write.
    persisting: bool,
    refused: bool,
    counts: Counts,
}

/// Shows that a run reached what it is meant to check.
#[derive(Debug, Default)]
struct Counts {
    closed: BTreeMap<&'static str, u32>,
    bridges: u32,
    refused: u32,
    opted_out: u32,
    abandoned: u32,
    call_backs: BTreeMap<&'static str, u32>,
    /// Agents lent to persons here, persons taken from elsewhere, and reports that were refused.
    overflow: [u32; 3],
}

/// Names the seed when a check fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("seed {seed}: CALL_SEED={seed} cargo test -p call driver");
        }
    }
}

#[test]
fn nothing_breaks_under_random_days() {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let one = number("CALL_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("CALL_SEEDS").unwrap_or(600),
    };
    let mut total = Counts::default();
    for seed in seeds {
        let _named = Named(seed);
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.come_to_rest();
        for (name, n) in &world.counts.closed {
            *total.closed.entry(name).or_default() += n;
        }
        total.bridges += world.counts.bridges;
        total.refused += world.counts.refused;
        total.opted_out += world.counts.opted_out;
        // Who calls back is never abandoned, and nobody else is without being counted.
        let abandoned = world.counts.closed.get("abandoned").copied();
        assert_eq!(abandoned.unwrap_or(0), world.counts.abandoned);
        for (sum, n) in total.overflow.iter_mut().zip(world.counts.overflow) {
            *sum += n;
        }
        for (name, n) in world.counts.call_backs {
            *total.call_backs.entry(name).or_default() += n;
        }
    }
    if one.is_none() {
        // A driver that reaches nothing checks nothing.
        assert!(total.closed.len() >= 12, "{total:?}");
        assert!(total.call_backs.len() == 4, "{total:?}");
        assert!(total.call_backs.values().all(|n| *n > 10), "{total:?}");
        assert!(total.bridges > 1000 && total.refused > 1000, "{total:?}");
        assert!(total.opted_out > 10, "{total:?}");
        assert!(total.overflow.iter().all(|n| *n > 10), "{total:?}");
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut campaigns = vec![
            campaign(1, PacingMode::Ratio),
            campaign(2, PacingMode::Progressive),
            campaign(3, PacingMode::Ratio),
        ];
        campaigns[2].auto_ready = false;
        let mut world = Self {
            center: CallCenter::new(),
            now: Now {
                monotonic: Instant::from_millis(1000),
                wall: WallTime::from_millis(1_795_300_000_000),
            },
            random: Seed::from_u64(seed).stream("driver"),
            campaigns: campaigns.into_iter().map(Arc::new).collect(),
            attempts: 0,
            requests: 0,
            legs: BTreeMap::new(),
            agent_leg: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            bridged: BTreeMap::new(),
            held: BTreeSet::new(),
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            writes: Vec::new(),
            reports: Vec::new(),
            lent: BTreeSet::new(),
            borrowed: BTreeSet::new(),
            written: BTreeSet::new(),
            persisting: false,
            refused: false,
            counts: Counts::default(),
        };
        for agent in 1..=4 {
            let campaigns = match agent {
                1 => vec![CampaignId(1)],
                2 => vec![CampaignId(2), CampaignId(1)],
                _ => vec![],
            };
            world.put(Input::Account(Account {
                agent: AgentId(agent),
                campaigns,
                enabled: true,
            }));
            world.press(AgentId(agent), AgentCommand::LogIn);
        }
        world
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u32) as usize]
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=9 => self.dial(),
            10 => self.call_back(),
            11 => self.overflow(),
            12..=26 => self.engine_answers(),
            27..=54 => self.something_happens_to_a_leg(),
            55..=74 => self.an_agent_acts(),
            75..=79 => self.cancel(),
            80..=86 => {
                if !self.writes.is_empty() {
                    let token = self.writes.remove(0);
                    self.put(Input::Persisted { token });
                }
                if !self.reports.is_empty() {
                    self.report_answered();
                }
            }
            87..=88 => self.campaign_changes(),
            89 => self.account_changes(),
            _ => {
                let by = match self.random.below(40) {
                    0..=13 => 50,
                    14..=23 => 700,
                    24..=31 => 2000,
                    32..=35 => 6000,
                    36..=37 => 16_000,
                    38 => 40_000,
                    _ => 700_000,
                };
                let by = Duration::from_millis(u64::from(self.random.below(by) + 1));
                self.wait(by);
            }
        }
    }

    fn dial(&mut self) {
        self.attempts += u64::from(!self.random.permille(20));
        let n = self.attempts;
        let campaign = self.random.below(3) as usize;
        let campaign = self.campaigns[campaign].clone();
        let screening = self.random.permille(300).then(|| Duration::from_secs(3));
        let new = !self.open.contains(&attempt(n)) && !self.closed.contains(&attempt(n));
        if !new && self.closed.contains(&attempt(n)) {
            // A closed attempt's id never comes again: the region's group does not reuse it.
            return;
        }
        let taken = self.put(Input::Dial {
            lease: lease(n, campaign.id),
            campaign,
            leg: LegId(n),
            screening,
        });
        assert!(new || !taken);
        if taken {
            self.open.insert(attempt(n));
        }
    }

    fn call_back(&mut self) {
        self.attempts += 1;
        let n = self.attempts;
        let campaign = self.random.below(3) as usize;
        let campaign = self.campaigns[campaign].clone();
        let wish = CallBackWish {
            after: None,
            withheld: self.random.permille(200),
            agent: (self.random.permille(500)).then(|| AgentId(self.random.below(5) + 1)),
            wait: Duration::from_secs(u64::from(self.random.below(60) + 1)),
        };
        // Answered before the machine hears of it.
        self.legs.insert(LegId(n), Outside::Up);
        self.open.insert(attempt(n));
        let facts = Box::new(self.facts());
        assert!(self.put(Input::CalledBack {
            lead: lease(n, campaign.id),
            campaign,
            leg: LegId(n),
            facts,
            wish,
        }));
    }

    /// Another node lends an agent, borrows one, or says something of either.
    fn overflow(&mut self) {
        match self.random.below(8) {
            0..=1 => {
                let waiting = self.center.waiting();
                if waiting.is_empty() {
                    return;
                }
                let person = self.pick(&waiting);
                self.attempts += 1;
                let leg = LegId(self.attempts);
                self.legs.insert(leg, Outside::Up);
                // Its number is a leg's: no attempt gets it.
                self.closed.insert(attempt(leg.0));
                self.lent.insert(person);
                let agent = AgentId(50 + leg.0 as u32);
                self.counts.overflow[0] += 1;
                assert!(self.put(Input::AgentLent {
                    attempt: person,
                    agent,
                    leg,
                }));
            }
            2..=4 => self.borrow(),
            5 => {
                let some: Vec<_> = self.borrowed.iter().copied().collect();
                if !some.is_empty() {
                    let attempt = self.pick(&some);
                    self.put(Input::OfferTaken { attempt });
                }
            }
            _ => {
                let some: Vec<_> = self.lent.iter().copied().collect();
                if some.is_empty() {
                    return;
                }
                let attempt = self.pick(&some);
                let input = match self.random.below(3) {
                    0 => Input::LentLeft { attempt },
                    1 => Input::LentPauses {
                        attempt,
                        paused: self.random.permille(500),
                    },
                    _ => Input::LentDisposed {
                        attempt,
                        disposition: self.pick(&["sale", "never_again", "none"]).into(),
                        note: String::new(),
                        callback_at: None,
                    },
                };
                self.put(input);
            }
        }
    }

    fn borrow(&mut self) {
        self.attempts += 1;
        let n = self.attempts;
        let campaign = self.random.below(3) as usize;
        let campaign = self.campaigns[campaign].clone();
        let taken = self.put(Input::Offered {
            lead: Box::new(lease(n, campaign.id)),
            campaign,
            leg: LegId(n),
            within: Duration::from_secs(2),
        });
        if taken {
            self.legs.insert(LegId(n), Outside::Up);
            self.open.insert(attempt(n));
            self.borrowed.insert(attempt(n));
            if self.random.permille(700) {
                self.counts.overflow[1] += 1;
                let attempt = attempt(n);
                assert!(self.put(Input::OfferTaken { attempt }));
            }
        }
    }

    /// What was reported to another node is kept there, or not.
    fn report_answered(&mut self) {
        let token = self.reports.remove(0);
        if self.random.permille(500) {
            self.put(Input::Persisted { token });
        } else {
            self.counts.overflow[2] += 1;
            // Its refusal is an answer to what was asked before.
            assert_eq!(
                self.center.handle(self.now, Input::NotKept { token }),
                Ok(())
            );
            self.look();
        }
    }

    fn facts(&self) -> DialFacts {
        facts(self.now)
    }

    /// The engine says of some line whether an INVITE left.
    fn engine_answers(&mut self) {
        let asked: Vec<_> = self.legs_that_are(Outside::Asked);
        let Some(leg) = (!asked.is_empty()).then(|| self.pick(&asked)) else {
            return;
        };
        let attempt = attempt(leg.0);
        if self.random.permille(850) {
            let facts = self.facts();
            // Before the input: the machine may cancel the leg in the same breath.
            self.legs.insert(leg, Outside::Calling);
            if !self.put(Input::Dialed { attempt, facts }) {
                self.legs.insert(leg, Outside::Gone);
            }
        } else {
            self.legs.insert(leg, Outside::Gone);
            self.put(Input::NotDialed { attempt });
        }
    }

    fn legs_that_are(&self, state: Outside) -> Vec<LegId> {
        let legs = self.legs.iter().filter(|(_, s)| **s == state);
        legs.map(|(leg, _)| *leg).collect()
    }

    fn something_happens_to_a_leg(&mut self) {
        if self.random.permille(50) {
            return self.nonsense();
        }
        let states = if self.random.permille(500) {
            Outside::Calling
        } else {
            Outside::Up
        };
        let legs = self.legs_that_are(states);
        if legs.is_empty() {
            return;
        }
        let leg = self.pick(&legs);
        let is_agent = leg.0 >= AGENT_LEGS;
        let event = match states {
            Outside::Calling => match self.random.below(10) {
                0..=3 => LegEvent::Ringing,
                4 => LegEvent::EarlyMedia,
                5..=8 => LegEvent::Answered,
                _ => LegEvent::Failed(self.failure()),
            },
            _ if is_agent && self.random.permille(300) => {
                self.pick(&[LegEvent::Interrupted, LegEvent::Restored])
            }
            // Agents' phones are lost seldom.
            _ if is_agent && !self.random.permille(100) => return,
            _ => match self.random.below(10) {
                0..=3 => LegEvent::HungUp {
                    by_peer: self.random.permille(900),
                },
                4 | 5 => LegEvent::Played,
                6..=8 => LegEvent::Digit(self.pick(&['9', '1', '#'])),
                _ => return,
            },
        };
        match event {
            LegEvent::Answered => self.legs.insert(leg, Outside::Up),
            LegEvent::Failed(_) | LegEvent::HungUp { .. } => self.legs.insert(leg, Outside::Gone),
            _ => None,
        };
        self.put(Input::Leg { leg, event });
        if self.random.permille(500) {
            let attempt = attempt(leg.0);
            let verdict = [
                Verdict::Human,
                Verdict::Machine,
                Verdict::Fax,
                Verdict::Unknown,
            ];
            let verdict = self.pick(&verdict);
            let who = self.who(verdict);
            if verdict == Verdict::Machine && self.random.permille(600) {
                let message = self.message();
                self.put(Input::MachineFound {
                    attempt,
                    who,
                    message,
                });
            } else {
                self.put(Input::Screened { attempt, who });
            }
        }
        if self.random.permille(300) {
            let (attempt, message) = (attempt(leg.0), self.message());
            self.put(Input::MachineBeeped { attempt, message });
        }
    }

    /// Whether a message may be left on a machine.
    fn message(&mut self) -> Result<(), VoiceDrop> {
        match self.random.permille(800) {
            true => Ok(()),
            false => Err(VoiceDrop::Forbidden),
        }
    }

    /// A verdict after a greeting that ended some time ago.
    fn who(&mut self, verdict: Verdict) -> WhoAnswered {
        WhoAnswered {
            verdict,
            reason: Reason::GreetingEnded,
            took_ms: 1_500,
            greeting: Greeting {
                silence_ms: self.pick(&[0, 200, 700, 1_200, 4_000]),
                utterances: self.pick(&[0, 1, 3]),
                ..Greeting::default()
            },
        }
    }

    fn failure(&mut self) -> Failure {
        Failure {
            status: self.pick(&[404, 408, 480, 486, 487, 503, 603, 0]),
            q850: self.pick(&[0, 0, 0, 17, 20, 27, 34]),
            local: self.pick(&[None, None, None, Some(LocalCause::Unreachable)]),
        }
    }

    /// Inputs a sound engine would not give.
    fn nonsense(&mut self) {
        let n = u64::from(self.random.below(self.attempts as u32 + 3));
        let (attempt, leg) = (attempt(n), LegId(n));
        // A leg that truly exists must stay as the model has it.
        let gone = self.legs.get(&leg).is_none_or(|s| *s == Outside::Gone);
        let agent = AgentId(99);
        let input = match self.random.below(7) {
            0 if gone => Input::Leg {
                leg,
                event: LegEvent::Answered,
            },
            1 if gone => Input::Leg {
                leg,
                event: LegEvent::HungUp { by_peer: true },
            },
            2 if gone => Input::Dialed {
                attempt,
                facts: self.facts(),
            },
            3 => Input::ScreenGone { agent },
            4 => Input::Persisted {
                token: PersistToken(1 << 40),
            },
            5 => Input::Screened {
                attempt,
                who: self.who(Verdict::Machine),
            },
            _ => Input::ScreenAttached { agent },
        };
        self.put(input);
    }

    fn an_agent_acts(&mut self) {
        let agent = AgentId(self.random.below(4) + 1);
        let command = match self.random.below(24) {
            0..=3 => AgentCommand::LogIn,
            4..=9 => AgentCommand::Ready,
            10 => AgentCommand::Pause {
                code: PauseCode("break".into()),
            },
            11 => AgentCommand::LogOut,
            12..=14 => AgentCommand::HangUp,
            15 => {
                self.put(Input::ScreenGone { agent });
                return;
            }
            16..=17 => {
                self.put(Input::ScreenAttached { agent });
                return;
            }
            19 => AgentCommand::Hold,
            20 => AgentCommand::Resume,
            18 => AgentCommand::PressKeys {
                keys: domain::Keys::new(self.pick(&["1", "0123456789*#", "x", ""])),
            },
            _ => AgentCommand::Dispose {
                disposition: self
                    .pick(&["sale", "no_sale", "never_again", "none"])
                    .into(),
                note: "n".repeat(self.pick(&[0, 10, 2001])),
                callback_at: None,
            },
        };
        self.press(agent, command);
    }

    fn press(&mut self, agent: AgentId, command: AgentCommand) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let disposes = matches!(command, AgentCommand::Dispose { .. });
        self.unanswered.insert(request, disposes);
        self.put(Input::Agent {
            agent,
            request,
            command,
        });
    }

    fn cancel(&mut self) {
        let n = u64::from(self.random.below(self.attempts as u32 + 1));
        let reason = self.pick(&[CancelReason::DoNotCall, CancelReason::ValidityEnded]);
        self.put(Input::CancelAttempt {
            attempt: attempt(n),
            reason,
        });
    }

    fn campaign_changes(&mut self) {
        let place = self.random.below(3) as usize;
        let mut changed = (*self.campaigns[place]).clone();
        changed.state = self.pick(&[
            CampaignState::Running,
            CampaignState::Running,
            CampaignState::Paused,
        ]);
        changed.version += 1;
        self.campaigns[place] = Arc::new(changed);
        self.put(Input::Campaign(self.campaigns[place].clone()));
    }

    fn account_changes(&mut self) {
        let campaigns = match self.random.below(3) {
            0 => vec![],
            1 => vec![CampaignId(1)],
            _ => vec![CampaignId(2), CampaignId(3)],
        };
        let account = Account {
            agent: AgentId(self.random.below(4) + 1),
            campaigns,
            enabled: !self.random.permille(200),
        };
        self.put(Input::Account(account));
    }

    /// Lets time pass, timer by timer.
    fn wait(&mut self, by: Duration) {
        let end = self.now.monotonic + by;
        while let Some((at, _)) = self.center.poll_timeout() {
            if at > end {
                break;
            }
            self.now = self.now.plus(at.since(self.now.monotonic));
            self.center.handle_timeout(self.now);
            self.look();
        }
        self.now = self.now.plus(end.since(self.now.monotonic));
    }

    /// Gives one input; returns whether it was taken.
    fn put(&mut self, input: Input) -> bool {
        let before = self.random.permille(250).then(|| self.center.clone());
        self.persisting = matches!(input, Input::Persisted { .. });
        self.refused = false;
        let text = before.as_ref().map(|_| format!("{input:?}"));
        let result = self.center.handle(self.now, input);
        if result.is_err() {
            assert!(self.center.outputs.is_empty(), "outputs beside {result:?}");
        }
        self.look();
        self.persisting = false;
        self.counts.refused += u32::from(result.is_err() || self.refused);
        if let (Some(before), Some(text)) = (before, text)
            && (result.is_err() || self.refused)
        {
            let (before, after) = (format!("{before:?}"), format!("{:?}", self.center));
            assert_eq!(before, after, "refused, yet changed: {text}");
        }
        result.is_ok()
    }

    /// Drains and judges outputs.
    fn look(&mut self) {
        while let Some(output) = self.center.poll_output() {
            match output {
                Output::Leg(command) => self.leg_command(command),
                Output::Closed(end) => self.closed(&end),
                Output::Persist { token, entry } => {
                    let crate::JournalEntry::Disposed { attempt, .. } = entry;
                    assert!(self.written.insert(attempt), "two dispositions");
                    self.writes.push(token);
                }
                Output::Report { token, .. } => self.reports.push(token),
                Output::Returned { attempt, .. } => {
                    assert!(
                        self.borrowed.remove(&attempt),
                        "returned without being here"
                    );
                    assert!(self.open.remove(&attempt), "returned twice");
                    assert!(self.closed.insert(attempt));
                    let leg = LegId((attempt.0 >> 32) as u64);
                    assert_ne!(self.legs[&leg], Outside::Up, "a leg was left open");
                }
                Output::Reply { request, result } => {
                    let disposes = self.unanswered.remove(&request);
                    let disposes = disposes.expect("one reply to each command");
                    assert!(
                        result.is_err() || !disposes || self.persisting,
                        "a disposition was acknowledged before it was kept"
                    );
                    self.refused |= result.is_err();
                }
                Output::Observed(Observed::OptedOut { .. }) => self.counts.opted_out += 1,
                Output::Observed(Observed::CallBack { end, .. }) => {
                    *self.counts.call_backs.entry(end.name()).or_default() += 1;
                }
                Output::Observed(Observed::Abandoned { .. }) => self.counts.abandoned += 1,
                _ => {}
            }
        }
        for (person, agent) in &self.bridged {
            assert_eq!(self.legs[person], Outside::Up, "bridge to a gone person");
            assert_eq!(self.legs[agent], Outside::Up, "bridge to a gone agent");
        }
        self.center.check();
        for campaign in &self.campaigns {
            let view = self.center.pacing_view(campaign.id, self.now);
            let waiting = view.waiting + view.callers;
            assert!(waiting == 0 || view.ready == 0, "{view:?}");
        }
    }

    fn leg_command(&mut self, command: LegCommand) {
        match command {
            LegCommand::Dial { leg, to } => {
                let state = match to {
                    Callee::Person { .. } => Outside::Asked,
                    Callee::Agent(agent) => {
                        self.agent_leg.insert(agent, leg);
                        Outside::Calling
                    }
                };
                assert_eq!(self.legs.insert(leg, state), None, "a leg dialed twice");
            }
            LegCommand::Cancel { leg } => {
                assert_ne!(self.legs[&leg], Outside::Up, "an answered leg cancelled");
                assert!(self.cancelled.insert(leg), "cancelled twice");
            }
            LegCommand::HangUp { leg } => {
                assert!(!self.bridged.contains_key(&leg), "hung up in a bridge");
                assert!(!self.bridged.values().any(|b| *b == leg));
                // A leg that never was may be hung up, too: nonsense is answered with care.
                self.legs.entry(leg).and_modify(|s| *s = Outside::Gone);
            }
            LegCommand::Bridge { a, b } => {
                self.counts.bridges += 1;
                assert!(!self.cancelled.contains(&a), "a cancelled person joined");
                assert!(!self.bridged.values().any(|agent| *agent == b), "I8");
                assert_eq!(self.bridged.insert(a, b), None);
            }
            LegCommand::Unbridge { a, b } => {
                assert_eq!(self.bridged.remove(&a), Some(b));
                self.held.remove(&a);
            }
            LegCommand::PauseRecording { leg, .. } => {
                assert!(
                    self.bridged.contains_key(&leg),
                    "paused where nobody speaks"
                );
            }
            LegCommand::Hold { leg } => {
                assert!(self.bridged.contains_key(&leg), "nobody held");
                assert!(self.held.insert(leg), "held twice");
            }
            LegCommand::Resume { leg } => {
                assert!(self.bridged.contains_key(&leg), "resumed with nobody");
                assert!(self.held.remove(&leg), "not held");
            }
            LegCommand::SendKey { leg, .. } => {
                assert!(!self.held.contains(&leg), "a key into the music");
                assert!(self.bridged.contains_key(&leg), "a key for nobody");
            }
            LegCommand::Play { leg, .. } | LegCommand::StopPlay { leg } => {
                assert_eq!(self.legs[&leg], Outside::Up);
            }
        }
    }

    fn closed(&mut self, end: &crate::AttemptEnd) {
        let id = end.lease.attempt;
        self.lent.remove(&id);
        assert!(self.open.remove(&id), "closed without being open");
        assert!(self.closed.insert(id), "two dispositions for {id}");
        assert!(!self.bridged.contains_key(&end.leg));
        let left_open = self.legs[&end.leg] == Outside::Up;
        assert!(!left_open, "a person was left on an open line: {end:?}");
        let name = end.disposition.name();
        *self.counts.closed.entry(name).or_default() += 1;
        if end.bridged_at.is_some() {
            assert_eq!(name, "agent");
        }
        let undialed = matches!(end.outcome(), domain::CallOutcome::Undialed { .. });
        assert_eq!(
            undialed,
            end.dialed.is_none() && end.disposition != Disposition::Unknown
        );
    }

    /// The world falls silent; timers and the journal alone must end everything.
    fn come_to_rest(&mut self) {
        for _ in 0..2000 {
            if !self.writes.is_empty() {
                let token = self.writes.remove(0);
                self.put(Input::Persisted { token });
            } else if !self.reports.is_empty() {
                self.report_answered();
            } else if let Some((at, _)) = self.center.poll_timeout() {
                self.wait(at.since(self.now.monotonic));
            } else {
                break;
            }
        }
        assert!(self.open.is_empty(), "stuck: {:?}", self.center.attempts);
        assert!(self.unanswered.is_empty(), "never answered");
        assert!(self.bridged.is_empty());
        assert!(self.center.timers.is_empty());
        assert!(self.center.lines.is_empty() && self.center.persons.is_empty());
        assert!(self.center.orphans.is_empty() && self.center.writes.is_empty());
        assert!(self.center.callers.is_empty() && self.center.calling_back.is_empty());
        let persons = self.center.legs.values();
        assert!(persons.into_iter().all(|p| matches!(p, Party::Agent(_))));
    }
}
