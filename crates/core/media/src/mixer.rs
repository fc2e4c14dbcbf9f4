//! The mixer: some parties, of whom each hears those that it may, never itself.
//!
//! G.711 comes in as it arrives, in packets of any length; every 20 ms [`Mixer::tick`] takes one frame
//! of each party, and [`Mixer::mix`] gives a party the saturated sum of those that it hears. Between the
//! two stands a queue of samples a party: it holds the newest packet and at most two frames, so that
//! nobody is delayed for long; a party that has too little is silent for a frame. Memory is taken when a
//! party joins, never for a packet.

use domain::{Codec, limits};

use crate::g711::{self, FRAME};

/// Samples of one packet that are taken: its last 120 ms.
pub const PACKET: usize = 960;
/// Samples beside the newest packet that wait at most.
const AHEAD: usize = 2 * FRAME;
/// Samples of the queue.
const QUEUE: usize = PACKET + AHEAD;
/// Silent frames after which a rest shorter than a frame is of no use any more.
const IDLE: u8 = 5;

/// Names a party of a mixer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party(u8);

impl Party {
    fn place(self) -> usize {
        usize::from(self.0)
    }

    fn bit(self) -> u8 {
        1 << self.0
    }
}

const _: () = assert!(limits::MIX_PARTIES <= 8, "a byte says who hears whom");

/// One party's voice on its way.
#[derive(Debug)]
struct Voice {
    queue: [i16; QUEUE],
    first: usize,
    waiting: usize,
    /// Samples that must wait before it begins: its newest packet, a frame at least.
    wanted: usize,
    /// It spoke in the frame before.
    flows: bool,
    idle: u8,
    frame: [i16; FRAME],
    /// There is something in `frame`.
    speaks: bool,
    /// Whom this party hears, a bit each.
    hears: u8,
    newest: Option<(u32, u64)>,
}

impl Voice {
    fn new() -> Self {
        Self {
            queue: [0; QUEUE],
            first: 0,
            waiting: 0,
            wanted: FRAME,
            flows: false,
            idle: 0,
            frame: [0; FRAME],
            speaks: false,
            hears: 0,
            newest: None,
        }
    }

    fn drop_oldest(&mut self, samples: usize) {
        let samples = samples.min(self.waiting);
        self.first = (self.first + samples) % QUEUE;
        self.waiting -= samples;
    }

    fn put(&mut self, codec: Codec, payload: &[u8]) {
        let payload = &payload[payload.len().saturating_sub(PACKET)..];
        if payload.is_empty() {
            return;
        }
        self.wanted = payload.len().max(FRAME);
        if self.waiting > AHEAD {
            // More than a sender's clock and the network explain: what is left is a frame.
            self.drop_oldest(self.waiting - FRAME);
        }
        let mut at = (self.first + self.waiting) % QUEUE;
        for code in payload {
            self.queue[at] = g711::decode(codec, *code);
            at = (at + 1) % QUEUE;
        }
        self.waiting += payload.len();
    }

    fn take_frame(&mut self) {
        let least = if self.flows { FRAME } else { self.wanted };
        self.speaks = self.waiting >= least;
        self.flows = self.speaks;
        if self.speaks {
            for (n, sample) in self.frame.iter_mut().enumerate() {
                *sample = self.queue[(self.first + n) % QUEUE];
            }
            self.drop_oldest(FRAME);
            self.idle = 0;
            return;
        }
        self.idle = self.idle.saturating_add(1);
        if self.idle >= IDLE && self.waiting < FRAME {
            self.drop_oldest(self.waiting);
        }
    }
}

/// Up to [`limits::MIX_PARTIES`] parties.
#[derive(Debug, Default)]
pub struct Mixer {
    voices: [Option<Box<Voice>>; limits::MIX_PARTIES],
}

impl Mixer {
    /// A party more, whom nobody hears and who hears nobody; none when there is no place.
    pub fn join(&mut self) -> Option<Party> {
        let place = self.voices.iter().position(Option::is_none)?;
        self.voices[place] = Some(Box::new(Voice::new()));
        Some(Party(place as u8))
    }

    /// A party goes; nobody hears what it said last.
    pub fn leave(&mut self, party: Party) {
        self.voices[party.place()] = None;
        for voice in self.voices.iter_mut().flatten() {
            voice.hears &= !party.bit();
        }
    }

    /// How many there are.
    pub fn parties(&self) -> usize {
        self.voices.iter().flatten().count()
    }

    /// Whether `listener` hears `speaker` from here on. Nobody hears itself, whatever is said.
    pub fn set_hears(&mut self, listener: Party, speaker: Party, hears: bool) {
        if let Some(voice) = self.voice(listener) {
            match hears && listener != speaker {
                true => voice.hears |= speaker.bit(),
                false => voice.hears &= !speaker.bit(),
            }
        }
    }

    /// A packet of a party's sound. One that is older than the one before, of the same stream, comes
    /// too late.
    pub fn say(
        &mut self,
        party: Party,
        codec: Codec,
        (stream, extended): (u32, u64),
        sound: &[u8],
    ) {
        let Some(voice) = self.voice(party) else {
            return;
        };
        match voice.newest {
            Some((known, newest)) if known == stream && extended <= newest => {}
            _ => {
                voice.newest = Some((stream, extended));
                voice.put(codec, sound);
            }
        }
    }

    /// Takes the next frame of every party.
    pub fn tick(&mut self) {
        for voice in self.voices.iter_mut().flatten() {
            voice.take_frame();
        }
    }

    /// What a party hears of the present frame.
    pub fn mix(&self, listener: Party, codec: Codec, into: &mut [u8; FRAME]) {
        let hears = self.voices[listener.place()]
            .as_ref()
            .map_or(0, |v| v.hears);
        let mut sum = [0i32; FRAME];
        for (place, voice) in self.voices.iter().enumerate() {
            let Some(voice) = voice else { continue };
            if voice.speaks && hears & (1 << place) != 0 {
                for (sum, sample) in sum.iter_mut().zip(&voice.frame) {
                    *sum += i32::from(*sample);
                }
            }
        }
        for (code, sum) in into.iter_mut().zip(sum) {
            let sample = sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            *code = g711::encode(codec, sample);
        }
    }

    fn voice(&mut self, party: Party) -> Option<&mut Voice> {
        self.voices[party.place()].as_deref_mut()
    }
}

#[cfg(test)]
mod tests;
