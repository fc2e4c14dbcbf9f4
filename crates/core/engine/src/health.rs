//! Whether a trunk is to be used: what its calls, OPTIONS and REGISTER say, with hysteresis.
//!
//! A failing carrier is left, rests, and is tried again by one call. What OPTIONS and REGISTER say
//! stands beside that: where they fail no call is spent on trying.

use domain::{AttemptId, Instant, WallTime, limits, status::TrunkTrouble};
use sansio::{table, transitions::Table};
use std::time::Duration;

/// Calls in a row that fail on the carrier's side and make it be left.
const FAILURES: u8 = 3;
/// INVITEs in a row left without a word that do, when nothing else was heard meanwhile.
const SILENT: u8 = 2;
/// How long an INVITE may stay without a word before that counts: T1, after which it is repeated, and
/// some. (A server that needs longer than 200 ms says 100: RFC 3261 section 8.2.6.1.)
pub(crate) const DOUBT: Duration = Duration::from_millis(600);
/// How long a call may stay without a word before it is tried on another trunk.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
/// The first rest; each one after a try in vain is twice as long.
const REST_MIN: Duration = Duration::from_secs(1);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(30);
/// The rest of a trunk whose calls are answered no more: long enough for another 64 calls elsewhere.
const REST_UNANSWERED: Duration = Duration::from_secs(60);
/// Calls of which a trunk's own past is known well enough.
const PAST_MIN: u32 = 512;
/// Beyond so many calls the past is halved: it follows the time of day.
const PAST_MAX: u32 = 4_096;
/// Calls that are compared with the past.
const RECENT: u32 = u64::BITS;

/// Whether calls may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As many as fit.
    Up,
    /// None until its rest is over, then one.
    Out,
    /// That one is out.
    Trying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Failed,
    Tried,
    Worked,
    /// The one call ended without a word of the carrier's health.
    Undecided,
}

pub(crate) const TABLE: Table<State, Event> = table!("trunk use", State, Event;
    Up: Failed => Out,
    Out: Tried => Trying,
    Out: Worked => Up,
    Trying: Failed => Out,
    Trying: Worked => Up,
    Trying: Undecided => Out,
);

/// How many calls a trunk may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Any,
    One,
    None,
}

/// One trunk's.
#[derive(Debug)]
pub(crate) struct Health {
    state: State,
    /// Why it is not up.
    cause: TrunkTrouble,
    /// When its rest is over.
    until: Instant,
    /// How long the next rest is.
    rest: Duration,
    failures: u8,
    silent: u8,
    /// When the carrier said anything last.
    heard_at: Instant,
    trial: Option<AttemptId>,
    answers: Answers,
    pub(crate) unusable: bool,
    pub(crate) unresolved: bool,
    pub(crate) no_options: bool,
    pub(crate) unregistered: bool,
    told: Option<TrunkTrouble>,
    since: WallTime,
    pub(crate) failed_over: u64,
}

impl Health {
    pub(crate) fn new(now: WallTime) -> Self {
        Self {
            state: State::Up,
            cause: TrunkTrouble::Errors,
            until: Instant::ZERO,
            rest: REST_MIN,
            failures: 0,
            silent: 0,
            heard_at: Instant::ZERO,
            trial: None,
            answers: Answers::default(),
            unusable: false,
            unresolved: false,
            no_options: false,
            unregistered: false,
            told: None,
            since: now,
            failed_over: 0,
        }
    }

    /// An operator changed the trunk: what its calls said of it is forgotten.
    pub(crate) fn forgive(&mut self) {
        self.state = State::Up;
        (self.failures, self.silent, self.rest) = (0, 0, REST_MIN);
        self.trial = None;
        self.answers = Answers::default();
    }

    /// Why it takes no call as it likes.
    pub(crate) fn trouble(&self) -> Option<TrunkTrouble> {
        match self.state {
            _ if self.unusable => Some(TrunkTrouble::Unusable),
            _ if self.unresolved => Some(TrunkTrouble::Unresolved),
            _ if self.no_options => Some(TrunkTrouble::NoOptions),
            _ if self.unregistered => Some(TrunkTrouble::Unregistered),
            State::Up => None,
            State::Out | State::Trying => Some(self.cause),
        }
    }

