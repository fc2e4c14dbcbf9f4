//! What decides, beside single do-not-call entries and the base, whether a number may be dialed:
//! patterns, freezes and consents.

use crate::{
    CampaignId, ConsentGrant, DncScope, DncSource, PhoneNumber, Prefix, PrefixMap, RegionId,
    SharedMap, SharedSet, WallTime,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One number.
    Number(PhoneNumber),
    /// Every number that begins with these digits.
    Prefix(Prefix),
}

impl Target {
    /// Whether it is about this number.
    pub fn covers(self, number: PhoneNumber) -> bool {
        match self {
            Self::Number(own) => own == number,
            Self::Prefix(prefix) => prefix.covers(number),
        }
    }
}

impl fmt::Display for Target {
    /// A number masked, a pattern with a star for the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Never dial numbers that begin with these digits: for any campaign, or where its scope says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncPattern {
    /// The digits.
    pub prefix: Prefix,
    /// Who asked.
    pub source: DncSource,
    /// Why.
    pub reason: String,
    /// When it was asked.
    pub added_at: WallTime,
}

/// Do not dial until a time, and then again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// What rests.
    pub target: Target,
    /// Until when.
    pub until: WallTime,
    /// Why.
    pub reason: String,
    /// Who or what found the reason: a program, a department, a person's role.
    pub source: String,
    /// Since when.
    pub frozen_at: WallTime,
}

/// One thing that decides whether numbers may be dialed, as it is now.
///
/// Told by the directory to every node and region; applied by [`Clearance::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClearanceFact {
    /// A pattern, there or gone.
    Pattern(Prefix, bool),
    /// A freeze and its end, or none when it was lifted.
    Freeze(Target, Option<WallTime>),
    /// A number's consent for one campaign or for all, or none when it was withdrawn.
    Consent(PhoneNumber, Option<CampaignId>, Option<ConsentGrant>),
    /// Whether a campaign dials nobody without consent, whatever its rule pack says.
    RequiresConsent(CampaignId, bool),
    /// A pattern for one campaign or region, there or gone.
    ScopedPattern(Prefix, DncScope, bool),
    /// Whether a number may be dialed although the do-not-call base in use has it.
    Lift(PhoneNumber, bool),
}

impl ClearanceFact {
    /// Which numbers it is about; none when it is about a whole campaign.
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Pattern(prefix, _) => Some(Target::Prefix(*prefix)),
            Self::Freeze(target, _) => Some(*target),
            Self::ScopedPattern(prefix, ..) => Some(Target::Prefix(*prefix)),
            Self::Consent(number, ..) | Self::Lift(number, _) => Some(Target::Number(*number)),
            Self::RequiresConsent(..) => None,
        }
    }

    /// Whether it is about a lead of that number and campaign.
    pub fn concerns(&self, number: PhoneNumber, campaign: CampaignId) -> bool {
        match *self {
            Self::RequiresConsent(own, _) => own == campaign,
            Self::Consent(_, Some(own), _) | Self::ScopedPattern(_, DncScope::Campaign(own), _)
                if own != campaign =>
            {
                false
            }
            _ => self.target().is_some_and(|target| target.covers(number)),
        }
    }
}

/// Why numbers may not be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// A do-not-call pattern covers the number.
    Pattern(Prefix),
    /// The number rests.
    Frozen {
        /// Until when.
        until: WallTime,
    },
}

/// Everything of that kind, as the permit and the region's ledger ask it. Asking allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clearance {
    patterns: PrefixMap<()>,
    frozen_numbers: SharedMap<PhoneNumber, WallTime>,
    frozen_prefixes: PrefixMap<WallTime>,
    consents: SharedMap<(PhoneNumber, Option<CampaignId>), ConsentGrant>,
    consent_required: BTreeSet<CampaignId>,
    /// Patterns for one campaign or region.
    scoped_patterns: PrefixMap<BTreeSet<DncScope>>,
    /// Numbers of a base that may be dialed all the same.
    lifted: SharedSet<PhoneNumber>,
}

