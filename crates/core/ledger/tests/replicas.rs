//! I10: equal logs give equal state, byte for byte, with any snapshots in between; and the bytes
//! of a snapshot stay what they were.

use domain::*;
use ledger::*;
use proptest::prelude::*;
use sansio::{ApplyContext, Replicated};
use std::{path::PathBuf, time::Duration};

const NOON: i64 = 1_795_280_400_000;
const CAMPAIGN: CampaignId = CampaignId(1);
const REGION: RegionId = RegionId(1);

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(12_125_550_000 + n).expect("eleven digits")
}

fn campaign(version: u64, talk: u64) -> Campaign {
    let rule = |after| RetryRule {
        after,
        delay: Duration::from_secs(60),
        attempts_max: 3,
    };
    Campaign {
        id: CAMPAIGN,
        name: "autumn".into(),
        state: CampaignState::Running,
        regions: Vec::new(),
        pacing: PacingMode::Ratio,
        dial_level: DialLevel(150),
        ring_limit: Duration::from_secs(30),
        talk_limit: Duration::from_secs(talk),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: [Disposition::NoAnswer, Disposition::Unknown]
            .map(rule)
            .into(),
        attempts_max: 4,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version,
    }
}

/// One step of a log, by small numbers; sessions, leads and attempts are taken from the state.
#[derive(Clone, Copy, Debug)]
enum Step {
    Import(u8),
    Open(u8, u8),
    Claim(u8, u8),
    Outcome(u8, u8),
    Expire(u8),
    Settle(u8, bool),
    Tick(u8),
    Facts(u8, bool),
    Pattern(u8, bool),
    Freeze(u8, u8),
    Consent(u8, u8),
    Requires(bool),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::Import),
        (0u8..3, 0u8..3).prop_map(|(n, run)| Step::Open(n, run)),
        (any::<u8>(), 0u8..6).prop_map(|(s, n)| Step::Claim(s, n)),
        (any::<u8>(), 0u8..6).prop_map(|(l, d)| Step::Outcome(l, d)),
        any::<u8>().prop_map(Step::Expire),
        (any::<u8>(), any::<bool>()).prop_map(|(l, p)| Step::Settle(l, p)),
        any::<u8>().prop_map(Step::Tick),
        (any::<u8>(), any::<bool>()).prop_map(|(n, add)| Step::Facts(n, add)),
        (any::<u8>(), any::<bool>()).prop_map(|(n, there)| Step::Pattern(n, there)),
        (any::<u8>(), any::<u8>()).prop_map(|(n, minutes)| Step::Freeze(n, minutes)),
        (any::<u8>(), any::<u8>()).prop_map(|(n, minutes)| Step::Consent(n, minutes)),
        any::<bool>().prop_map(Step::Requires),
        any::<u16>().prop_map(Step::Wait),
    ]
}

