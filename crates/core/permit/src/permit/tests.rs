use super::*;
use domain::{
    AttemptId, CallerId, CallerIdCaps, CampaignId, ClearanceFact, ConsentGrant, ConsentId,
    ConsentKind, Target, TrunkId, WallTime,
};

const REGION: RegionId = RegionId(1);
const SESSION: SessionId = SessionId(7);
const T: Duration = Duration::from_secs(30);

fn now(millis: u64) -> Now {
    Now::default().plus(Duration::from_millis(millis))
}

fn caller_id() -> CallerId {
    CallerId {
        number: "+14155550100".parse().unwrap(),
        trunk: TrunkId(1),
        caps: CallerIdCaps::default(),
        resting: false,
    }
}

fn attempt(caller_id: &CallerId) -> Attempt<'_> {
    Attempt {
        attempt: AttemptId::new(REGION, 9, 0),
        session: SESSION,
        region: REGION,
        campaign: CampaignId(1),
        number: "+14155550134".parse().unwrap(),
        trunk: TrunkId(1),
        caller_id,
        consent_required: false,
        registry_age_max: None,
        registry_country: None,
        rule_pack_version: 3,
    }
}

fn outputs(permit: &mut Permit) -> Vec<PermitOutput> {
    std::iter::from_fn(|| permit.poll_output()).collect()
}

fn opened(session: SessionId) -> PermitInput {
    PermitInput::SessionOpened {
        region: REGION,
        session,
        ttl: T,
    }
}

fn answered(sent: u64) -> PermitInput {
    PermitInput::KeepAliveAnswered {
        region: REGION,
        session: SESSION,
        sent: now(sent).monotonic,
    }
}

/// A permit with a session and a fresh copy, both asked for at 0 and 1 s.
fn valid() -> Permit {
    let mut permit = Permit::new(T);
    let id = caller_id();
    permit.caps_mut().set(id.number, id.caps);
    permit.handle(now(0), opened(SESSION)).unwrap();
    permit.handle(now(10), answered(0)).unwrap();
    permit.handle_timeout(now(1000));
    let applied = PermitInput::DirectoryApplied { index: 5 };
    permit.handle(now(1010), applied).unwrap();
    let fresh = PermitInput::FreshnessAnswered {
        sent: now(1000).monotonic,
        index: 5,
    };
    permit.handle(now(1020), fresh).unwrap();
    permit
        .dnc_mut()
        .add("+14155550199".parse().unwrap(), DncScope::Mesh, 5);
    outputs(&mut permit);
    permit
}

#[test]
fn a_registry_older_than_the_pack_allows_forbids_everybody() {
    let id = caller_id();
    let mut permit = valid();
    let about = crate::base::BaseAbout {
        source: "a registry".into(),
        built_at: now(0).wall,
    };
    let base = crate::base::MemoryBase::of(&["+14155550177".parse().unwrap()].into(), about);
    let base: Arc<dyn BaseLookup> = Arc::new(base.unwrap());
    let of = |millis| Attempt {
        registry_age_max: Some(Duration::from_millis(millis)),
        ..attempt(&id)
    };
    assert!(
        permit.check(now(2000), &of(1), || true).is_ok(),
        "there is none"
    );
    permit.base_in_use(now(1500), Some(base.id()), Some(base), 6);
    assert!(
        permit.check(now(2000), &of(2000), || true).is_ok(),
        "not a moment too old"
    );
    let denied = permit.check(now(2001), &of(2000), || true);
    assert_eq!(denied, Err(Denial::OldDncBase));
    assert!(
        permit.check(now(2001), &attempt(&id), || true).is_ok(),
        "no rule"
    );
    // Made of lists: their publishers' word counts, whenever the base was built.
    let age = |country: &str, millis| domain::DncListAge {
        list: country.to_lowercase(),
        country: country.parse().ok(),
        as_of: now(millis).wall,
        max_age: Duration::from_secs(3600),
    };
    let us = |millis| Attempt {
        registry_country: "US".parse().ok(),
        ..of(millis)
    };
    (permit.dnc_mut()).set_ages(vec![age("US", 1000), age("GB", 0)], 7);
    assert!(permit.check(now(3000), &us(2000), || true).is_ok());
    let denied = permit.check(now(3001), &us(2000), || true);
    assert_eq!(denied, Err(Denial::OldDncBase));
    (permit.dnc_mut()).set_ages(vec![age("US", 1500), age("GB", 0)], 8);
    assert!(
        permit.check(now(3001), &us(2000), || true).is_ok(),
        "confirmed"
    );
    let denied = permit.check(now(3001), &of(2000), || true);
    assert_eq!(denied, Err(Denial::OldDncBase), "a rule for any country");
}

