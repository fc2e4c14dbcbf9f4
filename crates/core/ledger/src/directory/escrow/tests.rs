//! Every rule of the abandonment budgets, one test each.

use super::*;
use crate::directory::{Change, DirectoryCommand, MeshId, NewMember};
use domain::{
    AgentDisposition, Campaign, CampaignState, DialLevel, DispositionCode, DispositionFlags,
    MemberRole, PacingMode,
};
use sansio::{ApplyContext, Replicated};

const NOW: i64 = 1_795_280_400_000;
const CAMPAIGN: CampaignId = CampaignId(1);
const NODES: [MemberId; 2] = [MemberId(2), MemberId(3)];
const DAY: u64 = 86_400;

struct World {
    directory: Directory,
    index: u64,
    at: u64,
    sequences: BTreeMap<(MemberId, u64), u64>,
}

fn campaign() -> Campaign {
    Campaign {
        id: CampaignId(0),
        name: "autumn".into(),
        state: CampaignState::Draft,
        regions: Vec::new(),
        pacing: PacingMode::Predictive,
        dial_level: DialLevel(300),
        ring_limit: Duration::from_secs(30),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: Vec::new(),
        attempts_max: 4,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

const NOTHING: EscrowLine = EscrowLine {
    campaign: CAMPAIGN,
    answers: 0,
    since: WallTime::EPOCH,
    abandoned: 0,
    returned: 0,
    want: 0,
};

/// A second campaign, whose abandonments are counted with the first one's.
const OTHER: CampaignId = CampaignId(2);

impl World {
    fn grouped() -> Self {
        let mut world = Self::new();
        for id in [MemberId(1), NODES[0], NODES[1]] {
            let version = domain::MeshVersion::LEVERS;
            world.change(Change::Understand { id, version });
        }
        let other = Campaign {
            name: "winter".into(),
            ..campaign()
        };
        let campaign = Box::new(other);
        world.change(Change::CreateCampaign { campaign });
        world.change(Change::SetDropRateGroup {
            campaign: OTHER,
            with: Some(CAMPAIGN),
        });
        world
    }

    fn new() -> Self {
        let mut world = Self {
            directory: Directory::default(),
            index: 0,
            at: 0,
            sequences: BTreeMap::new(),
        };
        let member = |name: &str| NewMember {
            name: name.into(),
            mesh_address: "192.0.2.1:7000".into(),
            http_address: "http://192.0.2.1:8080".into(),
        };
        world.change(Change::Found {
            mesh: MeshId(7),
            member: member("hub"),
        });
        world.change(Change::SetRegion {
            id: None,
            name: "west".into(),
        });
        for (n, name) in [(1u8, "oakland"), (2, "reno")] {
            world.change(Change::AddJoinToken {
                hash: [n; 32],
                role: MemberRole::Node,
                region: Some(domain::RegionId(1)),
                expires_at: world.wall() + Duration::from_secs(60),
            });
            world.change(Change::Join {
                hash: [n; 32],
                member: member(name),
            });
        }
        let campaign = Box::new(campaign());
        world.change(Change::CreateCampaign { campaign });
        world
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(NOW) + Duration::from_secs(self.at)
    }

    fn apply(&mut self, change: Change) -> DirectoryReply {
        self.index += 1;
        let context = ApplyContext {
            index: self.index,
            wall: self.wall(),
        };
        let command = crate::envelope::by_wire(&DirectoryCommand::from(change));
        let reply = self.directory.apply(context, command, &mut Vec::new());
        crate::envelope::by_wire(&reply)
    }

    fn change(&mut self, change: Change) {
        let reply = self.apply(change);
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }

    fn ask(&mut self, ask: EscrowAsk) -> DirectoryReply {
        self.apply(Change::Escrow { ask: Box::new(ask) })
    }

    fn next(&mut self, node: usize, run: u64, lines: Vec<EscrowLine>) -> EscrowAsk {
        let sequence = self.sequences.entry((NODES[node], run)).or_default();
        *sequence += 1;
        EscrowAsk {
            member: NODES[node],
            incarnation: Incarnation(run),
            sequence: *sequence,
            proofs: Vec::new(),
            lines,
        }
    }

    /// A node's next ask and its one grant.
    fn tell(&mut self, node: usize, run: u64, line: EscrowLine) -> EscrowGrant {
        let ask = self.next(node, run, vec![line]);
        match self.ask(ask) {
            DirectoryReply::Escrow(grants) => grants[0],
            other => panic!("{other:?}"),
        }
    }

    fn answers(&mut self, node: usize, run: u64, answers: u32) -> EscrowGrant {
        let since = self.wall();
        let line = EscrowLine {
            answers,
            since,
            ..NOTHING
        };
        self.tell(node, run, line)
    }

    fn wants(&mut self, node: usize, run: u64, want: u32) -> EscrowGrant {
        self.tell(node, run, EscrowLine { want, ..NOTHING })
    }

    fn left(&self) -> i64 {
        self.view().left
    }

    fn view(&self) -> BudgetView {
        (self.directory.abandonment(CAMPAIGN, self.wall())).expect("a known campaign")
    }
}

#[test]
fn what_is_out_never_exceeds_what_the_budget_allows() {
    let mut world = World::new();
    assert_eq!(world.wants(0, 1, 5).granted, 0, "no answers earn nothing");
    world.answers(0, 1, 33);
    assert_eq!(world.wants(0, 1, 5).granted, 0, "0.99 is no whole one");
    world.answers(1, 1, 177);
    // 210 earn 6, of which 4 are left when a month later half as many answer.
    assert_eq!(world.wants(0, 1, 3).granted, 3);
    let other = world.wants(1, 1, 3);
    assert_eq!((other.granted, other.renewed), (1, true));
    assert_eq!(world.wants(1, 1, 3).granted, 0);
    let view = world.view();
    assert_eq!((view.answered, view.left, view.shares.len()), (210, 4, 2));
    assert_eq!(view.shares.iter().map(|s| s.out).sum::<u32>(), 4);
}

#[test]
fn an_ask_is_taken_once() {
    let mut world = World::new();
    world.answers(0, 1, 100);
    let ask = world.next(
        0,
        1,
        vec![EscrowLine {
            abandoned: 1,
            want: 9,
            ..NOTHING
        }],
    );
    let first = world.ask(ask.clone());
    assert_eq!(world.ask(ask.clone()), first);
    assert_eq!((world.view().abandoned, world.left()), (1, 1));
    world.wants(0, 1, 9);
    let late = world.ask(ask);
    assert!(matches!(late, DirectoryReply::Rejected(r) if r.field == "ask.sequence"));
    assert_eq!(world.view().abandoned, 1);
}

#[test]
fn shares_follow_who_wants_them() {
    let mut world = World::new();
    world.answers(0, 1, 1000);
    // What may be out is less than the whole 30: a drought is reckoned with.
    let all = u32::try_from(world.left()).unwrap();
    assert_eq!(world.wants(0, 1, 100).granted, all);
    let other = world.wants(1, 1, 100);
    assert_eq!((other.granted, other.renewed), (0, true), "nothing is free");
    // The first is told to keep its half, and gives the rest back.
    let keep = world.wants(0, 1, 100).keep;
    assert_eq!(keep, all.div_ceil(2));
    let line = EscrowLine {
        returned: all - keep,
        want: 100,
        ..NOTHING
    };
    world.tell(0, 1, line);
    assert_eq!(world.wants(1, 1, 100).granted, all - keep);
    // Who wants nothing any more keeps nothing.
    assert_eq!(world.wants(0, 1, 0).keep, 0);
}

#[test]
fn spent_ones_come_off_and_returned_ones_come_back() {
    let mut world = World::new();
    world.answers(0, 1, 210);
    assert_eq!(world.wants(0, 1, 4).granted, 4);
    let line = EscrowLine {
        abandoned: 1,
        returned: 1,
        ..NOTHING
    };
    world.tell(0, 1, line);
    let view = world.view();
    assert_eq!((view.abandoned, view.left), (1, 3));
    assert_eq!(view.shares[0].out, 2);
    assert_eq!(world.wants(1, 1, 9).granted, 1, "the returned one");
}

#[test]
fn a_run_that_ended_without_a_word_has_spent_its_share() {
    let mut world = World::new();
    world.answers(0, 1, 210);
    world.wants(0, 1, 4);
    // A new run, and nothing proved.
    assert_eq!(world.wants(0, 2, 3).granted, 0);
    let view = world.view();
    assert_eq!((view.in_doubt, view.left), (4, 0));
    // The old run's last words come too late.
    let late = world.next(
        0,
        1,
        vec![EscrowLine {
            returned: 3,
            ..NOTHING
        }],
    );
    assert!(matches!(world.ask(late), DirectoryReply::Rejected(r) if r.field == "ask.incarnation"));
    assert_eq!(world.view().in_doubt, 4);
    // The journal proves that one of the four was spent.
    let mut ask = world.next(0, 2, vec![NOTHING]);
    ask.proofs.push(EscrowProof {
        incarnation: Incarnation(1),
        abandoned: vec![(CAMPAIGN, 1)],
        in_air: Vec::new(),
    });
    world.ask(ask);
    let view = world.view();
    assert_eq!((view.in_doubt, view.abandoned, view.left), (0, 1, 3));
}

#[test]
fn a_proof_adds_what_was_not_told_and_never_less_than_what_was() {
    let mut world = World::new();
    world.answers(0, 1, 1000);
    world.wants(0, 1, 10);
    let told = EscrowLine {
        abandoned: 4,
        want: 10,
        ..NOTHING
    };
    world.tell(0, 1, told);
    let prove = |world: &mut World, run, total| {
        let mut ask = world.next(0, run, vec![NOTHING]);
        ask.proofs.push(EscrowProof {
            incarnation: Incarnation(run - 1),
            abandoned: vec![(CAMPAIGN, total)],
            in_air: Vec::new(),
        });
        world.ask(ask);
        world.view().abandoned
    };
    assert_eq!(prove(&mut world, 2, 6), 6);
    // A journal whose beginning was forgotten: nothing is taken back.
    world.tell(0, 2, told);
    assert_eq!(prove(&mut world, 3, 1), 10);
    // A run cannot prove itself.
    let mut ask = world.next(0, 3, vec![NOTHING]);
    ask.proofs.push(EscrowProof {
        incarnation: Incarnation(3),
        abandoned: vec![(CAMPAIGN, 99)],
        in_air: Vec::new(),
    });
    world.ask(ask);
    assert_eq!(world.view().abandoned, 10);
}

/// The first ask of a node's run, which tells only what its journal proves of another.
fn begin(world: &mut World, node: usize, run: u64, proof: EscrowProof) -> BudgetView {
    let begun = EscrowAsk {
        member: NODES[node],
        incarnation: Incarnation(run),
        sequence: 0,
        proofs: vec![proof],
        lines: Vec::new(),
    };
    let reply = world.ask(begun.clone());
    assert_eq!(reply, DirectoryReply::Escrow(Vec::new()));
    let view = world.view();
    // Said again it is the same.
    assert_eq!(world.ask(begun), reply);
    assert_eq!(world.view(), view);
    view
}

#[test]
fn a_proof_leaves_abandoned_who_was_on_the_line_but_no_more_than_the_share() {
    let proof = |abandoned: &[u64], in_air| EscrowProof {
        incarnation: Incarnation(1),
        abandoned: abandoned.iter().map(|n| (CAMPAIGN, *n)).collect(),
        in_air: vec![(CAMPAIGN, in_air)],
    };
    for (untold, in_air, abandoned) in [
        (0, 0, 0),
        (0, 3, 3),
        (0, 40, 4),
        (1, 40, 4),
        (1, 2, 3),
        // More than the share allowed, and known.
        (6, 40, 6),
    ] {
        let mut world = World::new();
        world.answers(0, 1, 210);
        assert_eq!(world.wants(0, 1, 4).granted, 4);
        let view = begin(&mut world, 0, 2, proof(&[untold], in_air));
        let left = 4 - abandoned;
        assert_eq!(
            (view.in_doubt, view.abandoned, view.left),
            (0, abandoned as u64, left),
            "{untold} not told, {in_air} in the air"
        );
        assert_eq!(world.wants(0, 2, 1).granted, u32::from(left > 0));
    }
    // With a line for each agent, and so without a share, a crash costs nothing.
    let mut world = World::new();
    world.answers(0, 1, 210);
    assert_eq!(begin(&mut world, 0, 2, proof(&[], 40)).abandoned, 0);
}

#[test]
fn a_proof_counts_what_a_run_never_told_and_counts_it_once() {
    let proof = |run| EscrowProof {
        incarnation: Incarnation(run),
        abandoned: vec![(CAMPAIGN, 2), (CampaignId(9), 5)],
        in_air: Vec::new(),
    };
    // A node that never spoke; and one of whose last run nothing was heard of this campaign.
    let mut world = World::new();
    assert_eq!(begin(&mut world, 0, 2, proof(1)).abandoned, 2);
    assert_eq!(begin(&mut world, 0, 3, proof(2)).abandoned, 4);
    // What an earlier start may have proved already is no news.
    assert_eq!(begin(&mut world, 0, 4, proof(2)).abandoned, 4);
    let mut again = world.next(0, 4, vec![NOTHING]);
    again.proofs.push(proof(3));
    world.ask(again);
    assert_eq!(world.view().abandoned, 4);
    // A run that spoke of the campaign is judged by what it told.
    let told = EscrowLine {
        abandoned: 2,
        ..NOTHING
    };
    world.tell(0, 4, told);
    assert_eq!(begin(&mut world, 0, 5, proof(4)).abandoned, 6);
}

#[test]
fn a_share_that_was_not_renewed_is_in_doubt_until_its_holder_speaks() {
    let mut world = World::new();
    world.answers(0, 1, 210);
    world.wants(0, 1, 4);
    world.at += limits::ESCROW_LIFE.as_secs() + TAIL.as_secs();
    assert_eq!(world.view().in_doubt, 4);
    assert_eq!(world.wants(1, 1, 3).granted, 0);
    // It was only cut off: what it did not spend comes back.
    let line = EscrowLine {
        abandoned: 1,
        returned: 3,
        ..NOTHING
    };
    world.tell(0, 1, line);
    let view = world.view();
    assert_eq!((view.in_doubt, view.abandoned, view.left), (0, 1, 3));
}

#[test]
fn answers_leave_early_abandonments_and_doubts_late() {
    let mut world = World::new();
    world.answers(0, 1, 200);
    let spent = EscrowLine {
        abandoned: 1,
        want: 2,
        ..NOTHING
    };
    world.tell(0, 1, spent);
    let share = world.view().shares[0].out;
    assert!(share > 0);
    // Before 30 days the answers are gone, an hour after them the abandonment.
    world.at = 30 * DAY - 100;
    let view = world.view();
    assert_eq!(
        (view.abandoned, view.in_doubt, view.left),
        (1, u64::from(share), -1 - i64::from(share))
    );
    world.at = 30 * DAY + 3600 + CALENDARS.as_secs();
    let view = world.view();
    assert_eq!((view.answered, view.abandoned, view.in_doubt), (0, 0, 0));
    assert_eq!(view.left, 0);
}

#[test]
fn a_share_is_not_renewed_over_answers_that_leave() {
    let mut world = World::new();
    world.answers(0, 1, 210);
    assert_eq!(world.wants(0, 1, 4).granted, 4);
    world.at = 15 * DAY;
    world.answers(0, 1, 40);
    // Only the 40 are left in the window.
    world.at = 30 * DAY + 3600;
    let grant = world.wants(0, 1, 3);
    assert_eq!((grant.granted, grant.keep, grant.renewed), (0, 1, false));
    let line = EscrowLine {
        returned: 3,
        want: 3,
        ..NOTHING
    };
    let grant = world.tell(0, 1, line);
    assert_eq!((grant.granted, grant.keep, grant.renewed), (0, 1, true));
}

#[test]
fn who_holds_nothing_of_an_overspent_budget_knows_it() {
    let mut world = World::new();
    world.answers(0, 1, 210);
    assert_eq!(world.wants(0, 1, 3).granted, 3);
    // Far more than it held: phones dropped.
    let line = EscrowLine {
        abandoned: 20,
        want: 3,
        ..NOTHING
    };
    let grant = world.tell(0, 1, line);
    assert!(world.left() < 0);
    assert_eq!((grant.granted, grant.keep, grant.renewed), (0, 0, true));
    // And who never held any.
    let grant = world.wants(1, 1, 3);
    assert_eq!((grant.granted, grant.keep, grant.renewed), (0, 0, true));
    let view = world.view();
    assert!(view.shares.iter().all(|share| share.live), "{view:?}");
    assert!(
        view.shares
            .iter()
            .all(|share| (share.out, share.want) == (0, 3))
    );
}

#[test]
fn a_calendar_that_runs_ahead_makes_no_answer_count_longer() {
    let mut world = World::new();
    let since = world.wall() + Duration::from_secs(20 * DAY);
    let line = EscrowLine {
        answers: 100,
        since,
        ..NOTHING
    };
    world.tell(0, 1, line);
    world.at = 31 * DAY;
    assert_eq!(world.view().answered, 0);
    // And one that is far behind brings none.
    let line = EscrowLine {
        answers: 100,
        since: WallTime::EPOCH,
        ..NOTHING
    };
    world.tell(0, 1, line);
    assert_eq!(world.view().answered, 0);
}

#[test]
fn of_many_runs_only_the_newest_stay_apart() {
    let mut world = World::new();
    world.answers(0, 1, 10_000);
    let runs = limits::ESCROW_RUNS as u64 + 4;
    for run in 1..=runs {
        assert_eq!(world.wants(0, run, 2).granted, 2, "run {run}");
    }
    let view = world.view();
    assert_eq!(view.shares.len(), limits::ESCROW_RUNS + 1);
    assert_eq!(view.in_doubt, 2 * limits::ESCROW_RUNS as u64);
    assert_eq!(view.abandoned, 2 * (runs - 1) - view.in_doubt);
}

#[test]
fn what_a_run_held_before_every_window_is_nobodys_debt() {
    let mut world = World::new();
    world.answers(0, 1, 10_000);
    let runs = limits::ESCROW_RUNS as u64 + 1;
    for run in 1..=runs {
        assert_eq!(world.wants(0, run, 2).granted, 2, "run {run}");
    }
    // Nobody asks for the campaign while two months pass; then runs begin for others.
    world.at = 60 * DAY;
    for run in runs + 1..=2 * runs {
        let begun = world.next(0, run, Vec::new());
        world.ask(begun);
    }
    let view = world.view();
    assert_eq!((view.abandoned, view.in_doubt, view.left), (0, 0, 0));
}

#[test]
fn asks_have_bounds_and_known_askers() {
    let mut world = World::new();
    let full = world.next(0, 1, vec![NOTHING; limits::ESCROW_LINES]);
    assert!(matches!(world.ask(full), DirectoryReply::Escrow(_)));
    let over = world.next(0, 1, vec![NOTHING; limits::ESCROW_LINES + 1]);
    let reply = world.ask(over);
    assert!(
        matches!(&reply, DirectoryReply::Rejected(r)
            if r.field == "ask.lines" && r.limit == Some(limits::ESCROW_LINES as u64)),
        "{reply:?}"
    );
    let proof = EscrowProof {
        incarnation: Incarnation(1),
        abandoned: Vec::new(),
        in_air: Vec::new(),
    };
    let mut over = world.next(0, 2, Vec::new());
    over.proofs = vec![proof; limits::ESCROW_PROOFS + 1];
    assert!(matches!(world.ask(over), DirectoryReply::Rejected(r) if r.field == "ask.proofs"));
    for airborne in [false, true] {
        let list = vec![(CAMPAIGN, 1); limits::CAMPAIGNS + 1];
        let mut over = world.next(0, 2, Vec::new());
        over.proofs.push(EscrowProof {
            incarnation: Incarnation(1),
            abandoned: if airborne { Vec::new() } else { list.clone() },
            in_air: if airborne { list } else { Vec::new() },
        });
        let reply = world.ask(over);
        assert!(
            matches!(&reply, DirectoryReply::Rejected(r)
                if r.limit == Some(limits::CAMPAIGNS as u64)),
            "{reply:?}"
        );
    }
    let mut stranger = world.next(0, 1, vec![NOTHING]);
    stranger.member = MemberId(9);
    assert!(matches!(world.ask(stranger), DirectoryReply::Rejected(r) if r.field == "ask.member"));
    // A campaign that is not known is passed over.
    let other = world.next(
        0,
        2,
        vec![EscrowLine {
            campaign: CampaignId(9),
            answers: 1,
            ..NOTHING
        }],
    );
    assert_eq!(world.ask(other), DirectoryReply::Escrow(Vec::new()));
    assert_eq!(
        world.directory.abandonment(CampaignId(9), world.wall()),
        None
    );
}

#[test]
fn counts_have_a_bound() {
    let mut world = World::new();
    for _ in 0..32 * 24 + 5 {
        world.answers(0, 1, 1);
        world.at += 3600;
    }
    let account = &world.directory.escrow.campaigns[&CAMPAIGN];
    let hours = limits::ABANDONMENT_WINDOW_MAX.as_secs() / 3600;
    assert!(account.counts.len() as u64 <= hours + 2);
    assert_eq!(world.view().answered, 30 * 24);
}

#[test]
fn campaigns_that_count_together_have_one_budget() {
    let mut world = World::grouped();
    let wall = world.wall();
    let answers = EscrowLine {
        // They earn four, of which three are left when a month later half as many answer.
        answers: 134,
        since: wall,
        want: 10,
        ..NOTHING
    };
    let grant = world.tell(0, 1, answers);
    assert_eq!(grant.granted, 3);
    let view = |world: &World, id| world.directory.abandonment(id, world.wall()).unwrap();
    assert_eq!(view(&world, CAMPAIGN), view(&world, OTHER));
    // The node went away with what it held. Its journal names the campaigns of attempts that were in
    // the air, and the budget of what was let down.
    let ask = EscrowAsk {
        proofs: vec![EscrowProof {
            incarnation: Incarnation(1),
            abandoned: vec![(CAMPAIGN, 1)],
            in_air: vec![(CAMPAIGN, 1), (OTHER, 1)],
        }],
        ..world.next(0, 2, vec![NOTHING])
    };
    assert!(matches!(world.ask(ask), DirectoryReply::Escrow(_)));
    let after = view(&world, OTHER);
    assert_eq!(
        (after.abandoned, after.in_doubt),
        (3, 0),
        "both in the air count"
    );
    assert_eq!(after, view(&world, CAMPAIGN));
}

#[test]
fn who_counts_with_whom_is_fixed_before_the_first_call() {
    let mut world = World::grouped();
    let set = |campaign, with| Change::SetDropRateGroup { campaign, with };
    let no = |world: &mut World, change| match world.apply(change) {
        DirectoryReply::Rejected(why) => why.to_string(),
        other => panic!("{other:?}"),
    };
    let own = Campaign {
        name: "spring".into(),
        ..campaign()
    };
    let (third, china) = (CampaignId(3), CampaignId(4));
    for rule_pack in ["us-federal", "china"] {
        let campaign = Box::new(Campaign {
            name: rule_pack.into(),
            rule_pack: rule_pack.into(),
            ring_limit: Duration::from_secs(60),
            ..own.clone()
        });
        world.change(Change::CreateCampaign { campaign });
    }
    for (change, why) in [
        (set(third, Some(OTHER)), "counts with camp_00000001"),
        (set(third, Some(third)), "is the campaign itself"),
        (
            set(CAMPAIGN, Some(third)),
            "counts with camp_00000001 itself",
        ),
        (
            set(china, Some(CAMPAIGN)),
            "rule pack us-federal, not by china",
        ),
        (set(third, Some(CampaignId(99))), "is not known"),
        (set(CampaignId(99), None), "is not known"),
    ] {
        let said = no(&mut world, change);
        assert!(said.contains(why), "{said}");
    }
    let other_rules = |id| Change::SetCampaign {
        campaign: Box::new(Campaign {
            rule_pack: "china".into(),
            ring_limit: Duration::from_secs(60),
            ..world.directory.campaign(id).unwrap().clone()
        }),
        if_match: None,
    };
    for change in [CAMPAIGN, OTHER].map(other_rules) {
        let said = no(&mut world, change);
        assert!(said.starts_with("campaign.rule_pack: stays"), "{said}");
    }
    // Taken back and given again while it is a draft; fixed from the start on.
    world.change(set(OTHER, None));
    world.change(set(OTHER, Some(CAMPAIGN)));
    world.change(Change::SetCampaignState {
        id: OTHER,
        state: CampaignState::Running,
        if_match: None,
    });
    let said = no(&mut world, set(OTHER, None));
    assert!(
        said.contains("is fixed once the campaign was started"),
        "{said}"
    );
    world.change(set(OTHER, Some(CAMPAIGN)));
}

#[test]
fn so_many_campaigns_count_together_and_no_more() {
    let mut world = World::grouped();
    let ids = 3..=u32::try_from(limits::DROP_RATE_GROUP).unwrap() + 1;
    for id in ids.clone() {
        let campaign = Box::new(Campaign {
            name: format!("c{id}"),
            ..campaign()
        });
        world.change(Change::CreateCampaign { campaign });
    }
    let with = Some(CAMPAIGN);
    let last = *ids.end();
    for id in ids {
        let set = Change::SetDropRateGroup {
            campaign: CampaignId(id),
            with,
        };
        let reply = world.apply(set);
        let refused = matches!(reply, DirectoryReply::Rejected(_));
        assert_eq!(refused, id == last, "{id}: {reply:?}");
    }
}
