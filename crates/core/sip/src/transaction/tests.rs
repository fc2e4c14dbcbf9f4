use super::*;

#[test]
fn the_drawings_are_the_tables() {
    insta::assert_snapshot!("invite_client", invite_client::TABLE.drawing());
    insta::assert_snapshot!("client", client::TABLE.drawing());
    insta::assert_snapshot!("invite_server", invite_server::TABLE.drawing());
    insta::assert_snapshot!("server", server::TABLE.drawing());
}

/// Follows a machine's own timers until it ends; what was sent when, in milliseconds.
fn follow(
    first: Actions,
    mut timer: impl FnMut(Timer) -> Actions,
) -> (Vec<u128>, u128, Option<Action>) {
    let mut armed: Vec<(Duration, Timer)> = Vec::new();
    let (mut sent, mut verdict, mut now) = (Vec::new(), None, Duration::ZERO);
    let mut actions = first;
    loop {
        for action in actions.iter() {
            match action {
                Action::Transmit => sent.push(now.as_millis()),
                Action::Arm(name, after) => armed.push((now + after, name)),
                Action::Disarm(name) => armed.retain(|(_, armed)| *armed != name),
                Action::TimedOut | Action::TransportFailed => verdict = Some(action),
                Action::Terminate => return (sent, now.as_millis(), verdict),
                Action::Deliver | Action::Acknowledge => {}
            }
        }
        armed.sort();
        let (at, name) = armed.remove(0);
        now = at;
        actions = timer(name);
    }
}

#[test]
fn an_unanswered_invite_follows_timers_a_and_b() {
    let (mut machine, first) = InviteClient::start(false);
    let (sent, end, verdict) = follow(first, |timer| machine.timer(timer));
    assert_eq!(sent, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!((end, verdict), (32_000, Some(Action::TimedOut)));
    let (mut machine, first) = InviteClient::start(true);
    let (sent, end, _) = follow(first, |timer| machine.timer(timer));
    assert_eq!((sent, end), (vec![0], 32_000));
}

#[test]
fn an_unanswered_request_follows_timers_e_and_f() {
    let (mut machine, first) = Client::start(false);
    let (sent, end, verdict) = follow(first, |timer| machine.timer(timer));
    assert_eq!(
        sent,
        [
            0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!((end, verdict), (32_000, Some(Action::TimedOut)));
}

#[test]
fn a_refusal_without_ack_follows_timers_g_and_h() {
    let mut machine = InviteServer::start(false);
    let first = machine.respond(Class::Failure);
    let (sent, end, verdict) = follow(first, |timer| machine.timer(timer));
    assert_eq!(sent[..5], [0, 500, 1500, 3500, 7500]);
    assert_eq!((end, verdict), (32_000, Some(Action::TimedOut)));
}

#[test]
fn a_provisional_response_stops_timer_b() {
    let (mut machine, _) = InviteClient::start(false);
    let actions: Vec<_> = machine.response(Class::Provisional).iter().collect();
    assert!(
        actions.contains(&Action::Disarm(Timer::B)) && actions.contains(&Action::Disarm(Timer::A))
    );
    assert_eq!(machine.timer(Timer::B), Actions::NONE);
    assert_eq!(machine.state(), InviteClientState::Proceeding);
}

#[test]
fn every_2xx_reaches_the_user_and_no_late_failure_does() {
    let (mut machine, _) = InviteClient::start(false);
    for _ in 0..3 {
        assert!(
            machine
                .response(Class::Success)
                .iter()
                .any(|a| a == Action::Deliver)
        );
    }
    assert_eq!(machine.response(Class::Failure), Actions::NONE);
    assert_eq!(machine.response(Class::Provisional), Actions::NONE);
    assert_eq!(
        machine.timer(Timer::M).iter().last(),
        Some(Action::Terminate)
    );
}

#[test]
fn repeated_failures_are_acknowledged_and_not_delivered() {
    let (mut machine, _) = InviteClient::start(false);
    assert!(
        machine
            .response(Class::Failure)
            .iter()
            .any(|a| a == Action::Deliver)
    );
    let again: Vec<_> = machine.response(Class::Failure).iter().collect();
    assert_eq!(again, [Action::Acknowledge]);
}

#[test]
fn servers_answer_repeats_and_absorb_what_is_settled() {
    let mut invite = InviteServer::start(false);
    assert_eq!(invite.request().iter().next(), Some(Action::Transmit));
    invite.respond(Class::Success);
    assert_eq!(invite.request(), Actions::NONE);
    assert_eq!(invite.state(), InviteServerState::Accepted);
    let mut other = Server::start(false);
    assert_eq!(other.request(), Actions::NONE);
    other.respond(Class::Success);
    assert_eq!(other.request().iter().next(), Some(Action::Transmit));
    assert_eq!(other.timer(Timer::J).iter().last(), Some(Action::Terminate));
}
