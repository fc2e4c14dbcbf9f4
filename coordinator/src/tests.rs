//! A whole coordinator in a temporary folder, asked through the face of its admin API.

mod bases;
mod homes;
mod joins;
mod levers;
mod lists;

use crate::{Coordinator, InitOptions, config::CoordinatorConfig, init};
use bytes::Bytes;
use dialmesh_http::{
    admin::{AdminBackend, ByteStream, CampaignAction},
    auth::{Caller, Principal, Role, hash_token},
    dto::*,
    problem::{BackendError, BodyError},
};
use domain::{CampaignId, CampaignState, MeshVersion, PhoneNumber, RegionId, Secret};
use futures::{StreamExt, stream};
use service::{Metrics, Shutdown, config::Layers, shutdown::Reason};
use std::{fmt::Write, path::Path, sync::Arc};
use tempfile::TempDir;

fn config(dir: &Path) -> CoordinatorConfig {
    let text = format!(
        r#"
        name = "coordinator"
        data_dir = "{}"
        [mesh]
        listen = "127.0.0.1:0"
        [http]
        listen = "127.0.0.1:0"
        [monitoring]
        listen = "127.0.0.1:0"
        [protocol]
        freshness = "5s"
        [do_not_call]
        files = "{}"
        list_bytes = 100000
        "#,
        dir.join("data").display(),
        dir.join("lists").display()
    );
    Layers::new().with_text("test.toml", text).read().unwrap()
}

fn by() -> Caller {
    Caller {
        principal: Principal {
            token: "tok_1".into(),
            name: "test".into(),
            role: Role::Admin,
        },
        request_id: "req".into(),
    }
}

/// A mesh in a folder of its own.
struct Mesh {
    dir: TempDir,
    token: Secret,
    /// Up to which version the coordinator says that it understands the others.
    hold_version: Option<MeshVersion>,
}

impl Mesh {
    async fn new() -> Self {
        Self::held_at(None).await
    }

    async fn held_at(hold_version: Option<MeshVersion>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.mesh.hold_version = hold_version;
        let made = init(&config, InitOptions::default()).await.unwrap();
        Self {
            dir,
            token: made.admin_token,
            hold_version,
        }
    }

    /// Runs the coordinator for as long as `work` takes, in a runtime of its own: as a process
    /// would, everything has ended when this returns.
    fn run<T: Send, F>(
        &self,
        work: impl FnOnce(Arc<dyn AdminBackend>, Coordinator) -> F + Send,
    ) -> T
    where
        F: Future<Output = (T, Coordinator)>,
    {
        let mut config = config(self.dir.path());
        config.mesh.hold_version = self.hold_version;
        std::thread::scope(|scope| {
            let process = scope.spawn(|| {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                let out = runtime.block_on(async {
                    let shutdown = Shutdown::new();
                    let metrics = Metrics::detached().unwrap();
                    let coordinator = Coordinator::start(&config, metrics, shutdown.clone())
                        .await
                        .unwrap();
                    let (out, coordinator) = work(coordinator.backend(), coordinator).await;
                    shutdown.begin(Reason::Requested("the test is over".into()));
                    coordinator.stop().await.unwrap();
                    out
                });
                runtime.shutdown_timeout(std::time::Duration::from_secs(10));
                out
            });
            process.join().unwrap()
        })
    }
}

fn body(text: impl Into<Bytes>) -> ByteStream {
    let text: Bytes = text.into();
    let pieces: Vec<_> = text
        .chunks(1_000)
        .map(|c| Ok(Bytes::copy_from_slice(c)))
        .collect();
    stream::iter(pieces).boxed()
}

async fn text_of(mut pieces: ByteStream) -> String {
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        text.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(text).unwrap()
}

async fn region_and_campaign(api: &dyn AdminBackend) -> (RegionId, CampaignId) {
    let by = by();
    let region = api
        .create_region(
            &by,
            RegionRequest {
                name: "west".into(),
            },
        )
        .await
        .unwrap()
        .id;
    let rules = vec![HomeRule {
        when: HomeWhen::Default,
        region,
    }];
    api.set_home_rules(&by, HomeRules { rules }).await.unwrap();
    let settings = CampaignSettings::new("spring", "us-federal");
    let campaign = api.create_campaign(&by, settings).await.unwrap();
    assert_eq!(
        (campaign.state, campaign.version),
        (CampaignState::Draft, 1)
    );
    (region, campaign.id)
}

fn number(n: u32) -> String {
    format!("+1415555{n:04}")
}

fn dnc(number: &str, wait: Wait) -> DncRequest {
    DncRequest {
        number: number.into(),
        scope: Scope::Mesh,
        wait,
    }
}

