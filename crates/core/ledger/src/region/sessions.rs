//! Sessions, ticks, and the doubt that an ended session leaves behind.

use super::{
    Doubt, Leadership, Lease, LostAttempt, RegionEvent, RegionLedger, RegionRefusal, RegionReply,
    SessionEnd, SessionView,
    book::{LeadSlot, LeadState, NONE},
};
use crate::origin::Answers;
use domain::{Disposition, Incarnation, MemberId, SessionId, WallTime, limits};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) node: MemberId,
    pub(super) incarnation: Incarnation,
    pub(super) ttl: Duration,
    pub(super) opened_at: WallTime,
    pub(super) ended: Option<SessionEnd>,
    /// The log index of each of the last claims, by sequence.
    pub(super) claims: Answers<u64>,
}

/// `span` as it may last on a clock that is slow by the bound ρ, rounded up to milliseconds.
fn with_drift(span: Duration) -> Duration {
    let millis = span.as_nanos().div_ceil(1_000_000) as u64;
    Duration::from_millis(millis + millis * u64::from(limits::DRIFT_PERMILLE) / 1000 + 1)
}

impl RegionLedger {
    pub(super) fn session_view(&self, id: SessionId, session: &Session) -> SessionView {
        SessionView {
            session: id,
            node: session.node,
            incarnation: session.incarnation,
            ttl: session.ttl,
            opened_at: session.opened_at,
            ended: session.ended,
            leads: self.leases.count(id) as u32,
        }
    }

    /// The session, if it is open.
    pub(super) fn open_one(&mut self, id: SessionId) -> Result<&mut Session, RegionRefusal> {
        (self.sessions.get_mut(&id))
            .filter(|session| session.ended.is_none())
            .ok_or(RegionRefusal::SessionEnded { session: id })
    }

    pub(super) fn open_session(
        &mut self,
        node: MemberId,
        incarnation: Incarnation,
        ttl: Duration,
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        let (min, max) = (limits::SESSION_TTL_MIN, limits::SESSION_TTL_MAX);
        if !(min..=max).contains(&ttl) {
            return Err(RegionRefusal::Ttl { got: ttl, min, max });
        }
        let newest = self.nodes.get(&node).copied().unwrap_or_default();
        if incarnation < newest {
            return Err(RegionRefusal::StaleIncarnation {
                node,
                got: incarnation,
                newest,
            });
        }
        let open = (self.sessions.iter())
            .find(|(_, session)| session.node == node && session.ended.is_none())
            .map(|(id, session)| (*id, session.incarnation, session.ttl));
        if let Some((session, run, ttl)) = open
            && run == incarnation
        {
            // A repeated command, or a node that lost the answer: one run has one session.
            return Ok(RegionReply::SessionOpened { session, ttl });
        }
        if self.sessions.len() >= limits::SESSIONS {
            return Err(RegionRefusal::TooMany {
                what: "sessions".into(),
                got: self.sessions.len() as u64,
                limit: limits::SESSIONS as u64,
            });
        }
        if let Some((earlier, ..)) = open {
            self.end_session(earlier, SessionEnd::Superseded, events);
        }
        self.nodes.insert(node, incarnation);
        let session = SessionId(self.applied);
        self.sessions.insert(
            session,
            Session {
                node,
                incarnation,
                ttl,
                opened_at: self.clock(),
                ended: None,
                claims: Answers::default(),
            },
        );
        events.push(RegionEvent::SessionOpened {
            session,
            node,
            incarnation,
            ttl,
        });
        Ok(RegionReply::SessionOpened { session, ttl })
    }

    pub(super) fn expire_session(
        &mut self,
        session: SessionId,
        leadership: Leadership,
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        if leadership != self.leadership {
            return Err(RegionRefusal::StaleLeader {
                got: leadership,
                current: self.leadership,
            });
        }
        self.open_one(session)?;
        let in_doubt = self.end_session(session, SessionEnd::Expired, events);
        Ok(RegionReply::SessionEnded { in_doubt })
    }

    pub(super) fn close_session(
        &mut self,
        session: SessionId,
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        self.open_one(session)?;
        let in_doubt = self.end_session(session, SessionEnd::Closed, events);
        Ok(RegionReply::SessionEnded { in_doubt })
    }

