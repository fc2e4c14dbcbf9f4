//! The call center in virtual time: agents, lines and persons as events; the controller under test
//! sees what it sees in the product.

use crate::{
    clairvoyant::{Clairvoyant, Truth},
    escrow::Purse,
    measure::{Measure, Run},
    population::{Population, Trouble, normals, unit},
};
use domain::Instant;
use pacing::{Controller, Levers, Observation, Phase, View, Window};
use sansio::{Seed, Stream};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

/// Microseconds from the start of the run.
pub(crate) type Time = u64;

/// Seconds as [`Time`].
pub(crate) fn time(seconds: f64) -> Time {
    (seconds * 1e6) as Time
}

pub(crate) fn instant(at: Time) -> Instant {
    Instant::from_nanos(at * 1000)
}

/// Who decides.
#[derive(Debug)]
pub enum Pacer {
    /// One of the product's, held by what a node holds every controller to.
    Product(Box<dyn Controller>),
    /// Another dialer's rule, which has its way. It sees what the product's see.
    Baseline(Box<dyn Controller>),
    /// One that sees the future.
    Clairvoyant(Clairvoyant),
}

/// One run to make.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The world.
    pub population: &'a Population,
    /// Agents at the start.
    pub agents: usize,
    /// Hours that are left out at the start.
    pub warm_up: f64,
    /// Hours that count.
    pub hours: f64,
    /// Where all chance comes from.
    pub seed: u64,
    /// What the operator asks of the product's controllers.
    pub levers: Levers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Answer(u32),
    Screened(u32),
    Ends(u32),
    Patience(u32),
    /// A person of another city comes to the agent kept for it.
    Arrives(u32),
    Talked(u32),
    WrappedUp(u32),
    Back(u32),
    NewList,
    WalkOut(u32),
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Ready,
    /// Kept for a line.
    Kept,
    Talking,
    Wrapping,
    Away,
}

#[derive(Debug)]
struct Agent {
    duty: Duty,
    since: Time,
    /// When the talk and the wrap-up under way end.
    talk_ends: Time,
    free_at: Time,
    break_at: Time,
    /// Leaves after the present work, until then.
    leaves: Option<Time>,
    random: Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ringing,
    Screening,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    began: Time,
    stage: Stage,
    /// When a person on it needs an agent, if one will.
    needs: Option<Time>,
    person: bool,
    talk: f64,
    wrap_up: f64,
    /// Place among the active ones.
    place: usize,
    /// Still to be shown to the controller.
    live: bool,
    refused: bool,
    /// Who is kept for it.
    agent: Option<u32>,
}

/// A run under way.
pub(crate) struct Center<'a> {
    setting: &'a Setting<'a>,
    pub(crate) now: Time,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    sequence: u64,
    agents: Vec<Agent>,
    pub(crate) ready: VecDeque<u32>,
    lines: Vec<Line>,
    spare: Vec<u32>,
    active: Vec<u32>,
    pub(crate) waiting: VecDeque<u32>,
    leads: Stream,
    world: Stream,
    list: f64,
    pub(crate) purse: Purse,
    pub(crate) measure: Measure,
    pub(crate) view: View,
    changed: bool,
    /// What the clairvoyant sees.
    free: Vec<Time>,
    needs: Vec<Time>,
}

/// Makes a run.
pub fn simulate(setting: &Setting<'_>, pacer: &mut Pacer) -> Run {
    let mut center = Center::new(setting, Purse::Own(setting.window()), 0);
    let end = setting.end();
    while center.next().is_some_and(|at| at < end) {
        center.step(pacer);
    }
    center.advance(end);
    center.measure.finish(setting)
}

impl Setting<'_> {
    /// An empty window of the population's budget.
    pub(crate) fn window(&self) -> Window {
        let hours = Duration::from_secs_f64(self.population.window_hours * 3600.0);
        Window::new(self.population.budget_permille, hours)
    }

    /// When the run ends.
    pub(crate) fn end(&self) -> Time {
        time((self.warm_up + self.hours) * 3600.0)
    }
}

/// A person who waits, as another city's agent gets to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    talk: f64,
    wrap_up: f64,
}

