//! Changes of the shelf under components that use others: what is refused, and who is told of what breaks.

use crate::command::done;
use crate::composition::{FOREVER, chain, deployment, go, grant};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, success};

#[tokio::test]
async fn types_alone_need_nobody_who_provides_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("rates")?, "test:rates", "1.0.0").await?;
    let answer = host.call("test/rates/rates/double", &key, &json!({"rate": {"cents": 21}})).await?;
    assert_eq!(success(answer).await?, json!(42));
    assert_eq!(host.get("/v1/graph").await?["items"], json!([]), "it uses nobody");
    Ok(())
}

#[tokio::test]
async fn a_component_that_comes_to_provide_what_it_uses_goes_on_to_the_others() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::link_end("loop", 1, "")?, "test:other", "1.0.0").await?;
    grant(&host, "test:loop", &["test:loop", "test:other"]).await?;
    host.publish_and_deploy(guests::link("loop", "loop", 1)?, "test:loop", "1.0.0").await?;
    assert_eq!(success(go(&host, &key, "loop", 1).await?).await?, 3);
    Ok(())
}

#[tokio::test]
async fn two_deployments_at_once_close_no_circle() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    for (own, other) in [("one", "two"), ("two", "one")] {
        let name = format!("test:{own}");
        grant(&host, &name, &[&format!("test:{other}")]).await?;
        host.publish_and_deploy(guests::link_end(own, 1, "")?, &name, "1.0.0").await?;
        let uses = host.publish(guests::link(own, other, 1)?, &format!("name={name}&version=1.1.0")).await?;
        uses.error_for_status()?;
    }
    for round in 0..10 {
        let both = tokio::try_join!(deployment(&host, "test/one", "1.1.0"), deployment(&host, "test/two", "1.1.0"))?;
        let mut statuses = [both.0.status().as_u16(), both.1.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422], "round {round}");
        for path in ["test/one", "test/two"] {
            host.deploy(path, "1.0.0").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_that_comes_in_unasked_is_told_of() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish_and_deploy(guests::link_end("late", 1, "")?, "test:early", "1.0.0").await?;
    grant(&host, "test:user", &["test:early"]).await?;
    let deployed = host.publish_and_deploy(guests::link("user", "late", 1)?, "test:user", "1.0.0").await?;
    assert_eq!(deployed["warnings"], Value::Null);

    // Named like the interface's package, it provides the interface from its first deployment.
    let deployed = host.publish_and_deploy(guests::link_end("late", 1, "")?, "test:late", "1.0.0").await?;
    let told = deployed["warnings"][0].as_str().unwrap_or_default();
    for words in [
        "test:user@1.0.0 imports test:late/links@1.0.0, which test:late provides, and may not call it",
        "`wares grants add test:user --component test:late`",
    ] {
        ensure!(told.contains(words), "{words}: {deployed:#}");
    }
    let choice = "/v1/providers/test:late/links";
    let chosen = host.put(choice, json!({"component": "test:early"})).await?;
    assert_eq!(chosen["warnings"], Value::Null, "{chosen:#}");
    let taken = host.request(reqwest::Method::DELETE, choice, &host.admin_key).send().await?;
    assert_eq!(success(taken).await?["warnings"][0].as_str(), Some(told));
    grant(&host, "test:user", &["test:late"]).await?;
    assert_eq!(host.get("/v1/components/test/user/grants").await?["lacking"], json!([]));
    grant(&host, "test:user", &["test:early"]).await?;
    assert_eq!(host.get("/v1/components/test/user/grants").await?["lacking"][0].as_str(), Some(told));
    Ok(())
}

#[tokio::test]
async fn the_command_line_warns_of_grants_and_choices_that_break_calls() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    chain(&host, "g", 3, 0, "").await?;
    let wares = |args: &[&str]| done(dir.path(), &host, &host.admin_key, args);
    let told = wares(&["grants", "remove", "test:g1", "--component", "test:g2"])?;
    let warning = "WARNING: test:g1@1.0.0 imports test:g2/links@1.0.0, which test:g2 provides, and may not call it";
    ensure!(told.contains(warning), "{told}");
    let told = wares(&["grants", "add", "test:g1", "--component", "test:g2"])?;
    ensure!(!told.contains("WARNING"), "{told}");
    host.publish_and_deploy(guests::link_end("g2", 1, "")?, "test:alike", "1.0.0").await?;
    let told = wares(&["providers", "choose", "test:g2/links", "test:alike"])?;
    ensure!(told.contains("test:g2/links@1.0.0, which test:alike provides, and may not call it"), "{told}");
    let told = wares(&["providers", "unchoose", "test:g2/links"])?;
    ensure!(!told.contains("WARNING"), "{told}");
    Ok(())
}

#[tokio::test]
async fn calls_that_wait_to_call_components_keep_no_others_out() -> Result<()> {
    /// Calls that get through before the first one that calls a component ends, which takes its second of CPU time.
    const SERVED_MIN: usize = 20;
    let dir = tempfile::tempdir()?;
    let variables = [("WARES_CALLS_CONCURRENCY_MAX", "4"), ("WARES_CALLS_COMPOSED_MAX", "1")];
    let host = Host::start_in(dir.path(), None, &[], &variables).await?;
    let key = host.tenant("district").await?;
    chain(&host, "busy", 2, 0, FOREVER).await?;
    host.publish_and_deploy(guests::number(7)?, "test:plain", "1.0.0").await?;
    let busy = async || {
        let ended = futures::future::select_all((0..4).map(|_| Box::pin(go(&host, &key, "busy0", 0)))).await;
        ended.0.map(drop)
    };
    let mut served = 0;
    let mut plain = async || -> Result<()> {
        loop {
            let answer = host.call("test/plain/numbers/number", &key, &json!({})).await?;
            ensure!(success(answer).await? == json!(7));
            served += 1;
        }
    };
    tokio::select! {
        first = busy() => first?,
        failed = plain() => failed?,
    }
    ensure!(served >= SERVED_MIN, "{served} other calls were served");
    Ok(())
}