impl Clearance {
    /// Takes a fact in. Whether anything changed.
    pub fn take(&mut self, fact: &ClearanceFact) -> bool {
        match *fact {
            ClearanceFact::Pattern(prefix, true) => self.patterns.insert(prefix, ()).is_none(),
            ClearanceFact::Pattern(prefix, false) => self.patterns.remove(prefix).is_some(),
            ClearanceFact::Freeze(target, until) => {
                let before = match (target, until) {
                    (Target::Number(number), Some(until)) => {
                        self.frozen_numbers.insert(number, until)
                    }
                    (Target::Number(number), None) => self.frozen_numbers.remove(&number),
                    (Target::Prefix(prefix), Some(until)) => {
                        self.frozen_prefixes.insert(prefix, until)
                    }
                    (Target::Prefix(prefix), None) => self.frozen_prefixes.remove(prefix),
                };
                before != until
            }
            ClearanceFact::Consent(number, campaign, grant) => {
                let key = (number, campaign);
                let before = match grant {
                    Some(grant) => self.consents.insert(key, grant),
                    None => self.consents.remove(&key),
                };
                before != grant
            }
            ClearanceFact::RequiresConsent(campaign, true) => {
                self.consent_required.insert(campaign)
            }
            ClearanceFact::RequiresConsent(campaign, false) => {
                self.consent_required.remove(&campaign)
            }
            ClearanceFact::ScopedPattern(prefix, scope, there) => {
                let mut scopes = self.scoped_patterns.remove(prefix).unwrap_or_default();
                let changed = match there {
                    true => scopes.insert(scope),
                    false => scopes.remove(&scope),
                };
                if !scopes.is_empty() {
                    self.scoped_patterns.insert(prefix, scopes);
                }
                changed
            }
            ClearanceFact::Lift(number, true) => self.lifted.insert(number, ()).is_none(),
            ClearanceFact::Lift(number, false) => self.lifted.remove(&number).is_some(),
        }
    }

    /// The shortest do-not-call pattern for everywhere that covers a number.
    pub fn pattern_of(&self, number: PhoneNumber) -> Option<Prefix> {
        self.patterns.covering(number).map(|(p, ())| p).next()
    }

    /// The shortest do-not-call pattern that forbids an attempt at a number of that region for that
    /// campaign.
    pub fn pattern_for(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        region: RegionId,
    ) -> Option<Prefix> {
        let scoped = (self.scoped_patterns.covering(number))
            .find(|(_, scopes)| scopes.iter().any(|scope| scope.covers(campaign, region)))
            .map(|(prefix, _)| prefix);
        let whole = self.pattern_of(number);
        whole
            .into_iter()
            .chain(scoped)
            .min_by_key(|prefix| prefix.len())
    }

    /// Whether a number may be dialed although the do-not-call base in use has it.
    pub fn is_lifted(&self, number: PhoneNumber) -> bool {
        !self.lifted.is_empty() && self.lifted.contains_key(&number)
    }

    /// Until when a number rests, by the freeze that ends last; none when it does not at `wall`.
    pub fn frozen_until(&self, number: PhoneNumber, wall: WallTime) -> Option<WallTime> {
        let own = self.frozen_numbers.get(&number).copied();
        let by_prefix = self.frozen_prefixes.covering(number).map(|(_, at)| *at);
        by_prefix.chain(own).max().filter(|until| *until > wall)
    }

    /// A number's consent for a campaign that is good at `wall`: that campaign's own, or one for all.
    pub fn consent(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        wall: WallTime,
    ) -> Option<ConsentGrant> {
        if self.consents.is_empty() {
            return None;
        }
        [Some(campaign), None]
            .into_iter()
            .filter_map(|campaign| self.consents.get(&(number, campaign)).copied())
            .find(|grant| grant.is_good(wall))
    }

    /// The consent of exactly this number and campaign, good or not.
    pub fn consent_of(
        &self,
        number: PhoneNumber,
        campaign: Option<CampaignId>,
    ) -> Option<ConsentGrant> {
        self.consents.get(&(number, campaign)).copied()
    }