impl<'a> Center<'a> {
    /// A center with that budget, whose regular looks begin at `phase`.
    pub(crate) fn new(setting: &'a Setting<'a>, purse: Purse, phase: Time) -> Self {
        let seed = Seed::from_u64(setting.seed);
        let population = setting.population;
        let agents = (0..setting.agents).map(|n| {
            let mut random = seed.stream(&format!("agent {n}"));
            Agent {
                duty: Duty::Ready,
                since: 0,
                talk_ends: 0,
                free_at: 0,
                break_at: next_break(population, 0, &mut random),
                leaves: None,
                random,
            }
        });
        let mut center = Self {
            setting,
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            agents: agents.collect(),
            ready: (0..setting.agents as u32).collect(),
            lines: vec![],
            spare: vec![],
            active: vec![],
            waiting: VecDeque::new(),
            leads: seed.stream("leads"),
            world: seed.stream("world"),
            list: 1.0,
            purse,
            measure: Measure::new(setting),
            view: View::default(),
            changed: false,
            free: vec![],
            needs: vec![],
        };
        center.at(0, Event::NewList);
        center.at(phase, Event::Tick);
        for (n, out) in population.walk_outs.iter().enumerate() {
            center.at(time(out.at_hours * 3600.0), Event::WalkOut(n as u32));
        }
        center
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Time> {
        self.events.peek().map(|Reverse((at, ..))| *at)
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, now: Time) {
        self.measure.pass(self.now, now);
        self.now = now;
    }

    /// The next thing happens, and the controller looks at it. In small teams each event counts; in
    /// large ones a look each quarter of a second is as good.
    pub(crate) fn step(&mut self, pacer: &mut Pacer) -> Option<Event> {
        let Reverse((at, _, event)) = self.events.pop()?;
        self.advance(at);
        self.happen(event, pacer);
        let eager = self.setting.agents <= 60 && self.changed && self.next() != Some(at);
        if event == Event::Tick || eager {
            self.pace(pacer);
            self.changed = false;
        }
        Some(event)
    }

    /// The person who has waited for longest and can still be there after `hop` is given away.
    pub(crate) fn give_away(&mut self, hop: Time) -> Option<Person> {
        let limit = time(self.setting.population.answer_limit);
        let line = |id: &u32| &self.lines[*id as usize];
        let in_time =
            |id: &u32| (line(id).needs).is_some_and(|answered| self.now + hop <= answered + limit);
        let place = self.waiting.iter().position(in_time)?;
        let id = self.waiting.remove(place)?;
        self.changed = true;
        let line = line(&id);
        Some(Person {
            talk: line.talk,
            wrap_up: line.wrap_up,
        })
    }

    /// Keeps a ready agent for another city's person, who arrives after `hop`.
    pub(crate) fn host(&mut self, person: Person, hop: Time) {
        let id = self.place(Line {
            began: self.now,
            stage: Stage::Screening,
            needs: None,
            person: true,
            talk: person.talk,
            wrap_up: person.wrap_up,
            place: usize::MAX,
            live: false,
            refused: false,
            agent: None,
        });
        self.keep(id);
        self.at(self.now + hop, Event::Arrives(id));
        self.changed = true;
    }

    fn at(&mut self, when: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((when, self.sequence, event)));
    }

    /// The share of persons who would answer a line begun now.
    fn answer_rate(&self) -> f64 {
        let population = self.setting.population;
        let hour = (self.now / 3_600_000_000) as usize % population.profile.len();
        (population.answer_rate * population.profile[hour] * self.list).min(0.98)
    }

    fn trouble(&self) -> Option<Trouble> {
        let hours = self.now as f64 / 3.6e9;
        let spells = &self.setting.population.spells;
        let within = |s: &&crate::population::Spell| {
            (s.at_hours..s.at_hours + s.minutes / 60.0).contains(&hours)
        };
        spells.iter().find(within).map(|spell| spell.kind)
    }

