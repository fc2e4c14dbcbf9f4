//! A supervisor on a SIP phone in real calls: every party speaks a tone of its own, and each one's own ears
//! tell what was heard. The person's are the carrier's: a whisper must never be among it.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/floor.rs"]
mod floor;

use domain::{AgentId, AttemptId, LiveFloor, Supervision, SupervisionOrder, SupervisionRefusal};
use floor::{Floor, persons_tones};
use member::{LIVE_CALLS, SUPERVISE, decode, encode};
use serde_json::json;
use simulations::{
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig, PhoneHandle},
};
use std::time::{Duration, Instant};

const BOSS: &str = "boss";
/// How long the node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

async fn phone(floor: &Floor, rtp: &RtpThread, login: &str) -> PhoneHandle {
    let registrar = ([127, 0, 0, 1], floor.city.agents).into();
    let config = PhoneConfig::new(login, "secret", registrar);
    let phone = Phone::start(config, rtp.clone()).await.unwrap();
    let mut status = phone.status();
    let known = status.wait_for(|s| s.registered);
    let known = tokio::time::timeout(Duration::from_secs(20), known).await;
    known.expect("the phone registers").unwrap();
    phone
}

/// Asks the node as a coordinator does.
async fn order(
    floor: &Floor,
    call: AttemptId,
    seat: AgentId,
    manner: Option<Supervision>,
) -> Result<(), SupervisionRefusal> {
    let order = SupervisionOrder { call, seat, manner };
    let endpoint = floor.founder.member.endpoint();
    let answer = endpoint
        .rpc(floor.node, SUPERVISE, encode(&order), ANSWER)
        .await;
    decode(&answer.unwrap()).unwrap()
}

async fn live(floor: &Floor) -> LiveFloor {
    let endpoint = floor.founder.member.endpoint();
    let answer = endpoint
        .rpc(floor.node, LIVE_CALLS, encode(&()), ANSWER)
        .await;
    decode(&answer.unwrap()).unwrap()
}

/// Somebody at the agents' desks: two phones with tones, two screens.
struct Desks {
    floor: Floor,
    agent: PhoneHandle,
    boss: PhoneHandle,
    boss_screen: common::Screen,
    seat: AgentId,
}

impl Desks {
    /// What the agent's and the supervisor's phones hear, once what was ordered has taken hold.
    async fn heard(&mut self) -> (Vec<u32>, Vec<u32>) {
        self.sit(700).await;
        let from = Instant::now();
        self.sit(2_500).await;
        let to = Instant::now();
        let heard = |phone: &PhoneHandle| phone.heard_between(from, to);
        (heard(&self.agent), heard(&self.boss))
    }

    async fn sit(&mut self, millis: u64) {
        let span = Duration::from_millis(millis);
        tokio::join!(self.floor.screen.sit(span), self.boss_screen.sit(span));
    }

    async fn next_call(&mut self) -> AttemptId {
        let call = (self.floor.screen)
            .wait("a person is on the line", |n| n["type"] == "call")
            .await;
        call["attempt"].as_str().unwrap().parse().unwrap()
    }

    async fn order(
        &self,
        call: AttemptId,
        manner: impl Into<Option<Supervision>>,
    ) -> Result<(), SupervisionRefusal> {
        order(&self.floor, call, self.seat, manner.into()).await
    }

    async fn end_call(&mut self) {
        self.floor.screen.press(json!({"type": "hang_up"})).await;
        (self.floor.screen)
            .wait("wrap-up", |n| n["state"] == "wrap_up")
            .await;
    }
}

async fn desks() -> Desks {
    let mut floor = Floor::new().await;
    let rtp = RtpThread::start("phones").unwrap();
    let agent = phone(&floor, &rtp, "li").await;
    let (seat, mut boss_screen) = floor.hire(BOSS, "dmag_boss").await;
    let boss = phone(&floor, &rtp, BOSS).await;
    for screen in [&mut floor.screen, &mut boss_screen] {
        screen.press(json!({"type": "log_in"})).await;
        screen.wait("the leg is up", |n| n["phone"] == "up").await;
    }
    floor.screen.press(json!({"type": "ready"})).await;
    floor.dial().await;
    Desks {
        floor,
        agent,
        boss,
        boss_screen,
        seat,
    }
}

