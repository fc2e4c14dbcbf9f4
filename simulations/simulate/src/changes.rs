//! What people change meanwhile: do-not-call, patterns, freezes, bases, campaigns.

use crate::{
    begin::change,
    defect::Defect,
    seen::Happening,
    world::{CAMPAIGNS, Event, REGION, World, number},
};
use domain::*;
use ledger::{Change, DirectoryCommand, DncRemoval, Removal};
use std::time::Duration;

impl World {
    /// An administrator changes do-not-call.
    pub(crate) fn change_dnc(&mut self) {
        if !self.calm() {
            let next = 500 + self.millis(2000 * self.options.dnc_every);
            self.after(next, Event::DncChange);
            if self.options.registers && self.chance(500) {
                return self.change_registers();
            }
            if self.chance(200) {
                return self.change_base();
            }
            if self.chance(300) {
                return self.change_clearance();
            }
            let about = self.options.defect.is_some_and(Defect::is_about_consent);
            if self.options.consents && self.chance(if about { 700 } else { 200 }) {
                return self.change_consents();
            }
        }
        let scope = match self.random.below(4) {
            0 => DncScope::Campaign(CAMPAIGNS[0]),
            1 => DncScope::Region(REGION),
            _ => DncScope::Mesh,
        };
        // Some numbers come again and again, in several scopes.
        let among = if self.chance(400) {
            4
        } else {
            self.options.numbers
        };
        let entry = DncEntry {
            number: number(self.millis(among)),
            scope,
            source: DncSource::Admin,
            added_at: WallTime::from_millis(self.true_wall()),
        };
        let known: Vec<_> = self.directory.witness.dnc().collect();
        let (add, remove) = if self.chance(450) && !known.is_empty() {
            let fact = known[self.random.below(known.len() as u32) as usize];
            let removal = DncRemoval {
                number: fact.entry.number,
                scope: fact.entry.scope,
                index: fact.index,
            };
            // Now and then the same entry is renewed by the same change: adding wins.
            let again = self.chance(200).then_some(fact.entry);
            (again.into_iter().collect(), vec![removal])
        } else {
            (vec![entry], Vec::new())
        };
        self.administrator(Change::ChangeDnc {
            add,
            remove,
            reason: "asked again".into(),
        });
    }

    /// An administrator changes a campaign's limits or pauses it.
    pub(crate) fn change_campaign(&mut self) {
        let calm = self.calm();
        let next = if calm {
            2000
        } else {
            3000 + self.millis(60_000)
        };
        let id = CAMPAIGNS[self.random.below(2) as usize];
        let Some(mut campaign) = self.directory.witness.campaign(id).cloned() else {
            return;
        };
        let running = campaign.state == CampaignState::Running;
        let all_run = (self.directory.witness.campaigns())
            .all(|campaign| campaign.state == CampaignState::Running);
        if calm && all_run {
            return;
        }
        self.after(next, Event::CampaignChange);
        if !self.options.campaign_changes {
            return;
        }
        if calm || self.chance(400) {
            if calm && running {
                return;
            }
            let state = if running {
                CampaignState::Paused
            } else {
                CampaignState::Running
            };
            self.administrator(Change::SetCampaignState {
                id,
                state,
                if_match: None,
            });
        } else {
            let (ring, talk) = (self.options.ring, self.options.talk);
            campaign.ring_limit = Duration::from_secs(15 + self.millis(2 * ring - 15));
            campaign.talk_limit = Duration::from_secs(1 + self.millis(2 * talk - 1));
            campaign.attempts_max = 3 + self.random.below(8) as u16;
            let if_match = Some(campaign.version);
            let campaign = Box::new(campaign);
            self.administrator(Change::SetCampaign { campaign, if_match });
        }
        self.saw(Happening::CampaignChanges);
    }