    fn happen(&mut self, event: Event, pacer: &mut Pacer) {
        match event {
            Event::Tick => {
                let every = if self.setting.agents <= 60 { 0.5 } else { 0.25 };
                self.at(self.now + time(every), Event::Tick);
            }
            Event::NewList => {
                let (a, b) = (self.world.next_u64(), self.world.next_u64());
                let sd = self.setting.population.list_sd;
                self.list = (sd * normals(a, b).0 - sd * sd / 2.0).exp();
                let mean = self.setting.population.list_minutes * 60.0;
                let wait = -mean * (1.0 - unit(self.world.next_u64())).ln();
                self.at(self.now + time(wait), Event::NewList);
            }
            Event::WalkOut(n) => self.walk_out(n as usize),
            Event::Answer(id) if self.lines[id as usize].live => {
                self.lines[id as usize].stage = Stage::Screening;
                let after = time(self.setting.population.screening);
                self.at(self.now + after, Event::Screened(id));
                self.changed = true;
            }
            Event::Screened(id) if self.lines[id as usize].live => self.screened(id, pacer),
            Event::Ends(id) if self.lines[id as usize].live => {
                let line = self.lines[id as usize];
                let after = self.since(line.began);
                self.leave_active(id);
                self.release(id);
                self.spare.push(id);
                self.changed = true;
                // A refusal by the carrier says nothing of persons.
                if !line.refused {
                    self.tell(pacer, Observation::Unanswered { after });
                }
            }
            Event::Patience(id) => self.impatient(id, pacer),
            Event::Arrives(id) => {
                if let Some(agent) = self.lines[id as usize].agent.take() {
                    self.join(agent, id);
                }
                self.spare.push(id);
                self.changed = true;
            }
            Event::Talked(agent) => self.talked(agent, pacer),
            Event::WrappedUp(agent) => self.wrapped_up(agent, pacer),
            Event::Back(agent) => {
                let mut random = self.agents[agent as usize].random.clone();
                let next = next_break(self.setting.population, self.now, &mut random);
                let back = &mut self.agents[agent as usize];
                back.random = random;
                back.break_at = next;
                back.leaves = None;
                self.measure.staffed += 1;
                self.becomes_ready(agent);
            }
            // The line was given up before. Its place is used again only now, after its last event.
            Event::Answer(id) | Event::Screened(id) | Event::Ends(id) => self.spare.push(id),
        }
    }

    fn since(&self, began: Time) -> Duration {
        Duration::from_micros(self.now - began)
    }

    fn tell(&mut self, pacer: &mut Pacer, observation: Observation) {
        self.changed = true;
        if let Pacer::Product(controller) | Pacer::Baseline(controller) = pacer {
            controller.observe(instant(self.now), observation);
        }
    }

    fn screened(&mut self, id: u32, pacer: &mut Pacer) {
        let line = self.lines[id as usize];
        let after = self.since(line.began);
        if !line.person {
            self.leave_active(id);
            self.release(id);
            self.spare.push(id);
            self.tell(pacer, Observation::Screened { after });
            return;
        }
        self.purse.note_answer(self.now);
        self.measure.answer(self.now);
        self.leave_active(id);
        self.tell(pacer, Observation::Answered { after });
        if let Some(agent) = line.agent.or_else(|| self.ready.pop_front()) {
            self.join(agent, id);
            self.spare.push(id);
        } else {
            self.waiting.push_back(id);
            let limit = time(self.setting.population.answer_limit);
            self.at(self.now + limit, Event::Patience(id));
        }
    }

    fn impatient(&mut self, id: u32, pacer: &mut Pacer) {
        self.spare.push(id);
        let Some(at) = self.waiting.iter().position(|waits| *waits == id) else {
            return;
        };
        self.waiting.remove(at);
        self.purse.note_abandoned(self.now);
        self.measure.abandon(self.now);
        self.tell(pacer, Observation::Abandoned);
    }

    fn join(&mut self, agent: u32, id: u32) {
        let line = self.lines[id as usize];
        self.measure
            .joined(self.now, self.agents[agent as usize].since);
        let (talk, wrap_up) = (time(line.talk), time(line.wrap_up));
        let busy = &mut self.agents[agent as usize];
        busy.duty = Duty::Talking;
        busy.since = self.now;
        busy.talk_ends = self.now + talk;
        busy.free_at = self.now + talk + wrap_up;
        self.measure.busy += 1;
        self.at(self.now + talk, Event::Talked(agent));
    }

    fn talked(&mut self, agent: u32, pacer: &mut Pacer) {
        let lasted = self.since(self.agents[agent as usize].since);
        let wrapping = &mut self.agents[agent as usize];
        wrapping.duty = Duty::Wrapping;
        wrapping.since = self.now;
        let ends = wrapping.free_at;
        self.at(ends, Event::WrappedUp(agent));
        self.tell(pacer, Observation::Talked { lasted });
    }

