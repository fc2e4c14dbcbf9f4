//! What is learned while dialing: how long talks and wrap-ups last, who answers and when. All of it
//! forgets, all of it lives in arrays of fixed size.

use domain::Instant;

/// Moments ahead at which the outlook is computed.
pub(super) const STEPS: usize = 12;
/// One value for each moment.
pub(super) type Row = [f32; STEPS];
/// Ages of lines are kept by the second up to here; the longest ring limit is 120 s.
pub(super) const SECONDS: usize = 128;
/// How long a person may wait: an agent free so soon after the answer is in time.
const PATIENCE: usize = 2;
const BINS: usize = 32;
/// Where the bins of durations begin, in seconds; the last one has no end.
const EDGES: [u16; BINS] = [
    0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 54, 64, 76, 90, 107, 127, 151,
    180, 214, 255, 304, 362, 480, 720,
];
const BIN_OF: [u8; 721] = {
    let (mut table, mut second, mut bin) = ([0; 721], 0, 0);
    while second < 721 {
        if bin + 1 < BINS && second >= EDGES[bin + 1] as usize {
            bin += 1;
        }
        table[second] = bin as u8;
        second += 1;
    }
    table
};

/// The bin of a duration in seconds.
pub(super) fn bin(seconds: f32) -> usize {
    usize::from(BIN_OF[(seconds as usize).min(720)])
}

/// Hazards by bin: events over exposure, shrunk to their own mean by one event each.
#[derive(Clone, Debug)]
struct Survival {
    events: [f32; BINS],
    exposure: [f32; BINS],
    prior: f32,
}

impl Survival {
    /// Knows nothing but a likely mean.
    fn new(prior: f32) -> Self {
        Self {
            events: [0.0; BINS],
            exposure: [0.0; BINS],
            prior,
        }
    }

    fn note(&mut self, lasted: f32) {
        const KEPT: f32 = 1.0 - 1.0 / 4000.0;
        let last = bin(lasted);
        for (at, from) in EDGES.iter().enumerate() {
            self.events[at] *= KEPT;
            self.exposure[at] *= KEPT;
            let from = f32::from(*from);
            let to = EDGES.get(at + 1).map_or(f32::MAX, |e| f32::from(*e));
            self.exposure[at] += (lasted.min(to) - from).max(0.0);
        }
        self.events[last] += 1.0;
    }

    fn mean(&self) -> f32 {
        let (events, exposure) = (self.events.iter(), self.exposure.iter());
        (exposure.sum::<f32>() + self.prior) / (events.sum::<f32>() + 1.0)
    }

    /// The share that ends within one second, by bin.
    fn ends(&self) -> [f32; BINS] {
        let mean = self.mean();
        std::array::from_fn(|at| {
            let hazard = (self.events[at] + 1.0) / (self.exposure[at] + mean);
            1.0 - (-hazard).exp()
        })
    }
}

