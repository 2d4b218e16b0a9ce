//! Traces: spans of calls arrive at a real collector, with the guest's log and the caller's trace; a collector that is not
//! there costs no call anything.

use crate::outbound::shelf::Shelf;
use crate::outbound::upstream::Upstream;
use crate::program::{self, Unheard};
use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_it::wait;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that prints the spans which it is sent.
struct Collector {
    endpoint: String,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// A span as the collector prints it: its ids, its name, its attributes, and its events one after the other.
#[derive(Debug, Default)]
struct Seen {
    fields: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
    events: Vec<String>,
}

impl Collector {
    async fn start() -> Result<Self> {
        let mut command = Command::new("rotel-agent");
        command.args(["start", "--exporter", "blackhole", "--disable-batching"]);
        command.args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"]);
        // Two addresses tell its two ports apart.
        command.args(["--otlp-http-endpoint", "127.0.0.1:0", "--otlp-grpc-endpoint", "127.0.0.2:0"]);
        command.stdout(Stdio::piped());
        let (mut process, http) = program::start(command, Ipv4Addr::LOCALHOST).await?;
        let lines = BufReader::new(process.stdout.take().context("stdout")?).lines();
        Ok(Self { endpoint: format!("http://{http}/v1/traces"), lines, _process: process })
    }

