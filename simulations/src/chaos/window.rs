//! The end of the day: the calling window closes while every city dials (I4).

use super::{REST, invites};
use crate::{
    carrier::witness::Event,
    checker::Check,
    world::{Evidence, World, holds, wall_ms},
};
use serde_json::json;
use std::time::Duration;

/// Windows of this pack are of the called person's local time, and it asks for no consent.
const PACK: &str = "us-federal";
/// When they close, in the day's milliseconds, and how far ahead of UTC everybody lives here.
const CLOSES: i64 = 21 * 3_600_000;
const AHEAD_OF_UTC: i64 = 8 * 3_600_000;
const DAY: i64 = 86_400_000;
/// What is left of the day.
const LEFT: Duration = Duration::from_secs(40);
/// How soon members have compared clocks.
const COMPARED: Duration = Duration::from_secs(20);
/// How long the night is watched.
const NIGHT: Duration = Duration::from_secs(15);

/// By how many seconds clocks must be ahead for the window to close [`LEFT`] after `now`, and when
/// that is; both by the true calendar, in milliseconds.
fn ahead(now: i64) -> (i64, i64) {
    let soonest = now + LEFT.as_millis() as i64;
    let since = (soonest + AHEAD_OF_UTC - CLOSES).rem_euclid(DAY);
    let ahead = (DAY - since).div_euclid(1_000);
    (ahead, soonest + DAY - since - ahead * 1_000)
}

/// Every clock jumps to just before the end of the calling window; the cities dial, and stop. When
/// it closed, in true wall milliseconds.
pub(super) async fn close(world: &mut World) -> anyhow::Result<i64> {
    // Who was dialed before the jump rests by the true clock as well.
    world.pause_campaign().await?;
    tokio::time::sleep(REST).await;
    let (ahead, closes) = ahead(wall_ms());
    for member in world.members() {
        world.set_clock(&member, ahead)?;
    }
    // Until it has compared clocks a member takes its own for the wrong one. Who is dialed by the old
    // calendar meanwhile has rested by the new one.
    let set = wall_ms() + ahead * 1_000;
    let agreed = world.until("all clocks agree", COMPARED, async |world| {
        world.clocks_agree(set).await
    });
    agreed.await?;
    world.set_campaign(&json!({"rule_pack": PACK})).await?;
    let from = wall_ms();
    world.start_campaign().await?;
    for city in world.cities() {
        let what = format!("{city} dials before the window closes");
        let dials = world.until(&what, LEFT, async |world| {
            invites(world, &city, from, i64::MAX).is_ok_and(|n| n > 0)
        });
        dials.await?;
    }
    let night = Duration::from_millis((closes - wall_ms()).max(0).unsigned_abs()) + NIGHT;
    tokio::time::sleep(night).await;
    Ok(closes)
}

/// Nobody is called once the window is closed, though there are leads and agents.
pub(super) fn closed(evidence: &Evidence, closed: Option<i64>) -> Check {
    let mut check = holds(
        "nobody is called once the window is closed",
        true,
        String::new,
    );
    check.checked = 0;
    let Some(closed) = closed else { return check };
    let day = LEFT.as_millis() as i64;
    for entry in (evidence.log.iter()).filter(|entry| matches!(entry.event, Event::Invite { .. })) {
        check.checked += u64::from((closed - day..closed).contains(&entry.wall_ms));
        if entry.wall_ms >= closed {
            check.failures += 1;
            let late = entry.wall_ms - closed;
            check
                .examples
                .push(format!("{}: {late} ms after it closed", entry.trunk));
        }
    }
    check.examples.truncate(crate::checker::EXAMPLES);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_closes_when_it_should() {
        for now in [
            0,
            1,
            999,
            1_795_280_400_123,
            1_795_352_361_999,
            46_799_999,
            46_800_000,
        ] {
            let (ahead, closes) = ahead(now);
            assert_eq!((closes + ahead * 1_000 + AHEAD_OF_UTC) % DAY, CLOSES);
            assert!((0..=86_400).contains(&ahead), "{ahead}");
            let left = closes - now - LEFT.as_millis() as i64;
            assert!((0..1_000).contains(&left), "{left}");
        }
    }
}
