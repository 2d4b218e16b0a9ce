//! Jobs over the end of the host, and over long times.

use super::*;
use rusqlite::Connection;
use rustix::process::Signal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wares_it::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_in_the_ledger_is_not_made_again_after_a_crash() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "[retry]\nattempts-max = 1", &[]).await?;
    let done = later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    let failed = later(&host, &key, &format!("{HOSTILE}/trap"), &json!({})).await?;
    until_state(&host, &done, "succeeded").await?;
    let before = until_state(&host, &failed, "dead").await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    // As if the host had ended between the entries of the calls and the ends of the attempts.
    let database = Connection::open(data.path().join("wares.sqlite"))?;
    database.execute_batch(
        "UPDATE jobs SET state = 'running', attempts = 0, finished_at = NULL, result_bytes = NULL, problem = NULL;
         UPDATE job_attempts SET ended_at = NULL, outcome = NULL;",
    )?;
    drop(database);

    let host = Host::start_in(data.path(), Some(&admin_key), &[], &[]).await?;
    let job = host.get(&done).await?;
    assert_eq!((&job["state"], &job["result"], &job["result-bytes"]), (&json!("succeeded"), &json!(3), &json!(1)));
    assert_eq!((&job["attempts"], &job["interruptions"], outcomes(&job)), (&json!(1), &json!(0), vec!["ok"]));
    let job = host.get(&failed).await?;
    assert_eq!((&job["state"], &job["attempts"], outcomes(&job)), (&json!("dead"), &json!(1), vec!["trap"]), "{job:#}");
    assert_eq!(job["problem"], before["problem"]);
    assert_eq!(counted(&host).await?, 2, "one entry each");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_job_is_lost_when_the_host_is_killed() -> Result<()> {
    const CALLERS: usize = 8;
    const ACCEPTED_BEFORE: usize = 150;
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_WAITING_MAX", "100000")];
    let (host, key) = shelf(data.path(), "", &variables).await?;
    let sleeps = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([5_000])).await?;
    until_state(&host, &sleeps, "running").await?;
    let (host, key, count) = (Arc::new(host), Arc::new(key), Arc::new(AtomicUsize::new(0)));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let callers = (0..CALLERS).map(|_| {
        let (host, key, count, accepted) =
            (Arc::clone(&host), Arc::clone(&key), Arc::clone(&count), Arc::clone(&accepted));
        tokio::spawn(async move {
            // Ends when the host is gone.
            loop {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let Ok(job) = later(&host, &key, &format!("{HOSTILE}/add"), &json!([number, 1])).await else { return };
                accepted.lock().expect("no caller panics").push((job, number));
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    wait::holds("jobs are accepted", || count.load(Ordering::SeqCst) >= ACCEPTED_BEFORE).await?;
    host.signal(Signal::KILL)?;
    join_all(callers).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let admin_key = host.admin_key.clone();
    drop(host);

    let host = Host::start_in(data.path(), Some(&admin_key), &[], &variables).await?;
    let slept = until_state(&host, &sleeps, "succeeded").await?;
    assert_eq!((&slept["interruptions"], outcomes(&slept)), (&json!(1), vec!["interrupted", "ok"]), "{slept:#}");
    let accepted = accepted.lock().expect("no caller panics").clone();
    ensure!(accepted.len() >= ACCEPTED_BEFORE - CALLERS, "{}", accepted.len());
    for (at, number) in accepted {
        let job = until_state(&host, &at, "succeeded").await?;
        assert_eq!(job["result"], json!(number + 1));
        let outcomes = outcomes(&job);
        ensure!(outcomes.last() == Some(&"ok"), "{job:#}");
        ensure!(outcomes.iter().rev().skip(1).all(|outcome| *outcome == "interrupted"), "{job:#}");
        let calls: Vec<_> = job["calls"].as_array().into_iter().flatten().collect();
        for (place, call) in calls.iter().enumerate() {
            let call = format!("/v1/calls/{}", call["call"].as_str().context("call")?);
            let entry = host.request(Method::GET, &call, &host.admin_key).send().await?;
            let was_served = entry.status() == 200 && success(entry).await?["outcome"] == "ok";
            assert_eq!(was_served, place + 1 == calls.len(), "one call is served and billed: {job:#}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_stop_ends_the_jobs_that_run_and_keeps_those_that_wait() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_TENANT_CONCURRENCY_MAX", "1")];
    let (mut host, key) = shelf(data.path(), "", &variables).await?;
    let runs = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([4_000])).await?;
    let waits = later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    host.until_running(1).await?;
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let host = Host::start_in(data.path(), Some(&host.admin_key), &[], &variables).await?;
    let ran = host.get(&runs).await?;
    assert_eq!((&ran["state"], &ran["interruptions"]), (&json!("succeeded"), &json!(0)), "{ran:#}");
    let waited = until_state(&host, &waits, "succeeded").await?;
    assert_eq!((&waited["interruptions"], outcomes(&waited)), (&json!(0), vec!["ok"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_end_in_time_when_the_host_stops_is_run_again() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_DRAIN_SECONDS_MAX", "1")];
    let (mut host, key) = shelf(data.path(), "", &variables).await?;
    let runs = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([9_000])).await?;
    host.until_running(1).await?;
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let host = Host::start_in(data.path(), Some(&host.admin_key), &[], &variables).await?;
    let again = until_state(&host, &runs, "running").await?;
    assert_eq!((&again["interruptions"], outcomes(&again)), (&json!(1), vec!["interrupted"]), "{again:#}");
    let call = again["calls"][0]["call"].as_str().context("call")?;
    assert_eq!(host.get(&format!("/v1/calls/{call}")).await?["outcome"], "cancelled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_pass_while_the_host_is_down_and_what_is_kept_goes_in_its_time() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_TENANT_CONCURRENCY_MAX", "1")];
    let host = Host::start_at("2026-11-25 12:00:00", data.path(), None, &variables).await?;
    let retry = "[retry]\nattempts-max = 2\nbackoff-ms-first = 60000\ndeadline-seconds-max = 30";
    host.publish(hostile("1.0.0", retry, true)?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    let add = format!("{HOSTILE}/add");
    let done = later(&host, &key, &add, &json!([1, 2])).await?;
    until_state(&host, &done, "succeeded").await?;
    // Its second attempt would come after its deadline.
    let failed = later(&host, &key, &format!("{HOSTILE}/trap"), &json!({})).await?;
    let failed_job = until_state(&host, &failed, "dead").await?;
    assert_eq!((&failed_job["attempts"], code(&failed_job["problem"])), (&json!(1), "trap"), "{failed_job:#}");
    let runs = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([9_000])).await?;
    until_state(&host, &runs, "running").await?;
    let waits = later(&host, &key, &add, &json!([1, 2])).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;

    let host = Host::start_at("2026-11-25 12:01:00", data.path(), Some(&admin_key), &variables).await?;
    for at in [&runs, &waits] {
        let late = until_state(&host, at, "dead").await?;
        assert_eq!((&late["attempts"], code(&late["problem"])), (&json!(0), "expired"), "{late:#}");
    }
    assert_eq!(host.get(&done).await?["result"], 3);
    host.post(&format!("{waits}/replay"), json!({})).await?;
    until_state(&host, &waits, "succeeded").await?;
    host.kill().await?;

    // Three days are for what succeeded, thirty for what is dead.
    let host = Host::start_at("2026-11-28 12:01:30", data.path(), Some(&admin_key), &variables).await?;
    let left = host.until("/v1/jobs", |jobs| jobs["items"].as_array().map(Vec::len) == Some(2)).await?;
    ensure!(left["items"].as_array().is_some_and(|jobs| jobs.iter().all(|job| job["state"] == "dead")), "{left:#}");
    assert_eq!(host.request(Method::GET, &done, &key).send().await?.status(), 404);
    host.kill().await?;
    // A week at a time: a clock that goes on by more at once is not believed.
    for day in ["2026-12-05", "2026-12-12", "2026-12-19"] {
        let host = Host::start_at(&format!("{day} 12:00:00"), data.path(), Some(&admin_key), &variables).await?;
        // What is too old has been looked for.
        host.until_metric("wares_database_bytes", |_| true).await?;
        assert_eq!(host.get("/v1/jobs").await?["items"].as_array().map(Vec::len), Some(2));
        host.kill().await?;
    }
    let host = Host::start_at("2026-12-26 12:00:00", data.path(), Some(&admin_key), &variables).await?;
    host.until("/v1/jobs", |jobs| jobs["items"] == json!([])).await?;
    Ok(())
}
