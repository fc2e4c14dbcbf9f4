//! The live state of the mesh, from what the nodes last said and the groups as they stand here.

use crate::{backend::Backend, nodes::Heard, stats};
use compliance::RulePack;
use consensus::GroupId;
use dialmesh_http::dto::{
    Abandonment, AgentCounts, CallCounts, CityMode, CityProblem, CityStatus, GroupMember,
    GroupStatus, Status, TrunkState, TrunkStatus,
};
use domain::{
    CampaignState, Member, MemberRole, RegionId, Trunk, WallTime,
    status::{NodeMode, NodeStatus},
};
use std::{collections::BTreeMap, time::Duration};

/// Abandonment of a city is told over a day; a campaign's over its rule pack's window.
const CITY_WINDOW: Duration = Duration::from_secs(86_400);

struct Directory {
    nodes: Vec<Member>,
    regions: BTreeMap<RegionId, String>,
    trunks: Vec<Trunk>,
    running: u32,
    packs: Vec<String>,
    version: u16,
    newest: u16,
    holding_back: Vec<String>,
}

pub(crate) fn status(backend: &Backend) -> Status {
    let now = service::clock::wall();
    let directory = backend.member.directory().read(|d| {
        let running = || d.campaigns().filter(|c| c.state == CampaignState::Running);
        Directory {
            nodes: d
                .members()
                .filter(|m| m.role == MemberRole::Node && !m.removed)
                .cloned()
                .collect(),
            regions: d.regions().map(|r| (r.id, r.name.clone())).collect(),
            trunks: d.trunks().cloned().collect(),
            running: u32::try_from(running().count()).unwrap_or(u32::MAX),
            packs: running().map(|c| c.rule_pack.clone()).collect(),
            version: d.mesh_version().0,
            newest: d.newest_version().0,
            holding_back: d.holding_back().map(|m| m.name.clone()).collect(),
        }
    });
    let packs = directory
        .packs
        .iter()
        .filter_map(|name| RulePack::by_name(name));
    let strictest = packs.min_by_key(|pack| pack.abandonment.budget_permille);
    let budget = stats::budget(strictest);
    let nodes = directory.nodes.iter();
    let mut cities: Vec<CityStatus> = nodes
        .filter_map(|node| city(backend, &directory, node, budget, now))
        .collect();
    cities.sort_by(|a, b| a.name.cmp(&b.name));
    let mut groups: Vec<GroupStatus> = (backend.member.regions().into_iter())
        .map(|(id, group)| {
            let name = directory
                .regions
                .get(&id)
                .cloned()
                .unwrap_or_else(|| id.to_string());
            let mut status = group_status(name, group.status());
            backend.voters.complete(GroupId::Region(id), &mut status);
            status
        })
        .collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let status = backend.member.directory().status();
    let mut directory_group = group_status("directory".to_owned(), status);
    let voters = &backend.voters;
    voters.complete(GroupId::Directory, &mut directory_group);
    groups.insert(0, directory_group);
    Status {
        as_of: now.into(),
        member: backend.member.id(),
        version: service::build::VERSION.to_owned(),
        mesh_version: directory.version,
        newest_version: directory.newest,
        holding_back: directory.holding_back,
        campaigns_running: directory.running,
        cities,
        groups,
    }
}

fn group_status(name: String, status: consensus::GroupStatus) -> GroupStatus {
    let member = |voter| {
        move |member| GroupMember {
            member,
            voter,
            matched_index: None,
            health: None,
        }
    };
    let voters = status.voters.into_iter().map(member(true));
    GroupStatus {
        name,
        leader: status.leader,
        term: status.term,
        applied_index: status.applied,
        members: voters
            .chain(status.learners.into_iter().map(member(false)))
            .collect(),
        autopilot: None,
    }
}

fn mode(heard: Option<&Heard>, node: &Member) -> (CityMode, WallTime) {
    match heard {
        None => (CityMode::Unreachable, node.joined_at),
        Some(heard) if !heard.is_fresh() => (CityMode::Unreachable, heard.received_at),
        Some(heard) => {
            let mode = match heard.status.mode {
                NodeMode::Central => CityMode::Central,
                NodeMode::Local => CityMode::Local,
                NodeMode::Draining => CityMode::Cordoned,
            };
            (mode, heard.status.mode_since)
        }
    }
}

fn city(
    backend: &Backend,
    directory: &Directory,
    node: &Member,
    budget: f64,
    now: WallTime,
) -> Option<CityStatus> {
    let region = node.region?;
    let heard = backend.nodes.of(node.id);
    let (mode, mode_since) = mode(heard.as_ref(), node);
    let said = heard
        .as_ref()
        .map(|heard| heard.status.clone())
        .unwrap_or_default();
    let of_city = directory
        .trunks
        .iter()
        .filter(|trunk| trunk.node == node.id);
    let trunks = of_city.map(|trunk| {
        let seen = said.trunks.iter().find(|seen| seen.trunk == trunk.id);
        let health = said.trunk_health.iter().find(|seen| seen.trunk == trunk.id);
        TrunkStatus {
            id: trunk.id,
            name: trunk.name.clone(),
            state: trunk_state(trunk, &said, mode != CityMode::Unreachable),
            trouble: health.and_then(|seen| Some(seen.trouble?.name().to_owned())),
            since: health.map(|seen| seen.since.into()),
            in_use: seen.map_or(0, |seen| seen.channels),
            channels: trunk.channels,
        }
    });
    let answers = backend
        .records
        .tally(|tally| tally.node_answers(node.id, now, CITY_WINDOW));
    let age = heard
        .as_ref()
        .map_or(now.since(node.joined_at), |heard| heard.received.elapsed());
    Some(CityStatus {
        node: node.id,
        name: node.name.clone(),
        region,
        region_name: directory.regions.get(&region).cloned().unwrap_or_default(),
        mode,
        mode_since: mode_since.into(),
        queued: u64::from(said.queued),
        hopper: said
            .sessions
            .iter()
            .map(|session| u64::from(session.hopper))
            .sum(),
        trunks: trunks.collect(),
        problems: said.problems.iter().map(CityProblem::from).collect(),
        overflow: said.overflow.iter().collect(),
        calls: CallCounts {
            dialing: said.lines.dialing,
            ringing: said.lines.ringing,
            waiting: said.lines.waiting,
            bridged: said.lines.bridged,
        },
        agents: AgentCounts {
            paused: said.agents.paused,
            ready: said.agents.ready,
            reserved: said.agents.reserved,
            on_call: said.agents.on_call,
            wrap_up: said.agents.wrap_up,
        },
        abandonment: Abandonment::new(answers.0, answers.1, budget),
        calls_per_second: heard.as_ref().map_or(0.0, Heard::calls_per_second),
        attempts_total: said.total.attempts,
        bridged_total: said.total.bridged,
        as_of: heard
            .as_ref()
            .map_or(node.joined_at, |heard| heard.received_at)
            .into(),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
    })
}

/// How a trunk stands by what its node said; `fresh` tells that it spoke lately.
pub(crate) fn trunk_state(trunk: &Trunk, said: &NodeStatus, fresh: bool) -> TrunkState {
    let seen = said.trunks.iter().find(|seen| seen.trunk == trunk.id);
    match seen {
        _ if !trunk.enabled => TrunkState::Disabled,
        Some(_) if !fresh => TrunkState::Unknown,
        Some(seen) if seen.up => TrunkState::Up,
        Some(_) => TrunkState::Down,
        None => TrunkState::Unknown,
    }
}
