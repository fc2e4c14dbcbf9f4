//! The classifier and `app_amd`'s rule on the held-out half of the corpus: who takes whom for
//! what, and how soon.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a test"
)]

#[path = "corpus/app_amd.rs"]
mod app_amd;
#[path = "corpus/mod.rs"]
mod corpus;

use answering::{Event, FRAME, Listener, Reason, Settings, Verdict};
use app_amd::{AppAmd, PUBLISHED, Status};
use corpus::speech::KEPT_WITH;
use corpus::{Clip, Corpus, Half, KINDS, Truth};
use std::{collections::BTreeMap, fmt::Write};

/// What was said of one clip.
struct Heard {
    verdict: Option<(Verdict, Reason)>,
    /// Since the clip began, and of that speech.
    ms: u32,
    spoken_ms: u32,
    /// When a beep was told.
    beep_ms: Option<u32>,
}

fn hear(clip: &Clip) -> Heard {
    let mut listener = Listener::new(Settings::default());
    if !clip.early {
        listener.answered();
    }
    let mut heard = Heard {
        verdict: None,
        ms: 0,
        spoken_ms: 0,
        beep_ms: None,
    };
    for frame in clip.samples.as_chunks::<FRAME>().0 {
        match listener.handle_frame(frame) {
            // What comes after ringback tells more.
            Some(Event::Verdict(verdict, reason)) => {
                heard.verdict = Some((verdict, reason));
                heard.ms = listener.heard_ms();
                heard.spoken_ms = listener.features().spoken_ms;
            }
            Some(Event::Beep) => heard.beep_ms = Some(listener.heard_ms()),
            None => {}
        }
    }
    heard
}

/// Columns of the table.
const COLUMNS: [&str; 11] = [
    "human",
    "machine",
    "fax",
    "busy",
    "congestion",
    "sit",
    "announcement",
    "ringback",
    "silence",
    "unknown",
    "none",
];

/// A table of kinds and what was said of them.
#[derive(Default)]
struct Table {
    rows: BTreeMap<&'static str, BTreeMap<&'static str, u32>>,
    /// Persons and machines, and how many of them were taken for the other.
    persons: (u32, u32),
    machines: (u32, u32),
    /// Ms between the greeting's end and the verdict, of one word and of all persons.
    plain: Vec<i64>,
    greeting: Vec<i64>,
    /// Ms until the verdict: of persons and of machines; of speech until it.
    person: Vec<i64>,
    machine: Vec<i64>,
    spoken: Vec<i64>,
}

impl Table {
    fn add(&mut self, clip: &Clip, column: &'static str, person: bool, ms: u32) {
        *self
            .rows
            .entry(clip.kind)
            .or_default()
            .entry(column)
            .or_default() += 1;
        let after = i64::from(ms) - clip.greeting_end as i64 / 8;
        match clip.truth {
            Truth::Person => {
                self.persons.0 += 1;
                self.persons.1 += u32::from(!person);
                self.person.push(ms.into());
                self.greeting.push(after);
                if clip.kind == "one word" {
                    self.plain.push(after);
                }
            }
            Truth::Machine => {
                self.machines.0 += 1;
                self.machines.1 += u32::from(person);
                self.machine.push(ms.into());
            }
            _ => {}
        }
    }

    fn print(&mut self, columns: &[&'static str]) -> String {
        let mut text = String::new();
        write!(text, "{:<20}", "").unwrap();
        for column in columns {
            write!(text, "{column:>13}").unwrap();
        }
        text.push('\n');
        for (kind, _) in KINDS {
            let Some(row) = self.rows.get(kind) else {
                continue;
            };
            write!(text, "{kind:<20}").unwrap();
            for column in columns {
                match row.get(column) {
                    Some(count) => write!(text, "{count:>13}").unwrap(),
                    None => write!(text, "{:>13}", ".").unwrap(),
                }
            }
            text.push('\n');
        }
        let share = |(all, wrong): (u32, u32)| 100.0 * f64::from(wrong) / f64::from(all.max(1));
        writeln!(
            text,
            "persons taken for machines {} of {} ({:.1} %), machines for persons {} of {} ({:.1} %)",
            self.persons.1,
            self.persons.0,
            share(self.persons),
            self.machines.1,
            self.machines.0,
            share(self.machines)
        )
        .unwrap();
        for (name, times) in [
            ("after one word", &mut self.plain),
            ("after a person's greeting", &mut self.greeting),
            ("after the answer, persons", &mut self.person),
            ("after the answer, machines", &mut self.machine),
            ("speech until the verdict", &mut self.spoken),
        ] {
            if times.is_empty() {
                continue;
            }
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100];
            writeln!(
                text,
                "{name}: p50 {} ms, p95 {} ms, most {} ms",
                at(50),
                at(95),
                at(100)
            )
            .unwrap();
        }
        text.replace(" \n", "\n")
    }
}

