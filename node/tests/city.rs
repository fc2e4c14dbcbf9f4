//! The real node: settings that the directory does not fit, and strangers at its phones' port.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "common/apart.rs"]
mod apart;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[path = "common/flood.rs"]
mod flood;

use apart::{apart, metric};
use common::{City, Founder, certificate, free_port, until};
use domain::{
    AgentAccount, AgentId, Codec, MemberId, NumberFormat, Secret, SipTransport, Trunk, TrunkId,
    status::NodeProblem,
};
use flood::{Connections, Datagrams, Phone, engine_time, resident};
use ledger::{Change, DirectoryReply};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A founder, and a city of its own with these lines in its section `[sip]`.
async fn city(folder: &tempfile::TempDir, sip: &str) -> (Founder, City, MemberId) {
    let (mesh, dir) = (free_port(), folder.path().join("city"));
    let founder = Founder::start(&folder.path().join("centre")).await;
    let name = "east".to_owned();
    let reply = founder.change(Change::SetRegion { id: None, name }).await;
    let DirectoryReply::Region(region) = reply else {
        panic!("{reply:?}")
    };
    let node = founder.admit("city", region, mesh, &dir).await;
    let city = City::start_with("city", mesh, &dir, sip);
    (founder, city, node)
}

fn trunk(node: MemberId, name: &str) -> Trunk {
    Trunk {
        id: TrunkId(0),
        name: name.into(),
        node,
        transport: SipTransport::Tls,
        // Nobody is called.
        address: "127.0.0.1:9".into(),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 10,
        calls_per_second: 10,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma],
        options_interval: Duration::ZERO,
        enabled: true,
        rank: 0,
    }
}

/// Until the node says just these problems, to the coordinator and in its metrics.
async fn says(founder: &Founder, city: &City, problems: &[(&str, &[&str])]) {
    let wanted: Vec<NodeProblem> = problems
        .iter()
        .map(|(value, known)| NodeProblem {
            code: NodeProblem::SRTP_TRUNK.into(),
            setting: "sip.srtp.trunks".into(),
            value: (*value).into(),
            known: known.iter().map(|name| (*name).to_owned()).collect(),
        })
        .collect();
    let what = format!("it says {wanted:?}");
    until(&what, LIMIT, async || {
        let said = founder.said.lock().clone();
        (said.fresh_ms > 0 && said.problems == wanted).then_some(())
    })
    .await;
    let series = "dialmesh_node_problems{problem=\"srtp_trunk_unknown\"}";
    until(&what, LIMIT, async || {
        let shown = metric(city.monitoring, series).await?;
        (shown == wanted.len() as f64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_was_to_be_secured_and_is_not_there_is_told_until_it_is() {
    if !apart("a_trunk_that_was_to_be_secured_and_is_not_there_is_told_until_it_is") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (tls, at) = (free_port(), folder.path().display());
    let sip = format!(
        "[sip.tls]\ntrunk_listen = \"127.0.0.1:{tls}\"\ncertificate = \"{at}/node.pem\"\n\
         key = \"{at}/node.key\"\ntrust = \"{at}/node.pem\"\n\
         [sip.srtp.trunks]\nny-tx = \"required\"\nny-bw = \"off\"\n"
    );
    let (founder, city, node) = city(&folder, &sip).await;
    city.ready().await;
    says(&founder, &city, &[("ny-tx", &[])]).await;
    let wrong = trunk(node, "ny-tz");
    let reply = founder.change(Change::SetTrunk { trunk: wrong }).await;
    let DirectoryReply::Trunk(id) = reply else {
        panic!("{reply:?}")
    };
    says(&founder, &city, &[("ny-tx", &["ny-tz"])]).await;
    // The trunk gets the name that was meant, and another one later.
    for (name, problems) in [
        ("ny-tx", &[][..]),
        ("ny-ty", &[("ny-tx", &["ny-ty"][..])][..]),
    ] {
        let trunk = Trunk {
            id,
            ..trunk(node, name)
        };
        founder.change(Change::SetTrunk { trunk }).await;
        says(&founder, &city, problems).await;
    }
}

/// How long it is flooded.
const FLOOD: Duration = Duration::from_secs(4);
/// Datagrams a second.
const RATE: u64 = 8_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_phone_is_served_while_strangers_flood_its_port() {
    if !apart("a_registered_phone_is_served_while_strangers_flood_its_port") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (founder, city, node) = city(&folder, "").await;
    let agent = Box::new(AgentAccount {
        id: AgentId(0),
        login: flood::LOGIN.into(),
        name: "Li".into(),
        node,
        campaigns: Vec::new(),
        sip_password: Secret::new(flood::PASSWORD),
        token_hash: "0".repeat(64),
        enabled: true,
    });
    founder.change(Change::SetAgent { agent }).await;
    city.ready().await;
    let mut phone = Phone::new("127.0.0.9", city.agents);
    until("the phone registers", LIMIT, async || {
        (phone.register()? == 200).then_some(())
    })
    .await;
    // The sockets hear of the phone a moment after it does.
    assert_eq!(phone.register(), Some(200));

    let (memory, worked, began) = (resident(), engine_time(), Instant::now());
    let sources = ["127.0.0.61", "127.0.0.62", "127.0.0.63"];
    let datagrams = Datagrams::start(&sources, city.agents, RATE);
    let connections = Connections::start("127.0.0.64", city.agents).await;
    let (mut registered, mut slowest) = (0, Duration::ZERO);
    while began.elapsed() < FLOOD {
        let asked = Instant::now();
        assert_eq!(phone.register(), Some(200), "after {registered}");
        slowest = slowest.max(asked.elapsed());
        registered += 1;
        // It is no flood itself.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let spent = began.elapsed();
    let worked = engine_time() - worked;
    let (sent, answers) = datagrams.end();
    let written = connections.end();
    let grown = resident().saturating_sub(memory);
    println!(
        "{registered} REGISTERs of the phone, the slowest {slowest:?}, in {spent:?} beside {sent} datagrams \
         ({answers} answered) and {written} messages over connections; the engine's thread worked {worked:?}, \
         {} KiB more memory",
        grown / 1024
    );
    let seconds = spent.as_secs() + 2;
    assert!(sent > RATE / 2 * FLOOD.as_secs(), "a flood: {sent}");
    let allowed = sources.len() as u64 * (60 + 20 * seconds);
    assert!((60..=allowed).contains(&answers), "{answers} answers");
    // On a busy machine the kernel may lose one, which is then sent again after half a second.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(grown < 64 << 20, "{grown} bytes more");
    // The flood would be more than all of its time.
    assert!(
        worked < spent / 4,
        "the engine worked {worked:?} of {spent:?}"
    );

    let series = |reason: &str| format!("dialmesh_sip_dropped_total{{reason=\"{reason}\"}}");
    let dropped = metric(city.monitoring, &series("stranger")).await.unwrap();
    assert!(
        dropped >= (sent - allowed) as f64 / 4.0,
        "{dropped} dropped"
    );
    assert_eq!(
        metric(city.monitoring, &series("engine_full")).await,
        Some(0.0)
    );
    // Who had the right challenge and the wrong password.
    let wrong = "dialmesh_sip_refused_total{reason=\"credentials\",side=\"agents\"}";
    until("wrong passwords are told", LIMIT, async || {
        (metric(city.monitoring, wrong).await? > 0.0).then_some(())
    })
    .await;
    let held = "dialmesh_sip_stream_messages_held_total";
    assert!(metric(city.monitoring, held).await.unwrap() > 0.0);
}
