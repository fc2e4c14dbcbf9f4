//! The regression: weights by Newton's method, then thresholds by what they cost on the same half.

use crate::corpus::{Clip, Corpus, Half, KINDS, Truth};
use answering::{
    BASIS, Event, FRAME, Features, Listener, Model, Question, Settings, Verdict, Weights, expand,
};

use std::collections::BTreeMap;

/// Weights and bias.
const DIM: usize = BASIS + 1;
/// What keeps weights small that little speaks for.
const RIDGE: f64 = 8.0;
/// Thresholds are chosen on phrases and voices that their weights were not trained on: phrases are
/// in so many parts, voices in so many, and one of each is left out at a time.
const PHRASES: u32 = 4;
const VOICES: u32 = 3;
/// Calls of each kind, in times of [`crate::corpus::KINDS`]: other lines, pauses and losses cost
/// nothing.
const DRAWS: u32 = 3;
/// The parts of persons that may be called machines and of machines that may be called persons
/// there, with any part of the voices: four fifths of what is allowed on the other half (0.02 and 0.05).
const PERSONS_LOST: f64 = 0.016;
const MACHINES_TAKEN: f64 = 0.04;

/// A model that never decides, so that every question is heard to its end.
const UNDECIDED: Model = Model {
    ended: Weights {
        bias: 0.0,
        weights: [0.0; BASIS],
    },
    going: Weights {
        bias: 0.0,
        weights: [0.0; BASIS],
    },
    human_below: f32::NEG_INFINITY,
    machine_above: f32::INFINITY,
    at_limit_above: f32::INFINITY,
};

/// One question to the model: after so many ms, and whether no more will be asked.
#[derive(Clone, Copy)]
struct Asked {
    question: Question,
    features: Features,
    ms: u32,
    last: bool,
}

/// Which parts of the phrases and of the voices a clip is of.
type Fold = (u32, u32);

fn part(name: &str, of: u32) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 15)) % of
}

/// What the model was asked in one clip, and when.
struct Course {
    kind: &'static str,
    machine: bool,
    fold: Fold,
    asked: Vec<Asked>,
    /// What was said without the model, where it was: a beep, a tone, silence.
    end: Option<(Verdict, u32)>,
    greeting_end_ms: u32,
}

fn course(clip: &Clip) -> Course {
    let settings = Settings {
        model: UNDECIDED,
        ..Settings::default()
    };
    let mut listener = Listener::new(settings);
    listener.answered();
    let mut course = Course {
        kind: clip.kind,
        machine: clip.truth == Truth::Machine,
        // A voice is a speaker: the same one in each language.
        fold: (
            part(clip.phrase, PHRASES),
            part(
                clip.voice.split('+').next_back().unwrap_or_default(),
                VOICES,
            ),
        ),
        asked: Vec::new(),
        end: None,
        greeting_end_ms: clip.greeting_end as u32 / 8,
    };
    for frame in clip.samples.as_chunks::<FRAME>().0 {
        let event = listener.handle_frame(frame);
        let (features, ms) = (listener.features(), listener.heard_ms());
        let limit = matches!(event, Some(Event::Verdict(Verdict::Unknown, _)));
        // At the last limit the question is whether it went on.
        let question = listener.question().or(limit.then_some(Question::Going));
        course.asked.extend(question.map(|question| Asked {
            question,
            features,
            ms,
            last: limit,
        }));
        if let Some(Event::Verdict(verdict, _)) = event {
            course.end = (!limit).then_some((verdict, ms));
            break;
        }
    }
    course
}

/// Trains on the training half.
pub fn train() -> Model {
    let corpus = Corpus::new(Half::Training);
    let draws = KINDS
        .into_iter()
        .flat_map(|(kind, count)| (0..count * DRAWS).map(move |n| (kind, n)));
    let courses: Vec<Course> = draws
        .map(|(kind, n)| corpus.clip(kind, n))
        .filter(|clip| matches!(clip.truth, Truth::Person | Truth::Machine))
        .map(|clip| course(&clip))
        .collect();
    let both = |without: Option<Fold>| Model {
        ended: weights(&courses, Question::Ended, without),
        going: weights(&courses, Question::Going, without),
        ..UNDECIDED
    };
    let folds: BTreeMap<Fold, Model> = (0..PHRASES)
        .flat_map(|phrase| (0..VOICES).map(move |voice| (phrase, voice)))
        .map(|fold| (fold, both(Some(fold))))
        .collect();
    let judged: Vec<Judged<'_>> = courses
        .iter()
        .map(|course| Judged::new(course, &folds[&course.fold]))
        .collect();
    thresholds(&judged, both(None))
}

