//! Two endpoints over a network that loses, repeats and reorders, in virtual time.

use super::*;
use crate::{
    keepalive::Health,
    registrar::RegistrarConfig,
    registration::{Registration, RegistrationState},
};
use domain::TrunkId;
use std::collections::BTreeMap;

/// What the network does to datagrams, in thousandths.
#[derive(Clone, Copy)]
struct Weather {
    loss: u32,
    twice: u32,
    delay_ms: u32,
}

const CALM: Weather = Weather {
    loss: 0,
    twice: 0,
    delay_ms: 20,
};

struct Network {
    sides: [Endpoint; 2],
    addresses: [SocketAddr; 2],
    now: Now,
    weather: Weather,
    stream: Stream,
    flight: BTreeMap<(Instant, u64), (usize, Bytes)>,
    sent: u64,
    events: [Vec<SipEvent>; 2],
}

impl Network {
    fn new(seed: u64, weather: Weather, configs: [EndpointConfig; 2]) -> Self {
        let addresses = [OURS, THEIRS].map(|a| a.parse::<SocketAddr>().expect("address"));
        let seed = Seed::from_u64(seed);
        let [a, b] = configs;
        let mut other = [0; 32];
        seed.stream("other side").fill(&mut other);
        let mut sides = [Endpoint::new(a, seed), Endpoint::new(b, Seed::new(other))];
        sides[0].set_peers([addresses[1].ip()]);
        if sides[1].registrar.is_none() {
            sides[1].set_peers([addresses[0].ip()]);
        }
        Self {
            sides,
            addresses,
            now: Now::default().plus(Duration::from_secs(100)),
            weather,
            stream: seed.stream("network"),
            flight: BTreeMap::new(),
            sent: 0,
            events: [Vec::new(), Vec::new()],
        }
    }

    fn flow(&self, side: usize) -> Flow {
        Flow {
            transport: SipTransport::Udp,
            local: self.addresses[side],
            remote: self.addresses[1 - side],
        }
    }

    fn drain(&mut self) {
        for side in 0..2 {
            while let Some(output) = self.sides[side].poll_output() {
                match output {
                    Output::Event(event) => self.events[side].push(event),
                    Output::Transmit { flow, bytes, .. } => {
                        assert_eq!(
                            flow.remote.ip(),
                            self.addresses[1 - side].ip(),
                            "nobody else"
                        );
                        let copies = 1 + u32::from(self.stream.permille(self.weather.twice));
                        for _ in 0..copies {
                            self.sent += 1;
                            if self.stream.permille(self.weather.loss) {
                                continue;
                            }
                            let delay = 1 + self.stream.below(self.weather.delay_ms);
                            let at = self.now.monotonic + Duration::from_millis(delay.into());
                            self.flight
                                .insert((at, self.sent), (1 - side, bytes.clone()));
                        }
                    }
                }
            }
        }
    }

