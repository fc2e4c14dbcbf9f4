//! Whom a run calls and who works in it: distributions, spells, habits. Read from TOML.

use anyhow::Context as _;
use sansio::Stream;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How long something takes, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Spread {
    /// Lognormal by its mean and coefficient of variation.
    Lognormal {
        /// Mean, in seconds.
        mean: f64,
        /// Standard deviation over the mean; 0 is a constant.
        cv: f64,
    },
    /// Measured values, each as likely as the others.
    Empirical {
        /// The values, in seconds.
        values: Vec<f64>,
    },
}

impl Spread {
    /// A lognormal one.
    pub const fn lognormal(mean: f64, cv: f64) -> Self {
        Self::Lognormal { mean, cv }
    }

    /// The value for a standard normal draw.
    pub fn at(&self, normal: f64) -> f64 {
        match self {
            Self::Lognormal { mean, cv } => {
                let variance = (1.0 + cv * cv).ln();
                mean * (variance.sqrt() * normal - variance / 2.0).exp()
            }
            Self::Empirical { values } => {
                // The normal law's distribution function, closely enough to pick a place.
                let share = 1.0 / (1.0 + (-1.702 * normal).exp());
                let place = (share * values.len() as f64) as usize;
                values
                    .get(place.min(values.len().saturating_sub(1)))
                    .copied()
                    .unwrap_or(0.0)
            }
        }
    }

    fn check(&self, name: &str) -> anyhow::Result<()> {
        let fine = match self {
            Self::Lognormal { mean, cv } => *mean > 0.0 && *cv >= 0.0 && mean.is_finite(),
            Self::Empirical { values } => {
                !values.is_empty() && values.iter().all(|v| *v >= 0.0 && v.is_finite())
            }
        };
        anyhow::ensure!(
            fine,
            "{name}: durations must be positive numbers of seconds"
        );
        Ok(())
    }
}

/// What is wrong with the network for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The carrier refuses every call at once.
    Outage,
    /// Calls ring, and nobody answers.
    Silence,
}

/// A spell of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// Which.
    pub kind: Trouble,
    /// Hours from the start of the run.
    pub at_hours: f64,
    /// How long.
    pub minutes: f64,
}

/// Agents leave all at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkOut {
    /// Hours from the start of the run.
    pub at_hours: f64,
    /// The share of the agents.
    pub share: f64,
    /// They come back after so long.
    pub minutes: f64,
}

/// Everything about the world of a run but its team's size and its seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Population {
    /// The share of lines that a person answers, on the mean of the day.
    pub answer_rate: f64,
    /// Factors on it by hour of the shift, which begins anew after the last.
    pub profile: Vec<f64>,
    /// Standard deviation of the logarithm of a list's own factor.
    pub list_sd: f64,
    /// A new list comes after so many minutes on the mean.
    pub list_minutes: f64,
    /// The share of lines without a person's answer on which a machine answers.
    pub machine_share: f64,
    /// How long it takes to hear that a person or a machine answered, in seconds.
    pub screening: f64,
    /// From INVITE to ringing, in seconds.
    pub post_dial_delay: f64,
    /// From ringing to the answer.
    pub ring: Spread,
    /// Nothing rings longer, in seconds.
    pub ring_limit: f64,
    /// Lines may be given up after ringing so long; the law's minimum, in seconds.
    pub ring_min: f64,
    /// A person waits so long for an agent, in seconds.
    pub answer_limit: f64,
    /// How long talks are.
    pub talk: Spread,
    /// How long wrap-ups are.
    pub wrap_up: Spread,
    /// Work between breaks, exponential, in minutes; 0 for none.
    pub break_every: f64,
    /// How long breaks are.
    pub breaks: Spread,
    /// At most so many thousandths of the live answers may be abandoned.
    pub budget_permille: u16,
    /// Over a rolling window of so many hours.
    pub window_hours: f64,
    /// Troubles of the network.
    pub spells: Vec<Spell>,
    /// Agents walking out.
    pub walk_outs: Vec<WalkOut>,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            answer_rate: 0.3,
            profile: vec![0.85, 0.95, 1.05, 1.0, 0.85, 0.95, 1.10, 1.25],
            list_sd: 0.2,
            list_minutes: 60.0,
            machine_share: 0.0,
            screening: 0.0,
            post_dial_delay: 0.0,
            ring: Spread::lognormal(12.0, 0.45),
            ring_limit: 25.0,
            ring_min: 15.0,
            answer_limit: 2.0,
            talk: Spread::lognormal(90.0, 1.0),
            wrap_up: Spread::lognormal(15.0, 0.5),
            break_every: 60.0,
            breaks: Spread::lognormal(300.0, 0.5),
            budget_permille: 30,
            window_hours: 720.0,
            spells: vec![],
            walk_outs: vec![],
        }
    }
}

