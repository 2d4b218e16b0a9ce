//! Instances that serve further calls of their tenant: asked for by a manifest, allowed by the operator, never shared.

use anyhow::Result;
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, success};

async fn upper(host: &Host, key: &str, text: &str) -> Result<()> {
    let answer = success(host.call("bench/kept/text/upper", key, &json!({"text": text})).await?).await?;
    assert_eq!(answer, json!(text.to_uppercase()));
    Ok(())
}

async fn kept(host: &Host) -> Result<String> {
    let request = host.request(reqwest::Method::GET, "/metrics", &host.admin_key);
    let metrics = request.send().await?.error_for_status()?.text().await?;
    let line = metrics.lines().find(|line| line.starts_with("wares_instances_kept "));
    Ok(line.unwrap_or_default().rsplit(' ').next().unwrap_or_default().to_owned())
}

/// Waits until the host says that it keeps so many instances.
async fn until_kept(host: &Host, count: &str) -> Result<()> {
    let seen = async {
        while kept(host).await? != count {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), seen).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_has_an_instance_of_its_own_until_it_is_too_old() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &[("WARES_REUSE_AGE_SECONDS_MAX", "3")]).await?;
    host.publish(guests::built("bench-kept")?, "deploy=true").await?.error_for_status()?;
    let tenants = [host.tenant("north").await?, host.tenant("south").await?];
    for _ in 0..5 {
        for key in &tenants {
            upper(&host, key, "one district builds").await?;
        }
    }
    until_kept(&host, "2").await?;
    until_kept(&host, "0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_forbid_it() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &[("WARES_REUSE_INSTANCES_MAX", "0")]).await?;
    host.publish(guests::built("bench-kept")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    upper(&host, &key, "every district reuses").await?;
    until_kept(&host, "0").await
}