/// Three digits: what two machines' arithmetic may differ in is rounded away.
fn rounded(value: f64) -> f32 {
    (value * 1_000.0).round() as f32 / 1_000.0
}

/// Fitted to all that has neither a fold's phrases nor its voices.
fn weights(courses: &[Course], question: Question, without: Option<Fold>) -> Weights {
    let mut rows: Vec<([f64; DIM], f64)> = Vec::new();
    let kept = |c: &&Course| without.is_none_or(|(p, v)| c.fold.0 != p && c.fold.1 != v);
    for course in courses.iter().filter(kept) {
        let asked = course.asked.iter().filter(|a| a.question == question);
        // Every fourth frame tells as much.
        for Asked { features, .. } in asked.step_by(4) {
            let basis = expand(features);
            let row = std::array::from_fn(|n| basis.get(n).map_or(1.0, |v| f64::from(*v)));
            rows.push((row, f64::from(u8::from(course.machine))));
        }
    }
    let mut weights = [0.0; DIM];
    for _ in 0..20 {
        let mut gradient = [0.0; DIM];
        let mut curvature = [[0.0; DIM]; DIM];
        for (row, machine) in &rows {
            let odds: f64 = row.iter().zip(&weights).map(|(v, w)| v * w).sum();
            let share = 1.0 / (1.0 + (-odds).exp());
            let bend = (share * (1.0 - share)).max(1e-6);
            for n in 0..DIM {
                gradient[n] += row[n] * (machine - share);
                for m in 0..=n {
                    curvature[n][m] += bend * row[n] * row[m];
                }
            }
        }
        for n in 0..DIM {
            // The bias is free.
            let ridge = if n < BASIS { RIDGE } else { 1e-6 };
            gradient[n] -= ridge * weights[n];
            curvature[n][n] += ridge;
            let row = curvature[n];
            for (m, value) in row.iter().enumerate().take(n) {
                curvature[m][n] = *value;
            }
        }
        let step = solve(curvature, gradient);
        weights.iter_mut().zip(step).for_each(|(w, s)| *w += s);
    }
    Weights {
        bias: rounded(weights[BASIS]),
        weights: std::array::from_fn(|n| rounded(weights[n])),
    }
}

/// Gauss with the largest pivot.
fn solve(mut left: [[f64; DIM]; DIM], mut right: [f64; DIM]) -> [f64; DIM] {
    for n in 0..DIM {
        let pivot = (n..DIM).fold(n, |best, m| {
            if left[m][n].abs() > left[best][n].abs() {
                m
            } else {
                best
            }
        });
        left.swap(n, pivot);
        right.swap(n, pivot);
        for m in n + 1..DIM {
            let factor = left[m][n] / left[n][n];
            let (upper, lower) = left.split_at_mut(m);
            for (low, up) in lower[0][n..].iter_mut().zip(&upper[n][n..]) {
                *low -= factor * up;
            }
            right[m] -= factor * right[n];
        }
    }
    for n in (0..DIM).rev() {
        let known: f64 = (n + 1..DIM).map(|m| left[n][m] * right[m]).sum();
        right[n] = (right[n] - known) / left[n][n];
    }
    right
}

/// What a pair of thresholds does to the training half.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    persons_lost: f64,
    machines_taken: f64,
    /// Mean ms between a greeting's end and the verdict, of persons.
    delay: f64,
    /// Mean ms until the verdict, of machines.
    machine_ms: f64,
}

/// A course and the odds of each question in it.
struct Judged<'a> {
    course: &'a Course,
    odds: Vec<f32>,
}

impl<'a> Judged<'a> {
    fn new(course: &'a Course, model: &Model) -> Self {
        let odds = course.asked.iter().map(|asked| match asked.question {
            Question::Ended => model.ended.machine(&asked.features),
            Question::Going => model.going.machine(&asked.features),
        });
        Self {
            course,
            odds: odds.collect(),
        }
    }

