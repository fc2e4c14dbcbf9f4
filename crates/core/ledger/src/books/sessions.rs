//! When sessions may be expired.

use super::at_least;
use crate::region::{Leadership, RegionCommand};
use domain::{Instant, SessionId};
use std::{collections::BTreeMap, time::Duration};

/// How long after an expiry was proposed it is proposed again, should it still not be applied.
const EXPIRE_AGAIN: Duration = Duration::from_secs(2);

/// A region leader's count of when each session was last heard of.
///
/// The order of a keep-alive: the request comes in; [`SessionBook::request_noted`]; a quorum
/// round begun after that proves that we still lead; the answer goes out only if it did. So the
/// node's end, counted from when it *sent*, comes before ours, counted from when we *noted*, and
/// any later leader was elected after the note and counts from its election.
#[derive(Debug, Default)]
pub struct SessionBook {
    leading: Option<Leading>,
}

#[derive(Debug)]
struct Leading {
    leadership: Leadership,
    /// Our own first tick is applied: no earlier leader's expiry can be applied any more.
    confirmed: bool,
    sessions: BTreeMap<SessionId, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ttl: Duration,
    /// T(1+ρ) after the last note.
    expires: Instant,
    /// The expiry was decided: no request is noted any more, since it is on its way.
    decided: bool,
}

/// Why a keep-alive is not answered with a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepAliveRefusal {
    /// This member does not lead the group.
    #[error("this member does not lead the region's group")]
    NotLeading,
    /// It leads, but its first tick is not applied yet: ask again in a moment.
    #[error("the new leader's first tick is not applied yet")]
    NotConfirmed,
    /// The session is unknown or ended, or its end is decided: open a new one.
    #[error("the session has ended or is about to")]
    Ended,
}

impl SessionBook {
    /// This member became leader and has applied every entry committed before. Counts every open
    /// session from now.
    pub fn elected(
        &mut self,
        now: Instant,
        leadership: Leadership,
        open: impl IntoIterator<Item = (SessionId, Duration)>,
    ) {
        let entry = |(id, ttl)| (id, Entry::new(now, ttl));
        self.leading = Some(Leading {
            leadership,
            confirmed: false,
            sessions: open.into_iter().map(entry).collect(),
        });
    }

    /// This member no longer leads.
    pub fn deposed(&mut self) {
        self.leading = None;
    }

    /// A tick was applied. Ours confirms us.
    pub fn ticked(&mut self, leadership: Leadership) {
        if let Some(leading) = &mut self.leading {
            leading.confirmed |= leading.leadership == leadership;
        }
    }

    /// The opening of a session was applied.
    pub fn opened(&mut self, now: Instant, session: SessionId, ttl: Duration) {
        if let Some(leading) = &mut self.leading {
            leading.sessions.insert(session, Entry::new(now, ttl));
        }
    }

    /// The end of a session was applied.
    pub fn ended(&mut self, session: SessionId) {
        if let Some(leading) = &mut self.leading {
            leading.sessions.remove(&session);
        }
    }

    /// A keep-alive came. Call this *before* the quorum round that proves that we lead, and answer
    /// only if this and the round succeed, and the round was won in the leadership that this returns:
    /// the book may be behind, and know nothing of what another leader ended in between.
    ///
    /// # Errors
    /// [`KeepAliveRefusal`].
    pub fn request_noted(
        &mut self,
        now: Instant,
        session: SessionId,
    ) -> Result<Leadership, KeepAliveRefusal> {
        let leading = self.leading.as_mut().ok_or(KeepAliveRefusal::NotLeading)?;
        if !leading.confirmed {
            return Err(KeepAliveRefusal::NotConfirmed);
        }
        let entry = (leading.sessions.get_mut(&session)).filter(|entry| !entry.decided);
        let entry = entry.ok_or(KeepAliveRefusal::Ended)?;
        entry.expires = entry.expires.max(now + at_least(entry.ttl));
        Ok(leading.leadership)
    }

    /// The expiries to propose now. Each is decided from here on, and comes again every two
    /// seconds until [`SessionBook::ended`].
    pub fn due_expiries(&mut self, now: Instant) -> Vec<RegionCommand> {
        let Some(leading) = &mut self.leading else {
            return Vec::new();
        };
        let leadership = leading.leadership;
        (leading.sessions.iter_mut())
            .filter(|(_, entry)| entry.expires <= now)
            .map(|(session, entry)| {
                entry.decided = true;
                entry.expires = now + EXPIRE_AGAIN;
                RegionCommand::ExpireSession {
                    session: *session,
                    leadership,
                }
            })
            .collect()
    }

    /// When [`SessionBook::due_expiries`] has something next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = &self.leading.as_ref()?.sessions;
        sessions.values().map(|entry| entry.expires).min()
    }
}

impl Entry {
    fn new(now: Instant, ttl: Duration) -> Self {
        Self {
            ttl,
            expires: now + at_least(ttl),
            decided: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::MemberId;

    const TTL: Duration = Duration::from_secs(30);
    const ME: Leadership = Leadership {
        term: 3,
        member: MemberId(1),
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn leading() -> SessionBook {
        let mut book = SessionBook::default();
        book.elected(at(0), ME, [(SessionId(7), TTL)]);
        book.ticked(ME);
        book
    }

    #[test]
    fn expires_after_ttl_and_drift_never_before() {
        let mut book = leading();
        assert_eq!(book.request_noted(at(1000), SessionId(7)), Ok(ME));
        assert_eq!(book.poll_timeout(), Some(at(31_600)));
        assert!(book.due_expiries(at(31_599)).is_empty());
        assert_eq!(
            book.due_expiries(at(31_600)),
            [RegionCommand::ExpireSession {
                session: SessionId(7),
                leadership: ME
            }]
        );
    }

    #[test]
    fn a_decided_expiry_is_final_and_repeated() {
        let mut book = leading();
        assert_eq!(book.due_expiries(at(30_600)).len(), 1);
        assert_eq!(
            book.request_noted(at(30_601), SessionId(7)),
            Err(KeepAliveRefusal::Ended)
        );
        assert!(book.due_expiries(at(30_700)).is_empty());
        assert_eq!(book.due_expiries(at(32_600)).len(), 1);
        book.ended(SessionId(7));
        assert_eq!(book.poll_timeout(), None);
    }

    #[test]
    fn answers_only_while_leading_and_confirmed() {
        let mut book = SessionBook::default();
        let ask = |book: &mut SessionBook| book.request_noted(at(5), SessionId(7));
        assert_eq!(ask(&mut book), Err(KeepAliveRefusal::NotLeading));
        book.elected(at(0), ME, [(SessionId(7), TTL)]);
        assert_eq!(ask(&mut book), Err(KeepAliveRefusal::NotConfirmed));
        book.ticked(Leadership { term: 2, ..ME });
        assert_eq!(ask(&mut book), Err(KeepAliveRefusal::NotConfirmed));
        book.ticked(ME);
        assert_eq!(ask(&mut book), Ok(ME), "and in which leadership");
        assert_eq!(
            book.request_noted(at(5), SessionId(8)),
            Err(KeepAliveRefusal::Ended)
        );
        book.deposed();
        assert_eq!(ask(&mut book), Err(KeepAliveRefusal::NotLeading));
    }

    #[test]
    fn a_new_leader_counts_from_its_election() {
        let mut book = leading();
        book.elected(
            at(20_000),
            Leadership { term: 4, ..ME },
            [(SessionId(7), TTL)],
        );
        assert_eq!(book.poll_timeout(), Some(at(50_600)));
    }
}
