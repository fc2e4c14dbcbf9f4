//! Bridges that others are in: supervisors who listen, whisper or barge.
//!
//! Only who needs it hears a mix. A bridge to which somebody merely listens is carried on packet by
//! packet; while somebody whispers, the agent's leg alone is fed by the mixer, and the person's stream
//! goes on as it was. What the person hears is a mix only while somebody barges in.

use domain::{Codec, LegId, Supervision, limits};
use std::collections::btree_map::Entry;

use super::{Exchange, Taped, Transmit, leg::Leg, ticks::Job};
use crate::{
    command::Rejected,
    g711::{self, FRAME},
    mixer::{Mixer, Party},
    recorder::Channel,
    rtp::HEADER,
};

/// Names the stream of mixed frames to a recording: no peer's stream has this number.
const MIXED: u32 = u32::MAX;

/// A leg that is in a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct InRoom {
    /// The place of the room's agent.
    pub(super) room: usize,
    pub(super) party: Party,
    /// What it says goes to the mixer.
    pub(super) speaks: bool,
    /// It hears the mixer, and nothing of its bridge.
    pub(super) hears: bool,
    /// Its bridge's other side hears the mixer: what is recorded of it is that.
    pub(super) taped_as_mixed: bool,
    /// The next frame starts a talkspurt.
    onset: bool,
}

/// A bridge with its supervisors.
#[derive(Debug)]
pub(super) struct Room {
    mixer: Mixer,
    agent: (usize, Party),
    person: (usize, Party),
    supervisors: Vec<(usize, Party, Supervision)>,
}

impl Room {
    /// Of the bridge of an agent's and a person's legs.
    fn new(agent: usize, person: usize) -> Option<Self> {
        let mut mixer = Mixer::default();
        let (first, second) = (mixer.join()?, mixer.join()?);
        Some(Self {
            mixer,
            agent: (agent, first),
            person: (person, second),
            supervisors: Vec::with_capacity(limits::CALL_SUPERVISORS),
        })
    }
}

impl Exchange {
    /// Lets a leg into the bridge of an agent's leg, or changes how it is there.
    pub(super) fn supervise(
        &mut self,
        leg: LegId,
        agent: LegId,
        manner: Supervision,
    ) -> Result<(), Rejected> {
        let (place, agent) = (self.place(leg)?, self.place(agent)?);
        let person = self.leg(agent)?.bridged.ok_or(Rejected::NotBridged)?.with;
        let listener = self.leg(place)?;
        if listener.bridged.is_some() {
            return Err(Rejected::Bridged);
        }
        match listener.mix {
            Some(mix) if mix.room != agent => return Err(Rejected::Supervises),
            Some(_) => {
                let room = self.rooms.get_mut(&agent).ok_or(Rejected::NotSupervised)?;
                let known = room.supervisors.iter_mut().find(|s| s.0 == place);
                known.ok_or(Rejected::NotSupervised)?.2 = manner;
            }
            None => self.join_room(place, (agent, person), manner)?,
        }
        self.stop_play(place, false);
        self.tune(agent);
        Ok(())
    }

