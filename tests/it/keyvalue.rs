//! Key-value pairs: used with a grant, refused without, apart by tenant and component, within their quota, exact.

use crate::program::Forwarded;
use anyhow::{Context as _, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use reqwest::Method;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_it::wait;

async fn grant(host: &Host, component: &str, grants: Value) -> Result<Value> {
    host.put(&format!("/v1/components/{component}/grants"), json!({"grants": grants})).await
}

/// A host with both components on it, granted the same.
async fn shelf(host: &Host, keyvalue: Value) -> Result<()> {
    for (component, built) in [("test/pairs", "test-pairs"), ("test/pairs-too", "test-pairs-too")] {
        grant(host, component, json!({"keyvalue": keyvalue})).await?;
        host.publish(guests::built(built)?, "deploy=true").await?.error_for_status()?;
    }
    Ok(())
}

/// Calls a function of `test:pairs`.
async fn call(host: &Host, key: &str, function: &str, arguments: Value) -> Result<Value> {
    call_of(host, "pairs", key, function, arguments).await
}

async fn call_of(host: &Host, component: &str, key: &str, function: &str, arguments: Value) -> Result<Value> {
    success(host.call(&format!("test/{component}/pairs/{function}"), key, &arguments).await?).await
}

/// The words of the error that a function returns.
async fn refused(host: &Host, key: &str, function: &str, arguments: Value) -> Result<String> {
    let (status, problem) = problem(host.call(&format!("test/pairs/pairs/{function}"), key, &arguments).await?).await?;
    ensure!(status == 422, "{problem}");
    Ok(problem["error"].as_str().context("error")?.to_owned())
}

/// Every function does what its interface says.
async fn use_all(host: &Host, key: &str, bucket: &str) -> Result<()> {
    let one = |name: &str| json!({"bucket": bucket, "key": name});
    assert_eq!(call(host, key, "get", one("a")).await?, Value::Null);
    assert_eq!(call(host, key, "exists", one("a")).await?, json!(false));
    call(host, key, "set", json!([bucket, "a", "1"])).await?;
    call(host, key, "set", json!([bucket, "a", "值"])).await?;
    assert_eq!(call(host, key, "get", one("a")).await?, json!("值"));
    assert_eq!(call(host, key, "exists", one("a")).await?, json!(true));
    assert_eq!(call(host, key, "increment", json!([bucket, "n", 2])).await?, json!(2));
    assert_eq!(call(host, key, "increment", json!([bucket, "n", 40])).await?, json!(42));
    assert!(refused(host, key, "increment", json!([bucket, "a", 1])).await?.contains("no number"));
    let much = json!([bucket, "n", 9_223_372_036_854_775_807_u64]);
    assert!(refused(host, key, "increment", much).await?.contains("would be more than"));
    assert_eq!(call(host, key, "get", one("n")).await?, json!("42"));
    call(host, key, "set-many", json!([bucket, [["b", "2"], ["c", "3"], ["b", "4"]]])).await?;
    let many = call(host, key, "get-many", json!([bucket, ["c", "none", "b"]])).await?;
    assert_eq!(many, json!([["c", "3"], null, ["b", "4"]]));
    assert_eq!(call(host, key, "keys", json!([bucket])).await?, json!([["a", "n", "b", "c"], 1]));
    call(host, key, "delete", one("a")).await?;
    call(host, key, "delete", one("a")).await?;
    call(host, key, "delete-many", json!([bucket, ["b", "none", "c", "n"]])).await?;
    assert_eq!(call(host, key, "keys", json!([bucket])).await?, json!([[], 1]));

    for (function, arguments, word) in [
        ("set", json!([bucket, "", "1"]), "a key has 1 to 1024 bytes"),
        ("get", json!([bucket, "x".repeat(1025)]), "a key has 1 to 1024 bytes"),
        ("fill", json!([bucket, "a", (1 << 20) + 1]), "a value has at most 1048576 bytes"),
        ("get-many", json!([bucket, vec!["x"; 257]]), "at most 256 keys"),
    ] {
        let words = refused(host, key, function, arguments).await?;
        assert!(words.contains(word), "{function}: {words}");
    }
    // Keys are listed part by part, each once; and values are bounded together.
    for part in 0..3 {
        let pairs: Vec<_> = (0..256).map(|number| json!([format!("key{}", part * 256 + number), "x"])).collect();
        call(host, key, "set-many", json!([bucket, pairs])).await?;
    }
    let listed = call(host, key, "keys", json!([bucket])).await?;
    let keys: Vec<_> = (0..768).map(|number| format!("key{number}")).collect();
    assert_eq!(listed, json!([keys, 2]));
    for keys in keys.chunks(256) {
        call(host, key, "delete-many", json!([bucket, keys])).await?;
    }
    let large = ["v0", "v1", "v2", "v3", "v4"];
    for name in large {
        call(host, key, "fill", json!([bucket, name, 1 << 20])).await?;
    }
    assert!(refused(host, key, "get-many", json!([bucket, large])).await?.contains("fewer keys"));
    call(host, key, "delete-many", json!([bucket, large])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_keyvalue_works_with_a_grant_and_nothing_without() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("north").await?;
    let published = host.publish(guests::built("test-pairs")?, "deploy=true").await?;
    let (status, refusal) = problem(published).await?;
    assert_eq!((status, code(&refusal)), (422, "invalid-component"), "{refusal}");
    let detail = refusal["detail"].as_str().context("detail")?;
    assert!(detail.contains("`keyvalue counts`") && detail.contains("--keyvalue counts"), "{detail}");

    let granted = json!([{"bucket": "counts"}, {"bucket": "common"}, {"bucket": "elsewhere", "store": "none-such"}, {"bucket": "unasked"}]);
    shelf(&host, granted).await?;
    use_all(&host, &key, "counts").await?;
    let grants = host.get("/v1/components/test/pairs/grants").await?;
    let used = grants["used"]["items"].to_string();
    assert!(used.contains("keyvalue counts") && !used.contains("keyvalue common"), "{used}");

    for (bucket, error, log) in [
        ("secret", "access denied", "wares grants add test:pairs --keyvalue secret"),
        ("unasked", "access denied", "the manifest of test:pairs does not ask for it"),
        ("../counts", "access denied", "is no name"),
        ("", "access denied", "is no name"),
        ("elsewhere", "no such store", "keyvalue.stores.none-such.url"),
    ] {
        let answer = host.call("test/pairs/pairs/get", &key, &json!([bucket, "a"])).await?;
        let (_, problem) = problem(answer).await?;
        assert_eq!(problem["error"], error, "{bucket}");
        let entry = host.get(&format!("/v1/calls/{}", problem["call_id"].as_str().context("call_id")?)).await?;
        let logs = entry["logs"].as_str().context("logs")?;
        assert!(logs.contains(log), "{bucket}: {logs}");
    }

    // What is taken back cannot be opened any more, however the version is deployed.
    grant(&host, "test/pairs", json!({})).await?;
    assert_eq!(refused(&host, &key, "get", json!(["counts", "a"])).await?, "access denied");
    Ok(())
}

/// What one caller sets, another sees only if the scope of the bucket says so.
async fn stay_apart(host: &Host) -> Result<()> {
    let (north, south) = (host.tenant("north").await?, host.tenant("south").await?);
    let callers = [("pairs", &north), ("pairs", &south), ("pairs-too", &north), ("pairs-too", &south)];
    for bucket in ["counts", "common", "elsewhere"] {
        for (caller, (component, key)) in callers.iter().enumerate() {
            call_of(host, component, key, "set", json!([bucket, "who", caller.to_string()])).await?;
            call_of(host, component, key, "set", json!([bucket, format!("own{caller}"), "x"])).await?;
        }
    }
    let seen = async |component: &str, key: &str, bucket: &str| -> Result<(Value, usize)> {
        let who = call_of(host, component, key, "get", json!([bucket, "who"])).await?;
        let keys = call_of(host, component, key, "keys", json!([bucket])).await?;
        Ok((who, keys[0].as_array().context("keys")?.len()))
    };
    for (caller, (component, key)) in callers.into_iter().enumerate() {
        assert_eq!(seen(component, key, "counts").await?, (json!(caller.to_string()), 2));
        let last = if component == "pairs" { "1" } else { "3" };
        assert_eq!(seen(component, key, "common").await?, (json!(last), 3));
        assert_eq!(seen(component, key, "elsewhere").await?, (json!("3"), 5));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_whose_their_scope_says() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let buckets = json!([
        {"bucket": "counts"}, {"bucket": "common", "scope": "component"}, {"bucket": "elsewhere", "scope": "shared"}
    ]);
    shelf(&host, buckets).await?;
    stay_apart(&host).await?;
    wiped(&host).await
}

/// Sets keys until the bucket is full, in 16 calls at once. Returns how many went in.
async fn set_until_full(host: &Host, key: &str, bucket: &str, bytes: usize) -> Result<usize> {
    let writers = (0..16).map(|writer| async move {
        let mut count = 0;
        loop {
            let arguments = json!([bucket, format!("w{writer:02}-{count:04}"), "x".repeat(bytes - 8)]);
            let answer = host.call("test/pairs/pairs/set", key, &arguments).await?;
            match answer.status().as_u16() {
                200 => count += 1,
                _ => {
                    let (_, problem) = problem(answer).await?;
                    ensure!(problem["error"].to_string().contains("the bucket is full"), "{problem}");
                    return anyhow::Ok(count);
                }
            }
        }
    });
    Ok(try_join_all(writers).await?.into_iter().sum())
}

/// A bucket of 100 keys and one of 10,000 bytes are full at exactly that.
async fn fill_exactly(host: &Host, key: &str) -> Result<()> {
    assert_eq!(set_until_full(host, key, "counts", 20).await?, 100);
    assert_eq!(set_until_full(host, key, "common", 250).await?, 40);
    // Not one byte more: neither by a longer value nor by a number's next digit, but as much as before.
    call(host, key, "fill", json!(["common", "w00-0000", 242])).await?;
    let full = refused(host, key, "fill", json!(["common", "w00-0000", 243])).await?;
    assert!(full.contains("10000 bytes"), "{full}");
    call(host, key, "fill", json!(["common", "w00-0000", 242 - 2])).await?;
    assert!(refused(host, key, "increment", json!(["common", "nn", 9])).await?.contains("10000 bytes"));
    call(host, key, "increment", json!(["common", "n", 9])).await?;
    assert!(refused(host, key, "increment", json!(["common", "n", 1])).await?.contains("10000 bytes"));
    assert_eq!(call(host, key, "get", json!(["common", "n"])).await?, "9");
    // A batch goes in as a whole or not at all.
    call(host, key, "delete", json!(["counts", "w00-0000"])).await?;
    let full = refused(host, key, "set-many", json!(["counts", [["one", "x"], ["two", "x"]]])).await?;
    assert!(full.contains("100 keys"), "{full}");
    assert_eq!(call(host, key, "exists", json!(["counts", "one"])).await?, false);
    call(host, key, "set-many", json!(["counts", [["one", "x"], ["one", "y"]]])).await?;
    Ok(())
}

const SMALL: &str =
    r#"[{"bucket": "counts", "keys-max": 100}, {"bucket": "common", "bytes-max": 10000}, {"bucket": "elsewhere"}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_to_the_byte_under_many_writers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host, serde_json::from_str(SMALL)?).await?;
    let key = host.tenant("north").await?;
    fill_exactly(&host, &key).await?;
    // Another tenant has a bucket of its own, empty.
    let key = host.tenant("south").await?;
    call(&host, &key, "set", json!(["counts", "a", "x"])).await?;
    Ok(())
}

/// 64 callers add 1 ten times each; every sum is returned once.
async fn count_exactly(host: &Host, key: &str) -> Result<()> {
    let callers = (0..64).map(|_| async {
        let mut sums = Vec::new();
        for _ in 0..10 {
            let sum = call(host, key, "increment", json!(["elsewhere", "n", 1])).await?;
            sums.push(sum.as_u64().context("sum")?);
        }
        anyhow::Ok(sums)
    });
    let mut sums = try_join_all(callers).await?.concat();
    sums.sort_unstable();
    assert_eq!(sums, (1..=640).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_many_callers_are_exact() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host, serde_json::from_str(SMALL)?).await?;
    let key = host.tenant("north").await?;
    count_exactly(&host, &key).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_compute_do_not_hold_up_a_change() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host, json!([{"bucket": "counts"}, {"bucket": "common"}, {"bucket": "elsewhere"}])).await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let (north, south) = (host.tenant("north").await?, host.tenant("south").await?);
    let nothing = json!({});
    let spinning = join_all((0..60).map(|_| host.call("test/hostile/spin", &south, &nothing)));
    let changing = async {
        host.until_running(60).await?;
        for round in 0..3 {
            let pairs: Vec<_> = (0..256).map(|key| json!([format!("key{key}"), "x".repeat(round)])).collect();
            call(&host, &north, "set-many", json!(["counts", pairs])).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        _ = spinning => bail!("nothing computed any more when the change was made"),
        changed = changing => changed?,
    }
    let listed = call(&host, &north, "keys", json!(["counts"])).await?;
    assert_eq!(listed[0].as_array().context("keys")?.len(), 256);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_pairs_and_counters_in_step() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host, serde_json::from_str(SMALL)?).await?;
    let key = host.tenant("north").await?;
    let set = async |writer: usize| {
        let mut sets = 0_usize;
        loop {
            let arguments = json!(["elsewhere", format!("w{writer}-{sets}"), "x".repeat(sets % 1000)]);
            let Ok(answer) = host.call("test/pairs/pairs/set", &key, &arguments).await else { return sets };
            if !answer.status().is_success() || answer.bytes().await.is_err() {
                return sets;
            }
            sets += 1;
            if writer == 0 && sets == 100 {
                host.signal(Signal::KILL).expect("a kill");
            }
        }
    };
    let answered: usize = join_all((0..16).map(set)).await.into_iter().sum();
    let admin_key = host.admin_key.clone();
    drop(host);

    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    let listed = call(&host, &key, "keys", json!(["elsewhere"])).await?;
    let kept = listed[0].as_array().context("keys")?.len();
    ensure!((answered..=answered + 16).contains(&kept), "{answered} sets were answered, {kept} are there");
    let database = Connection::open(dir.path().join("wares.sqlite"))?;
    let counted =
        |sql| -> Result<(i64, i64)> { Ok(database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?) };
    let counters = counted("SELECT bytes, keys FROM buckets")?;
    assert_eq!(counters, counted("SELECT SUM(LENGTH(key) + LENGTH(value)), COUNT(*) FROM pairs")?);
    assert_eq!(counters.1, kept as i64);
    Ok(())
}

/// A Redis server with a password. It would take no port of the system's choice, so it has a Unix socket.
struct Redis {
    port: Forwarded,
    _files: tempfile::TempDir,
    _process: Child,
}

impl Redis {
    async fn start() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let socket = files.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--requirepass", "secret", "--save", "", "--dir"]).arg(files.path());
        command.arg("--unixsocket").arg(&socket).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("redis-server: install the package of this name")?;
        let mut lines = BufReader::new(process.stdout.take().context("stdout")?).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("eady to accept connections") {
                    return Ok(());
                }
            }
            bail!("redis-server ended before it listened")
        };
        wait::patiently("redis-server does not listen", listens).await??;
        // What it says later must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { port: Forwarded::to(&socket).await?, _files: files, _process: process })
    }

    /// A host whose grants may name this server as `fast`.
    async fn host(&self, dir: &Path) -> Result<Host> {
        let settings = dir.join("host.toml");
        let url = format!("redis://:secret@{}", self.port.addr);
        std::fs::write(&settings, format!("[keyvalue.stores.fast]\nurl = \"{url}\"\nprefix = \"it\"\n"))?;
        let settings = settings.to_str().context("a path in UTF-8")?;
        Host::start_with(&dir.join("data"), None, &["--config", settings]).await
    }
}

