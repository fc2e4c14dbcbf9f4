//! `dialmesh status`, and the picture of the mesh that `dialmesh top` shows too.

use crate::{client::Client, failure::Failure, names, output, session::Session};
use anyhow::Result;
use dialmesh_http::dto::{
    CityMode, CityOverflow, CityStatus, GroupStatus, ReplicaHealth, Status, TrunkState,
};
use std::collections::BTreeMap;

pub(crate) async fn run(session: &Session) -> Result<()> {
    let client = session.client()?;
    let status: Status = client.get("/status").await?;
    if session.form() == output::Form::Table {
        let members = names::by_id(&client, names::MEMBER).await?;
        output::lines(&picture(&status, &members))?;
    } else {
        session.show(&serde_json::to_value(&status)?)?;
    }
    match degraded(&status).as_slice() {
        [] => Ok(()),
        reasons => Err(Failure::degraded(reasons.join("; ")).into()),
    }
}

/// Asks for what [`picture`] shows.
pub(crate) async fn ask(client: &Client) -> Result<(Status, BTreeMap<String, String>)> {
    let status = client.get("/status").await?;
    Ok((status, names::by_id(client, names::MEMBER).await?))
}

/// What is not as it should be; nothing when all is well. A cordoned city is as somebody wants it.
pub(crate) fn degraded(status: &Status) -> Vec<String> {
    let cities = status.cities.iter().filter_map(|city| match city.mode {
        CityMode::Local => Some(format!(
            "{} is in local mode since {}",
            city.name, city.mode_since
        )),
        CityMode::Unreachable => Some(format!(
            "{} is unreachable since {}",
            city.name, city.mode_since
        )),
        CityMode::Central | CityMode::Cordoned => None,
    });
    let groups = status
        .groups
        .iter()
        .filter(|group| group.leader.is_none())
        .map(|group| format!("the group {} has no leader", group.name));
    cities.chain(problems(status)).chain(groups).collect()
}

/// What is wrong with how nodes are set up.
fn problems(status: &Status) -> impl Iterator<Item = String> {
    status.cities.iter().flat_map(|city| {
        let told = city.problems.iter();
        told.map(move |problem| format!("set-up of {}: {}", city.name, problem.text))
    })
}

pub(crate) const fn mode(mode: CityMode) -> &'static str {
    match mode {
        CityMode::Central => "central",
        CityMode::Local => "LOCAL",
        CityMode::Unreachable => "UNREACHABLE",
        CityMode::Cordoned => "cordoned",
    }
}

/// Cities and groups as lines for people.
pub(crate) fn picture(status: &Status, members: &BTreeMap<String, String>) -> Vec<String> {
    let name = |id: String| members.get(&id).cloned().unwrap_or(id);
    let mut lines = vec![
        format!(
            "{}  dialmesh {} at {}  {} campaigns running",
            status.as_of,
            status.version,
            name(status.member.to_string()),
            status.campaigns_running
        ),
        String::new(),
    ];
    if status.newest_version > status.mesh_version {
        let upgrade = format!(
            "an upgrade is under way: the mesh is at version {} until {} understand{} {}",
            status.mesh_version,
            status.holding_back.join(", "),
            if status.holding_back.len() == 1 {
                "s"
            } else {
                ""
            },
            status.newest_version,
        );
        lines.splice(1..1, [upgrade]);
    }
    let headings = [
        "CITY",
        "REGION",
        "MODE",
        "TRUNKS",
        "DIALING",
        "RINGING",
        "WAITING",
        "BRIDGED",
        "READY",
        "ON CALL",
        "WRAP-UP",
        "PAUSED",
        "QUEUED",
        "HOPPER",
        "CPS",
        "ATTEMPTS",
        "ABANDONED",
        "AGE",
    ];
    let mut cells = vec![headings.map(str::to_owned).to_vec()];
    cells.extend(status.cities.iter().map(city));
    lines.extend(output::grid(cells));
    lines.extend(trunks(status));
    lines.extend(overflow(status));
    lines.push(String::new());
    let headings = [
        "GROUP", "LEADER", "TERM", "APPLIED", "VOTERS", "LEARNERS", "MAY LOSE", "BEHIND",
    ];
    let mut cells = vec![headings.map(str::to_owned).to_vec()];
    cells.extend(status.groups.iter().map(|g| group(g, &name)));
    lines.extend(output::grid(cells));
    lines.extend(autopilot(status));
    lines
}

