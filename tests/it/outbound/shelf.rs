//! A host whose component `test:outbound` sends requests to servers of the tests.

use super::dns::Dns;
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use wares_it::guests;
use wares_it::host::{Host, success};

/// Where the component's grants are.
pub(crate) const GRANTS: &str = "/v1/components/test/outbound/grants";

pub(crate) struct Shelf {
    pub(crate) host: Host,
    pub(crate) key: String,
    _dns: Dns,
    _data: TempDir,
}

/// What came of some requests, and what their call's log says.
pub(crate) struct Told {
    pub(crate) each: Vec<Value>,
    pub(crate) log: String,
}

/// Requests to names of the tests, which are on this machine; 127.0.0.1 may be named, but its address is not granted.
pub(crate) fn usual_grants() -> Value {
    json!({"http": [
        {"allow": "http://*.wares.test:*", "addresses": ["127.0.0.1/32"]},
        {"allow": "https://*.wares.test:*", "addresses": ["127.0.0.1/32"]},
        {"allow": "http://127.0.0.1:*"},
    ]})
}

impl Shelf {
    /// One with the usual grants.
    pub(crate) async fn new() -> Result<Self> {
        Self::with(&[]).await
    }

    /// The same, with further settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Result<Self> {
        let shelf = Self::ungranted(settings).await?;
        shelf.grant(usual_grants()).await?;
        shelf.host.publish(guests::built("test-outbound")?, "deploy=true").await?.error_for_status()?;
        Ok(shelf)
    }

    /// One on which nothing is granted, and nothing is published.
    pub(crate) async fn ungranted(settings: &[(&str, &str)]) -> Result<Self> {
        let (dns, data) = (Dns::start().await?, tempfile::tempdir()?);
        let server = dns.addr.to_string();
        let mut all = vec![("WARES_OUTBOUND_DNS", server.as_str())];
        all.extend(settings);
        let host = Host::start_in(data.path(), None, &[], &all).await?;
        let key = host.tenant("district").await?;
        Ok(Self { host, key, _dns: dns, _data: data })
    }

    pub(crate) async fn grant(&self, grants: Value) -> Result<Value> {
        self.host.put(GRANTS, json!({"grants": grants})).await
    }

    pub(crate) fn request(&self, asks: &Value) -> reqwest::RequestBuilder {
        self.host.request(Method::POST, "/serve/test/outbound/", &self.key).json(asks)
    }

    /// Has the component send these requests.
    pub(crate) async fn ask(&self, asks: Value) -> Result<Told> {
        let response = self.request(&asks).send().await?;
        let call = call_id(&response)?;
        let each: Vec<Value> = serde_json::from_value(success(response).await?)?;
        let entry = self.entry(&call).await?;
        ensure!(entry["outcome"] == "ok", "{entry:#}");
        Ok(Told { each, log: entry["logs"].as_str().unwrap_or_default().to_owned() })
    }

    /// Has the component send one request, and returns what came of it.
    pub(crate) async fn ask_one(&self, ask: Value) -> Result<(Value, String)> {
        let mut told = self.ask(json!([ask])).await?;
        Ok((told.each.pop().context("an answer")?, told.log))
    }

    /// The entry of a call, as soon as there is one.
    pub(crate) async fn entry(&self, call: &str) -> Result<Value> {
        self.host.entry(call).await
    }

    /// The value of a metric of outbound requests.
    pub(crate) async fn count(&self, outcome: &str) -> Result<u64> {
        let name = format!("wares_outbound_requests_total{{outcome=\"{outcome}\"}}");
        Ok(self.host.metric(&name).await?.unwrap_or_default() as u64)
    }
}

pub(crate) fn call_id(response: &reqwest::Response) -> Result<String> {
    Ok(response.headers().get("wares-call-id").context("wares-call-id")?.to_str()?.to_owned())
}

/// The error of one answer.
pub(crate) fn error(told: &Value) -> &str {
    told["error"].as_str().unwrap_or_default()
}