    /// Ends an open session; what it holds comes in doubt.
    fn end_session(
        &mut self,
        id: SessionId,
        end: SessionEnd,
        events: &mut Vec<RegionEvent>,
    ) -> u32 {
        let session = self.sessions.get_mut(&id).expect("the caller looked it up");
        session.ended = Some(end);
        let node = session.node;
        // Expired and closed sessions have stopped sending. A superseded one should have, its
        // process being gone; should it live on beside its successor (a restored machine image),
        // it stops when its validity runs out.
        let sending = match end {
            SessionEnd::Expired | SessionEnd::Closed => Duration::ZERO,
            SessionEnd::Superseded => with_drift(session.ttl),
        };
        let doubt = Doubt {
            // The first tick from now may count time before now: at most TICK_MAX of it.
            from: self.steady + (limits::TICK_MAX + sending).as_millis() as u64,
            latest: self.clock() + sending,
        };
        let leads = self.leases.of(id);
        for lead in &leads {
            self.leases.doubt(*lead, doubt);
            (self.book).change(*lead, |row| row.state = LeadState::InDoubt);
            let until = self.doubt_ends(*lead, doubt);
            self.doubts.insert((until, *lead));
        }
        events.push(RegionEvent::SessionEnded {
            session: id,
            node,
            end,
        });
        if leads.is_empty() {
            self.sessions.remove(&id);
        }
        leads.len() as u32
    }

    /// The steady time at which the network can no longer be working on a lead in doubt.
    pub(super) fn doubt_ends(&self, lead: LeadSlot, doubt: Doubt) -> u64 {
        let campaign = self.book.rows[lead as usize].campaign;
        doubt.from + with_drift(self.longest_work(campaign)).as_millis() as u64
    }

    /// Counts every doubt anew, when a campaign's limits grew.
    pub(super) fn recount_doubts(&mut self) {
        self.doubts = (self.leases.by_lead().into_iter())
            .filter_map(|(lead, lease)| Some((self.doubt_ends(lead, lease.doubt?), lead)))
            .collect();
    }

    /// Takes the lease away from a lead, whatever follows.
    pub(super) fn release(&mut self, lead: LeadSlot) -> Lease {
        let lease = (self.leases.remove(lead)).expect("the caller looked it up");
        if let Some(doubt) = lease.doubt {
            let until = self.doubt_ends(lead, doubt);
            self.doubts.remove(&(until, lead));
        }
        let number = self.book.number_of(lead);
        debug_assert_eq!(number.live, lead);
        number.live = NONE;
        if self.leases.count(lease.session) == 0 {
            let ended = (self.sessions.get(&lease.session)).is_some_and(|s| s.ended.is_some());
            if ended {
                self.sessions.remove(&lease.session);
            }
        }
        lease
    }

    pub(super) fn tick(
        &mut self,
        leadership: Leadership,
        after: u64,
        elapsed: Duration,
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        if leadership < self.leadership {
            return Err(RegionRefusal::StaleLeader {
                got: leadership,
                current: self.leadership,
            });
        }
        if after != self.tick {
            return Err(RegionRefusal::StaleTick {
                after,
                last: self.tick,
            });
        }
        self.leadership = leadership;
        self.tick = self.applied;
        self.steady += elapsed.min(limits::TICK_MAX).as_millis() as u64;
        events.push(RegionEvent::Ticked {
            leadership,
            index: self.applied,
        });
        let mut lost = Vec::new();
        while let Some((_, lead)) = (self.doubts.first().copied()).filter(|d| d.0 <= self.steady) {
            lost.push(self.end_doubt(lead));
        }
        let doubts_ended = lost.len() as u32;
        if !lost.is_empty() {
            events.push(RegionEvent::AttemptsLost(lost));
        }
        Ok(RegionReply::Ticked { doubts_ended })
    }

    /// Nobody told how the attempt ended, and it must have: `Unknown`.
    fn end_doubt(&mut self, lead: LeadSlot) -> LostAttempt {
        let row = &self.book.rows[lead as usize];
        let lease = self.leases.get(lead).expect("what is in doubt is leased");
        let latest = lease.doubt.expect("it is among the doubts").latest;
        let lost = LostAttempt {
            attempt: lease.attempt,
            lead: self.lead_id(lead),
            number: self.book.numbers[row.number as usize].number,
            campaign: row.campaign,
            list: row.list,
            session: lease.session,
            node: (self.sessions.get(&lease.session)).map_or(MemberId(0), |s| s.node),
            latest,
        };
        self.close_attempt(lead, Disposition::Unknown, latest, None);
        lost
    }
}
