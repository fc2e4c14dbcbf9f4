//! When a do-not-call entry is effective.

use domain::{Instant, MemberId};
use std::{collections::BTreeMap, time::Duration};

/// Names one wait of [`FreshnessBook::wait_effective`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectiveToken(u64);

#[derive(Clone, Copy, Debug)]
struct Member {
    /// The highest index its engine said it had applied.
    applied: u64,
    /// δ after the last request that was noted here, or after the election. What an earlier answer
    /// allowed has surely ended by then: nodes take ρ off δ, and ρ bounds the drift between any
    /// two clocks, so nothing needs to be put on top here.
    fresh_until: Instant,
    /// Left the mesh: kept until its freshness has ended.
    removed: bool,
}

#[derive(Debug)]
struct Wait {
    index: u64,
    /// Members not known to have applied the index, with the end of the freshness they had when
    /// the wait began. Requests noted later are answered with an index at least as high as this
    /// one, so they do not prolong it.
    open: BTreeMap<MemberId, Instant>,
}

/// The directory leader's count of which node may still be dialing by which copy of do-not-call.
///
/// The order of a freshness request: it comes in; [`FreshnessBook::renewed`]; a quorum round begun
/// after that proves that we still lead and yields the commit index; the answer carries that
/// index. A node trusts its copy only once its engine has applied that index.
#[derive(Debug)]
pub struct FreshnessBook {
    freshness: Duration,
    leading: bool,
    members: BTreeMap<MemberId, Member>,
    waits: BTreeMap<EffectiveToken, Wait>,
    next: u64,
}

impl FreshnessBook {
    /// A book for freshness δ, which must be the same in the whole mesh.
    pub fn new(freshness: Duration) -> Self {
        Self {
            freshness,
            leading: false,
            members: BTreeMap::new(),
            waits: BTreeMap::new(),
            next: 1,
        }
    }

    /// This member became the directory's leader; `nodes` are all nodes of the mesh. Whatever they
    /// were answered by earlier leaders ends within δ from now.
    pub fn elected(&mut self, now: Instant, nodes: impl IntoIterator<Item = MemberId>) {
        self.leading = true;
        self.waits.clear();
        let fresh_until = now + self.freshness;
        let member = |id| {
            let member = Member {
                applied: 0,
                fresh_until,
                removed: false,
            };
            (id, member)
        };
        self.members = nodes.into_iter().map(member).collect();
    }

    /// This member no longer leads: every wait is lost, and its asker must ask the new leader.
    pub fn deposed(&mut self) {
        self.leading = false;
        self.waits.clear();
        self.members.clear();
    }

    /// A node joined. It cannot be fresh before it asks, and then by an index that includes its
    /// joining.
    pub fn joined(&mut self, now: Instant, node: MemberId) {
        self.members.entry(node).or_insert(Member {
            applied: 0,
            fresh_until: now,
            removed: false,
        });
    }

    /// A node was removed: it is not renewed again, but may be dialing until its freshness ends.
    pub fn removed(&mut self, node: MemberId) {
        if let Some(member) = self.members.get_mut(&node) {
            member.removed = true;
        }
    }

    /// A freshness request came from a node whose engine had applied `applied`. Call this *before*
    /// the quorum round, and answer only if this says yes and the round succeeds.
    pub fn renewed(&mut self, now: Instant, node: MemberId, applied: u64) -> bool {
        if !self.leading {
            return false;
        }
        let Some(member) = self.members.get_mut(&node).filter(|m| !m.removed) else {
            return false;
        };
        member.fresh_until = member.fresh_until.max(now + self.freshness);
        self.applied(node, applied);
        true
    }

    /// A node's engine has applied `index`: it dials nobody that entries up to there forbid, and
    /// has cancelled what was ringing.
    pub fn applied(&mut self, node: MemberId, index: u64) {
        if let Some(member) = self.members.get_mut(&node) {
            member.applied = member.applied.max(index);
            for wait in self.waits.values_mut().filter(|wait| wait.index <= index) {
                wait.open.remove(&node);
            }
        }
    }

