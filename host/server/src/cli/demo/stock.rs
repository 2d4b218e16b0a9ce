//! Stocking a shelf through the public API: keys, a tenant, components. What is there already stays as it is.

use crate::cli::components::{cell, main_version, path};
use crate::cli::publish::{PublishRequest, read_component, send};
use crate::client::{Body, Client, ClientError, ClientFile, encode};
use crate::exit::Exit;
use crate::{output, shell};
use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wares_catalog::deploy::SHARES_TOTAL;
use wares_model::{ComponentName, Manifest, ProblemCode, Version};

use crate::vendor::build::Built;

/// The tenant of the demo.
const TENANT: &str = "demo-district";
/// Its system.
const APPLICATION: &str = "demo";

/// A stocked shelf.
pub(super) struct Stocked {
    pub(super) admin_key: String,
    pub(super) tenant_key: String,
    /// Components that take no traffic.
    pub(super) refused: BTreeSet<ComponentName>,
}

/// Makes keys and publishes what was built. Keys are noted in the data directory for the next start and for the client.
pub(super) async fn stock(
    base: &str,
    data_dir: &Path,
    new_admin_key: Option<String>,
    built: &[Built],
) -> anyhow::Result<Stocked> {
    let noted = ClientFile::read(data_dir)?;
    let (admin_key, noted_tenant_key) = match (new_admin_key, noted) {
        (Some(new), _) => (new, None),
        (None, Some(noted)) => (noted.admin_key, noted.tenant_key),
        (None, None) => (std::env::var("WARES_KEY").map_err(|_| no_admin_key(data_dir))?, None),
    };
    let note = |tenant_key: Option<&str>| {
        let file = ClientFile {
            host: base.to_owned(),
            admin_key: admin_key.clone(),
            tenant_key: tenant_key.map(str::to_owned),
        };
        file.write(data_dir)
    };
    // Noted at once: a new shelf shows its first key only now.
    note(noted_tenant_key.as_deref())?;
    let admin = Client::new(base, &admin_key)?;
    admin.get::<Value>("/v1/keys").await.with_context(|| format!("the admin key for {}", data_dir.display()))?;
    let tenant_key = tenant_key(&admin, noted_tenant_key).await?;
    note(Some(&tenant_key))?;
    for component in built {
        publish(&admin, component).await?;
    }
    let refused = deploy(&admin, newest(built)).await?;
    Ok(Stocked { admin_key, tenant_key, refused })
}

/// Deploys what has never been. What is refused is tried again as long as others get through, which it may need, and is said
/// and left out in the end.
async fn deploy(
    admin: &Client,
    mut waiting: BTreeMap<ComponentName, Version>,
) -> anyhow::Result<BTreeSet<ComponentName>> {
    loop {
        let mut refused = BTreeMap::new();
        for (name, version) in &waiting {
            match deploy_if_new(admin, name, version).await {
                Ok(()) => {}
                Err(ClientError::Problem(problem)) => {
                    refused.insert(name.clone(), problem.detail);
                }
                Err(error) => return Err(error).with_context(|| format!("deploying {name} {version}")),
            }
        }
        if refused.len() == waiting.len() || refused.is_empty() {
            for (name, why) in &refused {
                output::note(&format!("{name} is on the shelf but takes no traffic: {why}"));
            }
            return Ok(refused.into_keys().collect());
        }
        waiting.retain(|name, _| refused.contains_key(name));
    }
}

fn no_admin_key(data_dir: &Path) -> anyhow::Error {
    let place = data_dir.display();
    let message = format!(
        "the shelf in {place} has an admin key that is not noted there: set WARES_KEY to one, or choose another --data-dir"
    );
    Exit::Refused.error(message)
}

