//! Joining over a real link, and what a node may do then.

use super::{Mesh, by, region_and_campaign};
use dialmesh_http::{
    admin::AdminBackend,
    dto::{
        AgentPatch, AgentRequest, CallFilter, CallerIdPatch, CallerIdRequest, CallerIdsRequest,
        CityMode, JoinTokenRequest, PageQuery, TrunkPatch, TrunkRequest,
    },
    problem::BackendError,
};
use domain::{
    CampaignId, MemberId, MemberRole, RegionId,
    status::{NodeProblem, NodeStatus, OverflowStatus},
};
use member::{RECORDS, RecordsReply, STATUS, decode, encode, encode_records};
use mesh::{Endpoint, EndpointConfig, JoinError, JoinInfo, JoinToken, ResetKey};
use std::time::Duration;

fn info(name: &str) -> JoinInfo {
    JoinInfo {
        name: name.into(),
        role: MemberRole::Node,
        region: Some("west".into()),
        mesh_address: "127.0.0.1:9".into(),
        http_address: "http://127.0.0.1:9".into(),
    }
}

async fn token(api: &dyn AdminBackend, name: &str, region: RegionId) -> JoinToken {
    let request = JoinTokenRequest {
        role: MemberRole::Node,
        name: name.into(),
        region: Some(region),
        ttl_seconds: 600,
    };
    let made = api.create_join_token(&by(), request).await.unwrap();
    made.token.expose().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_is_good_for_one_member() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let (region, _) = region_and_campaign(&*api).await;
        let address = coordinator.addresses().mesh;
        let city = token(&*api, "city", region).await;
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());

        let wrong = JoinInfo {
            region: Some("east".into()),
            ..info("city")
        };
        let wrong = mesh::join(&city, address, wrong, first.path())
            .await
            .unwrap_err();
        assert!(
            matches!(&wrong, JoinError::Refused { why } if why.contains("west")),
            "{wrong}"
        );
        let wrong = mesh::join(&city, address, info("other"), first.path())
            .await
            .unwrap_err();
        assert!(
            matches!(&wrong, JoinError::Refused { why } if why.contains("city")),
            "{wrong}"
        );

        // An answer is lost: the key stays, and asks again.
        let joined = mesh::join(&city, address, info("city"), first.path())
            .await
            .unwrap();
        assert_eq!(joined.identity.member, MemberId(2));
        assert_eq!(joined.members.len(), 2);
        let used = mesh::join(&city, address, info("city"), second.path())
            .await
            .unwrap_err();
        assert!(
            matches!(&used, JoinError::Refused { why } if why.contains("used")),
            "{used}"
        );
        let listed = api.join_tokens(PageQuery::default()).await.unwrap().data;
        assert!(listed.len() == 1 && listed[0].used && listed[0].name == "city");

        let late = token(&*api, "late", region).await;
        let id = api.join_tokens(PageQuery::default()).await.unwrap().data[1]
            .id
            .clone();
        api.revoke_join_token(&by(), &id).await.unwrap();
        let revoked = mesh::join(&late, address, info("late"), second.path())
            .await
            .unwrap_err();
        assert!(matches!(revoked, JoinError::Refused { .. }), "{revoked}");
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_seen_and_ships_records() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let (region, campaign) = region_and_campaign(&*api).await;
        let address = coordinator.addresses().mesh;
        let dir = tempfile::tempdir().unwrap();
        let city = token(&*api, "city", region).await;
        let joined = mesh::join(&city, address, info("city"), dir.path())
            .await
            .unwrap();
        let node = joined.identity.member;
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = EndpointConfig {
            bind: listen,
            identity: joined.identity,
            reset: ResetKey::random(),
            authority: None,
        };
        let endpoint = Endpoint::bind(config).unwrap();
        endpoint.set_address(joined.coordinator, address);
        endpoint.connected(joined.coordinator).await;

        let status = api.status().await.unwrap();
        assert_eq!(
            (status.cities.len(), status.cities[0].mode),
            (1, CityMode::Unreachable)
        );
        let mut said = NodeStatus {
            node,
            ..NodeStatus::default()
        };
        said.lines.ringing = 3;
        said.problems = vec![NodeProblem {
            code: NodeProblem::SRTP_TRUNK.into(),
            setting: "sip.srtp.trunks".into(),
            value: "ny-tz".into(),
            known: vec!["ny-tx".into()],
        }];
        let carried = |campaign, out_now| OverflowStatus {
            campaign,
            out_now,
            in_now: 1,
            out_total: 10,
            in_total: 20,
            missed: 3,
        };
        said.overflow = vec![carried(campaign, 2), carried(CampaignId(77), 5)];
        let wait = Duration::from_secs(5);
        endpoint
            .rpc(joined.coordinator, STATUS, encode(&said), wait)
            .await
            .unwrap();
        let other = NodeStatus {
            node: MemberId(7),
            ..NodeStatus::default()
        };
        assert!(
            endpoint
                .rpc(joined.coordinator, STATUS, encode(&other), wait)
                .await
                .is_err()
        );
        let status = api.status().await.unwrap();
        let seen = &status.cities[0];
        assert_eq!((seen.mode, seen.calls.ringing), (CityMode::Central, 3));
        assert_eq!(
            (seen.name.as_str(), seen.region_name.as_str()),
            ("city", "west")
        );

        let problem = &seen.problems[0];
        assert_eq!(seen.problems.len(), 1);
        assert_eq!(
            (problem.code.as_str(), problem.value.as_str()),
            ("srtp_trunk_unknown", "ny-tz")
        );
        assert_eq!(problem.text, said.problems[0].to_string());

        let overflow = seen.overflow;
        assert_eq!(
            (overflow.out_now, overflow.in_now, overflow.out_total),
            (7, 2, 20)
        );
        assert_eq!((overflow.in_total, overflow.missed), (40, 6));
        let stats = api.campaign_stats(campaign).await.unwrap();
        let of_city = stats.budget.cities[0].overflow.unwrap();
        assert_eq!((of_city.out_now, of_city.in_total), (2, 20));

        let records: Vec<_> = (1..=3).map(crate::records::tests::record).collect();
        let kept = endpoint
            .rpc(joined.coordinator, RECORDS, encode_records(&records), wait)
            .await
            .unwrap();
        assert_eq!(decode::<RecordsReply>(&kept).unwrap().kept, 3);
        let mut filter = CallFilter {
            campaign: Some(campaign),
            limit: Some(2),
            ..CallFilter::default()
        };
        let newest = api.calls(filter.clone()).await.unwrap();
        assert_eq!(newest.data[0].id, records[2].attempt);
        filter.cursor = newest.next_cursor;
        let rest = api.calls(filter.clone()).await.unwrap();
        assert_eq!((rest.data.len(), rest.next_cursor), (1, None));
        assert_eq!(
            api.call(records[0].attempt).await.unwrap().number,
            "+1415*****34"
        );
        filter.cursor = None;
        let exported = api.call_records(&by, filter, false).await.unwrap();
        let exported: Vec<_> = futures::StreamExt::collect::<Vec<_>>(exported).await;
        assert_eq!(exported, records.into_iter().map(Ok).collect::<Vec<_>>());
        assert_eq!(
            api.campaign_stats(campaign).await.unwrap().dispositions["busy"],
            3
        );

        trunks_and_people(&*api, node).await;
        api.remove_member(&by, node).await.unwrap();
        assert!(api.member(node).await.unwrap().removed);
        endpoint.close();
        ((), coordinator)
    });
}

