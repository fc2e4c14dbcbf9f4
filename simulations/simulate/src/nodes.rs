//! Nodes: the real permit, a hopper, a journal, a trunk.

use crate::{
    defect::Defect,
    escrow::Shares,
    journal::{Journal, Mark},
    leaders::{Answer, Request},
    options::Options,
    seen::Happening,
    violation::Checked,
    world::{CAMPAIGNS, Clock, Event, REGIONS, Which, World, node_member, number},
};
use domain::*;
use ledger::*;
use permit::*;
use sansio::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// Leads that a node holds ready.
const HOPPER: usize = 3;
/// Outcomes told at a time.
const TOLD: usize = 6;

/// A call that the node's process has on its trunk.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) lead: LeasedLead,
    pub(crate) invited: WallTime,
    /// The longest that ring and talk limit allow, in real milliseconds.
    pub(crate) most: u64,
    pub(crate) cancelled: bool,
}

/// An INVITE between the last check and the datagram.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    pub(crate) lead: LeasedLead,
    pub(crate) grant: Option<Grant>,
    pub(crate) caller: CallerId,
    /// When the shell believes that it left.
    pub(crate) invited: WallTime,
    /// Whether the clock is read after the send.
    pub(crate) looks_after: bool,
}

/// A claim that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Claim {
    session: SessionId,
    sequence: u64,
    asked: u64,
    campaign: CampaignId,
    n: u32,
}

/// A wish not to be called, on its way to the directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptOut {
    pub(crate) number: PhoneNumber,
    /// The command's sequence in this run.
    sequence: u64,
    asked: u64,
    /// The directory's entry, once it answered.
    index: Option<u64>,
}

/// One city's node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) member: MemberId,
    /// The place of the region whose leads it dials.
    pub(crate) region: usize,
    pub(crate) run: Incarnation,
    pub(crate) clock: Clock,
    /// Off the true calendar by so much.
    skew: i64,
    pub(crate) down_until: u64,
    pub(crate) paused_until: u64,
    /// Real time that a clock which stops in a pause has missed.
    pub(crate) napped: u64,
    pub(crate) stalled_until: u64,
    /// Until then one INVITE is on its way out: held up by a pause or, where the shell is mistaken,
    /// written behind unsent bytes.
    pub(crate) behind: u64,
    pub(crate) permit: Permit,
    pub(crate) session: Option<SessionId>,
    pub(crate) hopper: Vec<LeasedLead>,
    pub(crate) live: Vec<Live>,
    pub(crate) journal: Journal,
    /// Sent, and not yet in the journal: only a mistaken shell has any.
    pub(crate) unmarked: Vec<(LeasedLead, WallTime)>,
    pub(crate) opt_outs: Vec<OptOut>,
    pub(crate) sent: Vec<Instant>,
    pub(crate) campaigns: BTreeMap<CampaignId, Campaign>,
    pub(crate) callers: Vec<CallerId>,
    /// The do-not-call bases on its disk.
    pub(crate) bases: BTreeSet<DncBaseId>,
    /// Which one the directory put into use, as this run has heard.
    pub(crate) wants_base: Option<Option<DncBaseId>>,
    sequence: u64,
    claim: Option<Claim>,
    /// The directory's index up to which its copy is.
    pub(crate) reached: u64,
    /// The voters that it takes for the leaders.
    asks: [usize; Which::MOST],
    keepalive: Instant,
    /// What its journal said first in this boot: earlier runs were in doubt.
    pub(crate) clean: bool,
    pub(crate) shares: Shares,
}

/// The two caller IDs of a node's trunk.
fn callers(node: usize, options: &Options) -> Vec<CallerId> {
    (0..2)
        .map(|n| CallerId {
            number: number(9000 + 10 * node as u64 + n),
            trunk: TrunkId(node as u32 + 1),
            caps: CallerIdCaps {
                per_day: options.cap_per_day,
                per_hour: options.cap_per_hour,
            },
            resting: false,
        })
        .collect()
}

