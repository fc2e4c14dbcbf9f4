//! Persons who answer at a node, and how many of them it lets down: at will by lines without an
//! agent, of which it has no more than its shares of the budgets allow; now and then beyond, as
//! agents' phones drop; and by its own end.

use crate::{
    begin::change,
    checkers::abandonment::Abandonment,
    defect::Defect,
    options::Options,
    seen::Happening,
    violation::{Checked, Invariant},
    world::{CAMPAIGNS, Event, Which, World},
};
use domain::{CampaignId, EscrowAsk, EscrowProof, Incarnation, Instant, MemberId};
use ledger::{Change, DirectoryReply};
use permit::{Escrow, EscrowQuestion};
use std::collections::{BTreeMap, BTreeSet};

/// An ask without an answer is sent again after so many milliseconds.
const AGAIN: u64 = 2500;
/// A line ends so many milliseconds after its begin at the latest.
const LINE: u64 = domain::limits::RING_LIMIT_MAX.as_millis() as u64;

/// What a node's disk knows of one run's abandonments.
#[derive(Clone, Debug, Default)]
struct Written {
    totals: BTreeMap<CampaignId, u64>,
    synced: BTreeMap<CampaignId, u64>,
    /// Lines that had no end when the run ended.
    in_air: BTreeMap<CampaignId, u64>,
    /// Campaigns of which the directory answered: only a mistaken shell cares.
    told: BTreeSet<CampaignId>,
    /// A power loss came after: its tail may be lost.
    tainted: bool,
}

/// An ask on its way.
#[derive(Clone, Debug)]
struct Asked {
    question: EscrowQuestion,
    ask: EscrowAsk,
    at: u64,
}

/// A node's shares, and its disk's memory of them.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    escrow: Escrow,
    asked: Option<Asked>,
    /// What the escrow said last while another ask was on its way.
    waiting: Option<EscrowQuestion>,
    /// Lines without an agent of their own, and when each ends.
    lines: Vec<(CampaignId, u64)>,
    proofs: Vec<EscrowProof>,
    written: BTreeMap<Incarnation, Written>,
    /// Only a mistaken shell counts its asks otherwise than the escrow.
    bumped: u64,
    /// Let down beyond a share since the ask on its way was sent: a mistaken shell forgets them.
    forgotten: BTreeMap<CampaignId, u32>,
}

impl Shares {
    /// A run begins: what earlier ones wrote is read.
    pub(crate) fn begin(&mut self, run: Incarnation, options: &Options) {
        let believes = options.has(Defect::SpentLostIsProof);
        let (unheard, nobody) = (
            options.has(Defect::UntoldNotProved),
            options.has(Defect::CrashLetsNobodyDown),
        );
        self.proofs = (self.written.iter())
            .filter(|(_, written)| believes || !written.tainted)
            .map(|(incarnation, written)| EscrowProof {
                incarnation: *incarnation,
                abandoned: (written.totals.iter())
                    .filter(|(id, _)| !unheard || written.told.contains(id))
                    .map(|(id, n)| (*id, *n))
                    .collect(),
                in_air: (written.in_air.iter())
                    .filter(|_| !nobody)
                    .map(|(id, n)| (*id, *n))
                    .collect(),
            })
            .rev()
            .take(domain::limits::ESCROW_PROOFS)
            .collect();
        self.written.insert(run, Written::default());
        self.asked = None;
        self.waiting = None;
        self.bumped = 0;
        self.forgotten.clear();
        if !options.has(Defect::ShareSurvivesCrash) {
            self.escrow = Escrow::default();
        }
    }

    /// Everything so far is on the disk.
    pub(crate) fn synced(&mut self) {
        for written in self.written.values_mut() {
            written.synced.clone_from(&written.totals);
        }
    }

    /// The power fails; what was not on the disk is gone, if `lost`.
    pub(crate) fn power_lost(&mut self, lost: bool) {
        for written in self.written.values_mut() {
            written.tainted = true;
            if lost {
                written.totals.clone_from(&written.synced);
            }
        }
    }

    /// The whole mesh slept.
    pub(crate) fn slept(&mut self, asleep: u64) {
        if let Some(asked) = &mut self.asked {
            asked.at += asleep;
        }
    }

    fn write(&mut self, run: Incarnation, campaign: CampaignId, total: u64) {
        let written = self.written.entry(run).or_default();
        written.totals.insert(campaign, total);
    }

