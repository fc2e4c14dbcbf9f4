//! The map from numbers to home regions, and how a changed one comes into force while leads lie
//! where the old one put them (mesh protocol, section 1).
//!
//! A new map is planned, then applied: from then on every region hands over what another now has
//! ([`crate::RegionCommand::ExportLeads`]), and says here when nothing is left that it must. With the
//! last of them the new map is the only one.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{HomeMatch, HomeRule, PhoneNumber, RegionId, WallTime, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

type Done = Result<DirectoryReply, Rejection>;

/// A home map on its way into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomesMove {
    /// The version that the map has.
    pub id: u64,
    /// The whole map.
    pub rules: Vec<HomeRule>,
    /// When it was planned.
    pub planned_at: WallTime,
    /// When leads began to move; none while it is only planned.
    pub applied_at: Option<WallTime>,
    /// Regions that have nothing left which another should have.
    pub left: BTreeSet<RegionId>,
}

/// What the directory keeps of home maps beside the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Homes {
    /// The version of the map in force; 0 until one was moved to.
    version: u64,
    /// The last version that was given to a plan.
    last: u64,
    moving: Option<HomesMove>,
}

impl Homes {
    /// No moves, as they are encoded: what snapshots before version 5 lack.
    pub(super) const EMPTY: [u8; 3] = [0; 3];
}

/// Where numbers are at home, as of one moment: for who routes many.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HomeMap {
    /// Commands that were routed by it name this version.
    pub version: u64,
    /// The map.
    pub rules: Vec<HomeRule>,
    /// The one before, while leads move: a number that its region has stays there until it has moved.
    pub before: Option<Vec<HomeRule>>,
}

/// Where one number is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its region.
    pub region: RegionId,
    /// The region that may still have it, and is asked first.
    pub before: Option<RegionId>,
}

impl HomeMap {
    /// Where a number is at home, by `numbering`'s knowledge of its place; `None` when no rule
    /// matches.
    pub fn home(&self, number: PhoneNumber) -> Option<Home> {
        let place = numbering::locality(number);
        let region = numbering::home_region(&self.rules, number, &place)?;
        let before = (self.before.as_ref())
            .and_then(|rules| numbering::home_region(rules, number, &place))
            .filter(|before| *before != region);
        Some(Home { region, before })
    }
}

impl Directory {
    /// The map by which leads are routed now.
    pub fn home_map(&self) -> HomeMap {
        match &self.homes.moving {
            Some(moving) if moving.applied_at.is_some() => HomeMap {
                version: moving.id,
                rules: moving.rules.clone(),
                before: Some(self.home_rules.clone()),
            },
            _ => HomeMap {
                version: self.homes.version,
                rules: self.home_rules.clone(),
                before: None,
            },
        }
    }

    /// The version of [`Directory::home_map`].
    pub fn home_version(&self) -> u64 {
        let moving = self.homes.moving.as_ref();
        (moving.filter(|moving| moving.applied_at.is_some()))
            .map_or(self.homes.version, |moving| moving.id)
    }

    /// The map that is planned, or that leads move to.
    pub const fn homes_move(&self) -> Option<&HomesMove> {
        self.homes.moving.as_ref()
    }

    /// A map in order, or what is wrong with it.
    pub(super) fn checked_rules(
        &self,
        mut rules: Vec<HomeRule>,
    ) -> Result<Vec<HomeRule>, Rejection> {
        checks::room("home_rules", 0, rules.len(), limits::HOME_RULES)?;
        rules.sort_by(|a, b| a.when.cmp(&b.when));
        if let Some(pair) = rules.windows(2).find(|pair| pair[0].when == pair[1].when) {
            let why = format!("{:?} is named twice", pair[0].when);
            return Err(Rejection::new("home_rules", why));
        }
        for rule in &rules {
            let known = self.regions.contains_key(&rule.region);
            checks::known("home_rules.region", rule.region, known)?;
            match &rule.when {
                HomeMatch::Prefix(prefix) if *prefix == 0 || *prefix > 999_999_999_999_999 => {
                    let why = "a prefix has 1 to 15 digits and does not begin with 0";
                    return Err(Rejection::new("home_rules.prefix", why));
                }
                HomeMatch::Country(text) | HomeMatch::Province(text) | HomeMatch::City(text) => {
                    checks::name("home_rules.when", text)?;
                }
                HomeMatch::Prefix(_) | HomeMatch::Default => {}
            }
        }
        Ok(rules)
    }