/// Turns steps into commands by looking at the state.
fn command(ledger: &RegionLedger, step: Step) -> Option<RegionCommand> {
    let sessions: Vec<_> = ledger.sessions().collect();
    let session = |n: u8| sessions.get(usize::from(n) % sessions.len().max(1));
    let held = |n: u8| {
        let session = session(n)?;
        let held = ledger.leased_to(session.session);
        let lead = held.get(usize::from(n) % held.len().max(1))?.clone();
        Some((session.clone(), lead))
    };
    Some(match step {
        Step::Import(n) => RegionCommand::Import {
            list: ListId(1),
            campaign: CAMPAIGN,
            batch: ledger
                .import_totals(ListId(1))
                .map_or(1, |(last, _)| last + 1),
            rows: (0..u64::from(n % 8))
                .map(|i| NewLead {
                    number: number(u64::from(n) + i),
                    zones: zones::find("America/New_York").into_iter().collect(),
                    priority: i16::from(n % 3),
                    profile: LeadProfile {
                        name: format!("lead {i}"),
                        ..LeadProfile::default()
                    },
                })
                .collect(),
        },
        Step::Open(node, run) => RegionCommand::OpenSession {
            node: MemberId(u64::from(node)),
            incarnation: Incarnation(u64::from(run)),
            ttl: Duration::from_secs(30),
        },
        Step::Claim(n, leads) => RegionCommand::Claim {
            session: session(n)?.session,
            campaign: CAMPAIGN,
            n: u32::from(leads),
            sequence: ledger.applied() + u64::from(n % 4),
        },
        Step::Outcome(n, disposition) => {
            let (session, lead) = held(n)?;
            let outcome = match disposition {
                0 => CallOutcome::Undialed {
                    lead: lead.lead,
                    attempt: lead.attempt,
                },
                d => CallOutcome::Dialed {
                    lead: lead.lead,
                    attempt: lead.attempt,
                    disposition: Disposition::SYSTEM[usize::from(d) - 1],
                    invited_at: ledger.clock(),
                    ended_at: ledger.clock(),
                    callback_at: None,
                },
            };
            RegionCommand::Report {
                session: session.session,
                sequence: 1,
                outcomes: vec![outcome],
            }
        }
        Step::Expire(n) => RegionCommand::ExpireSession {
            session: session(n)?.session,
            leadership: ledger.leadership(),
        },
        Step::Settle(n, same_boot) => {
            let session = session(n)?;
            // Attempts of leads in doubt are not listed: guess one of the first claims.
            RegionCommand::Settle {
                node: session.node,
                incarnation: session.incarnation,
                outcomes: (1..20)
                    .map(|place| CallOutcome::Undialed {
                        lead: LeadId::new(REGION, place),
                        attempt: AttemptId::new(REGION, u64::from(n), 0),
                    })
                    .collect(),
                proof: if same_boot {
                    Proof::SameBoot
                } else {
                    Proof::PowerLoss
                },
            }
        }
        Step::Tick(n) => RegionCommand::Tick {
            leadership: Leadership {
                term: u64::from(n / 64),
                member: MemberId(1),
            },
            after: ledger.last_tick(),
            elapsed: Duration::from_secs(5),
        },
        Step::Pattern(n, there) => {
            let prefix = Prefix::from_digits(12_125_550_000 / 10u64.pow(u32::from(n % 4) + 1));
            RegionCommand::Clearance {
                directory_index: ledger.facts_index() + 1,
                facts: vec![ClearanceFact::Pattern(
                    prefix.expect("up to ten digits"),
                    there,
                )],
            }
        }
        Step::Freeze(n, minutes) => {
            let until = ledger.clock() + Duration::from_secs(60 * u64::from(minutes));
            let target = Target::Number(number(u64::from(n)));
            RegionCommand::Clearance {
                directory_index: ledger.facts_index() + 1,
                facts: vec![ClearanceFact::Freeze(target, (n % 5 != 0).then_some(until))],
            }
        }
        Step::Consent(n, minutes) => {
            let until = ledger.clock() + Duration::from_secs(60 * u64::from(minutes));
            let grant = ConsentGrant {
                id: ConsentId(ledger.applied()),
                kind: ConsentKind::Form,
                until: (minutes % 3 != 0).then_some(until),
            };
            let of = (n % 2 == 0).then_some(CAMPAIGN);
            let (number, grant) = (number(u64::from(n % 16)), (n % 5 != 0).then_some(grant));
            RegionCommand::Clearance {
                directory_index: ledger.facts_index() + 1,
                facts: vec![ClearanceFact::Consent(number, of, grant)],
            }
        }
        Step::Requires(on) => RegionCommand::Clearance {
            directory_index: ledger.facts_index() + 1,
            facts: vec![ClearanceFact::RequiresConsent(CAMPAIGN, on)],
        },
        Step::Facts(n, add) => {
            let index = ledger.facts_index() + 1;
            let scope = [
                DncScope::Mesh,
                DncScope::Campaign(CAMPAIGN),
                DncScope::Region(REGION),
            ][usize::from(n % 3)];
            let number = number(u64::from(n));
            let entry = DncEntry {
                number,
                scope,
                source: DncSource::Admin,
                added_at: ledger.clock(),
            };
            let removal = DncRemoval {
                number,
                scope,
                index,
            };
            RegionCommand::Facts(Facts {
                directory_index: index,
                campaigns: (n % 4 == 0)
                    .then(|| campaign(index, u64::from(n) * 10))
                    .into_iter()
                    .collect(),
                dnc_added: add
                    .then_some(DncFact { entry, index })
                    .into_iter()
                    .collect(),
                dnc_removed: (!add).then_some(removal).into_iter().collect(),
            })
        }
        Step::Wait(_) => return None,
    })
}

