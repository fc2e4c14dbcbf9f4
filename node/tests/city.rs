//! The real node: settings that the directory does not fit, and strangers at its phones' port.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "common/apart.rs"]
mod apart;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use apart::{apart, metric};
use common::{City, Founder, certificate, free_port, until};
use domain::{Codec, MemberId, NumberFormat, SipTransport, Trunk, TrunkId, status::NodeProblem};
use ledger::{Change, DirectoryReply};
use std::time::Duration;

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