    fn none_moves(&self) -> Result<(), Rejection> {
        match &self.homes.moving {
            None => Ok(()),
            Some(moving) if moving.applied_at.is_some() => Err(Rejection::new(
                "homes",
                "leads are moving to another map; wait until `dialmesh region homes status` says that they have",
            )),
            Some(_) => Err(Rejection::new(
                "homes",
                "another map is planned; apply it or cancel it first (`dialmesh region homes`)",
            )),
        }
    }

    pub(super) fn set_home_rules(&mut self, rules: Vec<HomeRule>, facts: &mut Vec<Fact>) -> Done {
        self.none_moves()?;
        let rules = self.checked_rules(rules)?;
        self.home_rules.clone_from(&rules);
        facts.push(Fact::HomeRules(rules));
        Ok(DirectoryReply::Done)
    }

    pub(super) fn plan_homes(
        &mut self,
        rules: Vec<HomeRule>,
        move_leads: bool,
        facts: &mut Vec<Fact>,
    ) -> Done {
        self.none_moves()?;
        let rules = self.checked_rules(rules)?;
        // Leads come with lists: before the first there is nothing to move.
        if self.last.list == 0 {
            self.home_rules.clone_from(&rules);
            facts.push(Fact::HomeRules(rules));
            return Ok(DirectoryReply::Homes {
                id: self.homes.version,
                in_force: true,
            });
        }
        if !move_leads {
            if rules == self.home_rules {
                return Ok(DirectoryReply::Homes {
                    id: self.homes.version,
                    in_force: true,
                });
            }
            let why = "leads lie where the map in force put them; plan a move of them: \
                       `dialmesh region homes plan`";
            return Err(Rejection::new("homes", why));
        }
        self.homes.last += 1;
        let id = self.homes.last;
        self.homes.moving = Some(HomesMove {
            id,
            rules,
            planned_at: self.clock,
            applied_at: None,
            left: BTreeSet::new(),
        });
        Ok(DirectoryReply::Homes {
            id,
            in_force: false,
        })
    }

    fn planned(&mut self, id: u64) -> Result<&mut HomesMove, Rejection> {
        (self.homes.moving.as_mut())
            .filter(|moving| moving.id == id)
            .ok_or_else(|| Rejection::new("homes", format!("no map {id} is planned")))
    }

    pub(super) fn apply_homes(&mut self, id: u64) -> Done {
        let clock = self.clock;
        // It may be a retry, after the last lead has moved.
        if self.homes.version != id {
            let planned = self.planned(id)?;
            planned.applied_at = planned.applied_at.or(Some(clock));
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn cancel_homes(&mut self, id: u64) -> Done {
        if self.planned(id)?.applied_at.is_some() {
            let why = "leads are moving already; when they have, plan a move back";
            return Err(Rejection::new("homes", why));
        }
        self.homes.moving = None;
        Ok(DirectoryReply::Done)
    }

    pub(super) fn left_homes(&mut self, id: u64, region: RegionId, facts: &mut Vec<Fact>) -> Done {
        let known = self.regions.contains_key(&region);
        checks::known("region", region, known)?;
        if self.homes.version >= id {
            return Ok(DirectoryReply::Done);
        }
        let moving = self.planned(id)?;
        if moving.applied_at.is_none() {
            let why = format!("map {id} is planned and not applied");
            return Err(Rejection::new("homes", why));
        }
        moving.left.insert(region);
        let moving = self.homes.moving.take();
        match moving {
            Some(moving) if self.regions.keys().all(|id| moving.left.contains(id)) => {
                self.homes.version = id;
                self.home_rules.clone_from(&moving.rules);
                facts.push(Fact::HomeRules(moving.rules));
            }
            moving => self.homes.moving = moving,
        }
        Ok(DirectoryReply::Done)
    }
}
