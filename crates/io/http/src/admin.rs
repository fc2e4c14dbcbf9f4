//! The admin API, `/api/v1`, over an [`AdminBackend`].

mod backend;
mod campaigns;
mod clearance;
mod consents;
mod dnc_lists;
mod do_not_call;
mod docs;
mod homes;
mod leads;
mod mesh;
mod people;
mod recordings;
mod records;
mod stream;
mod supervision;
mod trunks;
mod voters;

pub use backend::{AdminBackend, Answer, ByteStream, CampaignAction, RecordStream};
pub use recordings::{RecordingAudio, SoundStream};

use crate::{
    auth::{self, Routes},
    events::Events,
    extract, idempotency,
    limits::IMPORT_BYTES,
};
use axum::{Router, middleware};
use std::{sync::Arc, time::Duration};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    path::Operation,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the handlers share.
#[derive(Clone)]
pub struct AdminState {
    pub(crate) backend: Arc<dyn AdminBackend>,
    pub(crate) events: Events,
    pub(crate) routes: Arc<Routes>,
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
    pub(crate) import_bytes: u64,
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}

fn api() -> OpenApiRouter<AdminState> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(mesh::status))
        .routes(routes!(mesh::members))
        .routes(routes!(mesh::member, mesh::remove_member))
        .routes(routes!(mesh::regions, mesh::create_region))
        .routes(routes!(voters::settings, voters::set_settings))
        .routes(routes!(voters::policy, voters::set_policy))
        .routes(routes!(voters::drain))
        .routes(routes!(voters::undrain))
        .routes(routes!(mesh::audit_heads))
        .routes(routes!(mesh::home_rules, mesh::set_home_rules))
        .routes(routes!(homes::show, homes::plan))
        .routes(routes!(homes::apply))
        .routes(routes!(homes::cancel))
        .routes(routes!(mesh::join_tokens, mesh::create_join_token))
        .routes(routes!(mesh::revoke_join_token))
        .routes(routes!(campaigns::list, campaigns::create))
        .routes(routes!(campaigns::show, campaigns::patch))
        .routes(routes!(campaigns::start))
        .routes(routes!(campaigns::pause))
        .routes(routes!(campaigns::stop))
        .routes(routes!(campaigns::stats))
        .routes(routes!(campaigns::learned))
        .routes(routes!(leads::import))
        .routes(routes!(leads::list))
        .routes(routes!(leads::show))
        .routes(routes!(leads::operations))
        .routes(routes!(leads::operation))
        .routes(routes!(leads::rejects))
        .routes(routes!(do_not_call::add))
        .routes(routes!(do_not_call::check))
        .routes(routes!(do_not_call::remove))
        .routes(routes!(do_not_call::import))
        .routes(routes!(do_not_call::bases))
        .routes(routes!(do_not_call::use_base))
        .routes(routes!(do_not_call::compact_base))
        .routes(routes!(do_not_call::stage_base, do_not_call::remove_base))
        .routes(routes!(dnc_lists::lists, dnc_lists::declare))
        .routes(routes!(dnc_lists::show, dnc_lists::remove))
        .routes(routes!(dnc_lists::pull))
        .routes(routes!(dnc_lists::pause))
        .routes(routes!(dnc_lists::resume))
        .routes(routes!(dnc_lists::approve))
        .routes(routes!(dnc_lists::reject))
        .routes(routes!(clearance::patterns, clearance::add_pattern))
        .routes(routes!(clearance::remove_pattern))
        .routes(routes!(clearance::freezes, clearance::freeze))
        .routes(routes!(clearance::lift))
        .routes(routes!(consents::check))
        .routes(routes!(consents::withdraw))
        .routes(routes!(consents::import))
        .routes(routes!(trunks::list, trunks::create))
        .routes(routes!(trunks::show, trunks::patch, trunks::delete))
        .routes(routes!(trunks::caller_ids, trunks::add_caller_ids))
        .routes(routes!(trunks::reputations))
        .routes(routes!(trunks::patch_caller_id, trunks::delete_caller_id))
        .routes(routes!(people::agents, people::create_agent))
        .routes(routes!(people::agent, people::patch_agent))
        .routes(routes!(people::rotate_agent_token))
        .routes(routes!(people::tokens, people::create_token))
        .routes(routes!(people::revoke_token))
        .routes(routes!(records::list))
        .routes(routes!(records::show))
        .routes(routes!(records::export))
        .routes(routes!(supervision::list))
        .routes(routes!(supervision::supervise, supervision::leave))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::show))
        .routes(routes!(recordings::check))
        .routes(routes!(recordings::audio))
        .routes(routes!(recordings::key, recordings::create_key))
        .routes(routes!(stream::events));
    OpenApiRouter::with_openapi(description()).nest("/api/v1", v1)
}

