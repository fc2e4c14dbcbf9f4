//! Calls to another city's numbers, and persons whom another city called: the mesh is asked who calls while
//! it rings.

use super::*;
use domain::limits;

const SHANGHAI: MemberId = MemberId(3);
const THEIR_NUMBER: &str = "+862188880001";
const THEIRS: RegionId = RegionId(2);

/// The person, as the region knows the lead.
fn known() -> KnownPerson {
    KnownPerson {
        lead: LeadId::new(THEIRS, 9),
        list: ListId(5),
        campaign: CampaignId(2),
        zones: person().zones,
        profile: person().profile,
    }
}

fn of_shanghai() -> Vec<DirectoryChange> {
    let trunk = Trunk {
        id: TrunkId(2),
        node: SHANGHAI,
        address: "10.0.2.1:5060".into(),
        ..directory().trunks.remove(0)
    };
    let caller_id = CallerId {
        number: number(THEIR_NUMBER),
        trunk: trunk.id,
        ..directory().caller_ids.remove(0)
    };
    vec![
        DirectoryChange::Trunk(Box::new(trunk)),
        DirectoryChange::CallerIds(vec![caller_id]),
    ]
}

/// A mesh with another city, whose region knows the person.
fn world(config: CallBackConfig) -> World {
    let mut world = World::new(config);
    of_shanghai().into_iter().for_each(|c| world.change(c));
    world.known.insert(number(PERSON), known());
    world
}

fn rang(world: &World, call: CallHandle) -> bool {
    let rang = |e: &SipEvent| matches!(e, SipEvent::Provisional { call: c, status: 180, .. } if *c == call);
    world.heard.iter().any(rang)
}

#[test]
fn a_call_to_another_citys_number_reaches_an_agent_with_the_lead_that_the_region_knows() {
    let mut world = world(CallBackConfig::default());
    world.shift();
    world.press(AgentCommand::Ready);
    let call = world.calls(PERSON, THEIR_NUMBER, &[]);
    assert!(world.answered(call) && rang(&world, call));
    let [(_, asked, called)] = world.asked[..] else {
        panic!("{:?}", world.asked);
    };
    assert_eq!(asked, Some(number(PERSON)));
    assert_eq!(called, number(THEIR_NUMBER));
    assert_eq!(world.answers, [CallerAnswer::Known]);
    let card = world.card().clone();
    assert_eq!((card.lead, card.name.as_str()), (known().lead, "Ada"));
    assert_eq!(card.campaign, CampaignId(2), "the lead's, not the first");
    let told = card.call_back.unwrap();
    assert_eq!(told.city.as_deref(), Some("Shanghai"));
    assert!(!told.yours);
    assert_eq!(world.noted[0].caller_id, Some(number(THEIR_NUMBER)));
    world.press(AgentCommand::HangUp);
    world.run(Duration::from_millis(200));
    world.press(AgentCommand::Dispose {
        disposition: "sale".into(),
        note: String::new(),
        callback_at: None,
    });
    world.run(Duration::from_secs(3));
    let record = world.ended[0].clone();
    assert_eq!((record.region, record.list), (THEIRS, known().list));
    assert_eq!(record.node, MemberId(2));
    assert_eq!(record.called_for, Some(SHANGHAI));
    assert_eq!(world.noted[0].called_for, Some(SHANGHAI));

    // Who took it takes the next one, too, and nobody need be asked for the person.
    world.press(AgentCommand::Ready);
    let call = world.calls(PERSON, THEIR_NUMBER, &[]);
    assert!(world.answered(call));
    assert!(world.card().call_back.as_ref().unwrap().yours);
    assert_eq!(world.asked[1].1, None, "only for the city's name");
    assert_eq!(world.answers.len(), 1);
}

#[test]
fn with_nobody_on_shift_who_calls_another_city_opts_out_by_key() {
    let mut world = world(CallBackConfig::default());
    let call = world.calls(PERSON, THEIR_NUMBER, &[]);
    assert!(world.answered(call) && world.plays(PromptId::TONE, false));
    world.digit('9');
    let [entry] = world.opt_outs[..] else {
        panic!("{:?}", world.opt_outs);
    };
    assert_eq!(
        (entry.number, entry.source),
        (number(PERSON), DncSource::CallBack)
    );
}