    /// Since when it is as it is.
    pub(crate) const fn since(&self) -> WallTime {
        self.since
    }

    /// Whether its trouble changed since this was asked last.
    pub(crate) fn changed(&mut self, now: WallTime) -> bool {
        let trouble = self.trouble();
        let changed = trouble != self.told;
        if changed {
            self.told = trouble;
            self.since = now;
        }
        changed
    }

    /// How many calls it may be given now.
    pub(crate) fn room(&self, now: Instant) -> Room {
        match self.state {
            _ if self.unusable || self.unresolved => Room::None,
            _ if self.no_options || self.unregistered => Room::None,
            State::Up => Room::Any,
            State::Out if self.until <= now => Room::One,
            State::Out | State::Trying => Room::None,
        }
    }

    fn step(&mut self, event: Event) {
        if let Some(next) = TABLE.next(self.state, event) {
            self.state = next;
        }
        if self.state != State::Trying {
            self.trial = None;
        }
        if self.state == State::Up {
            (self.failures, self.silent, self.rest) = (0, 0, REST_MIN);
        }
    }

    /// A call leaves by it.
    pub(crate) fn dialed(&mut self, attempt: AttemptId) {
        if self.state == State::Out {
            self.step(Event::Tried);
            self.trial = Some(attempt);
        }
    }

    /// The carrier said anything at all.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.silent = 0;
        if self.is_mute() {
            self.step(Event::Worked);
        }
    }

    /// Whether it is out for want of any word.
    pub(crate) fn is_mute(&self) -> bool {
        let mute = matches!(self.cause, TrunkTrouble::Silent | TrunkTrouble::Unreachable);
        mute && self.state != State::Up
    }

    /// A call rang, was answered, or ended with a word about its person.
    pub(crate) fn worked(&mut self, attempt: AttemptId) {
        self.failures = 0;
        if self.trial == Some(attempt) {
            self.step(Event::Worked);
        }
    }

    /// A call ended without a word of the carrier's health.
    pub(crate) fn undecided(&mut self, attempt: AttemptId) {
        if self.trial == Some(attempt) {
            self.step(Event::Undecided);
        }
    }

    /// A call failed on the carrier's side; `retry_after` is what the carrier asked for.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        cause: TrunkTrouble,
        retry_after: Option<Duration>,
    ) {
        self.failures = self.failures.saturating_add(1);
        let trial = self.trial == Some(attempt);
        match retry_after {
            Some(asked) => {
                let rest = asked.clamp(REST_MIN, limits::TRUNK_REST_MAX);
                self.leave(now, TrunkTrouble::RetryAfter, rest);
            }
            None if trial || self.failures >= FAILURES || cause == TrunkTrouble::Unreachable => {
                self.leave_for_longer(now, cause);
            }
            None => {}
        }
    }

    /// An INVITE sent at `sent` has had no word for [`DOUBT`].
    pub(crate) fn doubted(&mut self, now: Instant, attempt: AttemptId, sent: Instant) {
        if self.heard_at > sent {
            return;
        }
        self.silent = self.silent.saturating_add(1);
        if self.silent >= SILENT || self.trial == Some(attempt) {
            self.leave_for_longer(now, TrunkTrouble::Silent);
        }
    }

    /// An INVITE sent at `sent` has had no word for [`PATIENCE`].
    pub(crate) fn given_up(&mut self, now: Instant, sent: Instant) {
        if self.heard_at <= sent {
            self.leave_for_longer(now, TrunkTrouble::Silent);
        }
    }

    fn leave_for_longer(&mut self, now: Instant, cause: TrunkTrouble) {
        if self.state == State::Out {
            // Calls from before: they say nothing new.
            return;
        }
        self.leave(now, cause, self.rest);
        self.rest = (self.rest * 2).min(REST_MAX);
    }

    fn leave(&mut self, now: Instant, cause: TrunkTrouble, rest: Duration) {
        let until = now + rest;
        if self.state == State::Out {
            // The carrier's own wish counts, whatever it was left for.
            self.until = self.until.max(until);
            return;
        }
        self.step(Event::Failed);
        self.cause = cause;
        self.until = until;
    }

    /// A call got through to the network and was answered, or was not.
    pub(crate) fn seized(&mut self, answered: bool) {
        self.answers.push(answered);
    }

    /// Whether its share of answered calls fell to a quarter of what it used to be.
    pub(crate) fn fell(&self) -> bool {
        self.state == State::Up && self.answers.below(4)
    }

    /// Whether its share of answered calls is known, and no less than half of what it used to be.
    pub(crate) fn holds(&self) -> bool {
        self.trouble().is_none() && self.answers.is_known() && !self.answers.below(2)
    }

    /// It fell, on this trunk alone.
    pub(crate) fn rest_unanswered(&mut self, now: Instant) {
        self.leave(now, TrunkTrouble::FewAnswers, REST_UNANSWERED);
        self.answers.forget_recent();
    }
}