/// Runs a log; the bytes and the events at its end. `restart` says after which entries the
/// replica is rebuilt from its own snapshot, `heard` whether anybody there waits for replies.
fn run(
    steps: &[Step],
    restart: impl Fn(usize) -> bool,
    heard: bool,
) -> (Vec<u8>, Vec<RegionEvent>) {
    let mut ledger = RegionLedger::new(REGION);
    let mut events = Vec::new();
    let mut wall = NOON;
    let mut index = 0;
    let first = RegionCommand::Facts(Facts {
        directory_index: 1,
        campaigns: vec![campaign(1, 60)],
        ..Facts::default()
    });
    let mut apply = |ledger: &mut RegionLedger, command, wall| {
        index += 1;
        let context = ApplyContext {
            index,
            wall: WallTime::from_millis(wall),
        };
        if heard {
            ledger.apply(context, command, &mut events);
        } else {
            ledger.apply_unheard(context, command, &mut events);
        }
    };
    apply(&mut ledger, first, wall);
    for (place, step) in steps.iter().enumerate() {
        if let Step::Wait(seconds) = step {
            wall += i64::from(*seconds % 600) * 1000;
        }
        if let Some(command) = command(&ledger, *step) {
            apply(&mut ledger, command, wall);
        }
        if restart(place) {
            ledger = RegionLedger::restore(&ledger.snapshot()).expect("our own snapshot");
        }
    }
    (ledger.snapshot(), events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn replicas_agree_whenever_they_restart(
        steps in proptest::collection::vec(step(), 1..160),
        every in 1usize..7,
    ) {
        let (bytes, events) = run(&steps, |_| false, true);
        let (again, same_events) = run(&steps, |place| place % every == 0, false);
        prop_assert!(bytes == again, "snapshots differ");
        prop_assert_eq!(events, same_events);
    }
}

/// One entry of a directory's log, by small numbers; what a removal names is taken from the state.
#[derive(Clone, Copy, Debug)]
enum Said {
    Dnc(u8, bool),
    Pattern(u8, bool),
    Freeze(u8, u8),
    Consent(u8, u8),
    Withdraw(u8),
    Require(bool),
    Stage(u8, u8),
    Use(u8, bool),
    Drop(u8),
    Settle(u8),
    Wait(u16),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        (any::<u8>(), any::<bool>()).prop_map(|(n, add)| Said::Dnc(n, add)),
        (any::<u8>(), any::<bool>()).prop_map(|(n, add)| Said::Pattern(n, add)),
        (any::<u8>(), any::<u8>()).prop_map(|(n, days)| Said::Freeze(n, days)),
        (any::<u8>(), any::<u8>()).prop_map(|(n, days)| Said::Consent(n, days)),
        any::<u8>().prop_map(Said::Withdraw),
        any::<bool>().prop_map(Said::Require),
        (0u8..6, 0u8..6).prop_map(|(n, from)| Said::Stage(n, from)),
        (0u8..6, any::<bool>()).prop_map(|(n, force)| Said::Use(n, force)),
        (0u8..6).prop_map(Said::Drop),
        any::<u8>().prop_map(Said::Settle),
        any::<u16>().prop_map(Said::Wait),
    ]
}

/// What the directory is told. Some of it is refused, on every replica.
fn change(directory: &Directory, said: Said, wall: WallTime) -> Option<Change> {
    let reason = || "a test".to_owned();
    let days = |n: u8| Duration::from_secs(86_400 * u64::from(n));
    let base = |n: u8| DncBaseId([n; 32]);
    let entry = |n: u8| directory.dnc_entry(number(u64::from(n % 32)), DncScope::Mesh);
    let removal = |fact: DncFact| DncRemoval {
        number: fact.entry.number,
        scope: fact.entry.scope,
        index: fact.index,
    };
    Some(match said {
        Said::Dnc(n, true) => Change::ChangeDnc {
            add: vec![DncEntry {
                number: number(u64::from(n % 32)),
                scope: DncScope::Mesh,
                source: [DncSource::Registry, DncSource::Admin][usize::from(n / 32 % 2)],
                added_at: wall,
            }],
            remove: Vec::new(),
            reason: String::new(),
        },
        Said::Dnc(n, false) => Change::ChangeDnc {
            add: Vec::new(),
            remove: entry(n).map(removal).into_iter().collect(),
            reason: reason(),
        },
        Said::Pattern(n, add) => {
            let digits = 12_125_550_000 / 10u64.pow(u32::from(n % 4) + 1);
            let prefix = Prefix::from_digits(digits).expect("up to ten digits");
            let pattern = DncPattern {
                prefix,
                source: DncSource::Admin,
                reason: reason(),
                added_at: wall,
            };
            let known = directory.dnc_pattern(prefix).map(|(_, index)| index);
            Change::ChangePatterns {
                add: add.then_some(pattern).into_iter().collect(),
                remove: (known.filter(|_| !add).into_iter())
                    .map(|index| Removal { key: prefix, index })
                    .collect(),
                reason: reason(),
            }
        }
        Said::Freeze(n, length) => {
            let target = Target::Number(number(u64::from(n % 8)));
            let known = directory.freeze_of(target).map(|(_, index)| index);
            let freeze = Freeze {
                target,
                until: wall + days(length),
                reason: reason(),
                source: "complaints".into(),
                frozen_at: wall,
            };
            let add = n % 3 != 0;
            Change::ChangeFreezes {
                add: add.then_some(freeze).into_iter().collect(),
                lift: (known.filter(|_| !add).into_iter())
                    .map(|index| Removal { key: target, index })
                    .collect(),
                reason: reason(),
            }
        }
        Said::Consent(n, length) => Change::ChangeConsents {
            // More numbers than one look of the directory takes in.
            add: (0..u64::from(n % 40))
                .map(|i| Consent {
                    number: number(u64::from(n) * 2 + i),
                    campaign: (n % 2 == 0).then_some(CAMPAIGN),
                    proof: ConsentProof {
                        kind: ConsentKind::Form,
                        source: format!("form {}", n % 7),
                        place: "example.com".into(),
                    },
                    given_at: WallTime::from_millis(wall.as_millis() - i64::from(n) * 86_400_000),
                    until: (length % 3 != 0).then(|| wall + days(length)),
                })
                .collect(),
            withdraw: Vec::new(),
            reason: String::new(),
        },
        Said::Withdraw(n) => Change::ChangeConsents {
            add: Vec::new(),
            withdraw: vec![(number(u64::from(n)), (n % 3 == 0).then_some(CAMPAIGN))],
            reason: reason(),
        },
        Said::Require(required) => Change::RequireConsent {
            campaign: CAMPAIGN,
            required,
        },
        Said::Stage(n, from) => {
            let new = NewDncBase {
                id: base(n),
                file_bytes: 4096,
                count: 1000,
                source: "a registry".into(),
                built_at: wall,
            };
            match n == from {
                true => Change::StageDncBase { base: new },
                false => Change::StageCompactedDncBase {
                    base: new,
                    from: base(from),
                    index: directory.applied(),
                },
            }
        }
        Said::Use(n, force) => Change::UseDncBase {
            id: Some(base(n)),
            force,
            reason: String::new(),
        },
        Said::Drop(n) => Change::DropDncBase { id: base(n) },
        Said::Settle(n) => Change::SettleDnc {
            base: directory.dnc_base_in_use()?,
            remove: (0..4)
                .filter_map(|i| entry(n.wrapping_add(i)))
                .map(removal)
                .collect(),
        },
        Said::Wait(_) => return None,
    })
}

