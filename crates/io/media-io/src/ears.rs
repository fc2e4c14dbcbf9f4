//! Who listens: one `answering::Listener` for each leg that asked for one.
//!
//! It is made with the leg's command; on the way of a packet nothing is allocated.

use answering::{Event, FRAME, Listener, Settings};
use domain::{
    Instant,
    answering::{Heard, Verdict},
};
use media::{Exchange, Listening, MediaCommand, Tapped, Timeline, g711};
use std::{collections::BTreeMap, time::Duration};

/// How often it is looked for lines that send no silence.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One listener and its leg's time.
#[derive(Debug)]
struct Ear {
    listener: Listener,
    line: Timeline,
    answered: bool,
    /// A machine answered, whose beep was not heard yet.
    machine: bool,
}

impl Ear {
    fn new(now: Instant) -> Self {
        Self {
            listener: Listener::new(Settings::default()),
            line: Timeline::new(now),
            answered: false,
            machine: false,
        }
    }

    /// Hears at most a frame; what it has to say.
    fn hear(&mut self, samples: &[i16]) -> Option<Heard> {
        let (mut said, mut beeped) = (None, false);
        self.listener.hear(samples, |event| match event {
            Event::Verdict(verdict, reason) => said = Some((verdict, reason)),
            Event::Beep => beeped = true,
        });
        if let Some((verdict, reason)) = said {
            self.machine = self.answered && verdict == Verdict::Machine;
            return Some(match self.answered {
                false => Heard::Early(verdict),
                true => Heard::Answered(self.listener.who(verdict, reason)),
            });
        }
        // Silence proves no machine: a person taken for one waits in silence for an answer, too.
        (beeped && std::mem::take(&mut self.machine)).then_some(Heard::Beep)
    }

    /// Hears that nothing is said.
    fn hear_silence(&mut self, samples: u32, mut say: impl FnMut(Heard)) {
        let quiet = [0; FRAME];
        let mut left = samples as usize;
        while left > 0 {
            let now = left.min(FRAME);
            left -= now;
            self.hear(&quiet[..now]).into_iter().for_each(&mut say);
        }
    }
}

/// All listeners of a relay, by the place of their leg's port.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    open: BTreeMap<usize, Box<Ear>>,
    looked: Instant,
}

impl Ears {
    /// The exchange followed a command: a listener is made, or told that its leg was answered.
    pub(crate) fn follow(&mut self, now: Instant, exchange: &Exchange, command: MediaCommand) {
        let MediaCommand::Listen { leg, answered } = command else {
            return;
        };
        let Some(place) = exchange.place_of(leg) else {
            return;
        };
        if answered {
            let ear = (self.open.entry(place)).or_insert_with(|| Box::new(Ear::new(now)));
            ear.listener.answered();
            (ear.answered, ear.machine, ear.line) = (true, false, Timeline::new(now));
        } else {
            self.open.insert(place, Box::new(Ear::new(now)));
        }
    }

    /// A packet of a leg that somebody listens to.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        exchange: &mut Exchange,
        tapped: &Tapped,
        datagram: &[u8],
    ) {
        let Some(ear) = self.open.get_mut(&tapped.place) else {
            return;
        };
        let payload = &datagram[tapped.payload.clone()];
        let samples = payload.len() as u32;
        let (stream, timestamp) = (tapped.stream, tapped.timestamp);
        let Some(silence) = ear.line.packet(now, stream, timestamp, samples) else {
            return;
        };
        ear.hear_silence(silence, |heard| exchange.heard(tapped.place, heard));
        let mut frame = [0; FRAME];
        for codes in payload.chunks(FRAME) {
            for (sample, code) in frame.iter_mut().zip(codes) {
                *sample = g711::decode(tapped.codec, *code);
            }
            let said = ear.hear(&frame[..codes.len()]);
            said.into_iter()
                .for_each(|heard| exchange.heard(tapped.place, heard));
        }
    }

    /// Forgets who need not listen any more; who answered and sends nothing is silent.
    pub(crate) fn look(&mut self, now: Instant, exchange: &mut Exchange) {
        if self.open.is_empty() || now.since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        self.open.retain(|place, ear| {
            let answered = [Some(Listening::Answered), Some(Listening::Machine)];
            if answered.contains(&exchange.listening(*place)) {
                let silence = ear.line.idle(now);
                ear.hear_silence(silence, |heard| exchange.heard(*place, heard));
            }
            exchange.listening(*place).is_some()
        });
    }
}