    /// Whether a campaign itself asks for consent.
    pub fn requires_consent(&self, campaign: CampaignId) -> bool {
        self.consent_required.contains(&campaign)
    }

    /// The end of the freeze of exactly this number or pattern.
    pub fn freeze_end(&self, target: Target) -> Option<WallTime> {
        match target {
            Target::Number(number) => self.frozen_numbers.get(&number).copied(),
            Target::Prefix(prefix) => self.frozen_prefixes.get(prefix).copied(),
        }
    }

    /// Why a number may not be dialed at `wall`, if something says so.
    pub fn barred(&self, number: PhoneNumber, wall: WallTime) -> Option<Barred> {
        (self.pattern_of(number).map(Barred::Pattern)).or_else(|| {
            self.frozen_until(number, wall)
                .map(|until| Barred::Frozen { until })
        })
    }

    /// Everything in it, as facts.
    pub fn facts(&self) -> impl Iterator<Item = ClearanceFact> {
        let patterns = self.patterns.iter();
        let numbers = (self.frozen_numbers.iter())
            .map(|(number, until)| ClearanceFact::Freeze(Target::Number(*number), Some(*until)));
        let prefixes = (self.frozen_prefixes.iter())
            .map(|(prefix, until)| ClearanceFact::Freeze(Target::Prefix(prefix), Some(*until)));
        (patterns.map(|(prefix, ())| ClearanceFact::Pattern(prefix, true)))
            .chain(numbers)
            .chain(prefixes)
            .chain((self.consents.iter()).map(|((number, campaign), grant)| {
                ClearanceFact::Consent(*number, *campaign, Some(*grant))
            }))
            .chain(
                (self.consent_required.iter())
                    .map(|campaign| ClearanceFact::RequiresConsent(*campaign, true)),
            )
            .chain(self.scoped_patterns.iter().flat_map(|(prefix, scopes)| {
                let of = move |scope: &DncScope| ClearanceFact::ScopedPattern(prefix, *scope, true);
                scopes.iter().map(of)
            }))
            .chain((self.lifted.keys()).map(|number| ClearanceFact::Lift(*number, true)))
    }

    /// What is said of the same thing here; none when nothing is.
    pub fn own(&self, fact: &ClearanceFact) -> Option<ClearanceFact> {
        match *fact {
            ClearanceFact::Pattern(prefix, _) => {
                (self.patterns.get(prefix)).map(|()| ClearanceFact::Pattern(prefix, true))
            }
            ClearanceFact::Freeze(target, _) => {
                (self.freeze_end(target)).map(|until| ClearanceFact::Freeze(target, Some(until)))
            }
            ClearanceFact::Consent(number, campaign, _) => (self.consent_of(number, campaign))
                .map(|grant| ClearanceFact::Consent(number, campaign, Some(grant))),
            ClearanceFact::RequiresConsent(campaign, _) => (self.requires_consent(campaign))
                .then_some(ClearanceFact::RequiresConsent(campaign, true)),
            ClearanceFact::ScopedPattern(prefix, scope, _) => (self.scoped_patterns.get(prefix))
                .filter(|scopes| scopes.contains(&scope))
                .map(|_| ClearanceFact::ScopedPattern(prefix, scope, true)),
            ClearanceFact::Lift(number, _) => {
                (self.lifted.contains_key(&number)).then_some(ClearanceFact::Lift(number, true))
            }
        }
    }

    /// The facts that make `other` of this: what it lacks or has otherwise, then what is gone.
    pub fn facts_until(&self, other: &Self) -> Vec<ClearanceFact> {
        let new = (other.facts()).filter(|fact| self.own(fact) != Some(*fact));
        let gone = (self.facts())
            .filter(|fact| other.own(fact).is_none())
            .map(|fact| match fact {
                ClearanceFact::Pattern(prefix, _) => ClearanceFact::Pattern(prefix, false),
                ClearanceFact::Freeze(target, _) => ClearanceFact::Freeze(target, None),
                ClearanceFact::Consent(number, campaign, _) => {
                    ClearanceFact::Consent(number, campaign, None)
                }
                ClearanceFact::RequiresConsent(campaign, _) => {
                    ClearanceFact::RequiresConsent(campaign, false)
                }
                ClearanceFact::ScopedPattern(prefix, scope, _) => {
                    ClearanceFact::ScopedPattern(prefix, scope, false)
                }
                ClearanceFact::Lift(number, _) => ClearanceFact::Lift(number, false),
            });
        new.chain(gone).collect()
    }
}