impl Node {
    pub(crate) fn new(i: usize, options: &Options, random: &mut Stream) -> Self {
        let mut node = Self {
            member: node_member(i),
            region: i % options.regions,
            run: Incarnation(1),
            clock: Clock::drawn(random),
            skew: i64::from(random.below(2000)) - 1000,
            down_until: 0,
            paused_until: 0,
            napped: 0,
            stalled_until: 0,
            behind: 0,
            permit: Permit::new(options.freshness()),
            session: None,
            hopper: Vec::new(),
            live: Vec::new(),
            journal: Journal::default(),
            unmarked: Vec::new(),
            opt_outs: Vec::new(),
            sent: Vec::new(),
            campaigns: BTreeMap::new(),
            callers: callers(i, options),
            bases: BTreeSet::new(),
            wants_base: None,
            sequence: 0,
            claim: None,
            reached: 0,
            asks: [0; Which::MOST],
            keepalive: Instant::ZERO,
            clean: false,
            shares: Shares::default(),
        };
        if options.has(Defect::OtherTrunk) {
            let others = callers((i + 1) % options.nodes, options);
            node.callers.extend(others);
        }
        node.begin(options);
        node
    }

    /// A run begins: memory is empty, the disk is read.
    pub(crate) fn begin(&mut self, options: &Options) {
        self.permit = Permit::new(options.freshness());
        for caller in &self.callers {
            self.permit.caps_mut().set(caller.number, caller.caps);
            if !options.has(Defect::CapsForgotten) {
                let shown = self.journal.shown(caller.number);
                self.permit.caps_mut().restore(caller.number, shown);
            }
        }
        self.shares.begin(self.run, options);
        self.session = None;
        self.claim = None;
        self.sequence = 0;
        self.reached = 0;
        self.campaigns.clear();
        self.wants_base = None;
        self.sent.clear();
        self.unmarked.clear();
        self.behind = 0;
        if !options.has(Defect::HopperSurvivesCrash) {
            self.hopper.clear();
        }
        let numbers: Vec<_> = self.opt_outs.iter().map(|o| o.number).collect();
        self.opt_outs.clear();
        for number in numbers {
            self.opt_out(number, options);
        }
    }

    /// A person told this node not to call.
    pub(crate) fn opt_out(&mut self, number: PhoneNumber, options: &Options) {
        if !options.has(Defect::OptOutWaits) {
            self.permit.opt_out(number, DncScope::Mesh);
        }
        self.sequence += 1;
        self.opt_outs.push(OptOut {
            number,
            sequence: self.sequence,
            asked: 0,
            index: None,
        });
    }

    /// The whole mesh slept.
    pub(crate) fn slept(&mut self, asleep: u64) {
        self.down_until += asleep;
        self.paused_until += asleep;
        self.stalled_until += asleep;
        self.behind += asleep;
        self.shares.slept(asleep);
    }

    pub(crate) fn write(&mut self, lead: &LeasedLead, mark: Mark) {
        self.journal.write(lead, self.run, mark);
    }

    pub(crate) fn give_back(&mut self, lead: &LeasedLead) {
        let dnc = self.permit.dnc();
        let undialed = match dnc.base_id().filter(|_| dnc.is_listed(lead.number)) {
            Some(base) => CallOutcome::Listed {
                lead: lead.lead,
                attempt: lead.attempt,
                base,
            },
            None => CallOutcome::Undialed {
                lead: lead.lead,
                attempt: lead.attempt,
            },
        };
        self.write(lead, Mark::Ended(undialed));
    }
}

impl World {
    /// What a node's clocks say.
    pub(crate) fn local(&self, i: usize) -> Now {
        let node = &self.nodes[i];
        let real = self.now.saturating_sub(node.napped);
        Now {
            monotonic: node.clock.at(real),
            wall: WallTime::from_millis(self.true_wall() + node.skew),
        }
    }

    pub(crate) fn runs(&self, i: usize) -> bool {
        self.nodes[i].down_until <= self.now && self.nodes[i].paused_until <= self.now
    }

    pub(crate) fn node_wakes(&mut self, i: usize) -> Checked {
        let next = 100 + self.millis(600);
        self.after(next, Event::NodeWakes(i));
        if !self.runs(i) {
            return Ok(());
        }
        let unmarked = std::mem::take(&mut self.nodes[i].unmarked);
        for (lead, invited) in unmarked {
            self.nodes[i].write(&lead, Mark::Dialing(invited));
        }
        self.end_calls(i);
        let now = self.local(i);
        self.nodes[i].permit.handle_timeout(now);
        self.outputs(i);
        self.still_ringing(i)?;
        self.ask_for_leads(i);
        self.dial(i)?;
        self.tell_outcomes(i);
        self.tell_opt_outs(i);
        self.fetch_base(i);
        self.crowd(i)?;
        if self.chance(300) {
            self.nodes[i].journal.synced();
            self.nodes[i].shares.synced();
        }
        Ok(())
    }