#[test]
fn consent_is_asked_for_by_pack_or_campaign_and_named_by_the_grant() {
    let id = caller_id();
    let mut permit = valid();
    let plain = attempt(&id);
    let strict = Attempt {
        consent_required: true,
        ..plain
    };
    let consent = |grant| ClearanceFact::Consent(plain.number, None, grant);
    let until = now(5000).wall;
    let given = ConsentGrant {
        id: ConsentId(7),
        kind: ConsentKind::Spoken,
        until: Some(until),
    };
    assert_eq!(
        permit.check(now(2000), &strict, || true),
        Err(Denial::NoConsent)
    );
    let own = ClearanceFact::RequiresConsent(plain.campaign, true);
    permit.dnc_mut().take(&own, 6);
    assert_eq!(
        permit.check(now(2000), &plain, || true),
        Err(Denial::NoConsent)
    );
    permit.dnc_mut().take(&consent(Some(given)), 7);
    let grant = permit.check(now(2000), &strict, || true).unwrap();
    let used = grant.consent.unwrap();
    assert_eq!(
        (used.id, used.kind, grant.dnc_index),
        (given.id, given.kind, 7)
    );
    assert_eq!(
        permit.check(now(5000), &plain, || true),
        Err(Denial::NoConsent),
        "it is over"
    );
    let forever = ConsentGrant {
        until: None,
        ..given
    };
    permit.dnc_mut().take(&consent(Some(forever)), 8);
    assert!(permit.check(now(5000), &plain, || true).is_ok());
    permit.dnc_mut().take(&consent(None), 9);
    assert_eq!(
        permit.check(now(5000), &plain, || true),
        Err(Denial::NoConsent),
        "withdrawn"
    );
    // A frozen number is that before anything else.
    let freeze = ClearanceFact::Freeze(Target::Number(plain.number), Some(until));
    permit.dnc_mut().take(&freeze, 10);
    assert_eq!(
        permit.check(now(4000), &plain, || true),
        Err(Denial::Frozen)
    );
}

#[test]
fn every_rule_denies_by_its_name_in_its_order() {
    let id = caller_id();
    let good = attempt(&id);
    let at = now(2000);
    let mut permit = valid();
    let mut ask = |attempt: &Attempt<'_>, at: Now, open: bool| {
        (permit.check(at, attempt, || open)).map_or_else(Denial::rule, |_| "granted")
    };
    assert_eq!(ask(&good, at, true), "granted");
    // From the last rule to the first, each wrong on top of the ones before: the first one names it.
    let resting = CallerId {
        resting: true,
        ..id
    };
    let foreign = CallerId {
        trunk: TrunkId(2),
        ..resting
    };
    let mut bad = attempt(&resting);
    assert_eq!(ask(&bad, at, true), "resting");
    bad.caller_id = &foreign;
    assert_eq!(ask(&bad, at, true), "other_trunk");
    assert_eq!(ask(&bad, at, false), "window_closed");
    bad.consent_required = true;
    assert_eq!(ask(&bad, at, false), "no_consent");
    bad.number = "+14155550199".parse().unwrap();
    assert_eq!(ask(&bad, at, false), "do_not_call");
    assert_eq!(ask(&bad, now(28_000), false), "session_ending");
    assert_eq!(ask(&bad, now(27_399), false), "do_not_call");
    bad.session = SessionId(6);
    assert_eq!(ask(&bad, now(28_000), false), "other_session");
    bad.region = RegionId(2);
    assert_eq!(ask(&bad, now(28_000), false), "no_session");
    let unknown = CallerId {
        number: "+14155550101".parse().unwrap(),
        ..id
    };
    assert_eq!(ask(&attempt(&unknown), at, true), "unknown_caller_id");
    let once = CallerId {
        caps: CallerIdCaps {
            per_day: 9,
            per_hour: 1,
        },
        ..id
    };
    assert_eq!(ask(&attempt(&once), at, true), "hour_cap");
    let once = CallerId {
        caps: CallerIdCaps {
            per_day: 1,
            per_hour: 9,
        },
        ..id
    };
    assert_eq!(ask(&attempt(&once), at, true), "day_cap");
}

