//! Secured media: with whom keys are exchanged, what the relay is told, who is refused.

use super::*;
use domain::{LegId, SrtpKeys, SrtpPolicy};
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
