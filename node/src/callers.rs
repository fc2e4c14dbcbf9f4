//! What the mesh says of a call that rings: who calls, and whose number that is.

use crate::event::{Event, Events};
use domain::{CallerTold, PhoneNumber, limits};
use ledger::Directory;
use member::Member;
use std::time::Duration;

/// So long before the engine waits no more is the answer given.
const SPARE: Duration = Duration::from_millis(100);

/// Tells the engine the city of the called number and, where a number is given, who calls from it.
pub(crate) async fn tell(
    member: Member,
    events: Events,
    ask: u64,
    number: Option<PhoneNumber>,
    called: PhoneNumber,
) {
    let city = member
        .directory()
        .read(|directory| city_of(directory, called));
    let person = match number {
        Some(number) => member.who_calls(number, limits::WHO_CALLS - SPARE).await,
        None => Ok(None),
    };
    let told = Box::new(CallerTold {
        unanswered: person.is_err(),
        person: person.ok().flatten(),
        city: city.unwrap_or_default(),
    });
    events.put(Event::CallerTold { ask, told }).await;
}

/// The name of the region of the node whose number that is.
fn city_of(directory: &Directory, number: PhoneNumber) -> Option<String> {
    let trunk = directory.trunk(directory.caller_id(number)?.trunk)?;
    let region = directory.member(trunk.node)?.region?;
    let mut regions = directory.regions();
    let found = regions.find(|found| found.id == region)?;
    Some(found.name.clone())
}