    /// What rings at a node that runs must be allowed to.
    fn still_ringing(&mut self, i: usize) -> Checked {
        let now = self.now;
        let wall = self.true_wall();
        let live = std::mem::take(&mut self.nodes[i].live);
        let mut checked = self.checkers.bounds.channels(i, live.len());
        for one in &live {
            let call = self.checkers.live.call(one.lead.attempt);
            if checked.is_ok() && call.is_some_and(|call| call.rings(now)) {
                let (checkers, truth) = self.truth();
                checked = checkers.rings(now, wall, i, &one.lead, truth);
            }
        }
        self.nodes[i].live = live;
        checked
    }

    /// Does what the permit asks for.
    pub(crate) fn outputs(&mut self, i: usize) {
        while let Some(output) = self.nodes[i].permit.poll_output() {
            let run = self.nodes[i].run;
            match output {
                PermitOutput::SendKeepAlive { session, sent, .. } => {
                    self.nodes[i].keepalive = sent;
                    let request = Request::KeepAlive {
                        node: i,
                        run,
                        session,
                        sent,
                    };
                    self.ask(i, Which::Region(self.nodes[i].region), request);
                }
                PermitOutput::AskFreshness { sent, applied } => {
                    let request = Request::Freshness {
                        node: i,
                        run,
                        sent,
                        applied,
                    };
                    self.ask(i, Which::Directory, request);
                }
                PermitOutput::Drain { region, .. } => {
                    self.saw(Happening::Drains);
                    if !self.options.has(Defect::RingsOn) {
                        self.cancel(i, |_| true);
                    }
                    if region.is_some() && !self.options.has(Defect::HopperSurvivesCrash) {
                        let hopper = std::mem::take(&mut self.nodes[i].hopper);
                        for lead in hopper {
                            self.nodes[i].give_back(&lead);
                        }
                    }
                }
                PermitOutput::Resumed { .. } => {}
            }
        }
    }

    /// The voter that a node takes for the leader; while things go wrong it may hold on to an old
    /// one.
    pub(crate) fn asks(&mut self, i: usize, which: Which) -> usize {
        let holds_on = self.mishap(700);
        if let Some(leader) = self.leader(which).filter(|_| !holds_on) {
            self.nodes[i].asks[which.place()] = leader;
        }
        self.nodes[i].asks[which.place()]
    }

    fn ask(&mut self, i: usize, which: Which, request: Request) {
        let voter = self.asks(i, which);
        let from = self.place_of(i);
        self.send(from, voter, Event::ToVoter(voter, request));
    }

    /// Proposes to whom the node takes for the leader.
    pub(crate) fn propose(&mut self, i: usize, command: RegionCommand) {
        let region = self.nodes[i].region;
        let voter = self.asks(i, Which::Region(region));
        let event = Event::Propose {
            region,
            voter,
            command: Box::new(command),
            asker: Some((i, self.nodes[i].run)),
            hops: 0,
        };
        let from = self.place_of(i);
        self.send(from, voter, event);
    }

    fn ask_for_leads(&mut self, i: usize) {
        let now = self.now;
        let (closing, opens) = (self.closing(), self.chance(300));
        let campaign = CAMPAIGNS[self.random.below(2) as usize];
        let n = 1 + self.random.below(4);
        let node = &mut self.nodes[i];
        let Some(session) = node.session else {
            let command = RegionCommand::OpenSession {
                node: node.member,
                incarnation: node.run,
                ttl: self.options.ttl(),
            };
            if opens {
                self.propose(i, command);
            }
            return;
        };
        // One claim at a time; without an answer, the same again.
        let claim = match node.claim {
            Some(claim) if now < claim.asked + 3000 => return,
            Some(claim) => {
                self.checkers.seen.saw(Happening::ClaimsAgain);
                Claim {
                    asked: now,
                    ..claim
                }
            }
            None if node.hopper.len() >= HOPPER || closing => return,
            None => {
                node.sequence += 1;
                Claim {
                    session,
                    sequence: node.sequence,
                    asked: now,
                    campaign,
                    n,
                }
            }
        };
        node.claim = Some(claim);
        let command = RegionCommand::Claim {
            session,
            campaign: claim.campaign,
            n: claim.n,
            sequence: claim.sequence,
        };
        self.propose(i, command);
    }

