//! Cities that lend each other agents, in virtual time: each has its own leads, agents and
//! controller; a person whom the own agents cannot take goes to the nearest city in reach that has
//! a ready one. The abandonment budget is one, lent by a directory.

use crate::{
    center::{Center, Event, Pacer, Setting, Time, time},
    escrow::{Ask, Directory, Purse},
    measure::{Measure, Run},
    population::Population,
};
use domain::{DialLevel, PacingMode};
use pacing::{Forecast, Levers, Neighbour, overlap_permille};
use std::{collections::VecDeque, time::Duration};

/// How long it takes until another city's agent hears the person, in seconds.
const HOP: f64 = 0.15;
/// A city tells what it expects, and asks for its share, so often, in seconds.
const TELLS: f64 = 0.5;

/// What ties the cities together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tie {
    /// Cities whose agents a city's persons may be given to, itself among them: the nearest on a
    /// ring. 1 is a city that works alone.
    pub reach: usize,
    /// How old another city's word is at least when it is used, in seconds; none where no city
    /// hears of the others, so that each paces on its own agents.
    pub state_age: Option<f64>,
    /// Every four hours all cities are cut from each other and from the directory for one hour.
    pub cut: bool,
}

impl Tie {
    /// As tables call it.
    pub fn name(&self, cities: usize) -> String {
        let reach = match self.reach {
            1 => "isolated".to_owned(),
            all if all == cities => "all cities".to_owned(),
            n => format!("{n} cities"),
        };
        match (self.state_age, self.cut) {
            _ if self.reach == 1 => reach,
            (None, _) => format!("{reach}, blind"),
            (_, true) => format!("{reach}, cut"),
            (Some(_), false) => reach,
        }
    }

    fn is_cut(&self, now: Time) -> bool {
        self.cut && now / time(3600.0) % 4 == 3
    }
}

/// One run of a mesh to make.
#[derive(Clone, Debug)]
pub struct Mesh<'a> {
    /// Every city's world; each draws its own leads, lists, breaks from it.
    pub population: &'a Population,
    /// How many cities.
    pub cities: usize,
    /// Agents of each.
    pub agents: usize,
    /// What ties them together.
    pub tie: Tie,
    /// The most lines that predictive pacing has for an agent.
    pub level: DialLevel,
    /// Hours that are left out at the start.
    pub warm_up: f64,
    /// Hours that count.
    pub hours: f64,
    /// Where all chance comes from.
    pub seed: u64,
}

/// Makes a run; its figures are of the mesh as a whole.
pub fn simulate_mesh(mesh: &Mesh<'_>) -> Run {
    let settings: Vec<Setting<'_>> = (0..mesh.cities)
        .map(|city| mesh.setting(mesh.agents, mesh.seed * 1000 + city as u64))
        .collect();
    let whole = mesh.setting(mesh.agents * mesh.cities, mesh.seed);
    let mut pool = Pool::new(mesh, &settings, &whole);
    let end = whole.end();
    while pool.step(end) {}
    let mut measure = pool.measure;
    for city in &mut pool.cities {
        city.center.advance(end);
        measure.add(&city.center.measure);
    }
    Run {
        controller: mesh.tie.name(mesh.cities),
        ..measure.finish(&whole)
    }
}

impl Mesh<'_> {
    fn setting(&self, agents: usize, seed: u64) -> Setting<'_> {
        Setting {
            population: self.population,
            agents,
            warm_up: self.warm_up,
            hours: self.hours,
            seed,
            levers: Levers::default(),
        }
    }

    /// The cities in reach of one, nearest first.
    fn reach(&self, city: usize) -> Vec<usize> {
        (0..self.tie.reach.min(self.cities))
            .map(|n| match n % 2 {
                0 => (city + self.cities - n / 2) % self.cities,
                _ => (city + n.div_ceil(2)) % self.cities,
            })
            .collect()
    }
}

struct City<'a> {
    center: Center<'a>,
    pacer: Pacer,
    /// Nearest first, itself at the front.
    reach: Vec<usize>,
    /// The cities of `center.view.neighbours`.
    neighbours: Vec<usize>,
    /// What it told, and when: as long as somebody may still use it.
    told: VecDeque<(Time, Forecast)>,
    next_tell: Time,
    /// Answers and abandonments that the mesh's measure knows.
    counted: (u64, u64),
}

struct Pool<'a> {
    mesh: &'a Mesh<'a>,
    cities: Vec<City<'a>>,
    directory: Directory,
    measure: Measure,
}

