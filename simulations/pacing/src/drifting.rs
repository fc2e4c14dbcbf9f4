//! Whom to call when, in a world whose good hours differ by segment and drift: what an order by the
//! hour wins over none.

use crate::{
    Interval,
    population::{normals, unit},
};
use ::scoring::{Answers, Features, GivenOut, Line, Model, Order};
use anyhow::Context as _;
use domain::{LeadId, held_out, limits};
use sansio::{Seed, Stream};
use serde::Serialize;
use std::{cmp::Ordering, collections::VecDeque, fmt::Write as _, path::PathBuf};

/// Measures orders of leads in a synthetic world.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BestTimeArgs {
    /// How many seeds; each is a world, in which every order is tried.
    #[arg(long, default_value_t = 40)]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub from: u64,
    /// How much the hours differ: the standard deviation of a segment's effect at an hour, on the
    /// logarithm of the odds.
    #[arg(long, default_value_t = 0.35)]
    pub sd: f64,
    /// The share of that variance which all segments have in common, and which an order can hardly win
    /// since each hour has as many lines.
    #[arg(long, default_value_t = 0.667)]
    pub common: f64,
    /// After so many days an effect resembles what it was by a factor of 1/e; 0 for no drift.
    #[arg(long, default_value_t = 60.0)]
    pub drift_days: f64,
    /// Lines of days before the campaign, in no order, that the orders with a history know.
    #[arg(long, default_value_t = 30_000)]
    pub history: u64,
    /// Leads of the campaign. Who answered is called no more, and nobody twice a day.
    #[arg(long, default_value_t = 4_000)]
    pub leads: usize,
    /// Days of the campaign, twelve hours each.
    #[arg(long, default_value_t = 20)]
    pub days: u32,
    /// Lines in each hour.
    #[arg(long, default_value_t = 60)]
    pub lines: usize,
    /// One JSON line for each run instead of a table.
    #[arg(long)]
    pub json: bool,
    /// What each order wins, as an SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  best-time                        every order, cold and with 30,000 lines of history
  best-time --sd 0.2 --seeds 80    hours that differ less
  best-time --drift-days 0         the same without drift";

const SEGMENTS: usize = 8;
/// The calling window, from nine to nine.
const OPEN: usize = 9;
const OPEN_HOURS: usize = 12;
/// Lines an hour of the days before.
const LINES_BEFORE: usize = 150;
/// Who answers how often: the logarithm of the odds at a usual hour, and how leads differ in it.
const LEVEL: f64 = -1.4;
const FRAILTY: f64 = 0.8;
/// Attempts that a model tells apart.
const ATTEMPTS: usize = 10;
/// The chance with which the product's models begin.
const BEGINNING: f32 = 0.2;
/// Leads in one claim: what some agents dial in ten seconds.
const CLAIM: usize = 20;
/// Forgotten each day by the regression that sees all at once, as by the product's models.
const FADE: f32 = 0.015;

/// How leads are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// None: whom chance gives.
    Random,
    /// Who waited for longest since the last attempt, new ones first.
    Oldest,
    /// The highest chance now, by what the product's models know.
    Highest,
    /// The product's rule on a logistic regression that sees segment and hour together.
    Logistic,
    /// The product's: [`Order`], with the share held out.
    Ours,
    /// The same with draws instead of means.
    Thompson,
    /// As a region of the product gives leads out: claim by claim, the best of those that are due for
    /// longest; who was passed over goes behind the others.
    Claims,
    /// The product's rule by one who knows every effect.
    Knowing,
}

const RULES: [(Rule, &str); 8] = [
    (Rule::Random, "random"),
    (Rule::Oldest, "oldest first"),
    (Rule::Highest, "highest chance now"),
    (Rule::Logistic, "logistic"),
    (Rule::Ours, "ours"),
    (Rule::Thompson, "ours, Thompson"),
    (Rule::Claims, "ours, by claims"),
    (Rule::Knowing, "knows the hours"),
];

#[derive(Clone, Debug)]
struct Lead {
    frailty: f64,
    attempts: usize,
    /// The day of the last attempt, from 1; 0 for none.
    tried: u32,
    reached: bool,
    held_out: bool,
}

/// Answers of lines.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Share {
    lines: u64,
    answers: u64,
}

