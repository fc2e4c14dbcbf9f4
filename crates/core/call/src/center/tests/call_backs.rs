//! Persons who call back: the agent who called, another, a wait, the announcement.

use super::*;
use crate::CallBackWish;
use domain::{CallBackEnd, DncSource};

const WAIT: Duration = Duration::from_secs(60);

fn wish(agent: Option<AgentId>) -> CallBackWish {
    CallBackWish {
        after: Some(attempt(900)),
        withheld: false,
        agent,
        wait: WAIT,
    }
}

fn call_back(floor: &Floor, n: u64, campaign: &Arc<Campaign>, wish: CallBackWish) -> Input {
    let called = "+12125550100".parse().unwrap();
    Input::CalledBack {
        lead: LeasedLead {
            number: format!("+1415555{n:04}").parse().unwrap(),
            ..lease(n, campaign.id)
        },
        campaign: Arc::clone(campaign),
        leg: LegId(n),
        facts: Box::new(DialFacts {
            caller_id: Some(called),
            ..facts(floor.now)
        }),
        wish,
    }
}

impl Floor {
    fn calls_back(&mut self, n: u64, campaign: &Arc<Campaign>, wish: CallBackWish) {
        let input = call_back(self, n, campaign, wish);
        self.put(input).unwrap();
    }

    /// What was told of call-backs that were served or ended.
    fn told(&self) -> Vec<(CallBackEnd, Duration)> {
        let told = self.out.iter().filter_map(|output| match output {
            Output::Observed(Observed::CallBack { end, waited, .. }) => Some((*end, *waited)),
            _ => None,
        });
        told.collect()
    }

    fn abandoned(&self) -> bool {
        let abandoned = |o: &Output| matches!(o, Output::Observed(Observed::Abandoned { .. }));
        self.out.iter().any(abandoned)
    }
}

fn play(n: u64, prompt: Prompt) -> LegCommand {
    LegCommand::Play {
        leg: LegId(n),
        prompt,
    }
}

#[test]
fn the_agent_who_called_takes_the_call_back() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(BEN);
    floor.wait(Duration::from_secs(5));
    floor.ready(ANN);
    assert_eq!(floor.view(&campaign).ready, 2);
    floor.calls_back(1, &campaign, wish(Some(ANN)));
    let b = floor.center.agent_leg_of(ANN).unwrap();
    assert_eq!(floor.legs(), [LegCommand::Bridge { a: LegId(1), b }]);
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    assert_eq!(floor.told(), [(CallBackEnd::Taken, Duration::ZERO)]);
    let view = floor.view(&campaign);
    assert_eq!(
        (view.ready, view.on_call.len()),
        (1, 1),
        "pacing sees it at once"
    );
    let card = floor.center.card(attempt(1)).unwrap().call_back.unwrap();
    assert_eq!((card.called.as_str(), card.yours), ("+1212*****00", true));
    assert!(
        floor
            .center
            .is_calling_back("+14155550001".parse().unwrap())
    );
    // From here on it is a call like any other.
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert_eq!(floor.press(ANN, dispose("sale")), None);
    let token = floor.token();
    floor.put(Input::Persisted { token }).unwrap();
    let end = floor.closed()[0].clone();
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(1)));
    let record = end.record(domain::MemberId(3), None, None, None).unwrap();
    let told = record.call_back.unwrap();
    assert_eq!((told.end, told.waited_ms), (CallBackEnd::Taken, 0));
    assert_eq!((told.after, record.agent), (Some(attempt(900)), Some(ANN)));
    assert_eq!(floor.state(ANN), AgentState::Ready);
    assert!(
        !floor
            .center
            .is_calling_back("+14155550001".parse().unwrap())
    );
}

#[test]
fn who_called_is_busy_or_gone_so_whoever_is_ready_longest_takes_it() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(BEN);
    floor.log_in(ANN);
    floor.calls_back(1, &campaign, wish(Some(ANN)));
    assert_eq!(floor.state(BEN), AgentState::OnCall);
    let card = floor.center.card(attempt(1)).unwrap().call_back.unwrap();
    assert!(!card.yours);
}

#[test]
fn nobody_is_free_so_the_person_waits_with_music_until_somebody_is() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.log_in(ANN);
    floor.calls_back(1, &campaign, wish(None));
    assert_eq!(floor.legs(), [play(1, Prompt::Waiting)]);
    let waiting = Output::Observed(Observed::CallBacksWaiting { waiting: 1 });
    assert!(floor.out.contains(&waiting));
    let view = floor.view(&campaign);
    assert_eq!((view.waiting, view.callers), (0, 1));
    floor.wait(Duration::from_secs(20));
    assert_eq!(floor.press(ANN, AgentCommand::Ready), Some(Ok(())));
    let b = floor.center.agent_leg_of(ANN).unwrap();
    let (leg, a) = (LegId(1), LegId(1));
    assert_eq!(
        floor.legs(),
        [LegCommand::StopPlay { leg }, LegCommand::Bridge { a, b }]
    );
    assert_eq!(
        floor.told(),
        [(CallBackEnd::Taken, Duration::from_secs(20))]
    );
    assert_eq!(floor.view(&campaign).callers, 0);
    let card = floor.center.card(attempt(1)).unwrap().call_back.unwrap();
    assert_eq!(card.waited_ms, 20_000);
}