/// The grants with the store `fast` in each.
fn in_redis(keyvalue: &str) -> Result<Value> {
    let mut grants: Value = serde_json::from_str(keyvalue)?;
    for grant in grants.as_array_mut().context("grants")? {
        grant["store"] = json!("fast");
    }
    Ok(grants)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_pairs_as_the_own_store_does() -> Result<()> {
    let (redis, dir) = (Redis::start().await?, tempfile::tempdir()?);
    let host = redis.host(dir.path()).await?;
    shelf(&host, in_redis(SMALL)?).await?;
    let key = host.tenant("west").await?;
    fill_exactly(&host, &key).await?;
    count_exactly(&host, &key).await?;
    shelf(&host, in_redis(r#"[{"bucket": "counts"}]"#)?).await?;
    use_all(&host, &host.tenant("east").await?, "counts").await?;
    let scopes = r#"[{"bucket": "counts"}, {"bucket": "common", "scope": "component"}, {"bucket": "elsewhere", "scope": "shared"}]"#;
    shelf(&host, in_redis(scopes)?).await?;
    stay_apart(&host).await?;

    // Nothing of it is in the host's own store.
    let database = Connection::open(dir.path().join("data/wares.sqlite"))?;
    assert_eq!(database.query_row("SELECT COUNT(*) FROM buckets", [], |row| row.get::<_, i64>(0))?, 0);
    wiped(&host).await?;

    // A server that is gone is an error that names no place.
    drop(redis);
    let words = refused(&host, &key, "get", json!(["counts", "a"])).await?;
    assert!(words.contains("failed") || words.contains("did not answer"), "{words}");
    assert!(!words.contains("127.0.0.1") && !words.contains("secret"), "{words}");
    Ok(())
}

/// What is wiped for a tenant is gone for it, and for nobody else.
async fn wiped(host: &Host) -> Result<()> {
    let keys = async |tenant: &str| -> Result<String> {
        let key = host.post(&format!("/v1/tenants/{tenant}/keys"), json!({"application": "later"})).await?;
        Ok(key["key"].as_str().context("key")?.to_owned())
    };
    let (north, south) = (keys("north").await?, keys("south").await?);
    let gone = success(host.request(Method::DELETE, "/v1/tenants/north/data", &host.admin_key).send().await?).await?;
    // Two pairs of `counts` in each of two components.
    assert_eq!(gone, json!({"tenant": "north", "pairs": 4}));
    assert_eq!(call(host, &north, "keys", json!(["counts"])).await?, json!([[], 1]));
    assert_eq!(call(host, &south, "get", json!(["counts", "who"])).await?, "1");
    assert_eq!(call(host, &north, "get", json!(["common", "who"])).await?, "1");
    Ok(())
}
