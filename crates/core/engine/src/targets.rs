//! Where a trunk's calls go when its name leads to several addresses (RFC 3263, RFC 2782): by
//! priority, then in the proportion of the weights; one that fails rests, and the next is taken.
//!
//! A trunk with one address has one target, which never rests: the trunk's own health says all.

use domain::{Instant, TrunkTarget, limits};
use sansio::Stream;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Calls in a row that fail on the carrier's side and make a target rest.
const FAILURES: u8 = 3;
/// INVITEs in a row left without a word that do, when nothing else was heard from it meanwhile.
const SILENT: u8 = 2;
/// The first rest; each one after a try in vain is twice as long.
const REST_MIN: Duration = Duration::from_secs(30);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(600);
/// For how long an address that the name does not lead to any more may still speak: calls that
/// began there go on.
const FORMER: Duration = Duration::from_secs(4 * 3600);

#[derive(Clone, Copy, Debug)]
struct Known {
    target: TrunkTarget,
    rests_until: Option<Instant>,
    /// How long the next rest is.
    rest: Duration,
    failures: u8,
    silent: u8,
    heard_at: Instant,
}

impl Known {
    const fn new(target: TrunkTarget) -> Self {
        Self {
            target,
            rests_until: None,
            rest: REST_MIN,
            failures: 0,
            silent: 0,
            heard_at: Instant::ZERO,
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

/// What the failure of a target means for its trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Another target is there: the trunk goes on.
    Target,
    /// There is none: it is the trunk's failure.
    Trunk,
}

/// Where one attempt was tried already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried([Option<SocketAddr>; limits::TARGET_TRIES]);

impl Tried {
    pub(crate) fn one(address: SocketAddr) -> Self {
        Self::default().and(address)
    }

    /// These and another one; at the bound they stay as they are.
    pub(crate) fn and(mut self, address: SocketAddr) -> Self {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(address);
        }
        self
    }

    pub(crate) fn has(self, address: SocketAddr) -> bool {
        self.0.contains(&Some(address))
    }

    pub(crate) fn is_full(self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

/// One trunk's, by priority and address.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    known: Vec<Known>,
    /// Addresses of before, and until when they may speak; the one that ends first goes where there
    /// are too many.
    former: BTreeMap<IpAddr, Instant>,
    /// Where OPTIONS and REGISTER go.
    pub(crate) watched: Option<SocketAddr>,
}

impl Targets {
    /// The name leads here now. What is known of those that stay is kept. At most
    /// [`limits::TRUNK_TARGETS`] are taken, the first by priority; none at all changes nothing: a
    /// carrier's name fails more often than the carrier.
    pub(crate) fn set(&mut self, now: Instant, mut targets: Vec<TrunkTarget>) {
        if targets.is_empty() {
            return;
        }
        targets.sort_by_key(|t| (t.priority, std::cmp::Reverse(t.weight), t.address));
        let mut taken: Vec<Known> = Vec::new();
        for target in targets {
            let twice = taken.iter().any(|k| k.target.address == target.address);
            if twice || taken.len() >= limits::TRUNK_TARGETS {
                continue;
            }
            let before = self.find(target.address).copied();
            taken.push(Known {
                target,
                ..before.unwrap_or(Known::new(target))
            });
        }
        let gone = std::mem::replace(&mut self.known, taken);
        self.former.retain(|_, until| now < *until);
        for known in gone {
            let ip = known.target.address.ip();
            self.former.insert(ip, now + FORMER);
        }
        for known in &self.known {
            self.former.remove(&known.target.address.ip());
        }
        while self.former.len() > limits::TRUNK_TARGETS {
            let first = self.former.iter().min_by_key(|(_, until)| **until);
            let Some(ip) = first.map(|(ip, _)| *ip) else {
                break;
            };
            self.former.remove(&ip);
        }
    }

    /// The trunk leads elsewhere by an operator's word.
    pub(crate) fn clear(&mut self, now: Instant) {
        for known in std::mem::take(&mut self.known) {
            let ip = known.target.address.ip();
            self.former.insert(ip, now + FORMER);
        }
    }

    /// An operator changed the trunk: what its calls said of targets is forgotten.
    pub(crate) fn forgive(&mut self) {
        for known in &mut self.known {
            *known = Known::new(known.target);
        }
    }

    fn find(&self, address: SocketAddr) -> Option<&Known> {
        self.known.iter().find(|k| k.target.address == address)
    }

    fn find_mut(&mut self, address: SocketAddr) -> Option<&mut Known> {
        (self.known.iter_mut()).find(|k| k.target.address == address)
    }

    /// Whether there is more than one.
    pub(crate) fn are_several(&self) -> bool {
        self.known.len() > 1
    }

    /// Whether calls go to that address.
    pub(crate) fn contain(&self, address: SocketAddr) -> bool {
        self.find(address).is_some()
    }

    /// Who may speak for the trunk.
    pub(crate) fn sources(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let known = self.known.iter().map(|k| k.target.address.ip());
        known.chain(self.former.keys().copied())
    }

    /// Those that a call may take now, but for some: those that do not rest, or all where all do.
    fn open(&self, now: Instant, but: Tried) -> Vec<TrunkTarget> {
        let others = || (self.known.iter()).filter(|k| !but.has(k.target.address));
        let rested: Vec<_> = others()
            .filter(|k| !k.rests(now))
            .map(|k| k.target)
            .collect();
        match rested.is_empty() {
            true => others().map(|k| k.target).collect(),
            false => rested,
        }
    }

    /// Where the next call goes: one of the lowest priority, drawn by weight (RFC 2782). None where
    /// the name leads nowhere, or nowhere else.
    pub(crate) fn pick(&self, now: Instant, but: Tried, draws: &mut Stream) -> Option<SocketAddr> {
        let [only] = &self.known[..] else {
            return draw(&self.open(now, but), draws);
        };
        Some(only.target.address).filter(|address| !but.has(*address))
    }

    /// The one that OPTIONS and REGISTER go to: the first of those that a call may take.
    pub(crate) fn first(&self, now: Instant) -> Option<SocketAddr> {
        self.open(now, Tried::default())
            .first()
            .map(|target| target.address)
    }

    /// Whether a call that failed at some of them may take another one now.
    pub(crate) fn another(&self, now: Instant, but: Tried) -> bool {
        (self.known.iter()).any(|k| !but.has(k.target.address) && !k.rests(now))
    }

    /// Something came from there.
    pub(crate) fn heard(&mut self, now: Instant, address: SocketAddr) {
        if let Some(known) = self.find_mut(address) {
            (known.heard_at, known.silent) = (now, 0);
        }
    }

    /// A call there rang, was answered, or OPTIONS was.
    pub(crate) fn worked(&mut self, address: SocketAddr) {
        if let Some(known) = self.find_mut(address) {
            *known = Known {
                heard_at: known.heard_at,
                ..Known::new(known.target)
            };
        }
    }

    /// A call failed there on the carrier's side; `certain` where nothing can be sent there, or OPTIONS
    /// stays without an answer.
    pub(crate) fn failed(&mut self, now: Instant, address: SocketAddr, certain: bool) -> Blame {
        let blame = self.blame(now, address);
        let Some(known) = self.find_mut(address) else {
            // The name does not lead there any more.
            return Blame::Target;
        };
        known.failures = known.failures.saturating_add(1);
        if blame == Blame::Target && (certain || known.failures >= FAILURES) {
            known.take_rest(now);
        }
        blame
    }

    /// An INVITE sent there at `sent` has had no word for a while.
    pub(crate) fn doubted(&mut self, now: Instant, address: SocketAddr, sent: Instant) -> Blame {
        let blame = self.blame(now, address);
        let Some(known) = self.find_mut(address) else {
            return Blame::Target;
        };
        if known.heard_at <= sent {
            known.silent = known.silent.saturating_add(1);
            if blame == Blame::Target && known.silent >= SILENT {
                known.take_rest(now);
            }
        }
        blame
    }

    fn blame(&self, now: Instant, address: SocketAddr) -> Blame {
        match self.another(now, Tried::one(address)) {
            true => Blame::Target,
            false => Blame::Trunk,
        }
    }

    /// When a rest is over next.
    pub(crate) fn next_rested(&self, now: Instant) -> Option<Instant> {
        let rests = self.known.iter().filter_map(|k| k.rests_until);
        rests.filter(|until| now < *until).min()
    }
}

impl Known {
    fn take_rest(&mut self, now: Instant) {
        if self.rests(now) {
            return;
        }
        self.rests_until = Some(now + self.rest);
        self.rest = (self.rest * 2).min(REST_MAX);
        (self.failures, self.silent) = (0, 0);
    }
}

/// One of the lowest priority; one of weight 0 has hardly a chance beside others (RFC 2782, page 4).
fn draw(open: &[TrunkTarget], draws: &mut Stream) -> Option<SocketAddr> {
    let priority = open.iter().map(|t| t.priority).min()?;
    let group = || open.iter().filter(|t| t.priority == priority);
    let share = |target: &TrunkTarget| u32::from(target.weight) * 64 + 1;
    let total: u32 = group().map(share).sum();
    let mut place = draws.below(total);
    for target in group() {
        let share = share(target);
        if place < share {
            return Some(target.address);
        }
        place -= share;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Seed;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn target(priority: u16, weight: u16, address: &str) -> TrunkTarget {
        TrunkTarget {
            priority,
            weight,
            address: at(address),
        }
    }

    fn second(n: u64) -> Instant {
        Instant::from_millis(1_000 * n)
    }

    fn draws() -> Stream {
        Seed::from_u64(7).stream("test")
    }

    const A: &str = "192.0.2.1:5060";
    const B: &str = "192.0.2.2:5060";
    const C: &str = "192.0.2.3:5080";

    fn three() -> Targets {
        let mut targets = Targets::default();
        targets.set(
            second(1),
            vec![target(20, 0, C), target(10, 30, A), target(10, 90, B)],
        );
        targets
    }

    fn counts(targets: &Targets, now: Instant) -> [usize; 3] {
        let mut draws = draws();
        let mut counts = [0; 3];
        for _ in 0..4_000 {
            let picked = targets
                .pick(now, Tried::default(), &mut draws)
                .expect("one");
            let place = [A, B, C].iter().position(|a| at(a) == picked);
            counts[place.expect("one of them")] += 1;
        }
        counts
    }

    #[test]
    fn priorities_come_first_and_weights_are_proportions() {
        let [a, b, c] = counts(&three(), second(1));
        assert_eq!(c, 0);
        assert!((2_850..3_150).contains(&b), "{a} {b}");
        let mut equal = Targets::default();
        equal.set(second(1), vec![target(0, 0, A), target(0, 0, B)]);
        let [a, b, _] = counts(&equal, second(1));
        assert!((1_850..2_150).contains(&a), "{a} {b}");
    }

    #[test]
    fn one_that_fails_rests_and_the_next_priority_is_taken() {
        let mut targets = three();
        assert_eq!(targets.first(second(1)), Some(at(B)));
        // A single refusal does not make it rest; three in a row do.
        for _ in 0..2 {
            assert_eq!(targets.failed(second(1), at(B), false), Blame::Target);
        }
        assert!(counts(&targets, second(1))[1] > 0);
        targets.failed(second(1), at(B), false);
        assert_eq!(counts(&targets, second(1)), [4_000, 0, 0]);
        assert_eq!(targets.failed(second(2), at(A), true), Blame::Target);
        assert_eq!(counts(&targets, second(2)), [0, 0, 4_000]);
        // The last one's failure is the trunk's.
        assert_eq!(targets.failed(second(3), at(C), true), Blame::Trunk);
        assert_eq!(counts(&targets, second(3)), [0, 0, 4_000]);
        assert_eq!(targets.next_rested(second(3)), Some(second(31)));
        assert!(counts(&targets, second(31))[1] == 4_000);
        // In vain again: twice as long.
        targets.failed(second(31), at(B), true);
        assert!(counts(&targets, second(33))[0] == 4_000);
        assert_eq!(targets.next_rested(second(33)), Some(second(91)));
        targets.worked(at(B));
        assert!(counts(&targets, second(33))[1] > 2_000);
    }

    #[test]
    fn a_target_that_is_silent_rests_unless_it_was_heard_meanwhile() {
        let mut targets = three();
        targets.heard(second(5), at(B));
        for _ in 0..4 {
            targets.doubted(second(6), at(B), second(4));
        }
        assert!(!targets.find(at(B)).expect("known").rests(second(6)));
        for _ in 0..2 {
            assert_eq!(targets.doubted(second(6), at(B), second(5)), Blame::Target);
        }
        assert!(targets.find(at(B)).expect("known").rests(second(6)));
    }

    #[test]
    fn a_trunk_with_one_address_is_judged_as_a_whole() {
        let mut targets = Targets::default();
        assert!(targets.first(second(1)).is_none());
        targets.set(second(1), vec![target(0, 0, A)]);
        for _ in 0..9 {
            assert_eq!(targets.failed(second(1), at(A), true), Blame::Trunk);
            assert_eq!(targets.doubted(second(1), at(A), second(1)), Blame::Trunk);
        }
        let both = Tried::one(at(A)).and(at(B));
        assert!(three().another(second(1), both) && !both.is_full());
        assert!(!three().another(second(1), both.and(at(C))) && both.and(at(C)).is_full());
        let mut draws = draws();
        assert_eq!(
            targets.pick(second(1), Tried::default(), &mut draws),
            Some(at(A))
        );
        assert_eq!(targets.pick(second(1), Tried::one(at(A)), &mut draws), None);
        assert!(!targets.another(second(1), Tried::one(at(A))));
    }

    #[test]
    fn former_addresses_may_speak_for_a_while_and_all_is_bounded() {
        let mut targets = three();
        targets.failed(second(1), at(A), true);
        targets.set(second(2), vec![target(10, 30, A), target(0, 0, A)]);
        assert_eq!(targets.first(second(2)), Some(at(A)));
        assert_eq!(targets.sources().count(), 3);
        targets.set(second(3), Vec::new());
        assert!(targets.contain(at(A)), "an empty answer changes nothing");
        let many = |net: u8| -> Vec<TrunkTarget> {
            (0..=limits::TRUNK_TARGETS)
                .map(|n| target(1, 1, &format!("198.51.{net}.{n}:5060")))
                .collect()
        };
        for net in 0..4 {
            targets.set(second(4), many(net));
            assert_eq!(targets.known.len(), limits::TRUNK_TARGETS);
            assert!(targets.sources().count() <= 2 * limits::TRUNK_TARGETS);
        }
        let later = second(4) + FORMER;
        targets.set(later, vec![target(0, 0, A)]);
        assert_eq!(targets.sources().count(), 1 + limits::TRUNK_TARGETS);
        targets.set(later + FORMER, vec![target(0, 0, A)]);
        assert_eq!(targets.sources().count(), 1);
        targets.clear(later);
        assert!(targets.known.is_empty() && targets.sources().count() == 1);
    }
}