/// When agents come free.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    talk: Survival,
    wrap_up: Survival,
    /// Wrap-ups after which the agent was ready, and all.
    ready: (f32, f32),
    /// Talks seen, without forgetting.
    pub(super) seen: u32,
    /// Chance of being free within each step and the patience, by bin of the age reached.
    on_call: [Row; BINS],
    in_wrap_up: [Row; BINS],
    /// The row renewed next.
    next: usize,
    talk_ends: [f32; BINS],
    wrap_up_ends: [f32; BINS],
    /// Chance that a whole wrap-up is over within so many seconds and a half.
    wrapped: [f32; SECONDS],
}

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            talk: Survival::new(120.0),
            wrap_up: Survival::new(15.0),
            ready: (19.0, 20.0),
            seen: 0,
            on_call: [[0.0; STEPS]; BINS],
            in_wrap_up: [[0.0; STEPS]; BINS],
            next: 0,
            talk_ends: [0.0; BINS],
            wrap_up_ends: [0.0; BINS],
            wrapped: [0.0; SECONDS],
        }
    }

    pub(super) fn talked(&mut self, lasted: f32) {
        self.talk.note(lasted);
        self.seen = self.seen.saturating_add(1);
    }

    pub(super) fn wrapped_up(&mut self, lasted: f32, ready: bool) {
        const KEPT: f32 = 1.0 - 1.0 / 1000.0;
        self.wrap_up.note(lasted);
        self.ready.0 = self.ready.0 * KEPT + f32::from(u8::from(ready));
        self.ready.1 = self.ready.1 * KEPT + 1.0;
    }

    pub(super) fn mean_talk(&self) -> f32 {
        self.talk.mean()
    }

    /// Chance of an agent on a call being free in time for each step.
    pub(super) fn on_call(&self, bin: usize) -> &Row {
        &self.on_call[bin]
    }

    /// The same for one in wrap-up.
    pub(super) fn in_wrap_up(&self, bin: usize) -> &Row {
        &self.in_wrap_up[bin]
    }

    /// Renews one row of the tables: work is spread over decisions, so that none pays for all.
    pub(super) fn renew(&mut self, steps: &[usize; STEPS]) {
        if self.next == 0 {
            self.talk_ends = self.talk.ends();
            self.wrap_up_ends = self.wrap_up.ends();
            let (mut left, mut before) = (1.0, 0.0);
            for second in 0..SECONDS {
                left *= 1.0 - self.wrap_up_ends[bin(second as f32)];
                self.wrapped[second] = (before + 1.0 - left) / 2.0;
                before = 1.0 - left;
            }
        }
        let at = self.next / 2;
        if self.next.is_multiple_of(2) {
            self.renew_on_call(at, steps);
        } else {
            self.renew_wrap_up(at, steps);
        }
        self.next = (self.next + 1) % (2 * BINS);
    }

    /// Renews all of them.
    pub(super) fn renew_all(&mut self, steps: &[usize; STEPS]) {
        self.next = 0;
        for _ in 0..2 * BINS {
            self.renew(steps);
        }
    }

    fn stays(&self) -> f32 {
        self.ready.0 / self.ready.1
    }

    /// The age that stands for a bin.
    fn age(at: usize) -> f32 {
        let from = f32::from(EDGES[at]);
        EDGES
            .get(at + 1)
            .map_or(from * 1.2, |to| (from + f32::from(*to)) / 2.0)
    }

    fn renew_on_call(&mut self, at: usize, steps: &[usize; STEPS]) {
        let mut row = [0.0; STEPS];
        let (mut left, age) = (1.0, Self::age(at));
        for second in 0..(steps[STEPS - 1] + PATIENCE).min(SECONDS) {
            let ends = left * self.talk_ends[bin(age + second as f32)];
            left -= ends;
            for (chance, step) in row.iter_mut().zip(steps) {
                // The talk ends in the middle of its second.
                if let Some(rest) = (step + PATIENCE).checked_sub(second + 1) {
                    *chance += ends * self.wrapped[rest.min(SECONDS - 1)];
                }
            }
        }
        let stays = self.stays();
        self.on_call[at] = row.map(|chance| chance * stays);
    }

    fn renew_wrap_up(&mut self, at: usize, steps: &[usize; STEPS]) {
        let (mut left, age, stays) = (1.0, Self::age(at), self.stays());
        let (mut second, mut row) = (0, [0.0; STEPS]);
        for (chance, step) in row.iter_mut().zip(steps) {
            while second < step + PATIENCE {
                left *= 1.0 - self.wrap_up_ends[bin(age + second as f32)];
                second += 1;
            }
            *chance = (1.0 - left) * stays;
        }
        self.in_wrap_up[at] = row;
    }
}

/// Who answers, and when.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    /// Answers and other ends by second of age.
    answered: [f32; SECONDS],
    unanswered: [f32; SECONDS],
    /// Answers and other ends with a memory of minutes, and with one of hours.
    fast: (f32, f32),
    slow: (f32, f32),
    /// Screenings that found no person, beside `persons` that were found.
    machines: f32,
    persons: f32,
    last: Instant,
    /// Outcomes seen, without forgetting.
    pub(super) seen: u32,
    dirty: bool,
    /// Seconds ahead of each step.
    pub(super) steps: [usize; STEPS],
    width: usize,
    /// When a new line that is answered is answered: the weight of each step.
    pub(super) weights: Row,
    /// Chance of a line of that age being answered by each step.
    by: [Row; SECONDS],
}

impl Answers {
    pub(super) fn new() -> Self {
        let guess = |at: usize| if (2..20).contains(&at) { 0.03 } else { 0.0 };
        let mut answers = Self {
            answered: std::array::from_fn(guess),
            unanswered: std::array::from_fn(|at| if at == 25 { 0.5 } else { 0.001 }),
            fast: (0.6, 1.4),
            slow: (0.6, 1.4),
            machines: 0.0,
            persons: 1.0,
            last: Instant::ZERO,
            seen: 0,
            dirty: true,
            steps: [0; STEPS],
            width: 0,
            weights: [0.0; STEPS],
            by: [[0.0; STEPS]; SECONDS],
        };
        answers.renew();
        answers
    }

    /// Seconds from one step to the next.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// The place of an age.
    pub(super) fn place(age: f32) -> usize {
        ((age + 0.5) as usize).min(SECONDS - 1)
    }

