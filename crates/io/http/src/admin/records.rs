//! `/calls` and the export of call records.

use super::{AdminState, RecordStream};
use crate::{
    auth::{Caller, Role},
    dto::{Call, CallDirection, CallFilter, ExportFormat, ExportQuery, Numbers, Page, Timestamp},
    extract::{Path, Query},
    problem::{Code, Problem},
};
use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{AttemptId, CallRecord, PhoneNumber};
use futures::{StreamExt, stream};
use serde_json::{Map, Value};
use std::io;

/// Calls, newest first.
#[utoipa::path(get, path = "/calls", tag = "calls", operation_id = "list_calls",
    params(CallFilter), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page.", body = Page<Call>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Query(filter): Query<CallFilter>,
) -> Result<axum::Json<Page<Call>>, Problem> {
    filter.page().check()?;
    Ok(axum::Json(state.backend.calls(filter).await?))
}

/// One call.
#[utoipa::path(get, path = "/calls/{id}", tag = "calls", operation_id = "show_call",
    params(("id" = String, Path, description = "Attempt id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The call.", body = Call)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Path(id): Path<AttemptId>,
) -> Result<axum::Json<Call>, Problem> {
    Ok(axum::Json(state.backend.call(id).await?))
}

/// Call records as a file, oldest first. Whole numbers need the role admin.
#[utoipa::path(get, path = "/call-records/export", tag = "calls", operation_id = "export_call_records",
    params(ExportQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The records.",
        content((String = "text/csv"), (String = "application/x-ndjson")))))]
pub(super) async fn export(
    State(state): State<AdminState>,
    Query(query): Query<ExportQuery>,
    by: Caller,
) -> Result<Response, Problem> {
    let full = query.numbers == Numbers::Full;
    if full && by.principal.role < Role::Admin {
        let role = by.principal.role;
        let detail = format!("Whole numbers need the role admin; the token has {role}.");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let records = state
        .backend
        .call_records(&by, query.filter(), full)
        .await?;
    let (kind, name) = match query.format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "call-records.csv"),
        ExportFormat::Ndjson => ("application/x-ndjson", "call-records.ndjson"),
    };
    Ok((
        [
            (header::CONTENT_TYPE, kind.to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{name}\""),
            ),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ],
        Body::from_stream(written(records, query.format, full)),
    )
        .into_response())
}

/// Records written so many at a time.
const BATCH: usize = 256;