async fn trunks_and_people(api: &dyn AdminBackend, node: MemberId) {
    let by = by();
    let trunk: TrunkRequest = serde_json::from_value(serde_json::json!({
        "name": "carrier", "node": node.to_string(), "address": "127.0.0.1:5060",
        "auth": {"username": "u", "password": "p"}, "register": true
    }))
    .unwrap();
    let trunk = api.create_trunk(&by, trunk).await.unwrap();
    let patch = TrunkPatch {
        channels: Some(7),
        enabled: Some(false),
        ..TrunkPatch::default()
    };
    let patched = api.patch_trunk(&by, trunk.id, patch).await.unwrap();
    assert_eq!(
        (patched.channels, patched.enabled, patched.register),
        (7, false, true)
    );
    let number = "+14155550100";
    let caller_id = CallerIdRequest {
        number: number.into(),
        trunk: trunk.id,
        per_day: 9,
        per_hour: 3,
    };
    let request = CallerIdsRequest {
        caller_ids: vec![caller_id],
    };
    let added = api.add_caller_ids(&by, request.clone()).await.unwrap();
    assert_eq!((added.added, added.updated), (1, 0));
    let rest = CallerIdPatch {
        resting: Some(true),
        ..CallerIdPatch::default()
    };
    api.patch_caller_id(&by, number.parse().unwrap(), rest)
        .await
        .unwrap();
    let added = api.add_caller_ids(&by, request).await.unwrap();
    assert_eq!((added.added, added.updated), (0, 1));
    assert!(
        api.caller_ids(PageQuery::default()).await.unwrap().data[0].resting,
        "it rests on"
    );
    let owned = api.delete_trunk(&by, trunk.id).await.unwrap_err();
    assert!(matches!(owned, BackendError::Conflict(_)), "{owned}");
    api.delete_caller_id(&by, number.parse().unwrap())
        .await
        .unwrap();
    api.delete_trunk(&by, trunk.id).await.unwrap();

    let request = AgentRequest {
        login: "ada".into(),
        name: "Ada".into(),
        node,
        campaigns: Vec::new(),
    };
    let made = api.create_agent(&by, request.clone()).await.unwrap();
    let taken = api.create_agent(&by, request).await.unwrap_err();
    assert!(
        matches!(&taken, BackendError::Invalid(f) if f[0].pointer == "/login"),
        "{taken:?}"
    );
    let off = AgentPatch {
        enabled: Some(false),
        ..AgentPatch::default()
    };
    assert!(
        !api.patch_agent(&by, made.agent.id, off)
            .await
            .unwrap()
            .enabled
    );
    let fresh = api.rotate_agent_token(&by, made.agent.id).await.unwrap();
    assert_ne!(fresh.token.expose(), made.token.expose());
}