#[test]
fn a_person_whom_we_called_comes_before_one_who_called_back() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.log_in(ANN);
    floor.calls_back(1, &campaign, wish(None));
    floor.wait(Duration::from_secs(20));
    floor.dial(2, &campaign);
    floor.event(LegId(2), LegEvent::Answered);
    floor.press(ANN, AgentCommand::Ready);
    assert_eq!(floor.view(&campaign).callers, 1);
    let bound = floor.center.agents().find(|(id, ..)| *id == ANN).unwrap();
    assert_eq!(bound.2, Some(attempt(2)));
}

#[test]
fn nobody_comes_so_who_called_is_said_and_a_key_opts_out() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.log_in(ANN);
    floor.calls_back(1, &campaign, wish(None));
    // A key before the announcement means nothing.
    floor.event(LegId(1), LegEvent::Digit('9'));
    assert!(floor.out.is_empty());
    floor.wait(WAIT);
    assert_eq!(floor.legs(), [play(1, Prompt::WhoCalled)]);
    assert!(!floor.abandoned());
    // An agent who comes now is not joined any more.
    floor.press(ANN, AgentCommand::Ready);
    assert_eq!(floor.state(ANN), AgentState::Ready);
    floor.event(LegId(1), LegEvent::Played);
    assert!(floor.out.is_empty(), "there is still time for a key");
    floor.event(LegId(1), LegEvent::Digit('1'));
    assert!(floor.out.is_empty());
    floor.event(LegId(1), LegEvent::Digit('9'));
    assert!(floor.out.iter().any(|o| matches!(
        o,
        Output::AddDoNotCall {
            source: DncSource::CallBack,
            ..
        }
    )));
    assert_eq!(floor.legs(), [play(1, Prompt::Confirmed)]);
    floor.event(LegId(1), LegEvent::Digit('9'));
    assert!(floor.out.is_empty(), "once is enough");
    floor.event(LegId(1), LegEvent::Played);
    assert_eq!(floor.legs(), [LegCommand::HangUp { leg: LegId(1) }]);
    assert_eq!(floor.told(), [(CallBackEnd::OptedOut, WAIT)]);
    let end = floor.closed()[0];
    assert_eq!(end.disposition, Disposition::NotTaken);
    let told = end.call_back.unwrap();
    assert_eq!((told.end, told.waited_ms), (CallBackEnd::OptedOut, 60_000));
    assert_eq!(end.ended_by, Some(EndedBy::Caller));
}

#[test]
fn without_anybody_on_shift_who_called_is_said_at_once() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.calls_back(1, &campaign, wish(Some(ANN)));
    assert_eq!(floor.legs(), [play(1, Prompt::WhoCalled)]);
    floor.event(LegId(1), LegEvent::Played);
    floor.wait(limits::KEY);
    assert_eq!(floor.legs(), [LegCommand::HangUp { leg: LegId(1) }]);
    assert_eq!(floor.told(), [(CallBackEnd::Announced, Duration::ZERO)]);
    // One that never ends.
    floor.calls_back(2, &campaign, wish(None));
    floor.wait(limits::MESSAGE);
    assert_eq!(floor.legs(), [LegCommand::HangUp { leg: LegId(2) }]);
}

#[test]
fn who_gives_up_waiting_is_no_abandonment() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.log_in(ANN);
    floor.calls_back(1, &campaign, wish(None));
    floor.wait(Duration::from_secs(7));
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert!(!floor.abandoned());
    let told = [(CallBackEnd::GaveUp, Duration::from_secs(7))];
    assert_eq!(floor.told(), told);
    let end = floor.closed()[0];
    assert_eq!(end.disposition, Disposition::NotTaken);
    assert_eq!(end.ended_by, Some(EndedBy::Callee));
}

#[test]
fn a_withheld_number_is_neither_shown_nor_opted_out() {
    let mut floor = Floor::new();
    let campaign = ratio();
    let withheld = CallBackWish {
        withheld: true,
        ..wish(None)
    };
    floor.calls_back(1, &campaign, withheld);
    floor.event(LegId(1), LegEvent::Digit('9'));
    assert!(floor.out.is_empty());
    floor.ready(ANN);
    floor.calls_back(2, &campaign, withheld);
    assert_eq!(floor.center.card(attempt(2)).unwrap().number, "withheld");
    assert!(
        !floor
            .center
            .is_calling_back("+14155550002".parse().unwrap())
    );
    let refused = floor.press(ANN, dispose("never_again"));
    assert_eq!(refused, Some(Err("DM3025".into())));
    let promised = AgentCommand::Dispose {
        disposition: "sale".into(),
        note: String::new(),
        callback_at: Some(floor.now.wall + Duration::from_secs(60)),
    };
    assert_eq!(floor.press(ANN, promised), Some(Err("DM3024".into())));
}

#[test]
fn no_more_wait_than_may() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.log_in(ANN);
    let most = domain::limits::CALL_BACKS_WAITING;
    for n in 1..=most as u64 {
        floor.calls_back(n, &campaign, wish(None));
    }
    let one_more = call_back(&floor, 10_000, &campaign, wish(None));
    let refused = Err(Rejected::TooManyCallBacks { limit: most });
    assert_eq!(floor.put(one_more.clone()), refused);
    // One is taken: there is room for one.
    floor.press(ANN, AgentCommand::Ready);
    assert_eq!(floor.put(one_more), Ok(()));
}