    /// Lines of these campaigns that are out.
    fn lines(&self, of: &[CampaignId]) -> u32 {
        let lines = self.lines.iter().filter(|(id, _)| of.contains(id));
        lines.count() as u32
    }

    /// Some lines of these campaigns end.
    fn end_lines(&mut self, of: &[CampaignId], n: u32) {
        for _ in 0..n {
            if let Some(place) = self.lines.iter().position(|(id, _)| of.contains(id)) {
                self.lines.remove(place);
            }
        }
    }

    /// What is to be sent now: first what is proved of earlier runs, whoever asks for anything.
    fn next(
        &mut self,
        now: u64,
        local: Instant,
        who: (MemberId, Incarnation),
        counted: &[(CampaignId, Vec<CampaignId>)],
    ) -> Option<EscrowAsk> {
        let (lines, escrow) = (&self.lines, &mut self.escrow);
        let at_risk = |account: CampaignId| {
            let of = counted.iter().filter(|(id, _)| *id == account);
            let of = of.flat_map(|(_, counted)| counted);
            of.map(|id| lines.iter().filter(|(of, _)| of == id).count() as u32)
                .sum()
        };
        // The escrow says its ask again by itself, later than this shell does.
        let asked = escrow.poll(local, at_risk);
        self.waiting = asked.or(self.waiting.take());
        if let Some(asked) = &self.asked {
            let known = asked.question.sequence;
            self.waiting = self.waiting.take().filter(|q| q.sequence > known);
            return None;
        }
        let question = if self.proofs.is_empty() {
            self.waiting.take()?
        } else {
            EscrowQuestion {
                sequence: 0,
                lines: Vec::new(),
            }
        };
        let ask = EscrowAsk {
            member: who.0,
            incarnation: who.1,
            sequence: question.sequence + self.bumped,
            proofs: self.proofs.clone(),
            lines: question.lines.clone(),
        };
        self.asked = Some(Asked {
            question,
            ask: ask.clone(),
            at: now,
        });
        Some(ask)
    }

    /// What was sent and not answered is sent again.
    fn again(&mut self, now: u64, defect: bool) -> Option<EscrowAsk> {
        let asked = self.asked.as_mut().filter(|asked| now > asked.at + AGAIN)?;
        asked.at = now;
        if defect {
            asked.ask.sequence += 1;
            self.bumped += 1;
        }
        Some(asked.ask.clone())
    }
}

impl World {
    /// Whose budget a campaign's abandonments are counted in.
    fn account(&self, campaign: CampaignId) -> CampaignId {
        let with = self.directory.witness.drop_rate_group(campaign);
        with.unwrap_or(campaign)
    }

    /// The same, as nodes go by it.
    fn heard_account(&self, campaign: CampaignId) -> CampaignId {
        match self.options.has(Defect::GroupUnheard) {
            true => campaign,
            false => self.account(campaign),
        }
    }

    /// The campaigns that count in one budget, as nodes go by it.
    fn counted(&self, account: CampaignId) -> Vec<CampaignId> {
        let mut all = CAMPAIGNS.to_vec();
        all.retain(|campaign| self.heard_account(*campaign) == account);
        all
    }

    /// Whoever answers a line that is out may be let down: no more of them are out than may be.
    fn lines_are_covered(&self, i: usize, account: CampaignId) -> Checked {
        let shares = &self.nodes[i].shares;
        let lines = shares.lines(&self.counted(account));
        let held = shares.escrow.held(account);
        if lines > held {
            return Err(Invariant::I6.broken(format!(
                "node {i} has {lines} lines out on {held} shares of {account}"
            )));
        }
        Ok(())
    }