    /// Runs everything due until `span` from now.
    fn run(&mut self, span: Duration) {
        let end = self.now.plus(span);
        loop {
            self.drain();
            let datagram = self.flight.first_key_value().map(|((at, _), _)| *at);
            let timers = [0, 1].map(|side| self.sides[side].poll_timeout().map(|(at, _)| at));
            let next = [datagram, timers[0], timers[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end.monotonic) else {
                self.now = end;
                return;
            };
            self.now = self.now.plus(next.since(self.now.monotonic));
            if datagram == Some(next) {
                let (_, (side, bytes)) = self.flight.pop_first().expect("just seen");
                let input = Input::Received {
                    flow: self.flow(side),
                    bytes: &bytes,
                };
                self.sides[side]
                    .handle(self.now, input)
                    .expect("network input is never refused");
            } else {
                let side = usize::from(timers[0] != Some(next));
                self.sides[side].handle_timeout(self.now);
            }
        }
    }

    fn invite(&self) -> Invite {
        Invite {
            flow: self.flow(0),
            request_uri: "sip:+14155550134@192.0.2.1".into(),
            from: Address::new("sip:+12125550100@192.0.2.9"),
            to: Address::new("sip:+14155550134@192.0.2.1"),
            contact_user: "d".into(),
            p_asserted_identity: None,
            headers: Vec::new(),
            body: sdp(40_000),
            credentials: None,
            expires: Some(Duration::from_secs(60)),
            valid_until: None,
            session_expires: None,
            reliable: false,
            follow_redirect: false,
        }
    }
}

fn final_of(event: &SipEvent) -> Option<CallHandle> {
    match event {
        SipEvent::Failed { call, .. }
        | SipEvent::Cancelled { call, .. }
        | SipEvent::Ended { call, .. } => Some(*call),
        _ => None,
    }
}

/// Many calls with every kind of end, in this weather; then silence.
fn storm(seed: u64, weather: Weather, calls: u32) -> Network {
    let mut net = Network::new(
        seed,
        weather,
        [EndpointConfig::default(), EndpointConfig::default()],
    );
    let mut script = Seed::from_u64(seed).stream("script");
    let mut started = [Vec::new(), Vec::new()];
    let mut finals = [BTreeMap::new(), BTreeMap::new()];
    let mut up: Vec<(usize, CallHandle)> = Vec::new();
    let mut left = calls;
    for _ in 0..3_000 {
        if left > 0 {
            left -= 1;
            let invite = net.invite();
            let call = net.sides[0].invite(net.now, invite).expect("room");
            started[0].push(call);
            up.push((0, call));
        }
        net.run(Duration::from_millis(script.below(300).into()));
        for (side, finals) in finals.iter_mut().enumerate() {
            for event in std::mem::take(&mut net.events[side]) {
                if let Some(call) = final_of(&event) {
                    *finals.entry(call).or_insert(0) += 1;
                }
                if let SipEvent::Incoming { call, .. } = event {
                    started[1].push(call);
                    up.push((1, call));
                }
            }
        }
        for _ in 0..3 {
            if up.is_empty() {
                break;
            }
            let at = script.below(up.len() as u32) as usize;
            let (side, call) = up[at];
            let (endpoint, now) = (&mut net.sides[side], net.now);
            // Refused where it does not fit the call's state; that is part of the storm.
            let _refused_or_not = match (side, script.below(8)) {
                (0, 0) => endpoint.cancel(now, call, None),
                (0, 1) => endpoint.bye(now, call, Some(16)),
                (0, 2) => endpoint.stop_retransmissions(call),
                (1, 0) => endpoint.ringing(now, call),
                (1, 1 | 2) => endpoint.accept(now, call, sdp(50_000)),
                (1, 3) => endpoint.reject(now, call, 486),
                (1, 4) => endpoint.bye(now, call, None),
                _ => Ok(()),
            };
            if endpoint
                .call(call)
                .is_none_or(|c| c.state == CallState::Ended)
            {
                up.swap_remove(at);
            }
        }
        if left == 0 && up.is_empty() {
            break;
        }
    }
    // Whoever is still up hangs up.
    for (side, call) in up {
        let (endpoint, now) = (&mut net.sides[side], net.now);
        let _one_of_them_fits = endpoint
            .bye(now, call, None)
            .or_else(|_| endpoint.cancel(now, call, None))
            .or_else(|_| endpoint.reject(now, call, 480));
    }
    net.run(Duration::from_secs(200));
    for side in 0..2 {
        for call in net.events[side].iter().filter_map(final_of) {
            *finals[side].entry(call).or_insert(0) += 1;
        }
        for call in &started[side] {
            assert_eq!(
                finals[side].get(call),
                Some(&1),
                "side {side}, {call:?}, seed {seed}"
            );
        }
        assert_eq!(finals[side].len(), started[side].len());
        assert_eq!(net.sides[side].held(), [0; 4], "side {side}, seed {seed}");
        assert_eq!(net.sides[side].live_calls(), 0);
    }
    assert!(
        started[1].len() <= started[0].len(),
        "no call is taken for two"
    );
    net
}

#[test]
fn in_calm_weather_nothing_is_sent_twice() {
    let net = storm(1, CALM, 200);
    assert_eq!(net.sides[0].counters().retransmitted, 0);
    assert_eq!(
        net.sides[0].counters().malformed + net.sides[1].counters().malformed,
        0
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]
    #[test]
    fn every_call_ends_once_whatever_the_network_does(seed: u64, loss in 0u32..250, twice in 0u32..300, delay_ms in 1u32..1500) {
        storm(seed, Weather { loss, twice, delay_ms }, 40);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let weather = Weather {
        loss: 150,
        twice: 100,
        delay_ms: 400,
    };
    let [a, b] = [storm(5, weather, 50), storm(5, weather, 50)];
    assert_eq!(
        (a.sent, a.sides[0].counters()),
        (b.sent, b.sides[0].counters())
    );
}

#[test]
fn memory_is_flat_over_many_calls() {
    let mut net = Network::new(
        3,
        CALM,
        [EndpointConfig::default(), EndpointConfig::default()],
    );
    let mut peak = [0; 4];
    for second in 0..120 {
        for _ in 0..20 {
            let invite = net.invite();
            net.sides[0].invite(net.now, invite).expect("room");
            net.run(Duration::from_millis(50));
            for event in std::mem::take(&mut net.events[1]) {
                if let SipEvent::Incoming { call, .. } = event {
                    net.sides[1]
                        .accept(net.now, call, sdp(50_000))
                        .expect("incoming");
                }
            }
            for event in std::mem::take(&mut net.events[0]) {
                if let SipEvent::Answered { call, .. } = event {
                    net.sides[0].bye(net.now, call, None).expect("answered");
                }
            }
        }
        let held = net.sides[0].held();
        if second == 40 {
            peak = held;
        } else if second > 40 {
            // 32 s of calls linger, never more.
            assert!(
                (0..4).all(|i| held[i] <= peak[i] + 40),
                "{held:?} after {peak:?}"
            );
        }
    }
}

#[test]
fn phones_register_call_and_are_called() {
    let node = EndpointConfig {
        registrar: Some(RegistrarConfig::default()),
        ..EndpointConfig::default()
    };
    let mut net = Network::new(4, CALM, [EndpointConfig::default(), node]);
    net.sides[1]
        .set_user("acme", Secret::new("pw"))
        .expect("room");
    let registration = |password: &str| Registration {
        flow: net_flow(),
        domain: "dialmesh".into(),
        user: "acme".into(),
        credentials: Some(Credentials {
            username: "acme".into(),
            password: Secret::new(password),
        }),
        expires: Duration::from_secs(3_600),
    };
    let id = TrunkId(1);
    // Not registered, no password: a challenge, and nothing comes of it.
    let invite = net.invite();
    net.sides[0].invite(net.now, invite).expect("room");
    net.run(Duration::from_secs(1));
    assert!(net.events[1].is_empty());
    assert!(
        net.events[0]
            .iter()
            .any(|e| matches!(e, SipEvent::Failed { status: 401, .. }))
    );
    net.sides[0]
        .register(net.now, id, registration("wrong"))
        .expect("room");
    net.run(Duration::from_secs(1));
    assert!(net.events[0].contains(&SipEvent::CarrierRegistration {
        id,
        state: RegistrationState::Failed,
        status: 403
    }));
    net.sides[0]
        .register(net.now, id, registration("pw"))
        .expect("room");
    net.run(Duration::from_secs(1));
    let flow = net.flow(1);
    assert_eq!(
        net.events[1],
        [SipEvent::Registered {
            user: "acme".into(),
            flow,
            expires: Duration::from_secs(600)
        }]
    );
    assert_eq!(
        net.events[0].last(),
        Some(&SipEvent::CarrierRegistration {
            id,
            state: RegistrationState::Registered,
            status: 200
        })
    );
    // The phone calls, and proves who it is.
    let mut invite = net.invite();
    invite.credentials = credentials();
    net.sides[0].invite(net.now, invite).expect("room");
    net.run(Duration::from_secs(1));
    assert!(
        net.events[1]
            .iter()
            .any(|e| matches!(e, SipEvent::Incoming { user: Some(user), .. } if user == "acme"))
    );
    // The phone is called the way it came.
    let binding = net.sides[1].binding("acme").expect("registered").clone();
    assert_eq!(binding.flow, flow);
    let mut invite = net.invite();
    invite.flow = binding.flow;
    invite.request_uri = String::from_utf8(binding.contact).expect("text");
    net.sides[1].invite(net.now, invite).expect("room");
    net.events[0].clear();
    net.run(Duration::from_secs(1));
    assert!(
        net.events[0]
            .iter()
            .any(|e| matches!(e, SipEvent::Incoming { .. }))
    );
    // It is refreshed before it runs out, and ends when asked to.
    net.events = [Vec::new(), Vec::new()];
    net.run(Duration::from_secs(1_000));
    let refreshed = net.events[1]
        .iter()
        .filter(|e| matches!(e, SipEvent::Registered { .. }))
        .count();
    assert!((2..=4).contains(&refreshed), "{refreshed}");
    assert!(!net.events[1].contains(&SipEvent::Unregistered {
        user: "acme".into()
    }));
    net.sides[0].unregister(net.now, id);
    net.run(Duration::from_secs(1));
    assert!(net.events[1].contains(&SipEvent::Unregistered {
        user: "acme".into()
    }));
    assert_eq!(
        net.events[0].last(),
        Some(&SipEvent::CarrierRegistration {
            id,
            state: RegistrationState::Unregistered,
            status: 200
        })
    );
    assert!(net.sides[1].binding("acme").is_none());
}

fn net_flow() -> Flow {
    flow_to(THEIRS)
}

#[test]
fn phones_that_go_silent_are_forgotten() {
    let node = EndpointConfig {
        registrar: Some(RegistrarConfig::default()),
        ..EndpointConfig::default()
    };
    let mut net = Network::new(4, CALM, [EndpointConfig::default(), node]);
    net.sides[1]
        .set_user("acme", Secret::new("pw"))
        .expect("room");
    let registration = Registration {
        flow: net_flow(),
        domain: "dialmesh".into(),
        user: "acme".into(),
        credentials: credentials(),
        expires: Duration::from_secs(5),
    };
    net.sides[0]
        .register(net.now, TrunkId(1), registration)
        .expect("room");
    net.run(Duration::from_secs(1));
    // 423 taught it the registrar's least; then the wire is cut.
    assert!(matches!(
        net.events[1][..],
        [SipEvent::Registered {
            expires: Duration { .. },
            ..
        }]
    ));
    net.weather.loss = 1_000;
    net.run(Duration::from_secs(31));
    assert!(net.events[1].contains(&SipEvent::Unregistered {
        user: "acme".into()
    }));
    net.sides[1].set_user("b", Secret::new("pw")).expect("room");
    net.sides[1].remove_user("b");
}

#[test]
fn a_trunk_goes_down_after_three_losses_and_up_after_one_answer() {
    let mut net = Network::new(
        6,
        CALM,
        [EndpointConfig::default(), EndpointConfig::default()],
    );
    let id = TrunkId(9);
    let flow = net.flow(0);
    net.sides[0]
        .watch(net.now, id, flow, Duration::from_secs(10))
        .expect("room");
    net.run(Duration::from_secs(1));
    assert_eq!(net.events[0], [SipEvent::TrunkHealth { id, up: true }]);
    net.weather.loss = 1_000;
    net.run(Duration::from_secs(60));
    net.weather.loss = 0;
    net.run(Duration::from_secs(12));
    assert_eq!(
        net.events[0][1..],
        [
            SipEvent::TrunkHealth { id, up: false },
            SipEvent::TrunkHealth { id, up: true }
        ]
    );
    assert_eq!(net.sides[0].health(id), Some(Health::Up));
    net.sides[0]
        .watch(net.now, id, flow, Duration::ZERO)
        .expect("stops");
    net.run(Duration::from_secs(40));
    assert_eq!(net.sides[0].held(), [0; 4]);
}
