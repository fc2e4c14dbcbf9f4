//! Overflow: a person who answered in one city and an agent of another, two engines side by side.

use super::*;
use domain::{CarriedCall, CarriedWord, FreeAgents, OverflowAnswer, OverflowOffer, limits};
use media::CarryCommand;

/// Where the person is, and where the agent is, as they know each other.
const HOME: MemberId = MemberId(2);
const HOST: MemberId = MemberId(3);
const NEAR: Duration = Duration::from_millis(20);

struct Pair {
    home: World,
    host: World,
    requests: u64,
    /// Offers that wait for their answer, and what it is.
    late: Vec<(AttemptId, CarriedCall, OverflowAnswer)>,
    hold: bool,
}

fn phone_drops(world: &mut World) {
    let found = world
        .incoming
        .iter()
        .rev()
        .find(|(of, ..)| *of == Side::Agents);
    let (_, phone, _) = *found.as_ref().expect("it was called");
    world.phone.bye(world.now, *phone, None).unwrap();
    world.run(Duration::from_secs(1));
}

impl Pair {
    /// A line of the home city whose agent is gone, and a free agent in the other.
    fn new() -> (Self, AttemptId) {
        let (mut home, mut host) = (World::new(), World::new());
        home.share = Some(5);
        for world in [&mut home, &mut host] {
            let changes = vec![DirectoryChange::Recording(CAMPAIGN, domain::Recording::All)];
            world.input(Input::Directory { index: 6, changes });
            let changes = vec![DirectoryChange::RecordingKey(recording_key())];
            world.input(Input::Directory { index: 7, changes });
        }
        home.ratio();
        home.shift();
        host.shift();
        home.run(Duration::from_secs(2));
        let attempt = home.lease(&["8002"])[0];
        home.run(Duration::from_secs(1));
        phone_drops(&mut home);
        let pair = Self {
            home,
            host,
            requests: 0,
            late: Vec::new(),
            hold: false,
        };
        (pair, attempt)
    }

    /// Both tell each other what they tell each second.
    fn told(&mut self) {
        let free = self.host.engine.free_agents(&[HOME]).remove(0);
        self.tell_home(free);
        let free = self.home.engine.free_agents(&[HOST]).remove(0);
        self.host.input(Input::Neighbour {
            member: HOME,
            round_trip: NEAR,
            free,
        });
        self.pass();
    }

    fn tell_home(&mut self, free: FreeAgents) {
        self.home.input(Input::Neighbour {
            member: HOST,
            round_trip: NEAR,
            free,
        });
    }

    fn answers(&mut self) {
        let mut found = self.home.incoming.iter().rev();
        let (_, call, accepts) = found
            .find(|(side, ..)| *side == Side::Trunks)
            .expect("the person was called");
        self.home
            .carrier
            .accept(self.home.now, *call, accepts.clone())
            .unwrap();
        self.home.run(Duration::from_millis(40));
        self.pass();
    }

    fn person_hangs_up(&mut self) {
        let mut found = self.home.incoming.iter().rev();
        let found = found.find(|(side, ..)| *side == Side::Trunks);
        let (_, call, _) = found.expect("the person was called");
        self.home.carrier.bye(self.home.now, *call, None).unwrap();
        self.home.run(Duration::from_millis(40));
        self.pass();
    }

