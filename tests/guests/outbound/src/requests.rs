//! Requests as they are told, sent over `wasi:http/outgoing-handler`.

use serde::{Deserialize, Serialize};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

/// Bytes that one write takes.
const WRITE_BYTES: usize = 4096;
/// Bytes of a response's body that are told.
const TOLD_BYTES: usize = 8192;

/// A request.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
    trailers: Vec<(String, String)>,
    /// Bytes of its body.
    body: usize,
    /// Whether the body is sent only when the response has begun.
    late: bool,
    connect_ms: Option<u64>,
    first_byte_ms: Option<u64>,
    between_bytes_ms: Option<u64>,
    /// Redirects that are followed.
    redirects: usize,
    /// Whether the response's body is left unread.
    unread: bool,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            scheme: "http".into(),
            authority: String::new(),
            path: "/".into(),
            headers: Vec::new(),
            trailers: Vec::new(),
            body: 0,
            late: false,
            connect_ms: None,
            first_byte_ms: None,
            between_bytes_ms: None,
            redirects: 0,
            unread: false,
        }
    }
}

/// What came of a request.
#[derive(Default, Serialize)]
pub struct Told {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    trailers: Vec<(String, String)>,
    /// The first bytes of the body.
    body: String,
    /// All bytes of the body.
    bytes: usize,
    error: Option<String>,
}

/// Sends the request, then what its answers redirect to.
pub fn follow(ask: &Ask) -> Vec<Told> {
    let mut all = Vec::new();
    let mut ask = ask.clone();
    loop {
        let mut told = Told::default();
        told.error = send(&ask, &mut told).err();
        let place = told.headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value.clone());
        all.push(told);
        let Some((scheme, rest)) = place.as_deref().and_then(|place| place.split_once("://")) else { return all };
        if ask.redirects == 0 {
            return all;
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        ask = Ask {
            scheme: scheme.into(),
            authority: authority.into(),
            path: format!("/{path}"),
            redirects: ask.redirects - 1,
            ..ask
        };
    }
}

fn send(ask: &Ask, told: &mut Told) -> Result<(), String> {
    let request = OutgoingRequest::new(fields(&ask.headers)?);
    request.set_method(&method(&ask.method)).map_err(|()| "refused method")?;
    let scheme = match ask.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "refused scheme")?;
    request.set_authority(Some(&ask.authority)).map_err(|()| "refused authority")?;
    request.set_path_with_query(Some(&ask.path)).map_err(|()| "refused path")?;
    let has_body = ask.body > 0 || !ask.trailers.is_empty();
    let body = if has_body { Some(request.body().map_err(|()| "no body")?) } else { None };
    let answer = handle(request, Some(options(ask))).map_err(code)?;
    let early = ask.late.then(|| await_answer(&answer));
    // What stops the upload is told by the answer.
    let sent = body.map_or(Ok(()), |body| write(body, ask));
    match early.unwrap_or_else(|| await_answer(&answer)) {
        Ok(response) => read(response, ask, told),
        Err(error) => Err(error),
    }
    .and(sent)
}

fn method(text: &str) -> Method {
    match text {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.into()),
    }
}

fn options(ask: &Ask) -> RequestOptions {
    let options = RequestOptions::new();
    let ns = |ms: Option<u64>| ms.map(|ms| ms * 1_000_000);
    let _ = options.set_connect_timeout(ns(ask.connect_ms));
    let _ = options.set_first_byte_timeout(ns(ask.first_byte_ms));
    let _ = options.set_between_bytes_timeout(ns(ask.between_bytes_ms));
    options
}

fn fields(list: &[(String, String)]) -> Result<Fields, String> {
    let fields = Fields::new();
    for (name, value) in list {
        fields.append(name, value.as_bytes()).map_err(|error| format!("header {name:?}: {error:?}"))?;
    }
    Ok(fields)
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    fields.entries().into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn write(body: OutgoingBody, ask: &Ask) -> Result<(), String> {
    let stream = body.write().map_err(|()| "no stream")?;
    let mut left = ask.body;
    while left > 0 {
        let piece = left.min(WRITE_BYTES);
        if stream.blocking_write_and_flush(&vec![b'x'; piece]).is_err() {
            return Err("the upload was cut off".into());
        }
        left -= piece;
    }
    drop(stream);
    let trailers = if ask.trailers.is_empty() { None } else { Some(fields(&ask.trailers)?) };
    OutgoingBody::finish(body, trailers).map_err(code)
}

fn await_answer(answer: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    answer.subscribe().block();
    answer.get().ok_or("no answer")?.map_err(|()| "answer taken")?.map_err(code)
}

fn read(response: IncomingResponse, ask: &Ask, told: &mut Told) -> Result<(), String> {
    told.status = Some(response.status());
    told.headers = listed(&response.headers());
    if ask.unread {
        return Ok(());
    }
    let body = response.consume().map_err(|()| "body taken")?;
    let stream = body.stream().map_err(|()| "stream taken")?;
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(bytes) => {
                told.bytes += bytes.len();
                let room = TOLD_BYTES.saturating_sub(told.body.len());
                told.body.push_str(&String::from_utf8_lossy(&bytes[..bytes.len().min(room)]));
            }
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let known = wasip2::http::types::http_error_code(&error);
                return Err(known.map_or_else(|| error.to_debug_string(), code));
            }
        }
    }
    drop(stream);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    if let Some(Ok(Ok(Some(fields)))) = trailers.get() {
        told.trailers = listed(&fields);
    }
    Ok(())
}

fn code(code: ErrorCode) -> String {
    format!("{code:?}")
}