/// Trunks that take no new calls, and why, and what is wrong with nodes' set-up; nothing where all is well.
fn trunks(status: &Status) -> Vec<String> {
    let of_city = |city: &CityStatus| {
        let name = city.name.clone();
        let down = city.trunks.iter().filter(|t| t.state == TrunkState::Down);
        let line = down.map(move |trunk| {
            let why = trunk.trouble.as_deref().unwrap_or("down");
            let since = trunk.since.as_ref().map(|at| format!(" since {at}"));
            let since = since.unwrap_or_default();
            format!("trunk {} of {name} is out: {why}{since}", trunk.name)
        });
        line.collect::<Vec<_>>()
    };
    let mut lines: Vec<String> = status.cities.iter().flat_map(of_city).collect();
    lines.extend(problems(status).map(|problem| format!("PROBLEM in the {problem}")));
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// Calls that cities carry for one another; nothing where none did since its node started.
fn overflow(status: &Status) -> Vec<String> {
    let of_city = |city: &CityStatus| {
        let CityOverflow {
            out_now,
            in_now,
            out_total,
            in_total,
            missed,
        } = city.overflow;
        (out_total + in_total + missed > 0).then(|| {
            format!(
                "overflow of {}: {out_now} of its persons with other cities' agents now ({out_total} since its \
                 node started, {missed} times in vain), {in_now} of its agents with other cities' persons \
                 ({in_total})",
                city.name
            )
        })
    };
    let mut lines: Vec<String> = status.cities.iter().filter_map(of_city).collect();
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// What the groups' leaders do about their voters, or wait for. All at rest is one line.
fn autopilot(status: &Status) -> Vec<String> {
    const AT_REST: &str = "as it should be";
    let groups = status.groups.iter();
    let mut lines: Vec<String> = groups
        .filter_map(|group| {
            let said = group.autopilot.as_ref();
            match said.map(|said| said.why.as_str()) {
                Some(AT_REST) => None,
                Some(why) => Some(format!("voters of {}: {why}", group.name)),
                None => Some(format!(
                    "voters of {}: its leader was not heard",
                    group.name
                )),
            }
        })
        .collect();
    if lines.is_empty() {
        lines.push("voters: as they should be".to_owned());
    }
    lines.insert(0, String::new());
    lines
}

fn city(city: &CityStatus) -> Vec<String> {
    let up = city
        .trunks
        .iter()
        .filter(|t| t.state == TrunkState::Up)
        .count();
    let (calls, agents) = (&city.calls, &city.agents);
    vec![
        city.name.clone(),
        city.region_name.clone(),
        mode(city.mode).to_owned(),
        format!("{up}/{}", city.trunks.len()),
        calls.dialing.to_string(),
        calls.ringing.to_string(),
        calls.waiting.to_string(),
        calls.bridged.to_string(),
        agents.ready.to_string(),
        (agents.reserved + agents.on_call).to_string(),
        agents.wrap_up.to_string(),
        agents.paused.to_string(),
        city.queued.to_string(),
        city.hopper.to_string(),
        format!("{:.1}", city.calls_per_second),
        city.attempts_total.to_string(),
        format!("{:.2} %", city.abandonment.percent),
        format!("{:.1} s", city.age_ms as f64 / 1_000.0),
    ]
}

fn group(group: &GroupStatus, name: &impl Fn(String) -> String) -> Vec<String> {
    let behind: Vec<String> = group
        .members
        .iter()
        .filter_map(|m| {
            let last = group
                .autopilot
                .as_ref()
                .map_or(group.applied_index, |a| a.last_index);
            let lag = last.saturating_sub(m.matched_index?);
            (lag > 0).then(|| format!("{} {lag}", name(m.member.to_string())))
        })
        .collect();
    let names = |voter: bool| {
        let members = group.members.iter().filter(|m| m.voter == voter);
        let names: Vec<String> = members
            .map(|m| match m.health {
                Some(ReplicaHealth::Silent) => format!("{} (silent)", name(m.member.to_string())),
                _ => name(m.member.to_string()),
            })
            .collect();
        // A list of hundreds breaks the table.
        match names.len() {
            0 => "-".to_owned(),
            n if n > 5 => format!("{n}"),
            _ => names.join(", "),
        }
    };
    vec![
        group.name.clone(),
        group
            .leader
            .map_or_else(|| "NONE".to_owned(), |id| name(id.to_string())),
        group.term.to_string(),
        group.applied_index.to_string(),
        names(true),
        names(false),
        group
            .autopilot
            .as_ref()
            .map_or_else(|| "-".to_owned(), |a| a.failure_tolerance.to_string()),
        if behind.is_empty() {
            "-".to_owned()
        } else {
            behind.join(", ")
        },
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn sample(mode: &str, leader: Option<&str>) -> Status {
        let at = "2026-11-21T08:00:00Z";
        serde_json::from_value(json!({
            "as_of": at, "member": "mem_00000001", "version": "0.1.0", "campaigns_running": 1,
            "cities": [{
                "node": "mem_00000002", "name": "shenzhen", "region": "reg_0001", "region_name": "south",
                "mode": mode, "mode_since": at, "queued": 900, "hopper": 40,
                "trunks": [{"id": "trunk_00000001", "name": "ct", "state": "up", "in_use": 2, "channels": 30}],
                "calls": {"dialing": 1, "ringing": 2, "waiting": 0, "bridged": 3},
                "agents": {"paused": 1, "ready": 2, "reserved": 0, "on_call": 3, "wrap_up": 0},
                "abandonment": {"answered": 100, "abandoned": 1, "percent": 1.0, "budget_percent": 3.0},
                "calls_per_second": 2.5, "attempts_total": 345, "bridged_total": 99, "as_of": at, "age_ms": 400
            }],
            "groups": [{
                "name": "directory", "leader": leader, "term": 3, "applied_index": 120,
                "members": [
                    {"member": "mem_00000001", "voter": true, "matched_index": 120},
                    {"member": "mem_00000002", "voter": true, "matched_index": 100, "health": "silent"}
                ],
                "autopilot": {
                    "healthy_voters": 1, "failure_tolerance": 0, "last_index": 120,
                    "why": "shenzhen has been silent for 40 s; it is to be replaced by beijing in 4 min 20 s"
                }
            }]
        }))
        .unwrap()
    }

    #[test]
    fn what_is_degraded_is_named() {
        assert!(degraded(&sample("central", Some("mem_00000001"))).is_empty());
        assert!(degraded(&sample("cordoned", Some("mem_00000001"))).is_empty());
        let reasons = degraded(&sample("local", None)).join("; ");
        assert!(
            reasons.contains("shenzhen is in local mode since 2026-11-21"),
            "{reasons}"
        );
        assert!(reasons.contains("directory has no leader"), "{reasons}");
        assert_eq!(
            degraded(&sample("unreachable", Some("mem_00000001"))).len(),
            1
        );
    }

    #[test]
    fn a_problem_of_the_set_up_is_shown_and_degrades() {
        let mut status = sample("central", Some("mem_00000001"));
        let problem = json!({
            "code": "srtp_trunk_unknown", "setting": "sip.srtp.trunks", "value": "ny-tz", "known": ["ct"],
            "text": "[sip.srtp.trunks] names \"ny-tz\"; its trunks: ct"
        });
        status.cities[0].problems = vec![serde_json::from_value(problem).unwrap()];
        let words = "set-up of shenzhen: [sip.srtp.trunks] names \"ny-tz\"; its trunks: ct";
        assert_eq!(degraded(&status), [words]);
        let text = picture(&status, &BTreeMap::new()).join("\n");
        assert!(text.contains(&format!("PROBLEM in the {words}")), "{text}");
    }

    #[test]
    fn carried_calls_are_shown_where_there_were_any() {
        let mut status = sample("central", Some("mem_00000001"));
        let text = |status: &Status| picture(status, &BTreeMap::new()).join("\n");
        assert!(!text(&status).contains("overflow"));
        status.cities[0].overflow = CityOverflow {
            out_now: 2,
            in_now: 1,
            out_total: 15,
            in_total: 7,
            missed: 3,
        };
        let said = text(&status);
        for words in [
            "overflow of shenzhen: 2 of its persons",
            "(15 since its node started, 3 times in vain)",
            "1 of its agents with other cities' persons (7)",
        ] {
            assert!(said.contains(words), "{said} lacks {words}");
        }
        assert!(degraded(&status).is_empty());
    }

    #[test]
    fn the_picture_shows_names_and_lag() {
        let members = [("mem_00000001".to_owned(), "hq".to_owned())].into();
        let text = picture(&sample("local", Some("mem_00000001")), &members).join("\n");
        for word in [
            "shenzhen",
            "south",
            "LOCAL",
            "1/1",
            "345",
            "1.00 %",
            "0.4 s",
            "hq",
            "mem_00000002 20",
            "mem_00000002 (silent)",
            "voters of directory: shenzhen has been silent for 40 s; it is to be replaced by beijing",
        ] {
            assert!(text.contains(word), "{text} lacks {word}");
        }
    }
}
