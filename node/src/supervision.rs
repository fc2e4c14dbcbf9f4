//! Coordinators ask for this node's live calls, and let supervisors into them.

use crate::event::{Event, Events};
use bytes::Bytes;
use domain::{LiveFloor, MemberId, MemberRole, SupervisionOrder};
use member::{LIVE_CALLS, Member, NOT_FOR_YOU, SUPERVISE, decode, encode};
use mesh::ServiceError;
use tokio::sync::oneshot;

/// Error code of a node that is stopping.
const STOPPING: u16 = 6;

/// Answers coordinators.
pub(crate) fn serve(member: &Member, events: &Events) {
    let (here, engine) = (member.clone(), events.clone());
    let answer = move |from, _: Bytes| {
        let (here, engine) = (here.clone(), engine.clone());
        async move {
            admit(&here, from)?;
            let (reply, floor) = oneshot::channel();
            engine.put(Event::Floor(reply)).await;
            let floor: LiveFloor = floor.await.map_err(|_| stopping())?;
            Ok(encode(&floor))
        }
    };
    member.endpoint().serve(LIVE_CALLS, answer);
    let (here, engine) = (member.clone(), events.clone());
    let answer = move |from, request: Bytes| {
        let (here, engine) = (here.clone(), engine.clone());
        async move {
            admit(&here, from)?;
            let order: SupervisionOrder = decode(&request)?;
            let (reply, taken) = oneshot::channel();
            engine.put(Event::Supervise { order, reply }).await;
            Ok(encode(&taken.await.map_err(|_| stopping())?))
        }
    };
    member.endpoint().serve(SUPERVISE, answer);
}

fn stopping() -> ServiceError {
    ServiceError::new(STOPPING, "this node is stopping")
}

fn admit(member: &Member, from: MemberId) -> Result<(), ServiceError> {
    let coordinator = member.directory().read(|directory| {
        let known = directory.member(from);
        known.is_some_and(|m| m.role == MemberRole::Coordinator && !m.removed)
    });
    match coordinator {
        true => Ok(()),
        false => Err(ServiceError::new(
            NOT_FOR_YOU,
            "live calls are for coordinators",
        )),
    }
}
