//! Runs as tables and plots.

use crate::{CONTROLLERS, Interval, RATES, Run};
use std::fmt::Write as _;

/// The runs of one controller with one team and answer rate.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Who decided.
    pub controller: String,
    /// Agents.
    pub agents: usize,
    /// The answer rate.
    pub answer_rate: f64,
    /// Over the seeds, as fractions.
    pub utilisation: Interval,
    /// Over the seeds, as fractions.
    pub abandonment: Interval,
    /// The worst of the seeds.
    pub over_budget_calls: f64,
    /// Seconds an agent waits for a call.
    pub agent_wait: f64,
    /// Calls an agent has in an hour.
    pub calls_per_agent_hour: f64,
    /// Lines dialed for a call.
    pub dials_per_call: f64,
}

impl Cell {
    /// Groups runs, in their order.
    pub fn of(runs: &[Run]) -> Vec<Self> {
        let mut cells: Vec<(String, usize, f64, Vec<&Run>)> = vec![];
        for run in runs {
            let same = cells.iter_mut().find(|(name, agents, rate, _)| {
                *name == run.controller && *agents == run.agents && *rate == run.answer_rate
            });
            match same {
                Some((.., list)) => list.push(run),
                None => cells.push((
                    run.controller.clone(),
                    run.agents,
                    run.answer_rate,
                    vec![run],
                )),
            }
        }
        cells
            .into_iter()
            .map(|(controller, agents, answer_rate, runs)| {
                let values = |of: fn(&Run) -> f64| runs.iter().map(|r| of(r)).collect::<Vec<f64>>();
                let mean = |of: fn(&Run) -> f64| Interval::of(&values(of)).mean;
                Self {
                    controller,
                    agents,
                    answer_rate,
                    utilisation: Interval::of(&values(|r| r.utilisation)),
                    abandonment: Interval::of(&values(|r| r.abandonment)),
                    over_budget_calls: values(|r| r.over_budget_calls)
                        .into_iter()
                        .fold(f64::MIN, f64::max),
                    agent_wait: mean(|r| r.agent_wait),
                    calls_per_agent_hour: mean(|r| r.calls_per_agent_hour),
                    dials_per_call: mean(|r| r.dials_per_call),
                }
            })
            .collect()
    }
}

/// What `predictive` is to reach at 3 % abandonment: agents, and per cent at answer rates of 10, 30
/// and 50 %.
const GOALS: [(usize, [Option<f64>; 3]); 6] = [
    (5, [Some(71.1), Some(76.0), Some(80.6)]),
    (10, [Some(79.8), Some(82.3), Some(84.6)]),
    (20, [Some(86.6), Some(87.9), Some(89.0)]),
    (50, [None, Some(93.4), None]),
    (100, [None, Some(96.2), None]),
    (500, [None, Some(99.3), None]),
];

/// The goal of a cell of the table and how far above it the cell is, in points.
fn goal(cell: &Cell) -> String {
    let team = (GOALS.iter()).find(|(agents, _)| *agents == cell.agents);
    let rate = (RATES.iter()).position(|rate| *rate == cell.answer_rate);
    match (cell.controller.as_str(), team, rate) {
        ("predictive", Some((_, goals)), Some(rate)) => goals[rate].map_or(String::new(), |goal| {
            format!("{goal} ({:+.2})", cell.utilisation.mean * 100.0 - goal)
        }),
        _ => String::new(),
    }
}

/// A table for people, with the goal of each cell (for the usual population) and the distance to
/// the clairvoyant bound, where it was run.
pub(crate) fn text(cells: &[Cell]) -> String {
    let mut text = String::from(
        "agents answer controller           utilisation      abandonment     over  wait calls/h dials/call to bound goal\n",
    );
    for cell in cells {
        let percent = |interval: Interval, digits: usize| match interval.half {
            Some(half) => format!("{:.2} ±{:.digits$}", interval.mean * 100.0, half * 100.0),
            None => format!("{:.2}", interval.mean * 100.0),
        };
        let bound = cells.iter().find(|other| {
            other.controller == "clairvoyant"
                && other.agents == cell.agents
                && other.answer_rate == cell.answer_rate
        });
        let bound = bound.map_or(String::new(), |bound| {
            let points = (bound.utilisation.mean - cell.utilisation.mean) * 100.0;
            format!("{points:.1}")
        });
        writeln!(
            text,
            "{:6} {:5.0}% {:20} {:14} {:14} {:6.1} {:5.1} {:7.1} {:10.2} {bound:>8} {}",
            cell.agents,
            cell.answer_rate * 100.0,
            cell.controller,
            percent(cell.utilisation, 2),
            percent(cell.abandonment, 2),
            cell.over_budget_calls,
            cell.agent_wait,
            cell.calls_per_agent_hour,
            cell.dials_per_call,
            goal(cell),
        )
        .expect("writing to a String cannot fail");
    }
    text
}

