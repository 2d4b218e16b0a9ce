//! What operators and newcomers need without a key: health, problem pages, docs; and metrics, with one.

use crate::auth::{self, Admin};
use crate::path::Path;
use crate::problem::PROBLEMS_PATH;
use crate::{App, Problem, language};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::fmt::Write as _;
use wares_model::{Language, ProblemCode};

/// Addresses that answer while all connections are busy, so that load balancers and operators can watch the host.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Seconds after which a client of a host whose connections are all busy may try again.
const BUSY_RETRY_SECONDS: u64 = 1;

pub(crate) fn routes(app: &App) -> Router<App> {
    let key = axum::middleware::from_fn_with_state(app.clone(), auth::require_key);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics).layer(key))
        .route(PROBLEMS_PATH, get(problems))
        .route(&format!("{PROBLEMS_PATH}/{{code}}"), get(problem))
        .route("/docs", get(docs))
        .route("/", get(front))
}

/// Refuses a request that comes on a connection for operators and probes and is of neither, and closes the connection.
pub(crate) fn refuse_on_reserve(path: &str) -> Option<Response> {
    if PROBES.contains(&path) {
        return None;
    }
    let detail = "all connections are busy, or all of this peer: what is left is for operators and probes";
    let problem = Problem::new(ProblemCode::Overloaded, detail)
        .with_header(header::RETRY_AFTER, BUSY_RETRY_SECONDS.to_string())
        .with_header(header::CONNECTION, "close");
    Some(problem.into_response())
}

/// Whether calls are served and counted here, and if not, what keeps the host from it. What is well now and will not stay so is
/// told too.
async fn ready(State(app): State<App>) -> Response {
    let answer = |status, word, detail: &[String]| {
        let document = match detail {
            [] => json!({"status": word}),
            detail => json!({"status": word, "detail": detail}),
        };
        (status, axum::Json(document)).into_response()
    };
    if app.draining.is_announced() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "draining", &[]);
    }
    let mut faults = app.catalog.condition().faults().to_vec();
    faults.extend(wares_store::damage().map(str::to_owned));
    faults.extend(app.calls.check_ledger().await.err().map(|error| error.to_string()));
    match faults.is_empty() {
        true => answer(StatusCode::OK, "ready", &app.catalog.condition().warnings()),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, "not ready", &faults),
    }
}

async fn metrics(State(app): State<App>, _admin: Admin) -> Response {
    app.calls.holders().show();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}

async fn problems(headers: HeaderMap) -> Response {
    let language = language::asked(&headers);
    let rows = ProblemCode::ALL.iter().fold(String::new(), |mut rows, code| {
        let (status, title) = (statuses(*code), language.title(*code));
        let _ = write!(rows, "<tr><td><a href=\"{PROBLEMS_PATH}/{code}\">{code}</a><td>{status}<td>{title}");
        rows
    });
    let [title, head] = match language {
        Language::English => ["Problems", "<th>code<th>status<th>title"],
        Language::Chinese => ["问题代码", "<th>代码<th>状态<th>标题"],
    };
    in_language(language, title, &format!("<table><tr>{head}{rows}</table>"))
}

async fn problem(Path(code): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let code: ProblemCode = code.parse().map_err(|_| {
        Problem::new(ProblemCode::NotFound, format!("there is no such problem; {PROBLEMS_PATH} lists them"))
    })?;
    let language = language::asked(&headers);
    let (status, title, explanation) = (statuses(code), language.title(code), language.explanation(code));
    let word = if language == Language::Chinese { "状态" } else { "status" };
    let body = format!("<p><code>{code}</code>, {word} {status}</p><p>{explanation}</p>");
    Ok(in_language(language, title, &body))
}

fn in_language(language: Language, title: &str, body: &str) -> Response {
    let Html(text) = page(title, body);
    let text = text.replacen("lang=\"en\"", &format!("lang=\"{}\"", language.tag()), 1);
    let headers = [(header::VARY, "accept-language"), (header::CONTENT_LANGUAGE, language.tag())];
    (headers, Html(text)).into_response()
}