/// Runs a directory's log, as [`run`] does a region's.
fn run_directory(
    log: &[Said],
    restart: impl Fn(usize) -> bool,
) -> (Vec<u8>, Vec<DirectoryEvent>, Directory) {
    let (mut directory, mut events) = (Directory::default(), Vec::new());
    let (mut wall, mut index) = (NOON, 0);
    let mut apply = |directory: &mut Directory, change: Change, wall| {
        index += 1;
        let context = ApplyContext {
            index,
            wall: WallTime::from_millis(wall),
        };
        directory.apply(context, change.into(), &mut events)
    };
    let campaign = Change::CreateCampaign {
        campaign: Box::new(campaign(1, 60)),
    };
    apply(&mut directory, campaign, wall);
    for (place, said) in log.iter().enumerate() {
        if let Said::Wait(hours) = said {
            // Up to a year and a half: everything that ends by itself does.
            wall += i64::from(*hours % 13_000) * 3_600_000;
        }
        let frozen = restart(place).then(|| (directory.snapshot(), directory.freeze()));
        if let Some(change) = change(&directory, *said, WallTime::from_millis(wall)) {
            apply(&mut directory, change, wall);
        }
        if let Some((before, frozen)) = frozen {
            assert!(
                frozen() == before,
                "what was frozen changed with the directory"
            );
            directory = Directory::restore(&directory.snapshot()).expect("our own snapshot");
        }
    }
    (directory.snapshot(), events, directory)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn replicas_of_a_directory_agree_whenever_they_restart(
        log in proptest::collection::vec(said(), 1..160),
        every in 1usize..7,
    ) {
        let (bytes, events, directory) = run_directory(&log, |_| false);
        let (again, same_events, _) = run_directory(&log, |place| place % every == 0);
        prop_assert!(bytes == again, "snapshots differ");
        prop_assert_eq!(&events, &same_events);
        // What nodes were told one by one is what a node is told that starts now.
        let mut told = Clearance::default();
        for event in &events {
            if let DirectoryEvent::Changed { facts, .. } = event {
                for fact in facts {
                    if let Fact::Clearance(facts) = fact {
                        facts.iter().for_each(|fact| _ = told.take(fact));
                    }
                }
            }
        }
        let known: Clearance = directory.clearance_facts().collect();
        prop_assert_eq!(told, known);
    }
}

/// Compares with kept bytes; `BLESS=1` writes them anew, for a new version of the format.
fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has a name")).expect("a folder");
        std::fs::write(&path, bytes).expect("a file");
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    assert!(
        kept == bytes,
        "{name} changed: snapshots of released members would not be read; raise the version"
    );
}

#[test]
fn region_snapshots_keep_their_bytes() {
    let steps = [
        Step::Import(7),
        Step::Open(1, 1),
        Step::Tick(64),
        Step::Claim(0, 4),
        Step::Outcome(0, 1),
        Step::Outcome(0, 0),
        Step::Facts(8, true),
        Step::Wait(30),
        Step::Expire(0),
        Step::Open(1, 2),
        Step::Claim(1, 1),
    ];
    let (bytes, _) = run(&steps, |_| false, true);
    golden("region-v5.bin", &bytes);
    let ledger = RegionLedger::restore(&bytes).unwrap();
    let earlier: [&[u8]; 4] = [
        include_bytes!("../testdata/region-v1.bin"),
        include_bytes!("../testdata/region-v2.bin"),
        include_bytes!("../testdata/region-v3.bin"),
        include_bytes!("../testdata/region-v4.bin"),
    ];
    for bytes in earlier {
        let earlier = RegionLedger::restore(bytes).expect("versions before are read");
        assert!(
            earlier == ledger,
            "without a do-not-call base, patterns, freezes and moves"
        );
    }
    let stats = ledger.stats(CAMPAIGN);
    assert!(
        stats.in_doubt > 0 && stats.leased > 0 && stats.waiting > 0,
        "{stats:?}"
    );
}

