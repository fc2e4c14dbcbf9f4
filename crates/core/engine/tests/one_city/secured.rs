//! Secured media: with whom keys are exchanged, what the relay is told, who is refused.

use super::*;
use domain::{
    LegId, SrtpKeys, SrtpPolicy,
    limits::{PROBLEM_NAMES, PROBLEMS_TOLD},
    status::NodeProblem,
};
use engine::SrtpConfig;

/// What a far end sends with.
fn theirs(fill: u8) -> LocalCrypto {
    LocalCrypto::draw(SrtpPolicy::Offered, |bytes| bytes.fill(fill)).unwrap()
}

fn by_tls(flow: Flow) -> Flow {
    Flow {
        transport: SipTransport::Tls,
        ..flow
    }
}

/// A city that treats phones so, its agent's phone registered that way.
fn city(phones: SrtpPolicy, flow: Flow, has_srtp: bool) -> World {
    let srtp = SrtpConfig {
        phones,
        ..SrtpConfig::default()
    };
    let mut world = World::with(srtp, directory());
    if has_srtp {
        world.theirs.insert(Side::Agents, theirs(9));
    }
    world.register(flow);
    world
}

fn phone_flow() -> Flow {
    flow("10.0.2.1:5060", "10.0.0.1:5062")
}

/// The keys that the relay was told, by leg.
fn told(world: &World) -> BTreeMap<LegId, Option<SrtpKeys>> {
    let of = |command: &MediaCommand| match command {
        MediaCommand::Secure { leg, keys } => Some((*leg, *keys)),
        _ => None,
    };
    world.media.iter().filter_map(of).collect()
}

#[test]
fn a_phone_by_tls_is_secured_and_its_person_is_not() {
    for policy in [SrtpPolicy::Offered, SrtpPolicy::Required] {
        let mut world = city(policy, by_tls(phone_flow()), true);
        world.shift();
        world.run(Duration::from_millis(200));
        world.lease(&["8000"]);
        world.run(Duration::from_secs(1));
        let bridged = world.media.iter().find_map(|command| match command {
            MediaCommand::Bridge { a, b } => Some([*a, *b]),
            _ => None,
        });
        let keys = told(&world);
        assert_eq!(keys.len(), 1, "the agent's leg alone: {keys:?}");
        let (leg, keys) = keys.into_iter().next().unwrap();
        assert!(bridged.unwrap().contains(&leg));
        let keys = keys.unwrap();
        assert_eq!(keys.receive, theirs(9).lines[0].key);
        assert_ne!(keys.send.expose()[..4], keys.send.expose()[4..8]);
        // Said before the relay is told where the phone is.
        let at = |wanted: fn(&MediaCommand) -> bool| {
            world.media.iter().position(|c| c.leg() == leg && wanted(c))
        };
        let secured = at(|c| matches!(c, MediaCommand::Secure { .. }));
        assert!(secured < at(|c| matches!(c, MediaCommand::SetRemote { .. })));
        let said = format!("{:?}", world.media);
        assert!(
            said.contains("[redacted]") && !said.contains("9, 9, 9"),
            "{said}"
        );
    }
}

#[test]
fn keys_go_by_tls_only() {
    // Offered, and plain where the way there is not TLS.
    let mut world = city(SrtpPolicy::Offered, phone_flow(), true);
    world.shift();
    world.run(Duration::from_millis(200));
    assert_eq!(told(&world), BTreeMap::new());
    let remote = |c: &MediaCommand| matches!(c, MediaCommand::SetRemote { .. });
    assert!(world.media.iter().any(remote), "its leg is up");
    // Required: it is not called.
    let mut world = city(SrtpPolicy::Required, phone_flow(), true);
    world.input(Input::ScreenAttached(AGENT));
    world.press(AgentCommand::LogIn);
    world.run(Duration::from_secs(1));
    assert_eq!(world.media, []);
    assert!(world.incoming.is_empty());
}

#[test]
fn who_does_not_have_it_is_plain_or_refused_as_is_set() {
    for (policy, up) in [(SrtpPolicy::Offered, true), (SrtpPolicy::Required, false)] {
        let mut world = city(policy, by_tls(phone_flow()), false);
        world.input(Input::ScreenAttached(AGENT));
        world.press(AgentCommand::LogIn);
        world.run(Duration::from_secs(1));
        assert_eq!(world.incoming.len(), 1, "it is called");
        let remote = |c: &MediaCommand| matches!(c, MediaCommand::SetRemote { .. });
        assert_eq!(world.media.iter().any(remote), up, "{policy:?}");
        assert_eq!(told(&world), BTreeMap::new());
    }
}

/// The carrier's trunk, that way.
fn with_trunk(transport: SipTransport, policy: SrtpPolicy) -> World {
    let srtp = SrtpConfig {
        phones: SrtpPolicy::Off,
        trunks: BTreeMap::from([("carrier".to_owned(), policy)]),
    };
    let mut copy = directory();
    copy.trunks[0].transport = transport;
    let mut world = World::with(srtp, copy);
    world.register(phone_flow());
    world
}

