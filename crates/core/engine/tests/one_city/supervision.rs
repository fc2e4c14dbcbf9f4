//! Supervisors: who is let in, what the relay is told, when it is over.

use super::*;
use domain::{LegId, Supervision, SupervisionOrder, SupervisionRefusal, limits};
use engine::Rejected;
use media::{BrowserEvent, BrowserId};

/// Accounts beside the agent's: the first serves another campaign.
const STRANGER: AgentId = AgentId(20);
const BOSS: AgentId = AgentId(21);

impl World {
    /// An account with a browser, on shift and paused.
    fn seat(&mut self, id: AgentId, campaigns: Vec<CampaignId>) {
        self.account(id, campaigns);
        let browser = BrowserId(id.0.into());
        self.input(Input::BrowserOffered { agent: id, browser });
        self.input(Input::Browser(BrowserEvent::Up { browser }));
        self.input(Input::ScreenAttached(id));
        self.command(id, AgentCommand::LogIn);
    }

    fn account(&mut self, id: AgentId, campaigns: Vec<CampaignId>) {
        let agent = AgentAccount {
            id,
            login: format!("login{}", id.0),
            name: String::new(),
            node: MemberId(2),
            campaigns,
            sip_password: Secret::new("secret"),
            token_hash: String::new(),
            enabled: true,
        };
        let changes = vec![DirectoryChange::Agent(Box::new(agent))];
        self.input(Input::Directory { index: 6, changes });
    }

    fn command(&mut self, agent: AgentId, command: AgentCommand) {
        let request = RequestId(1);
        self.input(Input::Agent {
            agent,
            request,
            command,
        });
    }

    fn supervise(
        &mut self,
        call: AttemptId,
        seat: AgentId,
        manner: impl Into<Option<Supervision>>,
    ) -> Result<(), SupervisionRefusal> {
        let manner = manner.into();
        let order = SupervisionOrder { call, seat, manner };
        let taken = self.engine.handle(self.now, Input::Supervise(order));
        self.drain();
        match taken {
            Ok(()) => Ok(()),
            Err(Rejected::Supervision(refusal)) => Err(refusal),
            Err(other) => panic!("{other}"),
        }
    }

    /// What the relay was told of supervisors, since it was asked last.
    fn told(&mut self) -> Vec<MediaCommand> {
        let all = std::mem::take(&mut self.media);
        let of = |c: &MediaCommand| {
            matches!(
                c,
                MediaCommand::Supervise { .. } | MediaCommand::Unsupervise { .. }
            )
        };
        all.into_iter().filter(of).collect()
    }

    fn supervisors(&self) -> Vec<(AgentId, Supervision)> {
        let floor = self.engine.live_floor();
        floor
            .calls
            .iter()
            .flat_map(|call| call.supervisors.clone())
            .collect()
    }
}

/// A call that is joined, one that comes after it, and a supervisor's seat.
fn joined() -> (World, AttemptId, AttemptId) {
    let mut world = World::new();
    world.shift();
    let attempts = world.lease(&["8000", "8007"]);
    world.run(Duration::from_secs(1));
    world.seat(BOSS, vec![CAMPAIGN]);
    (world, attempts[0], attempts[1])
}

#[test]
fn a_supervisor_comes_changes_and_goes_and_the_calls_legs_hear_nothing_of_it() {
    let (mut world, call, _) = joined();
    let floor = world.engine.live_floor();
    assert_eq!(floor.seats, [BOSS]);
    let live = &floor.calls[0];
    assert_eq!(
        (live.attempt, live.agent, live.campaign),
        (call, AGENT, CAMPAIGN)
    );
    assert_eq!(live.number, Some(number("+8613800138000")));
    world.told();
    let (leg, agent) = (LegId(call::AGENT_LEGS + 1), LegId(call::AGENT_LEGS));
    let sip = world.engine.sip_counters();
    for manner in Supervision::ALL {
        world.supervise(call, BOSS, manner).unwrap();
        let ordered = MediaCommand::Supervise { leg, agent, manner };
        assert_eq!(world.told(), [ordered]);
        assert_eq!(world.supervisors(), [(BOSS, manner)]);
    }
    world.supervise(call, BOSS, None::<Supervision>).unwrap();
    assert_eq!(world.told(), [MediaCommand::Unsupervise { leg }]);
    assert!(world.supervisors().is_empty());
    let out = world.supervise(call, BOSS, None::<Supervision>);
    assert_eq!(out, Err(SupervisionRefusal::NotThere));
    assert_eq!(
        world.engine.sip_counters(),
        sip,
        "no SIP message of any leg"
    );
}