/// The tones of these, in order.
fn tones(of: &[u32]) -> Vec<u32> {
    let mut tones = of.to_vec();
    tones.sort_unstable();
    tones
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_listens_whispers_barges_and_leaves() {
    let mut desks = desks().await;
    let (li, boss) = (desks.agent.tone(), desks.boss.tone());
    let seat = desks.seat;
    let first = desks.next_call().await;
    let floor = live(&desks.floor).await;
    assert_eq!((floor.calls.len(), floor.seats), (1, vec![seat]));
    assert_eq!(floor.calls[0].attempt, first);

    // Listening: the supervisor hears both, and the agent nothing of it.
    desks.order(first, Supervision::Listen).await.unwrap();
    let (agent, supervisor) = desks.heard().await;
    let [person] = agent[..] else {
        panic!("the agent hears the person: {agent:?}")
    };
    assert!(persons_tones().contains(&f64::from(person)), "{person}");
    assert_eq!(supervisor, tones(&[li, person]));

    // Whispering: the agent hears the supervisor as well.
    desks.order(first, Supervision::Whisper).await.unwrap();
    let (agent, supervisor) = desks.heard().await;
    assert_eq!(agent, tones(&[person, boss]));
    assert_eq!(supervisor, tones(&[li, person]));
    let there = live(&desks.floor).await.calls[0].supervisors.clone();
    assert_eq!(there, [(seat, Supervision::Whisper)]);
    what_is_refused(&desks, first).await;

    // The call ends under the whisper; the supervisor's leg stays for the next one.
    desks.end_call().await;
    assert_eq!(
        live(&desks.floor).await,
        LiveFloor {
            seats: vec![seat],
            ..LiveFloor::default()
        }
    );
    let sale = json!({"type": "dispose", "disposition": "sale", "note": ""});
    desks.floor.screen.press(sale).await;
    let second = desks.next_call().await;
    let (agent, supervisor) = desks.heard().await;
    let [other] = agent[..] else {
        panic!("the agent hears another person: {agent:?}")
    };
    assert!(supervisor.is_empty(), "in no call: {supervisor:?}");
    assert_ne!(other, person);

    // Barging in: both hear the supervisor; then the supervisor is out again.
    desks.order(second, Supervision::Barge).await.unwrap();
    let (agent, supervisor) = desks.heard().await;
    assert_eq!(agent, tones(&[other, boss]));
    assert_eq!(supervisor, tones(&[li, other]));
    desks.order(second, None::<Supervision>).await.unwrap();
    let (agent, supervisor) = desks.heard().await;
    assert_eq!((agent, supervisor), (vec![other], vec![]));
    let out = desks.order(second, None::<Supervision>).await;
    assert_eq!(out, Err(SupervisionRefusal::NotThere));

    // A supervisor who wants calls, or whose phone is hung up, is in none of others.
    desks.order(second, Supervision::Listen).await.unwrap();
    desks.boss.hang_up().await;
    (desks.boss_screen)
        .wait("the leg is lost", |n| n["state"] == "logged_out")
        .await;
    let after = live(&desks.floor).await;
    assert_eq!(
        (after.calls[0].supervisors.len(), after.seats.len()),
        (0, 0)
    );
    assert_eq!(desks.heard().await.0, vec![other], "the call goes on");
    desks.end_call().await;

    // The carrier's own ears, of whole calls: never the whisper, the barge in its call.
    let heard = desks.floor.what_persons_heard().await;
    let of = |tone| {
        let found = heard.iter().find(|(spoken, _)| *spoken == tone);
        &found.expect("the person was called").1
    };
    assert_eq!(of(person).heard, vec![li], "{:?}", of(person));
    assert_eq!(of(other).heard, tones(&[li, boss]), "{:?}", of(other));
    for person in [person, other] {
        let audio = of(person);
        assert_eq!(audio.lost, 0, "no packet of ours is missing: {audio:?}");
    }
}

/// Orders that a node does not follow, while somebody whispers: nothing of it changes.
async fn what_is_refused(desks: &Desks, call: AttemptId) {
    let floor = &desks.floor;
    let listen = Some(Supervision::Listen);
    let unknown = order(floor, AttemptId(1), desks.seat, listen).await;
    assert_eq!(unknown, Err(SupervisionRefusal::NotLive));
    let busy = order(floor, call, floor.agent("li"), listen).await;
    assert_eq!(busy, Err(SupervisionRefusal::TakesCalls));
    let nobody = order(floor, call, AgentId(999), listen).await;
    assert_eq!(nobody, Err(SupervisionRefusal::OtherNode));
    let out = order(floor, call, floor.agent("li"), None).await;
    assert_eq!(out, Err(SupervisionRefusal::NotThere));
    let there = live(floor).await.calls[0].supervisors.clone();
    assert_eq!(there, [(desks.seat, Supervision::Whisper)]);
}