fn written(
    records: RecordStream,
    format: ExportFormat,
    full: bool,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send {
    let heading = match format {
        ExportFormat::Csv => csv_heading(),
        ExportFormat::Ndjson => Bytes::new(),
    };
    let rows = records.ready_chunks(BATCH).map(move |batch| {
        let mut text = Vec::with_capacity(batch.len() * 256);
        for record in batch {
            // An error breaks the transfer off: a short file must not look complete.
            let record = record.map_err(io::Error::other)?;
            let fields = fields(&record, full);
            match format {
                ExportFormat::Csv => csv_row(&mut text, &fields)?,
                ExportFormat::Ndjson => {
                    let object: Map<_, _> =
                        fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
                    serde_json::to_writer(&mut text, &object)?;
                    text.push(b'\n');
                }
            }
        }
        Ok(Bytes::from(text))
    });
    stream::once(async move { Ok(heading) }).chain(rows)
}

/// The columns of an export, in order.
pub(super) const COLUMNS: [&str; 48] = [
    "attempt",
    "lead",
    "campaign",
    "list",
    "region",
    "node",
    "session",
    "number",
    "caller_id",
    "trunk",
    "sip_call_id",
    "agent",
    "invited_at",
    "ringing_at",
    "answered_at",
    "bridged_at",
    "ended_at",
    "closed_at",
    "disposition",
    "sip_status",
    "q850",
    "ended_by",
    "carrier_packets_received",
    "carrier_packets_lost",
    "agent_packets_received",
    "agent_packets_lost",
    "rule_pack",
    "dnc_index",
    "dnc_base",
    "consent",
    "audit_sequence",
    "note",
    "answered_by",
    "answered_by_reason",
    "answered_by_ms",
    "early_media",
    "carrier_mos",
    "agent_mos",
    "direction",
    "call_back_end",
    "call_back_waited_ms",
    "call_back_after",
    "caller_id_local",
    "caller_id_trial",
    "voice_drop",
    "call_back_for_node",
    "holds",
    "held_ms",
];

fn fields(record: &CallRecord, full: bool) -> Vec<(&'static str, Value)> {
    let number = |n: PhoneNumber| if full { n.reveal() } else { n.to_string() };
    let text = |value: &dyn std::fmt::Display| Value::String(value.to_string());
    let time = |at: Option<domain::WallTime>| {
        at.map_or(Value::Null, |at| Value::String(Timestamp(at).to_string()))
    };
    let leg = |stats: &Option<domain::LegStats>, read: fn(&domain::LegStats) -> u64| {
        stats.as_ref().map_or(Value::Null, |s| read(s).into())
    };
    let mos = |stats: &Option<domain::LegStats>| {
        let mos = stats.as_ref().and_then(domain::LegStats::mos);
        mos.map_or(Value::Null, |mos| mos.into())
    };
    let back = record.call_back;
    let early = record.listened.and_then(|listened| listened.early);
    let who = record.listened.and_then(|listened| listened.answered);
    let values = [
        text(&record.attempt),
        text(&record.lead),
        text(&record.campaign),
        text(&record.list),
        text(&record.region),
        text(&record.node),
        text(&record.session),
        match record.call_back {
            Some(call_back) if call_back.withheld => call::WITHHELD.into(),
            _ => Value::String(number(record.number)),
        },
        record
            .caller_id
            .map_or(Value::Null, |n| Value::String(number(n))),
        record.trunk.map_or(Value::Null, |id| text(&id)),
        Value::String(record.sip_call_id.clone()),
        record.agent.map_or(Value::Null, |id| text(&id)),
        time(record.invited_at),
        time(record.ringing_at),
        time(record.answered_at),
        time(record.bridged_at),
        time(Some(record.ended_at)),
        time(Some(record.closed_at)),
        Value::String(record.disposition_name.clone()),
        record.sip_status.into(),
        record.q850.into(),
        Value::String(record.ended_by.clone()),
        leg(&record.carrier_leg, |s| s.received),
        leg(&record.carrier_leg, |s| s.lost),
        leg(&record.agent_leg, |s| s.received),
        leg(&record.agent_leg, |s| s.lost),
        Value::String(record.rule_pack.clone()),
        record.dnc_index.into(),
        (record.dnc_base).map_or(Value::Null, |id| id.to_string().into()),
        (record.consent).map_or(Value::Null, |consent| consent.to_string().into()),
        (record.permission.as_ref()).map_or(Value::Null, |p| p.sequence.into()),
        Value::String(record.note.clone()),
        who.map_or(Value::Null, |who| who.verdict.name().into()),
        who.map_or(Value::Null, |who| who.reason.name().into()),
        who.map_or(Value::Null, |who| who.took_ms.into()),
        early.map_or(Value::Null, |verdict| verdict.name().into()),
        mos(&record.carrier_leg),
        mos(&record.agent_leg),
        CallDirection::of(record).name().into(),
        back.map_or(Value::Null, |back| back.end.name().into()),
        back.map_or(Value::Null, |back| back.waited_ms.into()),
        (back.and_then(|back| back.after)).map_or(Value::Null, |after| text(&after)),
        (record.presence).map_or(Value::Null, |presence| presence.local.into()),
        (record.presence.and_then(|presence| presence.trial))
            .map_or(Value::Null, |arm| arm.name().into()),
        (record.voice_drop).map_or(Value::Null, |drop| drop.name().into()),
        (record.called_for).map_or(Value::Null, |node| text(&node)),
        record.holds.unwrap_or_default().count.into(),
        record.holds.unwrap_or_default().total_ms.into(),
    ];
    COLUMNS.into_iter().zip(values).collect()
}

/// With a byte order mark: spreadsheets take UTF-8 for something else without one.
fn csv_heading() -> Bytes {
    Bytes::from(format!("\u{feff}{}\r\n", COLUMNS.join(",")))
}

fn csv_row(text: &mut Vec<u8>, fields: &[(&str, Value)]) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(text);
    writer.write_record(fields.iter().map(|(name, value)| match value {
        Value::Null => String::new(),
        Value::String(text) => guarded(name, text),
        other => other.to_string(),
    }))?;
    writer.flush()
}

/// A spreadsheet runs a cell that begins like a formula; what people typed must not do so. Numbers
/// begin with a plus sign by right.
fn guarded(name: &str, text: &str) -> String {
    let is_number = matches!(name, "number" | "caller_id");
    if !is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_disarmed_and_numbers_kept() {
        assert_eq!(guarded("note", "=1+1"), "'=1+1");
        assert_eq!(guarded("note", "fine"), "fine");
        assert_eq!(guarded("number", "+14155550134"), "+14155550134");
    }
}
