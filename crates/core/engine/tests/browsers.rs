//! Agents whose phone is a browser; the relay is played by hand.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use call::{AgentCommand, AgentNotice, Phone, RequestId};
use domain::{
    AgentAccount, AgentId, AgentState, Instant, LegId, MemberId, Now, RegionId, Secret, WallTime,
    limits::BROWSER_BACK,
};
use engine::{DirectoryChange, Engine, EngineConfig, Input, Output};
use media::{
    BROWSER_EVENT, BrowserCommand, BrowserEnd, BrowserEvent, BrowserId, MediaCommand, MediaEvent,
    Port, PortRange,
};
use sansio::Seed;
use std::{collections::BTreeMap, time::Duration};

const LI: AgentId = AgentId(1);
const OLD: BrowserId = BrowserId(1);
const NEW: BrowserId = BrowserId(2);

struct Node {
    engine: Engine,
    now: Now,
    ports: BTreeMap<LegId, Port>,
    /// What the relay's browsers were told.
    told: Vec<BrowserCommand>,
    notices: Vec<AgentNotice>,
    replies: Vec<Result<(), call::CommandError>>,
    requests: u64,
}

fn account(enabled: bool) -> AgentAccount {
    AgentAccount {
        id: LI,
        login: "li".into(),
        name: "Li".into(),
        node: MemberId(2),
        campaigns: Vec::new(),
        sip_password: Secret::new("secret"),
        token_hash: String::new(),
        enabled,
    }
}

impl Node {
    fn new() -> Self {
        let config = EngineConfig {
            member: MemberId(2),
            regions: vec![RegionId(1)],
            trunk_address: "10.0.0.1:5060".parse().unwrap(),
            trunk_advertised: "10.0.0.1:5060".parse().unwrap(),
            trunk_tls: None,
            voucher: None,
            agent_address: "10.0.0.1:5062".parse().unwrap(),
            media_address: [10, 0, 0, 1].into(),
            media_ports: PortRange::new(20_000, 20_200).unwrap(),
            realm: "dialmesh".into(),
            md5_only: false,
            srtp: engine::SrtpConfig::default(),
            freshness: Duration::from_secs(30),
            safe_harbour: None,
            hold: media::PromptId::HOLD,
            voice_drops: Default::default(),
            call_backs: engine::CallBackConfig::default(),
            audit: permit::audit::Head::first(MemberId(2)),
            audit_numbers: permit::audit::NumberKey::new("test".into(), [7; 32]),
        };
        let mut node = Self {
            engine: Engine::new(config, Seed::from_u64(1)),
            now: Now {
                monotonic: Instant::from_millis(1_000_000),
                wall: WallTime::from_millis(1_795_300_000_000),
            },
            ports: BTreeMap::new(),
            told: Vec::new(),
            notices: Vec::new(),
            replies: Vec::new(),
            requests: 0,
        };
        node.account(true);
        node
    }

    fn account(&mut self, enabled: bool) {
        let agent = DirectoryChange::Agent(Box::new(account(enabled)));
        self.input(Input::Directory {
            index: 1,
            changes: vec![agent],
        });
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Browser(command) => self.told.push(command),
                Output::Media(MediaCommand::Open {
                    leg,
                    port,
                    telephone_event,
                }) => {
                    assert_eq!(telephone_event, Some(BROWSER_EVENT));
                    self.ports.insert(leg, port);
                }
                Output::Media(MediaCommand::Close { leg }) => {
                    let closed = MediaEvent::Closed {
                        leg,
                        port: self.ports.remove(&leg).unwrap(),
                        stats: Default::default(),
                        detail: Default::default(),
                    };
                    self.engine.handle(self.now, Input::Media(closed)).unwrap();
                }
                Output::Notice { notice, .. } => self.notices.push(notice),
                Output::Reply { result, .. } => self.replies.push(result),
                _ => {}
            }
        }
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now.monotonic + span;
        while let Some((due, _)) = self.engine.poll_timeout()
            && due <= end
        {
            self.now = self.now.plus(due.since(self.now.monotonic));
            self.engine.handle_timeout(self.now);
            self.drain();
        }
        self.now = self.now.plus(end.since(self.now.monotonic));
    }

    fn press(&mut self, command: AgentCommand) -> Result<(), String> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.input(Input::Agent {
            agent: LI,
            request,
            command,
        });
        self.replies.pop().unwrap().map_err(|error| error.code)
    }

    fn offer(&mut self, browser: BrowserId) {
        self.input(Input::BrowserOffered { agent: LI, browser });
    }

    fn up(&mut self, browser: BrowserId) {
        self.input(Input::Browser(BrowserEvent::Up { browser }));
    }

    fn down(&mut self, browser: BrowserId) {
        let why = BrowserEnd::Lost;
        self.input(Input::Browser(BrowserEvent::Down { browser, why }));
    }

    /// The state and the phone that the screen was told last.
    fn status(&self) -> (AgentState, Phone) {
        let states = self.notices.iter().rev().find_map(|notice| match notice {
            AgentNotice::State(status) => Some((status.state.clone(), status.phone)),
            _ => None,
        });
        states.unwrap()
    }

    fn was_told(&self, code: &str) -> bool {
        (self.notices.iter())
            .any(|n| matches!(n, AgentNotice::Error { code: told, .. } if told == code))
    }

    /// A shift on the browser [`OLD`], ready.
    fn on_shift() -> Self {
        let mut node = Self::new();
        node.offer(OLD);
        node.up(OLD);
        assert_eq!(node.press(AgentCommand::LogIn), Ok(()));
        assert_eq!(node.press(AgentCommand::Ready), Ok(()));
        assert_eq!(node.status(), (AgentState::Ready, Phone::Up));
        node
    }

    fn leg(&self) -> LegId {
        *self.ports.keys().next().unwrap()
    }
}