fn statuses(code: ProblemCode) -> String {
    code.statuses().iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

async fn docs() -> Html<String> {
    let rows = ADDRESSES.iter().fold(String::new(), |mut rows, (what, key, address)| {
        let _ = write!(rows, "<tr><td>{what}<td>{key}<td><code>{address}</code>");
        rows
    });
    let words = "<p>Send <code>Authorization: Bearer KEY</code>. Errors are <code>application/problem+json</code>; \
                 their kinds are at <a href=\"/problems\">/problems</a>. Each component has an OpenAPI document of its own.</p>";
    page("The API of this shelf", &format!("{words}<table><tr><th>what<th>key<th>request{rows}</table>"))
}

async fn front(State(app): State<App>) -> Html<String> {
    let snapshot = app.catalog.snapshot();
    let (total, deployed) = snapshot.components().fold((0, 0), |(total, deployed), (_, component)| {
        (total + 1, deployed + usize::from(component.deployment.is_some()))
    });
    let words = format!(
        "<p>A shelf of components that any application calls over HTTP with JSON.</p>\
         <p>{total} components are on it, {deployed} of them deployed.</p>\
         <p lang=\"zh\">本货架现有 {total} 个组件，其中 {deployed} 个已上线。</p>\
         <p><a href=\"/docs\">The API</a> · <a href=\"/problems\">Problems</a></p>"
    );
    page("Wares", &words)
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         td,th{{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}}</style><h1>{title}</h1>{body}</html>\n"
    ))
}