#[test]
fn without_the_base_in_use_nobody_is_dialed() {
    use crate::base::{BaseAbout, MemoryBase};
    use std::sync::Arc;
    let id = caller_id();
    let mut permit = valid();
    let about = BaseAbout {
        source: "registry".into(),
        built_at: WallTime::EPOCH,
    };
    let listed = ["+14155550177".parse().unwrap()].into();
    let base = Arc::new(MemoryBase::of(&listed, about).unwrap());
    let base_id = BaseLookup::id(&*base);
    let ask = |permit: &mut Permit, number: &str| {
        let mut attempt = attempt(&id);
        attempt.number = number.parse().unwrap();
        let grant = permit.check(now(2000), &attempt, || true);
        grant.map_or_else(|denial| Err(denial.rule()), |grant| Ok(grant.dnc_base))
    };
    assert_eq!(ask(&mut permit, "+14155550134"), Ok(None));
    permit.base_in_use(now(2000), Some(base_id), None, 6);
    assert_eq!(
        outputs(&mut permit),
        [PermitOutput::Drain {
            region: None,
            cause: DrainCause::NoDncBase
        }]
    );
    assert_eq!(ask(&mut permit, "+14155550134"), Err("no_dnc_base"));
    assert!(!permit.may_dial(now(2000).monotonic, REGION));
    permit.base_in_use(now(2000), Some(base_id), Some(base.clone()), 6);
    let resumed = PermitOutput::Resumed { region: None };
    assert_eq!(outputs(&mut permit), [resumed]);
    assert_eq!(ask(&mut permit, "+14155550134"), Ok(Some(base_id)));
    assert_eq!(ask(&mut permit, "+14155550177"), Err("do_not_call"));
    assert!(permit.may_dial(now(2000).monotonic, REGION));
    permit.base_in_use(now(2000), None, None, 7);
    assert_eq!(ask(&mut permit, "+14155550177"), Ok(None));
}

#[test]
fn freshness_is_needed_with_the_guard_to_spare() {
    let id = caller_id();
    let mut permit = valid();
    permit.handle_timeout(now(20_000));
    permit.handle(now(20_010), answered(20_000)).unwrap();
    // Asked at 1 s: 29.4 s of validity less 2 s of guard.
    assert!(permit.check(now(28_399), &attempt(&id), || true).is_ok());
    let denial = permit.check(now(28_400), &attempt(&id), || true);
    assert_eq!(denial, Err(Denial::NotFresh));
    assert!(!permit.may_dial(now(28_400).monotonic, REGION));
}

#[test]
fn a_window_is_not_asked_in_vain_and_a_denial_takes_no_cap() {
    let id = caller_id();
    let mut permit = valid();
    let mut other = attempt(&id);
    other.session = SessionId(6);
    let asked = permit.check(now(2000), &other, || unreachable!("another session's lead"));
    assert!(asked.is_err());
    assert!(permit.check(now(2000), &attempt(&id), || false).is_err());
    assert_eq!(permit.caps().counts(id.number, now(2000).wall), (0, 0));
    let grant = permit.check(now(2000), &attempt(&id), || true).unwrap();
    assert_eq!(permit.caps().counts(id.number, now(2000).wall), (1, 1));
    permit.unsent(&grant);
    assert_eq!(permit.caps().counts(id.number, now(2000).wall), (0, 0));
    assert_eq!(permit.counts().denied, 2);
    assert_eq!((grant.dnc_index, grant.rule_pack_version), (5, 3));
    assert_eq!(grant.valid_until, now(29_400).monotonic);
}

#[test]
fn nothing_leaves_while_the_clocks_disagree() {
    let id = caller_id();
    let mut permit = valid();
    permit.set_clock_disputed(true);
    assert!(!permit.may_dial(now(2000).monotonic, REGION));
    let denial = permit.check(now(2000), &attempt(&id), || true);
    assert_eq!(denial, Err(Denial::ClockDisputed));
    assert!(!Denial::ClockDisputed.gives_lead_back());
    permit.set_clock_disputed(false);
    assert!(permit.check(now(2000), &attempt(&id), || true).is_ok());
}

