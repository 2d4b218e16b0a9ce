//! Jobs of one tenant beside what others do, and their end with the tenant's data.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_jobs_is_no_overload_to_callers() -> Result<()> {
    const JOBS: usize = 40;
    const CALLS: usize = 5;
    let data = tempfile::tempdir()?;
    let variables = [
        ("WARES_CALLS_TENANT_CONCURRENCY_MAX", "1"),
        ("WARES_CALLS_QUEUE_MS_MAX", "30000"),
        ("WARES_JOBS_TENANT_CONCURRENCY_MAX", "3"),
    ];
    let (host, key) = shelf(data.path(), "", &variables).await?;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([100])).await?);
    }
    // By then every attempt has waited long for the tenant's only slot.
    until_state(&host, &jobs[4], "succeeded").await?;
    for _ in 0..CALLS {
        let response = host.call("test/hostile/add", &key, &json!([1, 2])).await?;
        assert_eq!(success(response).await?, 3);
    }
    assert_ne!(host.get(&jobs[JOBS - 1]).await?["state"], "succeeded", "the backlog lasted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_shared_among_versions_as_exactly_as_calls() -> Result<()> {
    const JOBS: usize = 100;
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("north").await?;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        let named = format!("name=test:swap&version={version}");
        host.publish(guests::number(number)?, &named).await?.error_for_status()?;
    }
    let shares = json!({"traffic": {"1.0.0": 50, "1.1.0": 50}, "stickiness": "call"});
    host.put("/v1/components/test/swap/deployment", shares).await?;
    let nothing = json!({});
    let jobs = (0..JOBS).map(|_| later(&host, &key, "/v1/call/test/swap/numbers/number", &nothing));
    let mut ones = 0;
    for job in join_all(jobs).await {
        ones += usize::from(until_state(&host, &job?, "succeeded").await?["result"] == 1);
    }
    assert_eq!(ones, JOBS / 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_called_for_a_tenant_ends_when_its_data_is_removed() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_TENANT_CONCURRENCY_MAX", "1")];
    let (host, key) = shelf(data.path(), "", &variables).await?;
    let other = host.tenant("south").await?;
    let yearly =
        "[[schedules]]\nname = 'yearly'\ncron = '0 0 1 1 *'\ninterface = 'numbers'\nfunction = 'number'".to_owned();
    let scheduled = with_manifest(guests::number(7)?, "test:swap", "1.0.0", &yearly);
    host.publish(scheduled, "deploy=true").await?.error_for_status()?;
    for tenant in ["north", "south"] {
        host.put(&format!("/v1/tenants/{tenant}/schedules/test/swap/yearly"), json!({})).await?;
    }
    let (add, sleep) = (format!("{HOSTILE}/add"), format!("{HOSTILE}/sleep"));
    let ended = later(&host, &key, &add, &json!([1, 2])).await?;
    until_state(&host, &ended, "succeeded").await?;
    let runs = later(&host, &key, &sleep, &json!([9_000])).await?;
    let waits = later(&host, &key, &sleep, &json!([9_000])).await?;
    let others = later(&host, &other, &add, &json!([1, 2])).await?;
    let running = host.until(&runs, |job| job["calls"][0]["call"].is_string()).await?;
    host.until_running(1).await?;

    success(host.request(Method::DELETE, "/v1/tenants/north/data", &host.admin_key).send().await?).await?;
    assert_eq!(host.get("/v1/jobs?tenant=north").await?["items"], json!([]));
    for gone in [&ended, &runs, &waits] {
        assert_eq!(host.request(Method::GET, gone, &key).send().await?.status(), 404, "{gone}");
    }
    let call = running["calls"][0]["call"].as_str().context("call")?;
    assert_eq!(host.entry(call).await?["outcome"], "cancelled", "the ledger stays");
    for (tenant, enabled) in [("north", false), ("south", true)] {
        let schedules = host.get(&format!("/v1/tenants/{tenant}/schedules")).await?;
        assert_eq!(schedules["items"][0]["enabled"], enabled, "{tenant}");
    }
    until_state(&host, &others, "succeeded").await?;
    Ok(())
}
