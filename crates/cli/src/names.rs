//! Names where ids are asked for, and names where ids would be shown.

use crate::{client::Client, failure::Failure};
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeMap;

/// A kind of object that has a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    what: &'static str,
    path: &'static str,
    prefix: &'static str,
    name: &'static str,
    /// Whether an object of this name is the one meant.
    lives: fn(&Value) -> bool,
}

/// Campaigns; a stopped one frees its name.
pub(crate) const CAMPAIGN: Kind = Kind {
    what: "campaign",
    path: "/campaigns",
    prefix: "camp_",
    name: "name",
    lives: |campaign| campaign["state"] != "stopped",
};
/// Trunks.
pub(crate) const TRUNK: Kind = Kind {
    what: "trunk",
    path: "/trunks",
    prefix: "trunk_",
    name: "name",
    lives: |_| true,
};
/// Regions.
pub(crate) const REGION: Kind = Kind {
    what: "region",
    path: "/regions",
    prefix: "reg_",
    name: "name",
    lives: |_| true,
};
/// Cities' nodes and the coordinator.
pub(crate) const MEMBER: Kind = Kind {
    what: "member",
    path: "/members",
    prefix: "mem_",
    name: "name",
    lives: |member| member["removed"] != true,
};
/// Agents, by login.
pub(crate) const AGENT: Kind = Kind {
    what: "agent",
    path: "/agents",
    prefix: "agent_",
    name: "login",
    lives: |_| true,
};

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The id of what is named, asking the coordinator unless it is an id already.
pub(crate) async fn id(client: &Client, kind: Kind, named: &str) -> Result<String> {
    let hex = named.strip_prefix(kind.prefix);
    if hex.is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Ok(named.to_owned());
    }
    let all = client.list(kind.path).await?;
    Ok(choose(kind, all.as_array().map_or(&[], Vec::as_slice), named)?.to_owned())
}

/// The same for what may be left out.
pub(crate) async fn id_if(
    client: &Client,
    kind: Kind,
    named: Option<&str>,
) -> Result<Option<String>> {
    match named {
        Some(named) => id(client, kind, named).await.map(Some),
        None => Ok(None),
    }
}

/// The same for several, in order.
pub(crate) async fn ids(client: &Client, kind: Kind, named: &[String]) -> Result<Vec<String>> {
    let mut ids = Vec::with_capacity(named.len());
    for name in named {
        ids.push(id(client, kind, name).await?);
    }
    Ok(ids)
}

fn choose<'a>(kind: Kind, all: &'a [Value], named: &str) -> Result<&'a str, Failure> {
    let mut found: Vec<&Value> = all.iter().filter(|o| text(o, kind.name) == named).collect();
    if found.iter().any(|o| (kind.lives)(o)) {
        found.retain(|o| (kind.lives)(o));
    }
    let what = kind.what;
    match found.as_slice() {
        [one] => Ok(text(one, "id")),
        [] => {
            let mut known: Vec<_> = all
                .iter()
                .filter(|o| (kind.lives)(o))
                .map(|o| text(o, kind.name))
                .collect();
            known.sort_unstable();
            let more = if known.len() > 10 { ", …" } else { "" };
            known.truncate(10);
            let known = if known.is_empty() {
                "none yet".to_owned()
            } else {
                known.join(", ") + more
            };
            Err(Failure::usage(format!(
                "there is no {what} {named:?}; there are: {known}"
            )))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|o| text(o, "id")).collect();
            Err(Failure::usage(format!(
                "{named:?} names more than one {what}; give an id: {}",
                ids.join(", ")
            )))
        }
    }
}

/// Names by id.
pub(crate) async fn by_id(client: &Client, kind: Kind) -> Result<BTreeMap<String, String>> {
    let all = client.list(kind.path).await?;
    let pair = |o: &Value| (text(o, "id").to_owned(), text(o, kind.name).to_owned());
    Ok(all.as_array().into_iter().flatten().map(pair).collect())
}

/// Replaces the ids under `key` of each row by names. For tables only: programs get the ids.
pub(crate) async fn label(client: &Client, rows: &mut Value, key: &str, kind: Kind) -> Result<()> {
    if rows.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    let names = by_id(client, kind).await?;
    let name = |value: &mut Value| {
        if let Some(name) = value.as_str().and_then(|id| names.get(id)) {
            *value = Value::from(name.as_str());
        }
    };
    for row in rows.as_array_mut().into_iter().flatten() {
        match row.get_mut(key) {
            Some(Value::Array(several)) => several.iter_mut().for_each(name),
            Some(one) => name(one),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_found_or_the_known_ones_told() {
        let all = [
            json!({"id": "camp_00000001", "name": "autumn", "state": "stopped"}),
            json!({"id": "camp_00000002", "name": "autumn", "state": "running"}),
            json!({"id": "camp_00000003", "name": "old", "state": "stopped"}),
            json!({"id": "camp_00000004", "name": "twin", "state": "draft"}),
            json!({"id": "camp_00000005", "name": "twin", "state": "draft"}),
        ];
        assert_eq!(choose(CAMPAIGN, &all, "autumn").unwrap(), "camp_00000002");
        assert_eq!(choose(CAMPAIGN, &all, "old").unwrap(), "camp_00000003");
        let twice = choose(CAMPAIGN, &all, "twin").unwrap_err().to_string();
        assert!(twice.contains("camp_00000004, camp_00000005"), "{twice}");
        let none = choose(CAMPAIGN, &all, "winter").unwrap_err().to_string();
        assert!(
            none.contains("\"winter\"") && none.contains("autumn, twin"),
            "{none}"
        );
    }
}
