//! The machine that composes lease, freshness, do-not-call and caps.

use crate::{
    Attempt, CapsBook, Denial, DncSet, Freshness, Grant, SessionLease, base::BaseLookup,
    caps::CapReached,
};
use domain::{
    Clearance, ConsentUsed, DncBaseId, DncScope, Instant, Now, PhoneNumber, RegionId, SessionId,
    limits,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// What a permit is told, beside [`Permit::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermitInput {
    /// A session was opened in a region group, with the time to live that the group answered.
    SessionOpened {
        /// The region.
        region: RegionId,
        /// The session.
        session: SessionId,
        /// T.
        ttl: Duration,
    },
    /// The session ended: the group says so.
    SessionEnded {
        /// The region.
        region: RegionId,
        /// Which; another than the current one changes nothing.
        session: SessionId,
    },
    /// A keep-alive was answered with a yes.
    KeepAliveAnswered {
        /// The region.
        region: RegionId,
        /// The session it was for.
        session: SessionId,
        /// When it was sent, as [`PermitOutput::SendKeepAlive`] said.
        sent: Instant,
    },
    /// A freshness request was answered.
    FreshnessAnswered {
        /// When it was sent, as [`PermitOutput::AskFreshness`] said.
        sent: Instant,
        /// The directory's commit index at some time after that.
        index: u64,
    },
    /// The engine has applied the directory's entries up to `index`: attempts they forbid are
    /// cancelled, leads they forbid dropped.
    DirectoryApplied {
        /// Up to here.
        index: u64,
    },
}

/// What a permit asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermitOutput {
    /// Send a keep-alive to the region group's leader, now.
    SendKeepAlive {
        /// The region.
        region: RegionId,
        /// For this session.
        session: SessionId,
        /// Now; comes back with the answer.
        sent: Instant,
    },
    /// Ask the directory's leader for freshness, now.
    AskFreshness {
        /// Now; comes back with the answer.
        sent: Instant,
        /// What the engine has applied; goes along.
        applied: u64,
    },
    /// Validity is over: cancel unanswered attempts at leads of this region (of all, if none is
    /// named), stop their retransmissions. Answered calls go on: a person is speaking.
    Drain {
        /// The region; all when freshness ended, or the do-not-call base is missing.
        region: Option<RegionId>,
        /// Why.
        cause: DrainCause,
    },
    /// Validity is back after a drain.
    Resumed {
        /// The region; all when freshness is back.
        region: Option<RegionId>,
    },
}

/// Why unanswered attempts are cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainCause {
    /// The session's validity ran out: no leader could be reached.
    SessionRanOut,
    /// The group ended the session.
    SessionEnded,
    /// The copy of do-not-call is no longer fresh.
    FreshnessRanOut,
    /// The do-not-call base in use is not here: what rings may be in it.
    NoDncBase,
}

/// Timers of a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerName {
    /// A keep-alive is due.
    KeepAlive(RegionId),
    /// A freshness request is due.
    Freshness,
    /// A session's validity ends.
    SessionEnd(RegionId),
    /// Freshness ends.
    FreshnessEnd,
}

/// What to do after the datagram left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterSend {
    /// It left in time.
    InTime,
    /// A pause slipped in between check and send: CANCEL at once.
    Cancel,
}

/// What a permit has counted since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PermitCounts {
    /// Attempts allowed.
    pub granted: u64,
    /// Attempts forbidden.
    pub denied: u64,
    /// INVITEs that left too late and had to be cancelled. More than none: look for pauses.
    pub late: u64,
}

#[derive(Debug)]
struct RegionSession {
    region: RegionId,
    lease: SessionLease,
    /// Whether it was valid when last looked at: a drain is told once.
    valid: bool,
}

/// The node's last word before an INVITE.
#[derive(Debug)]
pub struct Permit {
    /// A node serves one region, rarely two: searched in order.
    sessions: Vec<RegionSession>,
    freshness: Freshness,
    fresh: bool,
    dnc: DncSet,
    caps: CapsBook,
    /// Nobody can tell what time it is.
    clock_disputed: bool,
    counts: PermitCounts,
    outputs: VecDeque<PermitOutput>,
}

/// An input that changes nothing, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The session is not the current one of its region.
    #[error("{session} is not the current session in {region}")]
    NotCurrent {
        /// The region.
        region: RegionId,
        /// The session.
        session: SessionId,
    },
}