/// The noted key if it still works, else a new one.
async fn tenant_key(admin: &Client, noted: Option<String>) -> anyhow::Result<String> {
    if let Some(key) = noted {
        let works = Client::new(admin.base(), &key)?.get::<Value>("/v1/components?limit=1").await;
        match works {
            Ok(_) => return Ok(key),
            Err(error) if is(&error, ProblemCode::Unauthenticated) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let tenant = Body::Json(json!({"id": TENANT, "name": "Demo district"}));
    match admin.send(Method::POST, "/v1/tenants", tenant).await {
        Ok(_) => {}
        Err(error) if is(&error, ProblemCode::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    let request = Body::Json(json!({"application": APPLICATION}));
    let key: Value = admin.send(Method::POST, &format!("/v1/tenants/{TENANT}/keys"), request).await?.json()?;
    Ok(cell(&key, "/key"))
}

async fn publish(admin: &Client, component: &Built) -> anyhow::Result<()> {
    let info = &component.manifest.component;
    let wasm = read_component(&component.path)?;
    let _spinner = output::Spinner::start(&format!("publishing {} {}", info.name, info.version));
    match send(admin, wasm, &PublishRequest::default()).await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, ProblemCode::Conflict) => {
            output::note(&format!(
                "{} {} is on the shelf with other bytes and stays so; raise the version in {} to publish the change",
                info.name,
                info.version,
                component.project.join("wares.toml").display()
            ));
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("publishing {} {}", info.name, info.version)),
    }
}

/// The highest version of each component.
fn newest(built: &[Built]) -> BTreeMap<ComponentName, Version> {
    let mut newest = BTreeMap::new();
    for Built { manifest, .. } in built {
        let info = &manifest.component;
        let version = newest.entry(info.name.clone()).or_insert_with(|| info.version.clone());
        if info.version > *version {
            *version = info.version.clone();
        }
    }
    newest
}

/// Deploys a component that has never been; what an operator chose is left alone.
async fn deploy_if_new(admin: &Client, name: &ComponentName, version: &Version) -> Result<(), ClientError> {
    let component: Value = admin.get(&path(name)).await?;
    if component.get("deployment").is_some_and(|deployment| !deployment.is_null()) {
        if main_version(&component).as_ref() != Some(version) {
            output::note(&format!(
                "{name} {version} is on the shelf but takes no traffic: wares deploy {} {version}",
                name.path()
            ));
        }
        return Ok(());
    }
    let body = Body::Json(
        json!({"traffic": {version.to_string(): SHARES_TOTAL}, "reason": "first deployment, by wares demo"}),
    );
    admin.send(Method::PUT, &format!("{}/deployment", path(name)), body).await?;
    Ok(())
}

fn is(error: &ClientError, code: ProblemCode) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code() == Some(code))
}

/// A call of the manifest's first example, as a line for a shell.
pub(super) fn curl(base: &str, key: &str, manifest: &Manifest) -> Option<String> {
    let example = manifest.examples.first()?;
    let interface = example.interface.as_deref().map(|interface| format!("/{}", encode(interface))).unwrap_or_default();
    let at = format!("{base}/v1/call/{}{interface}/{}", manifest.component.name.path(), encode(&example.function));
    let words = [
        "curl -sS -X POST".to_owned(),
        shell::quote(&at),
        format!("-H {}", shell::quote(&format!("authorization: Bearer {key}"))),
        "-H 'content-type: application/json'".to_owned(),
        format!("-d {}", shell::quote(&one_line(&example.arguments))),
    ];
    Some(words.join(" "))
}

/// JSON without line breaks, which a terminal may take for the end of the command.
fn one_line(json: &str) -> String {
    match serde_json::from_str::<Value>(json) {
        Ok(value) if json.contains('\n') => value.to_string(),
        _ => json.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(interface: &str, arguments: &str) -> Manifest {
        Manifest::parse(&format!(
            "[component]\nname = 'form:report'\nversion = '1.0.0'\n[[examples]]\nname = 'one'\n{interface}\nfunction = 'collect'\narguments = '''{arguments}'''"
        ))
        .unwrap()
    }

    #[test]
    fn a_curl_line_survives_the_shell() {
        let manifest = manifest("interface = 'form:report/report@1.0.0'", "{\"name\": \"O'Neil $HOME\",\n \"n\": 1}");
        let line = curl("http://127.0.0.1:1", "key", &manifest).unwrap();
        assert!(!line.contains('\n'), "{line}");
        let script = format!("curl() {{ printf '%s\\n' \"$@\"; }}; {line}");
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = words.lines().collect();
        assert!(
            words.contains(&"http://127.0.0.1:1/v1/call/form/report/form%3Areport%2Freport%401.0.0/collect"),
            "{words:?}"
        );
        assert!(words.contains(&"authorization: Bearer key"), "{words:?}");
        assert_eq!(*words.last().unwrap(), r#"{"name":"O'Neil $HOME","n":1}"#);
    }

    #[test]
    fn a_function_of_the_world_and_a_manifest_without_examples() {
        let line = curl("http://h", "k", &manifest("", "{}")).unwrap();
        assert!(line.contains(" http://h/v1/call/form/report/collect "), "{line}");
        let mut none = manifest("", "{}");
        none.examples.clear();
        assert_eq!(curl("http://h", "k", &none), None);
    }
}
