//! Whether a model ranks well, and whether its chances are what happens.

/// Steps of a [`Reliability`].
const STEPS: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Step {
    leads: u64,
    promised: f64,
    happened: u64,
}

/// Chances that were given, by tenths, beside what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reliability {
    steps: [Step; STEPS],
}

impl Reliability {
    /// A lead with that chance came to this.
    pub fn note(&mut self, chance: f32, outcome: bool) {
        let at = (chance.clamp(0.0, 1.0) * STEPS as f32) as usize;
        let step = &mut self.steps[at.min(STEPS - 1)];
        step.leads += 1;
        step.promised += f64::from(chance);
        step.happened += u64::from(outcome);
    }

    /// The expected calibration error: how far, on the mean over leads, the mean chance of a tenth
    /// is from the share that happened. 0 before anything was noted.
    pub fn error(&self) -> f64 {
        let leads: u64 = self.steps.iter().map(|step| step.leads).sum();
        let far = |step: &Step| (step.promised - step.happened as f64).abs();
        self.steps.iter().map(far).sum::<f64>() / leads.max(1) as f64
    }

    /// Leads, mean chance and share that happened, of each tenth that was given at all.
    pub fn steps(&self) -> impl Iterator<Item = (u64, f64, f64)> + '_ {
        self.steps.iter().filter(|s| s.leads > 0).map(|step| {
            let leads = step.leads as f64;
            (
                step.leads,
                step.promised / leads,
                step.happened as f64 / leads,
            )
        })
    }
}

/// The area under the ROC curve: the chance that of a lead that came to something and one that did
/// not, the first had the higher chance; equal ones count half. 0.5 where there is none of a kind.
pub fn ranking(leads: &[(f32, bool)]) -> f64 {
    let mut sorted = leads.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positive = sorted.iter().filter(|(_, outcome)| *outcome).count() as f64;
    let negative = sorted.len() as f64 - positive;
    if positive == 0.0 || negative == 0.0 {
        return 0.5;
    }
    let (mut ranks, mut before) = (0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let rank = before + (equal.len() as f64 + 1.0) / 2.0;
        ranks += rank * equal.iter().filter(|(_, outcome)| *outcome).count() as f64;
        before += equal.len() as f64;
    }
    (ranks - positive * (positive + 1.0) / 2.0) / (positive * negative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_are_areas() {
        assert_eq!(ranking(&[(0.1, false), (0.9, true)]), 1.0);
        assert_eq!(ranking(&[(0.9, false), (0.1, true)]), 0.0);
        assert_eq!(ranking(&[(0.5, false), (0.5, true)]), 0.5);
        let four = [(0.1, false), (0.4, true), (0.3, false), (0.2, true)];
        assert_eq!(ranking(&four), 0.75);
        assert_eq!(ranking(&[(0.5, true)]), 0.5);
    }

    #[test]
    fn promises_kept_have_no_error() {
        let mut kept = Reliability::default();
        assert_eq!(kept.error(), 0.0);
        for n in 0..100 {
            kept.note(0.25, n % 4 == 0);
        }
        assert!(kept.error() < 1e-6);
        for _ in 0..100 {
            kept.note(0.95, false);
        }
        assert!((kept.error() - 0.475).abs() < 1e-3);
        let steps: Vec<_> = kept.steps().collect();
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[1].0, steps[1].2), (100, 0.0));
    }
}