impl Permit {
    /// A permit that allows nothing yet. `delta` is the directory's δ.
    pub fn new(delta: Duration) -> Self {
        Self {
            sessions: Vec::new(),
            freshness: Freshness::new(delta),
            fresh: false,
            dnc: DncSet::new(),
            caps: CapsBook::new(),
            clock_disputed: false,
            counts: PermitCounts::default(),
            outputs: VecDeque::new(),
        }
    }

    /// This node's copy of do-not-call.
    pub const fn dnc(&self) -> &DncSet {
        &self.dnc
    }

    /// To feed the copy; [`PermitInput::DirectoryApplied`] follows once its entries are acted on.
    pub const fn dnc_mut(&mut self) -> &mut DncSet {
        &mut self.dnc
    }

    /// Attempts of this node's caller IDs.
    pub const fn caps(&self) -> &CapsBook {
        &self.caps
    }

    /// To make caller IDs known and forgotten.
    pub const fn caps_mut(&mut self) -> &mut CapsBook {
        &mut self.caps
    }

    /// What was counted.
    pub const fn counts(&self) -> PermitCounts {
        self.counts
    }

    /// The session in a region.
    pub fn session(&self, region: RegionId) -> Option<&SessionLease> {
        (self.sessions.iter())
            .find(|s| s.region == region)
            .map(|s| &s.lease)
    }

    /// Freshness of the copy of do-not-call.
    pub const fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Whether attempts in a region may be made now, as far as session and do-not-call copy go.
    pub fn may_dial(&self, now: Instant, region: RegionId) -> bool {
        self.freshness.may_send(now)
            && self.dnc.is_whole()
            && !self.clock_disputed
            && (self.session(region)).is_some_and(|lease| lease.may_send(now))
    }

    /// Whether the clocks of the members disagree without a majority: then no INVITE may leave,
    /// since windows are judged by the calendar.
    pub const fn set_clock_disputed(&mut self, disputed: bool) {
        self.clock_disputed = disputed;
    }

    /// An opt-out heard at this node: binds at once, before any commit.
    pub fn opt_out(&mut self, number: PhoneNumber, scope: DncScope) {
        self.dnc.bind(number, scope);
    }

    /// The directory took such an opt-out as its entry `index`.
    pub fn opt_out_confirmed(&mut self, number: PhoneNumber, scope: DncScope, index: u64) {
        self.dnc.confirm(number, scope, index);
    }

    /// The directory's entry `index` put base `required` into use; `base` is that one, if it is
    /// here. Said again once it is.
    pub fn base_in_use(
        &mut self,
        now: Now,
        required: Option<DncBaseId>,
        base: Option<Arc<dyn BaseLookup>>,
        index: u64,
    ) {
        self.dnc.require(required, index);
        self.dnc.set_base(base);
        self.notice(now.monotonic);
    }

    /// The whole copy was replaced by a snapshot of the directory at `index`. Nothing is trusted
    /// until the next freshness answer.
    pub fn directory_reset(
        &mut self,
        now: Now,
        index: u64,
        entries: impl IntoIterator<Item = (PhoneNumber, DncScope, u64)>,
        clearance: Clearance,
    ) {
        self.dnc.reset(index, entries, clearance);
        self.freshness.reset(index);
        self.notice(now.monotonic);
        self.ask_freshness(now.monotonic);
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: PermitInput) -> Result<(), Rejected> {
        let now = now.monotonic;
        match input {
            PermitInput::SessionOpened {
                region,
                session,
                ttl,
            } => {
                let current = self.session(region).map(SessionLease::session);
                if current.is_some_and(|current| current > session) {
                    return Err(Rejected::NotCurrent { region, session });
                }
                // The group answers a repeated opening with the session that is there.
                if current != Some(session) {
                    self.drop_session(region, DrainCause::SessionEnded);
                    self.sessions.push(RegionSession {
                        region,
                        lease: SessionLease::new(session, ttl),
                        valid: false,
                    });
                }
                self.send_keepalive(now, region);
            }
            PermitInput::SessionEnded { region, session } => {
                self.current(region, session)?;
                self.drop_session(region, DrainCause::SessionEnded);
            }
            PermitInput::KeepAliveAnswered {
                region,
                session,
                sent,
            } => {
                self.current(region, session)?.confirmed(sent);
                self.notice(now);
            }
            PermitInput::FreshnessAnswered { sent, index } => {
                self.freshness.answered(sent, index);
                self.notice(now);
            }
            PermitInput::DirectoryApplied { index } => {
                self.freshness.applied(index);
                self.notice(now);
            }
        }
        Ok(())
    }

