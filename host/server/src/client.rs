//! The HTTP client of the command line: the public API and nothing else.

mod changing;
mod credentials;
mod download;
mod follow;

pub use changing::Changing;
pub use credentials::{Access, ClientFile, Role};
pub use download::DownloadError;

use crate::language::spoken;
use crate::problem::Problem;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HeaderMap, IF_MATCH};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use wares_model::Signature;

/// For a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole request; the longest is a publication, which compiles.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);
/// Bytes of an answer: the largest component fits.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of what refuses or breaks off.
const REFUSAL_BYTES_MAX: usize = 1 << 20;
/// Bytes of all pages of one list.
const LIST_BYTES_MAX: usize = 256 << 20;
/// The header of a publication that carries its signature.
const SIGNATURE: &str = "wares-signature";
/// The header that asks for a job instead of an answer, and the one with the caller's own name for a call or a job.
const PREFER: &str = "prefer";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Items that a host puts on one page.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Pages of one list.
const PAGES_MAX: usize = 10_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host refused or failed.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// No answer came.
    #[error(
        "no answer from {url}: {reason}\n  is the host running there? Start one with `wares serve` or `wares demo`, or name another with --host"
    )]
    Unreachable {
        /// The host.
        url: String,
        /// Why not.
        reason: String,
    },
    /// There is no key to send.
    #[error("{why}\n  give one with --key, or set WARES_KEY")]
    NoKey {
        /// Where one was looked for.
        why: String,
    },
    /// The host's URL is none.
    #[error("{url:?} is not the URL of a host: {reason}; write it as http://127.0.0.1:8787")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what a Wares host sends.
    #[error("{url} answered {status} with something a Wares host does not send: {what}")]
    NotWares {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// What it was.
        what: String,
    },
}

/// A host and the key to talk to it with.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
    /// Whether what is asked to be changed is to stay as it is.
    is_rehearsing: bool,
}

/// What a request carries.
pub enum Body {
    /// Nothing.
    None,
    /// JSON.
    Json(Value),
    /// JSON that is sent as it is.
    RawJson(Vec<u8>),
    /// Arguments of a call that is made once under the caller's own name for it.
    Once(Vec<u8>, String),
    /// Arguments of a call that is to be made later, and the caller's own name for the job.
    Job(Vec<u8>, Option<String>),
    /// JSON that is sent as it is, and its signature.
    SignedJson(Vec<u8>, Signature),
    /// A component, and its signature if it is signed.
    Wasm(Vec<u8>, Option<Signature>),
}

/// An answer that is a success.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    url: String,
}