    /// The next span whose attributes are as wanted.
    async fn span(&mut self, is_wanted: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut read = async || {
            let mut in_events = false;
            loop {
                let line = self.lines.next_line().await?.context("the collector ended")?;
                let text = line.trim();
                // What ends a span is the beginning of whatever comes next: the last event of the host's own is told of at once.
                if text.starts_with("Span #") || text.starts_with("ResourceSpans #") {
                    seen = Seen::default();
                    in_events = false;
                } else if text == "Events:" {
                    in_events = true;
                } else if let Some((name, value)) = text.strip_prefix("-> ").and_then(|text| text.split_once(": ")) {
                    match in_events {
                        true => seen.events.push(format!("{name} = {value}")),
                        false => drop(seen.attributes.insert(name.to_owned(), value.to_owned())),
                    }
                } else if let Some((name, value)) = text.split_once(": ") {
                    seen.fields.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                if is_wanted(&seen) {
                    return anyhow::Ok(());
                }
            }
        };
        let found = wait::patiently("no such span comes", read()).await;
        found.with_context(|| format!("the last one was {seen:?}"))??;
        Ok(seen)
    }
}

async fn confidant(data: &Path, settings: &[(&str, &str)]) -> Result<(Host, String)> {
    let host = Host::start_in(data, None, &[], settings).await?;
    let grants = json!({"grants": {"secrets": ["token", "spare"]}});
    host.put("/v1/components/test/confides/grants", grants).await?;
    host.publish(guests::built("test-confides")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    Ok((host, key))
}

async fn say(host: &Host, key: &str, line: &str, traceparent: Option<&str>) -> Result<String> {
    let request = host.request(reqwest::Method::POST, "/v1/call/test/confides/confidant/say", key);
    let request = traceparent.into_iter().fold(request, |request, value| request.header("traceparent", value));
    let response = request.json(&json!({"line": line})).send().await?.error_for_status()?;
    Ok(response.headers()["wares-call-id"].to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_continues_its_callers_trace_and_tells_what_the_guest_wrote() -> Result<()> {
    let mut collector = Collector::start().await?;
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path(), &[("WARES_TRACES_ENDPOINT", &collector.endpoint)]).await?;
    let call = say(&host, &key, "hello", Some(&format!("00-{TRACE}-{PARENT}-01"))).await?;
    let told = |seen: &Seen| seen.events.iter().any(|event| event == "stream = Str(stderr)");
    let seen = collector.span(told).await?;
    assert_eq!((seen.fields["Trace ID"].as_str(), seen.fields["Parent ID"].as_str()), (TRACE, PARENT), "{seen:?}");
    assert_eq!(seen.fields["Name"], "test:confides/say");
    assert_eq!(seen.fields["Kind"], "SPAN_KIND_SERVER");
    for (name, value) in [
        ("wares.call", call.as_str()),
        ("wares.tenant", "north"),
        ("wares.component", "test:confides"),
        ("wares.version", "1.0.0"),
        ("wares.outcome", "ok"),
    ] {
        assert_eq!(seen.attributes[name], format!("Str({value})"), "{name} of {seen:?}");
    }
    for name in ["wares.run_us", "wares.queue_us", "wares.ledger_us", "wares.cpu_us"] {
        assert!(seen.attributes[name].starts_with("Int("), "{name} of {seen:?}");
    }
    let events = seen.events.join(" | ");
    for words in
        ["message = Str(logged hello)", "level = Str(warn)", "message = Str(out hello)", "message = Str(err hello)"]
    {
        assert!(events.contains(words), "{words} is not in {events}");
    }

    // Without a caller's trace one begins here; one that the caller does not want kept is not.
    say(&host, &key, "quiet", Some(&format!("00-{TRACE}-{PARENT}-00"))).await?;
    let call = say(&host, &key, "own", None).await?;
    let seen = collector.span(told).await?;
    assert_eq!(seen.attributes["wares.call"], format!("Str({call})"));
    assert_ne!(seen.fields["Trace ID"], TRACE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_job_continues_the_trace_of_the_request_that_asked_for_it() -> Result<()> {
    let mut collector = Collector::start().await?;
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path(), &[("WARES_TRACES_ENDPOINT", &collector.endpoint)]).await?;
    let request = host.request(reqwest::Method::POST, "/v1/call/test/confides/confidant/say", &key);
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).header("prefer", "respond-async");
    let job = success(request.json(&json!({"line": "later"})).send().await?).await?;
    let at = format!("/v1/jobs/{}", job["id"].as_str().context("id")?);
    let job = host.until(&at, |job| job["state"] == "succeeded").await?;
    // The first span of a call at all: queueing has none.
    let seen = collector.span(|seen| seen.attributes.contains_key("wares.call")).await?;
    let call = job["calls"][0]["call"].as_str().context("call")?;
    assert_eq!(seen.attributes["wares.call"], format!("Str({call})"), "{seen:?}");
    assert_eq!((seen.fields["Trace ID"].as_str(), seen.fields["Parent ID"].as_str()), (TRACE, PARENT), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_so_much_of_a_log_and_says_that_there_is_more() -> Result<()> {
    let mut collector = Collector::start().await?;
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path(), &[("WARES_TRACES_ENDPOINT", &collector.endpoint)]).await?;
    say(&host, &key, &"x".repeat(10_000), None).await?;
    let seen = collector.span(|seen| seen.events.iter().any(|event| event.starts_with("message = "))).await?;
    assert_eq!(seen.attributes["wares.log_cut"], "Bool(true)", "{:?}", seen.attributes);
    let told: usize = seen.events.iter().map(String::len).sum();
    assert!(told < 9_000, "{told} bytes of events");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_component_sends_is_a_span_below_its_call() -> Result<()> {
    let mut collector = Collector::start().await?;
    let shelf = Shelf::with(&[("WARES_TRACES_ENDPOINT", &collector.endpoint)]).await?;
    let upstream = Upstream::start("127.0.0.1:0").await?;
    let address = format!("good.wares.test:{}", upstream.port());
    let path = format!("/serve/test/outbound/plain?http://{address}/seen");
    let request = shelf.host.request(reqwest::Method::GET, &path, &shelf.key);
    let response = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    let sent = collector.span(|seen| {
        // What is recorded last of a request.
        seen.attributes.contains_key("server.address") && seen.attributes.contains_key("wares.outcome")
    });
    let sent = sent.await?;
    assert_eq!(sent.attributes["server.address"], "Str(good.wares.test)", "{sent:?}");
    assert_eq!(sent.attributes["server.port"], format!("Int({})", upstream.port()), "{sent:?}");
    assert_eq!(
        (sent.fields["Trace ID"].as_str(), sent.fields["Kind"].as_str()),
        (TRACE, "SPAN_KIND_CLIENT"),
        "{sent:?}"
    );
    assert_eq!(sent.attributes["http.response.status_code"], "Int(200)", "{sent:?}");
    let header = format!("\r\ntraceparent: 00-{TRACE}-{}-01\r\n", sent.fields["ID"]);
    assert!(text.contains(&header), "{text} lacks {header}");
    let call = collector.span(|seen| seen.attributes.contains_key("wares.ledger_us")).await?;
    assert_eq!(sent.fields["Parent ID"], call.fields["ID"], "{call:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_say_so_and_secrets_are_in_no_span() -> Result<()> {
    let mut collector = Collector::start().await?;
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path(), &[("WARES_TRACES_ENDPOINT", &collector.endpoint)]).await?;
    host.put("/v1/components/test/confides/secrets/token", json!({"value": "hush-9"})).await?;
    let secret = host.call("test/confides/confidant/secret", &key, &json!({"name": "token"})).await?;
    assert_eq!(success(secret).await?, json!("hush-9"));
    let seen = collector.span(|seen| seen.attributes.contains_key("wares.ledger_us")).await?;
    assert!(!format!("{seen:?}").contains("hush"), "{seen:?}");

    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let refused = host.call("test/hostile/trap", &key, &json!({})).await?;
    assert_eq!(refused.status(), 500, "{}", refused.text().await?);
    let seen = collector.span(|seen| seen.attributes.contains_key("wares.ledger_us")).await?;
    assert_eq!(seen.attributes["wares.outcome"], "Str(trap)", "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_spans_and_no_calls() -> Result<()> {
    let gone = Unheard::new()?;
    let data = tempfile::tempdir()?;
    let endpoint = format!("http://{}/v1/traces", gone.addr);
    let (mut host, key) = confidant(data.path(), &[("WARES_TRACES_ENDPOINT", &endpoint)]).await?;
    for _ in 0..50 {
        say(&host, &key, "anyone?", None).await?;
    }
    host.until_metric("wares_trace_spans_dropped_total", |dropped| dropped == 50.0).await?;
    host.signal(Signal::TERM)?;
    assert!(host.wait().await?.success());
    Ok(())
}
