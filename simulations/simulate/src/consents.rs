//! What people agree to and take back, and which campaigns ask for it.

use crate::{
    defect::Defect,
    seen::Happening,
    world::{CAMPAIGNS, World, number},
};
use domain::{Consent, ConsentKind, ConsentProof, WallTime};
use ledger::Change;
use std::time::Duration;

/// Files that are kept to be imported again.
const FILES: usize = 8;

impl World {
    /// A campaign begins or ceases to ask for consent, a file of consents is imported, for the first
    /// time or again, or a person agrees no more.
    pub(crate) fn change_consents(&mut self) {
        let campaign = CAMPAIGNS[self.random.below(2) as usize];
        let change = match self.random.below(12) {
            // Seldom, and not for long: few leads have consent.
            0 | 1 => Change::RequireConsent {
                campaign,
                required: true,
            },
            2 => Change::RequireConsent {
                campaign,
                required: false,
            },
            3..=5 => self.consents(),
            6..=8 if !self.files.is_empty() => {
                self.saw(Happening::ConsentsAgain);
                let file = self.random.below(self.files.len() as u32) as usize;
                let file = self.files[file].clone();
                self.imported(file)
            }
            _ => {
                let one = number(self.millis(self.options.numbers));
                let of = self.chance(300).then_some(campaign);
                Change::ChangeConsents {
                    add: Vec::new(),
                    withdraw: vec![(one, of)],
                    reason: "a test".into(),
                }
            }
        };
        self.administrator(change);
    }

    /// A new file: two thirds of all numbers, given within the last hour.
    fn consents(&mut self) -> Change {
        let now = self.true_wall();
        let campaign = self.chance(300).then_some(CAMPAIGNS[0]);
        let source = format!("form {}", self.random.below(4));
        let mut file = Vec::new();
        for n in 0..self.options.numbers {
            if !self.chance(660) {
                continue;
            }
            let given_at = now - self.millis(3_600_000) as i64;
            let span = Duration::from_millis(5_000 + self.millis(300_000));
            let until = self.chance(300).then(|| WallTime::from_millis(now) + span);
            file.push(Consent {
                number: number(n),
                campaign,
                proof: ConsentProof {
                    kind: ConsentKind::Form,
                    source: source.clone(),
                    place: "example.com".into(),
                },
                given_at: WallTime::from_millis(given_at),
                until,
            });
        }
        if self.files.len() == FILES {
            self.files.remove(0);
        }
        self.files.push(file.clone());
        self.imported(file)
    }

    /// The import of a file.
    fn imported(&mut self, mut file: Vec<Consent>) -> Change {
        let now = WallTime::from_millis(self.true_wall());
        // The importer takes none that is over.
        file.retain(|consent| consent.until.is_none_or(|until| until > now));
        for consent in &mut file {
            let key = (consent.number, consent.campaign);
            let checkers = &mut self.checkers.consents;
            checkers.given(key, consent.given_at, consent.until);
            if self.options.has(Defect::ImportStamps) {
                consent.given_at = now;
            }
        }
        Change::ChangeConsents {
            add: file,
            withdraw: Vec::new(),
            reason: String::new(),
        }
    }
}
