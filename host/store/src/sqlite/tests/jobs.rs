//! Jobs and schedules.

use super::*;
use crate::{
    AttemptEnd, BegunJob, Due, JobBounds, JobQuery, JobRetention, JobStore, NewJob, QueuedJob, ScheduleKey,
    ScheduleRecord, Then,
};
use wares_model::{JobAnswer, JobId, JobState, Retry, TenantId};

const BOUNDS: JobBounds = JobBounds { jobs_max: 3, bytes_max: 100 };

async fn with_tenants(ids: &[&str]) -> Fixture {
    let fixture = fixture().await;
    for id in ids {
        let (id, created_at) = (id.parse().unwrap(), Timestamp::from_micros(1));
        fixture.store.insert_tenant(TenantRecord { id, parent: None, name: "x".into(), created_at }).await.unwrap();
    }
    fixture
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn job(tenant: &str, created: i64) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant: tenant.parse().unwrap(),
        application: "app".into(),
        call: "{}".into(),
        fingerprint: Digest::of(b"call"),
        retry: Retry::default(),
        created_at: at(created),
        deadline_at: at(created + 1_000),
        idempotency_key: None,
        due: None,
        traceparent: None,
        arguments: b"[1]".to_vec(),
    }
}

async fn queue(store: &SqliteStore, job: NewJob) -> JobId {
    match store.queue_job(job, BOUNDS).await.unwrap() {
        QueuedJob::New(record) => record.id,
        other => panic!("{other:?}"),
    }
}

fn failed(at: Timestamp, then: Then) -> AttemptEnd {
    AttemptEnd { at, outcome: Some("trap".into()), problem: Some("{}".into()), error: None, then }
}

fn succeeded(at: Timestamp) -> AttemptEnd {
    let then = Then::Finish { state: JobState::Succeeded, result_bytes: Some(1) };
    AttemptEnd { at, outcome: Some("ok".into()), problem: None, error: None, then }
}

/// Enters the call of an attempt that answered `7`.
async fn enter(store: &SqliteStore, begun: &BegunJob) {
    let answer = JobAnswer { job: begun.record.id, json: b"7".to_vec() };
    let entry = LedgerEntry { call: begun.call, answer: Some(answer), ..entry("f", Outcome::Ok, 0) };
    store.append_entries(&[entry]).await.unwrap();
}

#[tokio::test]
async fn a_job_is_tried_until_it_has_a_result() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let id = queue(store, job("north", 10)).await;
    assert_eq!(store.next_job_at(at(9)).await.unwrap(), Some(at(10)));
    assert!(store.begin_jobs(at(9), 5, 5).await.unwrap().is_empty(), "not due yet");
    let begun = store.begin_jobs(at(10), 5, 5).await.unwrap();
    assert_eq!(
        (begun.len(), begun[0].record.state, begun[0].arguments.as_slice()),
        (1, JobState::Running, &b"[1]"[..])
    );
    assert!(store.begin_jobs(at(11), 5, 5).await.unwrap().is_empty(), "it runs already");
    // Refused: no attempt is used up.
    let refused = AttemptEnd { at: at(11), outcome: None, problem: None, error: None, then: Then::Again(at(12)) };
    let record = store.end_attempt(id, &refused).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts, record.refusals, record.next_at), (JobState::Queued, 0, 1, at(12)));
    store.begin_jobs(at(12), 5, 5).await.unwrap();
    store.end_attempt(id, &failed(at(13), Then::Again(at(20)))).await.unwrap();
    enter(store, &store.begin_jobs(at(20), 5, 5).await.unwrap()[0]).await;
    assert_eq!(store.job_detail(id).await.unwrap().unwrap().result, None, "it runs");
    let record = store.end_attempt(id, &succeeded(at(21))).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts, record.refusals), (JobState::Succeeded, 2, 0));
    assert_eq!((record.finished_at, record.problem), (Some(at(21)), None));
    let detail = store.job_detail(id).await.unwrap().unwrap();
    assert_eq!(detail.result.as_deref(), Some(&b"7"[..]));
    let outcomes: Vec<_> = detail.attempts.iter().map(|attempt| attempt.outcome.as_deref().unwrap()).collect();
    assert_eq!(outcomes, ["trap", "ok"]);
    assert_eq!(
        store.end_attempt(id, &failed(at(22), Then::Again(at(23)))).await.unwrap().unwrap().state,
        JobState::Succeeded
    );
}