    /// Time, with what both tell each other each second.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.home.run(Duration::from_secs(1));
            self.host.run(Duration::from_secs(1));
            self.told();
        }
    }

    /// What each says reaches the other, until both are silent.
    fn pass(&mut self) {
        loop {
            let (mine, theirs) = (
                std::mem::take(&mut self.home.elsewhere),
                std::mem::take(&mut self.host.elsewhere),
            );
            if mine.is_empty() && theirs.is_empty() {
                return;
            }
            mine.into_iter().for_each(|output| self.carry(true, output));
            theirs
                .into_iter()
                .for_each(|output| self.carry(false, output));
        }
    }

    fn carry(&mut self, from_home: bool, output: Output) {
        match output {
            Output::Offer {
                to,
                attempt,
                offer,
                deadline,
            } => {
                assert!(from_home && to == HOST && deadline <= Duration::from_secs(2));
                let call = offer.call;
                let answer = self.host.engine.offered(self.host.now, HOME, *offer);
                self.host.drain();
                if self.hold {
                    self.late.push((attempt, call, answer));
                } else {
                    self.answer(attempt, call, Some(answer));
                }
            }
            Output::Say { to, said, token } => {
                self.requests += 1;
                let request = self.requests;
                let (speaker, hearer, from) = match from_home {
                    true => (&mut self.home, &mut self.host, HOME),
                    false => (&mut self.host, &mut self.home, HOST),
                };
                let word = said.clone();
                hearer.input(Input::CarriedSaid {
                    from,
                    said,
                    request,
                });
                let answered = hearer.elsewhere.extract_if(
                    ..,
                    |o| matches!(o, Output::WordTaken { request: of, .. } if *of == request),
                );
                let taken = answered.map(|answer| match answer {
                    Output::WordTaken { taken, .. } => taken,
                    _ => unreachable!(),
                });
                let taken = taken.last().expect("the test's journal is quick");
                speaker.input(Input::WordTold {
                    to,
                    said: word,
                    token,
                    taken,
                });
            }
            Output::Carry(CarryCommand::Attach { peer, .. }) => {
                assert_eq!(peer, if from_home { HOST } else { HOME });
            }
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, attempt: AttemptId, call: CarriedCall, answer: Option<OverflowAnswer>) {
        self.home.input(Input::OfferAnswered {
            from: HOST,
            attempt,
            call,
            answer,
        });
    }

    fn dispose(&mut self, name: &str) {
        self.host.press(AgentCommand::Dispose {
            disposition: name.into(),
            note: "from afar".into(),
            callback_at: None,
        });
        self.pass();
    }

    fn at_rest(&mut self) {
        self.run(3);
        assert_eq!(self.home.engine.live(), 0);
        assert_eq!(self.host.engine.live(), 0);
        for world in [&self.home, &self.host] {
            let free = world.engine.free_agents(&[HOME, HOST]);
            assert!(free.iter().all(|free| free.calls.is_empty()));
        }
        assert!(self.host.closed.is_empty(), "nothing of it is the host's");
    }
}

fn bridges(world: &World) -> usize {
    let all = world.media.iter();
    all.filter(|c| matches!(c, MediaCommand::Bridge { .. }))
        .count()
}

fn ready(world: &mut World) -> u32 {
    world.engine.status(world.now).agents.ready
}

/// The pair with its call joined.
/// What a node says of carried calls of the campaign: out and in now, out and in since the start, asked in
/// vain.
fn told(world: &mut World) -> Option<(u32, u32, u64, u64, u64)> {
    let told = world.engine.status(world.now).overflow;
    let one = told.first()?;
    assert_eq!((told.len(), one.campaign), (1, CAMPAIGN));
    Some((
        one.out_now,
        one.in_now,
        one.out_total,
        one.in_total,
        one.missed,
    ))
}

fn joined() -> (Pair, AttemptId) {
    let (mut pair, attempt) = Pair::new();
    pair.told();
    pair.answers();
    assert_eq!((bridges(&pair.home), bridges(&pair.host)), (1, 1));
    (pair, attempt)
}

#[test]
fn an_answered_person_meets_the_agent_of_another_city() {
    let (mut pair, attempt) = joined();
    assert_eq!(told(&mut pair.home), Some((1, 0, 1, 0, 0)));
    assert_eq!(told(&mut pair.host), Some((0, 1, 0, 1, 0)));
    // Who calls back there meets the same agent.
    let remembered = pair.host.remembered.pop().expect("a person");
    let lease = World::leads(&["8002"]).remove(0);
    assert_eq!(remembered.agent, Some(AGENT));
    assert_eq!(
        (remembered.number, remembered.attempt),
        (lease.number, attempt)
    );
    // It is a call of the host's floor, where it can be heard, and the home's line.
    assert!(pair.home.engine.live_floor().calls.is_empty());
    assert_eq!(pair.host.engine.live_floor().calls[0].attempt, attempt);
    assert_eq!(pair.home.engine.status(pair.home.now).lines.bridged, 1);
    assert_eq!(pair.host.engine.status(pair.host.now).lines.bridged, 0);
    assert_eq!(pair.host.engine.status(pair.host.now).agents.on_call, 1);
    let card = pair.host.notices.iter().find_map(|notice| match notice {
        AgentNotice::Call(card) => Some(card.clone()),
        _ => None,
    });
    let card = card.expect("the agent's screen shows the person");
    assert!(card.number.contains('*'), "{}", card.number);
    assert_eq!(card.dispositions.len(), 2);
    // The home records; the agent pauses that from afar.
    assert_eq!((pair.home.orders.len(), pair.host.orders.len()), (1, 0));
    pair.host.press(AgentCommand::RecordingPause);
    pair.pass();
    let paused = |c: &MediaCommand| matches!(c, MediaCommand::PauseRecording { paused: true, .. });
    assert!(pair.home.media.iter().any(paused) && !pair.host.media.iter().any(paused));
    pair.run(10);
    pair.person_hangs_up();
    assert_eq!(pair.host.engine.status(pair.host.now).agents.wrap_up, 1);
    assert!(pair.home.closed.is_empty(), "the agent writes");
    pair.dispose("sale");
    pair.home.input(Input::Recorded(
        attempt,
        domain::CallRecording::only(domain::RecordingEnd::Whole),
    ));
    let (disposition, record) = &pair.home.closed[&attempt];
    assert_eq!(*disposition, Disposition::Agent(DispositionCode(0)));
    let record = record.as_ref().unwrap();
    assert_eq!(
        (record.agent, record.note.as_str()),
        (Some(AGENT), "from afar")
    );
    assert_eq!(record.ended_by, "callee");
    assert_eq!(ready(&mut pair.host), 1);
    assert!(pair.home.abandoned.is_empty());
    pair.at_rest();
    assert_eq!(told(&mut pair.home), Some((0, 0, 1, 0, 0)));
    assert_eq!(told(&mut pair.host), Some((0, 0, 0, 1, 0)));
}

