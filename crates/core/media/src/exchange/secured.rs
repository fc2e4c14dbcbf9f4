//! Legs whose packets are SRTP: opened before anything else looks at them, sealed after everything else
//! has. Between the two all is as with plain ones.

use domain::{LegId, SrtpKeys};
use std::ops::Range;

use super::{Exchange, Refusal};
use crate::{
    command::Rejected,
    rtcp,
    srtp::{SrtpContext, SrtpError},
};

/// Both directions of a leg.
#[derive(Debug)]
pub(super) struct Secured {
    send: SrtpContext,
    receive: SrtpContext,
}

impl Secured {
    /// Opens an RTP packet of the peer's; says how long it is then.
    pub(super) fn open(&mut self, packet: &mut [u8]) -> Result<usize, Refusal> {
        self.receive.unprotect(packet).map_err(refusal)
    }

    /// The same for RTCP.
    pub(super) fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refusal> {
        self.receive.unprotect_rtcp(packet).map_err(refusal)
    }
}

fn refusal(error: SrtpError) -> Refusal {
    match error {
        SrtpError::Malformed | SrtpError::NoRoom => Refusal::Malformed,
        SrtpError::Unauthenticated | SrtpError::UsedUp => Refusal::Unauthenticated,
        SrtpError::Replayed => Refusal::Replayed,
    }
}

impl Exchange {
    /// From here on the leg's packets are SRTP with these keys, or plain.
    pub(super) fn secure(&mut self, leg: LegId, keys: Option<SrtpKeys>) -> Result<(), Rejected> {
        let place = self.place(leg)?;
        let before = self.leg_mut(place).secured.take();
        let Some(keys) = keys else {
            return Ok(());
        };
        let (send, receive) = before.map_or((None, None), |b| (Some(b.send), Some(b.receive)));
        let send = match send {
            Some(send) if *send.key() == keys.send => send,
            _ => {
                // Another key of ours begins with a stream of its own: what the peer counts for one that
                // goes on is its secret.
                self.leg_mut(place).outgoing = self.fresh_stream();
                SrtpContext::new(&keys.send)
            }
        };
        let receive = match receive {
            Some(receive) if *receive.key() == keys.receive => receive,
            Some(receive) => receive.followed_by(&keys.receive),
            None => SrtpContext::new(&keys.receive),
        };
        self.leg_mut(place).secured = Some(Box::new(Secured { send, receive }));
        Ok(())
    }

    /// Makes an RTP or RTCP packet ready to be sent to the peer of the leg at `place`: where the leg is
    /// secured, it is encrypted and signed where it lies, and grows by at most
    /// [`SRTP_ROOM`](crate::SRTP_ROOM). The last step before it is sent, after what listens or records
    /// had it. Says which bytes it is then; none when it cannot be sent, which is counted.
    pub fn seal(
        &mut self,
        place: usize,
        buffer: &mut [u8],
        bytes: Range<usize>,
    ) -> Option<Range<usize>> {
        let leg = self.legs.get_mut(place)?.as_deref_mut()?;
        let Some(secured) = &mut leg.secured else {
            return Some(bytes);
        };
        let (from, len) = (bytes.start, bytes.len());
        let room = buffer.get_mut(from..)?;
        let report = room.get(..len).is_some_and(rtcp::is_rtcp);
        let sealed = match report {
            true => secured.send.protect_rtcp(room, len),
            false => secured.send.protect(room, len),
        };
        match sealed {
            Ok(len) => Some(from..from + len),
            Err(_) => {
                if !report {
                    self.unsent(place, 1);
                }
                None
            }
        }
    }
}
