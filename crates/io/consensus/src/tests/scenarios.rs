//! What a group must survive.

use super::cluster::*;
use crate::{
    Applied, ChangeError, GroupConfig, GroupId, GroupOptions, MembershipChange, ProposeError,
    ReadError, Role,
};
use domain::{MemberId, RegionId};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_elect_propose_and_read_from_anywhere() {
    let cluster = Cluster::start(3, quick()).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(cluster.group(follower), 1..40).await;
    acknowledged.add(cluster.group(leader), 40..60).await;
    let ledger = cluster.agree(acknowledged.index).await;
    acknowledged.check(&ledger);
    assert!(ledger.wall.as_millis() > 1_700_000_000_000);

    // A command that comes twice counts once.
    let before = cluster.group(follower).propose(add(5)).await.unwrap();
    assert_eq!(before, ledger.sum);

    // Linearizable: whoever asks learns of what was acknowledged before.
    for member in 1..=3 {
        let group = cluster.group(member);
        let index = group.linearizable_index(WAIT).await.unwrap();
        assert!(index > acknowledged.index, "{index} {acknowledged:?}");
        group.wait_applied(index, WAIT).await.unwrap();
    }
    assert!(cluster.group(leader).confirm_leadership().await.is_ok());
    assert!(matches!(
        cluster.group(follower).confirm_leadership().await,
        Err(ReadError::NoQuorum { .. })
    ));

    let status = cluster.group(leader).status();
    assert_eq!(
        (status.role, status.leader),
        (Role::Leader, Some(MemberId(leader)))
    );
    assert_eq!(status.voters, [MemberId(1), MemberId(2), MemberId(3)]);
    assert!(status.learners.is_empty() && status.failure.is_none());

    // Bounds and refusals.
    let big = Add {
        origin: 9,
        amount: 0,
        ballast: vec![0; crate::propose::COMMAND_BYTES],
    };
    assert!(matches!(
        cluster.group(follower).propose(big).await,
        Err(ProposeError::TooLarge { .. })
    ));
    let fits = Add {
        origin: 61,
        amount: 0,
        ballast: vec![0; crate::propose::COMMAND_BYTES - 64],
    };
    let committed = cluster
        .group(follower)
        .propose_within(&fits, WAIT)
        .await
        .unwrap();
    cluster.agree(committed.index).await;
    let six = MembershipChange::SetVoters(ids(1..=6));
    assert!(matches!(
        cluster.group(follower).change(&six, WAIT).await,
        Err(ChangeError::Refused { .. })
    ));
    let all = MembershipChange::Remove(ids(1..=3));
    assert!(matches!(
        cluster.group(leader).change(&all, WAIT).await,
        Err(ChangeError::Refused { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_leader_is_replaced_and_comes_back() {
    let mut cluster = Cluster::start(3, quick()).await;
    let mut acknowledged = Acknowledged::default();
    let leader = cluster.leader().await;
    acknowledged.add(cluster.group(leader), 1..30).await;
    cluster.kill(leader).await;
    let follower = *cluster.members.keys().next().unwrap();
    acknowledged.add(cluster.group(follower), 30..60).await;
    assert_ne!(cluster.leader().await, leader);
    cluster.boot(leader).await;
    acknowledged.add(cluster.group(leader), 60..70).await;
    let ledger = cluster.agree(acknowledged.index).await;
    acknowledged.check(&ledger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_of_all_keeps_what_was_acknowledged() {
    let mut cluster = Cluster::start(3, quick()).await;
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(cluster.group(2), 1..50).await;
    for member in 1..=3 {
        cluster.kill(member).await;
    }
    for member in 1..=3 {
        cluster.boot(member).await;
    }
    cluster.leader().await;
    for member in 1..=3 {
        cluster.group(member).recovered(WAIT).await.unwrap();
    }
    let ledger = cluster.agree(acknowledged.index).await;
    acknowledged.check(&ledger);
    acknowledged.add(cluster.group(3), 50..55).await;
    acknowledged.check(&cluster.agree(acknowledged.index).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_member_catches_up_by_snapshot_and_leaves() {
    let options = GroupOptions {
        snapshot_every: 60,
        keep_entries: 5,
        ..quick()
    };
    let mut cluster = Cluster::start(1, options).await;
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(cluster.group(1), 1..300).await;
    // A number, in the log and in what is made of it.
    let number = 8_613_800_138_000;
    acknowledged.add(cluster.group(1), number..number + 1).await;
    let group = cluster.group(1).clone();
    tokio::time::timeout(WAIT, async {
        while group.status().purged < 100 {
            let mut applied = group.watch_applied();
            acknowledged
                .add(&group, acknowledged.index + 1000..acknowledged.index + 1010)
                .await;
            applied.changed().await.unwrap();
        }
    })
    .await
    .expect("the log is purged behind a snapshot");
    cluster.boot(2).await;
    let mut events = cluster.group(2).events();
    group
        .change(&MembershipChange::AddLearners(ids([2])), WAIT)
        .await
        .unwrap();
    let ledger = cluster.agree(acknowledged.index).await;
    acknowledged.check(&ledger);
    // It heard of the whole state at once, then of single entries.
    let first: Applied<Event> = events.recv().await.unwrap();
    assert!(
        matches!(first.events[..], [Event::Reset { sum }] if sum > 0),
        "{first:?}"
    );
    assert_eq!(cluster.group(2).status().role, Role::Learner);

    // It restarts from its own copy of the snapshot.
    cluster.kill(2).await;
    cluster.boot(2).await;
    acknowledged.check(&cluster.agree(acknowledged.index).await);

    group
        .change(&MembershipChange::SetVoters(ids([1, 2])), WAIT)
        .await
        .unwrap();
    assert_eq!(group.status().voters.len(), 2);
    group
        .change(&MembershipChange::Remove(ids([2])), WAIT)
        .await
        .unwrap();
    // What the group shows of itself follows a moment later.
    tokio::time::timeout(WAIT, async {
        loop {
            let status = group.status();
            if (status.voters, status.learners) == (vec![MemberId(1)], vec![]) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the member is gone");
    cluster.kill(2).await;
    acknowledged.add(&group, 900_000..900_010).await;
    assert_eq!(cluster.in_clear(number), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cut_member_says_so_and_the_others_go_on() {
    let cluster = Cluster::start(3, quick()).await;
    let mut acknowledged = Acknowledged::default();
    let leader = cluster.leader().await;
    acknowledged.add(cluster.group(leader), 1..10).await;
    cluster.isolate(leader, true);
    // The old leader can neither read nor write.
    let alone = cluster.group(leader).clone();
    let read = alone
        .linearizable_index(Duration::from_secs(4))
        .await
        .unwrap_err();
    assert!(read.to_string().contains("quorum of its voters"), "{read}");
    let write = alone
        .propose_within(&add(777), Duration::from_secs(3))
        .await
        .unwrap_err();
    assert!(write.surely_not_applied(), "{write}");
    assert!(
        write.to_string().contains("no leader with a quorum"),
        "{write}"
    );
    // The others elect and go on.
    let other = *cluster.members.keys().find(|m| **m != leader).unwrap();
    acknowledged.add(cluster.group(other), 10..20).await;
    assert_ne!(cluster.group(other).leader(), Some(MemberId(leader)));
    // Healed, it follows; nothing of its own survived.
    cluster.isolate(leader, false);
    let ledger = cluster.agree(acknowledged.index).await;
    acknowledged.check(&ledger);
    acknowledged.add(&alone, 20..25).await;
    acknowledged.check(&cluster.agree(acknowledged.index).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leadership_is_handed_over_and_groups_share_a_journal() {
    let cluster = Cluster::start(3, quick()).await;
    let leader = cluster.leader().await;
    let to = cluster.follower().await;
    let heard = Heard::default();
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(cluster.group(leader), 1..5).await;
    cluster.agree(acknowledged.index).await;
    cluster.group(leader).hand_over(MemberId(to)).await.unwrap();
    let mut leadership = cluster.group(to).watch_leadership();
    let moved = leadership.wait_for(|l| l.leader == Some(MemberId(to)));
    tokio::time::timeout(WAIT, moved).await.unwrap().unwrap();

    // A second group on the same journal and endpoint, with a listener.
    let sink = heard.clone();
    let config = GroupConfig {
        id: GroupId::Region(RegionId(8)),
        initial: Ledger::default(),
        listener: Some(std::sync::Arc::new(move |a: Applied<Event>| {
            sink.lock().push((a.index, a.events));
        })),
        options: quick(),
    };
    let running = &cluster.members[&1];
    let second = running.groups.start(config).await.unwrap();
    second.initialize(&ids([1])).await.unwrap();
    second.initialize(&ids([1])).await.unwrap();
    for origin in [3, 1, 3] {
        second.propose(add(origin)).await.unwrap();
    }
    let events: Vec<Vec<Event>> = heard.lock().iter().map(|(_, e)| e.clone()).collect();
    assert_eq!(
        events,
        [vec![Event::Added(3)], vec![Event::Added(1)], vec![]]
    );
    let indexes: Vec<u64> = heard.lock().iter().map(|(i, _)| *i).collect();
    assert!(indexes.windows(2).all(|w| w[0] < w[1]));
    assert_eq!(cluster.group(1).read(|l| l.sum), 100);
    assert_eq!(running.groups.running().len(), 2);
    // The others do not hold it, and say so.
    let json = serde_json::to_value(second.status()).unwrap();
    assert_eq!(json["role"], "leader");
    running.groups.stop(second).await;
    assert_eq!(running.groups.running(), [GROUP]);
}

/// In the environment of the process that is to fail.
const FAILING: &str = "DIALMESH_TEST_FAILING_GROUP";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_cannot_keep_its_snapshot_ends_the_process() {
    if std::env::var_os(FAILING).is_some() {
        let cluster = Cluster::start(1, quick()).await;
        cluster.leader().await;
        let group = cluster.group(1);
        let index = group.linearizable_index(WAIT).await.unwrap();
        group.wait_applied(index, WAIT).await.unwrap();
        // The place of its snapshots is a file now.
        let snapshots = cluster.snapshots(1);
        std::fs::remove_dir_all(&snapshots).unwrap();
        std::fs::write(&snapshots, "").unwrap();
        group.snapshot_now().await.unwrap();
        let mut leadership = group.watch_leadership();
        while leadership.changed().await.is_ok() {}
        panic!("the group went on, or its failure was not told");
    }
    let this = std::env::current_exe().unwrap();
    let name = "tests::scenarios::a_group_that_cannot_keep_its_snapshot_ends_the_process";
    let child = tokio::process::Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(FAILING, "1")
        .output();
    let child = tokio::time::timeout(WAIT, child).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&child.stderr).into_owned();
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(6), "{:?}: {said}", child.status);
    assert!(!said.contains("panicked"), "{said}");
}
