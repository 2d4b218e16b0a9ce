//! Components that are programs (`wasi:cli/run`): they get arguments, an environment and input from the caller, and the answer has
//! their output and exit code.

use anyhow::Result;
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

async fn host(data: &std::path::Path) -> Result<(Host, String)> {
    let host = Host::start(data).await?;
    host.publish(guests::built("test-program")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("district").await?;
    Ok((host, key))
}

#[tokio::test]
async fn a_program_gets_what_the_caller_gives_and_answers_with_its_output() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = host(dir.path()).await?;
    let given = json!({"arguments": ["-n", "两"], "environment": {"LANG": "zh"}, "input": "line\n"});
    let answer = success(host.call("test/program/run/run", &key, &given).await?).await?;
    let output = "arguments [\"program\", \"-n\", \"两\"]\nenvironment LANG=zh\ninput Ok(5) \"line\\n\"\n";
    assert_eq!(answer, json!({"exit-code": 0, "output": output, "errors": "to standard error\n"}));

    let nothing = success(host.call("test/program/run/run", &key, &json!({})).await?).await?;
    assert_eq!(nothing["output"], "arguments [\"program\"]\ninput Ok(0) \"\"\n");
    Ok(())
}

#[tokio::test]
async fn the_exit_code_is_told_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = host(dir.path()).await?;
    let run =
        async |arguments: &[&str]| host.call("test/program/run/run", &key, &json!({"arguments": arguments})).await;
    // To exit well is to succeed.
    let exited = success(run(&["exit", "0"]).await?).await?;
    assert_eq!(exited["exit-code"], 0, "{exited:#}");
    let cases: [(&[&str], u8); 2] = [(&["fail"], 1), (&["exit", "1"], 1)];
    for (arguments, exit_code) in cases {
        let response = run(arguments).await?;
        let call = response.headers()["wares-call-id"].to_str()?.to_owned();
        let (status, failed) = problem(response).await?;
        assert_eq!((status, code(&failed)), (422, "component-error"), "{failed:#}");
        assert_eq!(failed["error"]["exit-code"], exit_code, "{failed:#}");
        assert!(failed["error"]["output"].as_str().unwrap_or_default().starts_with("arguments"), "{failed:#}");
        let entry = host.entry(&call).await?;
        assert_eq!(entry["outcome"], "component-error", "{entry:#}");
        assert_eq!(entry["logs"], "to standard error\n", "{entry:#}");
    }
    let (_, trapped) = problem(run(&["panic"]).await?).await?;
    assert_eq!(code(&trapped), "trap", "{trapped:#}");
    Ok(())
}

#[tokio::test]
async fn what_is_given_and_what_is_written_is_bounded() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = host(dir.path()).await?;
    let run = async |given: Value| host.call("test/program/run/run", &key, &given).await;
    let (_, flooded) = problem(run(json!({"arguments": ["flood"]})).await?).await?;
    assert_eq!(code(&flooded), "limit-output", "{flooded:#}");
    for given in [json!({"arguments": "-n"}), json!({"environment": ["LANG"]}), json!({"stdin": ""})] {
        let (status, refused) = problem(run(given).await?).await?;
        assert_eq!((status, code(&refused)), (400, "bad-arguments"), "{refused:#}");
    }
    let shown = host.get("/v1/components/test/program/versions/1.0.0").await?.to_string();
    assert!(shown.contains("exit-code") && shown.contains("environment"), "{shown}");
    Ok(())
}