/// Answers of the last calls, and of those before.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    /// One bit a call, the newest lowest.
    recent: u64,
    seen: u32,
    past: u32,
    past_answered: u32,
}

impl Answers {
    fn push(&mut self, answered: bool) {
        if self.seen == RECENT {
            self.past += 1;
            self.past_answered += u32::from(self.recent >> (RECENT - 1) == 1);
            if self.past > PAST_MAX {
                self.past /= 2;
                self.past_answered /= 2;
            }
        } else {
            self.seen += 1;
        }
        self.recent = self.recent << 1 | u64::from(answered);
    }

    fn forget_recent(&mut self) {
        (self.recent, self.seen) = (0, 0);
    }

    /// Enough calls, of which one in twenty was answered: less than that tells nothing.
    fn is_known(&self) -> bool {
        self.seen == RECENT && self.past >= PAST_MIN && self.past_answered * 20 >= self.past
    }

    /// Whether fewer than one in `part` of the calls are answered that used to be.
    fn below(&self, part: u32) -> bool {
        let now = u64::from(self.recent.count_ones()) * u64::from(self.past) * u64::from(part);
        self.is_known() && now < u64::from(self.past_answered) * u64::from(RECENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RegionId;

    const NOW: Instant = Instant::from_millis(100_000);

    fn attempt(n: u32) -> AttemptId {
        AttemptId::new(RegionId(1), 1, n)
    }

    fn after(millis: u64) -> Instant {
        NOW + Duration::from_millis(millis)
    }

    fn health() -> Health {
        let mut health = Health::new(WallTime::EPOCH);
        health.heard(NOW);
        health
    }

    fn error(health: &mut Health, now: Instant, n: u32) {
        health.failed(now, attempt(n), TrunkTrouble::Errors, None);
    }

    #[test]
    fn drawing() {
        insta::assert_snapshot!("trunk_use", TABLE.drawing());
    }

    #[test]
    fn three_errors_in_a_row_and_one_call_to_come_back() {
        let mut health = health();
        error(&mut health, NOW, 1);
        error(&mut health, NOW, 2);
        health.worked(attempt(3));
        error(&mut health, NOW, 4);
        error(&mut health, NOW, 5);
        assert_eq!(health.room(NOW), Room::Any);
        error(&mut health, NOW, 6);
        assert_eq!(health.trouble(), Some(TrunkTrouble::Errors));
        // Calls from before do not make it longer.
        error(&mut health, after(900), 7);
        health.worked(attempt(8));
        assert_eq!(health.room(after(999)), Room::None);
        assert_eq!(health.room(after(1_000)), Room::One);
        health.dialed(attempt(9));
        assert_eq!(health.room(after(1_000)), Room::None);
        error(&mut health, after(1_100), 9);
        // Twice as long each time, up to the bound.
        let mut at = after(1_100);
        for rest in [2, 4, 8, 16, 30, 30] {
            let over = at + Duration::from_secs(rest);
            assert_eq!(
                health.room(at + Duration::from_millis(rest * 1000 - 1)),
                Room::None
            );
            assert_eq!(health.room(over), Room::One, "{rest}");
            health.dialed(attempt(10));
            error(&mut health, over, 10);
            at = over;
        }
        let over = at + REST_MAX;
        health.dialed(attempt(11));
        health.undecided(attempt(11));
        assert_eq!(health.room(over), Room::One, "nothing was learned");
        health.dialed(attempt(12));
        health.worked(attempt(12));
        assert_eq!((health.room(over), health.trouble()), (Room::Any, None));
        for n in 0..3 {
            error(&mut health, over, n);
        }
        assert_eq!(health.room(over + REST_MIN), Room::One, "short again");
    }

    #[test]
    fn a_carriers_wish_is_bounded() {
        for (asked, rest) in [(0, 1), (7, 7), (300, 300), (86_400, 300)] {
            let mut health = health();
            let asked = Some(Duration::from_secs(asked));
            health.failed(NOW, attempt(1), TrunkTrouble::Errors, asked);
            assert_eq!(health.trouble(), Some(TrunkTrouble::RetryAfter));
            health.heard(after(10));
            let over = NOW + Duration::from_secs(rest);
            assert_eq!(health.room(over), Room::One, "{rest}");
            assert_eq!(health.room(after(rest * 1000 - 1)), Room::None, "{rest}");
        }
    }

    #[test]
    fn silence_is_noticed_by_the_second_invite_and_ends_with_a_word() {
        let mut health = health();
        health.doubted(after(700), attempt(1), after(100));
        assert_eq!(health.trouble(), None);
        health.heard(after(800));
        health.doubted(after(900), attempt(2), after(300));
        health.doubted(after(1_500), attempt(3), after(900));
        assert_eq!(health.trouble(), None, "something was heard in between");
        health.doubted(after(1_600), attempt(4), after(1_000));
        assert_eq!(health.trouble(), Some(TrunkTrouble::Silent));
        health.heard(after(1_700));
        assert_eq!(health.room(after(1_700)), Room::Any);
        // One call alone, that nothing ever came back for.
        health.given_up(after(6_000), after(2_000));
        assert_eq!(health.trouble(), Some(TrunkTrouble::Silent));
        health.dialed(attempt(5));
        health.doubted(after(8_000), attempt(5), after(7_400));
        assert_eq!(health.room(after(9_999)), Room::None);
        assert_eq!(health.room(after(10_000)), Room::One);
    }

    #[test]
    fn an_address_that_cannot_be_reached_is_left_at_once() {
        let mut health = health();
        health.failed(NOW, attempt(1), TrunkTrouble::Unreachable, None);
        assert_eq!(health.trouble(), Some(TrunkTrouble::Unreachable));
        assert!(health.changed(WallTime::from_millis(5)) && !health.changed(WallTime::EPOCH));
        assert_eq!(health.since(), WallTime::from_millis(5));
        health.forgive();
        assert_eq!(health.room(NOW), Room::Any);
        health.no_options = true;
        assert_eq!(health.trouble(), Some(TrunkTrouble::NoOptions));
        assert_eq!(health.room(NOW), Room::None);
    }

    #[test]
    fn few_answers_are_few_beside_its_own_past() {
        let mut health = health();
        // One in two, as ever.
        for n in 0..PAST_MIN + RECENT {
            assert!(!health.fell());
            health.seized(n % 2 == 0);
        }
        assert!(health.holds());
        // One in eight is a quarter of that, and not below it yet.
        for n in 0..RECENT {
            health.seized(n % 8 == 0);
        }
        assert!(!health.fell() && !health.holds());
        health.seized(false);
        health.seized(false);
        for _ in 0..8 {
            health.seized(false);
        }
        assert!(health.fell());
        health.rest_unanswered(NOW);
        assert_eq!(health.trouble(), Some(TrunkTrouble::FewAnswers));
        assert_eq!(health.room(NOW + REST_UNANSWERED), Room::One);
        health.dialed(attempt(1));
        health.worked(attempt(1));
        assert!(
            health.trouble().is_none() && !health.fell(),
            "it starts anew"
        );
    }

    #[test]
    fn the_past_has_a_bound_and_a_trunk_that_was_never_answered_does_not_fall() {
        let mut answers = Answers::default();
        for n in 0..3 * PAST_MAX {
            answers.push(n % 3 == 0);
            assert!(answers.past <= PAST_MAX && answers.past_answered <= answers.past);
        }
        assert!(answers.is_known() && !answers.below(2));
        let mut never = Answers::default();
        for n in 0..2_000 {
            never.push(n % 40 == 0);
        }
        assert!(!never.is_known() && !never.below(4));
    }
}