impl Share {
    fn note(&mut self, answered: bool) {
        self.lines += 1;
        self.answers += u64::from(answered);
    }

    fn share(self) -> f64 {
        self.answers as f64 / self.lines.max(1) as f64
    }
}

/// What one order came to in one world.
#[derive(Clone, Debug, Serialize)]
struct Run {
    rule: &'static str,
    history: u64,
    seed: u64,
    /// All lines of the campaign, those held out among them.
    all: Share,
    held_out: Share,
}

struct World {
    /// What an hour does to all, and what it does to a segment beside that.
    common: [f64; OPEN_HOURS],
    own: [[f64; OPEN_HOURS]; SEGMENTS],
    stays: f64,
    sd: f64,
    /// The share of the variance that is common.
    shared: f64,
    random: Stream,
}

impl World {
    fn new(args: &BestTimeArgs, seed: u64) -> Self {
        let mut world = Self {
            common: [0.0; OPEN_HOURS],
            own: [[0.0; OPEN_HOURS]; SEGMENTS],
            stays: 0.0,
            sd: args.sd,
            shared: args.common,
            random: Seed::from_u64(seed).stream("effects"),
        };
        world.next_day();
        world.stays = match args.drift_days {
            days if days > 0.0 => (-1.0 / days).exp(),
            _ => 1.0,
        };
        world
    }

    /// Effects go back to nothing as fast as chance moves them: on the mean they differ as before.
    fn next_day(&mut self) {
        let moves = (1.0 - self.stays * self.stays).sqrt() * self.sd;
        let (stays, shared, random) = (self.stays, self.shared, &mut self.random);
        let mut change = |effect: &mut f64, share: f64| {
            let (a, b) = (random.next_u64(), random.next_u64());
            *effect = *effect * stays + moves * share.sqrt() * normals(a, b).0;
        };
        for effect in &mut self.common {
            change(effect, shared);
        }
        for effect in self.own.iter_mut().flatten() {
            change(effect, 1.0 - shared);
        }
    }

    /// On the logarithm of the odds.
    fn effect(&self, segment: usize, hour: usize) -> f64 {
        self.common[hour] + self.own[segment][hour]
    }
}

/// One order at work: what it knows, and chance of its own.
struct Trial {
    rule: Rule,
    /// What a node learns of the campaign.
    answers: Answers,
    /// Sees the hour, alone and with the segment; only where it is looked at.
    crossed: Option<Model>,
    /// Who is due, longest first, and who was called today: for [`Rule::Claims`].
    due: VecDeque<usize>,
    called: Vec<usize>,
    /// Days that passed.
    day: u32,
    random: Stream,
    all: Share,
    held_out: Share,
}

fn seen(segment: usize, attempts: usize) -> Features {
    let mut features = Features::new();
    features.word("segment", &segment.to_string());
    features.word("attempts", &attempts.min(ATTEMPTS).to_string());
    features
}

fn seen_with_hour(segment: usize, attempts: usize, hour: usize) -> Features {
    let mut features = seen(segment, attempts);
    features.word("hour", &hour.to_string());
    features.together(1, 3);
    features
}

