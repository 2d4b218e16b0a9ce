//! Every kind of change that a host makes durable: how it is made, and how it is seen from outside whether it was.

use super::{RECOVERY_MAX, readiness, until};
use crate::jobs::with_manifest;
use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder, Response};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_model::PrivateKey;

const COMPONENT: &str = "/v1/components/test/swap";
/// A schedule that is never due while the tests run.
const SCHEDULED: &str =
    "[[schedules]]\nname = 'nightly'\ncron = '0 0 29 2 *'\ninterface = 'numbers'\nfunction = 'number'";

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Publish,
    Deploy,
    Yank,
    Grant,
    Config,
    Secret,
    Provider,
    Namespace,
    Signer,
    Tenant,
    Key,
    Job,
    Schedule,
    Entry,
    Log,
    Pair,
    File,
}

impl Kind {
    pub(super) const ALL: [Self; 17] = [
        Self::Publish,
        Self::Deploy,
        Self::Yank,
        Self::Grant,
        Self::Config,
        Self::Secret,
        Self::Provider,
        Self::Namespace,
        Self::Signer,
        Self::Tenant,
        Self::Key,
        Self::Job,
        Self::Schedule,
        Self::Entry,
        Self::Log,
        Self::Pair,
        Self::File,
    ];

    /// Whether what is refused is not there. What a call has kept stays, also if the call's own entry cannot be written then.
    pub(super) fn is_atomic(self) -> bool {
        !matches!(self, Self::Pair | Self::File)
    }
}

/// A host with something of everything on it.
pub(super) struct Shelf {
    data: PathBuf,
    pub(super) host: Host,
    pub(super) key: String,
}

impl Shelf {
    pub(super) async fn new(data: &Path) -> Result<Self> {
        // With a sync for every commit, which may fail too.
        let host = Host::start_in(data, None, &[], &[("WARES_LEDGER_SYNC", "full")]).await?;
        let key = host.tenant("district").await?;
        let scheduled = with_manifest(guests::number(10)?, "test:swap", "1.0.0", SCHEDULED);
        success(host.publish(scheduled, "deploy=true").await?).await?;
        host.publish_and_deploy(guests::text("writes")?, "test:writes", "1.0.0").await?;
        let grants = [
            ("pairs", json!({"keyvalue": [{"bucket": "counts"}, {"bucket": "common"}, {"bucket": "elsewhere"}]})),
            ("files", json!({"files": {"access": "read-write"}})),
        ];
        for (name, grants) in grants {
            host.put(&format!("/v1/components/test/{name}/grants"), json!({"grants": grants})).await?;
            success(host.publish(guests::built(&format!("test-{name}"))?, "deploy=true").await?).await?;
        }
        Ok(Self { data: data.to_owned(), host, key })
    }

    fn operator(&self, method: Method, path: &str, body: Value) -> RequestBuilder {
        self.host.request(method, path, &self.host.admin_key).json(&body)
    }

    pub(super) async fn call(&self) -> Result<Response> {
        self.host.call("test/swap/numbers/number", &self.key, &json!({})).await
    }

    /// Makes the change; `number` makes it differ from those before.
    pub(super) async fn change(&self, kind: Kind, number: usize) -> Result<Response> {
        let operator = |method, path: &str, body| self.operator(method, path, body).send();
        Ok(match kind {
            Kind::Publish => {
                let wasm = with_manifest(guests::number(10)?, "test:swap", &format!("1.1.{number}"), SCHEDULED);
                self.host.publish(wasm, "").await?
            }
            Kind::Deploy => {
                let body = json!({"traffic": {"1.0.0": 100}, "reason": format!("the {number}th")});
                operator(Method::PUT, &format!("{COMPONENT}/deployment"), body).await?
            }
            Kind::Yank => {
                let method = if self.look(kind).await?.is_null() { Method::POST } else { Method::DELETE };
                operator(method, &format!("{COMPONENT}/versions/1.0.0/yank"), json!({})).await?
            }
            Kind::Grant => {
                let grants = json!({"grants": {"http": [{"allow": format!("https://{number}.example.cn")}]}});
                operator(Method::PUT, &format!("{COMPONENT}/grants"), grants).await?
            }
            Kind::Config => {
                operator(Method::PUT, &format!("{COMPONENT}/config/rate"), json!({"value": number.to_string()})).await?
            }
            Kind::Secret => {
                operator(Method::PUT, &format!("{COMPONENT}/secrets/token"), json!({"value": number.to_string()}))
                    .await?
            }
            Kind::Provider => {
                let body = json!({"component": "test:swap", "reason": number.to_string()});
                operator(Method::PUT, "/v1/providers/test:swap/numbers", body).await?
            }
            Kind::Namespace => {
                operator(Method::PUT, &format!("/v1/namespaces/n{number}"), json!({"review": true, "signature": false}))
                    .await?
            }
            Kind::Signer => {
                let mut seed = [7; 32];
                seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
                let key = PrivateKey::from_random(seed);
                operator(Method::POST, "/v1/namespaces/other/signers", json!({"key": key.public()})).await?
            }
            Kind::Tenant => operator(Method::POST, "/v1/tenants", json!({"id": format!("street{number}")})).await?,
            Kind::Key => {
                let body = json!({"application": format!("app{number}")});
                operator(Method::POST, "/v1/tenants/district/keys", body).await?
            }
            Kind::Job => {
                let call = self.host.request(Method::POST, "/v1/call/test/swap/numbers/number", &self.key);
                call.header("prefer", "respond-async").json(&json!({})).send().await?
            }
            Kind::Schedule => {
                let is_enabled = self.look(kind).await? == json!(true);
                let method = if is_enabled { Method::DELETE } else { Method::PUT };
                operator(method, "/v1/tenants/district/schedules/test/swap/nightly", json!({})).await?
            }
            Kind::Entry => self.call().await?,
            Kind::Pair => {
                let pair = json!(["counts", "a", number.to_string()]);
                self.host.call("test/pairs/pairs/set", &self.key, &pair).await?
            }
            Kind::File => {
                let file = json!(["a", number.to_string()]);
                self.host.call("test/files/files/write", &self.key, &file).await?
            }
            Kind::Log => self.host.call("test/writes/writer/write", &self.key, &json!({"bytes": 20_000})).await?,
        })
    }

