//! Links between simulated members, as the mesh's: requests and answers in order of nothing, a
//! broken link noticed within 4 s, and what is in flight then neither surely done nor undone.

use crate::{
    defect::Defect,
    options::Options,
    oracle::Oracle,
    platform::SimPlatform,
    runtime::{Process, draw, draw_up_to, millis, nanos, sleep, spawn_on},
    seen::Happening,
};
use bytes::Bytes;
use consensus::platform::{
    MeshLink, Platform,
    runtime::{AsyncRuntime, Select2},
};
use domain::MemberId;
use mesh::{Priority, RpcError, Service, ServiceError, ServiceId};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// After so long without a word, a link is given up.
const NOTICED: Duration = Duration::from_secs(4);

/// How late a request may come for the second time.
const LATE: Duration = Duration::from_secs(6);
/// The kinds of requests that Raft makes itself; see consensus' protocol.
const RAFTS_OWN: [u8; 7] = [2, 3, 4, 5, 6, 8, 11];

type Answering = (Process, Arc<dyn Service>);

#[derive(Default)]
struct State {
    services: BTreeMap<(MemberId, u16), Answering>,
    /// Nothing passes from one to the other, since that millisecond.
    cut: BTreeMap<(MemberId, MemberId), u64>,
    /// Slow until that millisecond, by so many milliseconds.
    clogged: BTreeMap<(MemberId, MemberId), (u64, u64)>,
    /// Milliseconds of one way at least, drawn once a pair.
    distance: u64,
    loss: u32,
    busy: u32,
    doubled: u32,
    defect: Option<Defect>,
    seen: crate::seen::Seen,
    oracle: Arc<Mutex<Oracle>>,
}