    /// Persons answer, some are let down, the directory is told and asked.
    pub(crate) fn crowd(&mut self, i: usize) -> Checked {
        let campaign = CAMPAIGNS[self.random.below(2) as usize];
        let account = self.heard_account(campaign);
        let (now, local) = (self.now, self.local(i));
        let (many, turn, dials) = (self.chance(500), self.chance(150), self.chance(300));
        let (persons, want) = (self.random.below(14), self.random.below(12));
        let run = self.nodes[i].run;
        if self.closing() {
            self.nodes[i].shares.escrow.close();
        } else {
            let shares = &mut self.nodes[i].shares;
            if shares.escrow.left(local.monotonic, account).is_none() || turn {
                shares.escrow.want(account, want);
            }
            if many {
                (0..persons).for_each(|_| shares.escrow.note_answer(local.wall, account));
                let truth = self.account(campaign);
                self.checkers.abandonment.answered(now, truth, persons);
            }
            match self.nodes[i].shares.escrow.left(local.monotonic, account) {
                Some(left) if dials => {
                    let alone = self.options.has(Defect::GroupSharesTwice);
                    let of = if alone {
                        vec![campaign]
                    } else {
                        self.counted(account)
                    };
                    let room = left.saturating_sub(self.nodes[i].shares.lines(&of));
                    for _ in 0..self.random.below(room + 1) {
                        let ends = now + 1 + self.millis(LINE);
                        self.nodes[i].shares.lines.push((campaign, ends));
                    }
                }
                Some(_) => {}
                None => self.saw(Happening::SharesUnknown),
            }
        }
        self.lines_are_covered(i, account)?;
        self.answers_nobody_takes(i, campaign)?;
        let again = self.options.has(Defect::AsksAgainAsNew);
        let apart = CAMPAIGNS.map(|campaign| (campaign, self.counted(campaign)));
        let node = &mut self.nodes[i];
        let who = (node.member, run);
        let ask = (node.shares.again(now, again))
            .or_else(|| node.shares.next(now, local.monotonic, who, &apart));
        if let Some(ask) = ask {
            self.ask_share(i, ask);
        }
        Ok(())
    }

    /// Of the lines that are out some are answered with no agent there; and an agent's phone drops.
    fn answers_nobody_takes(&mut self, i: usize, campaign: CampaignId) -> Checked {
        let now = self.now;
        // Every second run lets hardly anybody down while its share lasts: so shares end with lines out.
        let local = self.local(i).monotonic;
        let node = &self.nodes[i];
        let account = self.heard_account(campaign);
        let known = node.shares.escrow.left(local, account).is_some();
        let spares = known && (node.run.0 + i as u64).is_multiple_of(2);
        let often = if spares { 3 } else { 100 };
        let (down, drops) = (self.chance(often), self.mishap(15));
        let shares = &mut self.nodes[i].shares;
        shares.lines.retain(|(_, ends)| *ends > now);
        let lines = shares.lines(&[campaign]);
        if down && lines > 0 {
            let n = 1 + self.random.below(lines);
            for _ in 0..n {
                self.let_down(i, campaign)?;
            }
        }
        if drops {
            for _ in 0..=self.random.below(3) {
                self.let_down(i, campaign)?;
            }
        }
        Ok(())
    }

    fn let_down(&mut self, i: usize, campaign: CampaignId) -> Checked {
        let forgets = self.options.has(Defect::SpentForgotten);
        let local = self.local(i).monotonic;
        let (truth, account) = (self.account(campaign), self.heard_account(campaign));
        let counted = self.counted(account);
        let node = &mut self.nodes[i];
        let (who, shares) = ((node.member, node.run), &mut node.shares);
        let nothing = shares.escrow.held(account) == 0;
        let ended = shares.escrow.left(local, account).is_none();
        // A share that ended covers the lines that were out then, and nobody else.
        let beyond = nothing || (ended && shares.lines(&counted) == 0);
        if nothing && shares.asked.is_some() {
            *shares.forgotten.entry(account).or_default() += 1;
        }
        let total = shares.escrow.note_abandoned(account);
        if !forgets {
            shares.write(who.1, account, total);
        }
        // It was one of the lines, or took the agent of one.
        let held = shares.escrow.held(account);
        let more = shares.lines(&counted).saturating_sub(held);
        shares.end_lines(&counted, more);
        if truth != campaign {
            self.saw(Happening::CountedTogether);
        }
        self.saw(match (beyond, ended) {
            (true, _) => Happening::Overspent,
            (false, true) => Happening::SpentAfterEnd,
            (false, false) => Happening::SharesSpent,
        });
        let (now, directory) = (self.now, &self.directory.witness);
        (self.checkers.abandonment).abandoned(now, who, truth, beyond, directory)
    }

