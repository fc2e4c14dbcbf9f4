//! What a node learns of who answers: from its own calls, kept over runs, and told with its claims.

use super::*;
use domain::{Chances, LeadOrder};
use engine::{DirectoryChange, LearnedOf};
use scoring::Answers;

impl World {
    fn order(&mut self, index: u64, order: LeadOrder) {
        let changes = vec![DirectoryChange::LeadOrder(CAMPAIGN, order)];
        self.input(Input::Directory { index, changes });
    }

    /// What was told last to be kept.
    fn kept(&self) -> Answers {
        let of_it = |(of, _): &&(LearnedOf, _)| *of == LearnedOf::Campaign(CAMPAIGN);
        let (_, bytes) = (self.learned.iter().rev().find(of_it)).expect("something was told");
        Answers::read(bytes.as_deref().expect("it is known")).expect("its own bytes")
    }
}

/// An answer, two failures at once, one more, and one that rings until it is given up.
fn dialed() -> World {
    let mut world = World::new();
    world.stock = Some(World::leads(&["8000", "8001", "8004", "8003", "8002"]));
    world.shift();
    world.run(Duration::from_secs(2));
    world.press(AgentCommand::HangUp);
    world.press(AgentCommand::Dispose {
        disposition: "sale".into(),
        note: String::new(),
        callback_at: None,
    });
    world.run(Duration::from_secs(100));
    world
}

#[test]
fn a_node_learns_who_answers_in_the_persons_own_time_and_has_it_kept() {
    let world = dialed();
    assert_eq!(world.closed.len(), 5);
    let answers = world.kept();
    let ends: Vec<Disposition> = world.closed.values().map(|(end, _)| *end).collect();
    // A carrier that failed says nothing of persons.
    let tells = |end: &&Disposition| !matches!(end, Disposition::CarrierFailure);
    let told = ends.iter().filter(tells).count() as u64;
    let all = answers.all();
    assert_eq!((all.lines, all.answered), (told, 1), "{ends:?}");
    let zone = domain::zones::find("Asia/Shanghai").unwrap();
    let there = compliance::local_time(zone, world.now.wall).unwrap();
    assert_eq!(answers.by_hour()[usize::from(there.hour)].lines, told);
    assert_eq!(answers.by_weekday()[usize::from(there.weekday)].lines, told);
    assert_eq!(answers.lists(), [1]);
    assert_eq!(world.engine.learned(CAMPAIGN), Some(answers.save()));
    assert_eq!(world.engine.learned(CampaignId(99)), None);
    let in_no_order = answers.compared();
    assert_eq!(in_no_order, Default::default());
}

#[test]
fn chances_go_with_claims_only_where_the_campaign_asks_for_it() {
    let world = dialed();
    assert!(world.chances.iter().all(Option::is_none), "oldest first");
    let mut next = World::new();
    let learned = vec![
        (
            LearnedOf::Campaign(CAMPAIGN),
            world.engine.learned(CAMPAIGN).unwrap(),
        ),
        // Of another release: learned anew.
        (LearnedOf::Campaign(CampaignId(2)), vec![99, 1, 2]),
    ];
    next.input(Input::Learned(learned));
    next.order(6, LeadOrder::BestChance);
    next.shift();
    next.run(Duration::from_secs(1));
    let chances = next.chances.pop().flatten().expect("the best go first");
    assert_eq!(chances.check(), Ok(()));
    assert_eq!(chances.lists.len(), 1);
    assert_eq!(chances.lists[0].0, ListId(1));
    assert!(chances.place(ListId(1), 0, None) > 0);
    assert_eq!(next.engine.learned(CampaignId(2)), None);
    // Nothing learned is no reason not to ask, and taken back it holds at once.
    let mut young = World::new();
    young.order(6, LeadOrder::BestChance);
    young.shift();
    young.run(Duration::from_secs(1));
    let none = young.chances.pop().flatten();
    assert_eq!(none, Some(Box::new(Chances::default())));
    young.order(7, LeadOrder::Oldest);
    young.run(Duration::from_secs(15));
    assert_eq!(young.chances.pop(), Some(None));
}

#[test]
fn what_was_given_out_by_chance_is_counted_beside_what_was_held_out() {
    let mut world = World::new();
    world.order(6, LeadOrder::BestChance);
    world.stock = Some(World::leads(&["8001", "8004", "8003"]));
    world.shift();
    world.run(Duration::from_secs(90));
    let answers = world.kept();
    let (by_chance, held_out) = answers.compared();
    assert_eq!(by_chance.lines + held_out.lines, answers.all().lines);
    assert!(answers.all().lines > 0);
}
