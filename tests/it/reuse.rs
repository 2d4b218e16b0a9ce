//! Instances that serve further calls of their tenant: asked for by a manifest, allowed by the operator, never shared.

use crate::outbound::upstream::Upstream;
use anyhow::Result;
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, success};

async fn upper(host: &Host, key: &str, text: &str) -> Result<()> {
    let answer = success(host.call("bench/kept/text/upper", key, &json!({"text": text})).await?).await?;
    assert_eq!(answer, json!(text.to_uppercase()));
    Ok(())
}

/// Waits until the host says that it keeps so many instances.
async fn until_kept(host: &Host, count: u32) -> Result<()> {
    host.until_metric("wares_instances_kept", |kept| kept == f64::from(count)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_has_an_instance_of_its_own_until_it_is_too_old() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &[("WARES_REUSE_AGE_SECONDS_MAX", "6")]).await?;
    host.publish(guests::built("bench-kept")?, "deploy=true").await?.error_for_status()?;
    let tenants = [host.tenant("north").await?, host.tenant("south").await?];
    for _ in 0..5 {
        for key in &tenants {
            upper(&host, key, "one district builds").await?;
        }
    }
    until_kept(&host, 2).await?;
    until_kept(&host, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_forbid_it() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &[("WARES_REUSE_INSTANCES_MAX", "0")]).await?;
    host.publish(guests::built("bench-kept")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    upper(&host, &key, "every district reuses").await?;
    until_kept(&host, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_held_beyond_its_call_takes_its_instance_with_it() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, upstream) = (Host::start(data.path()).await?, Upstream::start("127.0.0.1:0").await?);
    let grant = json!({"allow": "http://127.0.0.1:*", "addresses": ["127.0.0.1/32"]});
    host.put("/v1/components/test/holds/grants", json!({"grants": {"http": [grant]}})).await?;
    host.publish(guests::built("test-holds")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    let get = async |path: &str, hold: bool| {
        let ask = json!({"authority": upstream.addr.to_string(), "path": path, "hold": hold});
        success(host.call("test/holds/holder/get", &key, &ask).await?).await
    };
    assert_eq!(get("/pause", false).await?, json!(200));
    until_kept(&host, 1).await?;
    assert_eq!(get("/pause", true).await?, json!(200));
    upstream.until(|seen| seen.opened == 2 && seen.closed == 2).await?;
    until_kept(&host, 0).await
}