    fn wrapped_up(&mut self, id: u32, pacer: &mut Pacer) {
        let lasted = self.since(self.agents[id as usize].since);
        self.measure.busy -= 1;
        let agent = &mut self.agents[id as usize];
        let back = match agent.leaves {
            Some(back) => Some(back),
            None if self.now >= agent.break_at => {
                let (a, b) = (agent.random.next_u64(), agent.random.next_u64());
                let length = self.setting.population.breaks.at(normals(a, b).0);
                Some(self.now + time(length))
            }
            None => None,
        };
        let ready = back.is_none();
        if let Some(back) = back {
            self.goes(id, back);
        } else {
            self.becomes_ready(id);
        }
        self.tell(pacer, Observation::WrappedUp { lasted, ready });
    }

    fn goes(&mut self, id: u32, back: Time) {
        self.agents[id as usize].duty = Duty::Away;
        self.measure.staffed -= 1;
        self.at(back.max(self.now + 1), Event::Back(id));
    }

    fn becomes_ready(&mut self, id: u32) {
        let agent = &mut self.agents[id as usize];
        agent.duty = Duty::Ready;
        agent.since = self.now;
        self.changed = true;
        if let Some(person) = self.waiting.pop_front() {
            self.join(id, person);
        } else {
            self.ready.push_back(id);
        }
    }

    /// Keeps the agent who has been ready for longest for a line.
    fn keep(&mut self, id: u32) {
        let agent = self.ready.pop_front();
        if let Some(agent) = agent {
            self.agents[agent as usize].duty = Duty::Kept;
        }
        self.lines[id as usize].agent = agent;
    }

    /// Lets go of the agent kept for a line that came to nothing. Who wanted to leave meanwhile
    /// leaves now, as in a node.
    fn release(&mut self, id: u32) {
        let Some(id) = self.lines[id as usize].agent.take() else {
            return;
        };
        let agent = &mut self.agents[id as usize];
        if let Some(back) = agent.leaves {
            self.goes(id, back);
            return;
        }
        agent.duty = Duty::Ready;
        if let Some(person) = self.waiting.pop_front() {
            self.join(id, person);
        } else {
            self.ready.push_back(id);
        }
    }

    fn walk_out(&mut self, n: usize) {
        let out = self.setting.population.walk_outs[n];
        let back = self.now + time(out.minutes * 60.0);
        let leave = (out.share * self.agents.len() as f64).round() as usize;
        for id in 0..leave.min(self.agents.len()) as u32 {
            match self.agents[id as usize].duty {
                Duty::Ready => {
                    self.ready.retain(|ready| *ready != id);
                    self.goes(id, back);
                }
                Duty::Kept | Duty::Talking | Duty::Wrapping => {
                    self.agents[id as usize].leaves = Some(back);
                }
                Duty::Away => {}
            }
        }
        self.changed = true;
    }

    fn dial(&mut self, keeps: bool) {
        let population = self.setting.population;
        // Always as many draws a lead: the n-th lead is the same one under every controller.
        let draw: [u64; 6] = std::array::from_fn(|_| self.leads.next_u64());
        let (ring, talk) = normals(draw[1], draw[2]);
        let (wrap_up, _) = normals(draw[3], draw[4]);
        let trouble = self.trouble();
        let heard = trouble.is_none();
        let person = heard && unit(draw[0]) < self.answer_rate();
        let machine = heard && !person && unit(draw[5]) < population.machine_share;
        let rings = population.ring.at(ring).min(population.ring_limit);
        let answers = self.now + time(population.post_dial_delay + rings);
        let line = Line {
            began: self.now,
            stage: Stage::Ringing,
            needs: person.then_some(answers + time(population.screening)),
            person,
            talk: population.talk.at(talk),
            wrap_up: population.wrap_up.at(wrap_up),
            place: self.active.len(),
            live: true,
            refused: trouble == Some(Trouble::Outage),
            agent: None,
        };
        let id = self.place(line);
        self.active.push(id);
        self.measure.lines += 1;
        if keeps {
            self.keep(id);
        }
        self.measure.dial(self.now);
        if trouble == Some(Trouble::Outage) {
            self.at(self.now + 300_000, Event::Ends(id));
        } else if person || machine {
            self.at(answers, Event::Answer(id));
        } else {
            let ends = population.post_dial_delay + population.ring_limit;
            self.at(self.now + time(ends), Event::Ends(id));
        }
    }

    fn place(&mut self, line: Line) -> u32 {
        if let Some(id) = self.spare.pop() {
            self.lines[id as usize] = line;
            return id;
        }
        self.lines.push(line);
        self.lines.len() as u32 - 1
    }