#[test]
fn a_pause_between_check_and_send_cancels() {
    let id = caller_id();
    let mut permit = valid();
    let grant = permit.check(now(2000), &attempt(&id), || true).unwrap();
    let left = |permit: &mut Permit, at| permit.after_send(now(at), &grant, || true);
    assert_eq!(left(&mut permit, 2001), AfterSend::InTime);
    assert_eq!(left(&mut permit, 28_399), AfterSend::InTime);
    assert_eq!(left(&mut permit, 28_400), AfterSend::Cancel);
    // Everything valid for long, but the window closed while the process stood still.
    let closed = permit.after_send(now(2001), &grant, || false);
    assert_eq!(closed, AfterSend::Cancel);
    assert_eq!(permit.counts().late, 2);
}

#[test]
fn drains_once_when_validity_ends_and_resumes() {
    let mut permit = valid();
    permit.handle_timeout(now(10_000));
    assert_eq!(
        outputs(&mut permit),
        [PermitOutput::SendKeepAlive {
            region: REGION,
            session: SESSION,
            sent: now(10_000).monotonic
        }]
    );
    // Nobody answers: asked again soon.
    let again = (now(10_500).monotonic, TimerName::KeepAlive(REGION));
    assert_eq!(permit.poll_timeout(), Some(again));
    permit.handle_timeout(now(29_400));
    assert!(permit.expired(now(29_400).monotonic, REGION, SESSION));
    let drain = PermitOutput::Drain {
        region: Some(REGION),
        cause: DrainCause::SessionRanOut,
    };
    assert_eq!(outputs(&mut permit)[0], drain);
    permit.handle_timeout(now(30_400));
    let said = outputs(&mut permit);
    assert!(said.contains(&PermitOutput::Drain {
        region: None,
        cause: DrainCause::FreshnessRanOut
    }));
    assert!(!said.contains(&drain), "once");
    // The answer to the keep-alive of 10 s comes late, and still gives ten seconds.
    permit.handle(now(31_000), answered(10_000)).unwrap();
    let resumed = PermitOutput::Resumed {
        region: Some(REGION),
    };
    assert_eq!(outputs(&mut permit), [resumed]);
}

#[test]
fn a_new_session_drains_the_old_one() {
    let mut permit = valid();
    permit.handle(now(3000), opened(SessionId(8))).unwrap();
    let said = outputs(&mut permit);
    assert!(matches!(
        said[0],
        PermitOutput::Drain {
            cause: DrainCause::SessionEnded,
            ..
        }
    ));
    assert!(permit.expired(now(3000).monotonic, REGION, SESSION));
    // Late words about the old one change nothing.
    assert!(permit.handle(now(3001), answered(0)).is_err());
    assert!(permit.handle(now(3001), opened(SESSION)).is_err());
    let ended = |session| PermitInput::SessionEnded {
        region: REGION,
        session,
    };
    assert!(permit.handle(now(3001), ended(SESSION)).is_err());
    assert!(permit.handle(now(3001), ended(SessionId(8))).is_ok());
    let id = caller_id();
    let denial = permit.check(now(3002), &attempt(&id), || true);
    assert_eq!(denial, Err(Denial::NoSession(REGION)));
}

#[test]
fn a_repeated_opening_keeps_the_session() {
    let mut permit = valid();
    permit.handle(now(3000), opened(SESSION)).unwrap();
    assert!(permit.may_dial(now(3000).monotonic, REGION));
}

#[test]
fn opt_outs_bind_at_once_and_a_reset_trusts_nothing() {
    let id = caller_id();
    let mut permit = valid();
    permit.opt_out("+14155550134".parse().unwrap(), DncScope::Mesh);
    let denial = permit.check(now(2000), &attempt(&id), || true);
    assert_eq!(denial, Err(Denial::DoNotCall));
    permit.directory_reset(now(2000), 9, [], Clearance::default());
    let said = outputs(&mut permit);
    assert!(matches!(said[0], PermitOutput::Drain { region: None, .. }));
    assert!(matches!(
        said[1],
        PermitOutput::AskFreshness { applied: 9, .. }
    ));
    let denial = permit.check(now(2001), &attempt(&id), || true);
    assert_eq!(denial, Err(Denial::NotFresh));
}

#[test]
fn wall_time_is_only_for_caps() {
    // The calendar may jump; validity may not.
    let id = caller_id();
    let mut permit = valid();
    let jumped = Now {
        wall: WallTime::from_millis(i64::MAX / 2),
        ..now(2000)
    };
    assert!(permit.check(jumped, &attempt(&id), || true).is_ok());
}