#[tokio::test]
async fn tenants_take_turns() {
    let Fixture { store, .. } = &with_tenants(&["north", "south"]).await;
    let north =
        [queue(store, job("north", 1)).await, queue(store, job("north", 2)).await, queue(store, job("north", 3)).await];
    let south = queue(store, job("south", 9)).await;
    let begun = store.begin_jobs(at(10), 2, 2).await.unwrap();
    assert_eq!(begun.iter().map(|job| job.record.id).collect::<Vec<_>>(), [north[0], south]);
    let begun = store.begin_jobs(at(10), 5, 2).await.unwrap();
    assert_eq!(begun.iter().map(|job| job.record.id).collect::<Vec<_>>(), [north[1]], "two of one tenant at once");
    assert_eq!(store.count_jobs().await.unwrap(), crate::JobCounts { queued: 1, running: 3 });
    let query = JobQuery { tenant: Some("north".parse().unwrap()), limit: 2, ..JobQuery::default() };
    let page = store.jobs(query.clone()).await.unwrap();
    assert_eq!(page.iter().map(|job| job.id).collect::<Vec<_>>(), [north[2], north[1]]);
    let rest = store.jobs(JobQuery { before: Some(north[1]), ..query }).await.unwrap();
    assert_eq!(rest.iter().map(|job| job.id).collect::<Vec<_>>(), [north[0]]);
}

#[tokio::test]
async fn keys_and_bounds_hold() {
    let Fixture { store, .. } = &with_tenants(&["north", "south"]).await;
    let keyed = |tenant: &str| NewJob { idempotency_key: Some("k".into()), ..job(tenant, 1) };
    let first = queue(store, keyed("north")).await;
    let again = store.queue_job(keyed("north"), BOUNDS).await.unwrap();
    assert!(matches!(again, QueuedJob::Known(known) if known.id == first));
    assert_eq!(store.job_of_key(&"north".parse().unwrap(), "app", "k").await.unwrap().unwrap().id, first);
    assert_ne!(queue(store, keyed("south")).await, first, "keys are a tenant's own");
    queue(store, job("north", 1)).await;
    let large = NewJob { arguments: vec![b' '; 95], ..job("north", 1) };
    assert!(matches!(store.queue_job(large, BOUNDS).await.unwrap(), QueuedJob::Full), "bytes");
    queue(store, job("north", 1)).await;
    assert!(matches!(store.queue_job(job("north", 1), BOUNDS).await.unwrap(), QueuedJob::Full), "number");
    let error = store.queue_job(job("nobody", 1), BOUNDS).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownTenant(_)), "{error}");
}

#[tokio::test]
async fn what_ran_at_the_end_is_run_again_or_cancelled() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let (goes_on, ends, waits) =
        (queue(store, job("north", 1)).await, queue(store, job("north", 1)).await, queue(store, job("north", 9)).await);
    assert_eq!(store.begin_jobs(at(2), 5, 5).await.unwrap().len(), 2);
    assert_eq!(store.cancel_job(ends, at(3)).await.unwrap().unwrap().state, JobState::Running);
    assert_eq!(store.cancel_job(waits, at(3)).await.unwrap().unwrap().state, JobState::Cancelled);
    assert_eq!(store.recover_jobs(at(4)).await.unwrap().interrupted, 2);
    let record = store.job(goes_on).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts, record.interruptions), (JobState::Queued, 0, 1));
    assert_eq!(store.job(ends).await.unwrap().unwrap().state, JobState::Cancelled);
    let attempts = store.job_detail(goes_on).await.unwrap().unwrap().attempts;
    assert_eq!(attempts[0].outcome.as_deref(), Some("interrupted"));
    assert_eq!(store.recover_jobs(at(5)).await.unwrap().interrupted, 0);
}

#[tokio::test]
async fn a_call_that_is_entered_is_not_made_again() {
    let Fixture { store, data_dir, dir: _dir } = with_tenants(&["north"]).await;
    let ids = [queue(&store, job("north", 1)).await, queue(&store, job("north", 2)).await];
    let [done, cut_off] = ids;
    let begun = store.begin_jobs(at(2), 5, 5).await.unwrap();
    enter(&store, begun.iter().find(|begun| begun.record.id == done).unwrap()).await;
    let call = begun.iter().find(|begun| begun.record.id == cut_off).unwrap().call;
    store.append_entries(&[LedgerEntry { call, ..entry("f", Outcome::Cancelled, 0) }]).await.unwrap();
    drop(store);

    let store = open_sqlite(&data_dir, SqliteOptions::default()).await.unwrap();
    let recovered = store.recover_jobs(at(3)).await.unwrap();
    assert_eq!((recovered.interrupted, recovered.entered.len()), (1, 1));
    let entered = &recovered.entered[0];
    assert_eq!((entered.record.id, entered.outcome, entered.record.interruptions), (done, Outcome::Ok, 0));
    assert_eq!(store.job(cut_off).await.unwrap().unwrap().interruptions, 1);
    let record = store.end_attempt(done, &succeeded(at(3))).await.unwrap().unwrap();
    assert_eq!(record.state, JobState::Succeeded);
    let begun = store.begin_jobs(at(4), 5, 5).await.unwrap();
    assert_eq!(begun.iter().map(|begun| begun.record.id).collect::<Vec<_>>(), [cut_off]);
    assert_eq!(store.job_detail(done).await.unwrap().unwrap().result.as_deref(), Some(&b"7"[..]));
}