#[test]
fn the_agent_hangs_up_and_an_opt_out_binds_both() {
    let (mut pair, attempt) = joined();
    pair.run(5);
    pair.host.press(AgentCommand::HangUp);
    pair.pass();
    assert_eq!(pair.home.engine.status(pair.home.now).lines.bridged, 0);
    pair.dispose("stop");
    pair.at_rest();
    let (disposition, record) = &pair.home.closed[&attempt];
    assert_eq!(*disposition, Disposition::Agent(DispositionCode(1)));
    assert_eq!(record.as_ref().unwrap().ended_by, "caller");
    assert_eq!((pair.home.opt_outs, pair.host.opt_outs), (1, 1));
}

#[test]
fn a_disposition_in_the_call_is_kept_and_the_call_ends_with_it() {
    let (mut pair, attempt) = joined();
    pair.dispose("sale");
    assert!(pair.home.closed.is_empty());
    pair.person_hangs_up();
    pair.at_rest();
    assert_eq!(
        pair.home.closed[&attempt].0,
        Disposition::Agent(DispositionCode(0))
    );
    assert_eq!(ready(&mut pair.host), 1);
}

#[test]
fn nobody_free_there_is_an_abandonment_here_once() {
    let (mut pair, attempt) = Pair::new();
    // It said so, and has nobody when it is asked.
    let free = FreeAgents {
        ready: vec![(CAMPAIGN, 1)],
        calls: Vec::new(),
    };
    pair.host.press(AgentCommand::Pause {
        code: Default::default(),
    });
    pair.tell_home(free);
    pair.answers();
    assert_eq!((bridges(&pair.home), bridges(&pair.host)), (0, 0));
    pair.run(4);
    assert_eq!(pair.home.abandoned, [1]);
    assert_eq!(pair.home.closed[&attempt].0, Disposition::Abandoned);
    pair.at_rest();
    assert_eq!(told(&mut pair.home), Some((0, 0, 0, 0, 1)));
    assert_eq!(told(&mut pair.host), None, "it was asked, and did nothing");
}

#[test]
fn who_said_nothing_lately_is_not_asked() {
    let (mut pair, attempt) = Pair::new();
    pair.told();
    pair.home.run(limits::FREE_AGENTS_AGE + NEAR);
    pair.answers();
    pair.home.run(Duration::from_secs(4));
    pair.pass();
    assert_eq!(pair.home.closed[&attempt].0, Disposition::Abandoned);
    assert_eq!(bridges(&pair.host), 0);
    pair.at_rest();
}

#[test]
fn a_yes_that_is_late_lets_the_agent_go() {
    let (mut pair, attempt) = Pair::new();
    pair.hold = true;
    pair.told();
    pair.answers();
    let (asked, call, answer) = pair.late.remove(0);
    assert_eq!((asked, answer), (attempt, OverflowAnswer::Kept(AGENT)));
    assert_eq!(pair.host.engine.status(pair.host.now).agents.reserved, 1);
    // No answer in time, then one after all.
    pair.answer(attempt, call, None);
    pair.pass();
    assert_eq!(ready(&mut pair.host), 1);
    pair.home.run(Duration::from_secs(3));
    pair.answer(attempt, call, Some(answer));
    pair.pass();
    assert_eq!(pair.home.closed[&attempt].0, Disposition::Abandoned);
    assert_eq!(pair.home.abandoned, [1]);
    assert_eq!((bridges(&pair.home), bridges(&pair.host)), (0, 0));
    pair.at_rest();
}

