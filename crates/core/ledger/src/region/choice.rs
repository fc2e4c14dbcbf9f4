//! Leads met at a claim, until it is known who of them is leased.

use super::{book::LeadSlot, due::Class};
use domain::limits;

/// Leads that may be leased, in the order of the region's queue: those of higher classes are leased
/// whatever their chance, and only among those of the last class is there a choice; among promised
/// callbacks there is none.
pub(super) struct Choice {
    n: usize,
    chooses: bool,
    /// Of higher classes; at most `n`.
    pub(super) sure: Vec<LeadSlot>,
    /// Of the class met last.
    pub(super) last: Vec<LeadSlot>,
    class: Option<Class>,
}

impl Choice {
    /// Up to `n` leads are leased, of more where there is a choice.
    pub(super) fn new(n: usize, chooses: bool) -> Self {
        Self {
            n,
            chooses,
            sure: Vec::new(),
            last: Vec::with_capacity(n),
            class: None,
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

    /// How many of the last class are leased.
    pub(super) const fn left(&self) -> usize {
        self.n - self.sure.len()
    }

    /// Whether a lead of that class is too many.
    pub(super) fn is_full(&self, class: Class) -> bool {
        let enough = self.len() >= self.n;
        let chooses = self.chooses && !class.promised && self.class == Some(class);
        enough && !(chooses && self.last.len() < self.left() * limits::CLAIM_CHOICE)
    }

    /// A lead of that class may be leased; asked before whether it is too many.
    pub(super) fn meet(&mut self, lead: LeadSlot, class: Class) {
        if self.class != Some(class) {
            self.sure.append(&mut self.last);
            self.class = Some(class);
        }
        self.last.push(lead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(n: usize, chooses: bool, priorities: &[i16]) -> Choice {
        let class = |priority: &i16| Class {
            priority: *priority,
            promised: false,
        };
        met_of(n, chooses, priorities.iter().map(class))
    }

    fn met_of(n: usize, chooses: bool, classes: impl Iterator<Item = Class>) -> Choice {
        let mut choice = Choice::new(n, chooses);
        for (lead, class) in (0..).zip(classes) {
            if choice.is_full(class) {
                break;
            }
            choice.meet(lead, class);
        }
        choice
    }

    #[test]
    fn promised_callbacks_are_not_chosen_from() {
        let class = |promised| Class {
            priority: 0,
            promised,
        };
        let all = || (0..40).map(|lead| class(lead < 3));
        // More than are asked for: in their turn, and no other is looked at.
        let choice = met_of(2, true, all());
        assert_eq!((choice.sure.len(), choice.last), (0, vec![0, 1]));
        // All of them, and a choice for the place that is left.
        let choice = met_of(4, true, all());
        assert_eq!(choice.sure, [0, 1, 2]);
        assert_eq!(
            (choice.left(), choice.last.len()),
            (1, limits::CLAIM_CHOICE)
        );
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