impl<'a> Pool<'a> {
    fn new(mesh: &'a Mesh<'a>, settings: &'a [Setting<'a>], whole: &Setting<'_>) -> Self {
        let reaches: Vec<Vec<usize>> = (0..mesh.cities).map(|city| mesh.reach(city)).collect();
        let cities = settings.iter().enumerate().map(|(at, setting)| {
            // No two cities look at the same moment: they would all want the same agents.
            let phase = time(TELLS * at as f64 / mesh.cities as f64);
            let purse = Purse::lent(mesh.population.budget_permille);
            let mut center = Center::new(setting, purse, phase);
            let mine = &reaches[at];
            let shares = |other: &usize| {
                *other != at && mesh.tie.state_age.is_some() && {
                    mine.iter().any(|city| reaches[*other].contains(city))
                }
            };
            let neighbours: Vec<usize> = (0..mesh.cities).filter(shares).collect();
            center.view.neighbours = (neighbours.iter())
                .map(|other| Neighbour {
                    age: Duration::MAX,
                    takes: mine.contains(other),
                    overlap_permille: overlap_permille(mine, &reaches[*other], |_| 1),
                    forecast: Forecast::default(),
                })
                .collect();
            City {
                center,
                pacer: Pacer::Product(pacing::controller(PacingMode::Predictive, mesh.level)),
                reach: mine.clone(),
                neighbours,
                told: VecDeque::new(),
                next_tell: phase,
                counted: (0, 0),
            }
        });
        Self {
            mesh,
            cities: cities.collect(),
            directory: Directory::new(whole.window(), mesh.cities),
            measure: Measure::new(whole),
        }
    }

    /// The next thing in any city; false when nothing is left before `end`.
    fn step(&mut self, end: Time) -> bool {
        let next = self.cities.iter().enumerate();
        let next = next.filter_map(|(at, city)| Some((city.center.next()?, at)));
        let Some((now, at)) = next.min().filter(|(now, _)| *now < end) else {
            return false;
        };
        self.hear(at, now);
        let city = &mut self.cities[at];
        let event = city.center.step(&mut city.pacer);
        self.count(at, now);
        self.lend_agents(now);
        if event == Some(Event::Tick) && now >= self.cities[at].next_tell {
            self.cities[at].next_tell = now + time(TELLS);
            self.tell(at, now);
        }
        true
    }

    /// What others told, as old as it is by now.
    fn hear(&mut self, at: usize, now: Time) {
        let (Some(age), false) = (self.mesh.tie.state_age, self.mesh.tie.is_cut(now)) else {
            for neighbour in &mut self.cities[at].center.view.neighbours {
                neighbour.age = Duration::MAX;
            }
            return;
        };
        let age = time(age);
        for n in 0..self.cities[at].neighbours.len() {
            let other = self.cities[at].neighbours[n];
            let told = self.cities[other].told.iter();
            let told = told.rev().find(|(when, _)| when + age <= now).copied();
            let neighbour = &mut self.cities[at].center.view.neighbours[n];
            if let Some((when, forecast)) = told {
                neighbour.age = Duration::from_micros(now - when);
                neighbour.forecast = forecast;
            }
        }
    }

    fn tell(&mut self, at: usize, now: Time) {
        let mesh = self.mesh;
        let city = &mut self.cities[at];
        // With what was launched a moment ago.
        city.center.look();
        let view = &city.center.view;
        if !mesh.tie.is_cut(now) {
            let ask = Ask {
                level: mesh.level,
                agents: view.agents(),
                at_risk: view.lines.len() as u32 + view.waiting - view.reserved,
            };
            let purse = &mut city.center.purse;
            self.directory.exchange(now, at, purse, ask);
        }
        let (Some(age), Pacer::Product(controller)) = (mesh.tie.state_age, &mut city.pacer) else {
            return;
        };
        let old = now.saturating_sub(time(age + 2.0 * TELLS));
        city.told.retain(|(when, _)| *when >= old);
        if let Some(forecast) = controller.forecast(&city.center.view) {
            city.told.push_back((now, forecast));
        }
    }

    /// Gives persons who wait to ready agents in reach, the nearest first.
    fn lend_agents(&mut self, now: Time) {
        if self.mesh.tie.is_cut(now) {
            return;
        }
        let hop = time(HOP);
        for at in 0..self.cities.len() {
            for n in 1..self.cities[at].reach.len() {
                if self.cities[at].center.waiting.is_empty() {
                    break;
                }
                let host = self.cities[at].reach[n];
                while !self.cities[host].center.ready.is_empty() {
                    self.cities[at].center.advance(now);
                    let Some(person) = self.cities[at].center.give_away(hop) else {
                        break;
                    };
                    self.cities[host].center.advance(now);
                    self.cities[host].center.host(person, hop);
                }
            }
        }
    }

    /// Counts what a city's step has brought to the one budget.
    fn count(&mut self, at: usize, now: Time) {
        let city = &mut self.cities[at];
        let measure = &city.center.measure;
        let happened = (measure.answers_in_all, measure.abandoned_in_all);
        for _ in city.counted.0..happened.0 {
            self.measure.answer(now);
        }
        for _ in city.counted.1..happened.1 {
            self.measure.abandon(now);
        }
        city.counted = happened;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(population: &Population, reach: usize) -> Mesh<'_> {
        Mesh {
            population,
            cities: 6,
            agents: 5,
            tie: Tie {
                reach,
                state_age: Some(1.0),
                cut: false,
            },
            level: DialLevel(1000),
            warm_up: 2.0,
            hours: 3.0,
            seed: 1,
        }
    }

    #[test]
    fn reach_is_the_nearest_on_a_ring() {
        let population = Population::default();
        assert_eq!(mesh(&population, 1).reach(4), [4]);
        assert_eq!(mesh(&population, 4).reach(0), [0, 1, 5, 2]);
        let mut all = mesh(&population, 9).reach(2);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn equal_seeds_give_equal_meshes() {
        let population = Population::default();
        let text = |reach| format!("{:?}", simulate_mesh(&mesh(&population, reach)));
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(6));
    }
}
