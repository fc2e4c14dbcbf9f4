//! Cities that lend each other agents: what a node tells of itself, and what it makes of others.
//!
//! A person who answers in one city and finds nobody there may be given to the next nearest city's
//! free agent. So a node's risk is that of the pool that it can reach: [`Forecast`] says when a
//! node's agents will be free and how many of its lines will be answered by then, in numbers of
//! fixed size that add up ([`Sums`]); [`Neighbour`] is another node's forecast with its age and
//! with how far the two reach the same agents.

use domain::limits;
use std::time::Duration;

/// Moments ahead of a [`Forecast`].
pub const MOMENTS: usize = 12;
/// What is older says nothing any more of who is free: the node paces on its own agents.
pub const FORECAST_LIFE: Duration = Duration::from_secs(5);

/// Sums of independent chances at each moment, in thousandths: how many agents are still busy, how
/// many lines were answered. Mean, variance and third central moment of such a sum are the sums of
/// theirs, so forecasts of many nodes are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sums {
    /// Expected number.
    pub mean: [u32; MOMENTS],
    /// Its variance.
    pub variance: [u32; MOMENTS],
    /// Its third central moment.
    pub third: [i32; MOMENTS],
}

/// What a node says of a campaign's next half minute, from what it has learned itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Forecast {
    /// Seconds from one moment to the next; the first is half of that away.
    pub width: u8,
    /// Agents of the campaign who are kept for no line: ready, on a call, or in wrap-up.
    pub agents: u32,
    /// Persons who wait for one.
    pub waiting: u32,
    /// How many of the agents will still be busy.
    pub busy: Sums,
    /// How many of the lines without an agent of their own will have been answered.
    pub lines: Sums,
}

impl Forecast {
    /// The moments on both sides of `seconds` from when the forecast was made, and how far it is
    /// to the second of them. Before the first moment and beyond the last one it is that one.
    pub(crate) fn between(&self, seconds: f32) -> (usize, usize, f32) {
        let width = f32::from(self.width.max(1));
        let first = f32::from(self.width.div_ceil(2));
        let place = ((seconds - first) / width).clamp(0.0, (MOMENTS - 1) as f32);
        let at = place as usize;
        (at, (at + 1).min(MOMENTS - 1), place - at as f32)
    }
}

impl Sums {
    /// Mean, variance and third moment between two moments ([`Forecast::between`]), of which each
    /// one counts with the chance `weight` only.
    pub(crate) fn at(&self, (low, high, part): (usize, usize, f32), weight: f32) -> [f32; 3] {
        let between = |a: f32, b: f32| (a + (b - a) * part) / 1000.0;
        let mean = between(self.mean[low] as f32, self.mean[high] as f32);
        let variance = between(self.variance[low] as f32, self.variance[high] as f32);
        let third = between(self.third[low] as f32, self.third[high] as f32);
        if weight >= 1.0 {
            return [mean, variance, third];
        }
        // From the moments of a sum of yes and no follow the sums of p, p² and p³; each p becomes
        // weight × p.
        let squares = mean - variance;
        let cubes = (third - mean + 3.0 * squares) / 2.0;
        let (p, q, r) = (
            weight * mean,
            weight * weight * squares,
            weight * weight * weight * cubes,
        );
        [p, (p - q).max(0.0), p - 3.0 * q + 2.0 * r]
    }
}

/// Another node of the campaign, as this one sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// How long ago its forecast was made. Beyond [`FORECAST_LIFE`] it does not count.
    pub age: Duration,
    /// Whether its free agents take this node's persons.
    pub takes: bool,
    /// Of the agents whom its own persons may be given to, the share that this node's may be given
    /// to as well, in thousandths ([`overlap_permille`]). Pacing on all agents in reach as if
    /// nobody shared them lets several times the budget down.
    pub overlap_permille: u16,
    /// What it told.
    pub forecast: Forecast,
}

impl Neighbour {
    /// Agents it told of; no more than a node may have.
    pub(crate) fn agents(&self) -> u32 {
        let most = u32::try_from(limits::NODE_AGENTS).unwrap_or(u32::MAX);
        self.forecast.agents.min(most)
    }
}

/// Of the nodes that `theirs` reaches, the share that `mine` reaches as well, by their agents, in
/// thousandths. Each list holds the nodes that a node's persons may be given to, itself among them.
pub fn overlap_permille<T: PartialEq>(mine: &[T], theirs: &[T], agents: impl Fn(&T) -> u32) -> u16 {
    let sum = |all: bool| -> u64 {
        let common = |node: &&T| all || mine.contains(node);
        (theirs.iter().filter(common))
            .map(|node| u64::from(agents(node)))
            .sum()
    };
    let permille = sum(false) * 1000 / sum(true).max(1);
    u16::try_from(permille).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many lines that are answered with that chance each.
    fn sums(n: u32, p: f32) -> Sums {
        let (n, spread) = (n as f32 * 1000.0, p * (1.0 - p));
        Sums {
            mean: [(n * p) as u32; MOMENTS],
            variance: [(n * spread) as u32; MOMENTS],
            third: [(n * spread * (1.0 - 2.0 * p)) as i32; MOMENTS],
        }
    }

    #[test]
    fn a_share_of_the_lines_is_as_if_each_were_answered_less_often() {
        let here = (0, 1, 0.0);
        let (thinned, rare) = (sums(40, 0.6).at(here, 0.5), sums(40, 0.3).at(here, 1.0));
        for (a, b) in thinned.iter().zip(&rare) {
            assert!((a - b).abs() < 0.01, "{thinned:?} {rare:?}");
        }
    }

    #[test]
    fn moments_lie_where_they_were_told() {
        let forecast = Forecast {
            width: 2,
            ..Forecast::default()
        };
        assert_eq!(forecast.between(0.0), (0, 1, 0.0));
        assert_eq!(forecast.between(1.0), (0, 1, 0.0));
        assert_eq!(forecast.between(4.0), (1, 2, 0.5));
        assert_eq!(forecast.between(99.0), (11, 11, 0.0));
    }

    #[test]
    fn overlaps_on_a_ring() {
        let agents = |_: &i32| 10;
        assert_eq!(overlap_permille(&[0, 1, -1], &[1, 2, 0], agents), 666);
        assert_eq!(overlap_permille(&[0, 1, -1], &[2, 3, 1], agents), 333);
        assert_eq!(overlap_permille(&[0], &[1], agents), 0);
        assert_eq!(overlap_permille(&[0, 1], &[0, 1], agents), 1000);
        // By agents, not by nodes; nobody there is no overlap.
        assert_eq!(overlap_permille(&[0], &[0, 1], |n| 1 + 2 * *n as u32), 250);
        assert_eq!(overlap_permille(&[0], &[0, 1], |_| 0), 0);
    }
}