#[test]
fn who_is_not_known_in_time_is_a_stranger_of_a_campaign_that_is_served() {
    let mut world = world(CallBackConfig::default());
    let mut li = directory().agents.remove(0);
    li.campaigns = vec![CampaignId(2)];
    world.change(DirectoryChange::Agent(Box::new(li)));
    world.shift();
    world.press(AgentCommand::Ready);
    world.says = false;
    let call = world.calls(PERSON, THEIR_NUMBER, &[]);
    assert!(rang(&world, call) && !world.answered(call));
    world.run(limits::WHO_CALLS);
    assert!(world.answered(call));
    assert_eq!(world.answers, [CallerAnswer::Unanswered]);
    let card = world.card().clone();
    assert_eq!((card.name.as_str(), card.campaign), ("", CampaignId(2)));
    assert_eq!(card.call_back.unwrap().city.as_deref(), Some(""));
    // What comes later changes nothing.
    let late = world.said(world.asked[0].0);
    world.input(late);
    assert_eq!(world.noted.len(), 1);
}

#[test]
fn a_lead_that_another_city_called_is_known_at_the_own_number_too() {
    let mut world = world(CallBackConfig::default());
    world.shift();
    world.press(AgentCommand::Ready);
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert!(world.answered(call));
    assert_eq!(world.card().name, "Ada");
    assert_eq!(world.card().call_back.as_ref().unwrap().city, None);
}

#[test]
fn who_hangs_up_while_it_rings_leaves_nothing_behind() {
    let mut world = world(CallBackConfig::default());
    world.says = false;
    let call = world.calls(PERSON, THEIR_NUMBER, &[]);
    let cancelled = world.carrier.cancel(world.now, call, None);
    cancelled.unwrap();
    world.run(Duration::from_millis(200));
    assert!(!world.answered(call));
    let said = world.said(world.asked[0].0);
    world.input(said);
    assert!(world.noted.is_empty() && world.refused.is_empty());
    assert_eq!(world.engine.live(), 0);
    // A node that stops tells who still hears ringing.
    let call = world.calls(PERSON, THEIR_NUMBER, &[]);
    world.input(Input::Drain);
    world.run(Duration::from_millis(200));
    assert_eq!(world.status_of(call), Some(503));
}

#[test]
fn numbers_of_nobody_and_where_it_is_switched_off_those_of_others_are_refused() {
    let mut mesh = world(CallBackConfig::default());
    let call = mesh.calls(PERSON, "+862188889999", &[]);
    assert_eq!(mesh.status_of(call), Some(404));
    assert!(mesh.asked.is_empty(), "nobody is asked for a refused call");
    mesh.change(DirectoryChange::CallerIdsRemoved(vec![number(
        THEIR_NUMBER,
    )]));
    let call = mesh.calls(PERSON, THEIR_NUMBER, &[]);
    assert_eq!(mesh.status_of(call), Some(404), "not the mesh's any more");

    let mut mesh = world(CallBackConfig {
        other_cities: false,
        ..CallBackConfig::default()
    });
    let call = mesh.calls(PERSON, THEIR_NUMBER, &[]);
    assert_eq!(mesh.status_of(call), Some(404));
    let call = mesh.calls(PERSON, OUR_NUMBER, &[]);
    assert!(mesh.answered(call));
}

#[test]
fn beyond_the_bound_nobody_is_asked_and_everybody_is_taken() {
    let mut world = world(CallBackConfig::default());
    let mut trunk = directory().trunks.remove(0);
    trunk.channels = 10_000;
    world.change(DirectoryChange::Trunk(Box::new(trunk)));
    world.says = false;
    let mut calls = Vec::new();
    for n in 0..=limits::CALLERS_ASKED {
        let from = format!("+86138{n:08}");
        calls.push(world.place(&from, THEIR_NUMBER, &[]));
    }
    world.run(Duration::from_millis(200));
    assert_eq!(world.asked.len(), limits::CALLERS_ASKED);
    assert_eq!(world.answers, [CallerAnswer::Full]);
    let last = *calls.last().unwrap();
    assert!(world.answered(last) && !rang(&world, last));
}