    /// Tells outcomes until they are acknowledged: this run's as reports, earlier ones' as
    /// settlements from the journal.
    fn tell_outcomes(&mut self, i: usize) {
        if self.chance(400) {
            return;
        }
        let defect = self.options.defect;
        let node = &self.nodes[i];
        let told = |entry: &crate::journal::Entry| told(node, entry, defect);
        let commands: Vec<_> = node.journal.entries().filter_map(told).take(TOLD).collect();
        for command in commands {
            if defect == Some(Defect::ForgetsOutcomes)
                && let RegionCommand::Report { outcomes, .. } = &command
            {
                self.nodes[i].journal.forget(outcomes[0].attempt());
            }
            self.propose(i, command);
        }
    }

    /// Proposes opt-outs until the directory has them.
    fn tell_opt_outs(&mut self, i: usize) {
        let now = self.now;
        let Some(place) = (self.nodes[i].opt_outs.iter())
            .position(|o| o.index.is_none() && (o.asked == 0 || now > o.asked + 2500))
        else {
            return;
        };
        let added_at = self.local(i).wall;
        let node = &mut self.nodes[i];
        let opt_out = &mut node.opt_outs[place];
        opt_out.asked = now;
        let entry = DncEntry {
            number: opt_out.number,
            scope: DncScope::Mesh,
            source: DncSource::Person,
            added_at,
        };
        let command = DirectoryCommand {
            origin: Some(Origin {
                member: node.member,
                incarnation: node.run,
                sequence: opt_out.sequence,
            }),
            change: Change::ChangeDnc {
                add: vec![entry],
                remove: Vec::new(),
                reason: String::new(),
            },
        };
        let asker = Some((i, node.run));
        let voter = self.asks(i, Which::Directory);
        let event = Event::ProposeDirectory {
            voter,
            command: Box::new(command),
            asker,
            hops: 0,
        };
        let from = self.place_of(i);
        self.send(from, voter, event);
    }

    /// Something reaches a node; lost if that run of it is over, late if it is paused.
    pub(crate) fn answered(&mut self, i: usize, run: Incarnation, answer: Answer) -> Checked {
        if self.nodes[i].run != run || self.nodes[i].down_until > self.now {
            return Ok(());
        }
        if self.nodes[i].paused_until > self.now {
            let wait = self.nodes[i].paused_until - self.now;
            self.after(wait, Event::ToNode(i, run, Box::new(answer)));
            return Ok(());
        }
        let now = self.local(i);
        match answer {
            Answer::Permit(mut input) => {
                self.misread(i, &mut input);
                // A word about a session that is no longer ours changes nothing.
                self.nodes[i].permit.handle(now, input).ok();
                self.outputs(i);
            }
            Answer::SessionGone(session) => self.lose_session(i, session),
            Answer::Send(leaving) => self.invite(i, *leaving)?,
            Answer::Applied(command, reply) => self.applied(i, command, reply),
            Answer::OptOut(sequence, reply) => self.opt_out_answered(i, sequence, &reply),
            Answer::Share(sequence, reply) => self.share_answered(i, sequence, &reply)?,
        }
        Ok(())
    }

    /// Mistakes in what a node makes of an answer.
    fn misread(&self, i: usize, input: &mut PermitInput) {
        match (self.options.defect, input) {
            (Some(Defect::FreshTooSoon), PermitInput::FreshnessAnswered { index, .. }) => {
                *index = 0;
            }
            (Some(Defect::MixesAnswers), PermitInput::KeepAliveAnswered { sent, .. }) => {
                *sent = self.nodes[i].keepalive;
            }
            _ => {}
        }
    }

    fn lose_session(&mut self, i: usize, session: SessionId) {
        if self.nodes[i].session == Some(session) {
            // The claim under way is kept: should the session turn out to live on, its answer may
            // have been lost with leads in it.
            self.nodes[i].session = None;
            let now = self.local(i);
            let region = REGIONS[self.nodes[i].region];
            let ended = PermitInput::SessionEnded { region, session };
            self.nodes[i].permit.handle(now, ended).ok();
            self.outputs(i);
        }
    }