impl Population {
    /// Reads a population; what the file leaves out is as in [`Population::default`].
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("population {} cannot be read", path.display()))?;
        let population: Self = toml::from_str(&text)
            .with_context(|| format!("population {} is not understood", path.display()))?;
        population.check()?;
        Ok(population)
    }

    /// Whether it makes sense.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            (0.0..=1.0).contains(&self.answer_rate) && (0.0..1.0).contains(&self.machine_share),
            "answer_rate and machine_share are fractions: 0.3 is 30 %"
        );
        anyhow::ensure!(!self.profile.is_empty(), "profile needs a factor at least");
        anyhow::ensure!(
            self.budget_permille <= 1000,
            "budget_permille is at most 1000"
        );
        anyhow::ensure!(self.window_hours > 0.0, "window_hours must be above zero");
        anyhow::ensure!(self.list_minutes > 0.0, "list_minutes must be above zero");
        anyhow::ensure!(
            self.ring_limit > 0.0 && self.ring_limit <= 120.0,
            "ring_limit is at most 120 s"
        );
        self.ring.check("ring")?;
        self.talk.check("talk")?;
        self.wrap_up.check("wrap_up")?;
        self.breaks.check("breaks")
    }

    /// One of many strange populations, for properties that must hold in all of them.
    pub fn random(random: &mut Stream, hours: f64) -> Self {
        let mut uniform = |from: f64, to: f64| from + (to - from) * unit(random.next_u64());
        let mut population = Self {
            answer_rate: uniform(0.04, 0.7),
            profile: (0..8).map(|_| uniform(0.4, 1.6)).collect(),
            list_sd: uniform(0.0, 0.5),
            list_minutes: uniform(10.0, 120.0),
            machine_share: uniform(0.0, 0.5).max(0.1) - 0.1,
            post_dial_delay: uniform(0.0, 4.0),
            ring: Spread::lognormal(uniform(5.0, 16.0), uniform(0.2, 0.8)),
            ring_limit: uniform(18.0, 45.0),
            ring_min: 15.0,
            talk: Spread::lognormal(uniform(30.0, 240.0), uniform(0.3, 2.0)),
            wrap_up: Spread::lognormal(uniform(3.0, 40.0), uniform(0.2, 1.0)),
            break_every: uniform(20.0, 120.0),
            breaks: Spread::lognormal(uniform(60.0, 900.0), 0.5),
            window_hours: [24.0, 168.0, 720.0][uniform(0.0, 2.999) as usize],
            ..Self::default()
        };
        if population.machine_share > 0.0 {
            population.screening = uniform(0.5, 2.5);
        }
        for _ in 0..uniform(0.0, 3.0) as u32 {
            population.spells.push(Spell {
                kind: if uniform(0.0, 1.0) < 0.5 {
                    Trouble::Outage
                } else {
                    Trouble::Silence
                },
                at_hours: uniform(0.0, hours),
                minutes: uniform(1.0, 25.0),
            });
        }
        for _ in 0..uniform(0.0, 3.0) as u32 {
            population.walk_outs.push(WalkOut {
                at_hours: uniform(0.0, hours),
                share: uniform(0.2, 1.0),
                minutes: uniform(5.0, 60.0),
            });
        }
        population
    }
}

/// A number from 0 up to 1.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Two independent standard normal numbers (Box and Muller).
pub(crate) fn normals(a: u64, b: u64) -> (f64, f64) {
    let radius = (-2.0 * (1.0 - unit(a)).ln()).sqrt();
    let angle = std::f64::consts::TAU * unit(b);
    (radius * angle.cos(), radius * angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Seed;

    #[test]
    fn spreads_have_their_means() {
        let mut random = Seed::from_u64(1).stream("test");
        let spread = Spread::lognormal(90.0, 1.0);
        let empirical = Spread::Empirical {
            values: vec![10.0, 20.0, 30.0, 40.0],
        };
        let (mut sum, mut other) = (0.0, 0.0);
        for _ in 0..50_000 {
            let (a, b) = normals(random.next_u64(), random.next_u64());
            sum += spread.at(a) + spread.at(b);
            other += empirical.at(a);
        }
        assert!((sum / 100_000.0 - 90.0).abs() < 2.0, "{}", sum / 100_000.0);
        assert!((other / 50_000.0 - 25.0).abs() < 0.5);
    }

    #[test]
    fn a_file_may_leave_everything_out() {
        assert_eq!(
            toml::from_str::<Population>("").unwrap(),
            Population::default()
        );
        let text = "answer_rate = 0.1\n[talk]\nvalues = [30, 60.5]\n[[spells]]\nkind = \"silence\"\nat_hours = 1\nminutes = 5\n";
        let population: Population = toml::from_str(text).unwrap();
        assert_eq!(population.talk.at(-3.0), 30.0);
        assert_eq!(population.spells[0].kind, Trouble::Silence);
        population.check().unwrap();
        assert!(toml::from_str::<Population>("anser_rate = 0.1").is_err());
    }

    #[test]
    fn the_example_is_understood() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("populations/rough-day.toml");
        let population = Population::read(&file).unwrap();
        assert_eq!(population.walk_outs.len(), 1);
    }

    #[test]
    fn random_ones_make_sense() {
        let mut random = Seed::from_u64(2).stream("test");
        for _ in 0..200 {
            Population::random(&mut random, 20.0).check().unwrap();
        }
    }
}
