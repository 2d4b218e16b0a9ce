//! Shares of traffic: exact, sticky, moved no further than asked for, taken back to any revision, and never lost.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

const CALLERS: usize = 64;
const CHANGES: usize = 1_000;
/// Calls that a deployment must have served alone before the next one.
const CALLS_EACH: usize = 48;

const VERSIONS: [&str; 3] = ["1.0.0", "1.1.0", "1.2.0"];
/// Shares of the versions, and what they are sticky by; the deployments take turns.
const SHARES: [([u32; 3], &str); 4] =
    [([50, 30, 20], "call"), ([10, 60, 30], "tenant"), ([34, 33, 33], "call"), ([5, 5, 90], "tenant")];

const DEPLOYMENT: &str = "/v1/components/test/swap/deployment";

/// A call that one deployment alone can have served.
struct Served {
    caller: usize,
    deployment: usize,
    version: usize,
}

/// What callers and the operator know of each other.
#[derive(Default)]
struct Progress {
    asked: AtomicUsize,
    confirmed: AtomicUsize,
    /// Calls that the confirmed deployment served alone.
    alone: AtomicUsize,
    served: Notify,
    stop: AtomicBool,
}

async fn swap(dir: &tempfile::TempDir) -> Result<Host> {
    let host = Host::start(dir.path()).await?;
    for (number, version) in (1..).zip(VERSIONS) {
        let query = format!("name=test:swap&version={version}");
        host.publish(guests::number(number)?, &query).await?.error_for_status()?;
    }
    Ok(host)
}

/// One call, and which version served it.
async fn served_by(host: &Host, key: &str) -> Result<usize> {
    let response = host.call("test/swap/numbers/number", key, &json!({})).await?;
    let version = response.headers().get("wares-version").context("wares-version")?.to_str()?.to_owned();
    let number = success(response).await?.as_u64().context("a number")?;
    let index = VERSIONS.iter().position(|known| *known == version).context("a known version")?;
    ensure!(number == index as u64 + 1, "the guest and the header disagree");
    Ok(index)
}

