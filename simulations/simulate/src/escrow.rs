//! Persons who answer at a node, and how many of them it lets down: at will, within its shares of
//! the budgets.

use crate::{
    begin::change,
    defect::Defect,
    options::Options,
    seen::Happening,
    violation::{Checked, Invariant},
    world::{CAMPAIGNS, Event, Which, World},
};
use domain::{CampaignId, EscrowAsk, EscrowProof, Incarnation, Instant, MemberId};
use ledger::{Change, DirectoryReply};
use permit::{Escrow, EscrowQuestion};
use std::collections::BTreeMap;

/// An ask without an answer is sent again after so many milliseconds.
const AGAIN: u64 = 2500;

/// What a node's disk knows of one run's abandonments.
#[derive(Clone, Debug, Default)]
struct Written {
    totals: BTreeMap<CampaignId, u64>,
    synced: BTreeMap<CampaignId, u64>,
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
    proofs: Vec<EscrowProof>,
    written: BTreeMap<Incarnation, Written>,
    /// Only a mistaken shell counts its asks otherwise than the escrow.
    bumped: u64,
}

impl Shares {
    /// A run begins: what earlier ones wrote is read.
    pub(crate) fn begin(&mut self, run: Incarnation, options: &Options) {
        let believes = options.has(Defect::SpentLostIsProof);
        self.proofs = (self.written.iter())
            .filter(|(_, written)| believes || !written.tainted)
            .map(|(incarnation, written)| EscrowProof {
                incarnation: *incarnation,
                abandoned: written.totals.iter().map(|(id, n)| (*id, *n)).collect(),
                in_air: Vec::new(),
            })
            .rev()
            .take(domain::limits::ESCROW_PROOFS)
            .collect();
        self.written.insert(run, Written::default());
        self.asked = None;
        self.bumped = 0;
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

    /// What is to be sent now.
    fn next(
        &mut self,
        now: u64,
        local: Instant,
        who: (MemberId, Incarnation),
    ) -> Option<EscrowAsk> {
        // The escrow says its ask again by itself, later than this shell does.
        let asked = self.escrow.poll(local, |_| 0);
        if self.asked.is_none() {
            let question = asked?;
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
            return Some(ask);
        }
        None
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
    /// Persons answer, some are let down, the directory is told and asked.
    pub(crate) fn crowd(&mut self, i: usize) -> Checked {
        let campaign = CAMPAIGNS[self.random.below(2) as usize];
        let (now, local) = (self.now, self.local(i));
        let (many, turn, down) = (self.chance(500), self.chance(150), self.chance(100));
        let (persons, want) = (self.random.below(14), self.random.below(12));
        let run = self.nodes[i].run;
        if self.closing() {
            self.nodes[i].shares.escrow.close();
        } else {
            let shares = &mut self.nodes[i].shares;
            if shares.escrow.left(local.monotonic, campaign).is_none() || turn {
                shares.escrow.want(campaign, want);
            }
            if many {
                (0..persons).for_each(|_| shares.escrow.note_answer(local.wall, campaign));
                self.checkers.abandonment.answered(now, campaign, persons);
            }
            match self.nodes[i].shares.escrow.left(local.monotonic, campaign) {
                Some(left) if down && left > 0 => {
                    let n = 1 + self.random.below(left);
                    for _ in 0..n {
                        self.let_down(i, run, campaign)?;
                    }
                }
                Some(_) => {}
                None => self.saw(Happening::SharesUnknown),
            }
        }
        let again = self.options.has(Defect::AsksAgainAsNew);
        let node = &mut self.nodes[i];
        let who = (node.member, run);
        let ask =
            (node.shares.again(now, again)).or_else(|| node.shares.next(now, local.monotonic, who));
        if let Some(ask) = ask {
            self.ask_share(i, ask);
        }
        Ok(())
    }

    fn let_down(&mut self, i: usize, run: Incarnation, campaign: CampaignId) -> Checked {
        let forgets = self.options.has(Defect::SpentForgotten);
        let shares = &mut self.nodes[i].shares;
        let total = shares.escrow.note_abandoned(campaign);
        if !forgets {
            shares.write(run, campaign, total);
        }
        self.saw(Happening::SharesSpent);
        let now = self.now;
        let directory = &self.directory.witness;
        (self.checkers.abandonment).abandoned(now, i, campaign, directory)
    }

    fn ask_share(&mut self, i: usize, ask: EscrowAsk) {
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
    pub(crate) fn share_answered(&mut self, i: usize, sequence: u64, reply: &DirectoryReply) {
        let shares = &mut self.nodes[i].shares;
        let Some(asked) = shares.asked.take_if(|asked| asked.ask.sequence == sequence) else {
            return;
        };
        // Refused: a later one of ours was taken already, which only a mistaken shell has.
        let none = Vec::new();
        let grants = match reply {
            DirectoryReply::Escrow(grants) => grants,
            _ => &none,
        };
        shares.proofs.clear();
        shares.escrow.answered(asked.question.sequence, grants);
        if grants.iter().any(|grant| grant.granted > 0) {
            self.saw(Happening::SharesGranted);
        }
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
    pub(crate) fn shares_committed(&mut self) -> Checked {
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
