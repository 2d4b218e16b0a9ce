//! The files under `host/deploy` that operators start from, held against the programs that read them and against a host.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use wares_it::guests;
use wares_it::host::{Host, binary};

fn file(name: &str) -> PathBuf {
    guests::root().join("host/deploy").join(name)
}

fn check(output: Output) -> Result<String> {
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text)?;
    ensure!(output.status.success(), "{text}");
    Ok(text)
}

/// Names of metrics in a text, as the host shows them.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with("wares_") || word.starts_with("process_")).collect()
}

#[test]
fn alerts_are_rules_that_fire_when_they_should() -> Result<()> {
    check(Command::new("promtool").args(["check", "rules"]).arg(file("alerts.yml")).output()?)?;
    let folder = tempfile::tempdir()?;
    std::fs::copy(file("alerts.yml"), folder.path().join("alerts.yml"))?;
    let cases = folder.path().join("cases.yml");
    std::fs::write(&cases, include_str!("cases.yml"))?;
    check(Command::new("promtool").args(["test", "rules"]).arg(cases).output()?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_name_metrics_that_there_are() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(1)?, "test:number", "1.0.0").await?;
    host.call("test/number/numbers/number", &key, &json!({})).await?.error_for_status()?;
    // What is looked at by itself comes within a second or so; the sizes of the database with the first upkeep.
    for name in ["process_open_fds", "wares_disk_free_bytes", "wares_components", "wares_log_bytes"] {
        host.until_metric(name, |_| true).await?;
    }
    let shown = host.metrics().await?;
    let known = metrics_in(&shown);
    let dashboard = std::fs::read_to_string(file("dashboard.json"))?;
    serde_json::from_str::<serde_json::Value>(&dashboard)?;
    for (name, text) in [("alerts.yml", std::fs::read_to_string(file("alerts.yml"))?), ("dashboard.json", dashboard)] {
        let named =
            metrics_in(&text).into_iter().filter(|name| !name.ends_with("wares_calls")).collect::<BTreeSet<_>>();
        ensure!(named.len() > 5, "{name} names no metrics");
        let missing: Vec<_> = named.difference(&known).collect();
        ensure!(missing.is_empty(), "{name} names {missing:?}, which a host does not show:\n{shown}");
    }
    // As Prometheus' own rules for names and texts have it.
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().context("promtool: install the package prometheus")?;
    promtool.stdin.take().context("stdin")?.write_all(shown.as_bytes())?;
    check(promtool.wait_with_output()?)?;
    Ok(())
}

#[test]
fn units_are_as_systemd_has_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = binary()?;
    let service = std::fs::read_to_string(file("wares.service"))?;
    ensure!(service.contains("/usr/local/bin/wares "), "{service}");
    let service = service.replace("/usr/local/bin/wares ", &format!("{} ", program.display()));
    std::fs::write(folder.path().join("wares.service"), service)?;
    std::fs::copy(file("wares.socket"), folder.path().join("wares.socket"))?;
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    let told =
        check(verify.arg(folder.path().join("wares.service")).arg(folder.path().join("wares.socket")).output()?)?;
    ensure!(!told.contains("wares."), "{told}");
    Ok(())
}
