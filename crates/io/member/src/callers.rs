//! Who a person is who calls one of the mesh's numbers: the region that has the lead knows.
//!
//! Nothing is decided by the answer but what an agent sees and which campaign's agents are asked, so any
//! copy of the region's group will do, also an old one: there need be no quorum. Where a region's policy
//! holds its data in a legal domain, only members there are told.

use crate::{
    member::Member,
    protocol::{NOT_FOR_YOU, NOT_HERE, WHO_CALLS, WhoCalls, decode, encode},
};
use bytes::Bytes;
use consensus::GroupStatus;
use domain::{KnownPerson, MemberId, MemberRole, PhoneNumber, RegionId, limits};
use futures::{StreamExt as _, stream::FuturesUnordered};
use mesh::{Priority, ServiceError};
use std::{collections::BTreeSet, time::Duration};

/// What this member's own copy says.
enum Here {
    /// It has the lead, or is sent every entry and has none.
    Said(Option<KnownPerson>),
    /// It is no member of the group, or hears nobody of it: others may know more.
    Unsure,
}

/// Nobody who could know it said who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no member that copies the region's group said in time who calls; see `dialmesh status`")]
pub struct Unanswered;

type Answer = Result<Option<KnownPerson>, Unanswered>;

impl Member {
    /// Who a person is who calls, by the lead of the number; none for strangers, and for whom this member
    /// may not know.
    ///
    /// # Errors
    /// [`Unanswered`] where nobody who could know answers within `deadline`.
    pub async fn who_calls(&self, number: PhoneNumber, deadline: Duration) -> Answer {
        let home = (self.directory()).read(|directory| directory.home_map().home(number));
        // While numbers move the region before may have it still.
        let regions = home.map(|home| home.before.into_iter().chain([home.region]));
        let asked = async {
            let mut said = Ok(None);
            for region in regions.into_iter().flatten() {
                match self.who_calls_in(region, number, deadline).await {
                    Ok(None) => {}
                    Ok(person) => return Ok(person),
                    Err(unanswered) => said = Err(unanswered),
                }
            }
            said
        };
        let asked = tokio::time::timeout(deadline, asked).await;
        asked.unwrap_or(Err(Unanswered))
    }

    async fn who_calls_in(
        &self,
        region: RegionId,
        number: PhoneNumber,
        deadline: Duration,
    ) -> Answer {
        if !self.may_know(region, self.id()) {
            return Ok(None);
        }
        if let Here::Said(person) = self.who_calls_here(region, number) {
            return Ok(person);
        }
        let question = encode(&WhoCalls { region, number });
        let endpoint = self.endpoint();
        let ask = |peer| {
            let (endpoint, question) = (endpoint.clone(), question.clone());
            async move {
                let urgent = Priority::Urgent;
                let asked = endpoint.rpc_with(peer, WHO_CALLS, question, deadline, urgent);
                match asked.await {
                    Ok(answer) => decode::<Option<KnownPerson>>(&answer).ok(),
                    Err(error) => {
                        tracing::debug!(%peer, %region, %error, "a member did not say who calls");
                        None
                    }
                }
            }
        };
        let mut answers: FuturesUnordered<_> =
            self.who_may_know(region).into_iter().map(ask).collect();
        let mut said = Err(Unanswered);
        while let Some(answer) = answers.next().await {
            match answer {
                Some(None) => said = Ok(None),
                Some(person) => return Ok(person),
                None => {}
            }
        }
        said
    }

    fn who_calls_here(&self, region: RegionId, number: PhoneNumber) -> Here {
        let Some(group) = self.region(region) else {
            return Here::Unsure;
        };
        let status = group.status();
        if !belongs(&status, self.id()) {
            return Here::Unsure;
        }
        match group.read(|ledger| ledger.who_calls(number)) {
            None if status.leader.is_none() => Here::Unsure,
            person => Here::Said(person),
        }
    }

    /// Members that may have the group's entries, at most [`limits::WHO_CALLS_MEMBERS`]: who leads it,
    /// then coordinators and its voters, as far as this member knows.
    fn who_may_know(&self, region: RegionId) -> Vec<MemberId> {
        let status = self.region(region).map(|group| group.status());
        let coordinators: Vec<MemberId> = self.directory().read(|directory| {
            let all = directory.members().filter(|m| !m.removed);
            let all = all.filter(|m| m.role == MemberRole::Coordinator);
            all.map(|m| m.id).collect()
        });
        let (leader, voters) = status.map_or((None, Vec::new()), |status| {
            (status.leader, status.voters.into_iter().collect())
        });
        let mut seen = BTreeSet::from([self.id()]);
        let all = leader.into_iter().chain(coordinators).chain(voters);
        all.filter(|peer| seen.insert(*peer))
            .take(limits::WHO_CALLS_MEMBERS)
            .collect()
    }

    /// Whether a member may see leads of a region: where its policy holds them in a legal domain, only
    /// those that are there.
    pub fn may_know(&self, region: RegionId, member: MemberId) -> bool {
        self.directory().read(|directory| {
            let there = directory.member(member).is_some_and(|m| !m.removed);
            let policy = directory.region_policy(region);
            let place = directory.place(member);
            there
                && (policy.legal_domain.is_none()
                    || place.is_some_and(|place| place.legal_domain == policy.legal_domain))
        })
    }

    pub(crate) fn serve_callers(&self) {
        let member = self.clone();
        self.endpoint()
            .serve(WHO_CALLS, move |from, request: Bytes| {
                let member = member.clone();
                async move {
                    let WhoCalls { region, number } = decode(&request)?;
                    if !member.may_know(region, from) {
                        let why = format!("the data of {region} stays in its legal domain");
                        return Err(ServiceError::new(NOT_FOR_YOU, why));
                    }
                    match member.who_calls_here(region, number) {
                        Here::Said(person) => Ok(encode(&person)),
                        Here::Unsure => {
                            let why = format!("no copy of the group of {region} is here");
                            Err(ServiceError::new(NOT_HERE, why))
                        }
                    }
                }
            });
    }
}

/// Whether a member is sent the group's entries.
fn belongs(status: &GroupStatus, me: MemberId) -> bool {
    status.voters.contains(&me) || status.learners.contains(&me)
}