    /// What there is of it. A change of this kind makes it another.
    pub(super) async fn look(&self, kind: Kind) -> Result<Value> {
        let get = |path: String| async move { self.host.get(&path).await };
        let count = |list: &Value| json!(list["items"].as_array().or(list.as_array()).map(Vec::len));
        let calls_of = |usage: &Value, component: &str| {
            let rows = usage["items"].as_array().into_iter().flatten();
            let of = rows.filter(|row| row["component"] == component && row["outcome"] == "ok");
            json!(of.map(|row| row["calls"].as_u64().unwrap_or_default()).sum::<u64>())
        };
        let usage = "/v1/usage?group_by=component,outcome".to_owned();
        Ok(match kind {
            Kind::Publish => count(&get(format!("{COMPONENT}/versions?limit=1000")).await?),
            Kind::Deploy => get(format!("{COMPONENT}/deployment")).await?["revision"].clone(),
            Kind::Yank => get(format!("{COMPONENT}/versions/1.0.0")).await?["yanked-at"].clone(),
            Kind::Grant => get(format!("{COMPONENT}/grants")).await?["revision"].clone(),
            Kind::Config => get(format!("{COMPONENT}/config")).await?,
            Kind::Secret => get(format!("{COMPONENT}/secrets")).await?,
            Kind::Provider => count(&get("/v1/providers/test:swap/numbers/history?limit=1000".to_owned()).await?),
            Kind::Namespace => count(&get("/v1/namespaces?limit=1000".to_owned()).await?),
            Kind::Signer => count(&get("/v1/namespaces/other/signers?limit=1000".to_owned()).await?),
            Kind::Tenant => count(&get("/v1/tenants?limit=1000".to_owned()).await?),
            Kind::Key => count(&get("/v1/tenants/district/keys?limit=1000".to_owned()).await?),
            Kind::Job => count(&get("/v1/jobs?limit=1000".to_owned()).await?),
            Kind::Schedule => {
                let schedules = get("/v1/tenants/district/schedules".to_owned()).await?;
                let all = schedules["items"].as_array().cloned().unwrap_or_default();
                json!(all.iter().any(|one| one["name"] == "nightly" && one["enabled"] == true))
            }
            // Jobs are calls of the other function of the same component: they are not waited for here.
            Kind::Entry => calls_of(&get(usage).await?, "test:swap"),
            Kind::Log => calls_of(&get(usage).await?, "test:writes"),
            // Not by a call, which could not be counted meanwhile.
            Kind::Pair => {
                let database = Connection::open(self.data.join("wares.sqlite"))?;
                let value = database.query_row("SELECT value FROM pairs", [], |row| row.get::<_, Vec<u8>>(0));
                json!(value.optional()?)
            }
            Kind::File => json!(std::fs::read_to_string(self.data.join("files/district/test/files/a")).ok()),
        })
    }

    /// Waits until nothing that was begun goes on.
    pub(super) async fn until_at_rest(&self) -> Result<()> {
        let at_rest = async || {
            let jobs = self.host.get("/v1/jobs?limit=1000").await?;
            let open = |job: &Value| job["state"] == "queued" || job["state"] == "running";
            Ok(!jobs["items"].as_array().context("jobs")?.iter().any(open))
        };
        until("jobs that were queued end", at_rest).await.map(drop)
    }

    /// Every kind of change works again in time: how long that took.
    pub(super) async fn recovers(&self, number: usize) -> Result<std::time::Duration> {
        let began = Instant::now();
        until("a call after the fault", async || Ok(self.call().await?.status() == 200)).await?;
        until("/readyz after the fault", async || Ok(readiness(&self.host).await?.0 == 200)).await?;
        for kind in Kind::ALL {
            let before = self.look(kind).await?;
            let answer = self.change(kind, number).await?;
            ensure!(answer.status().is_success(), "{kind:?} after the fault: {}", answer.text().await?);
            ensure!(self.look(kind).await? != before, "{kind:?} after the fault is not there");
        }
        let took = began.elapsed();
        self.until_at_rest().await?;
        ensure!(took < RECOVERY_MAX, "it took {took:?}");
        Ok(took)
    }
}