#[test]
fn a_browser_that_is_up_is_the_shifts_leg_at_once() {
    let node = Node::on_shift();
    let leg = node.leg();
    assert_eq!(node.told, [BrowserCommand::Attach { leg, browser: OLD }]);
}

#[test]
fn one_that_still_connects_rings_until_it_is_up() {
    let mut node = Node::new();
    node.offer(OLD);
    assert_eq!(node.press(AgentCommand::LogIn), Ok(()));
    assert_eq!(node.status(), (AgentState::LoggedOut, Phone::Ringing));
    assert!(node.told.is_empty());
    node.up(OLD);
    assert_eq!(node.status().1, Phone::Up);
    let leg = node.leg();
    assert_eq!(node.told, [BrowserCommand::Attach { leg, browser: OLD }]);
}

#[test]
fn one_that_never_comes_ends_the_log_in() {
    let mut node = Node::new();
    node.offer(OLD);
    assert_eq!(node.press(AgentCommand::LogIn), Ok(()));
    node.down(OLD);
    assert!(node.was_told("DM3006"));
    assert_eq!(node.status(), (AgentState::LoggedOut, Phone::Down));
    assert!(node.ports.is_empty(), "the leg is closed");
    // Without any, and without a phone, there is nothing to call.
    assert_eq!(node.press(AgentCommand::LogIn), Ok(()));
    assert_eq!(node.status(), (AgentState::LoggedOut, Phone::Down));
}

#[test]
fn another_takes_over_and_the_shift_goes_on() {
    let mut node = Node::on_shift();
    let leg = node.leg();
    node.told.clear();
    node.offer(NEW);
    assert_eq!(node.told, [BrowserCommand::End { browser: OLD }]);
    assert_eq!(node.status(), (AgentState::Ready, Phone::Down));
    assert!(node.was_told("DM3022"));
    // Of the old one nobody wants to hear any more.
    node.down(OLD);
    node.up(NEW);
    let attach = BrowserCommand::Attach { leg, browser: NEW };
    assert_eq!(node.told.last(), Some(&attach));
    node.wait(BROWSER_BACK * 2);
    assert_eq!(node.status(), (AgentState::Ready, Phone::Up));
    assert!(!node.was_told("DM3007"));
}

#[test]
fn a_lost_one_may_come_back_in_time_and_only_then() {
    for late in [false, true] {
        let mut node = Node::on_shift();
        node.down(OLD);
        assert_eq!(node.status(), (AgentState::Ready, Phone::Down));
        // Offers that come to nothing win no time.
        node.wait(BROWSER_BACK / 2);
        node.offer(BrowserId(9));
        let short = Duration::from_millis(1);
        node.wait(BROWSER_BACK / 2 - short);
        if late {
            node.wait(short);
            assert!(node.was_told("DM3007"));
            assert_eq!(node.status(), (AgentState::LoggedOut, Phone::Down));
            assert!(node.ports.is_empty(), "the leg is closed");
            let end = BrowserCommand::End {
                browser: BrowserId(9),
            };
            assert_eq!(node.told.last(), Some(&end));
        } else {
            node.up(BrowserId(9));
            assert_eq!(node.status(), (AgentState::Ready, Phone::Up));
        }
    }
}

#[test]
fn a_closed_page_hangs_up() {
    let mut node = Node::on_shift();
    node.input(Input::BrowserClosed(LI));
    assert_eq!(
        node.told.last(),
        Some(&BrowserCommand::End { browser: OLD })
    );
    assert_eq!(node.status(), (AgentState::LoggedOut, Phone::Down));
    node.input(Input::BrowserClosed(LI));
}

#[test]
fn the_audio_outlives_the_shift() {
    let mut node = Node::on_shift();
    assert_eq!(node.press(AgentCommand::LogOut), Ok(()));
    assert!(node.ports.is_empty(), "the leg is closed");
    node.told.clear();
    assert_eq!(node.press(AgentCommand::LogIn), Ok(()));
    assert_eq!(node.status().1, Phone::Up);
    let leg = node.leg();
    assert_eq!(node.told, [BrowserCommand::Attach { leg, browser: OLD }]);
}

#[test]
fn one_that_says_nothing_for_too_long_is_lost() {
    let mut node = Node::on_shift();
    let silent = MediaEvent::Silent {
        leg: node.leg(),
        span: Duration::from_secs(60),
    };
    node.input(Input::Media(silent));
    assert!(node.was_told("DM3007"));
    assert_eq!(
        node.told.last(),
        Some(&BrowserCommand::End { browser: OLD })
    );
}

#[test]
fn who_may_not_sign_in_has_no_audio() {
    let mut node = Node::new();
    let offer = |agent| Input::BrowserOffered {
        agent,
        browser: OLD,
    };
    assert!(node.engine.handle(node.now, offer(AgentId(7))).is_err());
    node.offer(OLD);
    node.up(OLD);
    node.account(false);
    assert_eq!(node.told, [BrowserCommand::End { browser: OLD }]);
    assert!(node.engine.handle(node.now, offer(LI)).is_err());
}