    fn applied(&mut self, i: usize, command: RegionCommand, reply: RegionReply) {
        let now = self.local(i);
        match (command, reply) {
            (RegionCommand::OpenSession { .. }, RegionReply::SessionOpened { session, ttl }) => {
                let opened = PermitInput::SessionOpened {
                    region: REGIONS[self.nodes[i].region],
                    session,
                    ttl,
                };
                let node = &mut self.nodes[i];
                if node.session != Some(session) && node.permit.handle(now, opened).is_ok() {
                    node.session = Some(session);
                    node.claim = node.claim.filter(|claim| claim.session == session);
                }
                self.outputs(i);
            }
            (
                RegionCommand::Claim {
                    session, sequence, ..
                },
                RegionReply::Claimed { leads, .. },
            ) => {
                let node = &mut self.nodes[i];
                if node.session == Some(session) && node.claim.map(|c| c.sequence) == Some(sequence)
                {
                    node.claim = None;
                    for lead in leads {
                        node.write(&lead, Mark::Leased);
                        node.hopper.push(lead);
                    }
                }
            }
            (
                RegionCommand::Claim { .. },
                RegionReply::Refused(RegionRefusal::SessionEnded { session }),
            ) => {
                self.lose_session(i, session);
            }
            (
                RegionCommand::Report { outcomes, .. } | RegionCommand::Settle { outcomes, .. },
                RegionReply::Reported(counts),
            ) => {
                // StillOpen is the one refusal worth another try: our new session is on its way.
                let again = (counts.refused.iter()).any(|(_, r)| *r == OutcomeRefusal::StillOpen);
                if !again {
                    self.nodes[i].journal.forget(outcomes[0].attempt());
                }
            }
            _ => {}
        }
    }

    fn opt_out_answered(&mut self, i: usize, sequence: u64, reply: &DirectoryReply) {
        let DirectoryReply::Dnc { index, .. } = reply else {
            return;
        };
        let node = &mut self.nodes[i];
        let asked = (node.opt_outs.iter_mut()).find(|o| o.sequence == sequence);
        if let Some(opt_out) = asked.filter(|o| o.index.is_none()) {
            opt_out.index = Some(*index);
            (node.permit).opt_out_confirmed(opt_out.number, DncScope::Mesh, *index);
        }
        self.take_over(i);
    }

    /// Opt-outs that the node's copy has are the directory's from here on.
    pub(crate) fn take_over(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        let reached = node.reached;
        let done = |o: &OptOut| o.index.is_some_and(|index| index <= reached);
        let (over, waiting): (Vec<_>, _) = node.opt_outs.iter().partition(|o| done(o));
        node.opt_outs = waiting;
        for opt_out in over {
            // Said twice: the second one binds until the directory has that too.
            if !(node.opt_outs.iter()).any(|o| o.number == opt_out.number) {
                self.checkers.dnc.taken_over(i, opt_out.number);
            }
        }
    }
}

/// How a node tells the region of one attempt.
fn told(
    node: &Node,
    entry: &crate::journal::Entry,
    defect: Option<Defect>,
) -> Option<RegionCommand> {
    if entry.run == node.run {
        let Mark::Ended(outcome) = entry.mark else {
            return None;
        };
        return Some(RegionCommand::Report {
            session: entry.lead.session,
            sequence: 0,
            outcomes: vec![outcome],
        });
    }
    let (lead, attempt) = (entry.lead.lead, entry.lead.attempt);
    let outcome = match entry.mark {
        Mark::Ended(outcome) => outcome,
        Mark::Leased => CallOutcome::Undialed { lead, attempt },
        Mark::Dialing(_)
            if defect == Some(Defect::SecondRestartForgets) && entry.run.0 + 1 < node.run.0 =>
        {
            CallOutcome::Undialed { lead, attempt }
        }
        // Sent, end unknown: said as it is, and the doubt stands.
        Mark::Dialing(invited_at) => CallOutcome::Dialed {
            lead,
            attempt,
            disposition: if defect == Some(Defect::UnknownIsAnEnd) {
                Disposition::NoAnswer
            } else {
                Disposition::Unknown
            },
            invited_at,
            ended_at: invited_at,
            callback_at: None,
        },
    };
    let proof = match (entry.tainted, node.clean) {
        (true, _) if defect != Some(Defect::FalseProof) => Proof::PowerLoss,
        (_, true) => Proof::CleanStop,
        _ => Proof::SameBoot,
    };
    Some(RegionCommand::Settle {
        node: node.member,
        incarnation: entry.run,
        outcomes: vec![outcome],
        proof,
    })
}
