//! The engine and the JSON mapping of Wares in its own server, and nothing of the rest: no keys, no admission, no ledger, no
//! metrics, no tracing. Only to see what these cost.

use crate::contender::guest;
use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use std::sync::Arc;
use std::time::Duration;
use wares_engine::{
    CallContext, Component, Concurrency, Engine, EngineConfig, Invocation, KeepBounds, Lane, Meter, Services,
    WorkerCommand,
};
use wares_http::server::{Connections, Listener, PeerBounds, serve};
use wares_model::{Digest, Limits, limits};
use wares_store::DataDir;
use wares_typed::{Answer, Description};

const FUNCTION: &str = "upper";

#[derive(Clone)]
struct Loaded {
    component: Arc<Component>,
    description: Arc<Description>,
}

/// Runs the server until the process ends, and prints the line that `wares serve` prints.
pub async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data_dir = DataDir::open(dir.path())?;
    let engine = Engine::new(
        EngineConfig {
            native_dir: data_dir.native(),
            key_file: data_dir.native_key(),
            worker: WorkerCommand { program: wares_it::host::binary()?, args: vec!["compile-worker".into()] },
            calls_max: u32::try_from(limits::HOST_CONCURRENCY_MAX)?,
            memory_bytes_max: Limits::CEILING.memory_bytes_max,
            keep: KeepBounds::NONE,
        },
        Services::default(),
    )?;
    let wasm = Bytes::from(std::fs::read(guest("bench-text")?)?);
    let (lane, digest) = (Lane::Operator(None), Digest::of(&wasm));
    let description = Arc::new(engine.reader().describe(&lane, &wasm).await?);
    engine.compile(&lane, &digest, &wasm, Concurrency::of(&description)).await?;
    let component =
        engine.load(lane, &digest, async || Ok::<_, String>(wasm), Arc::clone(&description), Arc::default()).await?;
    let router = Router::new().route("/upper", post(upper)).with_state(Loaded { component, description });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening: http://{}", listener.local_addr()?);
    let minute = Duration::from_secs(60);
    let connections = Connections {
        peers: PeerBounds { open_max: 4_096, peer_max: 4_096, operators_min: 0 },
        head_timeout: minute,
        body_timeout: minute,
        body_bytes_per_second_min: 0,
        drain_timeout: minute,
    };
    let listener = Listener { socket: listener, is_shared: false, tls: None };
    serve(listener, router, connections, std::future::pending()).await;
    Ok(())
}

async fn upper(State(loaded): State<Loaded>, body: Bytes) -> Response {
    match call(&loaded, &body).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

async fn call(Loaded { component, description }: &Loaded, body: &[u8]) -> Result<Vec<u8>> {
    let interface = description.interfaces.first().context("the component exports nothing")?;
    let function = interface.functions.iter().find(|function| function.name == FUNCTION).context(FUNCTION)?;
    let arguments = wares_typed::read_arguments(description, function, body)?;
    let invocation = Invocation {
        interface: interface.name.as_deref(),
        function: FUNCTION,
        arguments: arguments.into(),
        limits: &Limits::DEFAULT,
        meter: Arc::new(Meter::default()),
        context: Arc::new(CallContext::unshelved()),
        owner: None,
    };
    let value = component.call(invocation).await.result.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
    match wares_typed::write_result(description, function, value.as_ref(), usize::MAX)? {
        Answer::Ok(json) => Ok(json),
        Answer::ComponentError(json) => anyhow::bail!("{}", String::from_utf8_lossy(&json)),
    }
}