    pub(super) fn rate(&self) -> f32 {
        /// What was seen for long counts as so many lines of the last minutes.
        const USUAL: f32 = 40.0;
        let usual = self.slow.0 / (self.slow.0 + self.slow.1);
        let now = (self.fast.0 + USUAL * usual) / (self.fast.0 + self.fast.1 + USUAL);
        // A silent carrier looks like a list that nobody answers; dialing ever more into it would
        // end in a flood of answers when it comes back.
        now.max(usual / 2.0)
    }

    /// The share of screenings that find a person.
    pub(super) fn person(&self) -> f32 {
        self.persons / (self.persons + self.machines)
    }

    pub(super) fn by(&self, place: usize) -> &Row {
        &self.by[place]
    }

    /// A line ended with a person's answer.
    pub(super) fn note_answered(&mut self, now: Instant, after: f32) {
        self.forget(now);
        self.answered[Self::place(after)] += 1.0;
        self.persons += 1.0;
        self.count(1.0);
    }

    /// A line ended without one.
    pub(super) fn note_unanswered(&mut self, now: Instant, after: f32, machine: bool) {
        self.forget(now);
        self.unanswered[Self::place(after)] += 1.0;
        self.machines += f32::from(u8::from(machine));
        self.count(0.0);
    }

    /// We ended it: counted as what it would have become, as far as is known.
    pub(super) fn note_given_up(&mut self, now: Instant, after: f32) {
        self.renew();
        self.forget(now);
        let at = Self::place(after);
        let yes: f32 = self.answered[at..].iter().sum();
        let no: f32 = self.unanswered[at..].iter().sum();
        let (all_yes, all_no) = (
            self.answered.iter().sum::<f32>(),
            self.unanswered.iter().sum::<f32>(),
        );
        let rate = self.rate();
        let share = |yes: f32, no: f32| {
            if yes + no > 0.0 {
                yes / (yes + no)
            } else {
                0.0
            }
        };
        let answer = share(rate * yes / all_yes, (1.0 - rate) * no / all_no);
        if yes > 0.0 {
            for weight in &mut self.answered[at..] {
                *weight += answer * *weight / yes;
            }
        }
        if no > 0.0 {
            for weight in &mut self.unanswered[at..] {
                *weight += (1.0 - answer) * *weight / no;
            }
        }
        self.count(answer);
    }

    fn count(&mut self, answer: f32) {
        for (yes, no) in [&mut self.fast, &mut self.slow] {
            *yes += answer;
            *no += 1.0 - answer;
        }
        self.seen = self.seen.saturating_add(1);
        self.dirty = true;
    }

    fn forget(&mut self, now: Instant) {
        let passed = now.since(self.last).as_secs_f32();
        self.last = now;
        // Eight minutes or 150 lines, whichever remembers more.
        let fast = (-passed / 480.0).exp().max(1.0 - 1.0 / 150.0);
        let slow = 1.0 - 1.0 / 5000.0;
        self.fast = (self.fast.0 * fast, self.fast.1 * fast);
        self.slow = (self.slow.0 * slow, self.slow.1 * slow);
        self.persons *= slow;
        self.machines *= slow;
        for weight in self.answered.iter_mut().chain(&mut self.unanswered) {
            *weight *= 1.0 - 1.0 / 3000.0;
        }
    }

    /// Brings the tables up to what was learned. True when the steps moved.
    pub(super) fn renew(&mut self) -> bool {
        if !self.dirty {
            return false;
        }
        self.dirty = false;
        let (mut yes, mut no) = ([0.0f32; SECONDS + 1], [0.0f32; SECONDS + 1]);
        for at in 0..SECONDS {
            yes[at + 1] = yes[at] + self.answered[at];
            no[at + 1] = no[at] + self.unanswered[at];
        }
        let moved = self.place_steps(&yes);
        let (all_yes, all_no) = (yes[SECONDS], no[SECONDS]);
        let rate = self.rate();
        for at in 0..SECONDS {
            let (yes_left, no_left) = (1.0 - yes[at] / all_yes, 1.0 - no[at] / all_no);
            let alive = rate * yes_left + (1.0 - rate) * no_left;
            let scale = if alive > 1e-6 {
                rate / (alive * all_yes)
            } else {
                0.0
            };
            for (chance, step) in self.by[at].iter_mut().zip(&self.steps) {
                *chance = ((yes[(at + step).min(SECONDS)] - yes[at]) * scale).clamp(0.0, 1.0);
            }
        }
        moved
    }