    /// Asks, drains and resumes as the time says.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.monotonic;
        self.notice(now);
        for place in 0..self.sessions.len() {
            if self.sessions[place].lease.keepalive_due() <= now {
                self.send_keepalive(now, self.sessions[place].region);
            }
        }
        if self.freshness.request_due() <= now {
            self.ask_freshness(now);
        }
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<PermitOutput> {
        self.outputs.pop_front()
    }

    /// When [`Permit::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerName)> {
        let asks = (self.sessions.iter())
            .map(|s| (s.lease.keepalive_due(), TimerName::KeepAlive(s.region)));
        let ends = (self.sessions.iter().filter(|s| s.valid))
            .map(|s| (s.lease.valid_until(), TimerName::SessionEnd(s.region)));
        let fresh = (self.freshness.request_due(), TimerName::Freshness);
        let fresh_end =
            (self.fresh).then_some((self.freshness.valid_until(), TimerName::FreshnessEnd));
        asks.chain(ends).chain([fresh]).chain(fresh_end).min()
    }

    /// Whether an INVITE may leave now. `window_open` is asked only when all before it holds; it
    /// must judge by `now`. A grant counts against the caller ID's caps: send at once, or
    /// [`Permit::unsent`].
    ///
    /// The order: session there, lease of this session, session valid with guard, freshness valid
    /// with guard, do-not-call base here and no older than the rule pack allows, do-not-call (entries,
    /// base, patterns), clock, freezes, consent, calling window, caller ID's trunk, its rest, its caps.
    /// Allocates nothing.
    pub fn check(
        &mut self,
        now: Now,
        attempt: &Attempt<'_>,
        window_open: impl FnOnce() -> bool,
    ) -> Result<Grant, Denial> {
        let result = self.judge(now, attempt, window_open);
        match result {
            Ok(_) => self.counts.granted += 1,
            Err(_) => self.counts.denied += 1,
        }
        result
    }

    fn judge(
        &mut self,
        now: Now,
        attempt: &Attempt<'_>,
        window_open: impl FnOnce() -> bool,
    ) -> Result<Grant, Denial> {
        let lease = (self.session(attempt.region)).ok_or(Denial::NoSession(attempt.region))?;
        if lease.session() != attempt.session {
            return Err(Denial::OtherSession {
                leased: attempt.session,
                current: lease.session(),
            });
        }
        if !lease.may_send(now.monotonic) {
            return Err(Denial::SessionEnding);
        }
        let valid_until = lease.valid_until().min(self.freshness.valid_until());
        if !self.freshness.may_send(now.monotonic) {
            return Err(Denial::NotFresh);
        }
        if !self.dnc.is_whole() {
            return Err(Denial::NoDncBase);
        }
        let country = attempt.registry_country;
        if (attempt.registry_age_max)
            .is_some_and(|max| self.dnc.base_is_older(max, country, now.wall))
        {
            return Err(Denial::OldDncBase);
        }
        if (self.dnc).covers(attempt.number, attempt.campaign, attempt.region) {
            return Err(Denial::DoNotCall);
        }
        if self.clock_disputed {
            return Err(Denial::ClockDisputed);
        }
        if self.dnc.is_frozen(attempt.number, now.wall) {
            return Err(Denial::Frozen);
        }
        let consent = (self.dnc).consent(attempt.number, attempt.campaign, now.wall);
        let required = attempt.consent_required || self.dnc.requires_consent(attempt.campaign);
        if required && consent.is_none() {
            return Err(Denial::NoConsent);
        }
        if !window_open() {
            return Err(Denial::WindowClosed);
        }
        let caller = attempt.caller_id;
        if caller.trunk != attempt.trunk {
            return Err(Denial::OtherTrunk {
                owner: caller.trunk,
                trunk: attempt.trunk,
            });
        }
        if caller.resting {
            return Err(Denial::Resting);
        }
        (self.caps.take(caller.number, caller.caps, now.wall)).map_err(|cap| match cap {
            CapReached::Day => Denial::DayCap,
            CapReached::Hour => Denial::HourCap,
            CapReached::Unknown => Denial::UnknownCallerId,
        })?;
        Ok(Grant {
            attempt: attempt.attempt,
            region: attempt.region,
            session: attempt.session,
            caller_id: caller.number,
            checked_at: now.wall,
            dnc_index: self.dnc.index(),
            dnc_base: self.dnc.base_id(),
            consent: consent.map(|grant| ConsentUsed {
                id: grant.id,
                kind: grant.kind,
            }),
            rule_pack_version: attempt.rule_pack_version,
            valid_until,
        })
    }

    /// The INVITE of a grant did not leave: its count against the caps is taken back. Only before
    /// the next [`Permit::check`].
    pub fn unsent(&mut self, grant: &Grant) {
        self.caps.give_back(grant.caller_id);
        self.counts.granted -= 1;
    }

    /// The INVITE left; `now` was read after that, and `window_open` must judge by it. Half of the
    /// guard is for pauses like this one: what left within it may stand, since validity had not
    /// ended. The window needs no guard: open before the send and after it, it was open at it.
    pub fn after_send(
        &mut self,
        now: Now,
        grant: &Grant,
        window_open: impl FnOnce() -> bool,
    ) -> AfterSend {
        (self.caps).left(grant.caller_id, grant.checked_at, now.wall);
        if now.monotonic + limits::SEND_GUARD / 2 < grant.valid_until && window_open() {
            return AfterSend::InTime;
        }
        self.counts.late += 1;
        AfterSend::Cancel
    }

    /// Whether unanswered attempts of a session in a region must be cancelled: it is not the
    /// current one, or its validity or the copy's freshness ended.
    pub fn expired(&self, now: Instant, region: RegionId, session: SessionId) -> bool {
        !self.freshness.is_valid(now)
            || (self.session(region))
                .is_none_or(|lease| lease.session() != session || !lease.is_valid(now))
    }

    fn current(
        &mut self,
        region: RegionId,
        session: SessionId,
    ) -> Result<&mut SessionLease, Rejected> {
        (self.sessions.iter_mut())
            .find(|s| s.region == region && s.lease.session() == session)
            .map(|s| &mut s.lease)
            .ok_or(Rejected::NotCurrent { region, session })
    }

    fn drop_session(&mut self, region: RegionId, cause: DrainCause) {
        let valid = (self.sessions.iter()).any(|s| s.region == region && s.valid);
        self.sessions.retain(|s| s.region != region);
        if valid {
            self.outputs.push_back(PermitOutput::Drain {
                region: Some(region),
                cause,
            });
        }
    }

    fn send_keepalive(&mut self, now: Instant, region: RegionId) {
        if let Some(s) = self.sessions.iter_mut().find(|s| s.region == region) {
            s.lease.keepalive_sent(now);
            self.outputs.push_back(PermitOutput::SendKeepAlive {
                region,
                session: s.lease.session(),
                sent: now,
            });
        }
    }

    fn ask_freshness(&mut self, now: Instant) {
        self.freshness.request_sent(now);
        self.outputs.push_back(PermitOutput::AskFreshness {
            sent: now,
            applied: self.freshness.applied_index(),
        });
    }

    /// Tells drains and resumptions once each.
    fn notice(&mut self, now: Instant) {
        let tell = |was: &mut bool, is: bool, region, cause| {
            if std::mem::replace(was, is) == is {
                return None;
            }
            Some(if is {
                PermitOutput::Resumed { region }
            } else {
                PermitOutput::Drain { region, cause }
            })
        };
        for s in &mut self.sessions {
            let is = s.lease.is_valid(now);
            let said = tell(&mut s.valid, is, Some(s.region), DrainCause::SessionRanOut);
            self.outputs.extend(said);
        }
        let (fresh, whole) = (self.freshness.is_valid(now), self.dnc.is_whole());
        let cause = match whole {
            true => DrainCause::FreshnessRanOut,
            false => DrainCause::NoDncBase,
        };
        let said = tell(&mut self.fresh, fresh && whole, None, cause);
        self.outputs.extend(said);
    }
}

#[cfg(test)]
mod tests;