#[test]
fn a_person_who_hangs_up_meanwhile_lets_the_agent_go() {
    let (mut pair, attempt) = Pair::new();
    pair.hold = true;
    pair.told();
    pair.answers();
    pair.person_hangs_up();
    assert_eq!(pair.home.closed[&attempt].0, Disposition::Abandoned);
    let (_, call, answer) = pair.late.remove(0);
    pair.answer(attempt, call, Some(answer));
    pair.pass();
    assert_eq!(ready(&mut pair.host), 1);
    assert_eq!(pair.home.abandoned, [1]);
    pair.at_rest();
}

#[test]
fn an_agent_who_is_kept_for_nobody_goes_on_by_itself() {
    let (mut pair, _) = Pair::new();
    pair.hold = true;
    pair.told();
    pair.answers();
    // Home is dead from here on.
    pair.host.run(Duration::from_secs(4));
    assert_eq!(ready(&mut pair.host), 1);
    assert_eq!(pair.host.engine.live(), 0);
    assert!(pair.host.closed.is_empty());
}

#[test]
fn the_agents_node_is_lost_and_the_person_gets_an_ending() {
    let (mut pair, attempt) = joined();
    pair.run(5);
    pair.home.run(limits::CARRIED_LOST + Duration::from_secs(2));
    pair.home.input(Input::Recorded(
        attempt,
        domain::CallRecording::only(domain::RecordingEnd::Whole),
    ));
    pair.home.run(Duration::from_secs(1));
    let (disposition, record) = &pair.home.closed[&attempt];
    assert_eq!(*disposition, Disposition::Agent(DispositionCode(0)));
    assert_eq!(record.as_ref().unwrap().ended_by, "caller");
    assert!(pair.home.abandoned.is_empty());
    // The host is cut off, not dead: its agent wraps up, and hears that nobody kept it.
    pair.host.run(limits::CARRIED_LOST + Duration::from_secs(2));
    assert_eq!(pair.host.engine.status(pair.host.now).agents.wrap_up, 1);
    pair.host.run(Duration::from_secs(31));
    pair.pass();
    let told = pair
        .host
        .notices
        .iter()
        .any(|notice| matches!(notice, AgentNotice::Error { code, .. } if code == "DM3026"));
    assert!(told, "{:?}", pair.host.notices);
    pair.at_rest();
}

#[test]
fn the_persons_node_starts_anew_and_the_agent_is_free_again() {
    let (mut pair, _) = joined();
    pair.run(5);
    // Another run of the home node: it carries nothing.
    for _ in 0..3 {
        pair.host.run(Duration::from_secs(1));
        pair.host.input(Input::Neighbour {
            member: HOME,
            round_trip: NEAR,
            free: FreeAgents::default(),
        });
    }
    assert_eq!(pair.host.engine.status(pair.host.now).agents.wrap_up, 1);
}

#[test]
fn the_agent_logs_out_of_the_wrap_up_and_the_default_stands() {
    let (mut pair, attempt) = joined();
    pair.run(2);
    pair.person_hangs_up();
    phone_drops(&mut pair.host);
    pair.pass();
    pair.at_rest();
    assert_eq!(
        pair.home.closed[&attempt].0,
        Disposition::Agent(DispositionCode(0))
    );
}

#[test]
fn only_so_many_calls_are_carried_with_one_node_and_only_known_campaigns() {
    let (mut pair, _) = joined();
    let mut offer = OverflowOffer {
        call: CarriedCall(7),
        lead: World::leads(&["8009"]).remove(0),
        codec: Codec::Pcma,
        waited_ms: 0,
        within_ms: 1_000,
    };
    let now = pair.host.now;
    offer.lead.attempt = AttemptId::new(REGION, 99, 0);
    let nobody = pair.host.engine.offered(now, HOME, offer.clone());
    assert_eq!(nobody, OverflowAnswer::NoAgent);
    offer.lead.campaign = CampaignId(9);
    let unknown = pair.host.engine.offered(now, HOME, offer);
    assert_eq!(unknown, OverflowAnswer::NotServed);
    // A word of a call that nobody knows is not taken.
    pair.host.input(Input::CarriedSaid {
        from: HOME,
        said: domain::CarriedSaid {
            call: CarriedCall(8),
            word: CarriedWord::Joined,
        },
        request: 900,
    });
    let refused = |o: &Output| {
        matches!(
            o,
            Output::WordTaken {
                request: 900,
                taken: false
            }
        )
    };
    assert!(pair.host.elsewhere.iter().any(refused));
}