    /// Begins to wait for `index`, which must be committed and applied here. `None` when this
    /// member does not lead.
    pub fn wait_effective(&mut self, now: Instant, index: u64) -> Option<EffectiveToken> {
        if !self.leading {
            return None;
        }
        self.members
            .retain(|_, m| !m.removed || m.fresh_until > now);
        let token = EffectiveToken(self.next);
        self.next += 1;
        let behind = self.members.iter().filter(|(_, m)| m.applied < index);
        let open = behind.map(|(id, m)| (*id, m.fresh_until)).collect();
        self.waits.insert(token, Wait { index, open });
        Some(token)
    }

    /// Gives a wait up.
    pub fn forget(&mut self, token: EffectiveToken) {
        self.waits.remove(&token);
    }

    /// The waits that are over: no node can dial any more by a copy without their entries.
    pub fn poll(&mut self, now: Instant) -> Vec<(EffectiveToken, u64)> {
        let mut effective = Vec::new();
        self.waits.retain(|token, wait| {
            wait.open.retain(|_, fresh_until| *fresh_until > now);
            if wait.open.is_empty() {
                effective.push((*token, wait.index));
            }
            !wait.open.is_empty()
        });
        effective
    }

    /// Which nodes a wait is still open for; empty when it is over or unknown.
    pub fn waits_for(&self, token: EffectiveToken) -> impl Iterator<Item = MemberId> + '_ {
        let open = self.waits.get(&token).into_iter();
        open.flat_map(|wait| wait.open.keys().copied())
    }

    /// When [`FreshnessBook::poll`] has something next, if no node speaks before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let end = |wait: &Wait| wait.open.values().max().copied().unwrap_or(Instant::ZERO);
        self.waits.values().map(end).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [MemberId; 2] = [MemberId(1), MemberId(2)];

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn book() -> FreshnessBook {
        let mut book = FreshnessBook::new(Duration::from_secs(30));
        book.elected(at(0), NODES);
        book
    }

    #[test]
    fn effective_when_every_node_applied() {
        let mut book = book();
        let token = book.wait_effective(at(10), 7).unwrap();
        book.applied(NODES[0], 7);
        book.applied(NODES[1], 6);
        assert!(book.poll(at(20)).is_empty());
        assert_eq!(book.waits_for(token).collect::<Vec<_>>(), [NODES[1]]);
        assert!(book.renewed(at(30), NODES[1], 9));
        assert_eq!(book.poll(at(30)), [(token, 7)]);
        let next = book.wait_effective(at(40), 7).unwrap();
        assert_eq!(book.poll(at(40)), [(next, 7)], "known already");
    }

    #[test]
    fn a_new_leader_waits_out_freshness() {
        let mut book = book();
        let token = book.wait_effective(at(10), 7).unwrap();
        assert_eq!(book.poll_timeout(), Some(at(30_000)));
        assert!(book.poll(at(29_999)).is_empty());
        assert_eq!(book.poll(at(30_000)), [(token, 7)]);
    }

    #[test]
    fn a_node_that_lags_cannot_hold_a_wait_open() {
        let mut book = book();
        assert!(book.renewed(at(20_000), NODES[0], 3));
        book.applied(NODES[1], 9);
        let token = book.wait_effective(at(20_100), 7).unwrap();
        // It asks on and on, but by answers that demand index 7 or later.
        assert!(book.renewed(at(40_000), NODES[0], 3));
        assert!(book.poll(at(49_999)).is_empty());
        assert_eq!(book.poll(at(50_000)), [(token, 7)]);
    }

    #[test]
    fn removed_nodes_count_until_their_freshness_ends() {
        let mut book = book();
        book.applied(NODES[1], 9);
        book.removed(NODES[0]);
        assert!(!book.renewed(at(5), NODES[0], 9));
        let token = book.wait_effective(at(10), 7).unwrap();
        assert!(book.poll(at(10)).is_empty());
        assert_eq!(book.poll(at(30_000)), [(token, 7)]);
        let next = book.wait_effective(at(30_700), 8).unwrap();
        assert_eq!(book.poll(at(30_700)), [(next, 8)], "forgotten");
    }

    #[test]
    fn says_nothing_without_leading() {
        let mut book = book();
        let token = book.wait_effective(at(10), 7).unwrap();
        book.deposed();
        assert!(book.poll(at(99_000)).is_empty());
        assert_eq!(book.waits_for(token).count(), 0);
        assert_eq!(book.wait_effective(at(99_000), 7), None);
        assert!(!book.renewed(at(99_000), NODES[0], 7));
    }
}
