//! Messages on answering machines: the beep, its bound, the message, and who must not hear one.

use super::calls::{answered_and_listened_to, heard};
use super::*;
use crate::leg::Prompt;
use domain::{DncSource, VoiceDrop, answering::Verdict, limits};

fn found(floor: &mut Floor, message: Result<(), VoiceDrop>) {
    let input = Input::MachineFound {
        attempt: attempt(1),
        who: heard(Verdict::Machine, 0),
        message,
    };
    floor.put(input).unwrap();
}

fn beeps(floor: &mut Floor, message: Result<(), VoiceDrop>) {
    let attempt = attempt(1);
    let input = Input::MachineBeeped { attempt, message };
    floor.put(input).unwrap();
}

/// A machine answered, and its beep is awaited.
fn awaited() -> (Floor, Arc<Campaign>) {
    let mut floor = Floor::new();
    let campaign = progressive();
    floor.ready(ANN);
    answered_and_listened_to(&mut floor, &campaign);
    found(&mut floor, Ok(()));
    (floor, campaign)
}

fn play() -> LegCommand {
    LegCommand::Play {
        leg: LegId(1),
        prompt: Prompt::VoiceDrop,
    }
}

const HANG_UP: LegCommand = LegCommand::HangUp { leg: LegId(1) };

/// The one end: its disposition and what became of the message.
fn end(floor: &Floor) -> (Disposition, VoiceDrop) {
    let [end] = floor.closed()[..] else {
        panic!("{:?}", floor.out);
    };
    let drop = end.voice_drop.expect("there was a machine and a message");
    let campaign = end.campaign.id;
    let told = Output::Observed(Observed::VoiceDrop { campaign, drop });
    assert!(floor.out.contains(&told));
    (end.disposition, drop)
}

#[test]
fn a_message_is_played_once_after_the_beep_and_no_agent_is_kept_for_it() {
    let (mut floor, campaign) = awaited();
    assert!(floor.closed().is_empty() && floor.legs().is_empty());
    assert_eq!(floor.state(ANN), AgentState::Ready);
    assert!(
        floor.view(&campaign).lines.is_empty(),
        "no line of pacing's"
    );
    floor.wait(limits::MACHINE_BEEP - Duration::from_millis(1));
    assert!(floor.closed().is_empty());
    beeps(&mut floor, Ok(()));
    assert_eq!(floor.legs(), [play()]);
    // A second beep is nothing.
    beeps(&mut floor, Ok(()));
    assert_eq!(floor.legs(), []);
    floor.wait(Duration::from_secs(200));
    assert!(floor.closed().is_empty(), "a message may be long");
    floor.event(LegId(1), LegEvent::Played);
    assert_eq!(floor.legs(), [HANG_UP]);
    assert_eq!(end(&floor), (Disposition::MessageLeft, VoiceDrop::Left));
}

#[test]
fn a_machine_that_never_beeps_is_hung_up_on_at_the_bound() {
    let (mut floor, _) = awaited();
    floor.wait(limits::MACHINE_BEEP);
    assert_eq!(floor.legs(), [HANG_UP]);
    let want = (Disposition::Machine, VoiceDrop::NoBeep);
    assert_eq!(end(&floor), want);
    // Its beep comes too late.
    let late = Input::MachineBeeped {
        attempt: attempt(1),
        message: Ok(()),
    };
    assert!(floor.put(late).is_err());
}

#[test]
fn a_message_that_lasts_too_long_is_broken_off() {
    let (mut floor, _) = awaited();
    beeps(&mut floor, Ok(()));
    assert_eq!(floor.legs(), [play()]);
    floor.wait(limits::PROMPT + Duration::from_secs(5));
    let want = (Disposition::Machine, VoiceDrop::BrokenOff);
    assert_eq!((end(&floor), floor.legs()), (want, vec![HANG_UP]));
}

#[test]
fn a_machine_that_hangs_up_is_no_abandoned_call() {
    for (begun, want) in [(false, VoiceDrop::HungUp), (true, VoiceDrop::BrokenOff)] {
        let (mut floor, _) = awaited();
        if begun {
            beeps(&mut floor, Ok(()));
        }
        floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
        let (disposition, got) = end(&floor);
        assert_eq!((disposition, got), (Disposition::Machine, want));
        let abandoned =
            |output: &Output| matches!(output, Output::Observed(Observed::Abandoned { .. }));
        assert!(!floor.out.iter().any(abandoned));
        assert_eq!(floor.legs(), []);
    }
}

#[test]
fn where_no_message_may_be_left_it_is_hung_up_with_the_reason() {
    for why in [VoiceDrop::Forbidden, VoiceDrop::NoPrompt] {
        let mut floor = Floor::new();
        let campaign = progressive();
        floor.ready(ANN);
        answered_and_listened_to(&mut floor, &campaign);
        found(&mut floor, Err(why));
        assert_eq!(floor.legs(), [HANG_UP]);
        assert_eq!(end(&floor), (Disposition::Machine, why));
        assert_eq!(floor.state(ANN), AgentState::Ready);
    }
}

#[test]
fn what_is_forbidden_before_the_beep_is_not_played_after_it() {
    let (mut floor, _) = awaited();
    beeps(&mut floor, Err(VoiceDrop::Forbidden));
    assert_eq!(floor.legs(), [HANG_UP]);
    let want = (Disposition::Machine, VoiceDrop::Forbidden);
    assert_eq!(end(&floor), want);
}

#[test]
fn a_person_taken_for_a_machine_may_opt_out_by_key() {
    let (mut floor, campaign) = awaited();
    beeps(&mut floor, Ok(()));
    floor.event(LegId(1), LegEvent::Digit('5'));
    assert!(floor.closed().is_empty());
    floor.event(LegId(1), LegEvent::Digit('9'));
    let asked = Output::AddDoNotCall {
        number: lease(1, campaign.id).number,
        campaign: campaign.id,
        source: DncSource::Person,
    };
    assert!(floor.out.contains(&asked));
    assert_eq!(end(&floor).1, VoiceDrop::OptedOut);
}

#[test]
fn only_who_is_screened_is_found_a_machine() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    let input = Input::MachineFound {
        attempt: attempt(1),
        who: heard(Verdict::Machine, 0),
        message: Ok(()),
    };
    assert!(floor.put(input).is_err());
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    // A beep in a talk is nothing.
    beeps(&mut floor, Ok(()));
    assert_eq!(floor.legs(), []);
}

#[test]
fn a_drop_is_what_the_record_says() {
    let (mut floor, _) = awaited();
    beeps(&mut floor, Ok(()));
    floor.event(LegId(1), LegEvent::Played);
    let record = floor.closed()[0].record(domain::MemberId(2), None, None, None);
    let record = record.expect("an INVITE left");
    assert_eq!(record.voice_drop, Some(VoiceDrop::Left));
    assert_eq!(record.disposition_name, "message_left");
    assert_eq!(record.ended_by, "caller");
}
