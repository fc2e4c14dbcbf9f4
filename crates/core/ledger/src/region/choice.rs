//! Leads met at a claim, until it is known who of them is leased.

use super::book::LeadSlot;
use domain::limits;

/// Leads that may be leased, in the order of the region's queue: those of higher priorities are leased
/// whatever their chance, and only among those of the last priority is there a choice.
pub(super) struct Choice {
    n: usize,
    chooses: bool,
    /// Of higher priorities; at most `n`.
    pub(super) sure: Vec<LeadSlot>,
    /// Of the priority met last.
    pub(super) last: Vec<LeadSlot>,
    priority: i16,
}

impl Choice {
    /// Up to `n` leads are leased, of more where there is a choice.
    pub(super) fn new(n: usize, chooses: bool) -> Self {
        Self {
            n,
            chooses,
            sure: Vec::new(),
            last: Vec::with_capacity(n),
            priority: i16::MAX,
        }
    }

    /// How many leads are looked at for a claim, beside those that may not be dialed yet.
    pub(super) const fn width(&self) -> usize {
        self.n
            * if self.chooses {
                limits::CLAIM_CHOICE
            } else {
                4
            }
    }

    /// Leads met so far.
    pub(super) const fn len(&self) -> usize {
        self.sure.len() + self.last.len()
    }

    /// How many of the last priority are leased.
    pub(super) const fn left(&self) -> usize {
        self.n - self.sure.len()
    }

    /// Whether a lead of that priority is too many.
    pub(super) const fn is_full(&self, priority: i16) -> bool {
        let enough = self.len() >= self.n;
        let chooses = self.chooses && priority == self.priority;
        enough && !(chooses && self.last.len() < self.left() * limits::CLAIM_CHOICE)
    }

    /// A lead of that priority may be leased; asked before whether it is too many.
    pub(super) fn meet(&mut self, lead: LeadSlot, priority: i16) {
        if priority != self.priority {
            self.sure.append(&mut self.last);
            self.priority = priority;
        }
        self.last.push(lead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(n: usize, chooses: bool, priorities: &[i16]) -> Choice {
        let mut choice = Choice::new(n, chooses);
        for (lead, priority) in (0..).zip(priorities) {
            if choice.is_full(*priority) {
                break;
            }
            choice.meet(lead, *priority);
        }
        choice
    }

    #[test]
    fn without_a_choice_the_first_are_leased() {
        let choice = met(3, false, &[5, 5, 0, 0, 0]);
        assert_eq!((choice.sure, choice.last), (vec![0, 1], vec![2]));
        assert!(met(0, false, &[5]).last.is_empty());
        assert!(met(0, true, &[5]).last.is_empty());
    }

    #[test]
    fn only_the_last_priority_is_chosen_from() {
        // Two more of the lower priority: eight times as many are looked at.
        let many = [&[5][..], &[0; 40]].concat();
        let choice = met(3, true, &many);
        assert_eq!(choice.left(), 2);
        assert_eq!((choice.sure.len(), choice.last.len()), (1, 16));
        // Enough of the higher one: no lower one is looked at.
        let choice = met(2, true, &[5, 5, 5, 0, 0]);
        assert_eq!((choice.sure.len(), choice.last.len()), (0, 3));
        let all = [7; 100];
        assert_eq!(met(2, true, &all).last.len(), 16);
    }
}