#[tokio::test]
async fn a_result_is_only_taken_from_the_attempt_that_is_being_made() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let id = queue(store, job("north", 1)).await;
    let late = store.begin_jobs(at(1), 1, 1).await.unwrap().remove(0);
    let cancelled = Then::Finish { state: JobState::Cancelled, result_bytes: None };
    let end = AttemptEnd { outcome: Some("cancelled".into()), ..failed(at(2), cancelled) };
    store.end_attempt(id, &end).await.unwrap();
    enter(store, &late).await;
    store.replay_job(id, at(3), BOUNDS).await.unwrap().unwrap();
    store.begin_jobs(at(3), 1, 1).await.unwrap();
    store.end_attempt(id, &succeeded(at(4))).await.unwrap();
    assert_eq!(store.job_detail(id).await.unwrap().unwrap().result, None);
}

#[tokio::test]
async fn lists_leave_the_components_own_error_out() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let id = queue(store, job("north", 1)).await;
    store.begin_jobs(at(1), 1, 1).await.unwrap();
    let end = AttemptEnd { error: Some("[8]".into()), ..failed(at(2), Then::Again(at(3))) };
    store.end_attempt(id, &end).await.unwrap();
    assert_eq!(store.job_detail(id).await.unwrap().unwrap().error.as_deref(), Some("[8]"));
    store.begin_jobs(at(3), 1, 1).await.unwrap();
    let cancelled = Then::Finish { state: JobState::Cancelled, result_bytes: None };
    let end = AttemptEnd { at: at(4), outcome: None, problem: None, error: None, then: cancelled };
    let record = store.end_attempt(id, &end).await.unwrap().unwrap();
    assert_eq!(record.problem.as_deref(), Some("{}"), "what went wrong before stays");
    assert_eq!(store.job_detail(id).await.unwrap().unwrap().error.as_deref(), Some("[8]"));
    store.replay_job(id, at(5), BOUNDS).await.unwrap().unwrap();
    assert_eq!(store.job_detail(id).await.unwrap().unwrap().error, None);
}

#[tokio::test]
async fn a_tenants_jobs_and_schedules_are_ended_and_removed() {
    let Fixture { store, .. } = &with_tenants(&["north", "south"]).await;
    let north: TenantId = "north".parse().unwrap();
    let key = ScheduleKey { tenant: north.clone(), component: "a:b".parse().unwrap(), name: "nightly".into() };
    store.enable_schedule(schedule(&key)).await.unwrap();
    let (runs, waits) = (queue(store, job("north", 1)).await, queue(store, job("north", 2)).await);
    let other = queue(store, job("south", 1)).await;
    store.begin_jobs(at(1), 1, 1).await.unwrap();
    assert_eq!(store.end_jobs_of(&north, at(2)).await.unwrap(), [runs]);
    assert!(store.enabled_schedules(None).await.unwrap().is_empty());
    assert_eq!(store.job(waits).await.unwrap().unwrap().state, JobState::Cancelled);
    assert_eq!(store.remove_jobs_of(&north).await.unwrap(), 1);
    let record = store.end_attempt(runs, &failed(at(3), Then::Again(at(4)))).await.unwrap().unwrap();
    assert_eq!(record.state, JobState::Cancelled);
    assert_eq!(store.remove_jobs_of(&north).await.unwrap(), 1);
    assert_eq!(store.job(other).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(count(store, "job_payloads").await, 1);
}

#[tokio::test]
async fn a_dead_job_is_replayed_as_if_it_were_new() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let id = queue(store, job("north", 1)).await;
    assert!(matches!(store.replay_job(id, at(2), BOUNDS).await.unwrap(), Some(QueuedJob::Known(_))), "it waits");
    store.begin_jobs(at(1), 1, 1).await.unwrap();
    let dead = Then::Finish { state: JobState::Dead, result_bytes: None };
    store.end_attempt(id, &failed(at(2), dead)).await.unwrap();
    let Some(QueuedJob::New(record)) = store.replay_job(id, at(50), BOUNDS).await.unwrap() else { panic!() };
    assert_eq!((record.state, record.attempts, record.next_at, record.problem), (JobState::Queued, 0, at(50), None));
    assert_eq!(record.deadline_at, at(50 + 86_400));
    assert!(store.replay_job(JobId::generate(), at(50), BOUNDS).await.unwrap().is_none());
}

