//! Whether a model ranks well, and whether its chances are what happens.

use serde::{Deserialize, Serialize};

/// Steps of a [`Reliability`].
pub(crate) const STEPS: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    leads: f64,
    promised: f64,
    happened: f64,
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
        step.leads += 1.0;
        step.promised += f64::from(chance);
        step.happened += f64::from(u8::from(outcome));
    }

    /// Forgets so much of what was noted.
    pub fn fade(&mut self, share: f32) {
        let stays = 1.0 - f64::from(share.clamp(0.0, 1.0));
        for step in &mut self.steps {
            step.leads *= stays;
            step.promised *= stays;
            step.happened *= stays;
        }
    }

    /// Adds what was noted elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (step, other) in self.steps.iter_mut().zip(&other.steps) {
            step.leads += other.leads;
            step.promised += other.promised;
            step.happened += other.happened;
        }
    }

    pub(crate) const fn kept(&self) -> [Step; STEPS] {
        self.steps
    }

    /// As it was kept; none where a figure is beyond its bound.
    pub(crate) fn restore(&mut self, steps: [Step; STEPS]) -> Option<()> {
        let good = |figure: f64| figure.is_finite() && figure >= 0.0;
        let whole = |step: &Step| good(step.leads) && good(step.promised) && good(step.happened);
        self.steps = Some(steps).filter(|steps| steps.iter().all(whole))?;
        Some(())
    }

    /// The expected calibration error: how far, on the mean over leads, the mean chance of a tenth
    /// is from the share that happened. 0 before anything was noted.
    pub fn error(&self) -> f64 {
        let leads: f64 = self.steps.iter().map(|step| step.leads).sum();
        let far = |step: &Step| (step.promised - step.happened).abs();
        let far = self.steps.iter().map(far).sum::<f64>();
        if leads > 0.0 { far / leads } else { 0.0 }
    }

    /// Leads, mean chance and share that happened, of each tenth that was given at all.
    pub fn steps(&self) -> impl Iterator<Item = (u64, f64, f64)> + '_ {
        self.steps.iter().filter(|s| s.leads > 0.0).map(|step| {
            (
                step.leads.round() as u64,
                step.promised / step.leads,
                step.happened / step.leads,
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