#[test]
fn directory_snapshots_keep_their_bytes() {
    let mut directory = Directory::default();
    let member = NewMember {
        name: "hub".into(),
        mesh_address: "192.0.2.1:7000".into(),
        http_address: "http://192.0.2.1:8080".into(),
    };
    let changes = [
        Change::Found {
            mesh: MeshId(7),
            member,
        },
        Change::SetRegion {
            id: None,
            name: "west".into(),
        },
        Change::SetHomeRules {
            rules: vec![HomeRule {
                when: HomeMatch::Default,
                region: REGION,
            }],
        },
        Change::AddJoinToken {
            hash: [1; 32],
            role: MemberRole::Node,
            region: Some(REGION),
            expires_at: WallTime::from_millis(NOON + 1000),
        },
        Change::CreateCampaign {
            campaign: Box::new(campaign(0, 60)),
        },
        Change::CreateList {
            campaign: CAMPAIGN,
            name: "november.csv".into(),
        },
        Change::ChangeDnc {
            add: vec![DncEntry {
                number: number(1),
                scope: DncScope::Campaign(CAMPAIGN),
                source: DncSource::Agent,
                added_at: WallTime::from_millis(NOON),
            }],
            remove: Vec::new(),
            reason: String::new(),
        },
        Change::AddApiToken {
            hash: [2; 32],
            name: "ci".into(),
            role: Role::Integration,
            scopes: vec![TokenScope::Campaign(CAMPAIGN)],
            expires_at: None,
        },
    ];
    for (change, index) in changes.into_iter().zip(1..) {
        let command = DirectoryCommand {
            origin: Some(Origin {
                member: MemberId(1),
                incarnation: Incarnation(1),
                sequence: index,
            }),
            change,
        };
        let context = ApplyContext {
            index,
            wall: WallTime::from_millis(NOON),
        };
        let reply = directory.apply(context, command, &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let bytes = directory.snapshot();
    golden("directory-v9.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == directory);
    let earlier: [&[u8]; 8] = [
        include_bytes!("../testdata/directory-v1.bin"),
        include_bytes!("../testdata/directory-v2.bin"),
        include_bytes!("../testdata/directory-v3.bin"),
        include_bytes!("../testdata/directory-v4.bin"),
        include_bytes!("../testdata/directory-v5.bin"),
        include_bytes!("../testdata/directory-v6.bin"),
        include_bytes!("../testdata/directory-v7.bin"),
        include_bytes!("../testdata/directory-v8.bin"),
    ];
    for bytes in earlier {
        let earlier = Directory::restore(bytes).expect("versions before are read");
        assert!(earlier == directory, "without what came later");
    }
    assert!(
        RegionLedger::restore(&bytes).is_err(),
        "another machine's bytes"
    );
}

#[test]
fn what_clears_numbers_keeps_its_bytes_in_snapshots() {
    let at = WallTime::from_millis(NOON);
    let prefix: Prefix = "+1900".parse().expect("a pattern");
    let until = at + Duration::from_secs(3600);
    let consent = |campaign| Consent {
        number: number(3),
        campaign,
        proof: ConsentProof {
            kind: ConsentKind::Form,
            source: "form 3".into(),
            place: "example.com".into(),
        },
        given_at: at,
        until: Some(until),
    };
    let changes = [
        Change::ChangePatterns {
            add: vec![DncPattern {
                prefix,
                source: DncSource::Admin,
                reason: "premium rate".into(),
                added_at: at,
            }],
            remove: Vec::new(),
            reason: String::new(),
        },
        Change::ChangeFreezes {
            add: [Target::Number(number(1)), Target::Prefix(prefix)]
                .map(|target| Freeze {
                    target,
                    until,
                    reason: "asked to wait".into(),
                    source: "complaints".into(),
                    frozen_at: at,
                })
                .into(),
            lift: Vec::new(),
            reason: String::new(),
        },
        Change::CreateCampaign {
            campaign: Box::new(Campaign {
                id: CampaignId(0),
                state: CampaignState::Draft,
                ..campaign(1, 60)
            }),
        },
        Change::ChangeConsents {
            add: vec![consent(None), consent(Some(CAMPAIGN))],
            withdraw: Vec::new(),
            reason: String::new(),
        },
        Change::RequireConsent {
            campaign: CAMPAIGN,
            required: true,
        },
    ];
    let mut directory = Directory::default();
    for (index, change) in (1..).zip(changes) {
        let context = ApplyContext { index, wall: at };
        let reply = directory.apply(context, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let earlier = include_bytes!("../testdata/directory-v4-clearance.bin");
    assert!(Directory::restore(earlier).expect("the version before is read") == directory);
    // The region that hears of all of it.
    let mut region = RegionLedger::new(REGION);
    for (index, command) in (1..).zip(catch_up(&directory, &region)) {
        region.apply(ApplyContext { index, wall: at }, command, &mut Vec::new());
    }
    assert!(catch_up(&directory, &region).is_empty());
    let bytes = region.snapshot();
    golden("region-v5-clearance.bin", &bytes);
    assert!(RegionLedger::restore(&bytes).unwrap() == region);
    let earlier: [&[u8]; 2] = [
        include_bytes!("../testdata/region-v3-clearance.bin"),
        include_bytes!("../testdata/region-v4-clearance.bin"),
    ];
    for bytes in earlier {
        assert!(RegionLedger::restore(bytes).expect("versions before are read") == region);
    }
    let withdraw = Change::ChangeConsents {
        add: Vec::new(),
        withdraw: vec![(number(3), Some(CAMPAIGN)), (number(4), None)],
        reason: "wrote to us".into(),
    };
    let index = directory.applied() + 1;
    let context = ApplyContext { index, wall: at };
    directory.apply(context, withdraw.into(), &mut Vec::new());
    let earlier = include_bytes!("../testdata/directory-v5-clearance.bin");
    assert!(Directory::restore(earlier).expect("the version before is read") == directory);
    let listen = Change::SetAnsweringMachines {
        campaign: CAMPAIGN,
        machines: AnsweringMachines::HangUp,
    };
    let index = directory.applied() + 1;
    let context = ApplyContext { index, wall: at };
    directory.apply(context, listen.into(), &mut Vec::new());
    let bytes = directory.snapshot();
    golden("directory-v9-clearance.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == directory);
    let earlier: [&[u8]; 3] = [
        include_bytes!("../testdata/directory-v6-clearance.bin"),
        include_bytes!("../testdata/directory-v7-clearance.bin"),
        include_bytes!("../testdata/directory-v8-clearance.bin"),
    ];
    for bytes in earlier {
        assert!(Directory::restore(bytes).expect("versions before are read") == directory);
    }
}

#[test]
fn lists_keep_their_bytes_in_snapshots() {
    let at = WallTime::from_millis(NOON);
    let part = DncBaseId([7; 32]);
    let list = |change| Change::ChangeDncList {
        name: "ftc".into(),
        change,
    };
    let changes = [
        Change::Found {
            mesh: MeshId(7),
            member: NewMember {
                name: "hub".into(),
                mesh_address: "192.0.2.1:7000".into(),
                http_address: "http://192.0.2.1:8080".into(),
            },
        },
        list(DncListChange::Declare {
            settings: Box::new(DncListSettings {
                from: "https://registry.example/list.txt".into(),
                every: Duration::from_secs(86_400),
                country: "US".parse().ok(),
                max_age: Duration::from_secs(31 * 86_400),
                shrink_permille: 100,
                invalid_permille: 1,
            }),
            kept_by: MemberId(1),
        }),
        list(DncListChange::Obtained(DncListObtained {
            part,
            numbers: 1000,
            at,
        })),
        Change::StageDncBaseOfLists {
            base: NewDncBase {
                id: DncBaseId([8; 32]),
                file_bytes: 4096,
                count: 1000,
                source: "lists: ftc".into(),
                built_at: at,
            },
            parts: vec![NewDncPart {
                list: "ftc".into(),
                part,
            }],
        },
        Change::UseDncBase {
            id: Some(DncBaseId([8; 32])),
            force: false,
            reason: String::new(),
        },
        Change::SetRegion {
            id: None,
            name: "west".into(),
        },
        Change::ChangeScopedPatterns {
            scope: DncScope::Region(REGION),
            add: vec![DncPattern {
                prefix: "+1900".parse().expect("a pattern"),
                source: DncSource::Admin,
                reason: "premium rate".into(),
                added_at: at,
            }],
            remove: Vec::new(),
            reason: String::new(),
        },
        Change::ChangeLifts {
            add: vec![DncLift {
                number: number(1),
                reason: "a customer".into(),
                lifted_at: at,
            }],
            remove: Vec::new(),
        },
    ];
    let mut directory = Directory::default();
    for (index, change) in (1..).zip(changes) {
        let context = ApplyContext { index, wall: at };
        let reply = directory.apply(context, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let bytes = directory.snapshot();
    golden("directory-v9-lists.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == directory);
    let earlier: [&[u8]; 4] = [
        include_bytes!("../testdata/directory-v5-lists.bin"),
        include_bytes!("../testdata/directory-v6-lists.bin"),
        include_bytes!("../testdata/directory-v7-lists.bin"),
        include_bytes!("../testdata/directory-v8-lists.bin"),
    ];
    for bytes in earlier {
        assert!(Directory::restore(bytes).expect("versions before are read") == directory);
    }
    // The region that hears of all of it.
    let mut region = RegionLedger::new(REGION);
    for (index, command) in (1..).zip(catch_up(&directory, &region)) {
        region.apply(ApplyContext { index, wall: at }, command, &mut Vec::new());
    }
    assert!(catch_up(&directory, &region).is_empty());
    let bytes = region.snapshot();
    golden("region-v5-scopes.bin", &bytes);
    assert!(RegionLedger::restore(&bytes).unwrap() == region);
    let earlier = include_bytes!("../testdata/region-v4-scopes.bin");
    assert!(RegionLedger::restore(earlier).expect("the version before is read") == region);
}

#[test]
fn trunks_and_recordings_keep_their_bytes_in_snapshots() {
    let member = |name: &str| NewMember {
        name: name.into(),
        mesh_address: "192.0.2.1:7000".into(),
        http_address: "http://192.0.2.1:8080".into(),
    };
    let trunk = Trunk {
        id: TrunkId(0),
        name: "sz-ct".into(),
        node: MemberId(2),
        transport: SipTransport::Tcp,
        address: "192.0.2.7:5060".into(),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 30,
        calls_per_second: 5,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma],
        options_interval: Duration::from_secs(30),
        enabled: true,
        rank: 3,
    };
    let manner = TrunkManner {
        profile: "china-ims".into(),
        weight: 300,
        called: Some("99#{dialed:86}".parse().expect("a shape")),
        shown: Some("0{national:86}".parse().expect("a shape")),
        user_phone: true,
        identity: IdentityHeader::Preferred,
        privacy: Some(Privacy::Id),
        session_expires: Some(Duration::from_secs(1_800)),
        reliable: true,
        redirects: Redirects::Follow,
        security: TrunkSecurity::default(),
    };
    let changes = [
        Change::Found {
            mesh: MeshId(7),
            member: member("hub"),
        },
        Change::SetRegion {
            id: None,
            name: "south".into(),
        },
        Change::AddJoinToken {
            hash: [1; 32],
            role: MemberRole::Node,
            region: Some(REGION),
            expires_at: WallTime::from_millis(NOON + 1000),
        },
        Change::Join {
            hash: [1; 32],
            member: member("shenzhen"),
        },
        Change::SetTrunkAndManner {
            trunk: trunk.clone(),
            manner: Box::new(manner.clone()),
        },
    ];
    let mut directory = Directory::default();
    for (change, index) in changes.into_iter().zip(1..) {
        let wall = WallTime::from_millis(NOON);
        let context = ApplyContext { index, wall };
        let reply = directory.apply(context, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let earlier = include_bytes!("../testdata/directory-v7-trunks.bin");
    assert!(Directory::restore(earlier).expect("the version before is read") == directory);
    // And what came with version 8: which calls are recorded.
    let key = RecordingKey {
        id: RecordingKeyId(0x1234),
        public: [9; 32],
        created_at: WallTime::from_millis(NOON),
    };
    let recorded = [
        Change::CreateCampaign {
            campaign: Box::new(campaign(0, 60)),
        },
        Change::SetRecordingKey { key },
        Change::SetRecording {
            campaign: CAMPAIGN,
            recording: Recording::All,
        },
    ];
    for change in recorded {
        let wall = WallTime::from_millis(NOON);
        let index = directory.applied() + 1;
        let context = ApplyContext { index, wall };
        let reply = directory.apply(context, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let earlier = include_bytes!("../testdata/directory-v8-recordings.bin");
    assert!(Directory::restore(earlier).expect("the version before is read") == directory);
    // And with version 9: what members understand.
    for id in [MemberId(1), MemberId(2)] {
        let version = MeshVersion(2);
        let index = directory.applied() + 1;
        let wall = WallTime::from_millis(NOON);
        let context = ApplyContext { index, wall };
        let change = Change::Understand { id, version };
        let reply = directory.apply(context, change.into(), &mut Vec::new());
        assert_eq!(reply, DirectoryReply::Done);
    }
    let earlier = include_bytes!("../testdata/directory-v9-releases.bin");
    assert!(Directory::restore(earlier).expect("the version before is read") == directory);
    // And what came with version 10: how a trunk's calls are vouched for.
    let index = directory.applied() + 1;
    let wall = WallTime::from_millis(NOON);
    let signed = Change::SetTrunkWhole {
        trunk: Trunk {
            id: TrunkId(1),
            ..trunk
        },
        manner: Box::new(manner),
        security: TrunkSecurity {
            attestation: Some(Attestation::B),
        },
    };
    let reply = directory.apply(ApplyContext { index, wall }, signed.into(), &mut Vec::new());
    assert_eq!(reply, DirectoryReply::Trunk(TrunkId(1)));
    let bytes = directory.snapshot();
    golden("directory-v10-attestation.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == directory);
    // And what came with version 11: levers of campaigns' pacing.
    let mut newer = directory.clone();
    let levers = Change::SetLevers {
        campaign: CAMPAIGN,
        levers: Levers {
            target_permille: Some(20),
            inbound_agents: 2,
            ramp_up: Duration::from_secs(600),
            ramp_down: Duration::from_secs(300),
        },
    };
    let understood = [MemberId(1), MemberId(2)].map(|id| Change::Understand {
        id,
        version: MeshVersion(3),
    });
    let other = Campaign {
        id: CampaignId(0),
        name: "winter".into(),
        ..campaign(0, 60)
    };
    let together = [
        Change::CreateCampaign {
            campaign: Box::new(other),
        },
        Change::SetDropRateGroup {
            campaign: CampaignId(2),
            with: Some(CAMPAIGN),
        },
    ];
    let all = understood.into_iter().chain([levers]).chain(together);
    for change in all {
        let index = newer.applied() + 1;
        let wall = WallTime::from_millis(NOON);
        let reply = newer.apply(ApplyContext { index, wall }, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let bytes = newer.snapshot();
    golden("directory-v11-levers.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == newer);
    // And what came with version 12: dials held out of local presence, orders of leads.
    let understood = [MemberId(1), MemberId(2)].map(|id| Change::Understand {
        id,
        version: MeshVersion(4),
    });
    let held_out = Change::SetHoldOut {
        campaign: CAMPAIGN,
        percent: 5,
    };
    let best_first = Change::SetLeadOrder {
        campaign: CAMPAIGN,
        order: LeadOrder::BestChance,
    };
    for change in understood.into_iter().chain([held_out, best_first]) {
        let index = newer.applied() + 1;
        let wall = WallTime::from_millis(NOON);
        let reply = newer.apply(ApplyContext { index, wall }, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let bytes = newer.snapshot();
    golden("directory-v12-orders.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == newer);
    // And what came with version 13: messages on answering machines, where the rules allow them.
    let understood = [MemberId(1), MemberId(2)].map(|id| Change::Understand {
        id,
        version: MeshVersion(5),
    });
    let lenient = Change::CreateCampaign {
        campaign: Box::new(Campaign {
            id: CampaignId(0),
            name: "lenient".into(),
            rule_pack: "demo".into(),
            ..campaign(0, 60)
        }),
    };
    let message = Change::SetVoiceDrop {
        campaign: CampaignId(3),
        prompt: Some("autumn".to_owned().try_into().unwrap()),
    };
    for change in understood.into_iter().chain([lenient, message]) {
        let index = newer.applied() + 1;
        let wall = WallTime::from_millis(NOON);
        let reply = newer.apply(ApplyContext { index, wall }, change.into(), &mut Vec::new());
        assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
    }
    let bytes = newer.snapshot();
    golden("directory-v13-voice-drop.bin", &bytes);
    assert!(Directory::restore(&bytes).unwrap() == newer);
    let mut region = RegionLedger::new(REGION);
    for (index, command) in (1..).zip(catch_up(&directory, &region)) {
        let wall = WallTime::from_millis(NOON);
        region.apply(ApplyContext { index, wall }, command, &mut Vec::new());
    }
    assert_eq!(region.mesh_version(), MeshVersion(2));
    golden("region-v5-releases.bin", &region.snapshot());
    assert!(RegionLedger::restore(&region.snapshot()).unwrap() == region);
}

/// What came with version 6 of a region's snapshot: a callback that was promised.
#[test]
fn snapshots_keep_promises() {
    let mut region = RegionLedger::new(REGION);
    let zones: Vec<_> = zones::find("America/New_York").into_iter().collect();
    let commands = [
        RegionCommand::MeshVersion {
            version: MeshVersion(5),
        },
        RegionCommand::Facts(Facts {
            directory_index: 1,
            campaigns: vec![campaign(1, 60)],
            ..Facts::default()
        }),
        RegionCommand::Import {
            list: ListId(1),
            campaign: CAMPAIGN,
            batch: 1,
            rows: (0..3)
                .map(|n| NewLead {
                    number: number(n),
                    zones: zones.clone(),
                    priority: 0,
                    profile: LeadProfile::default(),
                })
                .collect(),
        },
        RegionCommand::OpenSession {
            node: MemberId(1),
            incarnation: Incarnation(1),
            ttl: Duration::from_secs(30),
        },
    ];
    let wall = WallTime::from_millis(NOON);
    let apply = |region: &mut RegionLedger, command| {
        let index = region.applied() + 1;
        region.apply(ApplyContext { index, wall }, command, &mut Vec::new())
    };
    for command in commands {
        apply(&mut region, command);
    }
    let session = region.sessions().next().unwrap().session;
    let claim = RegionCommand::Claim {
        session,
        campaign: CAMPAIGN,
        n: 1,
        sequence: 1,
    };
    let RegionReply::Claimed { leads, .. } = apply(&mut region, claim) else {
        panic!("a claim is answered by leads");
    };
    let outcome = CallOutcome::Dialed {
        lead: leads[0].lead,
        attempt: leads[0].attempt,
        disposition: Disposition::Agent(DispositionCode(0)),
        invited_at: wall,
        ended_at: wall,
        callback_at: Some(wall + Duration::from_secs(600)),
    };
    apply(
        &mut region,
        RegionCommand::Report {
            session,
            sequence: 1,
            outcomes: vec![outcome],
        },
    );
    let bytes = region.snapshot();
    golden("region-v6-promises.bin", &bytes);
    assert!(RegionLedger::restore(&bytes).unwrap() == region);
}