async fn call_on(
    host: Arc<Host>,
    key: String,
    caller: usize,
    progress: Arc<Progress>,
) -> Result<(Vec<Served>, [u64; 3])> {
    let (mut alone, mut counted) = (Vec::new(), [0; 3]);
    while !progress.stop.load(Ordering::SeqCst) {
        let confirmed = progress.confirmed.load(Ordering::SeqCst);
        let version = served_by(&host, &key).await?;
        counted[version] += 1;
        if progress.asked.load(Ordering::SeqCst) == confirmed {
            alone.push(Served { caller, deployment: confirmed, version });
            progress.alone.fetch_add(1, Ordering::SeqCst);
            progress.served.notify_one();
        }
    }
    Ok((alone, counted))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_lose_no_call_and_keep_their_shares() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(swap(&dir).await?);
    let keys = host.tenants(CALLERS).await?;
    let deploy = async |number: usize| {
        let (shares, stickiness) = SHARES[number % SHARES.len()];
        let traffic: BTreeMap<_, _> = VERSIONS.into_iter().zip(shares).collect();
        host.put(DEPLOYMENT, json!({"traffic": traffic, "stickiness": stickiness})).await
    };
    deploy(0).await?;
    let progress = Arc::new(Progress::default());
    let callers: Vec<_> = keys
        .into_iter()
        .enumerate()
        .map(|(caller, key)| tokio::spawn(call_on(Arc::clone(&host), key, caller, Arc::clone(&progress))))
        .collect();
    for number in 1..=CHANGES {
        progress.asked.store(number, Ordering::SeqCst);
        deploy(number).await?;
        progress.alone.store(0, Ordering::SeqCst);
        progress.confirmed.store(number, Ordering::SeqCst);
        while progress.alone.load(Ordering::SeqCst) < CALLS_EACH {
            ensure!(callers.iter().all(|caller| !caller.is_finished()), "a caller failed after {number} changes");
            progress.served.notified().await;
        }
    }
    progress.stop.store(true, Ordering::SeqCst);
    let (mut served, mut counted) = (Vec::new(), [0; 3]);
    for (alone, counts) in try_join_all(callers).await?.into_iter().collect::<Result<Vec<_>>>()? {
        served.extend(alone);
        counted = std::array::from_fn(|version| counted[version] + counts[version]);
    }

    let usage = host.get("/v1/usage?group_by=version,outcome").await?;
    let rows = usage["items"].as_array().context("items")?;
    ensure!(rows.iter().all(|row| row["outcome"] == "ok"), "{usage}");
    let in_ledger: Vec<_> = rows.iter().filter_map(|row| row["calls"].as_u64()).collect();
    assert_eq!(in_ledger, counted);

    for (turn, (shares, stickiness)) in SHARES.into_iter().enumerate() {
        let of_turn: Vec<&Served> = served.iter().filter(|call| call.deployment % SHARES.len() == turn).collect();
        let versions: Vec<usize> = match stickiness {
            "call" => of_turn.iter().map(|call| call.version).collect(),
            // While a deployment stands, a tenant has one version; it counts once.
            _ => {
                let mut of_tenant = BTreeMap::<(usize, usize), BTreeSet<usize>>::new();
                for call in of_turn {
                    of_tenant.entry((call.deployment, call.caller)).or_default().insert(call.version);
                }
                ensure!(of_tenant.values().all(|versions| versions.len() == 1), "a tenant met two versions");
                of_tenant.into_values().flatten().collect()
            }
        };
        // Tenants keep their places, so that there are only so many independent draws.
        let independent = if stickiness == "call" { versions.len() } else { CALLERS };
        for (version, share) in shares.into_iter().enumerate() {
            let wanted = f64::from(share) / 100.0;
            let got = versions.iter().filter(|served| **served == version).count() as f64 / versions.len() as f64;
            let sigma = (wanted * (1.0 - wanted) / independent as f64).sqrt();
            ensure!(
                (got - wanted).abs() <= 3.0 * sigma,
                "{} by {stickiness}: {got:.4} of {} instead of {wanted}",
                VERSIONS[version],
                versions.len()
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_as_many_tenants_move_as_the_shares_ask_for_and_a_rollback_brings_them_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = swap(&dir).await?;
    let keys = host.tenants(60).await?;
    let everywhere = async || -> Result<Vec<usize>> {
        let mut versions = Vec::new();
        for key in &keys {
            versions.push(served_by(&host, key).await?);
        }
        Ok(versions)
    };
    let deploy = async |shares: [u32; 3]| {
        let traffic = VERSIONS.into_iter().zip(shares).filter(|(_, share)| *share > 0);
        host.put(DEPLOYMENT, json!({"traffic": traffic.collect::<BTreeMap<_, _>>()})).await
    };
    deploy([60, 40, 0]).await?;
    let first = everywhere().await?;
    assert_eq!(first, everywhere().await?, "the same tenant, the same version");
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 2);
    // Half of the first version's share goes to a third one; nobody else moves.
    deploy([30, 40, 30]).await?;
    let second = everywhere().await?;
    let moved: Vec<_> = first.iter().zip(&second).filter(|(before, after)| before != after).collect();
    ensure!(!moved.is_empty() && moved.iter().all(|moved| *moved == (&0, &2)), "{moved:?}");
    deploy([0, 100, 0]).await?;
    deploy([100, 0, 0]).await?;
    host.post(&format!("{DEPLOYMENT}/rollback"), json!({"to": 2})).await?;
    assert_eq!(second, everywhere().await?);
    host.post(&format!("{DEPLOYMENT}/rollback"), json!({"to": 1})).await?;
    assert_eq!(first, everywhere().await?);
    // And after the next start they are where they were.
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    for (key, version) in keys.iter().zip(first) {
        assert_eq!(served_by(&host, key).await?, version);
    }
    Ok(())
}

#[tokio::test]
async fn changes_say_who_when_and_why_and_none_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = swap(&dir).await?;
    let change = async |method: Method, path: &str, tag: Option<&str>, body: Value| {
        let request = host.request(method, path, &host.admin_key).json(&body);
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
        Ok::<_, anyhow::Error>(request.send().await?)
    };
    let all = |version: &str| json!({"traffic": {version: 100}, "reason": format!("it is time for {version}")});
    let rollback = format!("{DEPLOYMENT}/rollback");
    success(change(Method::PUT, DEPLOYMENT, Some("\"0\""), all("1.0.0")).await?).await?;
    success(change(Method::PUT, DEPLOYMENT, Some("\"1\""), all("1.1.0")).await?).await?;
    let stale = [
        change(Method::PUT, DEPLOYMENT, Some("\"0\""), all("1.2.0")).await?,
        change(Method::PUT, DEPLOYMENT, Some("\"1\""), all("1.2.0")).await?,
        change(Method::POST, &rollback, Some("\"1\""), json!({})).await?,
    ];
    for response in stale {
        let (status, problem) = problem(response).await?;
        assert_eq!((status, code(&problem)), (409, "conflict"), "{problem}");
    }
    let wrong = [
        (json!({"traffic": {"1.0.0": 50}}), "add up to 50"),
        (json!({"traffic": {"1.0.0": 0, "1.1.0": 100}}), "share of 0"),
        (json!({"traffic": {}}), "name 1 to 16"),
        (json!({"traffic": {"1.0.0": 100}, "stickiness": "moon"}), "moon"),
        (json!({"traffic": {"1.0.0": 100}, "shadow": {"version": "1.1.0", "percent": 10}}), "pure"),
        (json!({"traffic": {"1.0.0": 100}, "shadow": {"version": "1.1.0", "percent": 101}}), "from 1 to 100"),
    ];
    for (body, words) in wrong {
        let (status, problem) = problem(change(Method::PUT, DEPLOYMENT, None, body).await?).await?;
        assert_eq!(status, 400);
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{problem}");
    }
    let (status, _) = problem(change(Method::POST, &rollback, None, json!({"to": 7})).await?).await?;
    assert_eq!(status, 400);
    success(change(Method::POST, &rollback, Some("\"2\""), json!({})).await?).await?;

    let history = host.get(&format!("{DEPLOYMENT}/history")).await?;
    let items = history["items"].as_array().context("items")?;
    let told: Vec<_> =
        items.iter().map(|item| (&item["traffic"], item["reason"].as_str().unwrap_or_default())).collect();
    let (old, new) = (json!({"1.0.0": 100}), json!({"1.1.0": 100}));
    assert_eq!(
        told,
        [(&old, "rollback to revision 1"), (&new, "it is time for 1.1.0"), (&old, "it is time for 1.0.0")]
    );
    for item in items {
        ensure!(item["actor"].as_str().is_some_and(|actor| actor.contains("key ")), "{item}");
        ensure!(item["at"].is_string(), "{item}");
    }
    Ok(())
}