#[test]
fn a_carrier_by_tls_is_secured_by_its_trunks_name() {
    let mut world = with_trunk(SipTransport::Tls, SrtpPolicy::Required);
    world.theirs.insert(Side::Trunks, theirs(5));
    world.shift();
    world.run(Duration::from_millis(200));
    world.lease(&["8000"]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.invites.len(), 1);
    let keys = told(&world);
    let [Some(keys)] = keys.into_values().collect::<Vec<_>>()[..] else {
        panic!("the person's leg alone is secured")
    };
    assert_eq!(keys.receive, theirs(5).lines[0].key);
}

#[test]
fn a_carrier_that_cannot_meet_it_gets_no_call() {
    // Plain at the far end: refused there, and no other trunk is asked.
    let mut world = with_trunk(SipTransport::Tls, SrtpPolicy::Required);
    world.shift();
    world.run(Duration::from_millis(200));
    let attempts = world.lease(&["8000"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1);
    assert_eq!(world.closed[&attempts[0]].0, Disposition::CarrierFailure);
    // The way there would show the keys: the trunk is not used at all.
    let mut world = with_trunk(SipTransport::Udp, SrtpPolicy::Required);
    world.theirs.insert(Side::Trunks, theirs(5));
    world.shift();
    world.run(Duration::from_millis(200));
    world.lease(&["8000"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites, []);
    // Only offered: plain.
    let mut world = with_trunk(SipTransport::Udp, SrtpPolicy::Offered);
    world.theirs.insert(Side::Trunks, theirs(5));
    world.shift();
    world.run(Duration::from_millis(200));
    world.lease(&["8000"]);
    world.run(Duration::from_secs(2));
    assert_eq!((world.invites.len(), told(&world).len()), (1, 0));
}

/// What is wrong with the set-up, by the node's own word: names set, and trunks said beside.
fn problems(world: &mut World) -> Vec<(String, Vec<String>)> {
    let status = world.engine.status(world.now);
    let said = |problem: NodeProblem| {
        assert_eq!(problem.code, NodeProblem::SRTP_TRUNK);
        assert_eq!(problem.setting, "sip.srtp.trunks");
        (problem.value, problem.known)
    };
    status.problems.into_iter().map(said).collect()
}

#[test]
fn a_trunk_that_is_secured_and_not_there_is_said_until_it_comes() {
    let set = |name: &str, policy| (name.to_owned(), policy);
    let srtp = SrtpConfig {
        phones: SrtpPolicy::Off,
        trunks: BTreeMap::from([
            set("carier", SrtpPolicy::Required),
            set("carrier", SrtpPolicy::Required),
            set("other", SrtpPolicy::Off),
            set("second", SrtpPolicy::Offered),
        ]),
    };
    let mut world = World::made(srtp);
    world.confirm = false;
    world.enter(directory());
    // The copy of the directory may be old: a trunk may be on its way.
    assert_eq!(problems(&mut world), []);
    world.confirm = true;
    world.run(TTL);
    let known = vec!["carrier".to_owned()];
    let wrong = |name: &str, known: &[String]| (name.to_owned(), known.to_vec());
    assert_eq!(
        problems(&mut world),
        [wrong("carier", &known), wrong("second", &known)]
    );
    let told = [("carier", false), ("second", false)].map(|(name, over)| (name.to_owned(), over));
    assert_eq!(std::mem::take(&mut world.problems), told, "each once");
    // It comes, under another node first.
    let mut second = directory().trunks[0].clone();
    (second.id, second.name) = (TrunkId(2), "second".into());
    let mut index = 6;
    let mut change = |world: &mut World, trunk: &Trunk| {
        index += 1;
        let changes = vec![DirectoryChange::Trunk(Box::new(trunk.clone()))];
        world.input(Input::Directory { index, changes });
    };
    second.node = MemberId(3);
    change(&mut world, &second);
    assert_eq!(problems(&mut world).len(), 2);
    second.node = MemberId(2);
    change(&mut world, &second);
    let known = vec!["carrier".to_owned(), "second".to_owned()];
    assert_eq!(problems(&mut world), [wrong("carier", &known)]);
    assert_eq!(
        std::mem::take(&mut world.problems),
        [("second".to_owned(), true)]
    );
    // A trunk that gets another name loses what is set by its name.
    second.name = "third".into();
    change(&mut world, &second);
    assert_eq!(
        std::mem::take(&mut world.problems),
        [("second".to_owned(), false)]
    );
    assert_eq!(problems(&mut world).len(), 2);
}

#[test]
fn so_many_problems_are_said_and_no_more() {
    let name = |n: usize| (format!("wrong-{n:03}"), SrtpPolicy::Required);
    let mut copy = directory();
    let trunk = copy.trunks[0].clone();
    copy.trunks
        .extend((0..PROBLEM_NAMES as u32 + 4).map(|n| Trunk {
            id: TrunkId(100 + n),
            name: format!("t{n:03}"),
            ..trunk.clone()
        }));
    let srtp = SrtpConfig {
        phones: SrtpPolicy::Off,
        trunks: (0..PROBLEMS_TOLD + 3).map(name).collect(),
    };
    let mut world = World::with(srtp, copy);
    world.run(TTL);
    let said = problems(&mut world);
    assert_eq!(said.len(), PROBLEMS_TOLD);
    assert!(said.iter().all(|(_, known)| known.len() == PROBLEM_NAMES));
    assert_eq!(world.problems.len(), PROBLEMS_TOLD);
}