    fn leave_active(&mut self, id: u32) {
        let place = self.lines[id as usize].place;
        self.active.swap_remove(place);
        self.measure.lines -= 1;
        if let Some(moved) = self.active.get(place) {
            self.lines[*moved as usize].place = place;
        }
        self.lines[id as usize].live = false;
    }

    pub(crate) fn look(&mut self) {
        let now = self.now;
        let age = |since: Time| Duration::from_micros(now - since);
        let view = &mut self.view;
        view.ready = self.ready.len() as u32;
        view.waiting = self.waiting.len() as u32;
        view.reserved = 0;
        view.on_call.clear();
        view.wrap_up.clear();
        view.lines.clear();
        for agent in &self.agents {
            match agent.duty {
                Duty::Talking => view.on_call.push(age(agent.since)),
                Duty::Wrapping if agent.leaves.is_none() => view.wrap_up.push(age(agent.since)),
                _ => {}
            }
        }
        let population = self.setting.population;
        let minimum = time(population.post_dial_delay + population.ring_min);
        let delay = time(population.post_dial_delay);
        for id in &self.active {
            let line = self.lines[*id as usize];
            let passed = now - line.began;
            let screening = line.stage == Stage::Screening;
            view.lines.push(pacing::Line {
                phase: match screening {
                    true => Phase::Screening,
                    false if passed >= delay => Phase::Ringing,
                    false => Phase::Dialing,
                },
                age: age(line.began),
                cancellable: !screening && passed >= minimum,
                kept: line.agent.is_some(),
            });
            view.reserved += u32::from(line.agent.is_some());
        }
        view.budget = self.purse.budget(now);
        pacing::levers::tell(&self.setting.levers, view, 0);
    }

    fn pace(&mut self, pacer: &mut Pacer) {
        let now = instant(self.now);
        self.look();
        let (launch, keeps) = match pacer {
            Pacer::Product(controller) => {
                while let Some(place) = controller.give_up(now, &self.view) {
                    self.give_up(place, controller.as_mut());
                }
                let wish = controller.lines(now, &self.view);
                // As a node does: without budget each line keeps an agent, whatever is wished.
                if self.view.may_abandon() == 0 {
                    (wish.min(self.view.one_to_one()), true)
                } else {
                    (wish, controller.keeps_agents())
                }
            }
            Pacer::Baseline(controller) => (controller.lines(now, &self.view), false),
            Pacer::Clairvoyant(clairvoyant) => {
                while clairvoyant.one_more(&self.truth()) {
                    self.dial(false);
                }
                (0, false)
            }
        };
        for _ in 0..launch {
            self.dial(keeps);
        }
    }

    fn give_up(&mut self, place: usize, controller: &mut dyn Controller) {
        let id = self.active[place];
        assert!(
            self.view.lines[place].cancellable,
            "only what may be given up"
        );
        let after = self.since(self.lines[id as usize].began);
        self.leave_active(id);
        self.release(id);
        self.measure.given_up(self.now);
        controller.observe(instant(self.now), Observation::GivenUp { after });
        self.look();
    }

    fn truth(&mut self) -> Truth<'_> {
        let (now, limit) = (self.now, time(self.setting.population.answer_limit));
        let rate = self.answer_rate();
        let left = (self.purse.budget(now)).map_or(0.0, |budget| budget.left as f32 / 1000.0);
        self.free.clear();
        for agent in &self.agents {
            let stays = agent.leaves.is_none() && agent.free_at < agent.break_at;
            match agent.duty {
                Duty::Ready | Duty::Kept => self.free.push(0),
                Duty::Talking | Duty::Wrapping if stays => {
                    self.free.push((agent.free_at - now).saturating_sub(limit));
                }
                _ => {}
            }
        }
        self.needs.clear();
        let lines = self.active.iter().map(|id| &self.lines[*id as usize]);
        let needs = lines.filter_map(|line| line.needs.map(|at| at.saturating_sub(now)));
        self.needs.extend(needs);
        Truth {
            rate,
            left,
            answers: self.measure.answers_in_all,
            waiting: self.waiting.len(),
            free: &self.free,
            needs: &self.needs,
        }
    }
}

fn next_break(population: &Population, now: Time, random: &mut Stream) -> Time {
    if population.break_every <= 0.0 {
        return Time::MAX;
    }
    let wait = -population.break_every * 60.0 * (1.0 - unit(random.next_u64())).ln();
    now + time(wait)
}
