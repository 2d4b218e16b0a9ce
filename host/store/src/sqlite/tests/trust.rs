//! Namespaces, signers, submissions, and copies of the database.

use super::*;
use crate::{
    Decision, NamespaceRecord, NewTrust, Note, SignerRecord, SubmissionQuery, SubmissionRecord, SubmissionState,
    TrustRecord, TrustStore as _, Verdict,
};
use rusqlite::Connection;
use wares_model::{Namespace, PrivateKey, Release, SubmissionId};

fn note(at: i64) -> Note {
    Note { at: Timestamp::from_micros(at), by: "key 1".into(), reason: "理由".into() }
}

fn version(component: &str, version: &str, with_trust: bool) -> NewVersion {
    let record = VersionRecord {
        component: component.parse().unwrap(),
        version: version.parse().unwrap(),
        digest: Digest::of(version.as_bytes()),
        size_bytes: 5,
        published_at: Timestamp::from_micros(1),
        publisher: "key 1".into(),
        deployed_at: None,
        yanked_at: None,
        stopped_at: None,
        deprecation: None,
        summary: "{}".into(),
    };
    let release = Release { component: &record.component, version: &record.version, digest: &record.digest };
    let submission = SubmissionRecord {
        id: SubmissionId::generate(),
        component: record.component.clone(),
        version: record.version.clone(),
        kind: "修订".into(),
        method: "by hand".into(),
        basis: "decree".into(),
        submitter: KeyId::generate(),
        submitted_at: Timestamp::from_micros(2),
        examples: "[]".into(),
        decision: None,
    };
    let trust = NewTrust {
        signature: with_trust.then(|| release.sign(&PrivateKey::from_random([1; 32]))),
        submission: with_trust.then_some(submission),
    };
    NewVersion { record, detail: "{}".into(), trust }
}

#[tokio::test]
async fn what_comes_with_a_version_is_there_with_it() {
    let Fixture { dir: _dir, data_dir, store } = fixture().await;
    let (signed, plain) = (version("a:b", "1.0.0", true), version("a:b", "1.1.0", false));
    for new in [&signed, &plain] {
        store.insert_version(new.clone()).await.unwrap();
    }
    drop(store);
    let store = open(&data_dir).await.unwrap();
    let submission = signed.trust.submission.unwrap();
    let state = SubmissionState { id: submission.id, decision: None };
    let expected = TrustRecord { signature: signed.trust.signature, submission: Some(state) };
    let trust = store.trust().await.unwrap();
    assert_eq!(trust, [(signed.record.component.clone(), signed.record.version.clone(), expected)]);
    assert_eq!(store.submission(submission.id).await.unwrap(), Some(submission.clone()));

    let decision = Decision { verdict: Verdict::Approved, note: note(3) };
    store.decide(submission.id, decision.clone()).await.unwrap();
    let again = store.decide(submission.id, Decision { verdict: Verdict::Rejected, note: note(4) }).await;
    assert!(matches!(again, Err(StoreError::SubmissionDecided(id)) if id == submission.id));
    let decided = store.submission(submission.id).await.unwrap().unwrap();
    assert_eq!(decided.decision, Some(decision));
    sqlx::query("UPDATE submissions SET decided_by = NULL").execute(&store.writer).await.unwrap();
    assert!(matches!(store.trust().await, Err(StoreError::Corrupt(_))), "half a decision is no approval");
}

#[tokio::test]
async fn submissions_are_listed_in_pages_from_the_newest() {
    let Fixture { store, .. } = &fixture().await;
    let mut ids = Vec::new();
    for (component, number) in [("a:b", 1), ("ab:c", 2), ("a:b", 3), ("a:c", 4)] {
        let new = version(component, &format!("{number}.0.0"), true);
        ids.insert(0, new.trust.submission.as_ref().unwrap().id);
        store.insert_version(new).await.unwrap();
    }
    store.decide(ids[3], Decision { verdict: Verdict::Rejected, note: note(3) }).await.unwrap();
    let list = async |query| -> Vec<SubmissionId> {
        store.submissions(query).await.unwrap().into_iter().map(|submission| submission.id).collect()
    };
    let all = SubmissionQuery { limit: 9, ..SubmissionQuery::default() };
    assert_eq!(list(all.clone()).await, ids);
    assert_eq!(list(SubmissionQuery { waiting_only: true, ..all.clone() }).await, ids[..3]);
    let namespace: Option<Namespace> = Some("a".parse().unwrap());
    assert_eq!(list(SubmissionQuery { namespace, ..all.clone() }).await, [ids[0], ids[1], ids[3]]);
    assert_eq!(list(SubmissionQuery { limit: 2, before: Some(ids[0]), ..all }).await, ids[1..3]);
}

#[tokio::test]
async fn namespaces_and_signers_come_back_as_they_were_put() {
    let Fixture { store, .. } = &fixture().await;
    let name: Namespace = "benefit".parse().unwrap();
    let mut namespace = NamespaceRecord {
        name: name.clone(),
        review_since: Some(Timestamp::from_micros(1)),
        signature_since: None,
        source: Some("oci://registry.example/benefit".into()),
        changed_at: Timestamp::from_micros(1),
        changed_by: "key 1".into(),
    };
    store.put_namespace(namespace.clone()).await.unwrap();
    (namespace.review_since, namespace.signature_since) = (None, Some(Timestamp::from_micros(2)));
    store.put_namespace(namespace.clone()).await.unwrap();
    assert_eq!(store.namespaces().await.unwrap(), [namespace]);

    let key = PrivateKey::from_random([1; 32]).public();
    let mut signer = SignerRecord {
        namespace: name.clone(),
        key,
        added_at: Timestamp::from_micros(1),
        added_by: "key 1".into(),
        revoked: None,
    };
    store.insert_signer(signer.clone()).await.unwrap();
    assert!(matches!(store.insert_signer(signer.clone()).await, Err(StoreError::SignerExists(found)) if found == key));
    assert!(store.revoke_signer(&name, &key, note(5)).await.unwrap());
    assert!(store.revoke_signer(&name, &key, note(6)).await.unwrap());
    assert!(!store.revoke_signer(&"other".parse().unwrap(), &key, note(6)).await.unwrap());
    signer.revoked = Some(note(5));
    assert_eq!(store.signers().await.unwrap(), [signer], "the first revocation stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_whole_and_private_and_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let Fixture { dir, store, .. } = &fixture().await;
    store.insert_version(version("a:b", "1.0.0", true)).await.unwrap();
    let appending = {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..200 {
                store.append_entries(&[entry("f", Outcome::Ok, 0), entry("g", Outcome::Ok, 0)]).await.unwrap();
            }
        })
    };
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let before = files();
    for _ in 0..5 {
        let copy = store.copy_database().await.unwrap();
        assert_eq!(copy.artifacts, [(Digest::of(b"1.0.0"), 5)]);
        assert_eq!(copy.file.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let database = Connection::open(copy.file.path()).unwrap();
        let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let entries = count("SELECT COUNT(*) FROM entries");
        assert_eq!(entries % 2, 0, "half a transaction");
        let counted = count("SELECT COALESCE(SUM(calls), 0) FROM aggregates WHERE unit_us = 60000000");
        assert_eq!(entries, counted);
    }
    appending.await.unwrap();
    assert_eq!(files(), before);
}
