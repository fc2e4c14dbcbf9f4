//! What one run is like: everything drawn from the seed, and printed first.

use crate::defect::Defect;
use sansio::{Seed, Stream};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Noon in New York, a Saturday in November.
const NOON: i64 = 1_795_280_400_000;

/// One run. Equal options give equal runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where all randomness comes from.
    pub seed: u64,
    /// A mistake on purpose, if any.
    pub defect: Option<Defect>,
    /// Nodes that dial.
    pub nodes: usize,
    /// Voters of both groups.
    pub voters: usize,
    /// Numbers; about a third are leads of both campaigns.
    pub numbers: u64,
    /// Session time to live T, in seconds.
    pub ttl: u64,
    /// Do-not-call freshness δ, in seconds.
    pub freshness: u64,
    /// The campaigns' ring limit at the start, in seconds.
    pub ring: u64,
    /// Their talk limit at the start, in seconds.
    pub talk: u64,
    /// Channels of each trunk.
    pub channels: u32,
    /// Calls a second of each trunk.
    pub calls_per_second: u32,
    /// Times each caller ID may be shown in an hour.
    pub cap_per_hour: u32,
    /// Times each caller ID may be shown in a day.
    pub cap_per_day: u32,
    /// The calendar at the start, in milliseconds.
    pub start: i64,
    /// How long faults happen, in seconds.
    pub safety: u64,
    /// Of a thousand messages, so many are lost.
    pub loss: u32,
    /// So many come twice.
    pub repeat: u32,
    /// So many come late by seconds.
    pub slow: u32,
    /// Faults of nodes and links, on average one every so many seconds.
    pub fault_every: u64,
    /// Elections, on average one every so many seconds.
    pub churn_every: u64,
    /// Changes of do-not-call, on average one every so many seconds.
    pub dnc_every: u64,
    /// Links are cut, both ways or one.
    pub partitions: bool,
    /// Links become slow for a while.
    pub clogs: bool,
    /// Nodes and voters stop for a while.
    pub pauses: bool,
    /// Processes die and come back in the same boot.
    pub crashes: bool,
    /// Machines go down and lose unsynced writes.
    pub power_losses: bool,
    /// The leaders' calendars are set wrong by up to half an hour.
    pub calendar_jumps: bool,
    /// Once or twice the whole mesh sleeps for hours.
    pub slumbers: bool,
    /// Campaigns change limits, pause, go on.
    pub campaign_changes: bool,
    /// The links to carriers stall.
    pub stalls: bool,
    /// Campaigns ask for consent now and then: seldom, for then few leads are dialed.
    #[serde(default)]
    pub consents: bool,
    /// Lists are pulled, bases made of them and of what registries say; numbers are lifted from
    /// bases; patterns hold for one campaign or region.
    #[serde(default)]
    pub registers: bool,
    /// Regions, one or two; with two, leads move between them.
    #[serde(default = "one")]
    pub regions: usize,
    /// Members begin with the release before and are upgraded one by one.
    #[serde(default)]
    pub upgrades: bool,
    /// Both campaigns count their abandonments in one budget.
    #[serde(default)]
    pub groups: bool,
}

const fn one() -> usize {
    1
}

impl Options {
    /// The run of a seed.
    pub fn drawn(seed: u64) -> Self {
        let mut random = Seed::from_u64(seed).stream("options");
        let mut draw = |least: u32, most: u32| least + random.below(most - least + 1);
        let nodes = draw(2, 4) as usize;
        let voters = if draw(0, 3) == 0 { 5 } else { 3 };
        let numbers = u64::from(draw(12, 36));
        let (ttl, freshness) = (u64::from(draw(5, 24)), u64::from(draw(5, 24)));
        let (ring, talk) = (u64::from(draw(15, 30)), u64::from(draw(10, 80)));
        let (channels, calls_per_second) = (draw(1, 6), draw(1, 4));
        let cap_per_hour = draw(2, 30);
        let cap_per_day = cap_per_hour + draw(0, 40);
        // Mid-day, or minutes before a window opens or closes somewhere.
        let hours = [0, 0, 0, 9, 10, 12, -4, -3][draw(0, 7) as usize];
        let early = if hours == 0 { 0 } else { draw(20, 240) };
        let start = NOON + hours * 3_600_000 - i64::from(early) * 1000;
        let safety = u64::from(draw(120, 360));
        let (loss, repeat, slow) = (draw(0, 120), draw(0, 120), draw(0, 100));
        let fault_every = u64::from(draw(6, 50));
        let churn_every = u64::from(draw(4, 90));
        let dnc_every = u64::from(draw(6, 80));
        let on = |random: &mut Stream| random.permille(650);
        let mut drawn = Self {
            seed,
            defect: None,
            nodes,
            voters,
            numbers,
            ttl,
            freshness,
            ring,
            talk,
            channels,
            calls_per_second,
            cap_per_hour,
            cap_per_day,
            start,
            safety,
            loss,
            repeat,
            slow,
            fault_every,
            churn_every,
            dnc_every,
            partitions: on(&mut random),
            clogs: on(&mut random),
            pauses: on(&mut random),
            crashes: on(&mut random),
            power_losses: on(&mut random),
            calendar_jumps: on(&mut random),
            slumbers: on(&mut random) && random.permille(600),
            campaign_changes: on(&mut random),
            stalls: on(&mut random),
            consents: random.permille(250),
            registers: on(&mut random),
            regions: if random.permille(250) { 2 } else { 1 },
            upgrades: random.permille(200),
            groups: random.permille(300),
        };
        // A drop-rate group is set before its campaigns start, and needs every member to know of it.
        drawn.groups &= !drawn.upgrades;
        drawn
    }

    /// The same with a mistake on purpose. Campaigns ask for consent, and lists, lifts and scopes are
    /// there, where the mistake is about that: where few leads are dialed, few mistakes show. Where
    /// it is about what the directory says of numbers, that changes often, and where it is about who leads,
    /// leaders do.
    #[must_use]
    pub fn with(self, defect: Defect) -> Self {
        let often = matches!(
            defect,
            Defect::FreshTooSoon | Defect::EffectiveAtElection | Defect::OldBaseStays
        );
        let about_consent = defect.is_about_consent();
        let about_registers = defect.is_about_registers();
        let dnc_every = if often || about_consent || about_registers {
            self.dnc_every.min(8)
        } else {
            self.dnc_every
        };
        // Where it is about who leads, leaders change often and are cut off, messages come late, and
        // sessions are short.
        let about_leaders = matches!(defect, Defect::NoQuorumRound | Defect::MixesAnswers);
        let churn_every = match about_leaders {
            true => self.churn_every.min(10),
            false => self.churn_every,
        };
        Self {
            defect: Some(defect),
            churn_every,
            partitions: self.partitions || about_leaders,
            clogs: self.clogs || about_leaders,
            slow: self.slow.max(if about_leaders { 250 } else { 0 }),
            ttl: self.ttl.min(if about_leaders { 6 } else { u64::MAX }),
            consents: about_consent,
            registers: about_registers,
            regions: if defect.is_about_moves() { 2 } else { 1 },
            upgrades: defect.is_about_upgrades(),
            groups: defect.is_about_groups(),
            dnc_every,
            ..self
        }
    }

    /// Whether this mistake is on.
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// T.
    pub(crate) const fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }

    /// δ.
    pub(crate) const fn freshness(&self) -> Duration {
        Duration::from_secs(self.freshness)
    }
}