fn app_amd(clips: &[Clip], rule: &AppAmd) -> Table {
    let mut table = Table::default();
    for clip in clips.iter().filter(|clip| !clip.early) {
        let (status, ms) = rule.judge(&clip.samples);
        let column = match status {
            Status::Human => "HUMAN",
            Status::Machine => "MACHINE",
            Status::NotSure => "NOTSURE",
        };
        table.add(clip, column, status != Status::Machine, ms);
    }
    table
}

#[test]
fn persons_machines_and_the_network_on_the_held_out_half() {
    let Some(version) = corpus::speech::version() else {
        eprintln!("SKIPPED: espeak-ng is missing (apt-get install espeak-ng)");
        return;
    };
    let corpus = Corpus::new(Half::HeldOut);
    let clips: Vec<Clip> = corpus.clips().collect();
    let mut table = Table::default();
    let (mut beeps, mut beeps_found, mut beeps_invented) = (0, 0, 0);
    let mut late: Vec<i64> = Vec::new();
    for clip in &clips {
        let heard = hear(clip);
        let verdict = heard.verdict.map(|(verdict, _)| verdict);
        let column = verdict.map_or("none", Verdict::name);
        let person = verdict.is_none_or(Verdict::counts_as_person);
        table.add(clip, column, person, heard.ms);
        if matches!(clip.truth, Truth::Person | Truth::Machine) {
            table.spoken.push(heard.spoken_ms.into());
        }
        if verdict.is_none_or(|v| !clip.truth.is(v)) && std::env::var_os("ERRORS").is_some() {
            let Heard {
                verdict,
                ms,
                spoken_ms,
                ..
            } = heard;
            println!(
                "{}: {verdict:?} {ms} ms, {spoken_ms} spoken: {}",
                clip.kind, clip.about
            );
        }
        match (clip.beep_end, heard.beep_ms) {
            (Some(end), told) => {
                beeps += 1;
                let off = told.map(|told| i64::from(told) - end as i64 / 8);
                if let Some(off) = off.filter(|off| (-60..=400).contains(off)) {
                    beeps_found += 1;
                    late.push(off);
                }
            }
            (None, Some(_)) => beeps_invented += 1,
            (None, None) => {}
        }
    }
    late.sort_unstable();
    let seconds = clips.iter().map(|c| c.samples.len()).sum::<usize>() / 8_000;
    let text = format!(
        "{} clips, {seconds} s of audio, synthetic: no claim about the field. {version}\n\n\
         this classifier\n{}\nbeeps told: {beeps_found} of {beeps}, invented {beeps_invented}; \
         after the beep p50 {} ms, p95 {} ms\n\n\
         app_amd as published (amd.conf.sample: 2 words)\n{}\n\
         app_amd with 3 words\n{}",
        clips.len(),
        table.print(&COLUMNS),
        late[late.len() / 2],
        late[late.len() * 95 / 100],
        app_amd(&clips, &PUBLISHED).print(&["HUMAN", "MACHINE", "NOTSURE"]),
        app_amd(
            &clips,
            &AppAmd {
                maximum_number_of_words: 3,
                ..PUBLISHED
            }
        )
        .print(&["HUMAN", "MACHINE", "NOTSURE"]),
    );
    println!("{text}");
    let (persons, lost) = table.persons;
    let (machines, taken) = table.machines;
    assert!(
        lost * 100 <= persons * 2,
        "{lost} of {persons} persons are lost"
    );
    // The aim is 5 in 100, and is missed: docs/testing.md says by how much. This holds what there is.
    assert!(
        taken * 100 <= machines * 8,
        "{taken} of {machines} machines are taken for persons"
    );
    assert!(table.spoken.iter().all(|ms| *ms <= 2_500));
    let half = table.plain[table.plain.len() / 2];
    assert!(half <= 700, "a plain hello waits for {half} ms");
    assert!(
        beeps_found * 100 >= beeps * 95,
        "{beeps_found} of {beeps} beeps"
    );
    if version.starts_with(KEPT_WITH) {
        insta::assert_snapshot!("confusion", text);
    } else {
        println!("not compared with the kept table: that is of {KEPT_WITH}");
    }
}