#[tokio::test]
async fn finished_jobs_are_kept_for_their_time_and_within_their_bounds() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let mut ids = Vec::new();
    for second in 1..=4 {
        let id = queue(store, job("north", second)).await;
        enter(store, &store.begin_jobs(at(second), 1, 1).await.unwrap()[0]).await;
        store.end_attempt(id, &succeeded(at(second))).await.unwrap();
        ids.push(id);
    }
    let hour = Duration::from_secs(3_600);
    let all = JobRetention { finished: hour, dead: hour, jobs_max: 10, bytes_max: 1_000 };
    assert_eq!(store.prune_jobs(at(5), all).await.unwrap(), 0);
    assert_eq!(store.prune_jobs(at(5), JobRetention { jobs_max: 3, ..all }).await.unwrap(), 1);
    assert!(store.job(ids[0]).await.unwrap().is_none() && store.job(ids[1]).await.unwrap().is_some());
    // Each has three bytes of arguments and one of result.
    assert_eq!(store.prune_jobs(at(5), JobRetention { bytes_max: 8, ..all }).await.unwrap(), 1);
    assert_eq!(store.prune_jobs(at(3_604), all).await.unwrap(), 1, "the one that ended over an hour ago");
    assert!(store.job(ids[3]).await.unwrap().is_some());
    for table in ["job_payloads", "job_attempts"] {
        assert_eq!(count(store, table).await, 1, "{table}");
    }
}

fn schedule(key: &ScheduleKey) -> ScheduleRecord {
    ScheduleRecord {
        key: key.clone(),
        enabled_at: at(1),
        enabled_by: "key".into(),
        timing: "@daily".into(),
        handled_until: at(1),
        last_due_at: None,
        last_job: None,
    }
}

#[tokio::test]
async fn a_due_time_makes_one_job() {
    let Fixture { store, .. } = &with_tenants(&["north"]).await;
    let key =
        ScheduleKey { tenant: "north".parse().unwrap(), component: "a:b".parse().unwrap(), name: "nightly".into() };
    let record = schedule(&key);
    let due_job = |seconds| {
        let due = Due { component: key.component.clone(), schedule: key.name.clone(), at: at(seconds) };
        Some(NewJob { due: Some(due), ..job("north", seconds) })
    };
    assert!(store.handle_due(&key, at(5), due_job(5), BOUNDS).await.unwrap().is_none(), "it is not enabled");
    store.enable_schedule(record.clone()).await.unwrap();
    store.enable_schedule(ScheduleRecord { handled_until: at(9), ..record.clone() }).await.unwrap();
    assert_eq!(store.enabled_schedules(None).await.unwrap(), [record]);
    let none = JobBounds { jobs_max: 0, ..BOUNDS };
    assert!(matches!(store.handle_due(&key, at(5), due_job(5), none).await.unwrap(), Some(QueuedJob::Full)));
    assert_eq!(store.enabled_schedules(None).await.unwrap()[0].handled_until, at(1), "it is still due");
    let Some(QueuedJob::New(made)) = store.handle_due(&key, at(5), due_job(5), BOUNDS).await.unwrap() else { panic!() };
    assert!(store.handle_due(&key, at(5), due_job(5), BOUNDS).await.unwrap().is_none(), "once");
    let after = &store.enabled_schedules(Some(&key.tenant)).await.unwrap()[0];
    assert_eq!((after.handled_until, after.last_due_at, after.last_job), (at(5), Some(at(5)), Some(made.id)));
    store.retime_schedule(&key, "@hourly", at(4)).await.unwrap();
    let again = store.handle_due(&key, at(5), due_job(5), BOUNDS).await.unwrap();
    assert!(matches!(again, Some(QueuedJob::Known(known)) if known.id == made.id), "the due time has its job");
    assert!(store.disable_schedule(&key).await.unwrap() && !store.disable_schedule(&key).await.unwrap());
}