impl FromIterator<ClearanceFact> for Clearance {
    fn from_iter<I: IntoIterator<Item = ClearanceFact>>(facts: I) -> Self {
        let mut clearance = Self::default();
        for fact in facts {
            clearance.take(&fact);
        }
        clearance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConsentId, ConsentKind};

    fn number(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    const fn at(millis: i64) -> WallTime {
        WallTime::from_millis(millis)
    }

    #[test]
    fn patterns_bar_until_they_are_gone() {
        let mut clearance = Clearance::default();
        assert!(clearance.take(&ClearanceFact::Pattern(prefix("+1900"), true)));
        assert!(!clearance.take(&ClearanceFact::Pattern(prefix("+1900"), true)));
        let barred = |c: &Clearance, text| c.barred(number(text), at(0));
        assert_eq!(
            barred(&clearance, "+19005550134"),
            Some(Barred::Pattern(prefix("+1900")))
        );
        assert_eq!(barred(&clearance, "+14155550134"), None);
        assert!(clearance.take(&ClearanceFact::Pattern(prefix("+1900"), false)));
        assert_eq!(clearance, Clearance::default());
    }

    #[test]
    fn a_freeze_ends_by_itself_and_the_latest_counts() {
        let mut clearance = Clearance::default();
        let one = number("+14155550134");
        let freeze = |target, until| ClearanceFact::Freeze(target, until);
        clearance.take(&freeze(Target::Number(one), Some(at(100))));
        assert_eq!(clearance.frozen_until(one, at(99)), Some(at(100)));
        assert_eq!(
            clearance.frozen_until(one, at(100)),
            None,
            "over at its end"
        );
        clearance.take(&freeze(Target::Prefix(prefix("+1415")), Some(at(200))));
        assert_eq!(clearance.frozen_until(one, at(0)), Some(at(200)));
        assert_eq!(
            clearance.frozen_until(number("+14155550199"), at(0)),
            Some(at(200))
        );
        assert!(!clearance.take(&freeze(Target::Number(one), Some(at(100)))));
        assert!(clearance.take(&freeze(Target::Prefix(prefix("+1415")), None)));
        assert_eq!(clearance.frozen_until(one, at(0)), Some(at(100)));
    }

    fn grant(id: u64, until: Option<i64>) -> ConsentGrant {
        ConsentGrant {
            id: ConsentId(id),
            kind: ConsentKind::Form,
            until: until.map(at),
        }
    }

    #[test]
    fn a_consent_is_for_a_campaign_or_all_and_may_end() {
        let mut clearance = Clearance::default();
        let (one, campaign) = (number("+14155550134"), CampaignId(1));
        let good = |clearance: &Clearance, campaign, millis| {
            (clearance.consent(one, CampaignId(campaign), at(millis))).map(|grant| grant.id.0)
        };
        assert_eq!(good(&clearance, 1, 0), None);
        let own = ClearanceFact::Consent(one, Some(campaign), Some(grant(1, Some(100))));
        assert!(clearance.take(&own) && !clearance.take(&own));
        assert_eq!(
            (good(&clearance, 1, 99), good(&clearance, 2, 99)),
            (Some(1), None)
        );
        assert_eq!(good(&clearance, 1, 100), None, "over at its end");
        clearance.take(&ClearanceFact::Consent(one, None, Some(grant(2, None))));
        assert_eq!(
            (good(&clearance, 1, 99), good(&clearance, 1, 100)),
            (Some(1), Some(2))
        );
        assert!(own.concerns(one, campaign) && !own.concerns(one, CampaignId(2)));
        clearance.take(&ClearanceFact::Consent(one, None, None));
        assert_eq!(good(&clearance, 2, 0), None);
        clearance.take(&ClearanceFact::RequiresConsent(campaign, true));
        assert!(clearance.requires_consent(campaign));
        assert!(!clearance.requires_consent(CampaignId(2)));
    }

    #[test]
    fn a_pattern_of_a_scope_bars_there_and_nowhere_else() {
        let mut clearance = Clearance::default();
        let (one, campaign) = (number("+14155550134"), DncScope::Campaign(CampaignId(1)));
        let region = DncScope::Region(RegionId(2));
        let bars = |clearance: &Clearance, campaign, region| {
            clearance.pattern_for(one, CampaignId(campaign), RegionId(region))
        };
        let fact = |text, scope, there| ClearanceFact::ScopedPattern(prefix(text), scope, there);
        assert!(clearance.take(&fact("+1415", campaign, true)));
        assert!(!clearance.take(&fact("+1415", campaign, true)));
        assert!(clearance.take(&fact("+14", region, true)));
        assert_eq!(bars(&clearance, 1, 9), Some(prefix("+1415")));
        assert_eq!(bars(&clearance, 9, 2), Some(prefix("+14")));
        assert_eq!(bars(&clearance, 1, 2), Some(prefix("+14")), "the shortest");
        assert_eq!(bars(&clearance, 9, 9), None);
        assert_eq!(clearance.pattern_of(one), None);
        clearance.take(&ClearanceFact::Pattern(prefix("+1"), true));
        assert_eq!(bars(&clearance, 1, 2), Some(prefix("+1")));
        let own = fact("+1415", campaign, true);
        assert!(own.concerns(one, CampaignId(1)) && !own.concerns(one, CampaignId(2)));
        assert!(fact("+14", region, true).concerns(one, CampaignId(2)));
        assert!(clearance.take(&fact("+1415", campaign, false)));
        assert!(!clearance.take(&fact("+1415", campaign, false)));
        assert!(clearance.take(&fact("+14", region, false)));
        clearance.take(&ClearanceFact::Pattern(prefix("+1"), false));
        assert_eq!(clearance, Clearance::default());
    }

    #[test]
    fn the_difference_makes_one_of_the_other() {
        let build = |facts: &[ClearanceFact]| facts.iter().copied().collect::<Clearance>();
        let (one, two) = (number("+14155550134"), number("+14155550135"));
        let old = build(&[
            ClearanceFact::Pattern(prefix("+1900"), true),
            ClearanceFact::Freeze(Target::Number(one), Some(at(5))),
            ClearanceFact::Freeze(Target::Prefix(prefix("+7")), Some(at(5))),
            ClearanceFact::Consent(one, None, Some(grant(1, None))),
            ClearanceFact::Consent(one, Some(CampaignId(1)), Some(grant(2, None))),
            ClearanceFact::RequiresConsent(CampaignId(1), true),
            ClearanceFact::ScopedPattern(prefix("+1"), DncScope::Campaign(CampaignId(1)), true),
            ClearanceFact::ScopedPattern(prefix("+1"), DncScope::Region(RegionId(1)), true),
            ClearanceFact::Lift(one, true),
        ]);
        let new = build(&[
            ClearanceFact::ScopedPattern(prefix("+1"), DncScope::Region(RegionId(1)), true),
            ClearanceFact::ScopedPattern(prefix("+1"), DncScope::Region(RegionId(2)), true),
            ClearanceFact::Lift(two, true),
            ClearanceFact::Pattern(prefix("+1976"), true),
            ClearanceFact::Freeze(Target::Number(one), Some(at(6))),
            ClearanceFact::Freeze(Target::Number(two), Some(at(6))),
            ClearanceFact::Consent(one, None, Some(grant(3, Some(9)))),
            ClearanceFact::RequiresConsent(CampaignId(2), true),
        ]);
        let mut copy = old.clone();
        for fact in old.facts_until(&new) {
            assert!(copy.take(&fact), "{fact:?} changes something");
        }
        assert_eq!(copy, new);
        assert_eq!(new.facts_until(&new), []);
    }
}