impl Client {
    /// A client for the host at `base`.
    pub fn new(base: &str, key: &str) -> Result<Self, ClientError> {
        let bad = |reason: String| ClientError::BadUrl { url: base.to_owned(), reason };
        let url = reqwest::Url::parse(base).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("it does not start with http:// or https://".to_owned()));
        }
        let http = http(url.scheme()).map_err(|error| bad(format!("{error:#}")))?;
        Ok(Self {
            http,
            base: url.as_str().trim_end_matches('/').to_owned(),
            key: key.to_owned(),
            is_rehearsing: false,
        })
    }

    /// The same client, whose requests change nothing.
    pub fn rehearsing(self) -> Self {
        Self { is_rehearsing: true, ..self }
    }

    /// The host's URL, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request to `path`, which starts with a slash.
    pub async fn send(&self, method: Method, path: &str, body: Body) -> Result<Answer, ClientError> {
        self.send_if(method, path, body, None).await
    }

    /// The same, if what it changes is at this revision.
    pub async fn send_if(
        &self,
        method: Method,
        path: &str,
        body: Body,
        revision: Option<u64>,
    ) -> Result<Answer, ClientError> {
        let dry_run = match self.is_rehearsing && !method.is_safe() {
            true if path.contains('?') => "&dry-run=true",
            true => "?dry-run=true",
            false => "",
        };
        let url = format!("{}{path}{dry_run}", self.base);
        let request = self.http.request(method, &url).header(AUTHORIZATION, format!("Bearer {}", self.key));
        let request = request.header(ACCEPT_LANGUAGE, spoken().tag());
        let request = match revision {
            Some(revision) => request.header(IF_MATCH, format!("\"{revision}\"")),
            None => request,
        };
        let request = match body {
            Body::None => request,
            Body::Json(value) => request.json(&value),
            Body::RawJson(text) => request.header(CONTENT_TYPE, "application/json").body(text),
            Body::Once(text, key) => {
                request.header(CONTENT_TYPE, "application/json").header(IDEMPOTENCY_KEY, key).body(text)
            }
            Body::Job(text, key) => {
                let request =
                    request.header(CONTENT_TYPE, "application/json").header(PREFER, "respond-async").body(text);
                key.into_iter().fold(request, |request, key| request.header(IDEMPOTENCY_KEY, key))
            }
            Body::SignedJson(text, signature) => {
                request.header(CONTENT_TYPE, "application/json").header(SIGNATURE, signature.to_string()).body(text)
            }
            Body::Wasm(wasm, signature) => {
                let request = request.header(CONTENT_TYPE, "application/wasm").body(wasm);
                signature
                    .into_iter()
                    .fold(request, |request, signature| request.header(SIGNATURE, signature.to_string()))
            }
        };
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.clone(),
            reason: innermost(&error.without_url()),
        };
        let mut response = request.header(ACCEPT, "application/json, */*").send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes_max = if status.is_success() { ANSWER_BYTES_MAX } else { REFUSAL_BYTES_MAX };
        let answer = Answer { status, headers, body: self.body(&mut response, bytes_max).await?, url };
        if status.is_success() { Ok(answer) } else { Err(answer.into_problem()) }
    }

    /// The body of an answer, of at most so many bytes.
    async fn body(&self, response: &mut Response, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.clone(),
            reason: innermost(&error.without_url()),
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > bytes_max {
                let (url, status) = (response.url().to_string(), response.status().as_u16());
                return Err(ClientError::NotWares { url, status, what: format!("more than {bytes_max} bytes") });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads `path` as JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, Body::None).await?.json()
    }

    /// Reads so many items at most of the list at `path`, and the cursor of what comes after them.
    pub async fn some(&self, path: &str, most: usize) -> Result<(Vec<Value>, Option<String>), ClientError> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let wanted = (most - items.len()).min(PAGE_ITEMS_MAX);
            let after = cursor.map(|cursor| format!("&cursor={}", encode(&cursor))).unwrap_or_default();
            let page: Page = self.get(&format!("{path}{joint}limit={wanted}{after}")).await?;
            items.extend(page.items);
            cursor = page.next;
            // A page that is not full is no end yet: the host has searched long enough for one request.
            if cursor.is_none() || items.len() >= most {
                return Ok((items, cursor));
            }
        }
    }

    /// Reads all pages of the list at `path`.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, ClientError> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let mut cursor = None::<String>;
        let joint = if path.contains('?') { '&' } else { '?' };
        for page in 1.. {
            let at = match &cursor {
                None => path.to_owned(),
                Some(cursor) => format!("{path}{joint}cursor={}", encode(cursor)),
            };
            let answer = self.send(Method::GET, &at, Body::None).await?;
            bytes += answer.body.len();
            if bytes > LIST_BYTES_MAX {
                let (url, status) = (answer.url, answer.status.as_u16());
                let what = format!("a list of more than {LIST_BYTES_MAX} bytes");
                return Err(ClientError::NotWares { url, status, what });
            }
            let Page { items: more, next } = answer.json()?;
            items.extend(more);
            cursor = next;
            if cursor.is_none() {
                break;
            }
            if page == PAGES_MAX {
                let (url, status) = (answer.url, answer.status.as_u16());
                return Err(ClientError::NotWares {
                    url,
                    status,
                    what: format!("a list of more than {PAGES_MAX} pages"),
                });
            }
        }
        Ok(items)
    }
}

#[derive(serde::Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::NotWares {
            url: self.url.clone(),
            status: self.status.as_u16(),
            what: error.to_string(),
        })
    }

    /// A header that is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn into_problem(self) -> ClientError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if !problem.r#type.is_empty() => ClientError::Problem(Box::new(problem)),
            _ => {
                let text = String::from_utf8_lossy(&self.body);
                let what = text.chars().take(200).collect();
                ClientError::NotWares { url: self.url, status: self.status.as_u16(), what }
            }
        }
    }
}

/// Percent-encodes what is to stand in a path or a query.
pub fn encode(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

/// The query of a URL, without the question mark; parameters without a value are left out.
pub fn query(parameters: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let given = parameters.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
    given.collect::<Vec<_>>().join("&")
}

/// Chooses what does the cryptography of TLS in this process.
pub fn use_ring() {
    // Fails when it is done already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Plain HTTP needs no certificates, and a machine without any can use it all the same.
pub fn http(scheme: &str) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("wares/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT);
    use_ring();
    if scheme == "https" {
        return Ok(builder.build()?);
    }
    let no_roots = rustls::RootCertStore::empty();
    let tls = rustls::ClientConfig::builder().with_root_certificates(no_roots).with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(tls).build()?)
}

/// The last cause is the one that says something.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_or_refused() {
        for url in ["http://127.0.0.1:8787", "http://127.0.0.1:8787/", "http://wares.example/prefix"] {
            assert!(!Client::new(url, "key").unwrap().base().ends_with('/'));
        }
        for url in ["", "127.0.0.1:8787", "localhost", "ftp://x", "file:///etc/passwd"] {
            assert!(matches!(Client::new(url, "key"), Err(ClientError::BadUrl { .. })), "{url}");
        }
    }

    #[test]
    fn path_segments_and_queries_are_encoded() {
        assert_eq!(encode("ns:pkg/calc@1.0.0"), "ns%3Apkg%2Fcalc%401.0.0");
        assert_eq!(query([("a", Some("1&2".into())), ("b", None), ("c", Some(String::new()))]), "a=1%262&c=");
    }
}
