//! What is recorded: bridges, as they are carried.

use domain::{AttemptId, Codec, LegId};
use std::ops::Range;

use super::{Exchange, leg::Tape};
use crate::{command::Rejected, recorder::Channel};

/// Sound of a recorded bridge, as it lies in the packet that was just received and, where it goes on,
/// was rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taped {
    /// Of which recording.
    pub recording: AttemptId,
    /// Whose.
    pub channel: Channel,
    /// The law it has now.
    pub codec: Codec,
    /// Names its stream; another one has other timestamps.
    pub stream: u32,
    /// Of its first sample.
    pub timestamp: u32,
    /// Where it lies in the datagram.
    pub payload: Range<usize>,
}

/// A recording's course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMark {
    /// It began.
    Began {
        /// Which.
        recording: AttemptId,
        /// In the law of the person's leg.
        law: Codec,
    },
    /// Nothing is recorded for now.
    Paused(AttemptId),
    /// Everything is recorded again.
    Resumed(AttemptId),
    /// It is over.
    Ended(AttemptId),
}

impl Exchange {
    /// The sound in the packet that was received last, where its bridge is recorded: to be taken before
    /// the next one comes.
    pub fn taped(&mut self) -> Option<Taped> {
        self.taped.take()
    }

    /// What became of recordings, in its order: to be taken after each command.
    pub fn poll_mark(&mut self) -> Option<RecordingMark> {
        self.marks.pop_front()
    }

    pub(super) fn record(
        &mut self,
        recording: AttemptId,
        agent: LegId,
        person: LegId,
    ) -> Result<(), Rejected> {
        let (left, right) = (self.place(agent)?, self.place(person)?);
        let bridged = self.leg(right)?.bridged.ok_or(Rejected::NotBridged)?;
        if bridged.with != left {
            return Err(Rejected::NotBridged);
        }
        if bridged.tape.is_some() {
            return Err(Rejected::Recorded);
        }
        let law = (self.leg(right)?.remote.as_ref()).map_or(Codec::Pcmu, |remote| remote.codec);
        for (place, channel) in [(left, Channel::Agent), (right, Channel::Person)] {
            let tape = Tape {
                recording,
                channel,
                paused: false,
            };
            if let Some(bridged) = &mut self.leg_mut(place).bridged {
                bridged.tape = Some(tape);
            }
        }
        self.marks
            .push_back(RecordingMark::Began { recording, law });
        Ok(())
    }

    pub(super) fn pause_recording(&mut self, leg: LegId, paused: bool) -> Result<(), Rejected> {
        let place = self.place(leg)?;
        let bridged = self.leg(place)?.bridged.ok_or(Rejected::NotRecorded)?;
        let tape = bridged.tape.ok_or(Rejected::NotRecorded)?;
        if tape.paused == paused {
            return Ok(());
        }
        for place in [place, bridged.with] {
            if let Some(tape) = (self.leg_mut(place).bridged.as_mut()).and_then(|b| b.tape.as_mut())
            {
                tape.paused = paused;
            }
        }
        self.marks.push_back(match paused {
            true => RecordingMark::Paused(tape.recording),
            false => RecordingMark::Resumed(tape.recording),
        });
        Ok(())
    }
}