    /// A node's process ends with lines out: some of the persons wait, some answer when it is gone.
    /// Nobody writes that down.
    pub(crate) fn lines_cut_off(&mut self, i: usize) -> Checked {
        let now = self.now;
        let lines = std::mem::take(&mut self.nodes[i].shares.lines);
        for account in CAMPAIGNS {
            let counted = self.counted(account);
            let node = &mut self.nodes[i];
            let who = (node.member, node.run);
            // Whatever it counts with, an attempt is written down by its own campaign.
            for campaign in &counted {
                let out = lines.iter().filter(|(of, _)| of == campaign).count();
                if out > 0 {
                    let written = node.shares.written.entry(who.1).or_default();
                    written.in_air.insert(*campaign, out as u64);
                }
            }
            let on_line = |(of, ends): &&(CampaignId, u64)| counted.contains(of) && *ends > now;
            let on_line = lines.iter().filter(on_line).count();
            let held = node.shares.escrow.held(account);
            let most = held.min(on_line as u32);
            let truth = self.account(account);
            for _ in 0..self.random.below(most + 1) {
                self.saw(Happening::LetDownByCrash);
                let directory = &self.directory.witness;
                (self.checkers.abandonment).abandoned(now, who, truth, false, directory)?;
            }
        }
        Ok(())
    }

    fn ask_share(&mut self, i: usize, ask: EscrowAsk) {
        let kept = |line: &domain::EscrowLine| {
            let shares = &self.nodes[i].shares;
            let lines = shares.lines(&self.counted(line.campaign));
            lines > 0 && shares.escrow.held(line.campaign) > line.want
        };
        if ask.lines.iter().any(kept) {
            self.saw(Happening::SharesAtRisk);
        }
        let returned = ask.lines.iter().any(|line| line.returned > 0);
        if returned {
            self.saw(Happening::SharesReturned);
        }
        if !ask.proofs.is_empty() {
            self.saw(Happening::SharesProved);
        }
        let command = change(Change::Escrow { ask: Box::new(ask) });
        let voter = self.asks(i, Which::Directory);
        let event = Event::ProposeDirectory {
            voter,
            command: Box::new(command),
            asker: Some((i, self.nodes[i].run)),
            hops: 0,
        };
        let from = self.place_of(i);
        self.send(from, voter, event);
    }

    /// The directory answered an ask.
    pub(crate) fn share_answered(
        &mut self,
        i: usize,
        sequence: u64,
        reply: &DirectoryReply,
    ) -> Checked {
        // Refused: a later one of ours was taken already, which only a mistaken shell has. It is
        // asked again, for ever.
        let DirectoryReply::Escrow(grants) = reply else {
            return Ok(());
        };
        let node = &mut self.nodes[i];
        let (member, run, shares) = (node.member, node.run, &mut node.shares);
        let Some(asked) = shares.asked.take_if(|asked| asked.ask.sequence == sequence) else {
            return Ok(());
        };
        shares.proofs.clear();
        let campaigns = asked.ask.lines.iter().map(|line| line.campaign);
        shares
            .written
            .entry(run)
            .or_default()
            .told
            .extend(campaigns);
        let mut grants = grants.clone();
        let forgotten = std::mem::take(&mut shares.forgotten);
        if self.options.has(Defect::OverspentForgotten) {
            for grant in &mut grants {
                grant.granted += forgotten.get(&grant.campaign).copied().unwrap_or(0);
            }
        }
        shares.escrow.answered(asked.question.sequence, &grants);
        for campaign in CAMPAIGNS {
            let held = shares.escrow.held(campaign);
            Abandonment::lent(member, campaign, held, &self.directory.witness)?;
        }
        if grants.iter().any(|grant| grant.granted > 0) {
            self.saw(Happening::SharesGranted);
        }
        Ok(())
    }

    /// At the end nothing is held any more that nobody uses.
    pub(crate) fn shares_settled(&self) -> Checked {
        for (i, node) in self.nodes.iter().enumerate() {
            if !node.shares.escrow.is_settled() {
                return Err(Invariant::I6.broken(format!(
                    "node {i} never gives its shares back: {:?}",
                    node.shares.escrow
                )));
            }
        }
        Ok(())
    }

    /// An entry about shares was committed.
    pub(crate) fn shares_committed(&mut self, ask: &EscrowAsk, reply: &DirectoryReply) -> Checked {
        self.checkers.abandonment.told(ask, reply);
        let (now, directory) = (self.now, &self.directory.witness);
        for campaign in CAMPAIGNS {
            self.checkers
                .abandonment
                .covered(now, campaign, directory)?;
            let view = directory.abandonment(campaign, domain::WallTime::EPOCH);
            if view.is_some_and(|view| view.in_doubt > 0) {
                self.checkers.seen.saw(Happening::SharesInDoubt);
            }
        }
        Ok(())
    }
}