    fn join_room(
        &mut self,
        place: usize,
        (agent, person): (usize, usize),
        manner: Supervision,
    ) -> Result<(), Rejected> {
        let room = match self.rooms.entry(agent) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(Room::new(agent, person).ok_or(Rejected::RoomFull)?),
        };
        let party = room.mixer.join().ok_or(Rejected::RoomFull)?;
        room.supervisors.push((place, party, manner));
        Ok(())
    }

    /// A leg goes out of the room that it supervises.
    pub(super) fn leave_room(&mut self, leg: LegId) -> Result<(), Rejected> {
        let place = self.place(leg)?;
        let mix = self.leg(place)?.mix.ok_or(Rejected::NotSupervised)?;
        let room = (self.rooms.get_mut(&mix.room)).ok_or(Rejected::NotSupervised)?;
        let known = room.supervisors.iter().position(|s| s.0 == place);
        room.supervisors
            .swap_remove(known.ok_or(Rejected::NotSupervised)?);
        room.mixer.leave(mix.party);
        let empty = room.supervisors.is_empty();
        self.set_mix(place, None);
        match empty {
            true => self.end_room(mix.room),
            false => self.tune(mix.room),
        }
        Ok(())
    }

    /// The bridge of an agent's leg at `agent` ends, or nobody supervises it any more.
    pub(super) fn end_room(&mut self, agent: usize) {
        let Some(room) = self.rooms.remove(&agent) else {
            return;
        };
        let supervisors = room.supervisors.iter().map(|s| s.0);
        for place in [room.agent.0, room.person.0].into_iter().chain(supervisors) {
            self.set_mix(place, None);
        }
    }

    /// Who hears whom, and whose stream is the mixer's.
    fn tune(&mut self, agent: usize) {
        let Some(room) = self.rooms.get_mut(&agent) else {
            return;
        };
        let (ours, theirs) = (room.agent.1, room.person.1);
        let mixer = &mut room.mixer;
        mixer.set_hears(ours, theirs, true);
        mixer.set_hears(theirs, ours, true);
        let (mut whispered, mut barged) = (false, false);
        for (_, party, manner) in &room.supervisors {
            let said = *manner != Supervision::Listen;
            let open = *manner == Supervision::Barge;
            (whispered, barged) = (whispered | said, barged | open);
            mixer.set_hears(ours, *party, said);
            mixer.set_hears(theirs, *party, open);
            mixer.set_hears(*party, ours, true);
            mixer.set_hears(*party, theirs, true);
            for (_, other, _) in &room.supervisors {
                mixer.set_hears(*other, *party, said);
            }
        }
        let seat = |party, speaks, hears, taped_as_mixed| InRoom {
            room: agent,
            party,
            speaks,
            hears,
            taped_as_mixed,
            onset: true,
        };
        let mut seats = [None; limits::MIX_PARTIES];
        seats[0] = Some((room.agent.0, seat(ours, true, whispered, barged)));
        seats[1] = Some((room.person.0, seat(theirs, true, barged, false)));
        for (entry, (place, party, manner)) in seats[2..].iter_mut().zip(&room.supervisors) {
            let said = *manner != Supervision::Listen;
            *entry = Some((*place, seat(*party, said, true, false)));
        }
        for (place, mix) in seats.into_iter().flatten() {
            self.set_mix(place, Some(mix));
        }
    }

    fn set_mix(&mut self, place: usize, mix: Option<InRoom>) {
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_deref_mut) else {
            return;
        };
        let hears = |mix: Option<InRoom>| mix.is_some_and(|mix| mix.hears);
        let (before, after) = (hears(leg.mix), hears(mix));
        let onset = leg.mix.is_none_or(|mix| mix.onset);
        leg.mix = mix;
        match (before, after) {
            // The stream goes on without a step.
            (true, true) => {
                if let Some(mix) = &mut leg.mix {
                    mix.onset = onset;
                }
            }
            (false, false) => {}
            _ => leg.outgoing.break_off(),
        }
    }

    /// The room of a bridge whose legs are at these places.
    pub(super) fn end_room_of(&mut self, place: usize, with: usize) {
        self.end_room(place);
        self.end_room(with);
    }

    /// Sound of a leg that is in a room and is heard there.
    pub(super) fn hear_in_room(&mut self, mix: InRoom, codec: Codec, of: (u32, u64), sound: &[u8]) {
        if let Some(room) = self.rooms.get_mut(&mix.room) {
            room.mixer.say(mix.party, codec, of, sound);
        }
    }

    /// A tick of every room: one frame to each who hears it.
    pub(super) fn tick_rooms(&mut self) {
        for (agent, room) in &self.rooms {
            self.jobs.push_back(Job::Mix(*agent));
            let supervisors = room.supervisors.iter().map(|s| s.0);
            for place in [room.agent.0, room.person.0].into_iter().chain(supervisors) {
                let leg = self.legs[place].as_deref();
                if leg.and_then(|leg| leg.mix).is_some_and(|mix| mix.hears) {
                    self.jobs.push_back(Job::Mixed(place));
                }
            }
        }
    }

    /// The next frame of a room.
    pub(super) fn mix(&mut self, agent: usize) {
        if let Some(room) = self.rooms.get_mut(&agent) {
            room.mixer.tick();
        }
    }

    /// A frame of what the leg at `place` hears in its room.
    pub(super) fn mixed(&mut self, place: usize, buffer: &mut [u8]) -> Option<Transmit> {
        let now = self.ticks.now();
        let leg: &mut Leg = self.legs[place].as_deref_mut()?;
        let mix = leg.mix.as_mut().filter(|mix| mix.hears)?;
        let remote = leg.remote.as_ref()?;
        if leg.playing.is_some() || !leg.keys.is_empty() || !remote.send {
            mix.onset = true;
            return None;
        }
        let room = self.rooms.get(&mix.room)?;
        let (codec, onset) = (remote.codec, std::mem::take(&mut mix.onset));
        let to = remote.lock.target();
        let payload_type = g711::payload_type(codec);
        let header = leg.outgoing.own(now, onset, payload_type, FRAME as u32);
        header.write(buffer.first_chunk_mut()?);
        (room.mixer).mix(mix.party, codec, buffer[HEADER..].first_chunk_mut()?);
        // The agent's side of a recording is what the person is sent.
        let agent = room.agent.0;
        if place == room.person.0 {
            let tape = self.legs[agent]
                .as_deref()
                .and_then(|leg| leg.bridged?.tape);
            self.taped = tape
                .filter(|tape| !tape.paused && tape.channel == Channel::Agent)
                .map(|tape| Taped {
                    recording: tape.recording,
                    channel: tape.channel,
                    codec,
                    stream: MIXED,
                    timestamp: header.timestamp,
                    payload: HEADER..HEADER + FRAME,
                });
        }
        self.count_own(place, to)
    }

    /// Bridges that somebody supervises now, and those who do.
    pub fn supervised(&self) -> (usize, usize) {
        let supervisors = self.rooms.values().map(|room| room.supervisors.len());
        (self.rooms.len(), supervisors.sum())
    }
}