/// What cities win by lending each other agents, beside the first of the cells: each alone.
pub(crate) fn gains(cells: &[Cell]) -> String {
    let Some((alone, others)) = cells.split_first() else {
        return String::new();
    };
    let mut text = String::new();
    for cell in others {
        let (one, many) = (alone.utilisation.mean, cell.utilisation.mean);
        writeln!(
            text,
            "{}: {:+.1} points and {:+.0} % talk time beside {}",
            cell.controller,
            (many - one) * 100.0,
            (many / one - 1.0) * 100.0,
            alone.controller,
        )
        .expect("writing to a String cannot fail");
    }
    text
}

const WIDTH: f64 = 900.0;
const ROW: f64 = 18.0;

/// Utilisation as bars with their intervals, the share abandoned beside each.
pub(crate) fn svg(cells: &[Cell]) -> String {
    let height = 40.0 + ROW * cells.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let x = |share: f64| 260.0 + share * 500.0;
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = x(tick);
        writeln!(
            svg,
            "<line x1=\"{at}\" x2=\"{at}\" y1=\"24\" y2=\"{height}\" stroke=\"#ddd\"/><text x=\"{at}\" y=\"16\" text-anchor=\"middle\">{:.0} %</text>",
            tick * 100.0
        )
        .expect("writing to a String cannot fail");
    }
    for (row, cell) in cells.iter().enumerate() {
        let y = 30.0 + ROW * row as f64;
        let hue = CONTROLLERS
            .iter()
            .position(|name| *name == cell.controller)
            .unwrap_or(0)
            * 36;
        let (mean, half) = (cell.utilisation.mean, cell.utilisation.half.unwrap_or(0.0));
        let middle = y + 6.0;
        writeln!(
            svg,
            "<text x=\"250\" y=\"{:.1}\" text-anchor=\"end\">{} agents, {:.0} %: {}</text><rect x=\"260\" y=\"{y:.1}\" width=\"{:.1}\" height=\"12\" fill=\"hsl({hue},55%,60%)\"/><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"black\"/><text x=\"770\" y=\"{:.1}\">{:.1} %, {:.2} % abandoned</text>",
            y + 10.0,
            cell.agents,
            cell.answer_rate * 100.0,
            cell.controller,
            mean * 500.0,
            x(mean - half),
            x(mean + half),
            y + 10.0,
            mean * 100.0,
            cell.abandonment.mean * 100.0,
        )
        .expect("writing to a String cannot fail");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Gains as bars to both sides of nothing, with their intervals.
pub(crate) fn bars(title: &str, gains: &[(String, Interval)]) -> String {
    let height = 40.0 + ROW * gains.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"16\">{title}</text>\n"
    );
    let x = |gain: f64| 550.0 + gain.clamp(-0.3, 0.3) * 900.0;
    for tick in [-0.2, -0.1, 0.0, 0.1, 0.2] {
        let at = x(tick);
        writeln!(
            svg,
            "<line x1=\"{at}\" x2=\"{at}\" y1=\"24\" y2=\"{height}\" stroke=\"#ddd\"/><text x=\"{at}\" y=\"16\" text-anchor=\"middle\">{:+.0} %</text>",
            tick * 100.0
        )
        .expect("writing to a String cannot fail");
    }
    for (row, (name, gain)) in gains.iter().enumerate() {
        let y = 30.0 + ROW * row as f64;
        let half = gain.half.unwrap_or(0.0);
        let (from, to) = (x(gain.mean.min(0.0)), x(gain.mean.max(0.0)));
        writeln!(
            svg,
            "<text x=\"10\" y=\"{:.1}\">{name}</text><rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"12\" fill=\"hsl(210,55%,60%)\"/><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"black\"/><text x=\"830\" y=\"{:.1}\">{:+.1} %</text>",
            y + 10.0,
            to - from,
            x(gain.mean - half),
            x(gain.mean + half),
            y + 6.0,
            y + 6.0,
            y + 10.0,
            gain.mean * 100.0,
        )
        .expect("writing to a String cannot fail");
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Population, Setting, pacer, simulate};

    /// Two hours of eight agents: too few to judge a controller by, enough to see that one changed.
    #[test]
    fn a_small_table() {
        let population = Population::default();
        let setting = Setting {
            population: &population,
            agents: 8,
            warm_up: 3.0,
            hours: 2.0,
            seed: 1,
            levers: pacing::Levers::default(),
        };
        let runs: Vec<Run> = (CONTROLLERS.iter())
            .map(|name| Run {
                controller: (*name).to_owned(),
                ..simulate(
                    &setting,
                    &mut pacer(name, &population, 10.0).expect("a known name"),
                )
            })
            .collect();
        insta::assert_snapshot!(text(&Cell::of(&runs)));
    }
}