/// All links. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<State>>);

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    pub(crate) fn new(options: &Options, oracle: Arc<Mutex<Oracle>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            distance: options.distance,
            loss: options.loss,
            busy: options.busy,
            doubled: options.doubled,
            defect: options.defect,
            oracle,
            ..State::default()
        })))
    }

    /// A request ended.
    fn ended(&self, from: MemberId, to: MemberId, kind: u8, how: &Result<Bytes, RpcError>) {
        let oracle = Arc::clone(&self.0.lock().oracle);
        let mut oracle = oracle.lock();
        oracle.now = millis();
        let length = how.as_ref().map_or(0, |answer| answer.len() as u64 + 1);
        let words = [8, from.0, to.0, u64::from(kind), length, nanos()];
        oracle.note(&words, || match how {
            Ok(answer) => format!("{from} asks {to} (kind {kind}): {} bytes", answer.len()),
            Err(e) => format!("{from} asks {to} (kind {kind}): {e}"),
        });
    }

    /// A member's way to the others, for one run of its process.
    pub(crate) fn link(&self, member: MemberId, process: Process) -> SimMesh {
        SimMesh {
            network: self.clone(),
            member,
            process,
        }
    }

    /// Nothing passes from one to the other any more.
    pub(crate) fn cut(&self, from: MemberId, to: MemberId) {
        let now = millis();
        self.0.lock().cut.entry((from, to)).or_insert(now);
    }

    pub(crate) fn heal(&self, from: MemberId, to: MemberId) {
        self.0.lock().cut.remove(&(from, to));
    }

    /// Everything passes, at once and surely.
    pub(crate) fn heal_all(&self) {
        let mut state = self.0.lock();
        state.cut.clear();
        state.clogged.clear();
        (state.loss, state.busy, state.doubled) = (0, 0, 0);
    }

    /// Slow by up to so many milliseconds, until then.
    pub(crate) fn clog(&self, from: MemberId, to: MemberId, until: u64, by: u64) {
        self.0.lock().clogged.insert((from, to), (until, by));
    }

    /// The process of a member is gone.
    pub(crate) fn gone(&self, member: MemberId) {
        self.0.lock().services.retain(|(of, _), _| *of != member);
    }

    pub(crate) fn seen(&self) -> crate::seen::Seen {
        self.0.lock().seen
    }

    /// How long a message takes from one to the other, and whether it is lost on the way once.
    fn delay(&self, from: MemberId, to: MemberId) -> Duration {
        let mut state = self.0.lock();
        let jitter = draw(|r| u64::from(r.below(state.distance as u32 + 2)));
        let mut millis_late = state.distance + jitter;
        if draw(|r| r.permille(state.loss)) {
            // Sent again by QUIC.
            state.seen.saw(Happening::Lost);
            millis_late += 200 + u64::from(draw(|r| r.below(1000)));
        }
        if let Some((until, by)) = state.clogged.get(&(from, to)).copied()
            && until > millis()
        {
            state.seen.saw(Happening::CloggedMessages);
            millis_late += u64::from(draw(|r| r.below(by as u32 + 1)));
        }
        // No two messages at the same nanosecond.
        Duration::from_millis(millis_late) + Duration::from_nanos(nanos() % 997)
    }

    /// Since when a link is cut in either direction.
    fn cut_since(&self, a: MemberId, b: MemberId) -> Option<u64> {
        let state = self.0.lock();
        let since = [(a, b), (b, a)].map(|way| state.cut.get(&way).copied());
        since.into_iter().flatten().min()
    }

    /// Waits until a message gets through, or the link is given up.
    async fn pass(&self, from: MemberId, to: MemberId) -> Result<(), ()> {
        sleep(self.delay(from, to)).await;
        loop {
            let since = self.0.lock().cut.get(&(from, to)).copied();
            let Some(since) = since else { return Ok(()) };
            if millis() >= since + NOTICED.as_millis() as u64 {
                return Err(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn saw(&self, what: Happening) {
        self.0.lock().seen.saw(what);
    }
}

/// A member's way to the others.
#[derive(Clone, Debug)]
pub(crate) struct SimMesh {
    network: Network,
    member: MemberId,
    process: Process,
}

impl SimMesh {
    async fn ask(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, RpcError> {
        let broken = |why: &str| RpcError::Broken {
            peer,
            why: why.into(),
        };
        let network = &self.network;
        let given_up = (network.cut_since(self.member, peer))
            .is_some_and(|since| millis() >= since + NOTICED.as_millis() as u64);
        if given_up {
            network.saw(Happening::NotConnected);
            return Err(RpcError::NotConnected { peer });
        }
        let there = |network: &Network| {
            let state = network.0.lock();
            state.services.get(&(peer, service.number)).cloned()
        };
        let Some((expected, _)) = there(network) else {
            return Err(RpcError::NotConnected { peer });
        };
        network
            .pass(self.member, peer)
            .await
            .map_err(|()| broken("no word for 4 s"))?;
        let (process, handler) = match there(network) {
            Some((process, handler)) if process == expected => (process, handler),
            _ => return Err(broken("the other side began anew")),
        };
        if draw(|r| r.permille(network.0.lock().busy)) {
            network.saw(Happening::Busy);
            return Err(RpcError::Busy { peer });
        }
        let (sender, answer) = oneshot::channel();
        let from = self.member;
        if comes_twice(&payload) && draw(|r| r.permille(network.0.lock().doubled)) {
            network.saw(Happening::Doubled);
            let (handler, payload) = (Arc::clone(&handler), payload.clone());
            spawn_on(process, async move {
                sleep(draw_up_to(LATE)).await;
                // Nobody waits for what is answered to it.
                drop(handler.call(from, payload).await);
            });
        }
        // As the mesh does: dropped half-way once the asker's time is over.
        spawn_on(process, async move {
            let called = handler.call(from, payload);
            let timed = <SimPlatform as Platform>::Runtime::timeout(deadline, called);
            if let Ok(result) = timed.await {
                sender.send(result).ok();
            }
        });
        let Ok(result) = answer.await else {
            // Killed, or out of time: nothing is heard for a while.
            sleep(NOTICED).await;
            return Err(broken("no word for 4 s"));
        };
        network
            .pass(peer, self.member)
            .await
            .map_err(|()| broken("the answer was lost"))?;
        result.map_err(|ServiceError { code, message }| RpcError::Service {
            peer,
            code,
            message,
        })
    }
}

impl MeshLink for SimMesh {
    fn member(&self) -> MemberId {
        self.member
    }

    async fn rpc_with(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
        _: Priority,
    ) -> Result<Bytes, RpcError> {
        // The tenth byte says what a group asks; see consensus' protocol.
        let kind = payload.get(9).copied().unwrap_or_default();
        let asked = self.ask(peer, service, payload, deadline);
        let over = sleep(deadline);
        let result = match <SimPlatform as Platform>::Runtime::select2(asked, over).await {
            Select2::First(result) => result,
            Select2::Second(()) => Err(RpcError::Timeout {
                peer,
                after: deadline,
            }),
        };
        let lie = self.network.0.lock().defect == Some(Defect::BrokenToldAsUnsent);
        self.network.ended(self.member, peer, kind, &result);
        match result {
            Err(RpcError::Broken { .. } | RpcError::Timeout { .. }) if lie => {
                Err(RpcError::NotConnected { peer })
            }
            result => result,
        }
    }

    fn serve(&self, service: ServiceId, handler: impl Service) {
        let answering: Answering = (self.process, Arc::new(handler));
        let mut state = self.network.0.lock();
        (state.services).insert((self.member, service.number), answering);
    }
}

/// Whether Raft itself asks: of that it must bear any number. What a client proposes comes once.
fn comes_twice(payload: &[u8]) -> bool {
    payload.get(9).is_some_and(|kind| RAFTS_OWN.contains(kind))
}

/// Pairs of members, both ways.
pub(crate) fn others(all: &BTreeSet<MemberId>, one: MemberId) -> Vec<MemberId> {
    all.iter().copied().filter(|m| *m != one).collect()
}

/// Up to `most` milliseconds, drawn.
pub(crate) fn drawn_millis(most: u64) -> Duration {
    draw_up_to(Duration::from_millis(most))
}
