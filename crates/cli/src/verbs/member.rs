//! `dialmesh node ls|show|drain|undrain|remove`: members as the directory knows them.

use crate::{client::escaped, names, output::Form, session::Session};
use anyhow::Result;
use serde_json::{Value, json};

pub(crate) async fn ls(session: &Session) -> Result<()> {
    let client = session.client()?;
    let mut rows = client.list("/members").await?;
    if session.form() == Form::Table {
        if let Some(rows) = rows.as_array_mut() {
            rows.retain(|member| member["removed"] != true);
        }
        names::label(&client, &mut rows, "region", names::REGION).await?;
    }
    let columns = [
        ("name", "/name"),
        ("role", "/role"),
        ("region", "/region"),
        ("reachable", "/reachable"),
        ("draining", "/draining"),
        ("failure domain", "/failure_domain"),
        ("understands", "/understands"),
        ("mesh", "/mesh_address"),
        ("http", "/http_address"),
        ("joined", "/joined_at"),
        ("id", "/id"),
    ];
    session.rows(&columns, &rows)
}

pub(crate) async fn show(session: &Session, named: &str) -> Result<()> {
    let client = session.client()?;
    let id = names::id(&client, names::MEMBER, named).await?;
    let member: Value = client.get(&format!("/members/{}", escaped(&id))).await?;
    session.show(&member)
}

pub(crate) async fn drain(session: &Session, named: &str, on: bool) -> Result<()> {
    let client = session.client()?;
    let id = names::id(&client, names::MEMBER, named).await?;
    let act = if on { "drain" } else { "undrain" };
    let path = format!("/members/{}/{act}", escaped(&id));
    let member: Value = client.post(&path, &json!({})).await?;
    if session.form() != Form::Table {
        return session.show(&member);
    }
    session.done(&match on {
        true => format!("{named} hands over what it leads; see `dialmesh status`"),
        false => format!("{named} may lead and vote again"),
    })
}

pub(crate) async fn remove(session: &Session, named: &str) -> Result<()> {
    let client = session.client()?;
    let id = names::id(&client, names::MEMBER, named).await?;
    session.confirm(&format!(
        "take {named} ({id}) out of the mesh for good; it must join anew to come back"
    ))?;
    client.delete(&format!("/members/{}", escaped(&id))).await?;
    session.done(&format!("{named} is no member any more"))
}