/// 2 000 rows: 1 900 good, 40 that repeat one of them, 30 no numbers, 20 on do-not-call, 10 of no
/// known place.
fn file() -> String {
    let mut text = "\u{feff}电话,姓名,Company\r\n".to_owned();
    for n in 0..1_900 {
        writeln!(text, "{},\"Name {n}, Jr.\",Acme", number(n)).unwrap();
    }
    for n in 0..40 {
        writeln!(text, "(415) 555-{n:04},Again,").unwrap();
    }
    for n in 0..30 {
        writeln!(text, "12{n},Short,").unwrap();
    }
    for n in 2_000..2_020 {
        writeln!(text, "{},Never,", number(n)).unwrap();
    }
    for n in 0..10 {
        writeln!(text, "+8001234{n:04},Nowhere,").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_is_made_once() {
    let mesh = Mesh::new().await;
    let again = init(&config(mesh.dir.path()), InitOptions::default())
        .await
        .unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let elsewhere = tempfile::tempdir().unwrap();
    let empty = config(elsewhere.path());
    let none = Coordinator::start(&empty, Metrics::detached().unwrap(), Shutdown::new());
    assert!(none.await.unwrap_err().to_string().contains("init"));
    let hash = hash_token(mesh.token.expose());
    mesh.run(async |api, coordinator| {
        let owner = api.authenticate(&hash).await.unwrap();
        assert_eq!((owner.name.as_str(), owner.role), ("owner", Role::Admin));
        assert_eq!(api.authenticate(&hash_token("dmat_other")).await, None);
        let last = api.revoke_token(&by(), &owner.token).await.unwrap_err();
        assert!(matches!(last, BackendError::Conflict(_)), "{last}");
        let request = ApiTokenRequest {
            name: "ci".into(),
            role: Role::Monitor,
            ttl_seconds: 600,
        };
        let made = api.create_token(&by(), request).await.unwrap();
        let hash = hash_token(made.token.expose());
        assert_eq!(api.authenticate(&hash).await.unwrap().role, Role::Monitor);
        api.revoke_token(&by(), &made.info.id).await.unwrap();
        assert_eq!(api.authenticate(&hash).await, None);
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_counts_every_row_and_a_restart_keeps_all() {
    let mesh = Mesh::new().await;
    let (campaign, operation) = mesh.run(async |api, coordinator| {
        let by = by();
        let options = ImportOptions {
            default_country: Some("US".into()),
            ..ImportOptions::default()
        };
        let early = api
            .import_leads(&by, CampaignId(9), options.clone(), None, body("x"))
            .await;
        assert!(matches!(early, Err(BackendError::NotFound { .. })));
        let (_, campaign) = region_and_campaign(&*api).await;
        for n in 2_000..2_020 {
            let number: PhoneNumber = number(n).parse().unwrap();
            let request = dnc(&number.reveal(), Wait::Committed);
            api.add_do_not_call(&by, number, request).await.unwrap();
        }
        let expected = |accepted: u64, duplicate: u64| {
            [
                ("accepted".to_owned(), accepted),
                ("duplicate".to_owned(), duplicate),
                ("do_not_call".to_owned(), 20),
                ("invalid".to_owned(), 30),
                ("unknown_zone".to_owned(), 10),
            ]
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect()
        };
        let dry = ImportOptions {
            dry_run: true,
            ..options.clone()
        };
        let dry = api
            .import_leads(&by, campaign, dry, None, body(file()))
            .await
            .unwrap();
        assert_eq!((dry.counts, dry.rows), (expected(1_900, 40), 2_000));
        assert_eq!(api.leads(LeadFilter::default()).await.unwrap().data, []);

        let length = Some(file().len() as u64);
        let real = api
            .import_leads(&by, campaign, options.clone(), length, body(file()))
            .await
            .unwrap();
        assert_eq!(real.state, OperationState::Succeeded, "{real:?}");
        assert_eq!(
            (real.counts.clone(), real.rows),
            (expected(1_900, 40), 2_000)
        );
        assert_eq!(Some(real.bytes_done), real.bytes_total);
        let again = api
            .import_leads(&by, campaign, options.clone(), None, body(file()))
            .await
            .unwrap();
        assert_eq!(again.counts, expected(0, 1_940));

        let heading = api
            .import_leads(&by, campaign, options.clone(), None, body("a,b\n1,2\n"))
            .await;
        assert!(
            matches!(heading, Err(BackendError::Invalid(_))),
            "{heading:?}"
        );
        let pieces = vec![
            Ok(Bytes::from("number\n+1415")),
            Err(BodyError::Interrupted),
        ];
        let broken = api
            .import_leads(&by, campaign, options, None, stream::iter(pieces).boxed())
            .await;
        assert!(
            matches!(broken, Err(BackendError::Body(BodyError::Interrupted))),
            "{broken:?}"
        );
        ((campaign, real), coordinator)
    });
    mesh.run(async |api, coordinator| {
        let listed = api.operations(PageQuery::default()).await.unwrap().data;
        assert_eq!(listed.len(), 5, "newest first, the failed ones too");
        assert_eq!(listed[0].state, OperationState::Failed);
        assert_eq!(api.operation(&operation.id).await.unwrap(), operation);
        let rejects = text_of(api.operation_rejects(&by(), &operation.id).await.unwrap()).await;
        assert_eq!(rejects.lines().count(), 1 + 30 + 20 + 10);
        assert!(
            rejects.starts_with("rejected_row,rejected_for,remedy,电话,姓名,Company\n"),
            "{rejects}"
        );
        let row = rejects.lines().nth(1).unwrap();
        assert!(
            row.starts_with("1942,invalid,") && row.ends_with(",120,Short,"),
            "{row}"
        );

        let mut filter = LeadFilter {
            campaign: Some(campaign),
            state: Some("due".into()),
            ..LeadFilter::default()
        };
        filter.limit = Some(1_000);
        let first = api.leads(filter.clone()).await.unwrap();
        filter.cursor = first.next_cursor;
        let second = api.leads(filter).await.unwrap();
        assert_eq!(
            (first.data.len(), second.data.len(), second.next_cursor),
            (1_000, 900, None)
        );
        let lead = &first.data[0];
        assert_eq!(
            (lead.name.as_str(), lead.number.as_str()),
            ("Name 0, Jr.", "+1415*****00")
        );
        assert_eq!(
            (lead.attributes["Company"].as_str(), lead.time_zones.len()),
            ("Acme", 1)
        );
        assert_eq!(api.lead(lead.id).await.unwrap(), *lead);

        let stats = api.campaign_stats(campaign).await.unwrap();
        assert_eq!(stats.leads["due"], 1_900);
        assert!(
            stats.why_idle.iter().map(|r| r.leads).sum::<u64>() == 1_900,
            "{:?}",
            stats.why_idle
        );
        let running = api
            .act_on_campaign(&by(), campaign, CampaignAction::Start)
            .await
            .unwrap();
        assert_eq!(
            (running.state, running.version),
            (CampaignState::Running, 2)
        );
        let stale = api
            .update_campaign(&by(), campaign, 1, running.settings.clone())
            .await
            .unwrap_err();
        assert_eq!(stale, BackendError::Changed { current: 2 });
        let status = api.status().await.unwrap();
        assert_eq!((status.campaigns_running, status.groups.len()), (1, 2));
        assert_eq!(
            (
                status.groups[0].name.as_str(),
                status.groups[1].name.as_str()
            ),
            ("directory", "west")
        );
        let me = api.member(status.member).await.unwrap();
        assert!(me.reachable && me.name == "coordinator");
        ((), coordinator)
    });
    // Imported leads, one on the do-not-call list, a rejected row.
    let numbers = [0, 1, 1_899, 2_000].map(|n| number(n).parse().unwrap());
    let clear = storage::in_clear(mesh.dir.path(), &numbers, &["Name 1, Jr.", ",120,Short,"]);
    assert_eq!(clear.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_call_is_effective_and_reaches_leads() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let (region, campaign) = region_and_campaign(&*api).await;
        let rows = "number\n+14155550001\n+14155550002\n+14155550003\n";
        let options = ImportOptions::default();
        api.import_leads(&by, campaign, options, None, body(rows))
            .await
            .unwrap();
        let number: PhoneNumber = "+14155550001".parse().unwrap();
        let done = api
            .add_do_not_call(&by, number, dnc(&number.reveal(), Wait::Effective))
            .await
            .unwrap();
        assert_eq!(done.state, Acknowledgement::Effective);
        let check = api.check_do_not_call(&by, number).await.unwrap();
        assert!(check.listed && check.entries.len() == 1 && check.applied_index >= done.index);
        // The region's leader forwards it; each look is a moment later.
        let mut blocked = 0;
        for _ in 0..500 {
            blocked = api.campaign_stats(campaign).await.unwrap().leads["do_not_call"];
            if blocked == 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(blocked, 1);

        let options = DncImportOptions {
            region: Some(region),
            ..DncImportOptions::default()
        };
        let rows = "phone\n+14155550002\n+14155550002\nnonsense\n+14155550003\n";
        let imported = api
            .import_do_not_call(&by, options, None, body(rows))
            .await
            .unwrap();
        assert_eq!(
            (imported.state, imported.error.clone()),
            (OperationState::Succeeded, None)
        );
        assert_eq!(imported.counts["accepted"], 2);
        assert_eq!(
            (imported.counts["duplicate"], imported.counts["invalid"]),
            (1, 1)
        );

        let removal = DncRemoval {
            number: number.reveal(),
            scope: Scope::Mesh,
            reason: "a mistake".into(),
        };
        api.remove_do_not_call(&by, number, removal.clone())
            .await
            .unwrap();
        assert!(!api.check_do_not_call(&by, number).await.unwrap().listed);
        let gone = api
            .remove_do_not_call(&by, number, removal)
            .await
            .unwrap_err();
        assert!(
            matches!(&gone, BackendError::NotFound { id, .. } if id.contains('*')),
            "{gone}"
        );
        let unknown = DncRequest {
            scope: Scope::Region(RegionId(9)),
            ..dnc("+14155550001", Wait::Committed)
        };
        assert!(api.add_do_not_call(&by, number, unknown).await.is_err());
        ((), coordinator)
    });
}
