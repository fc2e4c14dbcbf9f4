//! SIPp as the carrier of a city and as an agent's phone, against the real node: its mesh, its
//! journal, its sockets. SIPp shares no code with us.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{City, Founder, Screen, Sipp, free_port, openssl, without_sha256};
use dialmesh_http::auth::hash_token;
use domain::{
    AgentAccount, AgentDisposition, AgentId, Attestation, CallRecord, CallerId, CallerIdCaps,
    Campaign, CampaignId, CampaignState, Codec, DialLevel, Disposition, DispositionCode,
    DispositionFlags, LeadProfile, MemberId, NewLead, NumberFormat, PacingMode, RegionId, Secret,
    SipTransport, Trunk, TrunkAuth, TrunkId, TrunkManner, TrunkSecurity,
};
use ledger::{Change, DirectoryReply};
use md5::{Digest as _, Md5};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Carriers by the area code whose calls they get: the scenario, the disposition it must lead to,
/// and the SIP status in the record.
const CARRIERS: [(&str, &str, Disposition, u16); 5] = [
    (
        "212",
        "carrier-challenge",
        Disposition::Agent(DispositionCode(0)),
        200,
    ),
    ("310", "carrier-486", Disposition::Busy, 486),
    ("312", "carrier-404", Disposition::Unallocated, 404),
    ("415", "carrier-503", Disposition::CarrierFailure, 503),
    ("713", "carrier-rings-on", Disposition::NoAnswer, 487),
];

fn campaign(region: RegionId) -> Campaign {
    Campaign {
        id: CampaignId(0),
        name: "spring".into(),
        state: CampaignState::Draft,
        regions: vec![region],
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(15),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "demo".into(),
        retry: Vec::new(),
        attempts_max: 3,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags {
                contact: true,
                success: true,
                ..DispositionFlags::default()
            },
        }],
        default_disposition: DispositionCode(0),
        // A number is shown only where it is local: so each lead has one carrier.
        any_city_caller_id: false,
        version: 1,
    }
}

fn trunk(node: MemberId, name: &str, port: u16) -> Trunk {
    let password = Secret::new("geheim");
    Trunk {
        id: TrunkId(0),
        name: name.into(),
        node,
        transport: SipTransport::Udp,
        address: format!("127.0.0.1:{port}"),
        domain: String::new(),
        auth: Some(TrunkAuth {
            username: "city".into(),
            password,
        }),
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

fn lead(area: &str) -> NewLead {
    NewLead {
        number: format!("+1{area}5557788").parse().unwrap(),
        zones: vec![domain::zones::find("America/New_York").unwrap()],
        priority: 0,
        profile: LeadProfile::default(),
    }
}

/// Starts the carriers and enters their trunks with one caller ID each.
async fn carriers(founder: &Founder, node: MemberId, folder: &Path) -> Vec<Sipp> {
    let mut carriers = Vec::new();
    for (area, scenario, ..) in CARRIERS {
        let port = free_port();
        carriers.push(Sipp::start(scenario, port, 1, &[], folder));
        // The first one's calls are signed.
        let security = TrunkSecurity {
            attestation: (area == CARRIERS[0].0).then_some(Attestation::A),
        };
        let reply = founder
            .change(Change::SetTrunkWhole {
                trunk: trunk(node, scenario, port),
                manner: Box::new(TrunkManner::default()),
                security,
            })
            .await;
        let DirectoryReply::Trunk(trunk) = reply else {
            panic!("{reply:?}")
        };
        let caller_id = CallerId {
            number: format!("+1{area}5550100").parse().unwrap(),
            trunk,
            caps: CallerIdCaps::default(),
            resting: false,
        };
        founder
            .change(Change::SetCallerIds {
                caller_ids: vec![caller_id],
            })
            .await;
    }
    carriers
}

fn of_area<'a>(records: &'a [CallRecord], area: &str) -> &'a CallRecord {
    let number = lead(area).number;
    let found: Vec<_> = records.iter().filter(|r| r.number == number).collect();
    assert_eq!(
        found.len(),
        1,
        "one attempt and one record for {area}: {found:?}"
    );
    found[0]
}