    /// Whether it is taken for a machine, and after how many ms.
    fn verdict(&self, model: &Model) -> (bool, u32) {
        let found = self
            .course
            .asked
            .iter()
            .zip(&self.odds)
            .find_map(|(asked, odds)| {
                let machine = match asked.question {
                    Question::Ended if asked.features.is_plain() => Some(false),
                    Question::Ended if *odds < model.human_below => Some(false),
                    Question::Going if *odds > model.machine_above => Some(true),
                    _ if asked.last => Some(*odds > model.at_limit_above),
                    _ => None,
                };
                machine.map(|machine| (machine, asked.ms))
            });
        found.unwrap_or(match self.course.end {
            Some((verdict, ms)) => (verdict == Verdict::Machine, ms),
            None => (false, Settings::default().limit_ms),
        })
    }
}

/// What thresholds cost with the voices that suit them least: who calls has none of these.
fn worst(judged: &[Judged<'_>], model: &Model) -> Cost {
    let mut worst = cost(judged, model, None);
    for voices in 0..VOICES {
        let cost = cost(judged, model, Some(voices));
        worst.persons_lost = worst.persons_lost.max(cost.persons_lost);
        worst.machines_taken = worst.machines_taken.max(cost.machines_taken);
    }
    worst
}

fn cost(judged: &[Judged<'_>], model: &Model, voices: Option<u32>) -> Cost {
    let mut cost = Cost::default();
    let (mut persons, mut machines) = (0.0f64, 0.0f64);
    let of = |one: &&Judged<'_>| voices.is_none_or(|voices| one.course.fold.1 == voices);
    for one in judged.iter().filter(of) {
        let (machine, ms) = one.verdict(model);
        if one.course.machine {
            machines += 1.0;
            cost.machines_taken += f64::from(u8::from(!machine));
            cost.machine_ms += f64::from(ms);
        } else {
            persons += 1.0;
            cost.persons_lost += f64::from(u8::from(machine));
            cost.delay += f64::from(ms.saturating_sub(one.course.greeting_end_ms));
        }
    }
    cost.persons_lost /= persons;
    cost.delay /= persons;
    cost.machines_taken /= machines;
    cost.machine_ms /= machines;
    cost
}

/// The thresholds with the least delay among those that lose few enough; where there are none,
/// those that lose least.
fn thresholds(judged: &[Judged<'_>], model: Model) -> Model {
    let mut best: Option<(f64, Model, Cost)> = None;
    let quarters = |n: i16| f32::from(n) / 4.0;
    for human in -24..=-4 {
        for machine in [2, 4, 6, 8, 12, 16, 400] {
            for limit in [-10, -8, -6, -4, -2, 0, 2] {
                let model = Model {
                    human_below: quarters(human),
                    machine_above: quarters(machine),
                    at_limit_above: quarters(limit),
                    ..model
                };
                let cost = worst(judged, &model);
                let over = (cost.persons_lost - PERSONS_LOST).max(0.0)
                    + (cost.machines_taken - MACHINES_TAKEN).max(0.0);
                let price = over * 1e5 + cost.delay + cost.machine_ms / 20.0;
                if best.as_ref().is_none_or(|(least, _, _)| price < *least) {
                    best = Some((price, model, cost));
                }
            }
        }
    }
    let (_, model, cost) = best.expect("at least one pair was tried");
    for (kind, _) in KINDS {
        let (mut wrong, mut after) = (0, Vec::new());
        for one in judged.iter().filter(|one| one.course.kind == kind) {
            let (machine, ms) = one.verdict(&model);
            wrong += u32::from(machine != one.course.machine);
            after.push(i64::from(ms) - i64::from(one.course.greeting_end_ms));
        }
        after.sort_unstable();
        if let (Some(half), Some(most)) =
            (after.get(after.len() / 2), after.get(after.len() * 19 / 20))
        {
            let all = after.len();
            eprintln!("{kind}: {wrong} of {all} wrong, {half} ms, 1 of 20 over {most} ms");
        }
    }
    eprintln!("on phrases and voices left out of the training, the worst voices: {cost:?}");
    model
}
