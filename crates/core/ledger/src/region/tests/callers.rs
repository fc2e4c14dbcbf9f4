//! Who a person is who calls one of our numbers.

use super::*;

const SECOND: CampaignId = CampaignId(2);

#[test]
fn a_person_who_was_called_is_known_by_the_lead() {
    let mut world = World::new(2);
    assert_eq!(world.ledger.who_calls(number(0)), None, "never called");
    assert_eq!(world.ledger.who_calls(number(99)), None, "no lead");
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let known = |world: &World| world.ledger.who_calls(lead.number);
    let called = known(&world).unwrap();
    assert_eq!(
        (called.lead, called.list, called.campaign),
        (lead.lead, LIST, CAMPAIGN)
    );
    assert_eq!(
        (&called.profile, &called.zones),
        (&lead.profile, &lead.zones)
    );
    // Its node is gone, and it is not known how the call went; then it is over.
    world.expire(session);
    assert_eq!(known(&world).as_ref(), Some(&called));
    world.tick(Duration::from_secs(3600));
    assert_eq!(known(&world).as_ref(), Some(&called));
    // Given back undialed: nobody was called.
    let session = world.open(NODE, 2);
    let other = world.claim(session, 1, 2).remove(0);
    assert_ne!(other.lead, lead.lead);
    world.report(session, &[undialed(&other)]);
    assert_eq!(world.ledger.who_calls(other.number), None);
}

#[test]
fn of_several_leads_the_live_one_counts_then_the_newest_that_was_called() {
    let mut world = World::new(1);
    world.campaign(Campaign {
        id: SECOND,
        ..campaign()
    });
    let import = RegionCommand::Import {
        list: ListId(2),
        campaign: SECOND,
        batch: 1,
        rows: vec![new_lead(0, "America/New_York")],
    };
    world.apply(import);
    assert_eq!(world.ledger.leads_of(number(0)).len(), 2);
    let session = world.open(NODE, 1);
    let first = world.claim(session, 1, 1).remove(0);
    let campaign_of = |world: &World| world.ledger.who_calls(number(0)).unwrap().campaign;
    assert_eq!(campaign_of(&world), CAMPAIGN);
    let outcome = world.dialed(&first, Disposition::Agent(DispositionCode(0)));
    world.report(session, &[outcome]);
    assert_eq!(
        campaign_of(&world),
        CAMPAIGN,
        "the newer one was not called"
    );
    world.pass(minutes(60 * 24));
    let claim = RegionCommand::Claim {
        session,
        campaign: SECOND,
        n: 1,
        sequence: 2,
    };
    let RegionReply::Claimed { leads, shortage } = world.apply(claim) else {
        panic!("no claim");
    };
    assert_eq!(leads.len(), 1, "{shortage:?}");
    assert_eq!(campaign_of(&world), SECOND);
    let outcome = world.dialed(&leads[0], Disposition::NoAnswer);
    world.report(session, &[outcome]);
    assert_eq!(campaign_of(&world), SECOND);
}