    /// Spreads the steps over the time in which answers come, and weighs them.
    fn place_steps(&mut self, yes: &[f32; SECONDS + 1]) -> bool {
        let all = yes[SECONDS];
        let nearly = yes.iter().position(|sum| *sum >= 0.99 * all).unwrap_or(30);
        let width = nearly.div_ceil(STEPS).clamp(1, 10);
        let moved = width != self.width;
        self.width = width;
        for at in 0..STEPS {
            let (from, to) = (at * width, (at + 1) * width);
            self.steps[at] = from + width.div_ceil(2);
            let to = if at + 1 == STEPS { SECONDS } else { to };
            self.weights[at] = (yes[to] - yes[from]) / all;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_their_durations() {
        assert_eq!((bin(0.9), bin(1.0), bin(15.9), bin(719.9)), (0, 1, 10, 30));
        assert_eq!((bin(720.0), bin(1e9)), (31, 31));
    }

    #[test]
    fn talks_are_learned_by_age() {
        let mut ends = Ends::new();
        // Every talk lasts 60 s, every wrap-up 10 s.
        for _ in 0..500 {
            ends.talked(60.0);
            ends.wrapped_up(10.0, true);
        }
        let steps: [usize; STEPS] = std::array::from_fn(|k| 2 * k + 1);
        ends.renew_all(&steps);
        let (young, old) = (ends.on_call(bin(5.0)), ends.on_call(bin(58.0)));
        assert!(young[STEPS - 1] < 0.05, "{young:?}");
        assert!(old[STEPS - 1] > 0.6, "{old:?}");
        assert!(ends.in_wrap_up(bin(9.5))[2] > 0.8);
        assert!(ends.in_wrap_up(bin(0.5))[0] < 0.1);
        assert!(old.windows(2).all(|pair| pair[0] <= pair[1]), "{old:?}");
    }

    #[test]
    fn breaks_are_learned() {
        let mut ends = Ends::new();
        for n in 0..2000 {
            ends.wrapped_up(10.0, n % 2 == 0);
        }
        assert!((ends.stays() - 0.5).abs() < 0.03, "{}", ends.stays());
    }

    #[test]
    fn answers_are_learned_by_age_and_forgotten() {
        let mut answers = Answers::new();
        let mut now = Instant::ZERO;
        for n in 0..3000u64 {
            now = Instant::from_millis(n * 1000);
            if n % 5 == 0 {
                answers.note_answered(now, 10.0);
            } else {
                answers.note_unanswered(now, 25.0, false);
            }
        }
        answers.renew();
        assert!((answers.rate() - 0.2).abs() < 0.01, "{}", answers.rate());
        assert!(answers.by(5)[STEPS - 1] > 0.18);
        assert!(
            answers.by(12)[STEPS - 1] < 0.03,
            "nobody answers after 10 s"
        );
        let heaviest =
            (0..STEPS).max_by(|a, b| answers.weights[*a].total_cmp(&answers.weights[*b]));
        assert_eq!(
            answers.steps[heaviest.unwrap()],
            11,
            "{:?}",
            answers.weights
        );
        for n in 0..1500u64 {
            answers.note_answered(now + std::time::Duration::from_secs(n), 10.0);
        }
        assert!(answers.rate() > 0.9, "{}", answers.rate());
    }

    #[test]
    fn silence_does_not_make_the_rate_vanish() {
        let mut answers = Answers::new();
        for n in 0..4000u64 {
            let now = Instant::from_millis(n * 200);
            match n % 3 {
                0 if n < 3000 => answers.note_answered(now, 8.0),
                _ => answers.note_unanswered(now, 25.0, false),
            }
        }
        answers.renew();
        assert!(answers.rate() > 0.1, "{}", answers.rate());
    }

    #[test]
    fn lines_given_up_do_not_move_what_is_known() {
        let mut answers = Answers::new();
        for n in 0..6000u64 {
            let now = Instant::from_millis(n * 1000);
            match n % 3 {
                0 => answers.note_answered(now, 5.0 + (n % 17) as f32),
                _ => answers.note_unanswered(now, 25.0, false),
            }
        }
        answers.renew();
        let before = (answers.rate(), answers.by(15)[STEPS - 1]);
        // Had none been given up at 15 s, one in three would have been answered by 21 s.
        for n in 0..6000u64 {
            let now = Instant::from_millis(6_000_000 + n * 1000);
            match n % 3 {
                0 if 5 + n % 17 < 15 => answers.note_answered(now, 5.0 + (n % 17) as f32),
                _ => answers.note_given_up(now, 15.0),
            }
        }
        answers.renew();
        let after = (answers.rate(), answers.by(15)[STEPS - 1]);
        assert!((before.0 - after.0).abs() < 0.03, "{before:?} {after:?}");
        assert!((before.1 - after.1).abs() < 0.05, "{before:?} {after:?}");
    }

    #[test]
    fn machines_lower_what_a_screening_promises() {
        let mut answers = Answers::new();
        for n in 0..2000u64 {
            let now = Instant::from_millis(n * 1000);
            answers.note_answered(now, 8.0);
            answers.note_unanswered(now, 8.0, true);
        }
        assert!((answers.person() - 0.5).abs() < 0.01);
    }
}