/// What there is, whose key it needs, and its address.
const ADDRESSES: &[(&str, &str, &str)] = &[
    ("call a component", "tenant", "POST /v1/call/{namespace}/{name}[@{version-req}]/{interface}/{function}"),
    ("call an interface", "tenant", "POST /v1/interfaces/{namespace}:{package}/{interface}[@{version-req}]/{function}"),
    ("have a call made later, as a job", "tenant", "either of them with Prefer: respond-async (Idempotency-Key)"),
    ("jobs", "tenant, admin", "GET /v1/jobs?state=&amp;tenant=&amp;limit=&amp;cursor=, /v1/jobs/{id}?wait="),
    ("where applications are told of the ends of their jobs", "admin", "GET /v1/tenants/{id}/webhooks"),
    (
        "have an application told, or not",
        "admin",
        "PUT, DELETE /v1/tenants/{id}/webhooks/{application} {\"url\":\"…\",\"addresses\":[]}",
    ),
    ("end a job, or try a dead one again", "tenant, admin", "POST /v1/jobs/{id}/cancel, /v1/jobs/{id}/replay"),
    ("a tenant's schedules", "tenant, admin", "GET /v1/tenants/{id}/schedules"),
    (
        "have a schedule run for a tenant, or not",
        "admin",
        "PUT, DELETE /v1/tenants/{id}/schedules/{namespace}/{name}/{schedule}",
    ),
    ("have an HTTP component answer", "tenant", "ANY /serve/{namespace}/{name}[@{version-req}]/{path…}"),
    ("list and search components", "any", "GET /v1/components?q=&amp;interface=&amp;namespace=&amp;limit=&amp;cursor="),
    ("show a component", "any", "GET /v1/components/{namespace}/{name}"),
    ("its versions", "any", "GET /v1/components/{namespace}/{name}/versions"),
    ("one version with types and schemas", "any", "GET /v1/components/{namespace}/{name}/versions/{version}"),
    ("its WIT", "any", "GET /v1/components/{namespace}/{name}/versions/{version}/wit"),
    ("its bytes", "any", "GET /v1/components/{namespace}/{name}/versions/{version}/wasm"),
    ("its OpenAPI document", "any", "GET /v1/components/{namespace}/{name}/openapi.json?version="),
    (
        "publish a version",
        "admin, publisher",
        "POST /v1/components?name=&amp;version=&amp;deploy=true&amp;compile=now,later&amp;pull=true&amp;kind=&amp;method=&amp;basis= (application/wasm; Wares-Signature)",
    ),
    ("submissions", "reviewer, admin, publisher", "GET /v1/submissions?namespace=&amp;state=waiting,all"),
    ("all that a reviewer sees of one", "reviewer, admin, publisher", "GET /v1/submissions/{id}"),
    (
        "decide on one",
        "reviewer, admin",
        "POST /v1/submissions/{id}/approve, /v1/submissions/{id}/reject {\"reason\":\"…\"}",
    ),
    ("namespaces", "any", "GET /v1/namespaces, /v1/namespaces/{namespace}"),
    (
        "what is asked of a namespace's versions",
        "admin",
        "PUT /v1/namespaces/{namespace} {\"review\":true,\"signature\":true,\"source\":null}",
    ),
    ("its signers", "any; new ones: admin", "GET, POST /v1/namespaces/{namespace}/signers"),
    ("a signer and what it signed", "any", "GET /v1/namespaces/{namespace}/signers/{key}"),
    (
        "revoke a signer, stop what it signed",
        "admin",
        "POST /v1/namespaces/{namespace}/signers/{key}/revoke, …/{key}/stop {\"reason\":\"…\"}",
    ),
    ("show the deployment", "any", "GET /v1/components/{namespace}/{name}/deployment"),
    (
        "deploy versions",
        "admin",
        "PUT /v1/components/{namespace}/{name}/deployment {\"traffic\":{\"1.2.0\":100},\"stickiness\":\"tenant\",\"shadow\":null} (If-Match)",
    ),
    ("roll back", "admin", "POST /v1/components/{namespace}/{name}/deployment/rollback (If-Match)"),
    ("roll a version out step by step", "admin", "POST, DELETE /v1/components/{namespace}/{name}/rollout (If-Match)"),
    ("how a rollout goes", "any", "GET /v1/components/{namespace}/{name}/rollout"),
    ("what came of shadow traffic", "admin", "GET /v1/components/{namespace}/{name}/deployment/shadow?revision="),
    ("who uses whom", "any", "GET /v1/graph?component="),
    ("who is chosen to provide interfaces", "admin", "GET /v1/providers"),
    (
        "choose who provides an interface, or take that back",
        "admin",
        "PUT, DELETE /v1/providers/{namespace}:{package}/{interface} {\"component\":\"…\",\"tenant\":\"…\",\"reason\":\"…\"}",
    ),
    ("who was chosen", "admin", "GET /v1/providers/{namespace}:{package}/{interface}/history"),
    ("what a component asks for, is granted and used", "admin", "GET /v1/components/{namespace}/{name}/grants"),
    ("grant", "admin", "PUT /v1/components/{namespace}/{name}/grants (If-Match)"),
    ("grants so far", "admin", "GET /v1/components/{namespace}/{name}/grants/history"),
    ("a component's secrets, without their values", "admin", "GET /v1/components/{namespace}/{name}/secrets?tenant="),
    (
        "set, show and remove a secret",
        "admin",
        "PUT, GET, DELETE /v1/components/{namespace}/{name}/secrets/{secret}?tenant= {\"value\":\"…\"}",
    ),
    ("bring all secrets under the first key", "admin", "POST /v1/secrets/rekey"),
    ("values set over a manifest's", "admin", "GET /v1/components/{namespace}/{name}/config"),
    (
        "set and remove a value",
        "admin",
        "PUT, DELETE /v1/components/{namespace}/{name}/config/{key}?version=&amp;tenant= {\"value\":\"…\"}",
    ),
    ("deployments so far", "any", "GET /v1/components/{namespace}/{name}/deployment/history"),
    (
        "yank a version, or take that back",
        "admin",
        "POST, DELETE /v1/components/{namespace}/{name}/versions/{version}/yank {\"reason\":\"…\"}",
    ),
    (
        "stop a version, or take that back",
        "admin",
        "POST, DELETE /v1/components/{namespace}/{name}/versions/{version}/stop {\"reason\":\"…\"}",
    ),
    (
        "deprecate a version, or take that back",
        "admin",
        "POST, DELETE /v1/components/{namespace}/{name}/versions/{version}/deprecate {\"at\":\"…\",\"sunset\":\"…\",\"reason\":\"…\"}",
    ),
    ("what was done to a version", "any", "GET /v1/components/{namespace}/{name}/versions/{version}/events"),
    ("files that nothing refers to; remove them", "admin", "GET, DELETE /v1/garbage"),
    ("tenants", "admin", "GET, POST /v1/tenants"),
    ("remove what components keep for a tenant: files, key-value pairs", "admin", "DELETE /v1/tenants/{id}/data"),
    ("a tenant's keys", "admin", "GET, POST /v1/tenants/{id}/keys {\"application\":, \"label\":, \"expires-at\":}"),
    ("who reports for another shelf", "admin", "PUT /v1/tenants/{id}/reporter {\"key\":\"…\"}"),
    ("report what copies were used for", "tenant", "POST /v1/usage-reports {\"rows\":[…]} (Wares-Signature)"),
    ("what was reported", "admin", "GET /v1/usage-reports?component=&amp;tenant=&amp;from=&amp;to="),
    ("all keys; new ones of admins, reviewers, publishers", "admin", "GET, POST /v1/keys"),
    ("revoke a key", "admin", "DELETE /v1/keys/{id}"),
    (
        "usage, narrowed like calls",
        "any",
        "GET /v1/usage?from=&amp;to=&amp;time_zone=&amp;group_by=tenant,application,component,version,function,outcome,month,day,hour",
    ),
    (
        "what calls wrote",
        "admin",
        "GET /v1/logs?component=&amp;tenant=&amp;call=&amp;limit=&amp;cursor=&amp;follow=true",
    ),
    (
        "calls; while there is a next page there may be more",
        "any",
        "GET /v1/calls?from=&amp;to=&amp;component=&amp;version=&amp;function=&amp;tenant=&amp;application=&amp;outcome=&amp;limit=&amp;cursor=",
    ),
    ("any list as CSV", "", "GET …?format=csv, or Accept: text/csv"),
    ("any change, without making it", "", "…?dry-run=true"),
    ("one call", "any", "GET /v1/calls/{id}"),
    ("a backup of the whole shelf", "admin", "GET /v1/backup"),
    ("health and metrics", "none; metrics: admin", "GET /healthz /readyz /metrics"),
];
