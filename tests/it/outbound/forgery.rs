//! Requests that want to reach what their component may not: by odd addresses, by DNS, by redirects, by headers.

use super::shelf::{Shelf, error};
use super::upstream::Upstream;
use anyhow::Result;
use serde_json::{Value, json};

/// A server that nobody is granted, and one that is, at the same port.
async fn servers() -> Result<(Upstream, Upstream)> {
    loop {
        let good = Upstream::start("127.0.0.1:0").await?;
        // The port may be taken at the other address.
        if let Ok(evil) = Upstream::start(&format!("127.0.0.2:{}", good.port())).await {
            return Ok((good, evil));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_ways_to_write_an_address_lead_nowhere() -> Result<()> {
    let shelf = Shelf::new().await?;
    let (good, evil) = servers().await?;
    let port = good.port();
    let cases = [
        // Addresses in disguise. What the guest's own library refuses need not be refused again.
        ("2130706433", &["HttpRequestUriInvalid"][..]),
        ("0x7f000001", &["HttpRequestUriInvalid"]),
        ("0x7f.0.0.1", &["HttpRequestUriInvalid"]),
        ("0177.0.0.1", &["HttpRequestUriInvalid"]),
        ("017700000001", &["HttpRequestUriInvalid"]),
        ("127.1", &["HttpRequestUriInvalid"]),
        ("127.0.1", &["HttpRequestUriInvalid"]),
        ("127.0.0.1", &["DestinationIpProhibited"]),
        ("127.0.0.1.", &["DestinationIpProhibited"]),
        ("[::ffff:127.0.0.1]", &["DestinationIpProhibited"]),
        ("[::ffff:7f00:1]", &["DestinationIpProhibited"]),
        ("[::1]", &["HttpRequestDenied"]),
        ("[::1%25lo]", &["HttpRequestUriInvalid", "refused authority"]),
        ("[fe80::1%eth0]", &["HttpRequestUriInvalid", "refused authority"]),
        ("localhost", &["HttpRequestDenied"]),
        ("127.0.0.1.wares.test", &["DnsError"]),
        // Authorities that say two things.
        ("good.wares.test@127.0.0.2", &["HttpRequestUriInvalid", "refused authority"]),
        ("user:word@good.wares.test", &["HttpRequestUriInvalid", "refused authority"]),
        ("127.0.0.2#.good.wares.test", &["refused authority"]),
        ("127.0.0.2/.good.wares.test", &["refused authority"]),
        ("127.0.0.2?.good.wares.test", &["refused authority"]),
        ("127.0.0.2\\.good.wares.test", &["refused authority"]),
        ("127.0.0.2\r\n.good.wares.test", &["refused authority"]),
        ("good%2ewares.test", &["HttpRequestUriInvalid", "refused authority"]),
        ("good.wares.test%00.other.test", &["HttpRequestUriInvalid", "refused authority"]),
        ("\u{ff11}27.0.0.1", &["refused authority"]),
        ("good\u{3002}wares.test", &["refused authority"]),
        ("good..wares.test", &["HttpRequestUriInvalid"]),
        (".wares.test", &["HttpRequestUriInvalid"]),
        ("wares.test", &["HttpRequestDenied"]),
        ("goodwares.test", &["HttpRequestDenied"]),
        ("good.wares.test.evil.test", &["HttpRequestDenied"]),
    ];
    // A few at a time: a call may send eight.
    for some in cases.chunks(8) {
        let asks: Vec<_> = some.iter().map(|(host, _)| json!({"authority": format!("{host}:{port}")})).collect();
        let told = shelf.ask(Value::from(asks)).await?;
        for ((host, expected), told) in some.iter().zip(&told.each) {
            assert!(expected.iter().any(|word| error(told).contains(word)), "{host}: {told:#}");
        }
    }
    for authority in
        [format!("good.wares.test:{}", u32::from(port) + 65_536), "good.wares.test:".into(), "good.wares.test:0".into()]
    {
        let (told, _) = shelf.ask_one(json!({"authority": authority})).await?;
        assert!(
            ["HttpRequestUriInvalid", "refused authority"].iter().any(|word| error(&told).contains(word)),
            "{told:#}"
        );
    }
    assert_eq!((good.seen().opened, evil.seen().opened), (0, 0));

    // One name has one form.
    for host in ["good.wares.test", "GOOD.wares.TEST", "good.wares.test."] {
        let (told, log) = shelf.ask_one(json!({"authority": format!("{host}:{port}")})).await?;
        assert_eq!(told["status"], 200, "{host}: {told:#} {log}");
    }
    assert!(good.seen().heads.iter().all(|head| head.contains(&format!("\r\nhost: good.wares.test:{port}\r\n"))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dns_answers_is_checked_each_time_and_dialled_as_checked() -> Result<()> {
    let shelf = Shelf::new().await?;
    let (good, evil) = servers().await?;
    let port = good.port();
    let ask = |label: &str| json!({"authority": format!("{label}.wares.test:{port}")});
    let prohibited = [
        "evil",
        "private",
        "shared",
        "metadata",
        "metadata6",
        "unspecified",
        "loopback6",
        "mapped",
        "translated",
        "sixtofour",
    ];
    for some in prohibited.chunks(5) {
        let told = shelf.ask(some.iter().map(|label| ask(label)).collect()).await?;
        for (label, told) in some.iter().zip(&told.each) {
            assert_eq!(error(told), "ErrorCode::DestinationIpProhibited", "{label}: {told:#}");
        }
        assert!(told.log.contains("which is not granted"), "{}", told.log);
    }
    assert_eq!((good.seen().opened, evil.seen().opened), (0, 0));

    let (told, log) = shelf.ask_one(ask("both")).await?;
    assert_eq!(told["status"], 200, "the address that is granted is dialled: {told:#} {log}");
    let told = shelf.ask(json!([ask("flip"), ask("flip"), ask("flip")])).await?;
    assert_eq!(told.each[0]["status"], 200, "{:#} {}", told.each[0], told.log);
    for later in &told.each[1..] {
        assert_eq!(error(later), "ErrorCode::DestinationIpProhibited", "the name leads elsewhere now: {later:#}");
    }
    assert_eq!((good.seen().opened, evil.seen().opened), (2, 0));

    let (told, log) = shelf.ask_one(ask("missing")).await?;
    assert!(error(&told).contains("DnsError") && log.contains("cannot be looked up"), "{told:#} {log}");
    let (told, _) = shelf.ask_one(json!({"authority": format!("silent.wares.test:{port}"), "connect_ms": 300})).await?;
    assert_eq!(error(&told), "ErrorCode::DnsTimeout", "{told:#}");
    assert_eq!(shelf.count("dns").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_redirect_leads_is_checked_again() -> Result<()> {
    let shelf = Shelf::new().await?;
    let (good, evil) = servers().await?;
    let port = good.port();
    for (place, expected) in [
        (format!("http://127.0.0.1:{port}/"), "DestinationIpProhibited"),
        (format!("http://127.0.0.2:{port}/"), "HttpRequestDenied"),
        (format!("http://evil.wares.test:{port}/"), "DestinationIpProhibited"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "DestinationIpProhibited"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "HttpRequestDenied"),
        ("file:///etc/passwd".to_owned(), ""),
    ] {
        let ask = json!({"authority": format!("good.wares.test:{port}"), "path": format!("/redirect?{place}"), "redirects": 3});
        let told = shelf.ask(json!([ask])).await?;
        assert_eq!(told.each[0]["status"], 302, "{place}: {}", told.log);
        assert!(
            told.each[1]["error"].is_string() && error(&told.each[1]).contains(expected),
            "{place}: {:#}",
            told.each[1]
        );
    }
    let place = format!("http://other.wares.test:{port}/seen");
    let ask =
        json!({"authority": format!("good.wares.test:{port}"), "path": format!("/redirect?{place}"), "redirects": 3});
    let told = shelf.ask(json!([ask])).await?;
    assert_eq!(told.each[1]["status"], 200, "{}", told.log);
    assert_eq!((good.seen().opened, evil.seen().opened), (8, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_what_the_host_says_they_are() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    let with = |headers: Value| json!({"authority": authority, "headers": headers});
    let header = |name: &str, value: &str| with(json!([[name, value]]));
    let path = |path: &str| json!({"authority": authority, "path": path});
    let cases = [
        (header("host", "evil.wares.test"), "Forbidden"),
        (header("Host", "evil.wares.test"), "Forbidden"),
        (header("connection", "x-own"), "Forbidden"),
        (header("transfer-encoding", "chunked"), "Forbidden"),
        (header("upgrade", "h2c"), "Forbidden"),
        (header("proxy-authorization", "Basic x"), "Forbidden"),
        (header("proxy-anything", "x"), "HttpRequestDenied"),
        (header("te", "gzip"), "HttpRequestDenied"),
        (header("x-own", "a\r\nhost: evil.wares.test"), "InvalidSyntax"),
        (header("x-own", "a\nb"), "InvalidSyntax"),
        (header("x-own\r\nhost", "evil.wares.test"), "InvalidSyntax"),
        (header("host ", "evil.wares.test"), "InvalidSyntax"),
        (header("content-length", "+5"), "error"),
        (with(json!([["content-length", "5"], ["content-length", "6"]])), "error"),
        (header("content-length", "5"), "HttpRequestBodySize"),
        (path("/a\r\nhost: evil.wares.test"), "refused path"),
        (path("/a HTTP/1.1\r\n\r\nGET /b"), "refused path"),
        (path("http://evil.wares.test/"), "refused path"),
        (path("evil.wares.test/"), "refused path"),
        (path("*"), "refused path"),
        (json!({"authority": authority, "method": "CONNECT"}), "HttpRequestMethodInvalid"),
        (json!({"authority": authority, "method": "TRACE"}), "HttpRequestMethodInvalid"),
        (json!({"authority": authority, "method": "trace"}), "HttpRequestMethodInvalid"),
        (json!({"authority": authority, "method": "GET /b HTTP/1.1\r\nx: "}), "ethod"),
        // It would be pasted into a shell with the advice to grant it.
        (json!({"authority": authority, "method": "A'&reboot&'"}), "HttpRequestMethodInvalid"),
        (json!({"authority": "good.other.test", "method": "A`reboot`"}), "HttpRequestMethodInvalid"),
        (json!({"authority": authority, "method": "A".repeat(33)}), "refused method"),
        (json!({"authority": format!("{}.wares.test", "a".repeat(600))}), "refused authority"),
        (json!({"authority": authority, "scheme": "file"}), "HttpProtocolError"),
        (json!({"authority": authority, "scheme": "ftp"}), "HttpProtocolError"),
    ];
    for some in cases.chunks(8) {
        let told = shelf.ask(some.iter().map(|(ask, _)| ask.clone()).collect()).await?;
        for ((ask, expected), told) in some.iter().zip(&told.each) {
            let error = error(told).to_owned();
            let refused = if *expected == "error" { !error.is_empty() } else { error.contains(expected) };
            assert!(refused, "{ask}: {told:#}");
        }
    }
    assert_eq!(upstream.seen().opened, 0);

    // These are plain paths: they go where the authority says.
    for (path, line) in [
        ("//evil.wares.test/", "GET //evil.wares.test/ HTTP/1.1"),
        ("?a=b", "GET /?a=b HTTP/1.1"),
        ("", "GET / HTTP/1.1"),
    ] {
        let (told, log) = shelf.ask_one(json!({"authority": authority, "path": path})).await?;
        assert_eq!(told["status"], 200, "{path}: {told:#} {log}");
        let body = told["body"].as_str().unwrap_or_default();
        assert!(body.starts_with(line) && body.contains(&format!("\r\nhost: {authority}\r\n")), "{path}: {body}");
    }
    Ok(())
}
