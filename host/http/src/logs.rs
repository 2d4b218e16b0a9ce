//! What calls wrote: the last ones from the ledger, or each as it ends.

use crate::auth::Admin;
use crate::page::{Page, PageQuery, Search, limit_from_text};
use crate::path::Query;
use crate::{App, Draining, Problem};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use wares_call::{Followed, Following};
use wares_model::limits::LOG_PAGE_BYTES_MAX;
use wares_model::{CallId, ComponentName, LedgerEntry, ProblemCode, TenantId};
use wares_store::LogQuery;

/// Bytes of a line beside its text: what call, tenant, component, version, time and stream take as JSON.
const LINE_BYTES: usize = 320;
/// Calls whose logs are read from the ledger at once.
const CALLS_AT_ONCE: usize = 16;
/// Seconds after which one who would follow may try again.
const RETRY_SECONDS: u64 = 60;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/logs", get(logs))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsQuery {
    #[serde(default)]
    follow: bool,
    tenant: Option<TenantId>,
    component: Option<ComponentName>,
    call: Option<CallId>,
    #[serde(default, deserialize_with = "limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Which calls are wanted.
struct Wanted {
    tenant: Option<TenantId>,
    component: Option<ComponentName>,
    call: Option<CallId>,
}

impl Wanted {
    fn has(&self, entry: &LedgerEntry) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == entry.tenant)
            && self.component.as_ref().is_none_or(|component| *component == entry.component)
            && self.call.is_none_or(|call| call == entry.call)
    }
}

async fn logs(State(app): State<App>, _admin: Admin, Query(query): Query<LogsQuery>) -> Result<Response, Problem> {
    let LogsQuery { follow, tenant, component, call, limit, cursor } = query;
    if follow {
        let following = app.calls.followers().follow().map_err(|error| {
            let problem = Problem::new(ProblemCode::Overloaded, error.to_string());
            problem.with_header(header::RETRY_AFTER, RETRY_SECONDS.to_string())
        })?;
        return Ok(stream_of(following, Wanted { tenant, component, call }, app.draining));
    }
    let page = PageQuery::new(limit, cursor);
    let (mut search, mut before) = (Search::new(&page), page.before_call()?);
    let mut bytes_left = LOG_PAGE_BYTES_MAX;
    loop {
        let limit = u32::try_from(search.wanted().min(CALLS_AT_ONCE)).unwrap_or(u32::MAX);
        let query = LogQuery { tenant: tenant.clone(), component: component.clone(), call, before, limit };
        let mut found = app.catalog.store().logged_calls(query).await?;
        before = found.next;
        let fit = found.entries.iter().take_while(|entry| takes(&mut bytes_left, entry)).count();
        let is_full = fit < found.entries.len();
        if is_full {
            found.entries.truncate(fit.max(usize::from(search.is_empty())));
            before = found.entries.last().map(|last| last.call).or(search.last().map(|last: &LedgerEntry| last.call));
        }
        if !search.goes_on(found.entries, before.as_ref()) || is_full {
            break;
        }
    }
    // The lines of a page in the order they were written; the next page is of the calls before these.
    let Page { items: calls, next } = search.page(before);
    let items: Vec<_> = calls.iter().rev().flat_map(LedgerEntry::call_log_lines).collect();
    Ok(axum::Json(json!({"items": items, "next": next})).into_response())
}

/// Takes what a call's lines need of what is left of a page.
fn takes(bytes_left: &mut usize, entry: &LedgerEntry) -> bool {
    let text = entry.logs.as_deref().unwrap_or_default();
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + entry.log_marks.len() + 1;
    let left = bytes_left.checked_sub(text.len() + lines * LINE_BYTES);
    *bytes_left = left.unwrap_or_default();
    left.is_some()
}

/// A JSON object per line, until the reader goes, does not keep up, or the host ends.
fn stream_of(following: Following, wanted: Wanted, draining: Draining) -> Response {
    let lines = stream::unfold(Some((following, wanted, draining)), |state| async move {
        let (mut following, wanted, draining) = state?;
        loop {
            let next = tokio::select! {
                next = following.next() => next?,
                () = draining.begun() => return None,
            };
            match next {
                Followed::Call(entry) if wanted.has(&entry) => {
                    return Some((Ok::<_, Infallible>(lines(&entry)), Some((following, wanted, draining))));
                }
                Followed::Call(_) => {}
                Followed::CutOff(missed) => {
                    let detail = format!("{missed} calls were missed: this reader does not keep up and is cut off");
                    return Some((Ok(line(&json!({"cut-off": detail}))), None));
                }
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn lines(entry: &LedgerEntry) -> Bytes {
    entry.call_log_lines().flat_map(|one| line(&one)).collect()
}

fn line(value: &impl serde::Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
