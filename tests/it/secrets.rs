//! Secrets: granted by name, set per component and tenant, sealed on disk, and shown by nothing but the component.

use crate::command::{Ended, client, run, wares};
use anyhow::{Context as _, Result};
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use wares_it::guests;
use wares_it::host::{Host, binary, code, problem, success};

/// No other text of the tests has it in it.
const HUSH: &str = "hush-4711-never-shown";

/// A process that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the component is given under the name.
async fn told(host: &Host, key: &str, name: &str) -> Result<Result<String, String>> {
    let answer = host.call("test/confides/confidant/secret", key, &json!({"name": name})).await?;
    let status = answer.status();
    let body: Value = answer.json().await?;
    let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{status}: {body}"));
    Ok(if status.is_success() { Ok(text(&body)?) } else { Err(text(&body["error"])?) })
}

async fn grant(host: &Host, component: &str, secrets: &[&str]) -> Result<Value> {
    host.put(&format!("/v1/components/{component}/grants"), json!({"grants": {"secrets": secrets}})).await
}

async fn set(host: &Host, component: &str, place: &str, value: &str) -> Result<Value> {
    host.put(&format!("/v1/components/{component}/secrets/{place}"), json!({"value": value})).await
}

/// A host with the component deployed and granted both secrets that it asks for.
async fn confidant(data: &Path) -> Result<Host> {
    let host = Host::start(data).await?;
    grant(&host, "test/confides", &["token", "spare"]).await?;
    host.publish(guests::built("test-confides")?, "deploy=true").await?.error_for_status()?;
    Ok(host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_the_secrets_that_it_asks_for_and_is_granted() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let refused = host.publish(guests::built("test-confides")?, "deploy=true").await?;
    let (status, refusal) = problem(refused).await?;
    let detail = refusal["detail"].as_str().unwrap_or_default();
    assert!(status == 422 && detail.contains("`secret token`") && detail.contains("--secret token"), "{refusal}");

    grant(&host, "test/confides", &["token", "spare", "unasked"]).await?;
    host.publish(guests::built("test-confides")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    for (place, value) in [("token", HUSH), ("unasked", "x")] {
        set(&host, "test/confides", place, value).await?;
    }
    assert_eq!(told(&host, &key, "token").await?.as_deref(), Ok(HUSH));
    for (name, words) in [("spare", "is not set"), ("unasked", "is not granted"), ("no name", "is not granted")] {
        let error = told(&host, &key, name).await?.unwrap_err();
        assert!(error.contains(words), "{name}: {error}");
    }
    let shown = host.get("/v1/components/test/confides/grants").await?;
    assert!(shown["used"]["items"].to_string().contains("secret token"), "{shown}");

    // A grant that is taken back is gone for the next call, also for an instance that had it.
    grant(&host, "test/confides", &[]).await?;
    assert!(told(&host, &key, "token").await?.unwrap_err().contains("is not granted"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_tenants_secret_counts_and_no_other_tenants() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = confidant(data.path()).await?;
    let key = async |id: &str, parent: Option<&str>| {
        host.post("/v1/tenants", json!({"id": id, "parent": parent})).await?;
        let key = host.post(&format!("/v1/tenants/{id}/keys"), json!({"application": "tests"})).await?;
        Ok::<_, anyhow::Error>(key["key"].as_str().context("key")?.to_owned())
    };
    let (city, district) = (key("city", None).await?, key("district", Some("city")).await?);
    let (street, other) = (key("street", Some("district")).await?, key("other", None).await?);
    set(&host, "test/confides", "token?tenant=city", "city's").await?;
    // Another component's is of no use to this one.
    set(&host, "test/stranger", "token", "stranger's").await?;
    let all = [&city, &district, &street, &other];
    let tell = async || {
        let mut tells = Vec::new();
        for key in all {
            tells.push(told(&host, key, "token").await?.unwrap_or_default());
        }
        Ok::<_, anyhow::Error>(tells)
    };
    assert_eq!(tell().await?, ["city's", "city's", "city's", ""]);
    set(&host, "test/confides", "token", "everybody's").await?;
    assert_eq!(tell().await?, ["city's", "city's", "city's", "everybody's"]);
    set(&host, "test/confides", "token?tenant=district", "district's").await?;
    assert_eq!(tell().await?, ["city's", "district's", "district's", "everybody's"]);
    // A changed one is seen by the next call, on the instance that is kept too.
    set(&host, "test/confides", "token?tenant=district", "new").await?;
    assert_eq!(tell().await?, ["city's", "new", "new", "everybody's"]);
    let remove =
        host.request(Method::DELETE, "/v1/components/test/confides/secrets/token?tenant=city", &host.admin_key);
    assert_eq!(remove.send().await?.status(), 204);
    assert_eq!(tell().await?, ["everybody's", "new", "new", "everybody's"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_no_log_and_no_file_shows_a_secret() -> Result<()> {
    let data = tempfile::tempdir()?;
    let log = std::fs::File::create(data.path().join("log"))?;
    let mut command = Command::new(binary()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "trace", "--data-dir"]);
    let process = command.arg(data.path().join("shelf")).stdout(Stdio::piped()).stderr(log).spawn()?;
    let mut process = Killed(process);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(process.0.stdout.take().context("stdout")?));
    let (mut url, mut admin_key) = (String::new(), String::new());
    for line in lines.take(2) {
        let line = line?;
        let value = |name| line.strip_prefix(name).map(str::to_owned);
        url = value("listening: ").unwrap_or(url);
        admin_key = value("admin key: ").unwrap_or(admin_key);
    }
    let http = wares_it::host::client()?;
    let send = async |method: Method, path: &str, key: &str, body: Value| {
        let request = http.request(method, format!("{url}{path}")).bearer_auth(key).json(&body);
        Ok::<_, anyhow::Error>(request.send().await?.error_for_status()?.text().await?)
    };
    let at = "/v1/components/test/confides";
    send(Method::PUT, &format!("{at}/grants"), &admin_key, json!({"grants": {"secrets": ["token", "spare"]}})).await?;
    let publish = http.post(format!("{url}/v1/components?deploy=true")).bearer_auth(&admin_key);
    let publish = publish.header("content-type", "application/wasm").body(guests::built("test-confides")?);
    publish.send().await?.error_for_status()?;
    send(Method::POST, "/v1/tenants", &admin_key, json!({"id": "north"})).await?;
    let made = send(Method::POST, "/v1/tenants/north/keys", &admin_key, json!({"application": "tests"})).await?;
    let key = serde_json::from_str::<Value>(&made)?["key"].as_str().context("key")?.to_owned();

    let mut answers = vec![
        send(Method::PUT, &format!("{at}/secrets/token"), &admin_key, json!({"value": HUSH})).await?,
        send(Method::GET, &format!("{at}/secrets"), &admin_key, Value::Null).await?,
        send(Method::GET, &format!("{at}/secrets/token"), &admin_key, Value::Null).await?,
    ];
    assert!(answers.iter().all(|answer| answer.contains("\"revision\":1")), "{answers:?}");
    let path = "/v1/call/test/confides/confidant/secret";
    assert_eq!(send(Method::POST, path, &key, json!({"name": "token"})).await?, json!(HUSH).to_string());
    answers.push(send(Method::POST, "/v1/secrets/rekey", &admin_key, Value::Null).await?);
    answers.push(send(Method::GET, &format!("{at}/grants"), &admin_key, Value::Null).await?);
    assert!(!answers.concat().contains(HUSH), "{answers:?}");
    process.0.kill()?;
    process.0.wait()?;

    let mut files = vec![data.path().to_owned()];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?);
            continue;
        }
        let bytes = std::fs::read(&path)?;
        assert!(!bytes.windows(HUSH.len()).any(|part| part == HUSH.as_bytes()), "{} shows it", path.display());
        read += bytes.len();
    }
    assert!(read > 100_000, "{read} bytes were looked at");
    let mode = data.path().join("shelf/secrets.key").metadata()?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_or_changed_is_refused() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = confidant(data.path()).await?;
    let (north, south) = (host.tenant("north").await?, host.tenant("south").await?);
    for (place, value) in
        [("token?tenant=north", "north's"), ("token?tenant=south", "south's"), ("spare?tenant=north", "another")]
    {
        set(&host, "test/confides", place, value).await?;
    }
    let database = Connection::open(data.path().join("wares.sqlite"))?;
    database.busy_timeout(std::time::Duration::from_secs(10))?;
    let swaps = [
        "UPDATE secrets SET tenant = CASE tenant WHEN 'north' THEN 'x' ELSE 'north' END WHERE name = 'token'",
        "UPDATE secrets SET tenant = 'south' WHERE tenant = 'x'",
    ];
    for swap in swaps {
        database.execute(swap, [])?;
    }
    for key in [&north, &south] {
        let error = told(&host, key, "token").await?.unwrap_err();
        assert!(error.contains("damaged or was moved"), "{error}");
    }
    database.execute("UPDATE secrets SET revision = 2 WHERE name = 'spare'", [])?;
    assert!(told(&host, &north, "spare").await?.unwrap_err().contains("damaged or was moved"));
    // Setting it again makes it good.
    set(&host, "test/confides", "token?tenant=north", "north's").await?;
    assert_eq!(told(&host, &north, "token").await?.as_deref(), Ok("north's"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_nothing_is_read_and_with_a_new_one_all_goes_on() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = confidant(data.path()).await?;
    let (key, admin) = (host.tenant("north").await?, host.admin_key.clone());
    set(&host, "test/confides", "token", HUSH).await?;
    host.kill().await?;
    let file = data.path().join("secrets.key");
    let old = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;

    let host = Host::start_with(data.path(), Some(&admin), &[]).await?;
    assert!(told(&host, &key, "token").await?.unwrap_err().contains("no key to open the secret"));
    let request = host.request(Method::PUT, "/v1/components/test/confides/secrets/token", &admin);
    let (status, refusal) = problem(request.json(&json!({"value": "x"})).send().await?).await?;
    assert!(status == 409 && code(&refusal) == "conflict", "{refusal}");
    assert!(refusal["detail"].as_str().unwrap_or_default().contains("secrets.key-file"), "{refusal}");
    host.kill().await?;
    assert!(!file.exists(), "a new key was made in the place of the lost one");

    let keys = data.path().join("keys");
    std::fs::write(&keys, &old)?;
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600))?;
    let variable = [("WARES_SECRETS_KEY_FILE", keys.to_str().context("path")?)];
    let host = Host::start_in(data.path(), Some(&admin), &[], &variable).await?;
    assert_eq!(told(&host, &key, "token").await?.as_deref(), Ok(HUSH));
    std::fs::write(&keys, format!("{}\n{old}", "5".repeat(64)))?;
    let rekeyed = client(data.path(), &host, &admin, &["secrets", "rekey", "--json"])?;
    let done: Value = serde_json::from_str(&rekeyed.stdout).with_context(|| rekeyed.stderr.clone())?;
    assert_eq!((&done["resealed"], &done["unreadable"]), (&json!(1), &json!(0)));
    host.kill().await?;

    let host = Host::start_in(data.path(), Some(&admin), &[], &[("WARES_SECRETS_KEY", &"5".repeat(64))]).await?;
    assert_eq!(told(&host, &key, "token").await?.as_deref(), Ok(HUSH));
    Ok(())
}

#[test]
fn a_key_file_without_a_key_or_for_others_to_read_is_named_at_the_start() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir(dir.path().join("data"))?;
    let path = dir.path().join("data/secrets.key");
    for (text, mode, why) in [("", 0o600, "there is no key"), ("5".repeat(64).as_str(), 0o640, "chmod 600")] {
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        let ended = wares(dir.path(), ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"])?;
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains("secrets.key") && ended.stderr.contains(why), "{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_takes_secrets_from_a_pipe_or_a_file() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = confidant(&data.path().join("data")).await?;
    let key = host.tenant("north").await?;
    let piped = pipe(&host, &["secrets", "set", "test:confides", "token"], HUSH)?;
    assert_eq!((piped.code, piped.stdout.as_str()), (0, "token is at revision 1\n"), "{}", piped.stderr);
    assert_eq!(told(&host, &key, "token").await?.as_deref(), Ok(HUSH));
    std::fs::write(data.path().join("value"), "from a file\n")?;
    let run = |args: &[&str]| client(data.path(), &host, &host.admin_key, args);
    let filed = run(&["secrets", "set", "test:confides", "token", "--tenant", "north", "--file", "value"])?;
    assert_eq!(filed.code, 0, "{}", filed.stderr);
    assert_eq!(told(&host, &key, "token").await?.as_deref(), Ok("from a file"));
    let listed = run(&["secrets", "list", "test:confides", "--json"])?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    assert_eq!(
        (&listed[0]["tenant"], &listed[1]["tenant"], &listed[1]["name"]),
        (&Value::Null, &json!("north"), &json!("token"))
    );
    assert_eq!(run(&["secrets", "remove", "test:confides", "token", "--tenant", "north"])?.code, 0);
    assert_eq!(told(&host, &key, "token").await?.as_deref(), Ok(HUSH));
    let none = run(&["secrets", "remove", "test:confides", "token", "--tenant", "north"])?;
    assert!(none.code != 0 && none.stderr.contains("no secret token set for tenant north"), "{}", none.stderr);
    // A tenant's key may not look.
    let (status, _) =
        problem(host.request(Method::GET, "/v1/components/test/confides/secrets", &key).send().await?).await?;
    assert_eq!(status, 403);
    success(host.request(Method::GET, "/v1/components/test/confides/secrets", &host.admin_key).send().await?).await?;
    Ok(())
}

fn pipe(host: &Host, args: &[&str], input: &str) -> Result<Ended> {
    let mut file = tempfile::tempfile()?;
    writeln!(file, "{input}")?;
    std::io::Seek::rewind(&mut file)?;
    let mut command = Command::new(binary()?);
    run(command.args(args).env("WARES_HOST", &host.url).env("WARES_KEY", &host.admin_key).stdin(file))
}