    /// Somebody at a console proposes to the directory's leader, if he finds it.
    pub(crate) fn administrator(&mut self, asked: Change) {
        let Some(voter) = self.directory.leader else {
            return;
        };
        let delay = 2 + self.millis(800);
        let command: Box<DirectoryCommand> = Box::new(change(asked));
        let event = Event::ProposeDirectory {
            voter,
            command,
            asker: None,
            hops: 0,
        };
        self.after(delay, event);
    }

    /// An administrator adds or removes a pattern, freezes a number or pattern, or lifts a freeze.
    fn change_clearance(&mut self) {
        let now = WallTime::from_millis(self.true_wall());
        let digits = number(self.millis(self.options.numbers)).digits();
        let prefix = Prefix::from_digits(digits / 10).expect("ten digits");
        let patterns: Vec<_> = (self.directory.witness.dnc_patterns())
            .map(|(pattern, index)| (pattern.prefix, index))
            .collect();
        let freezes: Vec<_> = (self.directory.witness.freezes())
            .map(|(freeze, index)| (freeze.target, index))
            .collect();
        // More go than come, or soon nobody could be dialed.
        let change = match self.random.below(5) {
            0 => Change::ChangePatterns {
                add: vec![DncPattern {
                    prefix,
                    source: DncSource::Admin,
                    reason: "a test".into(),
                    added_at: now,
                }],
                remove: Vec::new(),
                reason: String::new(),
            },
            1 | 2 if !patterns.is_empty() => {
                let (key, index) = patterns[self.random.below(patterns.len() as u32) as usize];
                Change::ChangePatterns {
                    add: Vec::new(),
                    remove: vec![Removal { key, index }],
                    reason: "a test".into(),
                }
            }
            3 if !freezes.is_empty() => {
                let (key, index) = freezes[self.random.below(freezes.len() as u32) as usize];
                Change::ChangeFreezes {
                    add: Vec::new(),
                    lift: vec![Removal { key, index }],
                    reason: "a test".into(),
                }
            }
            _ => {
                let whole = number(self.millis(self.options.numbers));
                let target = match self.chance(300) {
                    true => Target::Prefix(prefix),
                    false => Target::Number(whole),
                };
                let span = 5_000 + self.millis(120_000);
                Change::ChangeFreezes {
                    add: vec![Freeze {
                        target,
                        until: now + Duration::from_millis(span),
                        reason: "a test".into(),
                        source: "a test".into(),
                        frozen_at: now,
                    }],
                    lift: Vec::new(),
                    reason: String::new(),
                }
            }
        };
        self.administrator(change);
    }

    /// An administrator stages a do-not-call base, puts one into use, or drops one.
    pub(crate) fn change_base(&mut self) {
        let known: Vec<DncBaseId> = (self.directory.witness.dnc_bases())
            .map(|staged| staged.base.id)
            .collect();
        let in_use = self.directory.witness.dnc_base_in_use();
        if known.is_empty() || (self.chance(400) && known.len() < limits::DNC_BASES) {
            let numbers = (0..self.options.numbers).filter(|_| self.random.permille(250));
            // A base has numbers; one that nobody has as a lead does no harm.
            let numbers = numbers.chain([8_000 + known.len() as u64]).map(number);
            let numbers = numbers.collect();
            let built_at = match self.options.registers {
                true => WallTime::from_millis(self.true_wall()),
                false => WallTime::EPOCH,
            };
            let base = self.build_base("a registry".into(), numbers, built_at, |_| false);
            return self.administrator(Change::StageDncBase { base });
        }
        let id = known[self.random.below(known.len() as u32) as usize];
        let change = if known.len() == limits::DNC_BASES && in_use != Some(id) {
            Change::DropDncBase { id }
        } else {
            Change::UseDncBase {
                id: (!self.chance(150)).then_some(id),
                force: !self.options.registers || self.chance(400),
                reason: "a new month".into(),
            }
        };
        self.administrator(change);
    }
}