fn logistic(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// A lead that may be called now.
struct Turn {
    place: f64,
    /// Higher for who waited for longer.
    waited: i64,
    chance: f64,
    lead: usize,
}

impl Turn {
    /// Higher places first, then who waited for longest, then as chance has it.
    fn before(a: &Self, b: &Self) -> Ordering {
        (b.place.total_cmp(&a.place))
            .then(b.waited.cmp(&a.waited))
            .then(b.chance.total_cmp(&a.chance))
            .then(a.lead.cmp(&b.lead))
    }
}

impl Trial {
    fn new(rule: Rule, seed: u64) -> Self {
        let learning = ::scoring::Learning::default();
        Self {
            rule,
            answers: Answers::new(BEGINNING),
            crossed: (rule == Rule::Logistic).then(|| Model::new(learning).beginning_at(BEGINNING)),
            due: VecDeque::new(),
            called: Vec::new(),
            day: 0,
            random: Seed::from_u64(seed).stream("calls"),
            all: Share::default(),
            held_out: Share::default(),
        }
    }

    fn unit(&mut self) -> f64 {
        unit(self.random.next_u64())
    }

    fn leads(&mut self, count: usize) -> Vec<Lead> {
        let lead = |id: usize| {
            let (a, b) = (self.random.next_u64(), self.random.next_u64());
            Lead {
                frailty: FRAILTY * normals(a, b).0,
                attempts: 0,
                tried: 0,
                reached: false,
                held_out: held_out(LeadId(id as u64), limits::HELD_OUT_PERMILLE),
            }
        };
        (0..count).map(lead).collect()
    }

    /// The next lines of a day go out.
    fn hour(&mut self, world: &World, leads: &mut [Lead], day: u32, hour: usize, lines: usize) {
        let open = (0..leads.len()).filter(|at| !leads[*at].reached && leads[*at].tried < day);
        let open: Vec<usize> = open.collect();
        let places = self.places(world, hour);
        let mut order: Vec<Turn> = Vec::with_capacity(open.len());
        for at in open {
            let (lead, chance) = (&leads[at], self.unit());
            let place = match self.rule {
                Rule::Random => 0.0,
                Rule::Oldest => -f64::from(lead.tried),
                _ => places[at % SEGMENTS][lead.attempts.min(ATTEMPTS)],
            };
            order.push(Turn {
                place,
                waited: -i64::from(lead.tried),
                chance,
                lead: at,
            });
        }
        let keeps_out = matches!(self.rule, Rule::Ours | Rule::Thompson);
        if keeps_out {
            // Those held out go at the moments that chance gives them: as many as are their share.
            let open = order.len() as f64;
            for turn in &mut order {
                if leads[turn.lead].held_out {
                    let now = turn.chance < lines as f64 / open;
                    turn.place = if now { f64::MAX } else { f64::MIN };
                }
            }
        }
        if self.rule == Rule::Random {
            order.iter_mut().for_each(|turn| turn.waited = 0);
        }
        if lines < order.len() {
            order.select_nth_unstable_by(lines, Turn::before);
            order.truncate(lines);
        }
        order.sort_by(Turn::before);
        for Turn { lead: at, .. } in order {
            self.call(world, &mut leads[at], at % SEGMENTS, day, hour);
        }
    }

    /// The next lines of a day go out, to leads that a region gives out claim by claim.
    fn claims(
        &mut self,
        world: &World,
        leads: &mut [Lead],
        (day, hour): (u32, usize),
        lines: usize,
    ) {
        let places = self.places(world, hour);
        let mut left = lines;
        while left > 0 {
            let n = left.min(CLAIM);
            left -= n;
            let looked = (n * limits::CLAIM_CHOICE).min(self.due.len());
            let mut order: Vec<Turn> = Vec::with_capacity(looked);
            for waited in 0..looked {
                let at = self.due.pop_front().expect("as many are due");
                let turn = self.unit() < n as f64 / looked as f64;
                let place = match leads[at].held_out {
                    true if turn => f64::MAX,
                    true => f64::MIN,
                    false => places[at % SEGMENTS][leads[at].attempts.min(ATTEMPTS)],
                };
                order.push(Turn {
                    place,
                    waited: -(waited as i64),
                    chance: 0.0,
                    lead: at,
                });
            }
            order.sort_by(Turn::before);
            let mut passed = order.split_off(n.min(order.len()));
            passed.sort_by_key(|turn| -turn.waited);
            self.due.extend(passed.iter().map(|turn| turn.lead));
            for Turn { lead: at, .. } in order {
                self.call(world, &mut leads[at], at % SEGMENTS, day, hour);
                if !leads[at].reached {
                    self.called.push(at);
                }
            }
        }
    }

    fn call(&mut self, world: &World, lead: &mut Lead, segment: usize, day: u32, hour: usize) {
        let odds = LEVEL + lead.frailty + world.effect(segment, hour);
        let answered = self.unit() < logistic(odds);
        let line = Line {
            region: 0,
            list: segment as u32,
            attempt: lead.attempts as u16 + 1,
            hour: (OPEN + hour) as u8,
            weekday: 0,
        };
        (self.answers).note(&line, GivenOut::InTurn, i64::from(self.day), answered);
        if let Some(crossed) = &mut self.crossed {
            crossed.learn(&seen_with_hour(segment, lead.attempts, hour), answered);
        }
        lead.attempts += 1;
        lead.tried = day;
        lead.reached = answered;
        self.all.note(answered);
        if lead.held_out {
            self.held_out.note(answered);
        }
    }

    /// Places by segment and attempts before.
    fn places(&mut self, world: &World, hour: usize) -> [[f64; ATTEMPTS + 1]; SEGMENTS] {
        let mut places = [[0.0; ATTEMPTS + 1]; SEGMENTS];
        if matches!(self.rule, Rule::Random | Rule::Oldest) {
            return places;
        }
        let (answers, random) = (&self.answers, &mut self.random);
        let mut draw = || {
            let (a, b) = (random.next_u64(), random.next_u64());
            normals(a, b).0 as f32
        };
        let order = match self.rule {
            Rule::Thompson => answers.order(OPEN + hour, Some(&mut draw)),
            _ => answers.order(OPEN + hour, None),
        };
        for (segment, places) in places.iter_mut().enumerate() {
            for (attempts, place) in places.iter_mut().enumerate() {
                let list = segment as u32;
                let at = answers.place(Some(list));
                let chance = answers.chance(0, list, attempts as u16 + 1);
                *place = match self.rule {
                    Rule::Highest => f64::from(chance * answers.factor(Some(list), OPEN + hour)),
                    Rule::Logistic => {
                        let at = |hour| {
                            let features = seen_with_hour(segment, attempts, hour);
                            (self.crossed.as_ref()).map_or(0.0, |m| f64::from(m.chance(&features)))
                        };
                        let usual = (0..OPEN_HOURS).map(at).sum::<f64>() / OPEN_HOURS as f64;
                        Order::beyond(at(hour) as f32, usual as f32).into()
                    }
                    Rule::Knowing => {
                        let at = |hour: usize| logistic(LEVEL + world.effect(segment, hour));
                        let usual = (0..OPEN_HOURS).map(at).sum::<f64>() / OPEN_HOURS as f64;
                        let now = (at(hour) / usual) as f32;
                        (chance * Order::beyond(now, 1.0)).into()
                    }
                    _ => order.place(at, chance, 1.0).into(),
                };
            }
        }
        places
    }

    fn night(&mut self) {
        self.day += 1;
        self.crossed.iter_mut().for_each(|model| model.fade(FADE));
    }
}

fn run(args: &BestTimeArgs, rule: Rule, name: &'static str, history: u64, seed: u64) -> Run {
    let mut world = World::new(args, seed);
    let mut trial = Trial::new(rule, seed);
    // The days before: lines in no order, of other leads. The world is as old in every run.
    let days = args.history.div_ceil((OPEN_HOURS * LINES_BEFORE) as u64) as u32;
    trial.rule = Rule::Random;
    let mut left = history;
    let mut leads = trial.leads(history as usize / 2);
    for day in 1..=days {
        world.next_day();
        for hour in 0..OPEN_HOURS {
            let lines = left.min(LINES_BEFORE as u64);
            left -= lines;
            trial.hour(&world, &mut leads, day, hour, lines as usize);
        }
        trial.night();
    }
    trial.rule = rule;
    (trial.all, trial.held_out) = (Share::default(), Share::default());
    let mut leads = trial.leads(args.leads);
    trial.due = (0..leads.len()).collect();
    for day in 1..=args.days {
        world.next_day();
        for hour in 0..OPEN_HOURS {
            match rule {
                Rule::Claims => trial.claims(&world, &mut leads, (day, hour), args.lines),
                _ => trial.hour(&world, &mut leads, day, hour, args.lines),
            }
        }
        let called = std::mem::take(&mut trial.called);
        trial.due.extend(called);
        trial.night();
    }
    Run {
        rule: name,
        history,
        seed,
        all: trial.all,
        held_out: trial.held_out,
    }
}

/// Runs what was asked and prints it.
pub fn best_time(args: &BestTimeArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.seeds > 0, "--seeds must be above zero");
    anyhow::ensure!(
        (0.0..=3.0).contains(&args.sd) && (0.0..=1.0).contains(&args.common),
        "--sd is from 0 to 3, --common a fraction: 0.5 is half"
    );
    anyhow::ensure!(
        args.drift_days >= 0.0 && (1..=3_650).contains(&args.days),
        "--drift-days is not below 0, --days from 1 to 3,650"
    );
    anyhow::ensure!(
        (1..=1_000_000).contains(&args.leads) && (1..=100_000).contains(&args.lines),
        "--leads is from 1 to 1,000,000, --lines from 1 to 100,000"
    );
    anyhow::ensure!(
        (1..=1_000_000).contains(&args.history),
        "--history is from 1 to 1,000,000 lines"
    );
    let runs = runs(args);
    if args.json {
        for run in &runs {
            println!("{}", serde_json::json!(run));
        }
    } else {
        print!("{}", table(&runs));
    }
    if let Some(path) = &args.plot {
        let gains: Vec<_> = rows(&runs)
            .into_iter()
            .map(|row| (row.name, row.gain))
            .collect();
        std::fs::write(
            path,
            crate::report::bars("answers a line beside no order", &gains),
        )
        .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn runs(args: &BestTimeArgs) -> Vec<Run> {
    let mut all = vec![];
    for history in [0, args.history] {
        for (rule, name) in RULES {
            for seed in args.from..args.from + args.seeds {
                all.push(run(args, rule, name, history, seed));
            }
        }
    }
    all
}

struct Row {
    name: String,
    share: Interval,
    /// Beside no order in the same worlds, as a fraction.
    gain: Interval,
    /// What the leads in order won beside those held out.
    held_out: Option<Interval>,
}

fn rows(runs: &[Run]) -> Vec<Row> {
    let mut histories: Vec<u64> = runs.iter().map(|run| run.history).collect();
    histories.dedup();
    let mut rows = vec![];
    for history in histories {
        let of = |name: &str| -> Vec<&Run> {
            (runs.iter())
                .filter(|run| run.rule == name && run.history == history)
                .collect()
        };
        let unordered = of(RULES[0].1);
        for (_, name) in RULES {
            let mine = of(name);
            let shares: Vec<f64> = mine.iter().map(|run| run.all.share()).collect();
            let gains: Vec<f64> = (mine.iter().zip(&unordered))
                .map(|(run, other)| run.all.share() / other.all.share() - 1.0)
                .collect();
            let ours = name.starts_with("ours");
            let lifts = mine.iter().map(|run| {
                let ordered = Share {
                    lines: run.all.lines - run.held_out.lines,
                    answers: run.all.answers - run.held_out.answers,
                };
                ordered.share() / run.held_out.share() - 1.0
            });
            rows.push(Row {
                name: match history {
                    0 => format!("{name}, cold"),
                    _ => format!("{name}, with history"),
                },
                share: Interval::of(&shares),
                gain: Interval::of(&gains),
                held_out: ours.then(|| Interval::of(&lifts.collect::<Vec<f64>>())),
            });
        }
    }
    rows
}

fn table(runs: &[Run]) -> String {
    let mut text = String::from(
        "order                            answers a line     beside none  beside those held out\n",
    );
    let percent = |of: &Interval, sign: bool| {
        let (mean, half) = (of.mean * 100.0, of.half.unwrap_or(0.0) * 100.0);
        match sign {
            true => format!("{mean:+.1} ±{half:.1} %"),
            false => format!("{mean:.2} ±{half:.2} %"),
        }
    };
    for row in rows(runs) {
        let held_out = (row.held_out).map_or(String::new(), |lift| percent(&lift, true));
        let line = format!(
            "{:32} {:>14} {:>15} {held_out:>23}",
            row.name,
            percent(&row.share, false),
            percent(&row.gain, true),
        );
        writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(seeds: u64) -> BestTimeArgs {
        BestTimeArgs {
            seeds,
            from: 1,
            sd: 0.35,
            common: 0.667,
            drift_days: 60.0,
            history: 6_000,
            leads: 2_000,
            days: 8,
            lines: 40,
            json: false,
            plot: None,
        }
    }

    /// Three worlds: too few to judge an order by, enough to see that one changed.
    #[test]
    fn a_small_table() {
        insta::assert_snapshot!(table(&runs(&args(3))));
    }

    #[test]
    fn where_hours_do_not_differ_an_order_wins_and_loses_little() {
        let mut args = args(6);
        args.sd = 0.0;
        let runs = runs(&args);
        let ours = rows(&runs).into_iter().find(|row| row.name == "ours, cold");
        let gain = ours.unwrap().gain.mean;
        assert!(gain.abs() < 0.03, "{gain}");
    }
}