fn description() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of POST /api/v1/tokens. Roles, each may do what those before it may: monitor, supervisor, admin.",
        ))
        .build();
    let mut openapi = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("dialmesh admin API")
                .version("1")
                .description(Some(
                    "Campaigns, leads, do-not-call, trunks, agents and the live state of the mesh. Errors are application/problem+json (RFC 9457) with a stable code. Every POST takes an Idempotency-Key. Lists come in cursor pages.",
                ))
                .build(),
        )
        .build();
    let components = openapi.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for (name, schema) in problem_schemas() {
        components.schemas.insert(name, schema);
    }
    openapi
}

fn problem_schemas() -> Vec<(String, RefOr<utoipa::openapi::Schema>)> {
    use crate::problem::{FieldError, Problem};
    use utoipa::{PartialSchema, ToSchema};
    vec![
        (Problem::name().into_owned(), Problem::schema()),
        (FieldError::name().into_owned(), FieldError::schema()),
    ]
}

/// Every operation may end in a problem.
fn add_problem(operation: &mut Operation) {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let response = ResponseBuilder::new()
        .description("A problem (RFC 9457).")
        .content(crate::problem::CONTENT_TYPE, content)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(response));
}

/// The OpenAPI 3.1 description of the admin API, as it is served and committed.
pub fn openapi() -> OpenApi {
    finished(api().into_openapi())
}

fn finished(mut openapi: OpenApi) -> OpenApi {
    for item in openapi.paths.paths.values_mut() {
        for operation in [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ]
        .into_iter()
        .flatten()
        {
            add_problem(operation);
        }
    }
    openapi
}

/// The text of [`openapi`], with a line break at its end, as it lies in `openapi.json`.
pub fn openapi_text() -> String {
    let mut text =
        serde_json::to_string_pretty(&openapi()).expect("an OpenAPI description is JSON");
    text.push('\n');
    text
}

/// The admin API, its description and its documentation page.
///
/// `events` is what the coordinator publishes into; close it when the process stops.
pub fn router(backend: Arc<dyn AdminBackend>, events: Events) -> Router {
    router_with(backend, events, IMPORT_BYTES)
}

/// As [`router`], with another bound on uploaded files.
pub fn router_with(backend: Arc<dyn AdminBackend>, events: Events, import_bytes: u64) -> Router {
    let (router, openapi) = api().split_for_parts();
    let openapi = finished(openapi);
    let state = AdminState {
        backend,
        events,
        routes: Arc::new(Routes::from_openapi(&openapi)),
        streams: Arc::new(tokio::sync::Semaphore::new(crate::limits::EVENT_STREAMS)),
        import_bytes,
    };
    let table = Arc::new(idempotency::Table::default());
    let guarded = router
        .layer(middleware::from_fn_with_state(
            table,
            idempotency::idempotent,
        ))
        .layer(middleware::from_fn_with_state(state.clone(), auth::guard))
        .method_not_allowed_fallback(extract::no_method)
        .with_state(state);
    docs::router(&openapi)
        .merge(guarded)
        .route("/api/{*rest}", axum::routing::any(extract::no_route))
        .layer(middleware::from_fn(extract::with_request_id))
}

/// Publishes the mesh's status on the event stream every `every`, while anybody listens. Ends with
/// the future that is dropped.
pub async fn publish_status(backend: Arc<dyn AdminBackend>, events: Events, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if events.subscribers() == 0 {
            continue;
        }
        match backend.status().await {
            Ok(status) => events.publish_state("status", &status),
            Err(error) => tracing::warn!(%error, "the status cannot be told"),
        }
    }
}
