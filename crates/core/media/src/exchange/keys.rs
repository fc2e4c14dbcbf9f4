//! Keys that are sent to a leg's peer: as telephone events (RFC 4733) where it understands them, else as
//! the two tones of each (ITU-T Q.23). While they are sent, the peer hears nothing else.

use domain::{Codec, Key, limits};
use std::{collections::VecDeque, time::Duration};

use super::{Exchange, Transmit, ticks::write_frame};
use crate::{
    dtmf::{self, EVENT_BYTES, Event},
    g711::{self, FRAME},
    rtp::HEADER,
};

/// Ticks of a key's sound: 120 ms.
const SOUND: u32 = 6;
/// How often the end of an event is said, since one packet may be lost (RFC 4733, 2.5.1.4).
const ENDS: u32 = 3;
/// Ticks of a key with the silence behind it.
const WHOLE: u32 = (limits::KEY.as_millis() / Duration::from_millis(20).as_millis()) as u32;
/// Power of an event's tones below 0 dBm0.
const VOLUME: u8 = 10;

const _: () = assert!(
    SOUND - 1 + ENDS < WHOLE,
    "a key ends before the next begins"
);

/// A leg's keys that wait, the one that is being sent first.
#[derive(Debug, Default)]
pub(super) struct KeysOut {
    waiting: VecDeque<Key>,
    /// Of the first one.
    tick: u32,
    /// The payload type of the first one's events; none for tones.
    event: Option<u8>,
}

impl KeysOut {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Exchange {
    /// Has a key sent to the peer of the leg at `place`; false when as many wait as may.
    pub(super) fn send_key(&mut self, place: usize, key: Key) -> bool {
        let leg = self.leg_mut(place);
        // Twice what an agent may have waiting: a relay that lags is not to lose a key.
        if leg.keys.waiting.len() >= 2 * limits::KEYS_WAITING {
            return false;
        }
        leg.keys.waiting.push_back(key);
        self.keying.insert(place);
        true
    }

    /// The next packet of the key that is being sent, if this tick has one.
    pub(super) fn key(&mut self, place: usize, buffer: &mut [u8]) -> Option<Transmit> {
        let now = self.ticks.now();
        let leg = self.legs[place].as_deref_mut()?;
        let key = *leg.keys.waiting.front()?;
        // Where nothing may be sent for now it waits.
        let remote = leg.remote.as_ref().filter(|remote| remote.send)?;
        let (codec, to) = (remote.codec, remote.lock.target());
        let tick = leg.keys.tick;
        if tick == 0 {
            leg.keys.event = remote.telephone_event;
        }
        let event = leg.keys.event;
        leg.keys.tick += 1;
        if leg.keys.tick == WHOLE {
            leg.keys.waiting.pop_front();
            leg.keys.tick = 0;
            if leg.keys.is_empty() {
                self.keying.remove(&place);
                leg.outgoing.break_off();
            }
        }
        match event {
            Some(payload_type) => {
                if tick >= SOUND - 1 + ENDS {
                    return None;
                }
                let header =
                    (leg.outgoing).event(now, tick == 0, payload_type, SOUND * FRAME as u32);
                let event = Event {
                    code: key.event(),
                    end: tick + 1 >= SOUND,
                    volume: VOLUME,
                    duration: ((tick + 1).min(SOUND) * FRAME as u32) as u16,
                };
                header.write(buffer.first_chunk_mut()?);
                buffer[HEADER..HEADER + EVENT_BYTES].copy_from_slice(&event.bytes());
                self.count_sent(place, to, EVENT_BYTES)
            }
            None => {
                let payload_type = g711::payload_type(codec);
                let header = leg.outgoing.own(now, tick == 0, payload_type, FRAME as u32);
                write_frame(buffer, &header, |payload| match tick < SOUND {
                    true => tone(codec, key, tick, payload),
                    false => payload.fill(g711::silence(codec)),
                });
                self.count_own(place, to)
            }
        }
    }
}

/// A frame of a key's two tones, the `tick`-th.
fn tone(codec: Codec, key: Key, tick: u32, payload: &mut [u8]) {
    let phase = u64::from(tick) * FRAME as u64;
    let samples = dtmf::sound(key.event(), phase, payload.len());
    for (code, sample) in payload.iter_mut().zip(samples) {
        *code = g711::encode(codec, sample);
    }
}
