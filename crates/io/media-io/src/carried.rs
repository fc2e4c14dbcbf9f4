//! Calls whose other side is at another node: legs with the mesh in the place of a socket.
//!
//! A datagram between two nodes is a kind (1 byte), the call's number (8, big-endian) and an RTP packet.
//! It comes in by a queue that any thread fills ([`CarriedGate`]) and goes out by a function that must not
//! wait ([`CarriedSink`]). In between it is a leg's packet like any other: bridged, mixed, recorded,
//! counted.

use bytes::Bytes;
use domain::{CarriedCall, MemberId, Now, limits};
use media::{CARRIED_EVENT, CarryCommand, Exchange, MediaCommand};
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{browser::NOWHERE, relay::Shared};

/// An RTP packet follows.
const RTP: u8 = 1;
/// Bytes before it.
const HEAD: usize = 9;

/// Takes a datagram for another node, on the relay's thread; must not wait. False when it was not taken.
pub type CarriedSink = Box<dyn Fn(MemberId, &[u8]) -> bool + Send + Sync>;

/// What the relay's thread and others share.
#[derive(Default)]
pub(crate) struct Wires {
    /// Datagrams that came. Held for a push, or for taking all of them away.
    came: Mutex<VecDeque<(MemberId, Bytes)>>,
    waiting: AtomicBool,
    sink: OnceLock<CarriedSink>,
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wires").finish_non_exhaustive()
    }
}

/// Where other nodes' datagrams reach the relay. Clones share it.
#[derive(Clone, Debug)]
pub struct CarriedGate(pub(crate) Arc<Shared>);

impl CarriedGate {
    /// Where datagrams for other nodes go from here on. Said once; without it none leave.
    pub fn send_by(&self, sink: CarriedSink) {
        // The first stays.
        let _again = self.0.wires.sink.set(sink).is_err();
    }

    /// Gives the relay a datagram of another node's. Where [`limits::CARRIED_PACKETS`] wait, the oldest
    /// is dropped.
    pub fn offer(&self, from: MemberId, datagram: Bytes) {
        let wires = &self.0.wires;
        let dropped = {
            let mut came = wires.came.lock().unwrap_or_else(PoisonError::into_inner);
            let full = came.len() >= limits::CARRIED_PACKETS;
            let dropped = if full { came.pop_front() } else { None };
            came.push_back((from, datagram));
            dropped
        };
        if dropped.is_some() {
            dropped_as("late").increment(1);
        }
        if !wires.waiting.swap(true, Ordering::AcqRel) {
            self.0.wake.notify();
        }
    }
}

/// Why a datagram was dropped, as it is counted.
fn dropped_as(why: &'static str) -> Counter {
    counter!("dialmesh_carried_dropped_total", "reason" => why)
}

/// One carried leg.
#[derive(Clone, Copy, Debug)]
struct Carried {
    peer: MemberId,
    call: CarriedCall,
}

/// All carried legs of the relay.
#[derive(Debug)]
pub(crate) struct Carriage {
    wires: Arc<Wires>,
    /// By the place of their port.
    legs: Vec<Option<Carried>>,
    places: HashMap<(MemberId, CarriedCall), usize>,
    /// Taken from the gate; kept for its room.
    taken: VecDeque<(MemberId, Bytes)>,
    received: Counter,
    sent: Counter,
    /// Of no call that is known here, and no packet of one.
    unknown: Counter,
    malformed: Counter,
    unsent: Counter,
    open: Gauge,
}

