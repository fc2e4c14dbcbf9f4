//! What time the others have: asked of some of them, so that a machine whose clock is wrong goes by
//! the majority's calendar instead (I4).

use crate::{
    member::Member,
    protocol::{CLOCK, decode, encode},
};
use bytes::Bytes;
use domain::{ClockVerdict, MemberId, MeshClock, WallTime, limits};
use mesh::Priority;
use service::clock;
use std::time::Duration;

/// How often the others are asked.
const EVERY: Duration = Duration::from_secs(5);
/// How often, while somebody who is to be asked does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How often, while nobody was heard at all: a node dials nobody until then.
const FIRST: Duration = Duration::from_millis(100);
/// An answer that takes longer says nothing.
const ANSWER: Duration = Duration::from_secs(2);

impl Member {
    /// Answers who asks what time this machine has: its own clock, not the majority's.
    pub(crate) fn serve_clock(&self) {
        (self.endpoint()).serve(CLOCK, |_, _: Bytes| async {
            Ok(encode(&clock::machine_wall().as_millis()))
        });
    }

    /// Asks for the others' clocks for as long as the process lives.
    pub(crate) async fn compare_clocks(self) {
        describe();
        let mut mesh = MeshClock::default();
        let mut told = ClockVerdict::Alone;
        loop {
            let asked = self.clocks_to_ask();
            let answers = futures::future::join_all(asked.iter().map(|id| self.ask_clock(*id)));
            let mut all = true;
            for (id, answer) in asked.iter().zip(answers.await) {
                match answer {
                    Some((sent, received, wall)) => mesh.heard(*id, sent, received, wall),
                    None => all = false,
                }
            }
            mesh.forget_old(clock::monotonic());
            if mesh.known() > 0 {
                clock::heard(mesh.clone());
            }
            let (now, verdict) = clock::judged();
            metrics::gauge!("dialmesh_clock_time_seconds")
                .set(now.wall.as_millis() as f64 / 1000.0);
            tell(&mut told, verdict);
            let pause = match (mesh.known(), all) {
                (0, _) => FIRST,
                (_, false) => AGAIN,
                (_, true) => EVERY,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The voters of the directory first: they are few, and everybody reaches them.
    fn clocks_to_ask(&self) -> Vec<MemberId> {
        let voters = self.directory().status().voters;
        let others = self.directory().read(|directory| {
            let there = directory.members().filter(|m| !m.removed).map(|m| m.id);
            there.collect::<Vec<_>>()
        });
        let mut asked: Vec<MemberId> = Vec::new();
        for id in voters.into_iter().chain(others) {
            if id != self.id() && !asked.contains(&id) && asked.len() < limits::MESH_CLOCKS / 2 {
                asked.push(id);
            }
        }
        asked
    }

    async fn ask_clock(
        &self,
        member: MemberId,
    ) -> Option<(domain::Instant, domain::Instant, WallTime)> {
        let sent = clock::monotonic();
        let asked = self
            .endpoint()
            .rpc_with(member, CLOCK, Bytes::new(), ANSWER, Priority::Urgent);
        let answer = asked.await.ok()?;
        let wall = decode::<i64>(&answer).ok()?;
        Some((sent, clock::monotonic(), WallTime::from_millis(wall)))
    }
}

fn describe() {
    metrics::describe_gauge!(
        "dialmesh_clock_ahead_seconds",
        "By how much the machine's clock is ahead of the others'; 0 while it agrees with most"
    );
    metrics::describe_gauge!(
        "dialmesh_clock_time_seconds",
        "The time that this member went by when it last compared clocks, as Unix time"
    );
    metrics::describe_gauge!(
        "dialmesh_clock_disputed",
        "1 while no majority of members agrees what time it is: nobody is dialed"
    );
}

fn tell(told: &mut ClockVerdict, verdict: ClockVerdict) {
    let ahead = verdict.ahead() as f64 / 1000.0;
    metrics::gauge!("dialmesh_clock_ahead_seconds").set(ahead);
    metrics::gauge!("dialmesh_clock_disputed").set(f64::from(u8::from(verdict.is_disputed())));
    if std::mem::discriminant(told) == std::mem::discriminant(&verdict) {
        return;
    }
    match verdict {
        ClockVerdict::Corrected { .. } => tracing::error!(
            ahead_seconds = ahead,
            "this machine's clock is wrong: the other members' time is used; see that NTP runs here"
        ),
        ClockVerdict::Disputed { .. } => tracing::error!(
            ahead_seconds = ahead,
            "clocks disagree and no majority tells who is right: nobody is dialed from here; see that NTP runs on every member"
        ),
        ClockVerdict::Agrees if *told != ClockVerdict::Alone => {
            tracing::info!("this machine's clock agrees with the other members' again");
        }
        ClockVerdict::Agrees | ClockVerdict::Alone => {}
    }
    *told = verdict;
}