#[test]
fn it_is_over_with_the_call_the_seat_or_the_account() {
    let (mut world, call, next) = joined();
    let leg = LegId(call::AGENT_LEGS + 1);
    let gone = [MediaCommand::Unsupervise { leg }];
    // Who wants calls takes calls.
    world.supervise(call, BOSS, Supervision::Whisper).unwrap();
    world.told();
    world.command(BOSS, AgentCommand::Ready);
    assert_eq!((world.told(), world.supervisors()), (gone.to_vec(), vec![]));
    let busy = world.supervise(call, BOSS, Supervision::Listen);
    assert_eq!(busy, Err(SupervisionRefusal::TakesCalls));
    let pause = AgentCommand::Pause {
        code: domain::PauseCode::default(),
    };
    world.command(BOSS, pause);
    // The account serves that campaign no more.
    world.supervise(call, BOSS, Supervision::Whisper).unwrap();
    world.told();
    world.account(BOSS, vec![CampaignId(7)]);
    assert_eq!((world.told(), world.supervisors()), (gone.to_vec(), vec![]));
    world.account(BOSS, Vec::new());
    // The call ends: the relay lets go by itself.
    world.supervise(call, BOSS, Supervision::Barge).unwrap();
    world.told();
    over(&mut world, call);
    assert_eq!((world.told(), world.supervisors()), (vec![], vec![]));
    // The seat's phone is hung up in another call: its leg leaves by closing.
    world.run(Duration::from_secs(1));
    world.supervise(next, BOSS, Supervision::Barge).unwrap();
    world.told();
    world.input(Input::BrowserClosed(BOSS));
    assert!(world.supervisors().is_empty());
    assert!(world.engine.live_floor().seats.is_empty());
    let down = world.supervise(next, BOSS, Supervision::Listen);
    assert_eq!(down, Err(SupervisionRefusal::NoLeg));
}

#[test]
fn who_may_not_is_refused_and_nothing_changes() {
    let (mut world, call, _) = joined();
    world.seat(STRANGER, vec![CampaignId(7)]);
    world.told();
    let listen = Supervision::Listen;
    for (call, seat, refusal) in [
        (AttemptId(1), BOSS, SupervisionRefusal::NotLive),
        (call, AGENT, SupervisionRefusal::TakesCalls),
        (call, AgentId(99), SupervisionRefusal::OtherNode),
        (call, STRANGER, SupervisionRefusal::OtherCampaign),
    ] {
        assert_eq!(world.supervise(call, seat, listen), Err(refusal));
    }
    for n in 0..limits::CALL_SUPERVISORS as u32 {
        let seat = AgentId(30 + n);
        world.seat(seat, Vec::new());
        world.supervise(call, seat, listen).unwrap();
    }
    world.told();
    let full = world.supervise(call, BOSS, listen);
    assert_eq!(full, Err(SupervisionRefusal::Full));
    assert!(world.told().is_empty());
    // Who is there may change all the same.
    world
        .supervise(call, AgentId(30), Supervision::Barge)
        .unwrap();
}

#[test]
fn who_is_in_another_call_leaves_that_first() {
    let (mut world, first, second) = joined();
    world.supervise(first, BOSS, Supervision::Listen).unwrap();
    over(&mut world, first);
    world.run(Duration::from_secs(1));
    let refused = world.supervise(first, BOSS, Supervision::Listen);
    assert_eq!(refused, Err(SupervisionRefusal::NotLive));
    world.supervise(second, BOSS, Supervision::Listen).unwrap();
    assert_eq!(world.supervisors(), [(BOSS, Supervision::Listen)]);
}