impl Carriage {
    pub(crate) fn new(wires: Arc<Wires>, places: usize) -> Self {
        describe_counter!(
            "dialmesh_carried_packets_total",
            "Packets of calls whose other side is at another node, by direction: in, out."
        );
        describe_counter!(
            "dialmesh_carried_dropped_total",
            "Packets of such calls that were dropped, by reason: unknown call, malformed, late (the relay did not keep up), unsent (the mesh took it not)."
        );
        describe_gauge!(
            "dialmesh_carried_legs",
            "Legs whose other side is at another node."
        );
        let packets =
            |way: &'static str| counter!("dialmesh_carried_packets_total", "direction" => way);
        Self {
            wires,
            legs: vec![None; places],
            places: HashMap::new(),
            taken: VecDeque::with_capacity(limits::CARRIED_PACKETS),
            received: packets("in"),
            sent: packets("out"),
            unknown: dropped_as("unknown"),
            malformed: dropped_as("malformed"),
            unsent: dropped_as("unsent"),
            open: gauge!("dialmesh_carried_legs"),
        }
    }

    /// Follows the engine's word.
    pub(crate) fn follow(&mut self, now: Now, exchange: &mut Exchange, command: CarryCommand) {
        let CarryCommand::Attach {
            leg,
            peer,
            call,
            codec,
        } = command;
        // It may have ended while the command was on its way.
        let Some(place) = exchange.place_of(leg) else {
            return;
        };
        self.release(place);
        self.legs[place] = Some(Carried { peer, call });
        if let Some(before) = self.places.insert((peer, call), place) {
            self.legs[before] = None;
        }
        self.open.set(self.places.len() as f64);
        let command = MediaCommand::SetRemote {
            leg,
            addr: NOWHERE,
            rtcp: None,
            codec,
            telephone_event: Some(CARRIED_EVENT),
            send: true,
            symmetric: false,
        };
        if let Err(reason) = exchange.handle(now, command) {
            tracing::warn!(?command, %reason, "a carried leg was not changed");
        }
    }

    /// The leg at `place` is closed.
    pub(crate) fn release(&mut self, place: usize) {
        if let Some(Carried { peer, call }) = self.legs[place].take() {
            self.places.remove(&(peer, call));
            self.open.set(self.places.len() as f64);
        }
    }

    /// Whether the leg at `place` is carried: then its packets go through [`Self::send`].
    pub(crate) fn speaks_for(&self, place: usize) -> bool {
        self.legs[place].is_some()
    }

    /// Sends an RTP packet of the leg at `place` to the other node.
    pub(crate) fn send(&self, exchange: &mut Exchange, place: usize, packet: &[u8]) {
        let Some(Carried { peer, call }) = self.legs[place] else {
            return;
        };
        let mut datagram = [0; limits::MESH_DATAGRAM_BYTES];
        let len = HEAD + packet.len();
        let taken = len <= datagram.len() && {
            datagram[0] = RTP;
            datagram[1..HEAD].copy_from_slice(&call.0.to_be_bytes());
            datagram[HEAD..len].copy_from_slice(packet);
            let sink = self.wires.sink.get();
            sink.is_some_and(|sink| sink(peer, &datagram[..len]))
        };
        if taken {
            self.sent.increment(1);
        } else {
            self.unsent.increment(1);
            exchange.unsent(place, 1);
        }
    }

    /// Takes the datagrams that came; to be given back with [`Self::put_back`].
    pub(crate) fn take(&mut self) -> VecDeque<(MemberId, Bytes)> {
        let mut taken = std::mem::take(&mut self.taken);
        let wires = &self.wires;
        if wires.waiting.swap(false, Ordering::AcqRel) {
            let mut came = wires.came.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *came, &mut taken);
        }
        taken
    }

    pub(crate) fn put_back(&mut self, mut taken: VecDeque<(MemberId, Bytes)>) {
        taken.clear();
        self.taken = taken;
    }

    /// Whose packet a datagram is: the leg's place, and the packet.
    pub(crate) fn read<'a>(&self, from: MemberId, datagram: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let Some((&[RTP, a, b, c, d, e, f, g, h], packet)) = datagram.split_first_chunk::<HEAD>()
        else {
            self.malformed.increment(1);
            return None;
        };
        let call = CarriedCall(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        match self.places.get(&(from, call)) {
            Some(place) => {
                self.received.increment(1);
                Some((*place, packet))
            }
            None => {
                self.unknown.increment(1);
                None
            }
        }
    }
}
