use super::*;

/// List 7 answers at 18 o'clock, list 8 at 10; a first attempt more often than a second.
fn taught(lines: u32) -> Answers {
    let mut answers = Answers::new(0.2);
    teach(&mut answers, 0, lines);
    answers
}

fn teach(answers: &mut Answers, from: u32, to: u32) {
    for n in from..to {
        let (list, hour) = (7 + n % 2, if n / 2 % 2 == 0 { 10 } else { 18 });
        let attempt = 1 + n / 4 % 2;
        let good = (list == 7) == (hour == 18);
        let tenths = if good { 5 } else { 1 } + if attempt == 1 { 2 } else { 0 };
        let line = Line {
            region: 1,
            list,
            attempt: attempt as u16,
            hour,
            weekday: (n / 200 % 5) as u8,
        };
        let drawn = n.wrapping_mul(2_654_435_761) >> 16;
        answers.note(
            &line,
            GivenOut::InTurn,
            i64::from(n / 2_000),
            drawn % 10 < tenths,
        );
    }
}

fn now(answers: &Answers, list: u32, hour: usize) -> f32 {
    answers.chance(1, list, 1) * answers.factor(Some(list), hour)
}

#[test]
fn it_begins_where_it_is_told_and_learns_lists_hours_and_attempts() {
    let young = Answers::new(0.2);
    assert!((young.chance(1, 7, 1) - 0.2).abs() < 1e-6);
    assert_eq!(young.factor(None, 12), 1.0);
    let answers = taught(8_000);
    assert!(now(&answers, 7, 18) > now(&answers, 7, 10) + 0.2);
    assert!(now(&answers, 8, 10) > now(&answers, 8, 18) + 0.2);
    assert!(answers.chance(1, 7, 1) > answers.chance(1, 7, 2) + 0.1);
    assert!(
        answers.reliability().error() < 0.08,
        "{:?}",
        answers.reliability()
    );
    assert_eq!(answers.all().lines, 8_000);
    let hours = answers.by_hour();
    assert_eq!(
        (hours[10].lines, hours[18].lines, hours[9].lines),
        (4_000, 4_000, 0)
    );
    assert_eq!(answers.of_list(Some(7))[18].lines, 2_000);
    assert_eq!(answers.by_attempt()[0].lines, 4_000);
}

#[test]
fn what_is_kept_is_read_again_and_other_bytes_are_not() {
    let mut answers = taught(3_000);
    let bytes = answers.save();
    let mut back = Answers::read(&bytes).expect("its own");
    assert_eq!(back.save(), bytes);
    assert_eq!(now(&back, 7, 18), now(&answers, 7, 18));
    teach(&mut back, 3_000, 4_000);
    teach(&mut answers, 3_000, 4_000);
    assert_eq!(back.save(), answers.save());
    for wrong in [&[][..], &[9, 1, 2], &bytes[..bytes.len() / 2]] {
        assert!(Answers::read(wrong).is_err());
    }
}

/// In version 1 the list was one of the model's features.
#[test]
fn lists_are_as_good_as_they_were_where_the_release_before_kept_them() {
    let mut answers = Answers::new(0.2);
    for n in 0..4_000u32 {
        let list = 7 + n % 2;
        let line = Line {
            region: 1,
            list,
            attempt: 1,
            hour: 10,
            weekday: 0,
        };
        let mut old = features(&line);
        old.word("list", &list.to_string());
        let drawn = n.wrapping_mul(2_654_435_761) >> 16;
        let answered = drawn % 10 < if list == 7 { 4 } else { 1 };
        let segment = answers.segment_or_new(list);
        let chance = answers.model.learn(&old, answered);
        answers.hours.note(segment, 10, chance, answered);
    }
    let mut bytes = answers.save();
    assert_eq!(bytes[0], 2);
    bytes[0] = 1;
    let back = Answers::read(&bytes).expect("the release before");
    let (good, bad) = (now(&back, 7, 10), now(&back, 8, 10));
    assert!(
        (good - 0.4).abs() < 0.06 && (bad - 0.1).abs() < 0.03,
        "{good} {bad}"
    );
    assert_eq!(back.save()[0], 2);
}

/// A list that is called at its good hour nine times out of ten is no better at the others.
#[test]
fn whom_an_order_calls_at_which_hour_does_not_blur_what_hours_do() {
    let mut answers = Answers::new(0.2);
    for n in 0..12_000u32 {
        let (list, turn) = (1 + n % 4, n / 4);
        let good = 9 + list as u8;
        let hour = if turn % 10 == 0 {
            9 + (turn / 10 % 8) as u8
        } else {
            good
        };
        let line = Line {
            region: 1,
            list,
            attempt: 1,
            hour,
            weekday: 0,
        };
        let drawn = (n / 4).wrapping_mul(2_654_435_761) >> 16;
        answers.note(
            &line,
            GivenOut::ByChance,
            0,
            drawn % 20 < if hour == good { 6 } else { 4 },
        );
    }
    for list in 1..5u32 {
        let (good, other) = (
            now(&answers, list, 9 + list as usize),
            now(&answers, list, 16),
        );
        assert!((good - 0.3).abs() < 0.03, "{list}: {good}");
        assert!((other - 0.2).abs() < 0.05, "{list}: {other}");
    }
}

#[test]
fn nodes_add_up_whatever_their_lists_are_called_by() {
    let (mut one, mut other) = (Answers::new(0.2), Answers::new(0.2));
    let line = |list| Line {
        region: 1,
        list,
        attempt: 1,
        hour: 9,
        weekday: 0,
    };
    for n in 0..400 {
        one.note(&line(5), GivenOut::ByChance, 0, n % 2 == 0);
        other.note(&line(6), GivenOut::HeldOut, 0, n % 10 == 0);
        other.note(&line(5), GivenOut::InTurn, 0, n % 2 == 0);
    }
    one.add(&other);
    assert_eq!(one.lists(), [5, 6]);
    assert_eq!(one.of_list(Some(5))[9].lines, 800);
    assert_eq!(one.of_list(Some(6))[9].answered, 40);
    assert_eq!(one.all().lines, 1_200);
    let (by_chance, held_out) = one.compared();
    assert_eq!((by_chance.lines, held_out.lines), (400, 400));
    assert!(now(&one, 5, 9) > now(&one, 6, 9) + 0.2);
}

#[test]
fn lists_beyond_the_bound_are_one_segment_and_bytes_stay_within_theirs() {
    let mut answers = Answers::new(0.2);
    for n in 0..40_000u32 {
        let line = Line {
            region: (n % 50) as u16,
            list: n % 500,
            attempt: (n % 30) as u16,
            hour: (n / 500 % 24) as u8,
            weekday: (n % 9) as u8,
        };
        answers.note(&line, GivenOut::InTurn, i64::from(n / 400), n % 3 == 0);
    }
    assert_eq!(answers.lists().len(), SEGMENTS - 1);
    let others: u64 = answers.of_list(None).iter().map(|count| count.lines).sum();
    assert_eq!(others, 80 * (500 - 63));
    assert!(answers.save().len() < 96 * 1024, "{}", answers.save().len());
}