/// Checks the response in the one `Proxy-Authorization` of SIPp's log (RFC 7616, 3.4.1).
fn assert_right_digest(messages: &str) {
    let line = messages
        .lines()
        .find(|line| line.starts_with("Proxy-Authorization: Digest "));
    let line = line.expect("the challenge was answered");
    let get = |name: &str| {
        let parameters = line["Proxy-Authorization: Digest ".len()..].split(',');
        let mut pairs = parameters.filter_map(|p| p.trim().split_once('='));
        let value = pairs
            .find(|(key, _)| *key == name)
            .unwrap_or_else(|| panic!("{name}: {line}"))
            .1;
        value.trim_matches('"').to_owned()
    };
    let md5 = |text: String| -> String {
        Md5::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    assert_eq!(
        (get("username"), get("realm")),
        ("city".into(), "carrier.example".into())
    );
    let secret = md5("city:carrier.example:geheim".into());
    let request = md5(format!("INVITE:{}", get("uri")));
    let [nonce, count, own, qop] = ["nonce", "nc", "cnonce", "qop"].map(get);
    assert_eq!(
        get("response"),
        md5(format!("{secret}:{nonce}:{count}:{own}:{qop}:{request}"))
    );
}

/// Where verifiers would find the certificate.
const X5U: &str = "https://cert.example.org/passport.cer";

/// Checks the PASSporT of each INVITE in SIPp's log by the certificate's key.
fn assert_vouched_for(folder: &Path, messages: &str) {
    let point = [
        "x509", "-in", "stir.pem", "-noout", "-pubkey", "-out", "stir.pub",
    ];
    openssl(folder, &point);
    let der = [
        "ec", "-pubin", "-in", "stir.pub", "-outform", "DER", "-out", "stir.der",
    ];
    openssl(folder, &der);
    // The point is the last 65 bytes of a SubjectPublicKeyInfo of P-256 (RFC 5480).
    let spki = std::fs::read(folder.join("stir.der")).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki[spki.len() - 65..].to_vec());
    let values: Vec<&str> = (messages.lines())
        .filter_map(|line| line.strip_prefix("Identity: "))
        .collect();
    let invites = messages.lines().filter(|l| l.starts_with("INVITE sip:"));
    assert_eq!(values.len(), invites.count());
    assert!(values.len() >= 2, "challenged, so sent again: {values:?}");
    for value in values {
        let (token, parameters) = value.trim_end().split_once(';').unwrap();
        assert_eq!(parameters, format!("info=<{X5U}>;alg=ES256;ppt=shaken"));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        key.verify(signed.as_bytes(), &signature).unwrap();
        let part = |n: usize| {
            let text = URL_SAFE_NO_PAD
                .decode(token.split('.').nth(n).unwrap())
                .unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            // serde_json keeps keys in order and writes no white space: the canonical form.
            assert_eq!(
                value.to_string().as_bytes(),
                text,
                "canonical (RFC 8225 section 9)"
            );
            value
        };
        let header = json!({"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": X5U});
        assert_eq!(part(0), header);
        let claims = part(1);
        assert_eq!(claims["attest"], "A");
        assert_eq!(claims["orig"], json!({"tn": "12125550100"}));
        assert_eq!(claims["dest"], json!({"tn": ["12125557788"]}));
        assert_eq!(claims["origid"].as_str().unwrap().len(), 36);
        let age = service::clock::wall().as_millis() / 1000 - claims["iat"].as_i64().unwrap();
        assert!((0..120).contains(&age), "issued {age} s ago");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_as_carrier_and_as_phone() {
    let folder = tempfile::tempdir().unwrap();
    let (mesh_port, city_dir) = (free_port(), folder.path().join("city"));
    let founder = Founder::start(&folder.path().join("centre")).await;
    let reply = founder
        .change(Change::SetRegion {
            id: None,
            name: "east".into(),
        })
        .await;
    let DirectoryReply::Region(region) = reply else {
        panic!("{reply:?}")
    };
    let node = founder.admit("city", region, mesh_port, &city_dir).await;
    let key = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "stir.key",
    ];
    openssl(folder.path(), &key);
    let certificate = [
        "req",
        "-x509",
        "-new",
        "-key",
        "stir.key",
        "-subj",
        "/CN=SHAKEN",
        "-days",
        "2",
        "-out",
        "stir.pem",
    ];
    openssl(folder.path(), &certificate);
    let stir = format!(
        "[sip.stir]\ncertificate = \"../stir.pem\"\nkey = \"../stir.key\"\nx5u = \"{X5U}\""
    );
    let city = City::start_with("city", mesh_port, &city_dir, &stir);
    let mut carriers = carriers(&founder, node, folder.path()).await;

    let reply = founder
        .change(Change::CreateCampaign {
            campaign: Box::new(campaign(region)),
        })
        .await;
    let DirectoryReply::Campaign { id: campaign, .. } = reply else {
        panic!("{reply:?}")
    };
    let token = Secret::new("dmag_test");
    let agent = AgentAccount {
        id: AgentId(0),
        login: "li".into(),
        name: "Li".into(),
        node,
        campaigns: vec![campaign],
        sip_password: Secret::new("secret"),
        token_hash: hash_token(token.expose()),
        enabled: true,
    };
    founder
        .change(Change::SetAgent {
            agent: Box::new(agent),
        })
        .await;
    let reply = founder
        .change(Change::CreateList {
            campaign,
            name: "five".into(),
        })
        .await;
    let DirectoryReply::List(list) = reply else {
        panic!("{reply:?}")
    };
    let rows = CARRIERS.iter().map(|(area, ..)| lead(area)).collect();
    founder.import(region, list, campaign, rows).await;
    city.ready().await;

    // The phone registers with its digest, then takes the shift's call on the same port.
    let (phone_port, users) = (free_port(), folder.path().join("users.csv"));
    std::fs::write(
        &users,
        "SEQUENTIAL\nli;[authentication username=li password=secret]\n",
    )
    .unwrap();
    let registrar = format!(
        "127.0.0.1:{}",
        without_sha256(city.agents, phone_port).await
    );
    let arguments = ["-inf", users.to_str().unwrap(), &registrar];
    let mut register = Sipp::start("agent-register", phone_port, 1, &arguments, folder.path());
    register.ends_well().await;
    assert!(
        register.messages().contains("401"),
        "the phone was challenged"
    );
    let mut phone = Sipp::start("agent-phone", phone_port, 1, &[], folder.path());

    let mut screen = Screen::open(city.http, &token).await;
    screen.press(json!({"type": "log_in"})).await;
    screen
        .wait("the shift's leg is up", |n| n["phone"] == "up")
        .await;
    screen.press(json!({"type": "ready"})).await;
    let run = Change::SetCampaignState {
        id: campaign,
        state: CampaignState::Running,
        if_match: None,
    };
    founder.change(run).await;

    let call = screen
        .wait("a person is on the line", |n| n["type"] == "call")
        .await;
    let attempt = call["attempt"].as_str().unwrap().to_owned();
    screen.press(json!({"type": "hang_up"})).await;
    screen.wait("wrap-up", |n| n["state"] == "wrap_up").await;
    screen
        .press(json!({"type": "dispose", "disposition": "sale", "note": "by SIPp"}))
        .await;

    let enough = Instant::now() + Duration::from_secs(45);
    while founder.records.lock().len() < CARRIERS.len() {
        let records = founder.records.lock().clone();
        let (missing, heard) = ("some attempts have no record", screen.heard());
        assert!(
            Instant::now() < enough,
            "{missing}; there are {records:#?}; {heard:#?}"
        );
        screen.sit(Duration::from_millis(50)).await;
    }
    screen.press(json!({"type": "log_out"})).await;
    for sipp in carriers.iter_mut().chain([&mut phone]) {
        sipp.ends_well().await;
    }

    let records = founder.records.lock().clone();
    assert_eq!(records.len(), CARRIERS.len());
    for (area, scenario, disposition, status) in CARRIERS {
        let record = of_area(&records, area);
        assert_eq!(record.disposition, disposition, "{scenario}: {record:?}");
        if status != 200 {
            assert_eq!(record.sip_status, status, "{scenario}: {record:?}");
        }
        assert_eq!(
            record.caller_id,
            Some(format!("+1{area}5550100").parse().unwrap())
        );
        let carrier = carriers
            .iter()
            .find(|sipp| sipp.messages().contains(&record.sip_call_id));
        assert!(
            carrier.is_some(),
            "{scenario} saw the Call-ID of the record"
        );
    }
    let talked = of_area(&records, "212");
    assert_eq!(talked.attempt.to_string(), attempt);
    assert_eq!(
        (talked.disposition_name.as_str(), talked.note.as_str()),
        ("sale", "by SIPp")
    );
    assert!(
        talked.answered_at.is_some() && talked.bridged_at.is_some(),
        "{talked:?}"
    );
    // SIPp verified the digest that answered 401; of the one that answered 407 it only saw it.
    assert!(
        carriers[0].messages().contains("401 Unauthorized"),
        "the carrier challenged"
    );
    assert_vouched_for(folder.path(), &carriers[0].messages());
    let seen = carriers[1].messages();
    assert!(!seen.contains("\nIdentity:"), "only where it is asked for");
    assert!(
        seen.contains("407 Proxy Authentication Required"),
        "the carrier challenged"
    );
    assert_right_digest(&seen);
    let rang = of_area(&records, "713");
    let rung = rang.ended_at.since(rang.ringing_at.expect("it rang"));
    assert!(
        rung >= Duration::from_secs(14),
        "it rang to the limit: {rung:?}"
    );
    assert!(
        carriers[4].messages().contains("\nCANCEL "),
        "the carrier saw CANCEL"
    );
}
